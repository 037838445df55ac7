"""What large transfers are made of: parts that fill a file or memory, and work on other threads."""

from __future__ import annotations

import errno
import functools
import gc
import os
import threading
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.part_writer import PartBuffer, PartFile, PartWriter
from kedro_statisfactory.backends.transfer import Part
from kedro_statisfactory.errors import IntegrityError

GO_ON = threading.Event()


@pytest.fixture(params=["a file", "memory"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> PartWriter:
    return PartFile(tmp_path / "x") if request.param == "a file" else PartBuffer()


def test_parts_may_come_in_any_order(writer: PartWriter) -> None:
    writer.begin(9)
    writer.fill(Part(2, 5, 4), [b"fg", b"", b"hi"], GO_ON)
    writer.fill(Part(1, 0, 5), [b"abcde"], GO_ON)
    assert b"".join(writer.chunks()) == b"abcdefghi"
    assert writer.crc32() == zlib.crc32(b"abcdefghi")


def test_nothing_is_left_of_an_attempt_before(writer: PartWriter) -> None:
    for content in (b"a long one", b"short"):
        writer.begin(len(content))
        writer.fill(Part(1, 0, len(content)), [content], GO_ON)
    assert b"".join(writer.chunks()) == b"short"
    assert writer.crc32() == zlib.crc32(b"short")


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "in parts"])
def test_what_others_read_by_a_link_is_not_written_to(tmp_path: Path, is_whole: bool) -> None:
    (tmp_path / "kept").write_bytes(b"kept")
    os.link(tmp_path / "kept", tmp_path / "x")
    file = PartFile(tmp_path / "x")
    if is_whole:
        file.write(b"new")
    else:
        file.begin(3)
        file.fill(Part(1, 0, 3), [b"new"], GO_ON)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert (tmp_path / "kept").read_bytes() == b"kept"


@pytest.mark.parametrize("chunks", [[b"ab", b"c"], [b"abcd", b"e"], []], ids=["shorter", "longer", "nothing"])
def test_a_part_of_another_length_is_an_error_and_touches_no_other_part(
    writer: PartWriter, chunks: list[bytes]
) -> None:
    writer.begin(8)
    writer.fill(Part(2, 4, 4), [b"efgh"], GO_ON)
    with pytest.raises(IntegrityError, match="longer or shorter"):
        writer.fill(Part(1, 0, 4), chunks, GO_ON)
    assert b"".join(writer.chunks())[4:] == b"efgh"


def test_a_full_disk_is_known_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left"):
        PartFile(tmp_path / "x").begin(transfer.SMALL + 1)
    PartFile(tmp_path / "small").begin(transfer.SMALL)  # costs nothing to try


@pytest.mark.parametrize("how", ["by this file system", "by this system"])
def test_a_file_whose_blocks_cannot_be_got_at_once_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    if how == "by this system":
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    file, size = PartFile(tmp_path / "x"), transfer.SMALL + 1
    file.begin(size)
    file.fill(Part(1, 0, size), [bytes(size)], GO_ON)
    assert (tmp_path / "x").read_bytes() == bytes(size)


def test_work_beside_gives_its_result_or_its_error_to_who_asks_and_is_waited_for_by_nobody_else() -> None:
    hold = threading.Event()

    def fail() -> None:
        raise KeyError("x")

    assert transfer.beside(lambda: 5).result() == 5
    with pytest.raises(KeyError):
        transfer.beside(fail).result()
    running = transfer.beside(hold.wait)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "statisfactory")
    assert not running.done()
    hold.set()
    assert running.result()


def test_an_error_of_one_item_stops_the_others_and_is_the_one_that_is_raised() -> None:
    begun: list[int] = []

    def work(item: int, stop: threading.Event) -> None:
        begun.append(item)
        if item == 0:
            raise KeyError("the first")
        stop.wait()

    with pytest.raises(KeyError, match="the first"):
        transfer.in_parallel(work, range(20), 2)
    assert len(begun) < 20


def test_an_interrupt_does_not_wait_for_what_hangs_and_nothing_more_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, hold, both, ended = list[int](), threading.Event(), threading.Barrier(3), threading.Semaphore(0)

    def hang(item: int, _: threading.Event) -> None:
        begun.append(item)
        both.wait()
        hold.wait()
        ended.release()

    def interrupt(*_: object, **__: object) -> None:
        both.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(transfer, "wait", interrupt)
    monkeypatch.setattr(transfer, "_PATIENCE", 0.01)
    with pytest.raises(KeyboardInterrupt):
        transfer.in_parallel(hang, range(20), 2)
    hold.set()
    assert ended.acquire(timeout=60)
    assert ended.acquire(timeout=60)
    assert sorted(begun) == [0, 1]


def test_who_works_for_one_that_was_stopped_is_stopped_too() -> None:
    stopped: list[str] = []
    stops: list[threading.Event] = []

    def inner(item: int, _: threading.Event) -> None:
        if item == 0:
            stops[0].wait()
        transfer.raise_if_stopped()
        stopped.append("not")

    def outer(item: int, stop: threading.Event) -> None:
        if item == 0:
            stops.append(stop)
            ready.set()
            try:
                transfer.in_parallel(inner, range(3), 1)
            except transfer.Stopped:
                stopped.append("stopped")
                raise
        ready.wait()
        raise KeyError("of the second")

    ready = threading.Event()
    with pytest.raises(KeyError, match="of the second"):
        transfer.in_parallel(outer, range(2), 2)
    assert stopped == ["stopped"]
    transfer.raise_if_stopped()  # the thread of the caller is not


def test_what_is_ended_behind_is_begun_in_order_and_only_while_there_is_room() -> None:
    under_way, most, ended = set[int](), list[int](), list[int]()

    def begin(item: int) -> Callable[[], None]:
        under_way.add(item)
        most.append(len(under_way))

        def end() -> None:
            ended.append(item)
            under_way.remove(item)

        return end

    with transfer.behind(3) as hand_in:
        for item in range(50):
            hand_in(functools.partial(begin, item))
    assert sorted(ended) == list(range(50))
    assert under_way == set()
    assert 1 <= max(most) <= 3


def test_the_first_that_fails_behind_is_told_when_the_others_have_ended() -> None:
    ended, has_failed = list[str](), threading.Event()

    class Failed(Exception):
        pass

    def fail() -> None:
        has_failed.set()
        raise Failed

    def succeed() -> None:
        has_failed.wait()
        ended.append("the other")

    with pytest.raises(Failed) as caught:
        _end_behind([succeed, fail])
    assert ended == ["the other"]
    failed = weakref.ref(caught.value)
    gc.disable()
    try:
        del caught
        assert failed() is None, "it does not refer to itself"
    finally:
        gc.enable()


@pytest.mark.timeout(30)
def test_where_no_thread_can_be_started_nothing_is_begun_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = list[int]()

    def begin() -> Callable[[], None]:
        begun.append(1)
        return begun.clear

    monkeypatch.setattr(transfer, "_start", Mock(side_effect=RuntimeError("can't start new thread")))
    with pytest.raises(RuntimeError, match="new thread"), transfer.behind(2) as hand_in:
        hand_in(begin)
    assert begun == []


def test_an_interrupt_does_not_wait_for_what_hangs_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_PATIENCE", 0.01)
    hold, ended = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        hold.wait()
        ended.release()

    def interrupt() -> Callable[[], None]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _end_behind([hang], interrupt)
    assert not ended.acquire(blocking=False)
    hold.set()
    assert ended.acquire(timeout=60)


def _end_behind(ends: list[Callable[[], None]], last: Callable[[], Callable[[], None]] | None = None) -> None:
    def begin(end: Callable[[], None]) -> Callable[[], None]:
        return end

    with transfer.behind(2) as hand_in:
        for end in ends:
            hand_in(functools.partial(begin, end))
        if last:
            hand_in(last)
