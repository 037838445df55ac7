"""Whatever is wrong with the cache, a load gives the right bytes, and each process gives one warning at most."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import signal
import sys
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends.cache import ContentCache, Copy, Key, copies, overview, place, room
from tests.backends.cache.conftest import CONTENT, KEY

Keep = Callable[..., Copy | None]
Fault = Callable[[Path, pytest.MonkeyPatch], None]


def failing(error: int) -> Callable[..., Any]:
    """What a call of the file system does that fails."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    return fail


def a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("no folder")


def a_file_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / place.LAYOUT).write_text("no folder")


def read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mkdir", failing(errno.EROFS))


def full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(errno.ENOSPC))


def full_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    monkeypatch.setattr(shutil, "copyfile", failing(errno.ENOSPC))


def open_to_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / place.LAYOUT).mkdir(parents=True)
    (folder / place.LAYOUT).chmod(0o755)


def writable_by_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / place.LAYOUT).mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)


def stale(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is on NFS, whose server does not know it any more."""
    monkeypatch.setattr(os, "link", failing(errno.ESTALE))


FAULTS = [
    a_file,
    a_file_in_it,
    read_only,
    full,
    full_elsewhere,
    open_to_others,
    writable_by_others,
    of_another_user,
    stale,
]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such modes, nor owners")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_cache_that_cannot_be_used_is_one_warning(
    cache: ContentCache, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fault(tmp_path / "cache", monkeypatch)
    source = tmp_path / "staged"
    for _ in range(2):
        source.write_bytes(CONTENT)
        assert cache.find(KEY) is None
        assert cache.keep(KEY, source, "abc", zlib.crc32(CONTENT)) is None
        assert source.read_bytes() == CONTENT
        assert source.stat().st_mode & 0o200, "a format may write to it as to any other"
    (record,) = caplog.records
    assert "STATISFACTORY_CACHE" in record.message


def test_a_copy_that_the_server_of_nfs_does_not_know_any_more_is_none(
    cache: ContentCache, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep()
    assert kept is not None
    with monkeypatch.context() as away:
        away.setattr(os, "link", failing(errno.ESTALE))
        away.setattr(copies, "open", failing(errno.ESTALE), raising=False)
        away.setattr(Path, "read_bytes", failing(errno.ESTALE))
        assert not cache.lend(kept, tmp_path / "lent")
        assert not (tmp_path / "lent").exists()
        assert cache.read(kept) is None
    assert cache.lend(kept, tmp_path / "lent"), "it was not dropped"


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATISFACTORY_CACHE", "~nobody-of-this-name/cache")
    assert place.cache_folder() is None


def test_the_folder_is_the_one_that_the_system_has_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STATISFACTORY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    found = {}
    for platform in ("linux", "darwin", "win32"):
        place._cache_folder.cache_clear()
        monkeypatch.setattr(sys, "platform", platform)
        found[platform] = place.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    found["xdg"] = place.cache_folder()
    place._cache_folder.cache_clear()
    assert found == {
        "linux": f"{tmp_path}/.cache/kedro-statisfactory",
        "darwin": f"{tmp_path}/Library/Caches/kedro-statisfactory",
        "win32": f"{tmp_path}/AppData/Local/kedro-statisfactory",
        "xdg": f"{tmp_path}/xdg/kedro-statisfactory",
    }


def test_a_process_that_was_killed_has_left_what_it_was_making(
    cache: ContentCache, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kedro_statisfactory.backends import temporary

    assert keep()
    left = tmp_path / "cache" / "v1" / "being-made" / ".statisfactory-0123456789"
    left.parent.mkdir()
    left.write_bytes(CONTENT)
    monkeypatch.setattr(temporary, "_swept", set())
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    assert keep(fingerprint="def")
    assert not left.exists()


def begun(work: Callable[[], None]) -> int:
    """Begin something in a process of its own; gives its id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """Wait for a process; gives 0, or how it failed or by which signal it was killed."""
    return os.waitpid(child, 0)[1]


# The audit events of calls that may change something.
_CHANGES = frozenset(
    "open os.chmod os.link os.mkdir os.remove os.rename os.rmdir os.truncate os.utime shutil.copyfile".split()
)


def killed_at(step: int) -> None:
    """Let this process be killed at one of the calls by which it changes something."""
    left = iter(range(step))

    def look(event: str, _: object) -> None:
        if event in _CHANGES and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
@pytest.mark.parametrize("has_links", [True, False])
def test_what_a_killed_process_leaves_is_a_copy_or_none(
    cache: ContentCache, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    assert keep(b"before " * 100_000, "before")
    seen = set()
    for step in range(200):

        def work(step: int = step) -> None:
            killed_at(step)
            keep()

        status = ended(begun(work))
        found = cache.find(KEY)
        assert found is not None
        seen.add(found.fingerprint)
        assert cache.read(found) == {"before": b"before " * 100_000, '"abc"': CONTENT}[found.fingerprint]
        if status == 0:
            break
        keep(b"before " * 100_000, "before")
    assert status == 0, "it was not killed any more in the end"
    assert step > 4
    assert seen == {"before", '"abc"'}


@pytest.mark.once
@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
def test_many_processes_at_once_get_what_was_kept_and_stay_within_the_limit(
    cache: ContentCache, keep: Keep, tmp_path: Path
) -> None:
    cache.__dict__["_size"] = 4 * len(CONTENT)

    def work(number: int) -> None:
        for turn in range(15):
            key = Key("s3 http://store", f"bucket/{turn % 6}")
            fingerprint = f"{turn % 3}"
            content = CONTENT[:-1] + fingerprint.encode()
            keep(content, fingerprint, key)
            found, target = cache.find(key), tmp_path / f"lent-{number}-{turn}"
            if found and cache.lend(found, target):
                assert target.read_bytes() == CONTENT[:-1] + found.fingerprint.encode()
            if number == 3 and turn % 5 == 4:
                room.drop_everything(os.fspath(tmp_path / "cache" / "v1"))

    children = [begun(functools.partial(work, number)) for number in range(4)]
    assert list(map(ended, children)) == [0] * 4
    keep(key=Key("s3 http://store", "bucket/last"))
    sizes = [status.st_size for _, status in room.all_copies(os.fspath(tmp_path / "cache" / "v1"))]
    assert sum(sizes) <= 8 * len(CONTENT)


def test_a_version_with_another_layout_has_copies_of_its_own(
    cache: ContentCache, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions of the package share the folder: neither takes, damages or removes what the other has kept."""
    kept = keep()
    with monkeypatch.context() as newer:
        newer.setattr(place, "LAYOUT", "v0")
        assert cache.find(KEY) is None
        other = keep(CONTENT[::-1], '"other"')
        assert other is not None
        assert cache.read(other) == CONTENT[::-1]
        overview.empty()
        assert cache.find(KEY) is None
    assert kept is not None
    assert cache.find(KEY) == kept
    assert cache.read(kept) == CONTENT
