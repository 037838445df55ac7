"""Copies are given as they were kept, or not at all."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import stat
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from kedro_statisfactory.backends.cache import ContentCache, Copy, Key, copies, names, room
from kedro_statisfactory.errors import InvalidSettings
from tests.backends.cache.conftest import CONTENT, KEY, cache_of

Keep = Callable[..., Copy]


def lent(cache: ContentCache, folder: Path, copy: Copy | None) -> Path | None:
    """Where a copy is lent; ``None``: it is not."""
    target = folder / f"lent-{len(os.listdir(folder))}"
    is_lent = copy is not None and cache.lend(copy, target)
    assert is_lent == target.exists()
    return target if is_lent else None


def test_what_was_kept_is_lent_as_a_link(cache: ContentCache, keep: Keep, tmp_path: Path) -> None:
    kept = keep()
    found = cache.find(KEY)
    assert found == kept
    assert found.fingerprint == '"abc"'
    target = lent(cache, tmp_path, found)
    assert target is not None
    assert target.samefile(kept.path)
    assert target.read_bytes() == cache.read(found) == CONTENT
    assert keep() == kept, "the same is not kept twice"


def test_what_is_lent_stays_when_the_cache_is_emptied(cache: ContentCache, keep: Keep, tmp_path: Path) -> None:
    kept = keep()
    target = lent(cache, tmp_path, kept)
    shutil.rmtree(tmp_path / "cache")
    assert target is not None
    assert target.read_bytes() == CONTENT
    assert cache.find(KEY) is None
    assert lent(cache, tmp_path, kept) is None
    assert cache.read(kept) is None
    cache.note(kept, "commit")
    assert keep() is not None


def test_bytes_are_kept_too(cache: ContentCache) -> None:
    kept = cache.keep(KEY, CONTENT, "abc", zlib.crc32(CONTENT))
    assert kept is not None
    assert cache.read(kept) == CONTENT


def test_what_may_be_changed_is_no_link(cache: ContentCache, keep: Keep, tmp_path: Path) -> None:
    kept = keep()
    target = tmp_path / "private"
    assert cache.lend(kept, target, private=True)
    target.write_bytes(b"changed")
    assert cache.read(kept) == CONTENT


@pytest.mark.parametrize(("content", "fingerprint"), [(b"small", "abc"), (CONTENT, 'W/"abc"'), (CONTENT, "a" * 121)])
def test_what_is_small_or_has_no_sure_name_is_not_kept(keep: Keep, content: bytes, fingerprint: str) -> None:
    assert keep(content, fingerprint) is None


def changed_in_place(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"C")
    path.chmod(0o400)


def changed_through_memory(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[0:1] = b"C"


def truncated(path: Path) -> None:
    os.truncate(path, 100)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replaced(path: Path) -> None:
    other = path.parent / "other"
    other.write_bytes(b"C" * len(CONTENT))
    os.utime(other, ns=(0, copies._MODIFIED))
    other.replace(path)


def replaced_by_a_link(path: Path) -> None:
    other = path.parent / "other"
    path.rename(other)
    changed_in_place(other)
    path.symlink_to(other)


DAMAGES = [changed_in_place, changed_through_memory, truncated, grown, replaced, replaced_by_a_link]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_is_dropped(
    cache: ContentCache, keep: Keep, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    kept = keep()
    damage(Path(kept.path))
    assert lent(cache, tmp_path, kept) is None
    assert cache.find(KEY) is None
    again = keep()
    damage(Path(again.path))
    assert cache.read(again) is None
    assert cache.find(KEY) is None
    damage(Path(keep().path))
    assert lent(cache, tmp_path, keep()) is not None, "it is kept anew in its place"


def from_a_backup(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy2(path, path.with_name("restored"))
    path.with_name("restored").replace(path)


def touched(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()


def from_before_a_crash(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "this_boot", lambda: "12345678")
    monkeypatch.setattr(names, "this_boot", lambda: "12345678")


@pytest.mark.parametrize("doubt", [from_a_backup, touched, from_before_a_crash])
def test_a_copy_in_doubt_is_read_and_compared(
    cache: ContentCache,
    keep: Keep,
    tmp_path: Path,
    doubt: Callable[[Path, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = keep()
    doubt(Path(kept.path), monkeypatch)
    target = lent(cache, tmp_path, kept)
    assert target is not None
    assert target.read_bytes() == CONTENT
    again = lent(cache, tmp_path, cache.find(KEY))
    assert again is not None
    assert again.samefile(target), "and is as good as new afterwards"


def test_an_interrupt_leaves_nothing_at_the_target(
    cache: ContentCache, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    kept = keep()
    monkeypatch.setattr("zlib.crc32", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.lend(kept, tmp_path / "target", private=True)
    assert not (tmp_path / "target").exists()


def test_as_many_states_of_an_object_are_kept_as_can_be_asked_for(cache: ContentCache, keep: Keep) -> None:
    keep(fingerprint="one")
    keep(fingerprint="two")
    assert cache.find(KEY, "one") is None
    found = cache.find(KEY)
    assert found is not None
    assert found.fingerprint == "two"
    several = Key("lakefs http://server", "repository/path", states=2)
    for fingerprint in ("one", "two"):
        keep(fingerprint=fingerprint, key=several)
    keep(fingerprint="one", key=several)  # which is used last thereby
    keep(fingerprint="three", key=several)
    assert [cache.find(several, each) is not None for each in ("one", "two", "three")] == [True, False, True]


def test_what_a_commit_holds_need_not_be_asked(cache: ContentCache, keep: Keep) -> None:
    several = Key("lakefs http://server", "repository/path", states=2)
    one, two = (keep(fingerprint=each, key=several) for each in ("one", "two"))
    assert cache.find_at(several, "commit 1") is None
    cache.note(one, "commit 1")
    cache.note(two, "commit 2", "1234")
    assert cache.find_at(several, "commit 1") == (one, "")
    assert cache.find_at(several, "commit 2") == (two, "1234")
    room.drop(two)
    assert cache.find_at(several, "commit 2") is None
    two = keep(fingerprint="two", key=several)
    for number in range(copies._MOST_STATES):
        cache.note(two, f"later {number}")
    assert cache.find_at(several, "commit 1") is None, "which is asked for again, since there are too many"


def test_two_that_keep_the_same_at_once_do_not_mind(
    cache: ContentCache, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks before the other has kept something; and a file that came from elsewhere may have a name already."""
    link = os.link

    def with_company(source: Path, target: str) -> None:
        monkeypatch.undo()
        monkeypatch.setenv("STATISFACTORY_CACHE", str(tmp_path / "cache"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).write_bytes(b"of another's")
        assert keep() is not None
        link(source, target)

    monkeypatch.setattr(os, "link", with_company)
    kept = keep()
    assert lent(cache, tmp_path, kept) is not None


def test_a_copy_that_goes_while_it_is_looked_at_is_none(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError

    kept = keep()
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", gone)
        found = copies._is_good(kept), copies._used(kept)
    assert found == (False, 0)


def test_a_folder_that_is_removed_again_and_again_is_a_warning(
    keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: None)
    (Path(os.environ["STATISFACTORY_CACHE"]) / "v1").mkdir(parents=True, mode=0o700)
    assert keep() is None
    assert "removed again and again" in caplog.text


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EPERM])
def test_a_copy_is_made_where_there_are_no_links(
    cache: ContentCache, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(error, "no links here")

    monkeypatch.setattr(os, "link", no_link)
    source = tmp_path / "staged"
    source.write_bytes(CONTENT)
    kept = cache.keep(KEY, source, "abc", zlib.crc32(CONTENT))
    assert kept is not None
    assert source.stat().st_mode & 0o200, "it is the format's own"
    before = os.stat(kept.path)
    target = lent(cache, tmp_path, kept)
    assert target is not None
    assert target.read_bytes() == CONTENT
    assert os.stat(kept.path).st_ctime_ns >= before.st_ctime_ns
    assert os.listdir(tmp_path / "cache" / "v1" / "being-made") == []


def test_bytes_are_on_the_disk_where_a_crash_would_not_show(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    keep(fingerprint="one")
    assert not synced
    names.this_boot.cache_clear()
    monkeypatch.setattr(names, "_BOOT", Path("/nowhere"))
    try:
        keep(fingerprint="two")
    finally:
        names.this_boot.cache_clear()
    assert synced


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such modes")
def test_nobody_else_reads_the_cache_and_its_names_tell_nothing(
    cache: ContentCache, keep: Keep, tmp_path: Path
) -> None:
    secret = Key("s3 http://user:password@host", "secret-bucket/secret-key")
    keep(key=secret)
    found = list((tmp_path / "cache").rglob("*"))
    assert not any("secret" in os.fspath(path) or "password" in os.fspath(path) for path in found)
    assert stat.S_IMODE((tmp_path / "cache" / "v1").stat().st_mode) == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in found if path.is_file())


def test_a_cache_without_room_or_switched_off_has_nothing(
    cache: ContentCache, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keep() is not None
    off = cache_of(tmp_path, "0")
    assert off.find(KEY) is None
    assert off.find_at(KEY, "commit") is None
    assert off.keep(KEY, CONTENT, "abc", zlib.crc32(CONTENT)) is None
    monkeypatch.setenv("STATISFACTORY_CACHE", "off")
    assert cache.find(KEY) is keep() is None
    with pytest.raises(InvalidSettings, match="'much': write a number and a unit, as in '20 GiB'"):
        cache_of(tmp_path, "much")
