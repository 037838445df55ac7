"""A file that is published has the access control lists and attributes that it would have if written in its place."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import LocalFS
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.datasets.test_sets import Parts

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_NOBODY_IN_PARTICULAR = 0xFFFFFFFF
_OWNER, _USER, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20


def letting_in(user: int) -> bytes:
    """An access control list, as acl(5) has it on the disk, by which another user may read and write."""
    entries = [
        (_OWNER, 6, _NOBODY_IN_PARTICULAR),
        (_USER, 6, user),
        (_GROUP, 4, _NOBODY_IN_PARTICULAR),
        (_MASK, 6, _NOBODY_IN_PARTICULAR),
        (_OTHERS, 0, _NOBODY_IN_PARTICULAR),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path) -> None:
    """What a format saves is staged in the folder of the project, and moved from there."""
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    (tmp_path / "data").mkdir()
    try:
        os.setxattr(tmp_path / "data", DEFAULT, letting_in(4711))
        os.removexattr(tmp_path / "data", DEFAULT)
    except (OSError, AttributeError) as error:
        pytest.skip(f"NOT TESTED: the file system of {tmp_path} has no access control lists ({error}).")


def attributes(path: Path) -> dict[str, bytes]:
    found = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    return {**found, "mode": oct(path.stat().st_mode).encode()}


def by_hand(folder: Path, name: str = "by hand") -> dict[str, bytes]:
    """The attributes of a file that is written in its place."""
    (folder / name).write_text("x")
    found = attributes(folder / name)
    (folder / name).unlink()
    return found


def save(path: Path, text: str = "new") -> None:
    ArtifactDataset(filepath=str(path), dataset="text.TextDataset").save(text)


def test_a_new_file_gets_what_its_folder_gives(tmp_path: Path) -> None:
    os.setxattr(tmp_path / "data", DEFAULT, letting_in(4711))
    expected = by_hand(tmp_path / "data")
    assert ACCESS in expected
    save(tmp_path / "data" / "saved")
    LocalFS(Session()).put(payload=b"x", fragment=parse(f"{tmp_path}/data/put"))
    for name in ("saved", "put"):
        assert attributes(tmp_path / "data" / name) == expected
    assert sorted(os.listdir(tmp_path / "data")) == ["put", "saved"]


def test_a_new_file_gets_nothing_of_the_folder_in_which_it_was_made(tmp_path: Path) -> None:
    (tmp_path / ".statisfactory").mkdir()
    os.setxattr(tmp_path / ".statisfactory", DEFAULT, letting_in(4711))
    save(tmp_path / "data" / "x")
    assert attributes(tmp_path / "data" / "x") == by_hand(tmp_path / "data")


@pytest.mark.parametrize("default", [None, letting_in(1)])
@pytest.mark.parametrize("lists", [None, letting_in(4711)])
def test_a_file_that_is_replaced_keeps_its_own(tmp_path: Path, default: bytes | None, lists: bytes | None) -> None:
    path = tmp_path / "data" / "x"
    path.write_text("old")
    path.chmod(0o640)
    os.setxattr(path, "user.label", b"secret")
    if lists:
        os.setxattr(path, ACCESS, lists)
    if default:
        os.setxattr(tmp_path / "data", DEFAULT, default)
    expected = attributes(path)
    save(path)
    assert (path.read_text(), attributes(path)) == ("new", expected)
    LocalFS(Session()).put(payload=b"newer", fragment=parse(str(path)))
    assert (path.read_text(), attributes(path)) == ("newer", expected)


def test_what_is_in_a_new_folder_gets_what_the_folder_above_gives(tmp_path: Path) -> None:
    os.setxattr(tmp_path / "data", DEFAULT, letting_in(4711))
    (tmp_path / "data" / "by hand" / "deep").mkdir(parents=True)
    expected = by_hand(tmp_path / "data" / "by hand" / "deep")
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (source / name).write_text(name)
    (source / "link").symlink_to("a")
    LocalFS(Session()).upload(source=source, fragment=parse(f"{tmp_path}/data/folder"), consume=True)
    made = tmp_path / "data" / "folder"
    assert attributes(made / "a") == attributes(made / "deep" / "b") == expected
    assert attributes(made / "deep") == attributes(tmp_path / "data" / "by hand" / "deep")
    assert sorted(os.listdir(made)) == ["a", "deep", "link"]


def test_a_folder_that_is_replaced_keeps_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "folder"
    entry = ArtifactDataset(filepath=str(folder), dataset=Parts)
    entry.save(["a"])
    os.setxattr(folder, DEFAULT, letting_in(4711))
    os.setxattr(folder / "a", "user.label", b"secret")
    of_folder, of_a, expected = attributes(folder), attributes(folder / "a"), by_hand(folder)
    entry.save(["a", "b"])
    assert attributes(folder) == of_folder
    assert attributes(folder / "a") == of_a
    assert attributes(folder / "b") == expected


@pytest.mark.parametrize("cause", [errno.ENOTSUP, errno.EPERM])
def test_attributes_that_cannot_be_kept_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: int
) -> None:
    path = tmp_path / "data" / "x"
    path.write_text("old")
    os.setxattr(path, "user.label", b"secret")
    os.setxattr(path, ACCESS, letting_in(4711))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(cause, "")

    for name in ("setxattr", "removexattr"):
        monkeypatch.setattr(os, name, refuse)
    save(path)
    assert path.read_text() == "new"
    monkeypatch.setattr(os, "listxattr", refuse)
    save(path, "newer")
    monkeypatch.delattr(os, "listxattr")  # a system without any
    save(path, "newest")
    assert path.read_text() == "newest"
