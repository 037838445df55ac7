"""Fetching the bytes of the next partitions while one is being used."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeAlias

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.errors import InvalidFormat

_MOST = 64  # as many as there are connections which are kept for the next requests

_Fetch: TypeAlias = Callable[[], bytes]
_Waiting: TypeAlias = SimpleQueue[tuple[Future[bytes], _Fetch] | None]


def checked_count(count: object) -> int:
    """How many partitions may be fetched ahead, as an entry says it; ``None``: none.

    Raises:
        InvalidFormat: It says something else.
    """
    count = 0 if count is None else count
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= _MOST:
        raise InvalidFormat(f"`read_ahead` is {count!r}: write a number of partitions from 0 to {_MOST}.")
    return count


class ReadAhead:
    """Has the next of many objects fetched while those before them are used, as soon as two were used in their order.

    What is used in another order is fetched when it is used. So is what could not be fetched ahead: then it is said
    why. A process that was forked, and a copy that was pickled, fetch nothing ahead.

    Args:
        count: How many may have been fetched, or be on their way, that nobody has used yet.
        fetches: What gives the bytes of each object, in their order; ``None`` where it is better not fetched ahead.
    """

    def __init__(self, count: int = 0, fetches: Sequence[_Fetch | None] = ()) -> None:
        self._count, self._fetches, self._process = count, fetches, os.getpid()
        self._lock = threading.Lock()
        self._fetched: dict[int, Future[bytes]] = {}
        self._next = -1  # the number behind the last one that was used
        self._begun = 0  # nothing below it is begun any more
        self._waiting: _Waiting = SimpleQueue()
        self._threads = 0
        weakref.finalize(self, _end, self._waiting, count)

    def __reduce__(self) -> tuple[type[ReadAhead], tuple[()]]:
        return ReadAhead, ()

    def take(self, number: int) -> bytes | None:
        """The bytes of the object that is used now, where they were fetched ahead; ``None``: it has to be fetched.

        Args:
            number: Of the object, counted from 0.
        """
        if not self._fetches or self._process != os.getpid():
            return None
        with self._lock:
            future = self._fetched.pop(number, None)
            if future is None and number != self._next:
                self._drop(list(self._fetched))
                self._begun = number + 1
            else:
                self._drop([each for each in self._fetched if each < number - self._count])  # they were passed over
                self._begin_behind(number)
            self._next = number + 1
        return None if future is None or future.exception() is not None else future.result()

    def _drop(self, numbers: Sequence[int]) -> None:
        for each in numbers:
            self._fetched.pop(each).cancel()

    def _begin_behind(self, number: int) -> None:
        end = min(number + 1 + self._count, len(self._fetches))
        for each in range(max(number + 1, self._begun), end):
            if (fetch := self._fetches[each]) is not None and self._has_thread():
                self._fetched[each] = Future()
                self._waiting.put((self._fetched[each], fetch))
        self._begun = max(self._begun, end)

    def _has_thread(self) -> bool:
        """Whether there is a thread that will fetch one more; one is started if all are busy."""
        # A server that answers at once is asked by few threads, since each of them waits for the others to compute.
        if sum(not each.done() for each in self._fetched.values()) >= self._threads < self._count:
            try:
                transfer.beside(functools.partial(_work_off, self._waiting))
            except RuntimeError:  # there are too many already, or the process is about to end
                return self._threads > 0
            self._threads += 1
        return True


def _work_off(waiting: _Waiting) -> None:
    """Fetch what is waiting until nobody uses it any more; what is cancelled meanwhile is not fetched."""
    while (task := waiting.get()) is not None:
        if task[0].set_running_or_notify_cancel():
            transfer.settle(*task)
        del task  # with what it holds


def _end(waiting: _Waiting, threads: int) -> None:
    for _ in range(threads):
        waiting.put(None)
