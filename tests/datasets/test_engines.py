"""Engines that work on several machines are refused before they write into a folder that they do not share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from kedro.io import AbstractDataset, DatasetError

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.datasets.engines import keeps_partitions, refuse_cluster, refuse_handle
from kedro_statisfactory.errors import InvalidFormat
from tests.datasets.conftest import Place


class Folder(AbstractDataset[dict[str, str], list[str]]):
    """Writes the files that it is given."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> list[str]:
        return sorted(path.name for path in self._filepath.rglob("*") if path.is_file())

    def _save(self, data: dict[str, str]) -> None:
        for name, text in data.items():
            (self._filepath / name).parent.mkdir(parents=True, exist_ok=True)
            (self._filepath / name).write_text(text)

    def _describe(self) -> dict[str, Any]:
        return {}


def spark_class(name: str = "SparkDataset", module: str = "spark_dataset") -> type:
    """A class of the name and place of one of Spark's."""
    return type(name, (Folder,), {"__module__": f"kedro_datasets.spark.{module}", "_save": Folder._save})


class Connect:
    """A session of Spark Connect, as far as it matters here."""

    @property
    def sparkContext(self) -> Any:
        """There is none."""
        raise RuntimeError("[JVM_ATTRIBUTE_NOT_SUPPORTED]")


def frame(master: str) -> Any:
    """A table of a session with such a master."""
    return SimpleNamespace(sparkSession=SimpleNamespace(sparkContext=SimpleNamespace(master=master)))


@pytest.mark.parametrize("master", ["local", "local[4]", "local[*]", "local[2,4]"])
def test_spark_on_this_machine_is_let_through(master: str) -> None:
    refuse_cluster(spark_class(), frame(master))


@pytest.mark.parametrize("master", ["spark://host:7077", "yarn", "k8s://https://host", "local-cluster[2,1,1024]"])
def test_a_cluster_of_spark_is_refused(master: str) -> None:
    with pytest.raises(InvalidFormat, match=r"SparkDataset works on the Spark master .*, whose workers may not see"):
        refuse_cluster(spark_class(), frame(master))


def test_spark_connect_is_refused() -> None:
    with pytest.raises(InvalidFormat, match="works on a Spark Connect server"):
        refuse_cluster(spark_class(), SimpleNamespace(sparkSession=Connect()))


def fake_spark(monkeypatch: pytest.MonkeyPatch, session: Any) -> None:
    module: Any = ModuleType("pyspark.sql")

    def active() -> Any:
        if session is None:
            raise RuntimeError("there is none")
        return session

    module.SparkSession = SimpleNamespace(active=active)
    monkeypatch.setitem(sys.modules, "pyspark", ModuleType("pyspark"))
    monkeypatch.setitem(sys.modules, "pyspark.sql", module)


def test_the_session_in_use_tells_before_anything_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_spark(monkeypatch, frame("yarn").sparkSession)
    with pytest.raises(InvalidFormat, match="'yarn'"):
        refuse_cluster(spark_class())
    fake_spark(monkeypatch, None)
    refuse_cluster(spark_class())


def test_nothing_is_known_where_nobody_has_used_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyspark.sql", raising=False)
    refuse_cluster(spark_class())
    assert not keeps_partitions(spark_class())


@pytest.mark.parametrize(("mode", "keeps"), [("dynamic", True), ("DYNAMIC", True), ("static", False)])
def test_a_session_that_replaces_single_partitions_gets_the_others(
    monkeypatch: pytest.MonkeyPatch, mode: str, keeps: bool
) -> None:
    fake_spark(monkeypatch, SimpleNamespace(conf={"spark.sql.sources.partitionOverwriteMode": mode}))
    assert keeps_partitions(spark_class()) == keeps
    assert not keeps_partitions(Folder)


@pytest.mark.parametrize(("cluster", "is_refused"), [("local", False), (None, True)])
def test_workers_of_dask_are_known_to_be_here_or_refused(
    monkeypatch: pytest.MonkeyPatch, cluster: Any, is_refused: bool
) -> None:
    class LocalCluster: ...

    distributed: Any = ModuleType("distributed")
    distributed.LocalCluster = LocalCluster
    client = SimpleNamespace(
        cluster=LocalCluster() if cluster else None, scheduler=SimpleNamespace(address="tcp://host:8786")
    )
    distributed.default_client = lambda: client
    monkeypatch.setitem(sys.modules, "distributed", distributed)
    kind = type("CSVDataset", (Folder,), {"__module__": "kedro_datasets.dask.csv_dataset"})
    if is_refused:
        with pytest.raises(InvalidFormat, match="works on the Dask scheduler 'tcp://host:8786'"):
            refuse_cluster(kind)
    else:
        refuse_cluster(kind)

    def none() -> None:
        raise ValueError("No clients found")

    distributed.default_client = none
    refuse_cluster(kind)
    monkeypatch.delitem(sys.modules, "distributed")
    refuse_cluster(kind)


def test_a_handle_on_a_copy_is_refused_and_one_on_the_table_itself_is_not(place: Place) -> None:
    kind = spark_class("DeltaTableDataset", "deltatable_dataset")
    entry: Any = ArtifactDataset.from_config("x", place.entry("table", dataset=Folder))
    entry.save({"a": "1"})
    handle: Any = ArtifactDataset.from_config("x", place.entry("table", dataset=kind))
    if place.root.startswith("/"):
        assert handle.load() == ["a"]
        handle.check_format(is_written=False)
        return
    with pytest.raises(DatasetError, match="gives a handle by which a table is changed where it is"):
        handle.load()
    with pytest.raises(InvalidFormat, match="gives a handle"):
        handle.check_format(is_written=False)
    with pytest.raises(InvalidFormat, match="gives a handle"):
        refuse_handle(kind)


@pytest.mark.parametrize(
    "files",
    [
        {"_SUCCESS": ""},
        {"_SUCCESS": "", "._SUCCESS.crc": ""},
        {"_delta_log/0.json": json.dumps({"add": {"path": "part%201.parquet"}})},
    ],
)
def test_a_folder_that_holds_none_of_what_was_promised_replaces_nothing(place: Place, files: dict[str, str]) -> None:
    entry: Any = ArtifactDataset.from_config("x", place.entry("table", dataset={"type": Folder}))
    entry.save({"old": "1"})
    hollow = ArtifactDataset.from_config("x", place.entry("table", dataset={"type": Overwriting}))
    with pytest.raises(DatasetError, match=r"E0501.*has written a folder without .*its workers may not see"):
        hollow.save(files)
    assert entry.load() == ["old"]


class Overwriting(Folder):
    """One that finds nothing of what was there before."""

    def __init__(self, filepath: str, overwrite: bool = True) -> None:
        super().__init__(filepath)


@pytest.mark.parametrize(
    "files",
    [
        {"_SUCCESS": "", "part-0": ""},
        {"_SUCCESS": "", "day=1/part-0": ""},
        {"_delta_log/0.json": json.dumps({"add": {"path": "part%201.parquet"}}), "part 1.parquet": ""},
        {"_delta_log/0.json": json.dumps({"add": {"path": "s3://elsewhere/part"}})},
        {"_delta_log/0.json": json.dumps({"remove": {"path": "part"}})},
    ],
)
def test_a_folder_with_its_parts_is_published(tmp_path: Path, files: dict[str, str]) -> None:
    entry = ArtifactDataset(filepath=str(tmp_path / "table"), dataset=Overwriting)
    entry.save(files)
    assert entry.load() == sorted(name.rpartition("/")[2] for name in files)


def test_a_refused_save_leaves_what_was_there(place: Place) -> None:
    entry: Any = ArtifactDataset.from_config("x", place.entry("table", dataset=Folder))
    entry.save({"old": "1"})
    spark = ArtifactDataset.from_config("x", place.entry("table", dataset={"type": spark_class()}))
    with pytest.raises(DatasetError, match="the Spark master 'yarn'"):
        spark.save(frame("yarn"))
    assert entry.load() == ["old"]
