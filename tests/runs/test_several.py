"""Runs over several repositories: what is known before keeps a run out of all of them. Hooks that refuse."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import MergeConflict, RunError
from kedro_statisfactory.project import RUN_ID
from tests.runs.conftest import KedroProject

pytestmark = pytest.mark.once

BOTH = ({"a": 3, "b": 30, "total": 3}, {"elsewhere": 30})
REFUSES = """
name: guard
on:
  {event}:
    branches: [main]
hooks:
  - id: quality
    type: lua
    properties:
      script: error("no such data")
"""

CLOSED = """
name: closed
on:
  pre-create-tag:
hooks:
  - id: ask
    type: lua
    properties:
      script: |
        local lakefs = require("lakefs")
        if lakefs.stat_object(action.repository_id, "open", "total.json") ~= 200 then
          error("no tags of runs")
        end
"""


def _read(project: KedroProject) -> tuple[dict[str, int], dict[str, int]]:
    return project.read(), project.read(repository=project.other)


def _guard(project: KedroProject, event: str) -> None:
    """Have lakeFS ask a hook of the repository where a run lands last."""
    where = f"/repositories/{project.repository}/branches/main/objects?path=_lakefs_actions/guard.yaml"
    project.server.call("POST", where, body=REFUSES.format(event=event).encode())
    project.api.create_commit(project.repository, "main", "Guarded", {})


@pytest.mark.parametrize("commits", [True, False])
def test_a_conflict_in_the_last_repository_keeps_a_run_out_of_the_first(project: KedroProject, commits: bool) -> None:
    with project.waiting_run("add", value=3, pipeline="both") as run:
        project.write("total.json", 50)
        if commits:
            project.api.create_commit(project.repository, "main", "By somebody else", {})
    assert isinstance(run.exception(), MergeConflict)
    assert re.search(r"not reached.*main.*main", str(run.exception()))
    assert _read(project) == ({"total": 50}, {})
    run_id = re.findall(r"finish (\S+)`", str(run.exception()))[0]
    assert project.invoke("run", "finish", run_id).exit_code == 1
    assert _read(project) == ({"total": 50}, {}), "`finish` looks first, too"
    done = project.invoke("run", "finish", run_id, "--merge", "source-wins")
    assert done.exit_code == 0, done.output
    assert _read(project) == BOTH


def test_what_a_run_read_in_the_last_repository_keeps_it_out_of_the_first_if_the_settings_say_so(
    project: KedroProject,
) -> None:
    project.settings(inputs="conflict")
    project.run(1)
    with project.waiting_run("second", value=3, pipeline="both", nodes=["second", "other"]) as run:
        project.write("a.json", 50)
    assert "the entries a, which the run read, have changed" in str(run.exception())
    assert project.read(repository=project.other) == {}


def test_a_conflict_that_comes_between_two_merges_says_where_the_run_is(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = LakeFSAPI.merge

    def merged(self: LakeFSAPI, repository: str, *more: Any) -> str:
        done = merge(self, repository, *more)
        if repository == project.other:
            project.write("total.json", 50)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "merge", merged)
        with pytest.raises(MergeConflict, match=f"has reached the data branch 'main' of.*'{project.other}'") as caught:
            project.run(3, pipeline="both")
    assert (len(project.branches(project.other)), len(project.branches())) == (1, 2)
    run_id = re.findall(r"finish (\S+)`", str(caught.value))[0]
    assert project.invoke("run", "finish", run_id, "--merge", "source-wins").exit_code == 0
    assert _read(project) == BOTH


@pytest.mark.parametrize("finish", [False, True])
def test_a_hook_that_refuses_the_merge_into_the_last_repository_keeps_a_run_out_of_the_first(
    project: KedroProject, finish: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _guard(project, "pre-merge")
    if finish:
        monkeypatch.setenv(RUN_ID, "nightly")
        project.run(3, pipeline="both")
        done = project.invoke("run", "finish", "nightly").output
        assert "action 'guard' hook 'quality': " in done
        assert "has reached" not in done
    else:
        with pytest.raises(RunError, match=r"'guard' hook 'quality': .*no such data.*not reached.*main.*main"):
            project.run(3, pipeline="both")
    assert project.read(repository=project.other) == {}


def test_hooks_of_other_events_change_nothing(project: KedroProject) -> None:
    _guard(project, "post-merge")
    project.run(3, pipeline="both")
    assert project.read(repository=project.other) == {"elsewhere": 30}


def test_a_tag_in_the_place_of_the_last_data_branch_keeps_a_run_out_of_the_first(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    project.api.create_tag(project.repository, "feature--x", "main")
    with pytest.raises(RunError, match=r"a tag or commit has this name.*not reached.*feature--x.*feature--x"):
        project.run(3, pipeline="both")
    assert "feature--x" not in project.branches(project.other)


def test_a_new_data_branch_in_several_repositories(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    project.run(3, pipeline="both")
    assert (project.read("feature--x"), project.read("feature--x", project.other)) == BOTH


def test_looking_ahead_costs_three_calls_for_each_of_several_repositories(
    project: KedroProject, calls: Callable[[], Counter[str]]
) -> None:
    project.run(3)
    one = calls()
    project.run(3, pipeline="both")
    several = calls() - one
    # Whether there are uncommitted changes, where the branch is, and whether there are hooks; all else is as for one.
    assert several["GET branches"] == 2 * (one["GET branches"] + 2)
    assert several["GET objects"] == one["GET objects"] + 1 + 2
    for call in ("POST branches", "POST refs", "GET commits", "POST tags", "DELETE branches"):
        assert several[call] == 2 * one[call]


# -- hooks that refuse tags ----------------------------------------------------------------------------------------


def _close(project: KedroProject) -> str:
    """Have a hook refuse tags until there is a branch `open`, and run; gives what is said."""
    where = f"/repositories/{project.repository}/branches/main/objects?path=_lakefs_actions/closed.yaml"
    project.server.call("POST", where, body=CLOSED.encode())
    project.api.create_commit(project.repository, "main", "Closed", {})
    with pytest.raises(RunError, match="a hook refuses its tag") as caught:
        project.run(3)
    assert "stack traceback" not in str(caught.value)
    assert project.read()["total"] == 3
    (commit,) = re.findall(r"as the commit (\w+),", str(caught.value))
    assert project.catalog().load("b", version=commit) == {"n": 30}
    return str(caught.value)


@pytest.mark.once
def test_a_hook_that_refuses_a_tag_is_told_and_asked_again_by_finish(project: KedroProject) -> None:
    (run_id,) = re.findall(r"finish (\S+)`", _close(project))
    done = project.invoke("run", "finish", run_id)
    assert (done.exit_code, "a hook refuses its tag" in done.output) == (2, True)
    project.api.create_branch(project.repository, "open", "main")
    done = project.invoke("run", "finish", run_id)
    assert done.exit_code == 0, done.output
    assert project.tags()[f"kedro-{run_id}"] == project.log()[0].id
    assert sorted(project.branches()) == ["main", "open"]


def test_a_run_whose_tag_a_hook_refuses_stays_without_it_when_it_is_aborted(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    (run_id,) = re.findall(r"abort (\S+)`", _close(project))
    done = project.invoke("run", "abort", run_id)
    assert (done.exit_code, "it stays there" in done.output) == (0, True)
    assert "stays without a tag; load it by its commit" in caplog.text
    assert project.branches() == ["main"]
    assert project.tags() == {}
    assert project.read()["total"] == 3
