"""One location in S3's protocol as a file system of fsspec, for the libraries that read and write through it.

It keeps no listings, works without an event loop, and so survives a fork; each process has a client of its own. Reads
fetch what is asked for, so that a column costs a column.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.spec import AbstractFileSystem

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.backends.s3.client import SECRET_VARIABLES, s3_client, s3_objects
from kedro_statisfactory.backends.s3.deleting import delete_keys
from kedro_statisfactory.backends.s3.errors import broken_stream, translated
from kedro_statisfactory.backends.s3.files import InOrder, ReadFile, WrittenFile, WrittenText
from kedro_statisfactory.backends.s3.writing import S3Writer
from kedro_statisfactory.errors import IntegrityError, NotSupported, ObjectNotFound
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: The scheme of its URLs: ``statisfactory:///<name>`` is the location, ``statisfactory:///<name>/x`` is below it.
PROTOCOL = "statisfactory"

# Tries of a read whose answer breaks off.
_ATTEMPTS = 5


class EngineFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec brings no types
    """What is at a location, and below it, and nothing else.

    Args:
        access: The location.
        name: Its name here, which has no character that a library takes for a pattern.
        more: What fsspec itself understands.
    """

    protocol = PROTOCOL
    root_marker = ""
    cachable = False  # the copy that is kept would be found by texts, which show no secret

    def __init__(self, access: S3Access, name: str, **more: Any) -> None:
        super().__init__(access=access, name=name, **more)
        self._access, self._name = access, name
        self._seen: dict[str, str] = {}  # ETags: a scan goes on with what it has begun with, or not at all

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return str(path).removeprefix(f"{PROTOCOL}:").strip("/")

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What is at a path: a file, or a folder of files."""
        path = self._strip_protocol(path)
        if not path:
            return _folder("")
        with contextlib.suppress(ObjectNotFound), self._translated():
            found = self._client.head_object(Bucket=self._access.bucket, Key=self._key(path))
            if self._seen.setdefault(path, found["ETag"]) != found["ETag"]:
                raise IntegrityError("it was replaced since it was loaded: load it again")
            return _file(path, found["ContentLength"], found["ETag"], found.get("LastModified"))
        with self._translated():
            if any(True for _ in self._objects(path, most=10)):
                return _folder(path)
        raise ObjectNotFound(f"there is no {path!r} at {self._access.url!r}.")

    def exists(self, path: str, **_: Any) -> bool:
        """Whether something is at a path: ``False`` says that it is not there, and nothing else."""
        return self._kind(path) is not None

    def isfile(self, path: str) -> bool:
        """Whether a file is there; fsspec itself would say no when it cannot know."""
        return self._kind(path) == "file"

    def isdir(self, path: str) -> bool:
        """Whether a folder is there."""
        return self._kind(path) == "directory"

    def _kind(self, path: str) -> str | None:
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError:
            return None

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What is in a folder, or the file itself."""
        path = self._strip_protocol(path)
        names: dict[str, Any] = self.find(path, maxdepth=1, withdirs=True, detail=True)
        if not names:
            raise ObjectNotFound(f"there is no {path!r} at {self._access.url!r}.")
        return list(names.values()) if detail else list(names)

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> Any:
        """All files below a folder, by one listing; or the file itself."""
        root = "/" * str(path).startswith("/")  # pyarrow looks for the folder in the paths as it has written it
        path = self._strip_protocol(path)
        if not path:  # nothing else is there
            path = self._name
        with self._translated():
            found = {each["name"]: each for each in self._objects(path)}
        if not found:
            with contextlib.suppress(FileNotFoundError):
                found = {path: self.info(path)}
        depth = path.count("/") + maxdepth if maxdepth else None
        if withdirs:
            above = {name[:number] for name in found for number in _ends(name) if number > len(path)}
            found |= {name: _folder(name) for name in above}
        chosen = {root + name: found[name] for name in sorted(found) if depth is None or name.count("/") <= depth}
        return chosen if detail else list(chosen)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """The bytes of a file, or some of them."""
        with self.open(path, "rb") as file:
            begin, stop = slice(start, end).indices(file.size)[:2]
            file.seek(begin)
            return bytes(file.read(max(0, stop - begin)))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Store the bytes of a file."""
        with self.open(path, "xb" if mode == "create" else "wb") as file:
            file.write(value)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and with ``recursive`` what is below folders."""
        self._delete(self.expand_path(path, recursive=recursive, maxdepth=maxdepth))

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        self._delete([self._strip_protocol(path)])

    _rm = rm_file

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file, on the side of the service."""
        source, target = self._key(self._strip_protocol(path1)), self._key(self._strip_protocol(path2))
        bucket = self._access.bucket
        with self._translated():
            self._client.copy_object(Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": source})

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Nothing: folders are there when something is in them."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Nothing: folders are there when something is in them."""

    def modified(self, path: str) -> Any:
        """When a file was stored."""
        return self.info(path)["LastModified"]

    def open(self, path: str, mode: str = "rb", **more: Any) -> Any:
        """Open a file; what is written becomes an object when it is closed, and not when an error has ended it."""
        if mode.strip("bt") == "r":
            return super().open(path, mode, **more)
        if more.get("compression"):  # whose classes do not close the file below them, so that nothing would be stored
            raise NotSupported(
                f"an engine compresses the file that it writes at {self._access.url!r}: let it not do so."
            )
        if "b" in mode:
            return super().open(path, mode, **more)
        how = {name: more.pop(name) for name in ("encoding", "errors", "newline") if name in more}
        return WrittenText(super().open(path, mode.replace("t", "") + "b", **more), **how)

    def _open(self, path: str, mode: str = "rb", cache_type: str | None = None, **more: Any) -> Any:
        path = self._strip_protocol(path)
        if mode == "rb":
            return self._open_to_read(path, cache_type or InOrder.name, **more)
        if mode == "xb" and self.exists(path):
            raise FileExistsError(path)
        before = b""
        if mode in ("ab", "r+b"):
            with contextlib.suppress(*([FileNotFoundError] if mode == "ab" else [])):
                before = self.cat_file(path)
        elif mode not in ("wb", "xb"):
            raise NotSupported(f"an engine opens {self._access.url!r} in the mode {mode!r}, which is not known here.")
        key = self._key(path)

        def store(file: Path) -> None:
            with self._translated():
                source = file.read_bytes() if file.stat().st_size <= transfer.SMALL else file
                self._seen.pop(path, None)
                S3Writer(s3_objects(self._session), _not_made).store(source, self._access.bucket, key, {}, create=False)

        opened = WrittenFile(before, store)
        if mode == "r+b":
            opened.seek(0)
        return opened

    def _open_to_read(self, path: str, cache_type: str, block_size: Any = None, **more: Any) -> ReadFile:
        info, key = self.info(path), self._key(path)
        if info["type"] != "file":
            raise IsADirectoryError(path)

        def fetch(start: int, end: int) -> bytes:
            with self._translated():
                return self._range(key, info["ETag"], start, end)

        options = {"cache_options": more.get("cache_options"), "block_size": block_size or "default"}
        return ReadFile(self, path, fetch, info["size"], cache_type=cache_type, **options)

    def _range(self, key: str, etag: str, start: int, end: int) -> bytes:
        """A run of bytes of one version of an object, once more where an answer breaks off."""
        for attempt in range(1, _ATTEMPTS + 1):
            answer = self._client.get_object(Bucket=self._access.bucket, Key=key, Range=f"bytes={start}-{end - 1}")
            if answer["ETag"] != etag:
                answer["Body"].close()
                raise IntegrityError("it was replaced while it was read")
            try:
                with contextlib.closing(answer["Body"]) as body:
                    payload: bytes = body.read()
                if len(payload) == end - start:
                    return payload
            except broken_stream():
                if attempt == _ATTEMPTS:
                    raise
        raise IntegrityError("another range came than was asked for")

    def _objects(self, path: str, most: int = 1000) -> Iterable[dict[str, Any]]:
        key = self._key(path)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._access.bucket, Prefix=f"{key}/", PaginationConfig={"PageSize": most}
        )
        for page in pages:
            for each in page.get("Contents", ()):
                if not transfer.is_folder_marker(each["Key"], each["Size"]):
                    yield _file(path + each["Key"][len(key) :], each["Size"], each["ETag"], each.get("LastModified"))

    def _delete(self, paths: Iterable[str]) -> None:
        keys = [self._key(path) for path in paths]
        self._seen.clear()
        with self._translated():
            delete_keys(self._client, self._access.bucket, keys)

    def _key(self, path: str) -> str:
        name, slash, rest = path.partition("/")
        if name != self._name:
            raise PermissionError(f"{path!r} is not at {self._access.url!r}, nor below it.")
        return f"{self._access.key}{slash}{rest}"

    @property
    def _session(self) -> Session:
        return Session(self._access.now().credentials())

    @property
    def _client(self) -> S3Client:
        return s3_client(self._session)

    def _translated(self) -> AbstractContextManager[None]:
        return translated(
            parse(self._access.url), self._session, lambda text: self._session.redacted(text, SECRET_VARIABLES)
        )


def _file(path: str, size: int, etag: str, modified: Any) -> dict[str, Any]:
    return {"name": path, "size": size, "type": "file", "ETag": etag, "LastModified": modified}


def _folder(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _ends(path: str) -> list[int]:
    return [number for number, letter in enumerate(path) if letter == "/"]


def _not_made(bucket: str) -> None:
    """A bucket is there before an engine writes."""


fsspec.register_implementation(PROTOCOL, EngineFileSystem, clobber=True)
