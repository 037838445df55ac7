"""Long transfers are shown on a terminal and told in a log; short ones are not."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from kedro_statisfactory import ArtifactDataset, progress
from kedro_statisfactory.backends.transfer import in_parallel
from kedro_statisfactory.plugin.hooks import hooks
from kedro_statisfactory.plugin.progress import Watch, _terminal
from kedro_statisfactory.progress import Progress, listen, told_as
from tests.datasets.conftest import _new_place

pytestmark = pytest.mark.once

LARGE = 17 << 20  # more than what goes in one request
SIZE = 4_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _listener_afterwards() -> Iterator[None]:
    before = progress._listener
    yield
    listen(before)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80)


def _drawn(watch: Watch) -> str:
    """What a person sees now."""
    assert watch._bars is not None
    watch._bars.refresh()
    file = watch._bars.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_log_has_a_line_every_thirty_seconds(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kedro.statisfactory")
    listen(Watch(lambda: None, clock))
    with told_as("Loading model.pkl"):
        piece = Progress()
        piece.begin(SIZE)
        for _ in range(40):
            clock.now += 2
            piece.moved(SIZE // 40)
    assert caplog.messages == [
        "Loading model.pkl: 1.5 MB of 4.0 MB (37%) after 30 s, 50.0 kB/s.",
        "Loading model.pkl: 3.0 MB of 4.0 MB (75%) after 60 s, 50.0 kB/s.",
    ]


def test_what_has_no_known_size_is_told_without_it(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kedro.statisfactory")
    transfer = Watch(lambda: None, clock).begin("Loading x")
    clock.now += 40
    transfer.moved(SIZE, 0)
    assert caplog.messages == ["Loading x: 4.0 MB after 40 s, 100 kB/s."]


def test_a_terminal_has_bars_of_what_takes_longer_than_two_seconds(
    clock: Clock, console: Console, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kedro.statisfactory")
    watch = Watch(lambda: console, clock)
    one, other = watch.begin("Loading größe.csv"), watch.begin("Saving [b]model.pkl")
    one.moved(1000, SIZE)
    clock.now += 1.9
    one.moved(1000, 0)
    assert watch._bars is None
    clock.now += 60
    one.moved(SIZE // 2, 0)
    other.moved(10, 0)
    shown = _drawn(watch)
    assert "Loading größe.csv" in shown
    assert "2.0/4.0 MB" in shown
    assert "Saving [b]model.pkl" in shown
    one.end()
    one.end()
    other.end()
    bars = watch._bars
    assert bars is not None
    assert bars.tasks == []
    again = watch.begin("Loading again")
    clock.now += 3
    again.moved(1, 2)
    assert "Loading again" in _drawn(watch)
    console.file.close()
    again.end()
    assert caplog.messages == []


def test_a_narrow_terminal_has_the_figures_in_one_line(clock: Clock) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=40)
    watch = Watch(lambda: console, clock)
    one = watch.begin("Loading a-name-that-is-too-long.parquet")
    clock.now += 3
    one.moved(1_000_000, 200_000_000)
    assert "Loading a-n…" in (shown := _drawn(watch))
    assert "1.0/200.0 MB" in shown
    one.end()


def test_what_an_attempt_has_moved_does_not_count_for_the_next(clock: Clock) -> None:
    watch = Watch(lambda: None, clock)
    listen(watch)
    with told_as("Loading x"):
        piece = Progress()
        for _ in range(2):
            piece.begin(SIZE)
            piece.moved(SIZE - 1)
        transfer = progress._current.get()
        assert transfer is not None
        assert (vars(transfer)["_done"], vars(transfer)["_size"]) == (SIZE - 1, SIZE)


def test_what_is_moved_by_threads_and_within_another_transfer_is_a_part_of_it() -> None:
    seen = Recorder()
    listen(seen)

    def work(number: int, _: threading.Event) -> None:
        with told_as(f"part {number}"):
            piece = Progress()
            piece.begin(10)
            piece.moved(10)

    with told_as("all"):
        in_parallel(work, range(4), 2)
    assert (seen.names, seen.moved_bytes, seen.size, seen.ended) == (["all"], 40, 40, 1)


class Recorder:
    """Listens, and remembers."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.moved_bytes = self.size = self.ended = 0
        self._lock = threading.Lock()

    def begin(self, name: str) -> Recorder:
        self.names.append(name)
        return self

    def moved(self, count: int, more: int) -> None:
        with self._lock:
            self.moved_bytes += count
            self.size += more

    def end(self) -> None:
        self.ended += 1


@pytest.mark.parametrize("kind", ["s3", "lakefs", "lakefs on s3"])
def test_large_objects_are_told_with_all_their_bytes(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    request.param = kind
    place = _new_place(request, tmp_path)
    entry = ArtifactDataset(filepath=f"{place.root}/large.bin", credentials=place.credentials)
    as_file = ArtifactDataset(
        filepath=f"{place.root}/large.bin", dataset="text.TextDataset", credentials=place.credentials
    )
    payload = os.urandom(LARGE // 2).hex().encode()
    for work, name in (
        (lambda: entry.save(payload), "Saving large.bin"),
        (entry.load, "Loading large.bin"),
        (as_file.load, "Loading large.bin"),
    ):
        seen = Recorder()
        listen(seen)
        work()
        assert (seen.names, seen.moved_bytes, seen.size, seen.ended) == ([name], LARGE, LARGE, 1)
    seen = Recorder()
    listen(seen)
    as_file.save(payload.decode().upper())
    assert (seen.names[0], seen.moved_bytes, seen.size) == ("Saving large.bin", LARGE, LARGE)


def test_only_the_process_of_a_person_draws(monkeypatch: pytest.MonkeyPatch, clock: Clock, console: Console) -> None:
    assert hooks
    assert isinstance(progress._listener, Watch), "the hooks listen"
    assert _terminal() is None, "the standard error of tests is no terminal"
    monkeypatch.setattr(sys, "stderr", type("Screen", (io.StringIO,), {"isatty": lambda _: True})())
    monkeypatch.setenv("TERM", "xterm")
    assert _terminal() is not None
    monkeypatch.setenv("TERM", "dumb")
    assert _terminal() is None
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert _terminal() is None
    watch = Watch(lambda: console, clock)
    one = watch.begin("x")
    clock.now += 3
    one.moved(1, 2)
    bars = watch._bars
    assert bars is not None
    monkeypatch.setattr(os, "getpid", lambda: -1)
    watch.begin("in a fork")
    assert watch._bars is None
    bars.stop()
