"""Ending runs when their process ends, by itself or by a signal."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import Protocol

# Those by which others end a process: a scheduler, and a terminal that is closed (Windows has none of these).
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_EXIT_WITHIN = 10.0  # seconds for dropping the branches of runs after a signal


class Abandonable(Protocol):
    """A run, as far as its end is concerned."""

    def abandon(self) -> None:
        """Drop what it wrote; nothing when it has ended."""


class Interrupts:
    """The runs that have begun in this process and not ended, so that an exit or a signal ends them too."""

    def __init__(self) -> None:
        self._runs: set[Abandonable] = set()
        self._lock = threading.Lock()

    def __contains__(self, run: Abandonable) -> bool:
        return run in self._runs

    def add(self, run: Abandonable) -> None:
        """From now on, end this run when the process ends."""
        with self._lock:
            self._runs.add(run)
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # By default a process ends without giving anybody a chance. A handler of the user's own is left alone,
                # and so is nohup, which ignores a closed terminal.
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _exit)

    def discard(self, run: Abandonable) -> None:
        """Forget a run that has ended by itself."""
        with self._lock:
            self._runs.discard(run)
        if not self._runs and threading.current_thread() is threading.main_thread():
            _restore_signals()

    def abandon_all(self) -> None:
        """End all of them."""
        for run in list(self._runs):
            run.abandon()


_current = Interrupts()


def current() -> Interrupts:
    """The runs of this process."""
    return _current


def _exit(number: int, frame: FrameType | None) -> None:
    """End the runs, then leave by an exception, so that everything else is tidied up as well.

    The runs end first: a runner with threads or processes waits for the nodes that are at work, and whoever sent the
    signal does not wait for ever. By a thread of its own, since a lock may be held where the signal came in.
    """
    ending = threading.Thread(target=_current.abandon_all, name="statisfactory-exit", daemon=True)
    ending.start()
    ending.join(_EXIT_WITHIN)
    raise SystemExit(128 + number)


def _restore_signals() -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) is _exit:
            signal.signal(number, signal.SIG_DFL)


def forget_runs() -> None:
    """Leave the runs to the parent: a worker that was forked in mid-run has no business ending them."""
    global _current
    _current = Interrupts()
    _restore_signals()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=forget_runs)


@atexit.register
def abandon_all() -> None:
    """End all runs, when the process ends."""
    _current.abandon_all()
