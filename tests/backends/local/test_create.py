"""A file or folder is created where nothing is, by one of those who try, on any file system."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedro_statisfactory.backends import LocalFS
from kedro_statisfactory.errors import PreconditionFailed, TransferError
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session

SYSTEMS = ("Linux", "another", "one without links")


@pytest.fixture
def backend() -> LocalFS:
    return LocalFS(Session())


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the system and the file system can do."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param != "Linux":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    if request.param == "one without links":
        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".statisfactory-")]


def made(folder: Path, what: str, content: bytes) -> Path:
    path = folder / content.decode()
    if what == "a folder":
        path.mkdir(parents=True)
        (path / content.decode()).write_bytes(content)
    else:
        path.write_bytes(content)
    return path


def read(path: Path) -> list[bytes]:
    return [each.read_bytes() for each in ([path] if path.is_file() else path.iterdir())]


@pytest.mark.parametrize("consume", [False, True])
@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_one_of_sixteen_creates_it(
    backend: LocalFS, system: str, tmp_path: Path, what: str, consume: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [made(tmp_path, what, f"by-{number}".encode()) for number in range(16)]
    target = tmp_path / "there/x"
    monkeypatch.setattr(os.path, "lexists", lambda _: False)  # all of them see nothing

    def create(source: Path) -> bool:
        try:
            backend.create(source=source, fragment=parse(str(target)), consume=consume)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(16) as executor:
        succeeded = list(executor.map(create, sources))
    assert succeeded.count(True) == 1
    assert read(target) == [f"by-{succeeded.index(True)}".encode()]
    assert not leftovers(tmp_path)


def test_an_empty_folder_is_not_replaced_either(backend: LocalFS, system: str, tmp_path: Path) -> None:
    source = made(tmp_path, "a folder", b"new")
    (tmp_path / "there").mkdir()
    with pytest.raises(PreconditionFailed, match="is not replaced"):
        backend.create(source=source, fragment=parse(f"{tmp_path}/there"), consume=True)
    assert source.exists()


def test_bytes_are_created(backend: LocalFS, system: str, tmp_path: Path) -> None:
    backend.create(source=b"x", fragment=parse(f"{tmp_path}/there/x"))
    assert (tmp_path / "there/x").read_bytes() == b"x"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["x"]


def test_a_file_above_is_named(backend: LocalFS, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(TransferError, match="move it away"):
        backend.create(source=b"x", fragment=parse(f"{tmp_path}/x/y"))


def _across(source: Path, real: Callable[..., Any]) -> Callable[..., Any]:
    def across(one: Path, *more: Any) -> None:
        if one == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(one, *more)

    return across


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_what_is_staged_on_another_mount_is_copied(
    backend: LocalFS, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    source = made(tmp_path, what, b"new")

    def refuse(_: int, one: bytes, *more: Any) -> int:
        ctypes.set_errno(errno.EXDEV if Path(os.fsdecode(one)) == source else errno.ENOSYS)
        return -1

    if system == "Linux":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=refuse))
    if system != "one without links":
        monkeypatch.setattr(os, "link", _across(source, os.link))
    monkeypatch.setattr(Path, "rename", _across(source, os.rename))
    monkeypatch.setattr(Path, "replace", _across(source, os.replace))
    backend.create(source=source, fragment=parse(f"{tmp_path}/there/x"), consume=True)
    assert read(tmp_path / "there/x") == [b"new"]
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_what_fails_leaves_the_name_free(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    source = made(tmp_path, what, b"new")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "platform", "plan9")
    for name in ("link", "rename", "replace"):
        monkeypatch.setattr(os if name == "link" else Path, name, fail)
    for errors in (errno.EIO, errno.EPERM):
        monkeypatch.setattr(os, "link", lambda *_, number=errors: (_ for _ in ()).throw(OSError(number, "no link")))
        with pytest.raises((TransferError, PermissionError)):
            backend.create(source=source, fragment=parse(f"{tmp_path}/x"), consume=True)
        assert not (tmp_path / "x").exists()
