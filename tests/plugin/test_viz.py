"""What kedro-viz asks for and reads of entries, in its own words.

It is not installed here: its hooks would take part in each run of these tests, and each process would import them for
a second. What stands for it has the names and the questions of kedro-viz 12.5.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import ParseResult

import pytest
from kedro.io import DataCatalog
from kedro_datasets.text import TextDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend
from kedro_statisfactory.plugin.hooks import StatisfactoryHooks
from kedro_statisfactory.plugin.viz import let_viz_ask_entries
from kedro_statisfactory.project import project

pytestmark = pytest.mark.once


class Parcel(Backend, prefix="parcel"):
    """One that can only fetch all of an object to say how large it is."""

    def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None: ...

    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        raise AssertionError("nobody needs the object")


def _ask_fsspec(dataset: Any) -> int | None:
    """As kedro-viz does: with an address alone."""
    import fsspec.core

    path = getattr(dataset, "filepath", None) or getattr(dataset, "_filepath", None)
    if not path:
        return None
    file_system, name = fsspec.core.url_to_fs(str(path))
    return int(file_system.size(name)) if file_system.exists(name) else None


@pytest.fixture
def viz(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The places in which the two hooks of kedro-viz ask."""
    modules = {"hooks": ModuleType("hooks"), "run_hooks": ModuleType("run_hooks")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"kedro_viz.integrations.kedro.{name}", module)
    vars(modules["hooks"])["dataset_stats_hook"] = statistics = SimpleNamespace(get_file_size=_ask_fsspec)
    vars(modules["run_hooks"])["compute_size"] = lambda name, datasets: _ask_fsspec(datasets.get(name)) or 0
    return SimpleNamespace(statistics=statistics, status=modules["run_hooks"])


def test_both_hooks_of_viz_are_told_the_size_of_what_fsspec_cannot_reach(
    viz: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "_announced", None)
    context: Any = SimpleNamespace(project_path=tmp_path, config_loader={})
    for _ in range(2):  # two sessions of one process
        StatisfactoryHooks().after_context_created(context)
    monkeypatch.setattr(ArtifactDataset, "stored_bytes", lambda self: 7)
    entry = ArtifactDataset(filepath="lakefs://repository/x.txt", dataset="text.TextDataset")
    assert viz.statistics.get_file_size(entry) == 7
    assert viz.status.compute_size("x", DataCatalog({"x": entry})) == 7


def test_without_that_fsspec_is_asked_and_fails() -> None:
    """The negative control."""
    with pytest.raises(ImportError, match="lakefs-spec"):
        _ask_fsspec(ArtifactDataset(filepath="lakefs://repository/x.txt"))


def test_viz_asks_as_before_about_entries_of_others(viz: SimpleNamespace, tmp_path: Path) -> None:
    let_viz_ask_entries()
    stock = TextDataset(filepath=str(tmp_path / "x.txt"))
    stock.save("four")
    assert viz.statistics.get_file_size(stock) == 4
    assert viz.status.compute_size("x", DataCatalog({"x": stock})) == 4


def test_a_size_that_is_not_known_or_costs_too_much_fails_nothing(viz: SimpleNamespace, tmp_path: Path) -> None:
    let_viz_ask_entries()
    days: dict[str, Any] = {"type": "partitions.PartitionedDataset", "dataset": "text.TextDataset"}
    for entry in (
        ArtifactDataset(filepath=str(tmp_path / "none.txt")),
        ArtifactDataset(filepath=str(tmp_path / "days"), dataset=days),
        ArtifactDataset(filepath="parcel://host/x"),
        ArtifactDataset(filepath="lakefs://repository/x.txt", credentials={"endpoint_url": "http://127.0.0.1:9"}),
    ):
        assert viz.statistics.get_file_size(entry) is None


@pytest.mark.parametrize(("module", "attribute"), [("hooks", "dataset_stats_hook"), ("run_hooks", "compute_size")])
def test_another_viz_is_left_alone(viz: SimpleNamespace, module: str, attribute: str) -> None:
    del vars(sys.modules[f"kedro_viz.integrations.kedro.{module}"])[attribute]
    let_viz_ask_entries()


def _preview(entry: Any) -> tuple[str, Any]:
    """Kind and content of a preview, as the panel of kedro-viz finds them."""
    annotation = inspect.signature(entry.preview).return_annotation
    return getattr(annotation, "__name__", str(annotation)), entry.preview()


def test_previews_are_those_of_the_format(tmp_path: Path) -> None:
    import pandas as pd
    import plotly.express as px
    from matplotlib.figure import Figure

    table = pd.DataFrame({"a": range(9)})
    for name, dataset, data, kind in (
        ("x.csv", {"type": "pandas.CSVDataset", "save_args": {"index": False}}, table, "TablePreview"),
        ("x.parquet", "pandas.ParquetDataset", table, "TablePreview"),
        ("x.json", "json.JSONDataset", {"a": 1}, "JSONPreview"),
        ("x.png", "matplotlib.MatplotlibDataset", Figure(), "ImagePreview"),
        ("chart.json", "plotly.JSONDataset", px.scatter(table, x="a", y="a"), "PlotlyPreview"),
    ):
        entry: Any = ArtifactDataset(filepath=str(tmp_path / name), dataset=dataset)
        entry.save(data)
        found, content = _preview(entry)
        assert (found, bool(content)) == (kind, True)
    assert _preview(ArtifactDataset(filepath=str(tmp_path / "x.csv"), dataset="pandas.CSVDataset"))[1]["data"] == [
        [number] for number in range(5)
    ]
    assert not hasattr(ArtifactDataset(filepath=str(tmp_path / "x"), dataset="text.TextDataset"), "preview")
