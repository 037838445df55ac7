"""Runs that wait or are left over: ended all together, and dropped by the runs that come later."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import Conflict, MergeConflict, PermissionDenied
from kedro_statisfactory.plugin import cli
from kedro_statisfactory.project import RUN_ID
from kedro_statisfactory.project.branches import run_branch, run_tag, token_of
from kedro_statisfactory.runs import waiting
from kedro_statisfactory.runs.tags import tag_run
from tests.runs.conftest import KedroProject

pytestmark = pytest.mark.once


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


# -- several runs of one id ----------------------------------------------------------------------------------------


def _nightly(project: KedroProject, value: int, pipeline: str = "__default__") -> None:
    """A run with an id that others have, too, as a service gives it."""
    bootstrap_project(project.path)
    service = KedroServiceSession.create(project_path=project.path)
    service.run(run_id="nightly", pipeline_names=[pipeline], runtime_params={"value": value})


@pytest.fixture
def two_wait(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Let two runs of one id wait in two repositories; gives what tells each of them, by what it wrote."""

    def refuse(*_: object) -> object:
        raise MergeConflict("others were faster")

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "merge", refuse)
        for value in (1, 2):
            with pytest.raises(MergeConflict):
                _nightly(project, value, "both")
    branches = [name for name in project.branches() if name != "main"]
    assert sorted(map(token_of, branches)) == sorted(
        token_of(name) for name in project.branches(project.other) if name != "main"
    )
    return {project.read(name)["a"]: token_of(name) for name in branches}


def test_the_second_run_of_an_id_says_by_what_it_is_found(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "kedro.statisfactory"):
        _nightly(project, 1)
        assert "Load it again by this id." in caplog.text
        _nightly(project, 2)
    (found_by,) = re.findall(r"Load it again by '(nightly-\w{8})'", caplog.text)
    assert f"The id 'nightly' is that of another run in '{project.repository}'" in caplog.text
    catalog = project.catalog()
    assert catalog.load("b", version=found_by) == {"n": 20}
    assert catalog.load("b", version="nightly") == {"n": 10}
    entry: Any = catalog.get("b")
    assert list(entry.list_versions())[:2] == [found_by, "nightly"]


def test_of_two_runs_of_one_id_that_wait_it_is_asked_which_is_meant(
    project: KedroProject, two_wait: dict[int, str]
) -> None:
    for verb in ("finish", "abort"):
        done = project.invoke("run", verb, "nightly")
        assert done.exit_code == 2
        assert all(f"  nightly-{token}: kedro----" in done.output for token in two_wait.values()), done.output
        assert done.output.count(f"of {project.other}, ") == 2, done.output
    assert "total" in project.read()
    done = project.invoke("run", "finish", f"nightly-{two_wait[2]}")
    assert done.exit_code == 0, done.output
    assert (project.read()["a"], project.read(repository=project.other)) == (2, {"elsewhere": 20})
    done = project.invoke("run", "abort", "nightly")
    assert done.exit_code == 0, "there is one left"
    assert project.branches() == project.branches(project.other) == ["main"]


def test_on_a_terminal_the_answer_is_taken(
    project: KedroProject, two_wait: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_is_asked", lambda: True)
    done = project.invoke("run", "abort", "nightly", answer=f"nightly-{two_wait[1]}\n")
    assert done.exit_code == 0, done.output
    assert f"The run nightly-{two_wait[1]} is dropped." in done.output
    assert [token_of(name) for name in project.branches() if name != "main"] == [two_wait[2]]


@pytest.mark.usefixtures("later", "two_wait")
def test_all_that_wait_are_ended_though_two_have_one_id(project: KedroProject) -> None:
    done = project.invoke("run", "finish", "--all", "--merge", "source-wins")
    assert (done.exit_code, done.output.count("is finished")) == (0, 2), done.output
    assert project.branches() == project.branches(project.other) == ["main"]
    assert len([name for name in project.tags() if name.startswith("kedro-nightly")]) == 2


def test_a_run_whose_id_is_another_ones_in_one_repository_is_finished_in_the_other(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    _nightly(project, 1, "both")
    merge = LakeFSAPI.merge

    def refuse(self: LakeFSAPI, repository: str, *more: Any) -> str:
        if repository == project.repository:
            raise MergeConflict("others were faster")
        return merge(self, repository, *more)

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "merge", refuse)
        with pytest.raises(MergeConflict, match="has reached"):
            _nightly(project, 2, "both")
    done = project.invoke("run", "finish", "nightly")
    assert done.exit_code == 0, done.output
    assert (project.read()["a"], project.read(repository=project.other)) == (2, {"elsewhere": 20})


def test_tags_of_two_runs_are_never_moved(project: KedroProject) -> None:
    api, repository, first = project.api, project.repository, project.log()[-1].id
    for name in ("nightly", "nightly-0123abcd"):
        api.create_tag(repository, run_tag(name), first)
    told = {"kedro_run_id": "nightly", "kedro_finished": "2026-01-01T00:00:00+00:00"}
    with pytest.raises(Conflict):
        tag_run(api, repository, project.log()[0].id, told, "0123abcd")
    api.create_tag(repository, run_tag("nightly-4567abcd"), project.log()[0].id)  # of a try whose answer was lost
    assert tag_run(api, repository, project.log()[0].id, told, "4567abcd") == "nightly-4567abcd"


# -- left over by runs that were killed ----------------------------------------------------------------------------


def _leave(project: KedroProject, began: str) -> str:
    name = f"{run_branch('killed', began)}-0123abcd"
    project.api.create_branch(project.repository, name, "main", hidden=True)
    return name


def _let_time_go_by(project: KedroProject) -> None:
    """As if this project had looked for leftovers long ago."""
    (mark,) = (project.path / ".statisfactory").glob("swept-*")
    os.utime(mark, (0, 0))


def test_what_killed_runs_left_is_dropped_by_a_later_run_which_says_so(
    project: KedroProject, caplog: pytest.LogCaptureFixture, calls: Callable[[], Counter[str]]
) -> None:
    old, young = _leave(project, "20200101T000000Z"), _leave(project, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    project.run(1)
    assert old in project.branches(), "the first run of a project only notes when it was"
    before = calls()
    project.run(1)
    usual = calls() - before
    _let_time_go_by(project)
    before = calls()
    project.run(1)
    # One listing; what is on the one that is old enough, committed or not, and its end.
    assert calls() - before - usual == {"GET branches": 2, "GET refs": 1, "DELETE branches": 1}
    assert sorted(project.branches()) == [young, "main"]
    assert f"Dropped the branch '{old}'" in caplog.text
    _leave(project, "20200101T000000Z")
    before = calls()
    project.run(1)
    assert calls() - before == usual, "another look would be too soon"


def test_a_run_that_waits_is_named_by_later_runs_and_kept(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    project.settings(grace_hours=1e-6)
    project.run(1)
    run_id = _conflict(project, "first")
    _let_time_go_by(project)
    project.run(1)
    assert re.search(f"The run '{run_id}' has waited .*run finish {run_id}` lets it land", caplog.text)
    assert len(project.branches()) == 2


def test_a_look_that_fails_does_not_fail_the_run(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> object:
        raise PermissionDenied("no listing for you")

    project.run(1)
    _let_time_go_by(project)
    monkeypatch.setattr(LakeFSAPI, "branches", refuse)
    with caplog.at_level("INFO", "kedro.statisfactory"):
        project.run(2)
    assert "no listing for you" in caplog.text
    assert project.read()["a"] == 2


def test_a_grace_period_of_nothing_lets_no_run_drop_anything(project: KedroProject) -> None:
    project.settings(grace_hours=0)
    old = _leave(project, "20200101T000000Z")
    project.run(1)
    project.run(1)
    assert old in project.branches()


def test_a_joined_run_that_goes_on_is_dropped_by_no_other(project: KedroProject, monkeypatch: Any) -> None:
    monkeypatch.setenv(RUN_ID, "nightly")
    project.run(1)
    monkeypatch.delenv(RUN_ID)
    _let_time_go_by(project)
    project.run(2)
    assert run_branch("nightly", "joined") in project.branches()
