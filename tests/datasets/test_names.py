"""Every character of a path counts: no reader takes a name for a pattern and reads another file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError

from kedro_statisfactory import ArtifactDataset
from tests.datasets.conftest import Place

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # of the libraries of the formats

ODD = ["d[1]", "d?ta", "d*ta", "d{1,2}", "d%20x", "d\\x", "_d", ".d", "d#x", "d x"]
DECOYS = ["d1", "data", "d2", "d", "d x"]

READERS: dict[str, dict[str, Any]] = {
    "polars, lazy": {"type": "polars.LazyPolarsDataset", "file_format": "parquet"},
    "polars": {"type": "polars.EagerPolarsDataset", "file_format": "parquet"},
    "duckdb by ibis": {"type": "ibis.FileDataset", "file_format": "parquet", "connection": {"backend": "duckdb"}},
    "pandas": {"type": "pandas.ParquetDataset"},
    "dask": {"type": "dask.ParquetDataset"},
    "delta": {"type": "pandas.DeltaTableDataset"},
}


def values(table: Any) -> list[int]:
    """The column of a table of any library."""
    for method in ("collect", "compute", "to_pandas"):
        table = getattr(table, method)() if hasattr(table, method) else table
    return list(table["a"])


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("reader", READERS)
def test_the_file_that_is_meant_is_read(place: Place, tmp_path: Path, reader: str, name: str) -> None:
    import pandas as pd

    if "\\" in name and place.root.startswith("s3:"):
        return  # SeaweedFS takes it for a slash
    dataset = READERS[reader]
    is_delta = "Delta" in dataset["type"]
    for number, each in enumerate([name, *(each for each in DECOYS if each != name)]):
        writer = "pandas.DeltaTableDataset" if is_delta else "pandas.ParquetDataset"
        stock = ArtifactDataset(filepath=str(tmp_path / "made" / f"{number}.parquet"), dataset=writer)
        stock.save(pd.DataFrame({"a": [-number]}))
        place.write_file(tmp_path / "made" / f"{number}.parquet", f"{each}.parquet")
    entry = ArtifactDataset.from_config("x", place.entry(f"{name}.parquet", dataset=dataset))
    assert values(entry.load()) == [0]


def test_the_stock_class_reads_another_file(tmp_path: Path) -> None:
    """The negative control."""
    import polars as pl
    from kedro_datasets.polars import LazyPolarsDataset

    for name, value in (("d[1]", 0), ("d1", 1)):
        pl.DataFrame({"a": [value]}).write_parquet(tmp_path / f"{name}.parquet")
    stock = LazyPolarsDataset(filepath=str(tmp_path / "d[1].parquet"), file_format="parquet")
    assert values(stock.load()) == [1]


def test_a_folder_of_a_project_may_have_an_odd_name(tmp_path: Path) -> None:
    import polars as pl

    entry = ArtifactDataset(
        filepath=str(tmp_path / "[2026]" / "x.parquet"),
        dataset={"type": "polars.LazyPolarsDataset", "file_format": "parquet"},
    )
    entry.save(pl.LazyFrame({"a": [1]}))
    assert values(entry.load()) == [1]
    (tmp_path / "elsewhere").mkdir()
    folder = ArtifactDataset(filepath=str(tmp_path / "[2026]" / "parts"), dataset="pandas.DeltaTableDataset")
    folder.save(pl.DataFrame({"a": [1]}).to_pandas())
    assert values(folder.load()) == [1]


def test_a_folder_for_temporary_files_with_an_odd_name_is_named(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t[e]mp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t[e]mp"))
    lazy = {"type": "polars.LazyPolarsDataset", "file_format": "parquet"}
    entry = ArtifactDataset.from_config("x", place.entry("d[1].parquet", dataset=lazy, native=False))
    plain = ArtifactDataset.from_config("x", place.entry("x.txt", dataset="text.TextDataset"))
    plain.save("text")
    assert plain.load() == "text", "a reader that takes no patterns"
    import polars as pl

    entry.save(pl.LazyFrame({"a": [1]}))
    with pytest.raises(DatasetError, match=r"E0501.*may take a part of .*t\[e\]mp.* for a pattern.*TMPDIR"):
        entry.load()
