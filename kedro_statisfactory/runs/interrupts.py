"""Ending runs when their process ends, by itself or by a signal."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from kedro_statisfactory.backends import patience
from kedro_statisfactory.runs.target import LOGGER

# Those by which others end a process: a scheduler, and a terminal that is closed (Windows has none of these).
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_EXIT_WITHIN = 10.0  # seconds for dropping the branches of runs after a signal
_A_MOMENT, _LANDS_WITHIN = 1.0, 7.0  # seconds for a run that lands when a signal comes in; the second are told
_WINDOWS_WAKES = 0.5  # seconds; on Windows nothing interrupts the waiting for a thread


class Abandonable(Protocol):
    """A run, as far as its end is concerned."""

    def abandon(self) -> None:
        """Drop what it wrote; nothing when it has ended."""


class Landing(threading.Thread):
    """The end of a run, by a thread of its own: a signal that comes in meanwhile does not tear it.

    Args:
        work: Ends the run.

    Attributes:
        is_told: Whether an error of it was raised where it was waited for.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="statisfactory-landing", daemon=True)
        self._work = work
        self._error: BaseException | None = None
        self._patience = _LANDS_WITHIN
        self._has_begun = False
        self.is_told = False
        self._ended = threading.Event()  # an interrupted `join` takes a thread for ended that is not

    def run(self) -> None:
        """Work, and keep the error."""
        try:
            self._work()
        except BaseException as error:  # raised where it is waited for
            self._error = error
        finally:
            self._ended.set()

    def complete(self) -> None:
        """Do the work, and raise its error, or what interrupts the waiting."""
        self._has_begun = True
        self.start()
        while not self._ended.wait(_WINDOWS_WAKES):
            pass
        if self._error:
            self.is_told = True
            raise self._error

    @property
    def error(self) -> BaseException | None:
        """By what it ended, also where an interrupt went before that; ``None``: it ended well, or has not ended."""
        return self._error

    def is_stuck(self) -> bool:
        """Whether it still works after it was given a moment to end, which it is given once."""
        within, self._patience = self._patience, 0.0
        if self._has_begun and within and not self._ended.wait(_A_MOMENT):
            LOGGER.warning(
                "The run is about to land, which takes up to %d s more; Ctrl-C once more does not wait.", within
            )
            self._ended.wait(within)
        return self._has_begun and not self._ended.is_set()


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
            if not self._runs:
                patience.begin()
            self._runs.add(run)
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # By default a process ends without giving anybody a chance. A handler of the user's own is left alone,
                # and so is nohup, which ignores a closed terminal.
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _exit)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, _interrupt)

    def discard(self, run: Abandonable) -> None:
        """Forget a run that has ended by itself."""
        with self._lock:
            self._runs.discard(run)
            if not self._runs:
                patience.end()
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


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C as ever; but threads that wait for a server that is away wait no longer."""
    patience.interrupt()
    signal.default_int_handler(number, frame)


def _exit(number: int, frame: FrameType | None) -> None:
    """End the runs, then leave by an exception, so that everything else is tidied up as well.

    The runs end first: a runner with threads or processes waits for the nodes that are at work, and whoever sent the
    signal does not wait for ever. By a thread of its own, since a lock may be held where the signal came in.
    """
    patience.interrupt()
    ending = threading.Thread(target=_current.abandon_all, name="statisfactory-exit", daemon=True)
    ending.start()
    ending.join(_EXIT_WITHIN)
    raise SystemExit(128 + number)


def _restore_signals() -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) is _exit:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def forget_runs() -> None:
    """Leave the runs to the parent: a worker that was forked in mid-run has no business ending them."""
    global _current
    _current = Interrupts()
    patience.forget()
    _restore_signals()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=forget_runs)


@atexit.register
def abandon_all() -> None:
    """End all runs, when the process ends."""
    _current.abandon_all()
