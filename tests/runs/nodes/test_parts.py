"""Parts of a pipeline over several repositories find what was made before, wherever the record of that is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import PermissionDenied
from kedro_statisfactory.project import RUN_ID
from tests.runs.conftest import KedroProject

pytestmark = pytest.mark.once

Computes = Callable[..., list[str]]


@pytest.fixture
def computes(project: KedroProject, caplog: pytest.LogCaptureFixture) -> Computes:
    """Runs a pipeline, or nodes of it, and gives what was computed.

    Of the pipeline one node writes to disk alone, and two to a repository each.
    """

    def run(*nodes: str, missing: bool = True, pipeline: str = "three", **parameters: Any) -> list[str]:
        caplog.clear()
        with caplog.at_level("INFO", "kedro"):
            values = {"value": 1, "factor": 2, "other": 1, **parameters}
            project.run(pipeline=pipeline, missing=missing, nodes=list(nodes) or None, **values)
        told = [record.getMessage() for record in caplog.records]
        return sorted(text.removeprefix("Completed node: ") for text in told if text.startswith("Completed node: "))

    return run


def test_what_is_on_disk_alone_is_found_by_a_part_that_names_another_repository(computes: Computes) -> None:
    assert computes() == ["here", "local", "there"]
    assert computes(factor=3) == ["local"]
    assert computes("here", "local", factor=3) == [], "the other repository has the record"
    assert computes("here", "local", factor=4) == ["local"]
    assert computes("there", "local", factor=4) == []
    assert computes(factor=4) == []
    assert computes("there", "local", factor=3) == ["local"], "what was made of something else is no longer that"


@pytest.mark.parametrize("where", ["on main", "on a new branch", "in one run"])
def test_parts_that_have_no_repository_in_common_find_each_other(
    project: KedroProject, computes: Computes, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    file = project.path / "conf/base/catalog.yml"
    entries = yaml.safe_load(file.read_text())
    found = {
        "a": {"type": "CachedDataset", "dataset": entries["a"]},
        "as_well": entries["a"],
        "broken": {"type": "not.Installed", "filepath": f"lakefs://{project.repository}/x", "credentials": "none"},
        "nowhere": {**entries["a"], "credentials": "none"},
        "else{where}": entries["elsewhere"],
        "local": entries["local"],
    }
    file.write_text(yaml.safe_dump(found))
    (project.path / "conf/local/credentials.yml").write_text("none: {nonsense: 1}")
    if where == "in one run":
        monkeypatch.setenv(RUN_ID, "nightly")
    assert computes("here", "local", missing=False) == ["here", "local"]
    if where == "on a new branch":
        project.git("switch", "-qc", "feature/x")
    if where != "in one run":
        (project.path / "conf/base/parameters.yml").write_text("value: 1\nfactor: 2\nother: 1\n")
        told = json.loads(project.invoke("status", "--json", "-p", "there").stdout)["nodes"]
        assert {each["node"]: each["state"] for each in told} == {"local": "up to date", "there": "stale"}
    assert computes("there", "local") == ["there"]


def test_a_repository_that_cannot_be_asked_keeps_no_part_from_running(
    computes: Computes, monkeypatch: pytest.MonkeyPatch, project: KedroProject
) -> None:
    assert computes("here", "local") == ["here", "local"]
    log = LakeFSAPI.log

    def denied(self: LakeFSAPI, repository: str, *more: Any, **options: Any) -> Any:
        if repository == project.repository:
            raise PermissionDenied("no")
        return log(self, repository, *more, **options)

    monkeypatch.setattr(LakeFSAPI, "log", denied)
    assert computes("there", "local") == ["local", "there"]


def test_what_a_part_of_a_run_has_left_as_it_was_hides_not_what_another_part_has_made(
    project: KedroProject, computes: Computes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*nodes: str, missing: bool = True) -> list[str]:
        return computes(*nodes, missing=missing, pipeline="chain", value=value)

    value = 1
    run(missing=False)
    value = 2
    with monkeypatch.context() as patch:
        patch.setenv(RUN_ID, "nightly")
        assert run("one") == ["one"]
        assert run("times") == ["times"]
    project.invoke("run", "finish", "nightly")
    assert len(json.dumps(project.log()[0].metadata["kedro_nodes"]).split(", ")) == 2
    assert run("one", "times") == []
