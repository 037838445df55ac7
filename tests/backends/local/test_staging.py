"""Where files and folders are staged on a disk, and how they come into their place from there."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedro_statisfactory.backends import LocalFS
from kedro_statisfactory.errors import TransferError
from kedro_statisfactory.location import parse
from tests.backends.local.conftest import leftovers


def test_a_folder_is_replaced_as_a_whole(backend: LocalFS, tmp_path: Path) -> None:
    target = tmp_path / "target"
    for generation in ("old", "new"):
        source = tmp_path / generation
        source.mkdir()
        (source / f"{generation}.txt").write_text(generation)
        backend.upload(source=source, fragment=parse(str(target)), consume=generation == "new")
    assert [path.name for path in target.iterdir()] == ["new.txt"]
    assert not leftovers(tmp_path)


def test_without_an_exchange_in_one_step_a_folder_is_replaced_in_two(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    test_a_folder_is_replaced_as_a_whole(backend, tmp_path)


def test_where_folders_cannot_be_opened_only_files_are_synced(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY")
    backend.put(payload=b"x", fragment=parse(f"{tmp_path}/x"))
    assert (tmp_path / "x").read_bytes() == b"x"


def test_a_file_may_be_moved_into_place(backend: LocalFS, tmp_path: Path) -> None:
    fragment = parse(f"{tmp_path}/there/x")
    parent = backend.staging_parent(fragment=fragment)
    assert parent == tmp_path / "there"
    source = parent / "made"
    source.write_bytes(b"x")
    backend.upload(source=source, fragment=fragment, consume=True)
    assert not source.exists()
    assert backend.local_path(fragment=fragment) == tmp_path / "there/x"


def test_within_a_project_what_is_written_is_staged_where_no_listing_looks(backend: LocalFS, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    fragment = parse(f"{tmp_path}/data/parts/x")
    for _ in range(2):
        assert backend.staging_parent(fragment=fragment) == tmp_path / ".statisfactory"
    assert (tmp_path / ".statisfactory/.gitignore").read_text() == "*\n"


def test_where_a_project_stages_is_found_again_when_it_was_removed_or_forgotten(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kedro_statisfactory.backends.local.staging._MOST_FOLDERS", 1)
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    for name, is_removed in (("a", False), ("b", True), ("a", True), ("a", True)):
        assert backend.staging_parent(fragment=parse(f"{tmp_path}/{name}/x")) == tmp_path / ".statisfactory"
        if is_removed:
            shutil.rmtree(tmp_path / ".statisfactory")
    (tmp_path / ".statisfactory").touch()
    assert backend.staging_parent(fragment=parse(f"{tmp_path}/a/x")) == tmp_path / "a"


def test_a_folder_of_another_kind_of_project_is_left_alone(backend: LocalFS, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/pyproject.toml").write_text("[tool.ruff]\n")
    (tmp_path / "b/pyproject.toml").mkdir(parents=True)
    for name in ("a", "b"):
        assert backend.staging_parent(fragment=parse(f"{tmp_path}/{name}/x")) == tmp_path / name


def test_a_project_that_cannot_be_written_to_stages_nothing(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    (tmp_path / "data").mkdir()
    fragment = parse(f"{tmp_path}/data/x")

    def deny(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", deny)
        assert backend.staging_parent(fragment=fragment) == tmp_path / "data"
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert backend.staging_parent(fragment=fragment) == tmp_path / "data"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_staged_on_another_mount_is_copied(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    source, rename = tmp_path / "source", os.rename
    if what == "folder":
        source.mkdir()
        (source / "x").write_bytes(b"x")
    else:
        source.write_bytes(b"x")

    def across(one: Path, other: Path) -> None:
        if one == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(one, other)

    def refuse(_: int, one: bytes, *more: Any) -> int:
        ctypes.set_errno(errno.EXDEV if Path(os.fsdecode(one)) == source else errno.ENOSYS)
        return -1

    monkeypatch.setattr(Path, "rename", across)  # it has bound that of `os` when it was imported, up to Python 3.10
    monkeypatch.setattr(os, "replace", across)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=refuse))
    for _ in range(2):
        backend.upload(source=source, fragment=parse(f"{tmp_path}/target"), consume=True)
        assert (tmp_path / ("target/x" if what == "folder" else "target")).read_bytes() == b"x"
    assert not leftovers(tmp_path), "no copy of what was there is left"


def test_a_folder_that_cannot_be_replaced_in_two_steps_is_put_back(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target/old").touch()
    (tmp_path / "source").mkdir()
    rename = os.rename

    def fail(one: Path, other: Path) -> None:
        if one == tmp_path / "source":
            raise OSError(errno.EIO, "Input/output error")
        rename(one, other)

    monkeypatch.setattr(sys, "platform", "plan9")
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(TransferError, match="Input/output error"):
        backend.upload(source=tmp_path / "source", fragment=parse(f"{tmp_path}/target"), consume=True)
    assert os.listdir(tmp_path / "target") == ["old"]


def test_another_failure_of_a_move_is_told(backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "source").write_bytes(b"x")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(TransferError, match="Input/output error"):
        backend.upload(source=tmp_path / "source", fragment=parse(f"{tmp_path}/target"), consume=True)
