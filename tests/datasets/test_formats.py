"""Any format of kedro-datasets in any place, and the same bytes as the stock dataset writes and reads."""

from __future__ import annotations

import email.message
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.io.core import parse_dataset_definition
from kedro_datasets.pickle import PickleDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.datasets.kept import is_eager
from tests.datasets.conftest import Place
from tests.servers.s3 import S3Server

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the libraries of the formats
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def _frame() -> Any:
    import pandas as pd

    return pd.DataFrame({"id": [1, 2, 3], "name": ["a", "ü", "c"], "mass": [1.5, 2.5, 3.5]})


def _polars_frame() -> Any:
    import polars as pl

    return pl.DataFrame({"id": [1, 2, 3], "name": ["a", "ü", "c"]})


def _lazy_frame() -> Any:
    return _polars_frame().lazy()


def _geo_frame() -> Any:
    import geopandas as gpd
    from shapely.geometry import Point

    return gpd.GeoDataFrame({"id": [1, 2], "geometry": [Point(1, 2), Point(3, 4)]}, crs="EPSG:4326")


def _graph() -> Any:
    import networkx as nx

    return nx.path_graph(4)


def _image() -> Any:
    from PIL import Image

    return Image.new("RGB", (4, 3), (10, 20, 30))


def _plotly_figure() -> Any:
    import plotly.graph_objects as go

    return go.Figure(go.Bar(x=["a", "b"], y=[1, 2]))


def _message() -> Any:
    message = email.message.Message()
    message.set_payload("text")
    message["Subject"] = "a subject"
    return message


def _table() -> Any:
    import ibis

    return ibis.memtable({"id": [1, 2, 3]})


def _matrix() -> Any:
    import numpy as np

    return {"m": np.arange(6.0).reshape(2, 3)}


def _svm() -> Any:
    import numpy as np

    return np.array([[1.0, 0.5], [0.0, 2.0]]), np.array([0.0, 1.0])


def _plain(data: Any) -> Any:
    """Something that `==` can compare."""
    if callable(getattr(data, "collect", None)):
        data = data.collect()
    if type(data).__module__.startswith("ibis."):
        data = data.to_pandas()
    for method in ("to_pydict", "to_dict"):
        if hasattr(data, method) and type(data).__module__.partition(".")[0] in ("pandas", "geopandas", "polars"):
            as_series = {"as_series": False} if "polars" in type(data).__module__ else {}
            return str(getattr(data, method)(**as_series))
    if hasattr(data, "edges"):
        return sorted(map(tuple, data.edges))
    if hasattr(data, "tobytes") and hasattr(data, "mode"):
        return data.mode, data.size, data.tobytes()
    if hasattr(data, "to_plotly_json"):
        return data.to_json()
    if isinstance(data, email.message.Message):
        return data.as_string()
    if isinstance(data, dict):
        return {key: str(value) for key, value in data.items() if not key.startswith("__")}
    if isinstance(data, tuple):
        return [str(getattr(part, "todense", lambda part=part: part)()) for part in data]
    return data


@dataclass(frozen=True)
class Format:
    """One format: its ``dataset``, the name of its file or folder, and what is saved."""

    kind: str
    name: str
    make: Callable[[], Any]
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def dataset(self) -> dict[str, Any]:
        return {"type": self.kind, **self.config}

    def stock(self, path: Path) -> Any:
        """The dataset of kedro-datasets itself, on a local path."""
        kind, arguments = parse_dataset_definition({**self.dataset, "filepath": str(path)})
        return kind(**arguments)


FORMATS = [
    Format("text.TextDataset", "notes.txt", lambda: "a line\nünd another\n"),
    Format("json.JSONDataset", "figures.json", lambda: {"rows": 344, "names": ["a", "ü"]}),
    Format("yaml.YAMLDataset", "settings.yml", lambda: {"a": [1, 2], "b": "ü"}),
    Format("pickle.PickleDataset", "model.pkl", lambda: {"weights": [1.5, 2.5]}),
    Format("pickle.PickleDataset", "model.joblib", lambda: {"weights": [1.5]}, {"backend": "joblib"}),
    Format("email.EmailMessageDataset", "mail.eml", _message),
    Format("pandas.CSVDataset", "t.csv", _frame, {"save_args": {"index": False}}),
    Format("pandas.ParquetDataset", "t.parquet", _frame),
    Format("pandas.FeatherDataset", "t.feather", _frame),
    Format("pandas.JSONDataset", "t.json", _frame),
    Format("pandas.ExcelDataset", "t.xlsx", _frame),
    Format("pandas.XMLDataset", "t.xml", _frame, {"save_args": {"index": False}}),
    Format("pandas.HDFDataset", "t.h5", _frame, {"key": "t"}),
    Format("pandas.GenericDataset", "generic.csv", _frame, {"file_format": "csv", "save_args": {"index": False}}),
    Format("pandas.DeltaTableDataset", "delta", _frame, {"save_args": {"mode": "overwrite"}}),
    Format("polars.EagerPolarsDataset", "p.csv", _polars_frame, {"file_format": "csv"}),
    Format("polars.EagerPolarsDataset", "p.parquet", _polars_frame, {"file_format": "parquet"}),
    Format("polars.LazyPolarsDataset", "lazy.parquet", _lazy_frame, {"file_format": "parquet"}),
    Format("ibis.FileDataset", "ibis.parquet", _table, {"file_format": "parquet", "table_name": "t"}),
    Format("geopandas.GenericDataset", "shapes.parquet", _geo_frame, {"file_format": "parquet"}),
    Format("networkx.GMLDataset", "graph.gml", _graph, {"load_args": {"destringizer": int}}),
    Format("networkx.JSONDataset", "graph.json", _graph),
    Format("pillow.ImageDataset", "image.png", _image),
    Format("plotly.JSONDataset", "plot.json", _plotly_figure),
    Format("matlab.MatlabDataset", "matrix.mat", _matrix),
    Format("svmlight.SVMLightDataset", "data.svm", _svm),
]


formats = pytest.mark.parametrize("form", FORMATS, ids=lambda form: f"{form.kind}-{form.name}")


@formats
def test_what_is_saved_comes_back_and_the_stock_dataset_reads_it(form: Format, place: Place, tmp_path: Path) -> None:
    entry = ArtifactDataset.from_config("entry", place.entry(form.name, dataset=form.dataset))
    assert not entry.exists()
    entry.save(form.make())
    assert entry.exists()
    loaded = _plain(entry.load())
    assert loaded == _plain(ArtifactDataset.from_config("again", place.entry(form.name, dataset=form.dataset)).load())
    (tmp_path / "raw").mkdir()
    place.read_file(form.name, tmp_path / "raw" / form.name)
    assert loaded == _plain(form.stock(tmp_path / "raw" / form.name).load())


@formats
def test_what_the_stock_dataset_wrote_is_read(form: Format, place: Place, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    path = tmp_path / "raw" / form.name
    form.stock(path).save(form.make())
    place.write_file(path, form.name)
    entry = ArtifactDataset.from_config("entry", place.entry(form.name, dataset=form.dataset))
    assert entry.exists()
    assert _plain(entry.load()) == _plain(form.stock(path).load())


def test_a_plot_can_be_saved_and_not_loaded(place: Place, tmp_path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    entry = ArtifactDataset.from_config("plot", place.entry("p.png", dataset="matplotlib.MatplotlibDataset"))
    figure = Figure()
    figure.add_subplot().plot([1, 2], [3, 4])
    entry.save(figure)
    place.read_file("p.png", tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DatasetError, match="MatplotlibDataset"):
        entry.load()


def test_bytes_need_no_format(place: Place, tmp_path: Path) -> None:
    catalog = DataCatalog.from_config({"blob": place.entry("blob.bin")})
    for payload in (b"\x00\xff", bytearray(b"array"), memoryview(b"view")):
        catalog.save("blob", payload)
        assert catalog.load("blob") == bytes(payload)
    with pytest.raises(DatasetError, match=r"blob.*E0501.*stores bytes, and got dict: name the format"):
        catalog.save("blob", {"a": 1})
    place.read_file("blob.bin", tmp_path / "raw")
    assert (tmp_path / "raw").read_bytes() == b"view"


def test_a_delta_table_keeps_its_history(place: Place) -> None:
    dataset = {"type": "pandas.DeltaTableDataset", "save_args": {"mode": "append"}}
    entry = ArtifactDataset.from_config("delta", place.entry("delta", dataset=dataset))
    entry.save(_frame())
    entry.save(_frame())
    assert len(entry.load()) == 6
    old = {**dataset, "load_args": {"version": 0}}
    assert len(ArtifactDataset.from_config("old", place.entry("delta", dataset=old)).load()) == 3


def test_a_format_that_remembers_what_it_has_read_is_asked_anew(place: Place) -> None:
    entry = ArtifactDataset.from_config("delta", place.entry("delta", dataset="pandas.DeltaTableDataset"))
    another = ArtifactDataset.from_config("same", place.entry("delta", dataset="pandas.DeltaTableDataset"))
    entry.save(_frame())
    for writer, rows in ((entry, 2), (another, 1)):
        assert len(entry.load()) > rows
        writer.save(_frame().head(rows))
        assert len(entry.load()) == rows


@pytest.mark.parametrize("kind", [dict, list])
def test_several_plots_are_added_to_those_that_are_there_unless_told_otherwise(place: Place, kind: type) -> None:
    from matplotlib.figure import Figure

    def names(overwrite: bool) -> list[str]:
        dataset = {"type": "matplotlib.MatplotlibDataset", "overwrite": overwrite}
        entry = ArtifactDataset.from_config("plots", place.entry(f"plots{overwrite}", dataset=dataset))
        assert isinstance(entry, ArtifactDataset)
        entry.save({"a.png": Figure(), "b.png": Figure()})
        entry.save({"c.png": Figure()} if kind is dict else [Figure()])
        return [info.path for info in entry.backend.list(fragment=entry.location)]

    new = "c.png" if kind is dict else "0.png"
    assert names(overwrite=False) == sorted(["a.png", "b.png", new])
    assert names(overwrite=True) == [new]


def test_a_format_that_appends_gets_the_old_bytes(place: Place) -> None:
    dataset = {"type": "text.TextDataset", "fs_args": {"open_args_save": {"mode": "a"}}}
    entry = ArtifactDataset.from_config("log", place.entry("log.txt", dataset=dataset))
    entry.save("one\n")
    entry.save("two\n")
    assert entry.load() == "one\ntwo\n"


def test_lazy_data_finds_its_bytes_after_the_load_and_the_release(place: Place) -> None:
    import gc

    entry = ArtifactDataset.from_config(
        "lazy", place.entry("l.parquet", dataset={"type": "polars.LazyPolarsDataset", "file_format": "parquet"})
    )
    entry.save(_lazy_frame())
    derived = entry.load().select("id")
    entry.release()
    gc.collect()
    assert derived.collect()["id"].to_list() == [1, 2, 3]


def test_chunks_of_a_reader_find_their_bytes(place: Place) -> None:
    entry = ArtifactDataset.from_config(
        "chunks",
        place.entry("t.csv", dataset={"type": "pandas.CSVDataset", "load_args": {"chunksize": 1}}),
    )
    entry.save(_frame())
    reader = entry.load()
    with reader:
        assert [len(chunk) for chunk in reader] == [1, 1, 1]


def _load_lazily(entry: ArtifactDataset) -> None:
    entry.load()


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_kept_bytes_go_with_the_process_that_loaded_them(
    seaweed: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_method: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    dataset = {"type": "polars.LazyPolarsDataset", "file_format": "parquet"}
    entry = ArtifactDataset(
        filepath=f"s3://{bucket}/x.parquet", dataset=dataset, credentials=seaweed.credentials, native=False
    )
    entry.save(_lazy_frame())
    data = entry.load()
    context: Any = multiprocessing.get_context(start_method)
    child = context.Process(target=_load_lazily, args=(entry,))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    assert len([name for name in os.listdir(tmp_path) if name.startswith(STAGING_NAME)]) == 1, "this process's own"
    assert data.collect()["id"].to_list() == [1, 2, 3]


class Own:
    """A class of which nobody knows whether it is lazy."""


def test_what_a_pickle_held_is_in_memory_whatever_it_is(
    seaweed: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for dataset, kept in (("pickle.PickleDataset", 0), (OwnReader, 1)):
        entry = ArtifactDataset(filepath=f"s3://{bucket}/x", dataset=dataset, credentials=seaweed.credentials)
        entry.save(Own())
        assert isinstance(entry.load(), Own)
        assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == kept


class OwnReader(PickleDataset):  # type: ignore[misc]
    """A format of somebody else's."""


def test_only_what_is_certainly_in_memory_counts_as_eager() -> None:
    assert is_eager(_frame())
    assert is_eager({"tables": [_frame(), (1, 2)]})
    assert is_eager(_polars_frame())
    assert not is_eager(_lazy_frame())
    assert not is_eager([_lazy_frame()])
    assert not is_eager(Own())
    assert not is_eager(number for number in (1, 2))
    assert not is_eager({"later": lambda: 1})
