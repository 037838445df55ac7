"""Runs that wait or are left over: ended all together, and dropped by the runs that come later."""

from __future__ import annotations

import pytest

from kedro_statisfactory.errors import MergeConflict
from kedro_statisfactory.project import RUN_ID
from kedro_statisfactory.runs import waiting
from tests.runs.conftest import KedroProject


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is when the runs have had time to land."""
    monkeypatch.setattr(waiting, "LANDS_WITHIN", 0.0)


def _conflict(project: KedroProject, node: str) -> str:
    """Let a run of one node wait, since somebody else has changed what it wrote; gives its id."""
    with project.waiting_run(node, value=3, nodes=[node]) as run:
        project.write({"first": "a", "second": "b", "add": "total"}[node] + ".json", 50)
    error = run.exception()
    assert isinstance(error, MergeConflict)
    return str(error).split("run finish ")[1].split("`")[0]


def _two(project: KedroProject) -> list[str]:
    project.run(1)
    return [_conflict(project, "first"), _conflict(project, "add")]


@pytest.mark.usefixtures("later")
def test_all_that_wait_are_finished_and_what_fails_keeps_no_other_from_it(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = _two(project)
    monkeypatch.setenv(RUN_ID, "nightly")  # which `--all` does not mean
    project.run(5, nodes=["second"])
    done = project.invoke("run", "finish", "--all")
    assert (done.exit_code, done.output.count("E0709")) == (1, 2)
    assert first in done.output
    assert second in done.output
    done = project.invoke("run", "finish", "--all", "--merge", "source-wins")
    assert done.exit_code == 0, done.output
    assert f"The run {first} is finished" in done.output
    assert f"The run {second} is finished" in done.output
    assert "joined--nightly" in done.output, "a run that goes on is named, and left alone"
    assert (project.read()["a"], project.read()["total"]) == (3, 51)
    assert [name for name in project.branches() if name != "main" and "joined--nightly" not in name] == []


@pytest.mark.usefixtures("later")
def test_all_that_wait_are_aborted(project: KedroProject) -> None:
    ids = _two(project)
    done = project.invoke("run", "abort", "--all")
    assert done.exit_code == 0, done.output
    assert all(f"The run {each} is dropped" in done.output for each in ids)
    assert project.branches() == ["main"]
    assert "No run waits." in project.invoke("run", "abort", "--all").output


def test_a_run_that_may_be_about_to_land_is_ended_by_its_name_alone(project: KedroProject) -> None:
    project.run(1)
    run_id = _conflict(project, "first")
    done = project.invoke("run", "abort", "--all")
    assert (done.exit_code, "may be about to land" in done.output) == (0, True)
    assert len(project.branches()) == 2
    assert project.invoke("run", "abort", run_id).exit_code == 0
    assert project.branches() == ["main"]


@pytest.mark.parametrize("arguments", [(), ("mine", "--all")])
def test_a_run_is_named_or_all_are(project: KedroProject, arguments: tuple[str, ...]) -> None:
    done = project.invoke("run", "finish", *arguments)
    assert (done.exit_code, "--all" in done.output) == (2, True)
