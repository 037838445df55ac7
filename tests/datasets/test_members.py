"""What a format can do beside loading and saving, through its entry; what it changes by that is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset, DatasetError

from kedro_statisfactory import ArtifactDataset
from tests.datasets.conftest import Place
from tests.servers.lakefs import LakeFSServer


class Queue(AbstractDataset[list[str], list[str]]):
    """Gives what was not confirmed yet, as an incremental dataset does."""

    KIND = "queue"

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)
        self._loaded: list[str] = []

    def _read(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = json.loads(self._filepath.read_text())
        return found

    def _load(self) -> list[str]:
        found = self._read()
        self._loaded = [item for item in found["items"] if item not in found["confirmed"]]
        return self._loaded

    def _save(self, data: list[str]) -> None:
        self._filepath.write_text(json.dumps({"items": data, "confirmed": []}))

    def confirm(self) -> None:
        """Note that what was loaded is done."""
        found = self._read()
        self._filepath.write_text(json.dumps({**found, "confirmed": [*found["confirmed"], *self._loaded]}))

    def add(self, item: str, at: int = 0) -> int:
        """Add an item; gives how many there are."""
        found = self._read()
        found["items"].insert(at, item)
        self._filepath.write_text(json.dumps(found))
        return len(found["items"])

    @property
    def size(self) -> int:
        """How many items there are."""
        return len(self._read()["items"])

    @staticmethod
    def twice(number: int) -> int:
        """Something that needs no data."""
        return 2 * number

    def _describe(self) -> dict[str, Any]:
        return {}


class LazyQueue(Queue):
    """One whose data may still read from the file."""

    def _load(self) -> Any:
        return iter(super()._load())


def entry(place: Place, kind: Any = Queue, **config: Any) -> Any:
    return ArtifactDataset.from_config("x", place.entry("queue.json", dataset=kind, **config))


@pytest.mark.parametrize("kind", [Queue, LazyQueue])
def test_what_a_confirmation_writes_is_stored(place: Place, kind: type) -> None:
    entry(place, kind).save(["a", "b"])
    queue = entry(place, kind)
    assert list(queue.load()) == ["a", "b"]
    queue.confirm()
    assert list(entry(place, kind).load()) == []
    assert entry(place, kind).size == 2


def test_a_confirmation_of_what_was_not_loaded_is_one_of_nothing(place: Place) -> None:
    entry(place).save(["a"])
    entry(place).confirm()
    assert entry(place).load() == ["a"]


def test_public_members_of_a_format_are_reached_through_the_entry(place: Place) -> None:
    queue = entry(place)
    queue.save(["a"])
    assert queue.size == 1
    assert queue.add("b", at=1) == 2
    assert entry(place).load() == ["a", "b"]
    assert (queue.KIND, queue.twice(2)) == ("queue", 4)
    for name in ("_read", "no_such", "__deepcopy__"):
        assert not hasattr(queue, name)


def test_the_history_of_a_delta_table_is_reached(place: Place) -> None:
    import pandas as pd

    table: Any = ArtifactDataset.from_config("x", place.entry("table", dataset="pandas.DeltaTableDataset"))
    for number in (1, 2):
        table.save(pd.DataFrame({"a": [number]}))
    assert len(table.history) == 2
    assert "a" in str(table.schema)


def test_what_is_read_at_another_time_is_not_changed(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()

    def queue(**config: Any) -> Any:
        credentials = dict(lakefs_local.credentials)
        return ArtifactDataset(filepath=f"lakefs://{repository}/x", dataset=Queue, credentials=credentials, **config)

    queue().save(["a"])
    pinned = queue(load_args={"lake_ref": "main"})
    assert pinned.load() == ["a"]
    with pytest.raises(DatasetError, match="the entry is pinned to 'main': take that away"):
        pinned.confirm()
    assert queue().load() == ["a"]
    writing = queue(load_args={"lake_ref": "main"}, save_args={"lake_ref": "main"})
    writing.load()
    writing.confirm()
    assert queue().load() == []
