"""Dask with workers that see nothing of the driver: neither its folders and variables, nor git and a home."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DatasetError
from kedro.pipeline import Node, Pipeline

from kedro_statisfactory import ArtifactDataset
from tests.engines.test_native_in_runs import paths
from tests.runs.conftest import ROOT, KedroProject
from tests.runs.conftest import project as project
from tests.runs.project import pipeline_registry
from tests.runs.test_collections import edit

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@contextlib.contextmanager
def workers(folder: Path) -> Iterator[Any]:
    """A scheduler in this process, and one worker elsewhere."""
    distributed: Any = importlib.import_module("distributed")
    bare = {"PATH": "/nonexistent", "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "TMPDIR": str(folder)}
    # Without an address for the dashboard, the scheduler takes port 8787 all the same.
    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    quiet = {"n_workers": 0, "processes": False, "protocol": "tcp", **here}
    with distributed.LocalCluster(**quiet) as cluster, distributed.Client(cluster) as client:
        command = [sys.executable, "-W", "ignore", "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        worker = subprocess.Popen(
            [*command, "--no-dashboard", "--no-nanny", "--nthreads", "2", "--host", "127.0.0.1"],
            cwd=folder,
            env=bare,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            client.wait_for_workers(1, timeout=120)
            yield client
        finally:
            worker.terminate()
            worker.wait(30)


def table(rows: int, parts: int) -> Any:
    """Numbers from 0 on, in so many parts."""
    dataframe: Any = importlib.import_module("dask.dataframe")
    return dataframe.from_pandas(pd.DataFrame({"n": range(rows)}), npartitions=parts)


def make(parameters: dict[str, Any]) -> Any:
    """A table in as many parts as the parameter says."""
    pipeline_registry.act("make", parameters)
    return table(8, parameters["parts"])


def measure(days: Any, lines: Any, parameters: dict[str, Any]) -> dict[str, int]:
    """Add up a column of two tables."""
    pipeline_registry.act("measure", parameters)
    return {"n": int(days["n"].sum().compute() + lines["n"].sum().compute())}


def test_workers_elsewhere_write_to_the_branch_of_the_run(
    project: KedroProject, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [Node(make, "parameters", name, name=name) for name in ("days", "lines")]
    pipeline = Pipeline([*made, Node(measure, ["days", "lines", "parameters"], "a", name="measure")])
    monkeypatch.setattr(pipeline_registry, "register_pipelines", lambda: {"__default__": pipeline})
    for name, (url, dataset) in {
        "days": ("days", "dask.ParquetDataset"),
        "lines": ("lines/*.csv", {"type": "dask.CSVDataset", "save_args": {"index": False}}),
    }.items():
        where = f"lakefs://{project.repository}/{url}"
        entry = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": where, "dataset": dataset, "native": True}
        edit(project, name, entry)
    with workers(tmp_path_factory.mktemp("worker")) as client:
        told = client.run(lambda: [os.environ.get(name) for name in ("LAKECTL_SERVER_ENDPOINT_URL", "HOME")])
        assert list(told.values()) == [[None, "/nonexistent"]]
        project.run(parts=4)
        assert len(paths(project, "days/")) == 4
        with pytest.raises(RuntimeError):
            project.run(parts=3, fail=["measure"])
        assert len(paths(project, "lines/")) == 4
        project.run(parts=2)
    assert [len(paths(project, below)) for below in ("days/", "lines/")] == [2, 2]
    assert project.catalog().load("a") == {"n": 2 * sum(range(8))}
    outputs = json.loads(project.log()[0].metadata["kedro_outputs"])
    assert [outputs[name]["objects"] for name in ("days", "lines")] == ["2", "2"]


def test_dask_reads_and_writes_on_s3(seaweed: Any, bucket: str) -> None:
    for url, dataset in {"x": "dask.ParquetDataset", "y/*.csv": "dask.CSVDataset"}.items():
        entry = ArtifactDataset(
            filepath=f"s3://{bucket}/{url}", dataset=dataset, credentials=seaweed.credentials, native=True
        )
        for parts in (3, 2):
            entry.save(table(6, parts))
        assert entry.load()["n"].sum().compute() == 15
        assert len(list(entry.backend.list(fragment=entry.location))) == 2
        assert entry.exists()
        loaded = entry.load()
        with pytest.raises(DatasetError, match="is read, when it is written, from what it would replace"):
            entry.save(loaded.assign(m=loaded["n"] * 2))
        assert entry.load()["n"].sum().compute() == 15


def test_what_dask_made_of_a_table_by_other_collections_is_known_to_read_it(seaweed: Any, bucket: str) -> None:
    """Delayed objects, bags and arrays bring graphs of their own into a table."""
    frame: Any = importlib.import_module("dask.dataframe")
    entry = ArtifactDataset(
        filepath=f"s3://{bucket}/x", dataset="dask.ParquetDataset", credentials=seaweed.credentials, native=True
    )
    entry.save(table(6, 2))
    loaded = entry.load()
    bag, array = loaded.to_bag(format="dict"), loaded.to_dask_array(lengths=True)
    for again in (
        frame.from_delayed(loaded.to_delayed(), meta=loaded._meta),
        frame.from_delayed(
            [importlib.import_module("dask").delayed(pd.concat)(loaded.to_delayed())], meta=loaded._meta
        ),
        bag.to_dataframe(meta={"n": int}),
        frame.from_dask_array(array, columns=["n"]),
    ):
        with pytest.raises(DatasetError, match="is read, when it is written, from what it would replace"):
            entry.save(again)
    delayed: Any = importlib.import_module("dask").delayed(pd.DataFrame)({"n": [1, 2]})
    entry.save(frame.from_delayed([delayed], meta=loaded._meta))
    assert entry.load()["n"].sum().compute() == 3
