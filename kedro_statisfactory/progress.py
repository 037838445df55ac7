"""How far what is being moved has come, for whoever listens; where nobody does, this costs next to nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol


class Transfer(Protocol):
    """Is told how far a load or a save has come, by any thread."""

    def moved(self, count: int, more: int) -> None:
        """Take note.

        Args:
            count: Bytes that were moved since; negative where an attempt begins anew.
            more: Bytes that are known to be part of the whole, beside those that were known.
        """

    def end(self) -> None:
        """Nothing more is moved, or it has failed."""


class Listener(Protocol):
    """Is told of each load and save."""

    def begin(self, name: str) -> Transfer:
        """What is told of one, by its name."""


_listener: Listener | None = None
_current: ContextVar[Transfer | None] = ContextVar("statisfactory_transfer", default=None)


def listen(listener: Listener | None) -> None:
    """Have transfers of this process told to a listener, in place of the one before; ``None``: to nobody."""
    global _listener
    _listener = listener


_nobody: AbstractContextManager[None] = contextlib.nullcontext()


def told_as(name: str) -> AbstractContextManager[None]:
    """Tell all that is moved within as one transfer; one that begins within another is a part of that."""
    if (listener := _listener) is None or _current.get() is not None:
        return _nobody
    return _told_to(listener, name)


@contextlib.contextmanager
def _told_to(listener: Listener, name: str) -> Iterator[None]:
    transfer = listener.begin(name)
    token = _current.set(transfer)
    try:
        yield
    finally:
        _current.reset(token)
        transfer.end()


class Progress:
    """How far one object has come, of the transfer that is under way where this is made."""

    def __init__(self) -> None:
        self._transfer = _current.get()
        self._lock = threading.Lock()
        self._size = self._moved = 0

    def begin(self, size: int) -> None:
        """An attempt begins to move so many bytes; what one before it has moved does not count."""
        if self._transfer is not None:
            with self._lock:
                count, more = -self._moved, size - self._size
                self._moved, self._size = 0, size
            self._transfer.moved(count, more)

    def moved(self, count: int) -> None:
        """So many bytes were moved."""
        if self._transfer is not None:
            with self._lock:
                self._moved += count
            self._transfer.moved(count, 0)
