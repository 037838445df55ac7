"""The cache is bounded, and what was used last stays."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from kedro_statisfactory.backends.cache import ContentCache, Copy, Key, room
from tests.backends.cache.conftest import CONTENT, cache_of

Keep = Callable[..., Copy]
_Usage = namedtuple("_Usage", "total used free")


def keys(number: int) -> list[Key]:
    """So many locations."""
    return [Key("s3 http://store", f"bucket/{each}") for each in range(number)]


def there(cache: ContentCache, locations: list[Key]) -> list[int]:
    """The numbers of the locations that have a copy."""
    return [number for number, key in enumerate(locations) if cache.find(key)]


def root_of(folder: Path) -> str:
    """The folder with all copies."""
    return os.fspath(folder / "cache" / "v1")


def bytes_in(folder: Path) -> int:
    """Bytes of all copies."""
    return sum(status.st_size for _, status in room.all_copies(root_of(folder)))


def test_what_was_used_last_stays(cache: ContentCache, tmp_path: Path, keep: Keep) -> None:
    cache.__dict__["_size"] = 4 * len(CONTENT)
    locations = keys(6)
    for key in locations[:4]:
        keep(key=key)
    first = cache.find(locations[0])
    assert first is not None
    assert cache.lend(first, tmp_path / "lent")  # which is a use
    keep(key=locations[4])
    assert there(cache, locations) == [0, 3, 4]
    assert bytes_in(tmp_path) == 3 * len(CONTENT)
    keep(key=locations[5])
    assert there(cache, locations) == [0, 3, 4, 5], "there is room for one more before any other goes"


def test_what_was_replaced_takes_no_room_from_others(cache: ContentCache, keep: Keep) -> None:
    cache.__dict__["_size"] = 4 * len(CONTENT)
    locations = keys(2)
    keep(key=locations[0])
    for number in range(6):
        keep(key=locations[1], fingerprint=f"{number}")
    assert there(cache, locations) == [0, 1]


def test_it_is_never_more_than_a_tenth_of_what_is_free(
    cache: ContentCache, tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    locations = keys(4)
    for key in locations[:2]:
        assert keep(key=key)
    # With what the cache takes 20 copies would fit on the disk.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(0, 0, 18 * len(CONTENT)))
    assert keep(key=locations[2])
    assert there(cache, locations) == [2]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(0, 0, 0))
    assert keep(key=locations[3]) is None
    assert there(cache, locations) == [], "and what is there makes room for others"


def test_what_would_take_all_of_it_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATISFACTORY_CACHE", str(tmp_path / "cache"))
    assert cache_of(tmp_path, "200 KiB").keep(keys(1)[0], CONTENT, "abc", 0) is None


def test_a_location_leaves_nothing_behind(cache: ContentCache, tmp_path: Path, keep: Keep) -> None:
    several = Key("lakefs http://server", "repository/path", states=2)
    one, two = keep(key=several, fingerprint="one"), keep(key=several, fingerprint="two")
    cache.note(one, "commit")
    folder = Path(one.path).parent
    room.drop(two)
    assert folder.is_dir()
    room.drop(one)
    assert not folder.exists()
    room.drop(one)  # which another process has dropped


def test_everything_can_be_dropped(cache: ContentCache, tmp_path: Path, keep: Keep) -> None:
    room.drop_everything(os.fspath(tmp_path))
    keep()
    room.drop_everything(root_of(tmp_path))
    assert bytes_in(tmp_path) == 0
    assert keep() is not None


def test_copies_that_go_while_they_are_counted_do_no_harm(
    tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep()

    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", gone)
        assert list(room.all_copies(root_of(tmp_path))) == []
    assert list(room.all_copies(os.fspath(tmp_path / "nowhere"))) == []


def test_what_is_noted_beside_a_copy_is_none(cache: ContentCache, tmp_path: Path, keep: Keep) -> None:
    kept = keep()
    cache.note(kept, "commit")
    assert [copy for copy, _ in room.all_copies(root_of(tmp_path))] == [kept]
    assert room.drop_oldest(root_of(tmp_path), 0) == 0
    assert list(room.all_copies(root_of(tmp_path))) == []
