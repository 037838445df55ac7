"""Engines that write straight to the branch of a run: it lands whole or not at all, and twice is a conflict."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from kedro.io import AbstractDataset, DatasetError
from kedro.pipeline import Node, Pipeline

from kedro_statisfactory import Backend
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.backends.s3.filesystem import EngineFileSystem
from kedro_statisfactory.errors import MergeConflict
from tests.runs.conftest import KedroProject
from tests.runs.conftest import calls as calls
from tests.runs.conftest import project as project
from tests.runs.project import pipeline_registry
from tests.runs.test_collections import edit

pytestmark = pytest.mark.once


class Parts(AbstractDataset[dict[str, bytes], list[str]]):
    """Writes files that it names, with markers of folders as S3A leaves them."""

    def __init__(self, filepath: str, credentials: Any = None) -> None:
        self._where, self._fs = filepath, EngineFileSystem(**credentials)

    def _load(self) -> list[str]:
        return sorted(name.partition("/")[2] for name in self._fs.find(self._where))

    def _save(self, data: dict[str, bytes]) -> None:
        for name, payload in data.items():
            self._fs.pipe_file(f"{self._where}/{name}", payload)
        access = self._fs.storage_options["access"]
        client = s3_client(self._fs._session)
        client.put_object(Bucket=access.bucket, Key=f"{access.key}/deep/er/", Body=b"")

    def _describe(self) -> dict[str, Any]:
        return {}


def scan(parameters: dict[str, Any]) -> pl.LazyFrame:
    """Make a table of the parameter."""
    pipeline_registry.act("scan", parameters)
    return pl.LazyFrame({"n": [parameters["value"]]})


def count(table: pl.LazyFrame, parameters: dict[str, Any]) -> dict[str, int]:
    """Add up a column of it."""
    pipeline_registry.act("count", parameters)
    return {"n": int(table.collect()["n"].sum())}


def split(parameters: dict[str, Any]) -> dict[str, bytes]:
    """Make files."""
    pipeline_registry.act("split", parameters)
    return {f"deep/er/{name}": str(parameters["value"]).encode() for name in parameters["parts"]}


@pytest.fixture
def natives(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> KedroProject:
    """The project with native entries, and pipelines that write and read them."""
    counted = Node(count, ["table", "parameters"], "a", name="count")
    pipelines = {
        "both": Pipeline([Node(scan, "parameters", "table", name="scan"), counted]),
        "count": Pipeline([counted]),
        "split": Pipeline([Node(split, "parameters", "parts", name="split")]),
    }
    monkeypatch.setattr(pipeline_registry, "register_pipelines", lambda: pipelines)
    table = {"type": "polars.LazyPolarsDataset", "file_format": "parquet"}
    for name, dataset in {"table": table, "parts": "tests.engines.test_native_in_runs.Parts"}.items():
        url = f"lakefs://{project.repository}/{name}"
        entry = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": url, "dataset": dataset, "native": True}
        edit(project, name, entry)
    return project


def paths(project: KedroProject, below: str = "parts") -> list[str]:
    """What is on the data branch."""
    return [stat.path for stat in project.api.list(project.repository, "main", below)]


def test_what_engines_write_in_a_run_lands_with_it_or_not_at_all(natives: KedroProject) -> None:
    with pytest.raises(RuntimeError):
        natives.run(pipeline="both", value=7, fail=["count"])
    assert paths(natives, "table") == []
    natives.run(pipeline="both", value=8)
    assert natives.catalog().load("a") == {"n": 8}
    outputs = json.loads(natives.log()[0].metadata["kedro_outputs"])
    stat = natives.api.stat(natives.repository, "main", "table")
    assert outputs["table"] == {"path": "table", "checksum": stat.checksum}


def test_an_input_of_a_run_is_read_as_it_was_and_is_noted(natives: KedroProject) -> None:
    run_id = natives.run(pipeline="both", value=1)
    with natives.waiting_run("count", pipeline="count") as one:
        natives.run(pipeline="both", value=2)
    with pytest.raises(MergeConflict):
        one.result()
    natives.run(pipeline="count")
    inputs = json.loads(natives.log()[0].metadata["kedro_inputs"])
    assert inputs["table"]["checksum"] == natives.api.stat(natives.repository, "main", "table").checksum
    assert natives.catalog().load("a") == {"n": 2}
    assert run_id


def test_a_folder_of_an_engine_is_replaced_whole_without_its_markers(natives: KedroProject) -> None:
    natives.run(pipeline="split", value=1, parts=["1", "2", "3", "4"])
    natives.run(pipeline="split", value=2, parts=["5", "6"])
    assert paths(natives) == ["parts/deep/er/5", "parts/deep/er/6"]
    assert json.loads(natives.log()[0].metadata["kedro_outputs"])["parts"]["objects"] == "2"
    assert natives.catalog().load("parts") == ["deep/er/5", "deep/er/6"]


def test_two_runs_that_name_their_parts_anew_conflict(natives: KedroProject) -> None:
    with natives.waiting_run("split", pipeline="split", parts=["1"]) as one:
        natives.run(pipeline="split", parts=["2"])
    with pytest.raises(MergeConflict, match="parts"):
        one.result()
    assert paths(natives) == ["parts/deep/er/2"]


def test_a_native_save_adds_at_most_five_requests_and_a_load_two(natives: KedroProject, calls: Any) -> None:
    natives.run(pipeline="both", value=1)
    natives.run(pipeline="split", parts=["1", "2"])
    entry: Any = natives.catalog().get("parts")
    entry.bind(entry.backend.project)
    before = calls().total()
    entry.load()
    assert calls().total() - before <= 2
    before = calls().total()
    entry.save({str(number): b"" for number in range(30)})
    assert calls().total() - before <= 6  # outside of a run one more, which looks for the branch


def test_what_cannot_be_native_is_refused_before_anything_runs(natives: KedroProject) -> None:
    class Deaf(Backend, prefix="deaf"):
        def put(self, **_: Any) -> None: ...

        def get(self, **_: Any) -> bytes:
            return b""

    def wrong(said: str, **changed: Any) -> None:
        table = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": f"lakefs://{natives.repository}/table"}
        edit(natives, "table", {**table, "dataset": "pandas.ParquetDataset", "native": True, **changed})
        with pytest.raises(DatasetError, match=said):
            natives.run(pipeline="both")

    try:
        wrong("Deaf cannot let engines in", filepath="deaf://x/y")
    finally:
        Backend._backends.pop("deaf")
    wrong("takes no `credentials`", dataset="tests.engines.test_native_in_runs.Bare")
    wrong("versions in folders", filepath="data/table", versioned=True)
    wrong("before the data is there", dataset={"type": "dask.ParquetDataset", "save_args": {"compute": False}})
    wrong("those of a database", dataset={"type": "ibis.FileDataset", "file_format": "parquet"})
    wrong("Spark does not go", dataset="spark.spark_dataset_v2.SparkDatasetV2", native="object_store")
    wrong("has no engine", dataset=None)
    wrong("write true or false", native="magic")
    assert natives.branches() == ["main"]


class Bare(AbstractDataset[Any, Any]):
    """One whose engine cannot be told how to come in."""

    def __init__(self, filepath: str) -> None: ...

    def _load(self) -> Any: ...

    def _save(self, data: Any) -> None: ...

    def _describe(self) -> dict[str, Any]:
        return {}
