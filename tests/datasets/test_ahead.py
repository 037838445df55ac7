"""The next partitions are fetched while those before them are used, and are what they would be otherwise."""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from kedro.io import DatasetError

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import transfer
from kedro_statisfactory.datasets.ahead import ReadAhead
from tests.datasets.conftest import Place
from tests.datasets.partitions import collection, loaded
from tests.datasets.test_collections import sent_to_s3
from tests.servers.s3 import S3Server


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what other threads do, and not for ever."""
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.002)


class Store:
    """Ten objects, and the numbers of those that were fetched, in order of their beginning."""

    def __init__(self, *refused: int) -> None:
        self.fetched: list[int] = []
        self.refused, self.may_go_on = refused, threading.Event()
        self.may_go_on.set()

    def fetch(self, number: int) -> bytes:
        self.fetched.append(number)
        self.may_go_on.wait(20)
        if number in self.refused:
            raise PermissionError
        return str(number).encode()

    def has_fetched(self, numbers: range) -> bool:
        return sorted(self.fetched) == [*numbers]

    def ahead(self, count: int) -> ReadAhead:
        return ReadAhead(count, [functools.partial(self.fetch, number) for number in range(10)])


# -- which are fetched, and when -----------------------------------------------------------------------------------


def test_nothing_is_fetched_ahead_until_two_were_used_in_their_order() -> None:
    store = Store()
    ahead = store.ahead(3)
    for number in (0, 5, 3, 9, 8, 0):
        assert ahead.take(number) is None
    assert store.fetched == []
    assert ahead.take(1) is None
    until(lambda: sorted(store.fetched) == [2, 3, 4])


def test_as_many_are_fetched_as_are_asked_for_and_each_once() -> None:
    store = Store()
    ahead = store.ahead(3)
    taken = []
    for number in range(10):
        taken.append(ahead.take(number))
        expected = range(2, min(number + 4, 10) if number else 2)
        until(functools.partial(store.has_fetched, expected))
    assert taken == [None, None, *(str(number).encode() for number in range(2, 10))]


def test_what_was_fetched_for_another_order_is_dropped_and_what_has_not_begun_is_not_fetched() -> None:
    store = Store()
    ahead = store.ahead(1)
    ahead.take(0), ahead.take(1)
    until(lambda: store.fetched == [2])
    assert ahead.take(7) is None
    assert ahead.take(2) is None, "it was fetched for who used one after the other"
    store.may_go_on.clear()
    assert ahead.take(3) is None
    until(lambda: store.fetched == [2, 4])  # by the only thread
    ahead.take(8), ahead.take(9), ahead.take(5), ahead.take(6)  # 7 waits
    ahead.take(0)  # and is not wanted any more
    store.may_go_on.set()
    ahead.take(1)
    until(lambda: store.fetched[-1] == 2)
    assert 7 not in store.fetched


def test_some_may_be_passed_over() -> None:
    store = Store()
    ahead = store.ahead(2)
    ahead.take(0), ahead.take(1)
    assert ahead.take(3) == b"3"
    assert ahead.take(5) == b"5"
    assert ahead.take(2) is None, "it was dropped when others were far ahead of it"


def test_what_cannot_be_fetched_ahead_or_should_not_is_fetched_by_who_uses_it() -> None:
    store = Store(3)
    fetches = [functools.partial(store.fetch, number) if number != 4 else None for number in range(10)]
    ahead = ReadAhead(5, fetches)
    assert [ahead.take(number) for number in range(6)] == [None, None, b"2", None, None, b"5"]
    assert 4 not in store.fetched


def _taken_by_another_process(ahead: ReadAhead, answers: Any) -> None:
    answers.put(ahead.take(2))


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_process_that_was_forked_and_a_pickle_fetch_nothing_ahead() -> None:
    store = Store()
    ahead = store.ahead(3)
    ahead.take(0), ahead.take(1)
    assert pickle.loads(pickle.dumps(ahead)).take(2) is None
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=_taken_by_another_process, args=(ahead, answers))
    child.start()
    assert answers.get() is None
    child.join(20)
    assert ahead.take(2) == b"2", "the parent has it"


@pytest.mark.parametrize("allowed", [0, 1])
def test_where_no_more_threads_can_be_started_nothing_fails(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store, start, left = Store(), threading.Thread.start, [None] * allowed

    def refuse(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    ahead = store.ahead(3)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    store.may_go_on.clear()
    assert [ahead.take(0), ahead.take(1)] == [None, None]
    store.may_go_on.set()
    assert [ahead.take(2), ahead.take(3)] == ([b"2", b"3"] if allowed else [None, None])


def test_its_threads_end_when_nobody_uses_it_any_more() -> None:
    before = threading.enumerate()
    store = Store()
    ahead = store.ahead(3)
    ahead.take(0), ahead.take(1)
    threads = [each for each in threading.enumerate() if each not in before]
    assert threads
    del ahead
    until(lambda: not any(map(threading.Thread.is_alive, threads)))


# -- partitions ----------------------------------------------------------------------------------------------------


def ahead(place: Place, **args: Any) -> ArtifactDataset:
    """A collection that reads ahead."""
    entry = collection(place, **args, read_ahead=4)
    assert isinstance(entry, ArtifactDataset)
    return entry


def test_partitions_are_the_same_whatever_is_fetched_ahead(place: Place) -> None:
    data = {f"{number:02}": {"n": number} for number in range(20)}
    collection(place).save(data)
    days = ahead(place)
    for _ in range(2):
        assert loaded(days) == data
    parts = list(days.load().values())
    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(lambda load: load(), parts)) == list(data.values())
    assert [parts[number]() for number in (7, 8, 9, 3, 9, 10)] == [{"n": number} for number in (7, 8, 9, 3, 9, 10)]
    collection(place, dataset=ArtifactDataset, name="bytes").save({key: key.encode() for key in data})
    assert loaded(ahead(place, dataset=ArtifactDataset, name="bytes")) == {key: key.encode() for key in data}


def test_each_partition_is_one_request_and_one_of_many_is_fetched_alone(seaweed: S3Server, bucket: str) -> None:
    place = Place(f"s3://{bucket}", lambda *_: None, lambda *_: None, seaweed.credentials)
    days = ahead(place)
    days.save({f"{number:02}": {"n": number} for number in range(20)})
    with sent_to_s3(seaweed) as sent:
        parts = list(days.load().values())
        parts[3](), parts[9](), parts[0]()
        assert sent == ["ListObjectsV2", *3 * ["GetObject"]]
        parts[1]()
        until(lambda: len(sent) == 1 + 4 + 4)
        for load in parts[2:]:
            load()
        assert sent[1:] == (20 + 2) * ["GetObject"]


def test_a_partition_that_is_gone_is_told_as_it_is_otherwise(memory_files: AbstractFileSystem) -> None:
    days = ahead(Place("memory://box", lambda *_: None, lambda *_: None))
    days.save({name: {"n": name} for name in "abcdef"})
    parts = days.load()
    memory_files.rm("/box/days/c")
    parts["a"](), parts["b"]()
    with pytest.raises(DatasetError, match=r"/days/c'.*E0301"):
        parts["c"]()
    assert parts["d"]() == {"n": "d"}


def test_what_was_fetched_ahead_is_as_it_was_then(memory_files: AbstractFileSystem) -> None:
    days = ahead(Place("memory://box", lambda *_: None, lambda *_: None))
    days.save({name: {"n": 1} for name in "abc"})
    parts = days.load()
    parts["a"](), parts["b"]()
    (future,) = parts["c"].args[-2]._fetched.values()
    future.result(20)
    days.save({"c": {"n": 2}})
    assert parts["c"]() == {"n": 1}
    assert parts["c"]() == {"n": 2}


def test_large_partitions_are_not_held_in_memory(
    memory_files: AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 10)
    days = ahead(Place("memory://box", lambda *_: None, lambda *_: None))
    days.save({"a": {}, "b": {}, "c": {"text": 100 * "x"}, "d": {}})
    parts = days.load()
    assert [fetch is None for fetch in parts["a"].args[-2]._fetches] == [False, False, True, False]
    assert loaded(days)["c"] == {"text": 100 * "x"}


def test_files_that_are_here_are_read_where_they_are(tmp_path: Any) -> None:
    days = ahead(Place(str(tmp_path), lambda *_: None, lambda *_: None))
    with pytest.raises(DatasetError, match="No partitions found in"):
        days.load()
    days.save({"a": {}, "b": {}})
    assert days.load()["a"].args[-2] is None


# -- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [-1, 65, True, "8", 2.5])
def test_another_number_is_refused(count: Any) -> None:
    place = Place("s3://bucket", lambda *_: None, lambda *_: None)
    with pytest.raises(DatasetError, match=r"`read_ahead` is .*: write a number of partitions from 0 to 64"):
        collection(place, read_ahead=count)


def test_it_is_refused_where_it_would_do_nothing() -> None:
    place = Place("s3://bucket", lambda *_: None, lambda *_: None)
    with pytest.raises(DatasetError, match="`IncrementalDataset` loads all partitions at once: take `read_ahead` away"):
        collection(place, "Incremental", read_ahead=8)
    with pytest.raises(DatasetError, match="this entry has none: take it away"):
        ArtifactDataset.from_config("x", place.entry("x", dataset="json.JSONDataset", read_ahead=8))
