"""File systems in memory that do what those of places do for which there is no server here."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem


class OwnMemory(MemoryFileSystem):  # type: ignore[misc]  # fsspec brings no types
    """Files of a class of its own."""

    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    does: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> Any:
        return MemoryFileSystem._strip_protocol(path.partition("://")[2] if "://" in path else path)


class ObjectStore(OwnMemory):
    """As gcsfs is, as far as that matters: one bucket, folders that are none, marks of folders, naive times."""

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        self.does.append(f"put {rpath}")
        if not rpath.startswith("/bucket/"):
            raise FileNotFoundError(rpath)
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        if self.isdir(rpath):
            raise IsADirectoryError(rpath)
        Path(lpath).write_bytes(self.cat_file(rpath))

    def ls(self, path: str, detail: bool = True, **_: Any) -> Any:
        mark = {"name": f"{path}/", "size": 0, "type": "file"}
        times = {"updated": datetime(2026, 11, 26), "etag": '"an-etag"'}
        return [mark, *({**info, **times} for info in super().ls(path, detail=True))]

    def mv(self, *_: Any, **__: Any) -> None:
        raise AssertionError("a rename is a copy there")

    rmdir = mv


class Attic(OwnMemory):
    """A file system whose folders have to be made, and whose renames do not replace."""

    is_broken: ClassVar[bool] = False
    is_slow: ClassVar[bool] = False

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        if not self.isdir(self._parent(rpath)):
            raise FileNotFoundError(rpath)
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        if not self.is_slow or not self.is_broken:
            super().makedirs(path, exist_ok=exist_ok)
        if self.is_slow:
            raise OSError("another one was faster")

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.does.append("mv")
        if path2 in self.store or (self.is_broken and self.cat_file(path1) == b"new"):
            raise OSError("no such rename")
        self.pipe_file(path2, self.cat_file(path1))
        self.rm_file(path1)


class Dav(OwnMemory):
    """As webdav4 is: its own way to move copies, and it has a client whose way does not."""

    @property
    def client(self) -> Any:
        return self

    def move(self, source: str, target: str, overwrite: bool = False) -> None:
        self.does.append(f"move {overwrite}")
        self.pipe_file(target, self.cat_file(source))
        self.rm_file(source)
