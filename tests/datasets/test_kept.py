"""Copies that lazy data may still read from: each content once, and a bounded number of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.datasets import kept
from tests.datasets.conftest import Place

LAZY = {"type": "polars.LazyPolarsDataset", "file_format": "parquet"}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of its own; what is kept there goes afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before, kept._kept[:] = list(kept._kept), []
    yield folder
    kept._remove_all()
    kept._kept[:] = before


def copies(folder: Path) -> int:
    """How many there are; an empty folder waits for the next one."""
    return len([name for name in os.listdir(folder) if name.startswith(STAGING_NAME) and os.listdir(folder / name)])


def frame(*numbers: int) -> Any:
    import polars as pl

    return pl.LazyFrame({"a": numbers})


def entry(place: Place, name: str = "x.parquet", dataset: Any = LAZY) -> Any:
    return ArtifactDataset.from_config("x", place.entry(name, dataset=dataset, native=False))


def is_local(place: Place) -> bool:
    return place.root.startswith("/")


def test_the_copy_of_one_object_is_kept_once(place: Place, temporary: Path) -> None:
    lazy = entry(place)
    lazy.save(frame(1, 2))
    loaded = [lazy.load() for _ in range(10)]
    assert copies(temporary) <= (0 if is_local(place) else 1)
    assert all(each.collect()["a"].to_list() == [1, 2] for each in loaded)


def test_an_object_that_has_changed_is_read_anew(place: Place, temporary: Path) -> None:
    lazy = entry(place)
    loaded = []
    for numbers in ((1, 2), (3, 4), (3, 4)):
        lazy.save(frame(*numbers))
        loaded.append(lazy.load())
    assert loaded[-1].collect()["a"].to_list() == [3, 4]
    assert loaded[-2].collect()["a"].to_list() == [3, 4]
    if not is_local(place):
        assert loaded[0].collect()["a"].to_list() == [1, 2]
        assert copies(temporary) == 2


def test_a_folder_is_kept_once_as_well(place: Place, temporary: Path) -> None:
    import pandas as pd

    table = entry(place, "table", {"type": "pandas.DeltaTableDataset"})
    table.save(pd.DataFrame({"a": [1]}))
    unknown = entry(place, "table", "tests.datasets.test_kept.Paths")
    first, second = unknown.load(), unknown.load()
    assert [str(path) for path in first.paths] == [str(path) for path in second.paths]
    assert copies(temporary) <= (0 if is_local(place) else 1)


class Found:
    """Something of which nobody knows whether it is lazy."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths


class Paths(AbstractDataset[Found, Found]):
    """Gives the paths of the files of a folder."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> Found:
        return Found(sorted(self._filepath.rglob("*")))

    def _save(self, data: Found) -> None: ...

    def _describe(self) -> dict[str, Any]:
        return {}


def test_a_copy_that_somebody_has_changed_is_not_used_again(place: Place, temporary: Path) -> None:
    lazy = entry(place)
    lazy.save(frame(1, 2))
    lazy.load()
    for path in temporary.glob(f"{STAGING_NAME}*/*"):
        path.write_bytes(path.read_bytes()[::-1])
    assert lazy.load().collect()["a"].to_list() == [1, 2]


def test_a_copy_that_somebody_has_removed_is_not_used_again(place: Place, temporary: Path) -> None:
    lazy = entry(place)
    lazy.save(frame(1, 2))
    lazy.load()
    for path in temporary.glob(f"{STAGING_NAME}*/*"):
        path.unlink()
    assert lazy.load().collect()["a"].to_list() == [1, 2]


def test_no_more_copies_are_kept_than_a_process_needs(
    place: Place, temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kept, "MOST_COPIES", 3)
    caplog.set_level("INFO", "kedro.statisfactory")
    lazy = entry(place)
    loaded = []
    for number in range(5):
        lazy.save(frame(number))
        loaded.append(lazy.load())
    if is_local(place):
        return
    assert copies(temporary) == 3
    assert [each.collect()["a"].to_list() for each in loaded[2:]] == [[2], [3], [4]]
    assert "is dropped, because it was replaced since" in caplog.text


def test_copies_take_no_more_of_the_disk_than_a_share_of_it(
    place: Place, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_LARGEST_SHARE", 0.0)
    lazy = entry(place)
    for number in range(3):
        lazy.save(frame(number))
        assert lazy.load().collect()["a"].to_list() == [number], "the newest stays"
    assert copies(temporary) <= 1


@pytest.mark.parametrize(
    ("dataset", "make"),
    [
        ("networkx.JSONDataset", "graph"),
        ("plotly.JSONDataset", "figure"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_is_in_memory_leaves_no_copy(place: Place, temporary: Path, dataset: str, make: str) -> None:
    import networkx as nx
    import plotly.graph_objects as go

    data = nx.path_graph(3) if make == "graph" else go.Figure(go.Bar(x=["a"], y=[1]))
    eager = entry(place, "x.json", dataset)
    eager.save(data)
    for _ in range(3):
        eager.load()
    assert copies(temporary) == 0


def test_a_fork_leaves_the_copies_to_its_parent(temporary: Path) -> None:
    from kedro_statisfactory.datasets.staging import staging_folder

    with staging_folder(None) as folder:
        (folder.path / "x").write_text("data")
        reader: Any = Paths(str(folder.path))  # type: ignore[abstract]
        assert kept.keep_for_lazy(folder, folder.path / "x", "url", Found([]), reader)
    before = list(kept._kept)
    try:
        kept._forget()  # which a forked child calls
        kept._remove_all()
        assert folder.path.is_dir()
    finally:
        kept._kept[:] = before


def test_the_newest_copy_of_each_url_stays(place: Place, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_COPIES", 1)
    monkeypatch.setattr(kept, "_LARGEST_SHARE", 0.0)
    loaded = []
    for number in range(4):
        lazy = entry(place, f"{number}.parquet")
        lazy.save(frame(number))
        loaded.append(lazy.load())
    assert [each.collect()["a"].to_list() for each in loaded] == [[0], [1], [2], [3]]


def test_entries_of_one_url_share_a_copy(place: Place, temporary: Path) -> None:
    entry(place).save(frame(1))
    loaded = [entry(place).load() for _ in range(5)]
    assert copies(temporary) <= 1
    assert all(each.collect()["a"].to_list() == [1] for each in loaded)


def test_links_to_a_file_with_an_odd_name_are_no_copies(tmp_path: Path, temporary: Path) -> None:
    lazy = ArtifactDataset(filepath=str(tmp_path / "x[1].parquet"), dataset=LAZY)
    lazy.save(frame(1))
    loaded = [lazy.load() for _ in range(3)]
    assert sum(each.size for each in kept._kept) < 10_000
    assert all(each.collect()["a"].to_list() == [1] for each in loaded)
