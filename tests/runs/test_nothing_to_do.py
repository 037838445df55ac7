"""A run with nothing to write leaves nothing, wherever its workers are, and loses nothing."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import PermissionDenied
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import RUN_BRANCH
from tests.runs.conftest import KedroProject, with_folder

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def _run_what_is_missing(project: KedroProject, pipeline: str = "wide", **options: Any) -> None:
    bootstrap_project(project.path)
    service = KedroServiceSession.create(project_path=project.path)
    service.run(pipeline_names=[pipeline], only_missing_outputs=True, **options)


def _state(project: KedroProject, repository: str | None = None) -> tuple[list[str], list[str], dict[str, str]]:
    """Commits, branches and tags."""
    commits = [commit.id for commit in project.log(repository=repository)]
    return commits, project.branches(repository), project.tags(repository)


@pytest.mark.parametrize("mode", ["isolated", "direct"])
def test_a_run_with_nothing_to_do_leaves_no_commit_and_no_tag(
    project: KedroProject, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    project.settings(mode=mode)
    project.run(pipeline="wide")
    before = _state(project)
    caplog.clear()
    with caplog.at_level("INFO", "kedro.statisfactory"):
        _run_what_is_missing(project)
    assert _state(project) == before
    said = [record.getMessage() for record in caplog.records if record.name == "kedro.statisfactory"]
    assert len(said) == 1
    assert "had nothing to write to lakeFS: its outputs are there already" in said[0]


def test_a_repository_to_which_a_run_had_nothing_to_write_is_one_that_it_only_read(project: KedroProject) -> None:
    project.run()
    commits, branches, tags = _state(project)
    _run_what_is_missing(project, "both", node_names=["first", "second", "other"], run_id="rest")
    assert project.read(repository=project.other) == {"elsewhere": 10}
    found = project.log(repository=project.other)[0].metadata
    assert json.loads(found["kedro_outputs"]).keys() == {"elsewhere"}
    assert json.loads(found["kedro_repositories"]) == [project.other]
    assert _state(project)[:2] == (commits, branches)
    new = {name: commit for name, commit in project.tags().items() if name not in tags}
    assert set(new.values()) == {commits[0]}
    (by_commit, by_id) = sorted(new)
    assert by_id == "kedro-rest"
    assert re.fullmatch(r"kedro-git-[0-9a-f]{40}-read--[0-9]{13}--rest", by_commit)


def _blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody write the journal, as on another host."""
    monkeypatch.setattr(Project, "note_written", lambda *_: None)


@pytest.mark.parametrize("mode", ["isolated", "direct"])
def test_what_workers_on_another_host_wrote_is_told_by_the_branch(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    project.settings(mode=mode)
    _blind(monkeypatch)
    _run_what_is_missing(project, "__default__", node_names=["first", "second"])
    found = json.loads(project.log()[0].metadata["kedro_outputs"])
    stat = project.api.stat(project.repository, "main", "b.json")
    assert found.keys() == {"a", "b"}
    assert found["b"] == {"path": "b.json", "checksum": stat.checksum}


def test_a_folder_that_a_worker_on_another_host_wrote_is_told(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_folder(project)
    project.run(3, nodes=["first"])
    told = json.loads(project.log()[0].metadata["kedro_outputs"])
    _blind(monkeypatch)
    project.run(4, nodes=["first"])
    project.run(3, nodes=["first"])
    assert json.loads(project.log()[0].metadata["kedro_outputs"]) == told


def test_a_run_that_writes_the_bytes_that_are_there_has_a_commit_wherever_its_workers_are(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run(3, pipeline="wide")
    _blind(monkeypatch)
    run_id = project.run(3, pipeline="wide")
    assert project.log()[0].metadata["kedro_run_id"] == run_id


def test_what_a_node_adds_to_the_branch_of_a_run_is_committed_though_no_entry_was_written(
    project: KedroProject,
) -> None:
    project.run(pipeline="wide")

    class Other:
        @hook_impl
        def after_pipeline_run(self) -> None:
            (hidden,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
            project.write("extra.json", 1, hidden)

    bootstrap_project(project.path)
    service = KedroServiceSession.create(project_path=project.path)
    service._hook_manager.register(Other())
    service.run(pipeline_names=["wide"], only_missing_outputs=True)
    assert project.read()["extra"] == 1


def test_a_branch_that_does_not_tell_what_was_written_loses_nothing(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: Any) -> Any:
        raise PermissionDenied("no")

    _blind(monkeypatch)
    monkeypatch.setattr(LakeFSAPI, "uncommitted", deny)
    _run_what_is_missing(project)
    assert len(project.read()) == 41
