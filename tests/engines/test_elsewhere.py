"""Nodes on other hosts: what they write is known by the branch of the run, and what they need travels to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.io import AbstractDataset, DatasetError
from kedro.pipeline import Node, Pipeline

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends.lakefs.records import RECORDS
from kedro_statisfactory.errors import MergeConflict
from kedro_statisfactory.project import AT
from kedro_statisfactory.runs import RUN_ID, landing
from kedro_statisfactory.runs.inputs import held_at
from tests.engines.elsewhere import Host, HostsRunner
from tests.engines.test_dask import workers
from tests.runs.conftest import KedroProject
from tests.runs.conftest import project as project
from tests.runs.project import pipeline_registry
from tests.runs.test_collections import collected as collected
from tests.runs.test_collections import edit

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


def keys_in_catalog(project: KedroProject) -> None:
    """Give each entry the keys, which travel with it; the address of the server is named by a variable alone."""
    catalog = project.path / "conf/base/catalog.yml"
    entries = {name: {**entry, "credentials": "lake"} for name, entry in yaml.safe_load(catalog.read_text()).items()}
    catalog.write_text(yaml.safe_dump(entries))
    keys = {"access_key_id": project.server.access_key, "secret_access_key": project.server.secret_key}
    (project.path / "conf/local/credentials.yml").write_text(yaml.safe_dump({"lake": keys}))


@pytest.fixture
def spread(project: KedroProject) -> KedroProject:
    """A project whose nodes may be anywhere."""
    keys_in_catalog(project)
    return project


def outputs(project: KedroProject, repository: str | None = None) -> Any:
    """What the newest run says that it has written."""
    return json.loads(project.log(repository=repository)[0].metadata["kedro_outputs"])


def inputs(project: KedroProject) -> Any:
    """What it says that it has read."""
    return json.loads(project.log()[0].metadata["kedro_inputs"])


def marks(project: KedroProject) -> list[str]:
    """What runs have left of their marks on the data branch."""
    return [stat.path for stat in project.api.list(project.repository, "main", f"{RECORDS}written")]


def test_what_other_hosts_make_again_as_it_was_is_written_all_the_same(spread: KedroProject) -> None:
    runner = HostsRunner(Host())
    spread.run(3, runner)
    told = outputs(spread)
    assert told.keys() == {"a", "b", "total"}
    assert (
        inputs(spread)["total_before"]["checksum"]
        == spread.api.stat(spread.repository, "main~1", "total.json").checksum
    )
    spread.run(3, runner, nodes=["first", "second"])
    assert outputs(spread) == {name: told[name] for name in ("a", "b")}
    assert marks(spread) == []
    with pytest.raises(RuntimeError):
        spread.run(4, runner, fail=["add"])
    assert spread.read() == {"a": 3, "b": 30, "total": 3}
    assert spread.branches() == ["main"]


def test_what_other_hosts_make_again_conflicts_with_what_others_have_changed(spread: KedroProject) -> None:
    class Slow(Host):
        def gather(self, futures: Any) -> Any:
            spread.run(5, nodes=["first"])
            return super().gather(futures)

    spread.run(3, nodes=["first"])
    with pytest.raises(MergeConflict, match="the entries a "):
        spread.run(3, HostsRunner(Slow()), nodes=["first"])
    assert spread.read() == {"a": 5, "total": 0}


def test_a_collection_that_another_host_makes_again_is_written(collected: KedroProject) -> None:
    keys_in_catalog(collected)
    for parts in ([1, 2], [1, 2]):
        collected.run(runner=HostsRunner(Host()), pipeline="cut", parts=parts)
        assert outputs(collected)["days"]["objects"] == "2"
    collected.run(runner=HostsRunner(Host()), pipeline="work", parts=[])
    assert outputs(collected).keys() == {"new", "a", "b"}
    assert marks(collected) == []


def test_a_part_on_other_hosts_that_reached_one_repository_is_missed(
    spread: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote where it has landed is what was there: its mark alone tells of it."""
    more = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": f"lakefs://{spread.other}/more.json"}
    edit(spread, "more", {**more, "dataset": "json.JSONDataset", "credentials": "lake"})
    pipelines = pipeline_registry.register_pipelines()
    pipelines["more"] = Pipeline(
        [Node(pipeline_registry.first, "parameters", name, name=name) for name in ("a", "more")]
    )
    monkeypatch.setattr(pipeline_registry, "register_pipelines", lambda: pipelines)
    spread.run(3, pipeline="both")
    monkeypatch.setenv(RUN_ID, "spread")
    land = landing._merge

    def fail(target: Any, *arguments: Any) -> str:
        if target.repository == spread.repository:
            raise MergeConflict("not now.")
        return land(target, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(landing, "_merge", fail)
        with pytest.raises(MergeConflict, match="has reached the run in"):
            spread.run(3, HostsRunner(Host()), pipeline="both", nodes=["first", "other"])
    spread.run(4, pipeline="more")
    done = spread.invoke("run", "finish", "spread")
    assert "is not whole" in done.output
    assert spread.read() == {"a": 3, "b": 30, "total": 3}


def test_what_does_not_travel_is_an_error_of_the_entry(project: KedroProject) -> None:
    with pytest.raises(DatasetError, match="there is no access_key_id and no secret_access_key for lakeFS"):
        project.run(3, HostsRunner(Host()))
    assert project.read() == {"total": 0}


def test_no_variable_of_another_host_leads_past_the_run(spread: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever that names, the run goes on at the server where it has begun, and reads what the driver wanted read."""
    elsewhere = {"LAKECTL_SERVER_ENDPOINT_URL": spread.server.endpoint_url.replace("127.0.0.1", "localhost")}
    runner = HostsRunner(Host(elsewhere))
    first = spread.run(3, runner)
    with pytest.raises(RuntimeError):
        spread.run(4, runner, fail=["add"])
    assert spread.read() == {"a": 3, "b": 30, "total": 3}
    spread.run(5, nodes=["first"])
    monkeypatch.setenv(AT, first)
    spread.settings(mode="direct")
    spread.run(5, runner, nodes=["second"])
    assert spread.read() == {"a": 5, "b": 30, "total": 3}


def test_workers_of_dask_run_the_nodes(spread: KedroProject, tmp_path_factory: pytest.TempPathFactory) -> None:
    with workers(tmp_path_factory.mktemp("worker")) as client:
        runner = HostsRunner(client)
        for _ in range(2):
            spread.run(3, runner, nodes=["first", "second"])
            assert outputs(spread).keys() == {"a", "b"}
        with pytest.raises(RuntimeError, match="second fails"):
            spread.run(4, runner, fail=["second"])
    assert spread.read() == {"a": 3, "b": 30, "total": 0}
    assert spread.branches() == ["main"]
    assert marks(spread) == []


class Lines(AbstractDataset[str, str]):
    """Text, with a mode."""

    def __init__(self, filepath: str, save_args: Any = None) -> None:
        self._where = Path(filepath)

    def _load(self) -> str:
        return self._where.read_text()

    def _save(self, data: str) -> None:
        self._where.write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}


def test_what_a_mode_keeps_is_not_said_to_be_written(tmp_path: Path) -> None:
    noted: list[str] = []
    for mode in ("ignore", "overwrite"):
        dataset = {"type": Lines, "save_args": {"mode": mode}}
        entry = ArtifactDataset(filepath=str(tmp_path / "x.txt"), dataset=dataset)
        entry.backend.note_written = lambda mode=mode, **_: noted.append(mode)  # type: ignore[method-assign]
        entry.save(mode)
    assert noted == ["overwrite"]


def test_what_was_read_elsewhere_is_what_the_commit_has(project: KedroProject) -> None:
    for name, number in {"days/1": 1, "days/2": 2, "days/": 3}.items():
        project.write(name, number)
    commit = project.api.create_commit(project.repository, "main", "days", {})
    assert held_at(project.api, project.repository, commit, "days/1")["size"] == "8"
    assert held_at(project.api, project.repository, commit, "days")["objects"] == "2", (
        "what stands for the folder is no object of it"
    )
    assert held_at(project.api, "no-such-repository", commit, "days") == {}
