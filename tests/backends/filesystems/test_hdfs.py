"""HDFS by Hadoop's client, which no test can have at its side: what pyarrow says of it is said by a folder here."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import Backend, FsspecBackend
from kedro_statisfactory.errors import BackendUnreachable, NotSupported, PermissionDenied, TransferError
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session

pytestmark = pytest.mark.once

pyarrow: Any = pytest.importorskip("pyarrow.fs")

from kedro_statisfactory.backends.filesystems import hdfs  # noqa: E402  # which needs that


class _Hadoop:
    """A folder as pyarrow shows HDFS: what cannot be known is not there, and a move is one into a folder, too."""

    type_name = "hdfs"

    def __init__(self, folder: Path) -> None:
        self.folder, self.error = folder, OSError()
        self.inner = pyarrow.SubTreeFileSystem(str(folder), pyarrow.LocalFileSystem())

    def get_file_info(self, asked: Any) -> Any:
        if isinstance(asked, list):
            return [self.inner.get_file_info(self._at(each)) if self._is_known(each) else _gone(each) for each in asked]
        if not self._is_known(asked.base_dir):
            raise self.error
        return self.inner.get_file_info(pyarrow.FileSelector(self._at(asked.base_dir)))

    def _at(self, path: str) -> str:
        return path.strip("/")

    def _is_known(self, path: str) -> bool:
        return "closed" not in path and "x/" not in path

    def move(self, source: str, target: str) -> None:
        where = self.folder / self._at(target)
        (self.folder / self._at(source)).rename(where / source.rpartition("/")[2] if where.is_dir() else where)

    def __getattr__(self, name: str) -> Any:
        def do(path: str, *arguments: Any, **options: Any) -> Any:
            return getattr(self.inner, name)(self._at(path), *arguments, **options)

        return do


def _gone(path: str) -> Any:
    return pyarrow.FileInfo(path, pyarrow.FileType.NotFound)


@pytest.fixture
def hadoop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Hadoop:
    found = _Hadoop(tmp_path / "hdfs")
    found.folder.mkdir()
    monkeypatch.setattr(pyarrow, "HadoopFileSystem", lambda **_: found)
    monkeypatch.setattr(hdfs, "_used_by", None)
    return found


@pytest.fixture
def place() -> str:
    """The URL of a host of its own for each test: connections are kept."""
    return f"hdfs://h{secrets.token_hex(4)}:1"


@pytest.fixture
def backend() -> Backend:
    return FsspecBackend(Session({}))


def test_an_old_file_goes_aside_and_no_folder_swallows_a_new_one(hadoop: _Hadoop, backend: Backend, place: str) -> None:
    for payload in (b"old", b"new"):
        backend.put(payload=payload, fragment=parse(f"{place}/folder/y"))
        assert (hadoop.folder / "folder/y").read_bytes() == payload
    with pytest.raises(TransferError, match="there is something"):
        backend.put(payload=b"z", fragment=parse(f"{place}/folder"))
    assert sorted(path.name for path in hadoop.folder.rglob("*")) == ["folder", "y"]


def test_what_nobody_can_know_is_not_taken_for_missing(hadoop: _Hadoop, backend: Backend, place: str) -> None:
    hadoop.error = PermissionError(13, "HDFS list directory failed")
    with pytest.raises(PermissionDenied):
        backend.exists(fragment=parse(f"{place}/closed"))
    hadoop.error = OSError(255, "HDFS list directory failed")
    with pytest.raises(TransferError, match=r"Hadoop's client has written to the standard error why\.$"):
        backend.exists(fragment=parse(f"{place}/closed"))
    assert not backend.exists(fragment=parse(f"{place}/missing"))


def test_what_would_be_below_a_file_is_missing(hadoop: _Hadoop, backend: Backend, place: str) -> None:
    (hadoop.folder / "x").write_bytes(b"")
    hadoop.error = PermissionError(13, "HDFS list directory failed")
    assert not backend.exists(fragment=parse(f"{place}/x/y"))


def test_no_service_is_told(backend: Backend, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: Any) -> None:
        raise OSError("HDFS connection failed")

    monkeypatch.setattr(pyarrow, "HadoopFileSystem", fails)
    monkeypatch.setattr(hdfs, "_used_by", None)
    with pytest.raises(BackendUnreachable):
        backend.exists(fragment=parse(f"{place}/x"))


def test_the_fork_of_a_process_that_has_used_it_is_told_and_does_not_hang(
    hadoop: _Hadoop, backend: Backend, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdfs, "_used_by", os.getpid() + 1)
    with pytest.raises(NotSupported, match="does not survive a fork"):
        backend.exists(fragment=parse(f"{place}/x"))
