"""How long a run waits for a server that is away: one that is started again within a minute does not end it."""

from __future__ import annotations

import threading
import time

#: Seconds from the first request that was not done to the last try.
WAITS_WITHIN = 60.0


class _Patience:
    """What this process waits for, and who was told of it."""

    def __init__(self) -> None:
        self.is_run = False
        self.interrupted = threading.Event()
        self.told: dict[str, float] = {}


_state = _Patience()


def begin() -> None:
    """From now on a run is at work in this process."""
    forget()
    _state.is_run = True


def end() -> None:
    """No run is at work in this process any more."""
    _state.is_run = False


def interrupt() -> None:
    """End all waiting at once: the user or a signal has ended the run."""
    _state.interrupted.set()


def forget() -> None:
    """Start afresh, for a new run and in a forked child, whose parent may have held a lock."""
    global _state
    _state = _Patience()


def within(in_run: bool) -> float:
    """Seconds for which a server may be away.

    Args:
        in_run: Whether who asks works for a run, perhaps one of another process.
    """
    return WAITS_WITHIN if (in_run or _state.is_run) and not _state.interrupted.is_set() else 0.0


def pause(seconds: float) -> bool:
    """Wait before another try; gives whether there should be none, because of an interrupt."""
    return _state.interrupted.wait(seconds)


def is_news(name: str) -> bool:
    """Whether nobody was told in the last minute that this server is waited for; then somebody is now."""
    last, now = _state.told.get(name), time.monotonic()
    if last is not None and now - last < WAITS_WITHIN:
        return False
    _state.told[name] = now
    return True
