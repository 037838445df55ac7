"""A catalog of more than fifty classes: what stock entries have saved is read back equal when they are moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kedro_statisfactory import ArtifactDataset
from tests.datasets.test_formats import FORMATS, _frame, _graph, _plain
from tests.plugin.migrate.conftest import OURS, Moving

pytestmark = [
    pytest.mark.once,
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the libraries of the formats
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def _dask() -> Any:
    import dask.dataframe

    frames: Any = dask.dataframe
    return frames.from_pandas(_frame(), npartitions=1)


_MORE: dict[str, tuple[dict[str, Any], Any]] = {
    "graphml": ({"type": "networkx.GraphMLDataset", "filepath": "g.graphml"}, None),
    "plotly": (
        {
            "type": "plotly.PlotlyDataset",
            "filepath": "p.json",
            "plotly_args": {"type": "bar", "fig": {"x": "name", "y": "id"}},
        },
        _frame,
    ),
    "dask_csv": ({"type": "dask.CSVDataset", "filepath": "parts/*.csv", "save_args": {"index": False}}, _dask),
    "dask_parquet": ({"type": "dask.ParquetDataset", "filepath": "parquet"}, _dask),
    "days": (
        {
            "type": "partitions.PartitionedDataset",
            "path": "days/",
            "dataset": "json.JSONDataset",
            "filename_suffix": ".json",
        },
        lambda: {"1": {"a": 1}, "2/3": {"b": 2}},
    ),
    "new_days": (
        {"type": "partitions.IncrementalDataset", "path": "new", "dataset": "text.TextDataset"},
        lambda: {"1": "one"},
    ),
}
_ONLY_SAVED = {
    "polars_csv": {"type": "polars.CSVDataset", "filepath": "pl.csv"},  # which cannot load with polars 2
    "plots": {"type": "matplotlib.MatplotlibDataset", "filepath": "plot.png"},
    "page": {"type": "plotly.HTMLDataset", "filepath": "p.html"},
}
_NOT_HERE = {
    "biosequence.BioSequenceDataset": "filepath",
    "holoviews.HoloviewsWriter": "filepath",
    "huggingface.ArrowDataset": "path",
    "huggingface.CSVDataset": "path",
    "huggingface.JSONDataset": "path",
    "huggingface.ParquetDataset": "path",
    "openxml.DocxDataset": "filepath",
    "openxml.PptxDataset": "filepath",
    "spark.DeltaTableDataset": "filepath",
    "spark.SparkDataset": "filepath",
    "tensorflow.TensorFlowModelDataset": "filepath",
}
_STAY: dict[str, dict[str, Any]] = {
    "api": {"type": "api.APIDataset", "url": "https://example.org"},
    "cached": {"type": "CachedDataset", "dataset": {"type": "text.TextDataset", "filepath": "c.txt"}},
    "chat": {"type": "langchain.ChatOpenAIDataset", "kwargs": {"model": "x"}},
    "gbq": {"type": "pandas.GBQTableDataset", "dataset": "d", "table_name": "t"},
    "hive": {"type": "spark.SparkHiveDataset", "database": "d", "table": "t"},
    "jdbc": {"type": "spark.SparkJDBCDataset", "table": "t", "url": "u"},
    "memory": {"type": "MemoryDataset"},
    "query": {"type": "pandas.SQLQueryDataset", "filepath": "query.sql", "credentials": "db"},
    "redis": {"type": "redis.PickleDataset", "key": "k"},
    "snow": {"type": "snowflake.SnowparkTableDataset", "table_name": "t"},
    "stream": {"type": "spark.SparkStreamingDataset", "filepath": "stream"},
    "table": {"type": "ibis.TableDataset", "table_name": "t"},
    "sql": {"type": "pandas.SQLTableDataset", "table_name": "t", "credentials": "db"},
    "managed": {"type": "databricks.ManagedTableDataset", "table": "t"},
}


def _in_yaml(dataset: dict[str, Any]) -> dict[str, Any]:
    """Without a class among the arguments, for which YAML has no word."""
    return {key: value for key, value in dataset.items() if "destringizer" not in value}


def _with_data() -> dict[str, tuple[dict[str, Any], Any]]:
    formats = {
        f"format_{number}": ({**_in_yaml(each.dataset), "filepath": f"{number}/{each.name}"}, each.make)
        for number, each in enumerate(FORMATS)
    }
    return {**formats, **_MORE, "graphml": (_MORE["graphml"][0], _graph)}


def _loaded(data: Any, plain: Any = _plain) -> Any:
    if isinstance(data, dict) and any(map(callable, data.values())):
        return {key: load() for key, load in data.items()}
    return str(data.compute().to_dict()) if hasattr(data, "compute") else plain(data)


def test_what_stock_entries_of_fifty_classes_saved_is_read_back_equal(moving: Moving, tmp_path: Path) -> None:
    readable = _with_data()
    entries = {name: config for name, (config, _) in readable.items()}
    entries |= _ONLY_SAVED
    entries |= {f"absent_{n}": {"type": kind, path: f"a/{n}"} for n, (kind, path) in enumerate(_NOT_HERE.items())}
    for entry in entries.values():
        for argument in entry.keys() & {"filepath", "path"}:
            entry[argument] = f"data/{entry[argument]}"
    entries |= _STAY
    assert len({entry["type"] for entry in entries.values()}) >= 50
    moving.write(yaml.safe_dump(entries, sort_keys=False))
    moving.write("db: {con: 'sqlite://'}\n", "local/credentials.yml")
    (tmp_path / "data/parts").mkdir(parents=True)
    installed = {name: entry for name, entry in entries.items() if name in readable}
    moving.write(yaml.safe_dump(installed, sort_keys=False))
    stock = moving.catalog()
    before = {}
    for name, (_, make) in readable.items():
        stock.save(name, make())
        before[name] = _loaded(stock.load(name))

    moving.write(yaml.safe_dump(entries, sort_keys=False))
    output = moving.migrate()
    found = moving.entries()
    for name in _STAY:
        assert found[name] == entries[name]
        assert any(name in line and "left, because" in line for line in output.splitlines()), name
    for number, kind in enumerate(_NOT_HERE):
        assert found[f"absent_{number}"] == {"type": OURS, "filepath": f"data/a/{number}", "dataset": kind}
    assert "it is moved untried, since tensorflow.TensorFlowModelDataset cannot be imported here" in output

    moving.write(yaml.safe_dump({name: found[name] for name in [*readable, *_ONLY_SAVED]}))
    moved = moving.catalog()
    for name in _ONLY_SAVED:
        assert isinstance(moved.get(name), ArtifactDataset)
    for name in readable:
        assert isinstance(moved.get(name), ArtifactDataset)
        assert _loaded(moved.load(name)) == before[name], name
