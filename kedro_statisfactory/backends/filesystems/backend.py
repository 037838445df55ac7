"""One backend for every place that fsspec reaches and no other backend serves."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import ParseResult

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.base import STAGING_NAME, Backend
from kedro_statisfactory.backends.filesystems import dav, ftp, moving
from kedro_statisfactory.backends.filesystems.connection import file_systems, path_of
from kedro_statisfactory.backends.filesystems.errors import translated
from kedro_statisfactory.backends.filesystems.known import OBJECT_STORES, READ_ONLY, class_of, is_known
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.errors import NotSupported, ObjectNotFound
from kedro_statisfactory.location import WEB, basename, beside, checked, join, refuse_placeholder, shown, unparse

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_Result = TypeVar("_Result")


class FsspecBackend(Backend, prefix=None):
    """Files and objects wherever fsspec goes: ``https``, ``sftp``, ``gs``, ``abfs``, ``hdfs``, ``memory``, ….

    The ``credentials`` of an entry, and what its ``fs_args`` say beside that, are arguments of fsspec's file system,
    as for the classes of kedro-datasets; host, port and user may be in the URL. There are no ``load_args`` and
    ``save_args``.

    What is promised of a save is as much as the place gives: an object of an object store appears when it is whole; a
    file is written beside its place and moved there. Of a folder each file is so, and the folder as such is not.
    Nothing is remembered of what is there. At ``http`` and ``https`` things are read only.
    """

    @classmethod
    def serves(cls, prefix: str) -> bool:
        """Whether fsspec knows a prefix."""
        return is_known(prefix)

    def check_options(self, *, load_args: Mapping[str, Any], save_args: Mapping[str, Any]) -> None:
        """Refuse any: there are none."""
        self._refuse_unknown({**load_args, **save_args})

    def check_location(self, fragment: ParseResult) -> None:
        """Refuse a URL with a placeholder for the host or bucket."""
        refuse_placeholder(checked(fragment))

    def check_use(self, fragment: ParseResult, is_written: bool) -> None:
        """Refuse to write where things can only be read, and a place for which a package is missing."""
        class_of(fragment.scheme)
        if is_written:
            self._refuse_read_only(fragment)

    def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None:
        """Store ``payload`` as a file or object.

        Raises:
            NotSupported: Things can only be read there.
            PermissionDenied: The service does not allow it.
        """
        self._refuse_unknown(kwargs)
        self._store(payload, fragment)

    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        """Fetch a file or object.

        Raises:
            ObjectNotFound: There is none.
            PermissionDenied: The service does not allow it.
        """
        self._refuse_unknown(kwargs)

        def read(file_system: AbstractFileSystem) -> bytes:
            content: bytes = file_system.cat_file(path_of(fragment))
            return content

        return self._use(fragment, read)

    def upload(self, *, source: Path, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store a file, or each file of a folder below a location.

        Files of a folder go in parallel, those below a name that begins with ``_`` last and in order: formats keep
        there what says that the rest is complete. Then what the folder does not have is removed.
        """
        self._refuse_unknown(kwargs)
        if not source.is_dir():
            self._store(source, fragment)
            return
        first, last = transfer.files_of(source)
        with contextlib.suppress(ObjectNotFound):
            if self._info(fragment)["type"] != "directory":
                self.delete(fragment=fragment)  # a file is in the way

        def upload(path: Path, _: threading.Event) -> None:
            self._store(source / path, join(fragment, *path.parts))

        transfer.in_parallel(upload, first, transfer.UPLOAD_WORKERS)
        for path in last:
            upload(path, threading.Event())
        kept = {path.as_posix() for path in (*first, *last)}
        self._remove([join(fragment, info.path) for info in self.list(fragment=fragment) if info.path not in kept])

    def download(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
        """Fetch a file into a file or, where there is a folder, all files below it into a folder."""
        self._refuse_unknown(kwargs)
        with contextlib.suppress(ObjectNotFound):
            if self._use(fragment, lambda each: moving.fetch(each, fragment.scheme, path_of(fragment), target)):
                return
        found = [] if fragment.scheme in WEB else list(self.list(fragment=fragment))
        if not found and not target.is_dir():
            raise ObjectNotFound(f"there is nothing at {shown(unparse(fragment))!r}.")

        def download(info: ObjectInfo, _: threading.Event) -> None:
            source = checked(join(fragment, info.path))
            file = target / info.path
            file.parent.mkdir(parents=True, exist_ok=True)
            self._use(source, lambda each: moving.fetch(each, fragment.scheme, path_of(source), file))

        transfer.in_parallel(download, found, transfer.DOWNLOAD_WORKERS)

    def exists(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether there is a file, an object or a folder.

        Raises:
            PermissionDenied: The service does not tell.
        """
        self._refuse_unknown(kwargs)
        try:
            self._info(fragment)
        except ObjectNotFound:
            return False
        return True

    def stat(self, *, fragment: ParseResult, **kwargs: Any) -> ObjectInfo:
        """Size, and time and fingerprint where fsspec tells them."""
        self._refuse_unknown(kwargs)
        info = self._info(fragment)
        return super().stat(fragment=fragment) if info["size"] is None else moving.described("", info)

    def list(self, *, fragment: ParseResult, **kwargs: Any) -> Iterator[ObjectInfo]:
        """All files below a folder.

        Raises:
            NotSupported: It is a web page, which lists nothing.
        """
        self._refuse_unknown(kwargs)
        if fragment.scheme in WEB:
            raise NotSupported(
                f"a web page lists nothing, so {shown(unparse(fragment))!r} cannot be a collection or have versions: "
                "make each page an entry of its own."
            )
        return iter(self._list(fragment))

    def _list(self, fragment: ParseResult, with_hidden: bool = False) -> Sequence[ObjectInfo]:
        root = path_of(fragment).strip("/") + "/"

        def walk(file_system: AbstractFileSystem) -> Sequence[ObjectInfo]:
            found = moving.below(file_system, path_of(fragment))
            files = [info for info in found if info["type"] != "directory"]
            return [moving.described(info["name"].strip("/").removeprefix(root), info) for info in files]

        with contextlib.suppress(ObjectNotFound):
            found = self._use(fragment, walk)
            counted = [each for each in found if with_hidden or not moving.is_hidden(each)]
            return sorted(counted, key=lambda info: info.path)
        return []

    def delete(self, *, fragment: ParseResult, **kwargs: Any) -> None:
        """Remove a file, or a folder with all that is in it."""
        self._refuse_unknown(kwargs)
        self._refuse_read_only(fragment)
        with contextlib.suppress(ObjectNotFound):
            if self._info(fragment)["type"] == "directory":
                self._remove([join(fragment, info.path) for info in self._list(fragment, with_hidden=True)])
                self._use(fragment, lambda each: self._remove_folders(each, fragment))
            else:
                self._remove([fragment])

    def end_changes(self, *, fragment: ParseResult, remove: Iterable[str] = (), **kwargs: Any) -> None:
        """Remove files below a folder, and nothing that object stores may have below one of the same name."""
        self._refuse_unknown(kwargs)
        self._remove([join(fragment, path) for path in remove])

    def leftovers(self, fragment: ParseResult) -> Iterator[tuple[ParseResult, ObjectInfo]]:
        """Files beside a location, and below it, that were never published: of a save that goes on, or was killed.

        Args:
            fragment: The parsed location.
        """
        if fragment.scheme in READ_ONLY | OBJECT_STORES:  # which have none
            return

        def look(file_system: AbstractFileSystem) -> Sequence[ObjectInfo]:
            found = file_system.ls(path_of(fragment).rpartition("/")[0] or "/", detail=True)
            files = [info for info in found if info["type"] != "directory"]
            return [moving.described(info["name"].rpartition("/")[2], info) for info in files]

        with contextlib.suppress(ObjectNotFound):
            for info in sorted(self._use(fragment, look), key=lambda info: info.path):
                if info.path.startswith(STAGING_NAME):
                    yield beside(fragment, info.path), info
        for info in self._list(fragment, with_hidden=True):
            if info.path.rpartition("/")[2].startswith(STAGING_NAME):
                yield join(fragment, info.path), info

    def lost_name(self, fragment: ParseResult) -> str:
        """What a file was called that a save had moved aside, if there is none of that name: else nothing.

        Args:
            fragment: The parsed location of a file that was never published.
        """
        name = moving.name_before(basename(fragment))
        return name if name and not self.exists(fragment=beside(fragment, name)) else ""

    def _remove_folders(self, file_system: AbstractFileSystem, fragment: ParseResult) -> None:
        """Remove folders, of which object stores have none."""
        if fragment.scheme in OBJECT_STORES:
            return
        path = path_of(fragment)
        for name in reversed([path, *(info["name"] for info in moving.below(file_system, path))]):
            with contextlib.suppress(FileNotFoundError):
                file_system.rmdir(name)

    def _remove(self, fragments: Sequence[ParseResult]) -> None:
        def remove(fragment: ParseResult, _: threading.Event) -> None:
            with contextlib.suppress(ObjectNotFound):
                self._use(fragment, lambda each: each.rm_file(path_of(fragment)))

        transfer.in_parallel(remove, fragments, transfer.UPLOAD_WORKERS)

    def _store(self, source: Path | bytes, fragment: ParseResult) -> None:
        self._refuse_read_only(fragment)
        prefix = fragment.scheme
        self._use(fragment, lambda each: moving.store(each, prefix, source, path_of(fragment)), is_write=True)

    def _info(self, fragment: ParseResult) -> dict[str, Any]:
        def ask(file_system: AbstractFileSystem) -> dict[str, Any]:
            info: dict[str, Any] = file_system.info(path_of(fragment))
            return info

        return self._use(fragment, ask)

    def _use(
        self, fragment: ParseResult, work: Callable[[AbstractFileSystem], _Result], is_write: bool = False
    ) -> _Result:
        transfer.raise_if_stopped()

        def told(file_system: AbstractFileSystem) -> _Result:
            try:
                if fragment.scheme == dav.WEBDAV:
                    return dav.patiently(functools.partial(work, file_system))
                return work(file_system)
            except Exception as error:  # whatever a library of fsspec raises
                if fragment.scheme == "ftp" and (meant := ftp.meant(file_system, path_of(fragment), error)) != error:
                    raise meant from error
                raise

        with self._translated(checked(fragment), is_write):
            return file_systems(self._session, fragment).use(told)

    def _translated(self, fragment: ParseResult, is_write: bool) -> AbstractContextManager[None]:
        return translated(fragment, self.redacted, is_write)

    def _refuse_read_only(self, fragment: ParseResult) -> None:
        if fragment.scheme in READ_ONLY:
            raise NotSupported(
                f"nothing can be written to {shown(unparse(fragment))!r}: {fragment.scheme}:// is read only. Name "
                "another place for what a node writes."
            )
