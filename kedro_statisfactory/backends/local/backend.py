"""The local file system: every write appears whole, and stays after a loss of power."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends.base import Backend
from kedro_statisfactory.backends.engines import Saving
from kedro_statisfactory.backends.info import ObjectInfo, checksum_of, info_of_file
from kedro_statisfactory.backends.local.publish import publish, publish_file, publish_new, sync_folder, temporary_beside
from kedro_statisfactory.backends.local.staging import IS_STAGING, staging_folder_for
from kedro_statisfactory.errors import InvalidURL, ObjectNotFound, PermissionDenied, StatisfactoryError, TransferError
from kedro_statisfactory.location import checked, full_path, unparse
from kedro_statisfactory.project.root import is_kedro_project

_BUFFER = 1 << 20


class LocalFS(Backend, prefix="", aliases=("file",)):
    """Files and folders of this machine.

    A file is written beside its target under a temporary name, brought to the disk, and renamed: whoever reads sees the
    whole old or the whole new one. New files get the mode that the umask leaves; a replaced file keeps its mode and,
    where the process may set it, its owner. A symbolic link stays one: what it points to is replaced.

    Credentials are accepted and not needed, so that an entry can move between disk and S3 by its URL alone.
    """

    notes_reads = True

    def check_options(self, *, load_args: Mapping[str, Any], save_args: Mapping[str, Any]) -> None:
        """Refuse any: there are none."""
        self._refuse_unknown({**load_args, **save_args})

    def check_location(self, fragment: ParseResult) -> None:
        """Refuse the URL of another host's file, and a ``~`` that is not in front."""
        _path(fragment)

    def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None:
        """Store ``payload`` as a file, creating the folders above it.

        Raises:
            PermissionDenied: The file or its folder may not be written.
            TransferError: A folder is in the way, the disk is full, …
        """
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            self._place(payload, self._target(fragment), False, publish_file)

    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        """Read a file.

        Raises:
            ObjectNotFound: There is no file.
            PermissionDenied: It may not be read.
        """
        self._refuse_unknown(kwargs)
        path = _path(fragment)
        with _translated(fragment), path.open("rb") as file:
            payload = file.read()
            if self.is_noted:
                self.note_read(info_of_file(str(path), os.fstat(file.fileno()), checksum_of(payload)))
            return payload

    def upload(self, *, source: Path, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store a file or folder; one that may be consumed is renamed when it stands on the same file system."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            self._place(source, self._target(fragment), consume, publish)

    def create(self, *, source: Path | bytes, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store a file or folder where nothing is; of several that do this at once, one succeeds."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            target = self._target(fragment)
            if not os.path.lexists(target):  # nothing is copied in vain
                with contextlib.suppress(FileExistsError):
                    self._place(source, target, consume, publish_new)
                    return
        raise self._already_there(fragment)

    def _place(self, source: Path | bytes, target: Path, consume: bool, publish: Callable[[Path, Path], None]) -> None:
        """Bring a file, a folder or bytes beside ``target``, where they are not there already, and publish them."""
        if consume and isinstance(source, Path):
            try:
                publish(source, target)
                return
            except OSError as error:
                if error.errno != errno.EXDEV:  # another mount, perhaps of the same file system
                    raise
        is_folder = isinstance(source, Path) and source.is_dir()
        with temporary_beside(target, is_folder) as temporary:
            if not isinstance(source, Path):
                temporary.write_bytes(source)
            elif is_folder:
                shutil.copytree(source, temporary, dirs_exist_ok=True)
            else:
                with source.open("rb") as original, temporary.open("wb") as file:
                    shutil.copyfileobj(original, file, _BUFFER)
            publish(temporary, target)

    def download(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
        """Copy a file or folder to ``target``."""
        source = self.local_path(fragment=fragment, **kwargs)
        with _translated(fragment):
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)

    def local_path(self, *, fragment: ParseResult, **kwargs: Any) -> Path:
        """The file or folder itself."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            path = _path(fragment)
            os.stat(path)
            return path

    def staging_parent(self, *, fragment: ParseResult) -> Path | None:
        """A folder of the Kedro project on the file system of the target, else the folder of the target.

        Within the project because a listing of the target's folder, as PartitionedDataset makes it, would find what is
        being written, and what a killed process has left.
        """
        with _translated(fragment):
            folder = self._target(fragment).parent
            return staging_folder_for(folder) or folder

    @staticmethod
    def target_folder(fragment: ParseResult) -> Path:
        """The folder of a file or folder, beside which it may have to be staged; links are followed."""
        return Path(os.path.realpath(_path(fragment))).parent

    def exists(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether there is a file or folder.

        Raises:
            PermissionDenied: A folder above it may not be searched, so nobody knows.
        """
        try:
            self.stat(fragment=fragment, **kwargs)
        except ObjectNotFound:
            return False
        return True

    def stat(self, *, fragment: ParseResult, **kwargs: Any) -> ObjectInfo:
        """Size and time of a file or folder."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            return _info("", _path(fragment))

    def list(self, *, fragment: ParseResult, **kwargs: Any) -> Iterator[ObjectInfo]:
        """All files below a folder."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            root = _path(fragment)
            found = sorted(
                path
                for folder, _, names in os.walk(root, onerror=_raise_unless_absent)
                for path in (Path(folder, name).relative_to(root).as_posix() for name in names)
                if not IS_STAGING.search(path)
            )
            for path in found:
                with contextlib.suppress(FileNotFoundError):  # removed since the walk: it is not there
                    yield _info(path, root / path)

    def delete(self, *, fragment: ParseResult, **kwargs: Any) -> None:
        """Remove a file or folder."""
        self._refuse_unknown(kwargs)
        with _translated(fragment), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path = _path(fragment)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            sync_folder(path.parent)

    def engine_access(self, *, fragment: ParseResult, saving: Saving | None = None, **kwargs: Any) -> Path:
        """The file or folder itself; what an engine writes there is neither whole at once nor brought to the disk."""
        if saving is None:
            return self.local_path(fragment=fragment, **kwargs)
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            target = self._target(fragment)
        if saving == "replace":
            self.delete(fragment=fragment)
        return target

    def _target(self, fragment: ParseResult) -> Path:
        """Where a write goes: links followed, folders above it created."""
        target = _path(fragment)
        target = target if target.is_absolute() else target.absolute()
        # A link in front of the last name is followed by the system itself.
        path = os.fspath(target)
        try:
            is_known = not stat.S_ISLNK(os.lstat(path).st_mode)
        except OSError:
            is_known = os.path.isdir(os.path.dirname(path))
        if not is_known:
            target = Path(os.path.realpath(target))
            self._create_parents(target)
        return target

    def _create_parents(self, path: Path) -> None:
        """Create all folders above ``path``, so that they are still there after a loss of power.

        Args:
            path: The file or folder that is going to be written.
        """
        if not path.parent.is_dir():
            self._create_parents(path.parent)
            path.parent.mkdir(exist_ok=True)
            sync_folder(path.parent.parent)


def _path(fragment: ParseResult) -> Path:
    path = _plain_path(fragment)
    return _path_with_home(fragment) if path is None else path


@functools.lru_cache(maxsize=4096)
def _plain_path(fragment: ParseResult) -> Path | None:
    """The path of a URL, where its text alone tells it; ``None`` where it has a host or a ``~``."""
    path = full_path(checked(fragment))
    return Path(path) if fragment.netloc in ("", "localhost") and "~" not in path else None


def _path_with_home(fragment: ParseResult) -> Path:
    """The path of a URL with a ``~``; a URL with a host is an error."""
    if fragment.netloc not in ("", "localhost"):
        raise InvalidURL(
            f"the URL {unparse(fragment)!r} names the host {fragment.netloc!r}: a file URL has three slashes, "
            f"as in 'file:///{fragment.netloc}{full_path(fragment)}'."
        )
    path = full_path(fragment)
    front, tilde, rest = path.partition("/~/")
    if tilde:
        # Kedro puts the folder of the project in front of a path that begins with "~/".
        if not is_kedro_project(Path(front)):
            raise InvalidURL(
                f"{path!r} has a folder '~', which means the home folder in front of a path only: name it."
            )
        path = f"~/{rest}"
    return Path(os.path.expanduser(path))  # Path.expanduser fails at a name that is no user's


@contextlib.contextmanager
def _translated(fragment: ParseResult) -> Iterator[None]:
    """Errors of the operating system as ours."""
    try:
        yield
    except StatisfactoryError:
        raise
    except OSError as error:
        raise _as_ours(error, unparse(fragment)) from error


def _as_ours(error: OSError, url: str) -> Exception:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ObjectNotFound(f"there is no file {url!r}.")
    if isinstance(error, PermissionError):
        return PermissionDenied(f"the file system does not allow it: {url!r} ({error.strerror}).")
    if isinstance(error, IsADirectoryError):
        return TransferError(f"{url!r} is a folder where a file is meant: move it away or name another path.")
    if isinstance(error, FileExistsError):
        what = error.strerror if error.filename is None else "folder"  # mkdir names what is in its way
        return TransferError(f"{url!r}, or something above it, is already there and is no {what}: move it away.")
    return TransferError(f"the file system failed at {url!r}: {error.strerror or error}.")


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _info(path: str, file: Path) -> ObjectInfo:
    return info_of_file(path, file.stat())
