"""What people see of long transfers: bars on a terminal, and a line now and then in a log."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

#: Seconds after which a transfer is long.
AFTER = 2.0
#: Seconds between two lines in a log.
EVERY = 30.0
_FIGURES = 44  # columns of a screen that bar and figures take

_LOGGER = logging.getLogger("kedro.statisfactory")  # Kedro shows what is logged below its own name


def _terminal() -> Console | None:
    """Where bars can be drawn; ``None``: nowhere. Workers of a runner would draw over each other."""
    if multiprocessing.parent_process() is not None or not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True)
    return None if console.is_dumb_terminal else console


class Watch:
    """Tells a person of the transfers of a process that take long.

    Args:
        terminal: Gives where bars are drawn; ``None``: lines are logged.
        clock: Gives seconds.
    """

    def __init__(
        self, terminal: Callable[[], Console | None] = _terminal, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._terminal, self.clock = terminal, clock
        self._renew()

    def _renew(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._bars: Progress | None = None
        self._count = 0

    def begin(self, name: str) -> Watched:
        """Watch one transfer."""
        if self._process != os.getpid():  # a fork: the thread that draws is in the other process, with the lock perhaps
            self._renew()
        return Watched(self, name)

    def draw(self, name: str) -> Bar | None:
        """Begin to draw a bar; ``None``: there is no terminal."""
        with self._lock:
            if self._bars is None:
                console = self._terminal()
                if console is None:
                    return None
                self._bars = _bars_on(console)
            if not self._count:
                self._bars.start()
            self._count += 1
            return Bar(self._bars, self._bars.add_task(_shortened(name, self._bars.console.width), total=None))

    def remove(self, bar: Bar) -> None:
        """Take a bar away, and the last one with all that was drawn."""
        with self._lock, contextlib.suppress(OSError, ValueError):  # the terminal may be closed
            bar.bars.remove_task(bar.task)
            self._count -= 1
            if not self._count:
                bar.bars.stop()


class Bar:
    """A bar that is drawn.

    Args:
        bars: All of them.
        task: Which one.
    """

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self.bars, self.task = bars, task

    def show(self, done: int, size: int) -> None:
        """Draw how far it has come; it has no end that is known where ``size`` is 0."""
        self.bars.update(self.task, completed=done, total=size or None)


def _shortened(name: str, width: int) -> str:
    """A name that leaves room for figures on a screen.

    >>> _shortened("Loading a-very-long-name.parquet", 80)
    'Loading a-very-long-name.parquet'
    >>> _shortened("Loading a-very-long-name.parquet", 60)
    'Loading a-very-…'
    """
    from rich.text import Text

    text = Text(name)
    text.truncate(max(12, width - _FIGURES), overflow="ellipsis")
    return text.plain


def _bars_on(console: Console) -> Progress:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    is_wide = console.width > _FIGURES + 12
    columns: list[Any] = [
        TextColumn("{task.description}", markup=False),
        *([BarColumn(bar_width=10)] if is_wide else []),
        DownloadColumn(),
        TransferSpeedColumn(),
        *([TimeRemainingColumn()] if is_wide else []),
    ]
    # What others print meanwhile appears above the bars, if it comes to this terminal, and else where it belongs.
    return Progress(
        *columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty(), redirect_stderr=True
    )


class Watched:
    """A transfer that is watched.

    Args:
        watch: Who watches it.
        name: What a person calls it.
    """

    def __init__(self, watch: Watch, name: str) -> None:
        self._watch, self._name = watch, name
        self._lock = threading.Lock()
        self._began = self._told = watch.clock()
        self._done = self._size = 0
        self._bar: Bar | None = None
        self._is_logged = False

    def moved(self, count: int, more: int) -> None:
        """Take note of how far it has come, and show that where it takes long."""
        with self._lock:
            self._done += count
            self._size += more
            now = self._watch.clock()
            if now - self._began < AFTER:
                return
            if self._bar is None and not self._is_logged:
                self._bar = self._watch.draw(self._name)
                self._is_logged = self._bar is None
            if self._bar is not None:
                self._bar.show(self._done, self._size)
            elif now - self._told >= EVERY:
                self._told = now
                _LOGGER.info("%s: %s", self._name, self._so_far(now - self._began))

    def _so_far(self, seconds: float) -> str:
        from kedro_statisfactory.plugin.commands.output import size_of

        of_all = f" of {size_of(self._size)} ({self._done * 100 // self._size}%)" if self._size else ""
        return f"{size_of(self._done)}{of_all} after {seconds:.0f} s, {size_of(int(self._done / seconds))}/s."

    def end(self) -> None:
        """Take away what was drawn."""
        with self._lock:
            bar, self._bar = self._bar, None
        if bar is not None:
            self._watch.remove(bar)
