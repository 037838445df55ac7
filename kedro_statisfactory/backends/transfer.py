"""Moving large objects in parts, side by side and in bounded memory; services bring the requests."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO, TypeVar

from kedro_statisfactory.backends import crc32
from kedro_statisfactory.errors import TransferError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

MEBIBYTE = 1 << 20

#: Objects up to this size travel in one request, and are held in memory once.
SMALL = 16 * MEBIBYTE
#: Size of a part that is fetched: larger ones amortise the request, smaller ones share out a slow connection.
DOWNLOAD_PART = 16 * MEBIBYTE
#: Size of a part that is sent, the least that S3 allows. Each worker holds one of them.
UPLOAD_PART = 5 * MEBIBYTE
#: Bytes that are read from a connection, and written to the disk, at a time.
CHUNK = MEBIBYTE
DOWNLOAD_WORKERS = 6
UPLOAD_WORKERS = 6

# Seconds that an interrupt waits for what is under way.
_PATIENCE = 2.0
_NAME = "statisfactory"  # of threads
_this_thread = threading.local()


@dataclass(frozen=True)
class Part:
    """A run of bytes of an object: ``offset`` and ``length`` in bytes, ``number`` counted from 1."""

    number: int
    offset: int
    length: int


def parts(size: int, length: int, most: int = 10_000) -> list[Part]:
    """Cut ``size`` bytes into parts of ``length``, or of more where there would be over ``most`` of them (S3's limit).

    >>> parts(10, 4)
    [Part(number=1, offset=0, length=4), Part(number=2, offset=4, length=4), Part(number=3, offset=8, length=2)]
    """
    length = max(length, -(-size // most))
    starts = range(0, size, length)
    return [Part(number, start, min(length, size - start)) for number, start in enumerate(starts, start=1)]


class Stopped(Exception):
    """Another part failed, or the user interrupted: the rest need not go on."""


def in_parallel(
    work: Callable[[_Item, threading.Event], _Result], items: Iterable[_Item], workers: int
) -> list[_Result]:
    """Do ``work`` for all items on ``workers`` threads.

    Args:
        work: Called with an item and an event; it should raise :class:`Stopped` soon after the event is set.
        items: What to work on.
        workers: Number of threads.

    Returns:
        The results in the order of the items.

    Raises:
        BaseException: The first error of any item, once all threads have ended: what waits for an answer has to get it,
            or to run into its time-out. Or the interrupt of the caller, which waits a few seconds at most, while the
            threads begin nothing any more; a second interrupt waits for nothing.
    """
    stop = threading.Event()
    stops = (*_stops(), stop)  # of those around this one, too
    tasks = [(item, Future[_Result]()) for item in items]
    futures = [future for _, future in tasks]
    waiting = deque(tasks)

    def run() -> None:
        _this_thread.stops = stops
        while True:
            try:
                item, future = waiting.popleft()
            except IndexError:
                return
            settle(future, functools.partial(_unless_stopped, work, item, stop))
            del future  # or what it failed with, and all that this refers to, would refer to itself

    # Nothing waits for them at the end of the process, which would wait for the slowest.
    threads = [_thread(run) for _ in range(min(workers, len(tasks)))]
    try:
        for thread in threads:
            thread.start()
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        while done:
            done.pop().result()
    except BaseException as error:
        stop.set()
        until = time.monotonic() + _PATIENCE
        for thread in filter(threading.Thread.is_alive, threads):
            thread.join(None if isinstance(error, Exception) else max(0.0, until - time.monotonic()))
        tasks.clear()
        futures.clear()
        raise
    for thread in threads:
        thread.join()
    return [future.result() for future in futures]


@contextlib.contextmanager
def behind(workers: int) -> Iterator[Callable[[Callable[[], Callable[[], object]]], None]]:
    """Let work be begun here, one after the other, and be ended on ``workers`` threads meanwhile.

    Gives what is called for each piece with what begins it, as soon as there is room for one more; that gives what
    ends it.

    Raises:
        BaseException: The first error of any piece, or of who hands them in, once the threads have ended.
    """
    begun: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()  # futures would take longer than to send a small object
    under_way = threads = 0

    def wait_for(most: int) -> None:
        nonlocal under_way
        while under_way > most:
            error = ended.get()
            under_way -= 1
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # or it would refer to itself

    def hand_in(begin: Callable[[], Callable[[], object]]) -> None:
        nonlocal threads, under_way
        wait_for(workers - 1)
        if under_way == threads:
            _start(functools.partial(_work_off, begun, ended))  # which may fail: nobody would end what was begun
            threads += 1
        begun.put(begin())
        under_way += 1

    try:
        yield hand_in
        wait_for(0)
    except BaseException as error:
        until = None if isinstance(error, Exception) else time.monotonic() + _PATIENCE
        with contextlib.suppress(Empty):
            while under_way:
                ended.get(timeout=until and max(0.0, until - time.monotonic()))
                under_way -= 1
        raise
    finally:
        for _ in range(threads):
            begun.put(None)


def _work_off(begun: SimpleQueue[Callable[[], object] | None], ended: SimpleQueue[BaseException | None]) -> None:
    """End what has been begun, one after the other, until there is no more."""
    while (end := begun.get()) is not None:
        ended.put(_error_of(end))
        del end  # with all that it holds


def _error_of(work: Callable[[], object]) -> BaseException | None:
    try:
        work()
    except BaseException as error:  # whatever it is, it belongs to who waits for the end of the work
        return error
    finally:
        del work
    return None


def raise_if_stopped() -> None:
    """For who is about to begin something on a thread of :func:`in_parallel`.

    Raises:
        Stopped: It need not be done any more.
    """
    if any(stop.is_set() for stop in _stops()):
        raise Stopped


def _unless_stopped(work: Callable[[_Item, threading.Event], _Result], item: _Item, stop: threading.Event) -> _Result:
    raise_if_stopped()
    return work(item, stop)


def _stops() -> tuple[threading.Event, ...]:
    stops: tuple[threading.Event, ...] = getattr(_this_thread, "stops", ())
    return stops


def settle(future: Future[_Result], work: Callable[[], _Result]) -> None:
    """Do ``work``, and let its result, or whatever it fails with, be that of a future."""
    try:
        future.set_result(work())
    except BaseException as error:  # whatever it is, it belongs to who asks for the result
        future.set_exception(error)
    finally:
        del future, work


def beside(work: Callable[[], _Result]) -> Future[_Result]:
    """Do ``work`` on a thread of its own for which nothing waits, not even the end of the process."""
    future: Future[_Result] = Future()
    _start(functools.partial(settle, future, work))
    return future


def _start(work: Callable[[], None]) -> None:
    _thread(work).start()


def _thread(work: Callable[[], None]) -> threading.Thread:
    """A thread that belongs to what is under way here."""
    return threading.Thread(target=contextvars.copy_context().run, args=(work,), name=_NAME, daemon=True)


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a folder, relative to it: those that may be sent first, and those that must be sent last, in order.

    Formats keep what says that the rest is complete under names that begin with ``_``.

    Raises:
        TransferError: There are none, and object stores keep no empty folders.
    """
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    if not files:
        raise TransferError("the folder that the format wrote has no files, and object stores keep no empty folders.")
    last = [path for path in files if any(part.startswith("_") for part in path.parts)]
    return sorted({*files} - {*last}), last


def is_folder_marker(path: str, size: int) -> bool:
    """Whether an object is none of a folder's files, but stands for the folder itself.

    Consoles and S3A write ``folder/``, older Hadoops an empty ``folder_$folder$``.
    """
    return path.endswith("/") or (path.endswith("_$folder$") and size == 0)


@contextlib.contextmanager
def opened(source: Path | bytes) -> Iterator[Callable[[], bytes | BinaryIO]]:
    """What gives the content of a file, or what is in memory, from its start, as often as it is asked."""
    if not isinstance(source, Path):
        yield lambda: source
        return
    with source.open("rb") as file:

        def from_start() -> BinaryIO:
            file.seek(0)
            return file

        yield from_start


def read_part(source: Path | bytes, part: Part) -> bytes:
    """One part of a file, or of what is in memory, held in memory once."""
    if not isinstance(source, Path):
        return source[part.offset : part.offset + part.length]
    with source.open("rb") as file:
        file.seek(part.offset)
        return file.read(part.length)


def read_chunks(path: Path, part: Part) -> Iterator[bytes]:
    """The bytes of one part of a file."""
    with path.open("rb") as file:
        file.seek(part.offset)
        left = part.length
        while left and (chunk := file.read(min(left, CHUNK))):
            left -= len(chunk)
            yield chunk


def size_of(source: Path | bytes) -> int:
    """Bytes of a file, or of what is in memory."""
    return source.stat().st_size if isinstance(source, Path) else len(source)


def crc32_of(source: Path | bytes) -> int:
    """The CRC-32 of a file, read in parts side by side, or of what is in memory."""
    if not isinstance(source, Path):
        return zlib.crc32(source)

    def read(part: Part, _: threading.Event) -> int:
        return functools.reduce(lambda checksum, chunk: zlib.crc32(chunk, checksum), read_chunks(source, part), 0)

    cut = parts(size_of(source), DOWNLOAD_PART)
    return crc32.combined(zip(in_parallel(read, cut, UPLOAD_WORKERS), (part.length for part in cut), strict=True))
