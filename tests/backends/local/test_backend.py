"""Files appear whole, stay after a loss of power, and keep what their owner gave them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import LocalFS
from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.errors import InvalidURL, ObjectNotFound, PermissionDenied, TransferError
from kedro_statisfactory.location import parse
from tests.backends.local.conftest import leftovers


def test_parents_are_created(backend: LocalFS, tmp_path: Path) -> None:
    backend.put(payload=b"x", fragment=parse(f"{tmp_path}/a/b/c.bin"))
    assert (tmp_path / "a/b/c.bin").read_bytes() == b"x"


def test_a_home_folder_is_expanded(backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    backend.put(payload=b"x", fragment=parse("~/x.bin"))
    assert (tmp_path / "x.bin").exists()


def test_a_new_file_has_the_mode_that_the_umask_leaves(backend: LocalFS, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        backend.put(payload=b"x", fragment=parse(f"{tmp_path}/x"))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="MISSING: only root can give a file away")
def test_a_replaced_file_keeps_its_mode_and_owner(backend: LocalFS, tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")
    target.chmod(0o604)
    os.chown(target, 12345, 54321)
    backend.put(payload=b"new", fragment=parse(str(target)))
    found = target.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o604, 12345, 54321)


def test_a_link_stays_a_link(backend: LocalFS, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real/x")
    backend.put(payload=b"new", fragment=parse(f"{tmp_path}/link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/x").read_bytes() == b"new"


def test_a_read_only_file_is_not_replaced(backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may always
    with pytest.raises(PermissionDenied, match="read-only"):
        backend.put(payload=b"new", fragment=parse(f"{tmp_path}/x"))
    assert (tmp_path / "x").read_bytes() == b"old"
    assert not leftovers(tmp_path)


def test_everything_is_on_the_disk_before_it_is_published(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        steps.append(f"sync {os.readlink(f'/proc/self/fd/{descriptor}')}")
        fsync(descriptor)

    def recorded_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    backend.put(payload=b"x", fragment=parse(f"{tmp_path}/a/x"))
    assert steps[0] == f"sync {tmp_path}", "the new folder's name"
    assert steps[1].startswith(f"sync {tmp_path}/a/.statisfactory-"), "the bytes"
    assert steps[2:] == ["rename", f"sync {tmp_path}/a"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "interrupt"]
)
def test_a_write_that_breaks_off_leaves_the_old_file_and_nothing_else(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    (tmp_path / "x").write_bytes(b"old")

    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((TransferError, KeyboardInterrupt)):
        backend.put(payload=b"new", fragment=parse(f"{tmp_path}/x"))
    assert (tmp_path / "x").read_bytes() == b"old"
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("cause", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_synced_does_not_fail_a_save(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: int
) -> None:
    """CIFS, vboxsf and some FUSE file systems sync files, but no folders."""
    fsync = os.fsync

    def of_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(cause, os.strerror(cause))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files)
    for payload in (b"old", b"new"):
        backend.put(payload=payload, fragment=parse(f"{tmp_path}/a/x"))
        assert (tmp_path / "a/x").read_bytes() == payload
    (tmp_path / "source").mkdir()
    backend.upload(source=tmp_path / "source", fragment=parse(f"{tmp_path}/folder"))
    backend.delete(fragment=parse(f"{tmp_path}/a/x"))
    cause = errno.EIO
    with pytest.raises(TransferError, match="Input/output error"):
        backend.put(payload=b"new", fragment=parse(f"{tmp_path}/a/x"))


@pytest.mark.parametrize("cause", [errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_an_owner_or_mode_that_cannot_be_kept_does_not_fail_a_save(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: int
) -> None:
    """Containers do not map all ids, and some mounts know neither owners nor modes."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(cause, os.strerror(cause))

    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2770)
    for target in (tmp_path / "x", shared / "x"):
        target.write_bytes(b"old")
        os.chown(target, 12345, 54321)
        target.chmod(0o604)
    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    for target in (tmp_path / "x", shared / "x"):
        (tmp_path / "source").write_bytes(b"new")
        backend.upload(source=tmp_path / "source", fragment=parse(str(target)), consume=True)
        assert target.read_bytes() == b"new"
    cause = errno.EIO
    os.chmod(tmp_path / "x", 0o604)
    with pytest.raises(TransferError, match="Input/output error"):
        backend.put(payload=b"newer", fragment=parse(f"{tmp_path}/x"))


def test_a_folder_in_the_way_is_named(backend: LocalFS, tmp_path: Path) -> None:
    (tmp_path / "x/inside").mkdir(parents=True)
    with pytest.raises(TransferError, match="is a folder"):
        backend.put(payload=b"", fragment=parse(f"{tmp_path}/x"))
    with pytest.raises(TransferError, match="is a folder"):
        backend.get(fragment=parse(f"{tmp_path}/x"))


def test_a_file_in_the_way_of_a_folder_is_named(backend: LocalFS, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"precious")
    with pytest.raises(TransferError, match="already there"):
        backend.put(payload=b"", fragment=parse(f"{tmp_path}/x/deep/y"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(TransferError, match="already there"):
        backend.upload(source=tmp_path / "folder", fragment=parse(f"{tmp_path}/x"))
    assert (tmp_path / "x").read_bytes() == b"precious"
    assert not backend.exists(fragment=parse(f"{tmp_path}/x/deep/y"))
    with pytest.raises(ObjectNotFound):
        backend.get(fragment=parse(f"{tmp_path}/x/deep/y"))


def test_a_pipe_is_no_place_for_data(backend: LocalFS, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TransferError, match="regular file"):
        backend.put(payload=b"", fragment=parse(f"{tmp_path}/pipe"))


def test_what_the_system_forbids_is_permission_denied(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", deny)
    with pytest.raises(PermissionDenied, match="does not allow"):
        backend.exists(fragment=parse(f"{tmp_path}/x"))


def test_a_listing_that_is_not_allowed_is_no_empty_one(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(PermissionDenied):
        next(backend.list(fragment=parse(str(tmp_path))))


def test_a_listing_passes_over_what_is_not_published(backend: LocalFS, tmp_path: Path) -> None:
    names = [".statisfactory-x.json", "x", "x.statisfactory-0123456789ab"]
    for name in (*names, f"{STAGING_NAME}0123456789ab", f"{STAGING_NAME}a_b2c3d4/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [info.path for info in backend.list(fragment=parse(str(tmp_path)))] == names


def test_what_is_made_in_a_folder_of_a_group_belongs_to_the_group(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, user, group, **_: given.append((Path(path).name, group)))
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2770)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/x").write_bytes(b"x")
    backend.upload(source=tmp_path / "source", fragment=parse(f"{tmp_path}/shared/y"), consume=True)
    group = (tmp_path / "shared").stat().st_gid
    assert given == [("source", group), ("x", group)]
    assert (tmp_path / "shared/y").stat().st_mode & stat.S_ISGID


def test_a_link_in_a_folder_may_lead_nowhere_and_a_file_may_be_read_only(backend: LocalFS, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "gone").symlink_to("nowhere")
    (source / "x").write_bytes(b"x")
    (source / "x").chmod(0o444)
    backend.upload(source=source, fragment=parse(f"{tmp_path}/target"), consume=True)
    assert (tmp_path / "target/x").read_bytes() == b"x"
    assert os.readlink(tmp_path / "target/gone") == "nowhere"


def test_a_name_that_is_no_users_home_is_a_name(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backend.put(payload=b"x", fragment=parse("~nobody-of-this-name.csv"))
    assert os.listdir(tmp_path) == ["~nobody-of-this-name.csv"]


def test_a_file_in_the_way_of_a_folder_is_told(backend: LocalFS, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(TransferError, match="already there and is no folder: move it away"):
        backend.put(payload=b"", fragment=parse(f"{tmp_path}/x/y"))


def test_the_host_of_a_file_url_is_this_one(backend: LocalFS, tmp_path: Path) -> None:
    backend.put(payload=b"x", fragment=parse(f"file://localhost{tmp_path}/x"))
    assert (tmp_path / "x").exists()
    with pytest.raises(InvalidURL, match="three slashes"):
        backend.get(fragment=parse("file://data/x.csv"))


def test_a_tilde_behind_the_project_is_the_home_folder(
    backend: LocalFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kedro puts the folder of the project in front of a path before an entry sees it."""
    project, home = tmp_path / "project", tmp_path / "home"
    for folder in (project, home):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (project / "pyproject.toml").write_text("[tool.kedro]\n")
    backend.put(payload=b"x", fragment=parse(f"{project}/~/data/x"))
    assert (home / "data/x").read_bytes() == b"x"
    assert not (project / "~").exists()
    with pytest.raises(InvalidURL, match="a folder '~'"):
        backend.put(payload=b"x", fragment=parse(f"{home}/~/x"))
    assert not (home / "~").exists()
