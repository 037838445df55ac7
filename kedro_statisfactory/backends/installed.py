"""Backends of installed distributions, which are found through a group of entry points."""

from __future__ import annotations

import logging
import os
import threading
from importlib.metadata import entry_points

#: Distributions name the modules of their backends in this group of entry points.
ENTRY_POINTS = "kedro_statisfactory.backends"


class _State:
    """How far this process has come."""

    loaded = False
    loading: int | None = None  # the process whose thread holds the lock: a fork copies this


_state = _State()
_locks: dict[int, threading.RLock] = {}


def _lock() -> threading.RLock:
    """The lock under which entry points are loaded, one for each process: that of the parent may be held in a fork.

    A thread may take it twice, since a module that is loaded may ask for backends itself.
    """
    return _locks.setdefault(os.getpid(), threading.RLock())


def load() -> None:
    """Import the modules of all installed backends, which register themselves; once for each process."""
    with _lock():
        if _state.loaded or _state.loading == os.getpid():
            return  # the latter for a module that asks for backends while it is loaded
        _state.loading = os.getpid()
        try:
            for entry_point in entry_points(group=ENTRY_POINTS):
                try:
                    entry_point.load()
                except Exception as error:  # one of another distribution must not keep the others from being found
                    logging.getLogger(__name__).warning(
                        "The backend %r of the entry point %r cannot be loaded: %s",
                        entry_point.value,
                        entry_point.name,
                        error,
                    )
        finally:  # an interrupt must not leave them half loaded for good
            _state.loading = None
        _state.loaded = True  # not before all of them are: another thread may be waiting for one
