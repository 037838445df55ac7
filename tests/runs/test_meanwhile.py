"""What others do while a run is at work, in git, in lakeFS and in its folders, is kept or told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from kedro.runner import ThreadRunner

from kedro_statisfactory.backends.temporary import Temporary, new_folder
from kedro_statisfactory.errors import RunError
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.runs import beginning
from tests.runs.conftest import BEFORE, KedroProject

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def test_changes_made_outside_of_runs_are_committed_apart(project: KedroProject) -> None:
    project.write("total.json", 100)
    project.write("note.json", 7)
    project.run(3)
    assert project.read() == {"a": 3, "b": 30, "total": 103, "note": 7}
    assert [commit.message for commit in project.log()][:2] == [
        "kedro run __default__: 3 entries written",
        "Changes made outside of runs",
    ]


@pytest.mark.parametrize("pipeline", ["__default__", "wide"])
def test_changes_made_during_a_run_are_kept_too(project: KedroProject, pipeline: str) -> None:
    with project.waiting_run("first", value=3, pipeline=pipeline, runner=ThreadRunner(1)):
        project.write("note.json", 7)
    assert project.read()["note"] == 7
    assert [commit.message for commit in project.log()][1] == "Changes made outside of runs"
    assert len(project.branches()) == 1


def test_a_run_reads_one_snapshot(project: KedroProject) -> None:
    project.run(1)
    with project.waiting_run("second", pipeline="twice") as run:
        project.run(2)
    run.result()
    assert project.read(repository=project.other) == {"elsewhere": 10}
    assert project.read()["a"] == 2


def test_what_is_not_committed_in_a_repository_that_is_only_read_cannot_be_pinned(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    project.run(1)
    project.write("a.json", 5)
    project.run(pipeline="elsewhere")
    assert project.read(repository=project.other) == {"elsewhere": 50}
    assert "has uncommitted changes" in caplog.text
    assert project.api.has_uncommitted(project.repository, "main")


def test_a_new_git_branch_gets_a_data_branch_when_its_first_run_succeeds(project: KedroProject) -> None:
    project.run(1)
    project.git("switch", "-qc", "feature/x")
    project.settings(merge="source-wins")
    with pytest.raises(RuntimeError):
        project.run(2, fail=["add"])
    assert project.branches() == ["main"]
    project.run(2)
    assert project.branches() == ["feature--x", "main"]
    assert project.read("feature--x") == {"a": 2, "b": 20, "total": 3}
    assert project.read() == {"a": 1, "b": 10, "total": 1}
    project.run(5)
    assert project.read("feature--x") == {"a": 5, "b": 50, "total": 8}


def test_two_first_runs_of_a_branch_both_land_or_tell(project: KedroProject) -> None:
    project.git("switch", "-qc", "new")
    with project.waiting_run("first", value=3, pipeline="wide", runner=ThreadRunner(1)) as run:
        project.run(2)
    run.result()
    assert {key: value for key, value in project.read("new").items() if "wide" not in key} == {
        "a": 2,
        "b": 20,
        "total": 2,
    }
    assert project.read("new")["wide/39"] == 3


def test_a_repository_without_the_branch_is_read_from_where_it_would_be_made(project: KedroProject) -> None:
    project.run(3)
    project.git("switch", "-qc", "new")
    project.run(pipeline="elsewhere")
    assert project.read("new", project.other) == {"elsewhere": 30}
    assert project.branches() == ["main"]


def test_a_tag_in_the_place_of_the_data_branch_is_told_and_nothing_is_lost(project: KedroProject) -> None:
    project.git("switch", "-qc", "v1")
    with project.waiting_run("add", value=3) as run:
        project.api.create_tag(project.repository, "v1", "main")
    with pytest.raises(RunError, match=r"'v1' cannot be made .* Rename the tag") as caught:
        run.result()
    (kept,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
    assert kept in str(caught.value)


def test_a_run_that_is_ended_elsewhere_is_told(project: KedroProject) -> None:
    with project.waiting_run("first", value=3) as run:
        (hidden,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
        project.api.delete_branch(project.repository, hidden)
    with pytest.raises(DatasetError, match="the run was ended elsewhere"):
        run.result()
    assert project.branches() == ["main"]


def test_changes_made_before_a_run_that_reads_nothing_do_not_conflict_with_it(project: KedroProject) -> None:
    project.write("wide/0.json", 7)
    project.run(3, pipeline="wide")
    assert project.read()["wide/0"] == 3
    assert project.log()[1].message == "Changes made outside of runs"


def test_a_hook_of_another_package_that_fails_ends_the_run(project: KedroProject) -> None:
    class Other:
        when = "before"

        @hook_impl
        def before_pipeline_run(self) -> None:
            if self.when == "before":
                raise ValueError("another package fails")

        @hook_impl
        def after_pipeline_run(self) -> None:
            if self.when == "after":
                raise ValueError("another package fails")

    other = Other()
    for when in ("before", "after"):
        other.when = when
        bootstrap_project(project.path)
        with KedroSession.create(project.path) as session:
            session._hook_manager.register(other)  # type: ignore[attr-defined]
            with pytest.raises(ValueError, match="another package fails"):
                session.run()
        assert project.branches() == ["main"]
    assert project.read() == BEFORE


def test_a_branch_that_git_switches_to_in_mid_run_is_for_the_next_run(project: KedroProject) -> None:
    project.run(1)
    with project.waiting_run("second", value=3, runner=ThreadRunner(1)) as run:
        project.git("switch", "-qc", "feature/x")
    run.result()
    assert project.read() == {"a": 3, "b": 30, "total": 4}
    assert project.branches() == ["main"]
    project.run(5)
    assert project.branches() == ["feature--x", "main"]


def _journals(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The journals of the runs that begin."""
    made: list[Path] = []

    def record(*arguments: Any) -> Temporary:
        temporary = new_folder(*arguments)
        made.append(temporary.path / "journal")
        return temporary

    monkeypatch.setattr(beginning, "new_folder", record)
    return made


def test_a_journal_that_somebody_cleans_away_loses_no_run(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    journals = _journals(monkeypatch)
    with project.waiting_run("second", value=3):
        for notes in (journals[0], journals[0].with_name("saves")):
            notes.unlink()
    assert project.read() == {"a": 3, "b": 30, "total": 3}
    outputs = json.loads(project.log()[0].metadata["kedro_outputs"])
    assert outputs["b"]["path"] == "b.json"


def test_a_journal_that_somebody_cleans_away_hides_no_failure(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    journals = _journals(monkeypatch)
    with project.waiting_run("add", value=3, fail=["second"]) as run:
        journals[0].unlink()
    with pytest.raises(RuntimeError, match="second fails"):
        run.result()
    assert project.branches() == ["main"]
