"""What a run saves outside of lakeFS is noted for its record, in whatever way it is saved, as the entry holds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import fsspec
import pandas as pd
import polars as pl
import pytest
from kedro.io import AbstractDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.datasets.partitions import Partitions
from kedro_statisfactory.errors import TransferError
from kedro_statisfactory.project import Project
from tests.datasets.test_members import Queue

pytestmark = pytest.mark.once

_Make = Callable[..., tuple[ArtifactDataset, Callable[[], dict[str, Any]]]]
TABLE = {"type": "polars.EagerPolarsDataset", "file_format": "parquet"}
TEXTS = {"type": "partitions.PartitionedDataset", "dataset": "text.TextDataset"}
ONE = pl.DataFrame({"a": [1]})


@pytest.fixture(params=["on disk", "on S3"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> _Make:
    """Makes an entry in a run; gives it, and what is noted of its saves since that was asked last."""
    is_local = request.param == "on disk"
    root = str(tmp_path / "data") if is_local else f"s3://{request.getfixturevalue('bucket')}"
    credentials = None if is_local else request.getfixturevalue("seaweed").credentials
    project = Project(tmp_path, saves=tmp_path / "saves", entry="x")

    def make(dataset: Any, **more: Any) -> tuple[ArtifactDataset, Callable[[], dict[str, Any]]]:
        (tmp_path / "saves").touch()
        entry = ArtifactDataset(filepath=f"{root}/x", dataset=dataset, credentials=credentials, **more)
        entry.bind(project)

        def noted() -> dict[str, Any]:
            found: dict[str, Any] = project.saved()
            (tmp_path / "saves").write_text("")
            return found

        return entry, noted

    return make


@pytest.mark.parametrize(
    ("dataset", "data", "native"),
    [
        (None, b"x", None),
        ("text.TextDataset", "x", None),
        (TABLE, ONE, True),
        ({"type": "pandas.DeltaTableDataset"}, pd.DataFrame({"a": [1]}), True),
        ({"type": "pandas.DeltaTableDataset", "save_args": {"mode": "append"}}, pd.DataFrame({"a": [1]}), True),
        (TEXTS, {"a": "1", "b": "2"}, None),
        ({**TEXTS, "overwrite": True}, {"a": "1", "b": "2"}, None),
    ],
)
def test_what_is_noted_is_what_the_entry_holds(made: _Make, dataset: Any, data: Any, native: bool | None) -> None:
    entry, noted = made(dataset, native=native)
    for _ in range(2):
        entry.save(data)
        assert noted() == {"x": entry.held()}
        assert entry.held()


class Kept(AbstractDataset[str, str]):
    """Writes a text, in a mode that leaves what is there."""

    def __init__(self, filepath: str, save_args: Any = None, credentials: Any = None) -> None:
        self._path, self._options = filepath, credentials or {}

    def _load(self) -> str:
        raise NotImplementedError

    def _save(self, data: str) -> None:
        with fsspec.open(self._path, "w", **self._options) as file:
            file.write(data)

    def _describe(self) -> dict[str, Any]:
        return {}


class Table(Kept):
    """Writes a text that can be confirmed."""

    def confirm(self) -> None:
        """Add to it."""
        with fsspec.open(self._path, "a", **self._options) as file:
            file.write("y")


@pytest.mark.parametrize("native", [None, True])
def test_what_a_mode_has_kept_is_not_noted(made: _Make, native: bool | None) -> None:
    text, noted = made({"type": Kept, "save_args": {"mode": "ignore"}}, native=native)
    text.save("x")
    assert noted() == {"x": text.held()}
    text.save("y")
    assert noted() == {}


def test_a_collection_without_a_partition_was_saved_and_not_kept(made: _Make) -> None:
    texts, noted = made(TEXTS)
    texts.save({})
    assert noted() == {"x": None}


def test_what_a_format_has_changed_by_itself_is_noted(made: _Make) -> None:
    queue, noted = made(Queue)
    queue.save(["a"])
    before = noted()
    queue.load()
    queue.confirm()
    after = noted()
    assert after == {"x": queue.held()} != before
    assert queue.size == 1
    assert noted() == {}, "it has only looked"


@pytest.mark.parametrize("made", ["on disk"], indirect=True)
def test_what_an_engine_has_changed_in_its_place_is_noted(made: _Make) -> None:
    table, noted = made(Table, native="fsspec")
    table.save("x")
    before = noted()
    table.confirm()
    after = noted()
    assert after == {"x": table.held()} != before


def test_a_confirmed_collection_is_noted(made: _Make) -> None:
    texts, noted = made({"type": "partitions.IncrementalDataset", "dataset": "text.TextDataset"})
    texts.save({"a": "1"})
    before = noted()
    texts.load()
    texts.confirm()
    after = noted()
    assert after == {"x": texts.held()} != before


@pytest.mark.parametrize("is_away", [False, True])
def test_a_confirmed_collection_to_which_more_may_have_come_is_noted_as_not_known(
    made: _Make, monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    kind = {"type": "partitions.IncrementalDataset", "dataset": "text.TextDataset"}
    (texts, noted), (others, _) = made(kind), made(kind)
    texts.save({"a": "1"})
    texts.load()
    if is_away:
        monkeypatch.setattr(Partitions, "exists", Mock(side_effect=TransferError("away")))
    else:
        others.save({"b": "2"})
    texts.confirm()
    assert noted() == {"x": None}
