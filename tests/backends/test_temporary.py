"""What killed processes have left is removed by the next one, and nothing else is."""

from __future__ import annotations

import errno
import multiprocessing
import os
import secrets
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import temporary
from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.backends.temporary import Temporary, new_file, new_folder, sweep
from kedro_statisfactory.errors import TransferError

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def _make_and_wait(parent: Path, made: Any) -> None:
    new_folder(parent)
    new_file(parent)
    made.set()
    signal.pause()


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has swept nothing yet."""
    monkeypatch.setattr(temporary, "_swept", set())


def names(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir())


def test_what_a_living_process_needs_stays_and_goes_when_it_is_killed(tmp_path: Path, forget: None) -> None:
    context = multiprocessing.get_context("fork")
    made = context.Event()
    process = context.Process(target=_make_and_wait, args=(tmp_path, made), daemon=True)
    process.start()
    assert made.wait(60)
    theirs = names(tmp_path)
    assert len(theirs) == 2
    assert sweep(tmp_path) == []
    assert names(tmp_path) == theirs
    process.kill()
    process.join(60)
    ours = new_folder(tmp_path)
    assert names(tmp_path) == [ours.path.name], "whoever makes something sweeps before that"
    ours.remove()
    assert names(tmp_path) == []


def test_a_process_sweeps_a_folder_once(tmp_path: Path, forget: None) -> None:
    new_folder(tmp_path).remove()
    left = _left_behind(tmp_path)
    new_folder(tmp_path).remove()
    assert left.exists()
    assert sweep(tmp_path) == [left]


def test_a_process_does_not_remember_folders_without_end(
    tmp_path: Path, forget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_MOST_FOLDERS", 2)
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        new_folder(tmp_path / str(number)).remove()
    assert len(temporary._swept) <= 2


def _left_behind(parent: Path) -> Path:
    """What a process that is gone has left."""
    left = new_folder(parent)
    assert left.lock is not None
    os.close(left.lock)
    (left.path / "data").write_text("half of it")
    return left.path


def test_only_what_was_made_here_is_removed(tmp_path: Path) -> None:
    others = [".statisfactory", "x", *(f"{STAGING_NAME}{end}" for end in ("abcdefgh", "0" * 12, "z" * 10))]
    for name in others:
        (tmp_path / name).mkdir()
    left = _left_behind(tmp_path)
    assert sweep(tmp_path) == [left]
    assert names(tmp_path) == sorted(others)


def test_what_belongs_to_another_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = _left_behind(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: left.stat().st_uid + 1)
    assert sweep(tmp_path) == []
    assert left.exists()


def test_a_folder_that_is_not_there_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(tmp_path / "no such folder") == []


def test_where_there_are_no_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    left = _left_behind(tmp_path)

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", unsupported)
        assert sweep(tmp_path) == []
        made = new_folder(tmp_path)
        assert made.lock is None
        made.remove()
    monkeypatch.setattr(temporary, "_HAS_LOCKS", False)  # Windows
    assert sweep(tmp_path) == []
    assert new_file(tmp_path).lock is None
    assert left.exists()


@pytest.mark.parametrize("others", ["take the lock", "remove it", "replace it"])
def test_one_that_was_swept_before_it_had_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    """Between the making and the lock another process may sweep."""
    import fcntl

    open_descriptor, calls = os.open, 0

    def interfered(path: Any, flags: int, *mode: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            return open_descriptor(path, flags, *mode)
        if others == "take the lock":
            theirs = open_descriptor(path, os.O_RDONLY)
            fcntl.flock(theirs, fcntl.LOCK_EX)
        if others == "remove it":
            Path(path).rmdir()
        descriptor = open_descriptor(path, flags, *mode) if others != "remove it" else open_descriptor(path, flags)
        if others == "replace it":
            Path(path).rmdir()
            Path(path).mkdir()
        return descriptor

    monkeypatch.setattr(os, "open", interfered)
    made = new_folder(tmp_path)
    monkeypatch.undo()
    assert made.path.is_dir()
    assert made.lock is not None
    assert os.path.samestat(os.fstat(made.lock), made.path.stat())


def test_a_name_that_is_taken_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = new_file(tmp_path)
    tokens = iter([taken.path.name.removeprefix(STAGING_NAME), "0123456789"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(tokens))
    assert new_folder(tmp_path).path.name == f"{STAGING_NAME}0123456789"


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_what_is_gone_already_can_be_removed(tmp_path: Path, make: Callable[[Path], Temporary]) -> None:
    made = make(tmp_path)
    made.path.rename(tmp_path / "published")
    made.remove()
    assert names(tmp_path) == ["published"]


def test_a_path_is_used_again(tmp_path: Path) -> None:
    made = new_folder(tmp_path)
    made.remove()
    assert new_folder(path=made.path).path == made.path


def test_without_a_folder_it_is_the_one_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert new_folder().path.parent == tmp_path


@pytest.mark.parametrize("how", ["removed", "made again"])
def test_what_somebody_has_removed_is_noticed(tmp_path: Path, how: str) -> None:
    made = new_folder(tmp_path)
    made.check()
    made.path.rmdir()
    if how == "made again":
        made.path.mkdir()
    with pytest.raises(TransferError, match="somebody has removed"):
        made.check()
    made.remove()
    made.check()  # there is nothing to compare any more


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x").write_text("x")
    made = new_folder(tmp_path)
    made.path.rmdir()
    made.path.symlink_to(tmp_path / "data")
    made.remove()
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == ["x"]


def test_who_is_at_work_is_known_by_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = temporary.new_folder()
    assert not temporary.is_held("at-work")
    (folder.path / "at-work").touch()
    assert temporary.is_held("at-work")
    assert folder.lock is not None
    os.close(folder.lock)
    folder.lock = None
    assert not temporary.is_held("at-work"), "its process has ended"
    monkeypatch.setattr(temporary, "_HAS_LOCKS", False)
    assert not temporary.is_held("at-work"), "nobody knows"
    folder.remove()
