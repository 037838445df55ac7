"""Collections in runs on lakeFS: one entry, one conflict, and a checkpoint that lands with the run."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from kedro.io import DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.runner import ParallelRunner, ThreadRunner

from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK
from kedro_statisfactory.errors import MergeConflict
from tests.runs.conftest import KedroProject
from tests.runs.project import pipeline_registry

pytestmark = pytest.mark.once

Value = dict[str, int]


def cut(parameters: dict[str, Any]) -> dict[str, Any]:
    """Make partitions of the parameter."""
    pipeline_registry.act("cut", parameters)
    return {f"{number}.json": {"n": number} for number in parameters["parts"]}


def total(parts: dict[str, Any]) -> Value:
    """Add up partitions."""
    return {"n": sum(load()["n"] for load in parts.values())}


def work(new: dict[str, Value], parameters: dict[str, Any]) -> Value:
    """Add up what is new."""
    pipeline_registry.act("work", parameters)
    return {"n": sum(each["n"] for each in new.values())}


@pytest.fixture
def collected(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> KedroProject:
    """The project with a collection, and pipelines that write it, read it and work off what is new."""
    pipelines = {
        "cut": Pipeline([Node(cut, "parameters", "days", name="cut")]),
        "total": Pipeline([Node(total, "days", "a", name="total")]),
        "both": Pipeline([Node(cut, "parameters", "days", name="cut"), Node(total, "days", "a", name="total")]),
        "work": Pipeline(
            [
                Node(work, ["new", "parameters"], "a", name="work", confirms="new"),
                Node(pipeline_registry.second, ["a", "parameters"], "b", name="second"),
            ]
        ),
    }
    monkeypatch.setattr(pipeline_registry, "register_pipelines", lambda: pipelines)
    edit(project, "days", _entry(project, "PartitionedDataset"))
    edit(project, "new", _entry(project, "IncrementalDataset"))
    return project


def _entry(project: KedroProject, kind: str) -> dict[str, Any]:
    return {
        "type": "kedro_statisfactory.ArtifactDataset",
        "filepath": f"lakefs://{project.repository}/days",
        "dataset": {"type": f"partitions.{kind}", "dataset": "json.JSONDataset"},
    }


def edit(project: KedroProject, name: str, entry: dict[str, Any]) -> None:
    """Change an entry of the catalog."""
    file = project.path / "conf/base/catalog.yml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), name: entry}))


def paths(project: KedroProject) -> list[str]:
    """What is on the data branch of the collection."""
    return [stat.path for stat in project.api.list(project.repository, "main", "days/")]


@pytest.mark.parametrize("runner", [None, ThreadRunner, ParallelRunner])
def test_partitions_land_as_one_entry_and_are_read_back(collected: KedroProject, runner: Any) -> None:
    collected.run(pipeline="both", runner=runner and runner(), parts=[1, 2])
    assert collected.catalog().load("a") == {"n": 3}
    assert paths(collected) == ["days/1.json", "days/2.json"]
    outputs = json.loads(collected.log()[0].metadata["kedro_outputs"])
    assert {key: outputs["days"][key] for key in ("path", "objects")} == {"path": "days", "objects": "2"}
    collected.run(pipeline="cut", parts=[3])
    collected.run(pipeline="total")
    assert collected.catalog().load("a") == {"n": 6}
    assert set(json.loads(collected.log()[0].metadata["kedro_inputs"])) >= {"days"}


def test_two_runs_that_write_other_partitions_of_a_collection_conflict(collected: KedroProject) -> None:
    collected.run(pipeline="cut", parts=[1])
    with collected.waiting_run("cut", pipeline="cut", parts=[2]) as one:
        collected.run(pipeline="cut", parts=[3])
    with pytest.raises(MergeConflict, match="days"):
        one.result()
    assert paths(collected) == ["days/1.json", "days/3.json"]


def test_the_mark_of_a_collection_tells_all_that_is_in_it(collected: KedroProject) -> None:
    def mark() -> str:
        return collected.api.stat(collected.repository, "main", f"{FOLDER_MARK}days").checksum

    collected.run(pipeline="cut", parts=[1, 2])
    before = mark()
    collected.run(pipeline="cut", parts=[3])
    assert mark() != before
    days: Any = collected.catalog().get("days")
    days.end_changes(["3.json"])
    assert mark() == before


def test_a_checkpoint_lands_with_the_run_or_not_at_all(collected: KedroProject) -> None:
    collected.run(pipeline="cut", parts=[1, 2])
    with pytest.raises(RuntimeError):
        collected.run(pipeline="work", fail=["second"])
    assert paths(collected) == ["days/1.json", "days/2.json"]
    collected.run(pipeline="work")
    assert paths(collected) == ["days/1.json", "days/2.json", "days/CHECKPOINT"]
    outputs = json.loads(collected.log()[0].metadata["kedro_outputs"])
    assert outputs["new"]["path"] == "days"
    collected.run(pipeline="cut", parts=[5])
    collected.run(pipeline="work")
    assert collected.catalog().load("a") == {"n": 5}


def test_partitions_of_an_input_stay_those_of_the_beginning_when_the_run_is_over(
    collected: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, Any] = {}

    def keep(parts: dict[str, Any]) -> Value:
        kept.update(parts)
        return {"n": 0}

    collected.run(pipeline="cut", parts=[1])
    pipelines = {"keep": Pipeline([Node(keep, "days", "a", name="keep")])}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline_registry, "register_pipelines", lambda: pipelines)
        collected.run(pipeline="keep")
    days: Any = collected.catalog().get("days")
    days.save({"1.json": {"n": 2}})
    assert kept["1.json"]() == {"n": 1}
    assert days.load()["1.json"]() == {"n": 2}


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("name", ["days", "{of}_days"])
def test_a_stock_collection_on_lakefs_is_refused_with_the_lines_to_write(
    collected: KedroProject, name: str, within: bool
) -> None:
    opening = {"open_args_save": {"newline": ""}}
    ours = {"type": "kedro_statisfactory.ArtifactDataset", "dataset": "json.JSONDataset"}
    keyed = {"type": "json.JSONDataset", "fs_args": {**opening, "secret": "hush"}, "credentials": {"key": "hush"}}
    stock = {
        "type": "partitions.PartitionedDataset",
        "path": f"lakefs://{collected.repository}/days",
        "dataset": keyed if within else ours,
        "filename_suffix": ".json",
        **({"metadata": {"tags": ["raw"]}} if within else {}),
        "load_args": {"maxdepth": 1},
        **({"credentials": "lake"} if name == "days" else {}),
    }
    (collected.path / "conf/base/credentials.yml").write_text("lake: {secret_access_key: hush-hush}\n")
    edit(collected, name, {"type": "CachedDataset", "dataset": stock} if within else stock)
    pipelines = {"stock": Pipeline([Node(total, "days" if name == "days" else "my_days", "a", name="total")])}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_registry, "register_pipelines", lambda: pipelines)
        with pytest.raises(DatasetError, match=r"(?s)days'.*E0203.*through fsspec, past the runs on lakeFS") as error:
            collected.run(pipeline="stock")
    said = str(error.value)
    assert "hush" not in said
    lines = yaml.safe_load(said.partition("\n\n")[2])
    (entry,) = lines.values()
    assert entry.get("metadata") == stock.get("metadata")
    assert entry["dataset"]["dataset"] == ({"type": "json.JSONDataset", "fs_args": opening} if within else ours)
    assert ("credentials" in entry) == (within or name == "days")
    entry["credentials"] = None
    edit(collected, "days", entry)
    collected.run(pipeline="cut", parts=[])
    assert collected.branches() == ["main"]
