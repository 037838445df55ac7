"""Answers that are lost, and steps of a landing that fail, make nothing twice and hide nothing."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import BackendUnreachable, Conflict, MergeConflict, PermissionDenied, RunError
from kedro_statisfactory.project.branches import RUN_BRANCH
from tests.runs.conftest import BEFORE, KedroProject

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.mark.parametrize("call", ["create_commit", "merge"])
def test_an_answer_that_is_lost_makes_nothing_twice(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    original = getattr(LakeFSAPI, call)
    lost: list[str] = []

    def lose(self: Any, *arguments: Any, **options: Any) -> Any:
        answer = original(self, *arguments, **options)
        if not lost:
            lost.append(call)
            raise BackendUnreachable("the answer is lost")
        return answer

    monkeypatch.setattr(LakeFSAPI, call, lose)
    run_id = project.run(3)
    assert lost
    assert [commit.message for commit in project.log()].count("kedro run __default__: 3 entries written") == 1
    assert project.tags()[f"kedro-{run_id}"] == project.log()[0].id
    assert project.branches() == ["main"]


@pytest.mark.parametrize("call", ["create_commit", "merge"])
def test_a_server_that_stays_silent_is_told(project: KedroProject, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise BackendUnreachable("no answer")

    monkeypatch.setattr(LakeFSAPI, call, fail)
    with pytest.raises(RunError, match="does not answer") as caught:
        project.run(3)
    assert project.read() == BEFORE
    (kept,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
    assert kept in str(caught.value)
    assert project.read(kept) == {"a": 3, "b": 30, "total": 3}
    assert project.invoke("clean", "--older-than", "0").exit_code == 0


def test_what_could_not_be_committed_in_one_repository_keeps_the_others_from_landing(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, commit = max(project.repository, project.other), LakeFSAPI.create_commit

    def refuse(self: LakeFSAPI, repository: str, *more: Any, **options: Any) -> str:
        if repository == last:
            raise PermissionDenied("a hook says no")
        return commit(self, repository, *more, **options)

    monkeypatch.setattr(LakeFSAPI, "create_commit", refuse)
    with pytest.raises(
        RunError, match=r"could not be committed: .*a hook says no.*kept, uncommitted.*finish"
    ) as caught:
        project.run(3, pipeline="both")
    (run_id,) = re.findall(r"abort (\S+)`", str(caught.value))
    done = project.invoke("run", "finish", run_id)
    assert done.exit_code == 2
    assert "could not be committed: a hook says no" in done.output
    assert project.read() == BEFORE
    assert len(project.branches()) == len(project.branches(project.other)) == 2
    assert project.invoke("run", "abort", run_id).exit_code == 0
    assert project.branches() == project.branches(project.other) == ["main"]


def test_a_tag_that_cannot_be_made_is_told_and_can_be_made_later(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise BackendUnreachable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "create_tag", fail)
        with pytest.raises(RunError, match="a tag of it is missing") as caught:
            project.run(3)
    assert project.read() == {"a": 3, "b": 30, "total": 3}
    (run_id,) = re.findall(r"finish (\S+)`", str(caught.value))
    assert project.invoke("run", "finish", run_id).exit_code == 0
    assert project.tags()[f"kedro-{run_id}"] == project.log()[0].id
    assert len(project.log()) == 3
    assert project.branches() == ["main"]


def test_two_runs_with_one_id_have_two_tags(project: KedroProject) -> None:
    bootstrap_project(project.path)
    session = KedroServiceSession.create(project_path=project.path)
    for value in (1, 2):
        session.run(run_id="nightly", runtime_params={"value": value})
    tags = {name: project.read(commit)["a"] for name, commit in project.tags().items() if "kedro-nightly" in name}
    assert sorted(tags.values()) == [1, 2]


def test_a_branch_that_can_never_be_made_is_told(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: Any, **__: Any) -> str:
        raise Conflict("taken")

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "create_branch", taken)
        with pytest.raises(DatasetError, match=r"entry 'a'.*E0702.*no branch 'kedro----"):
            project.run(3)
    # Somebody else writes to the data branch whenever it has just been committed.
    monkeypatch.setattr(LakeFSAPI, "has_uncommitted", lambda *_: True)
    with pytest.raises(DatasetError, match=r"entry 'a'.*E0710.*no branch could be made"):
        project.run(3)
    assert project.branches() == ["main"]


def test_a_missing_tag_in_one_repository_does_not_keep_the_other_from_landing(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = min(project.repository, project.other)
    create = LakeFSAPI.create_tag

    def fail(self: LakeFSAPI, repository: str, *more: Any) -> None:
        if repository == first:
            raise BackendUnreachable("no answer")
        create(self, repository, *more)

    monkeypatch.setattr(LakeFSAPI, "create_tag", fail)
    with pytest.raises(RunError, match="a tag of it is missing"):
        project.run(3, pipeline="both")
    assert project.read() == {"a": 3, "b": 30, "total": 3}
    assert project.read(repository=project.other) == {"elsewhere": 30}
    assert {name for name in project.branches(max(project.repository, project.other))} == {"main"}


def test_a_branch_whose_answer_was_lost_is_recognised(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    create, asked = LakeFSAPI.create_branch, list[str]()

    def twice(self: LakeFSAPI, repository: str, name: str, *more: Any, **options: Any) -> str:
        asked.append(name)
        create(self, repository, name, *more, **options)
        return create(self, repository, name, *more, **options)

    monkeypatch.setattr(LakeFSAPI, "create_branch", twice)
    project.run(3)
    assert len(asked) == 1
    assert project.branches() == ["main"]
    assert project.read() == {"a": 3, "b": 30, "total": 3}


def test_a_second_run_of_the_same_id_lands_too_when_it_is_finished(project: KedroProject) -> None:
    bootstrap_project(project.path)
    session = KedroServiceSession.create(project_path=project.path)
    session.run(run_id="nightly", runtime_params={"value": 1})
    with ThreadPoolExecutor(1) as executor:
        begun, end = project.path / "begun-x", project.path / "end-x"
        wait = {"add": [str(begun), str(end)]}
        run = executor.submit(session.run, run_id="nightly", runtime_params={"value": 3, "wait": wait})
        while not begun.exists():
            time.sleep(0.01)
        project.run(2)
        end.touch()
    assert isinstance(run.exception(), MergeConflict)
    done = project.invoke("run", "finish", "nightly")
    assert (done.exit_code, "E0709" in done.output) == (1, True)
    assert project.invoke("run", "finish", "nightly", "--merge", "source-wins").exit_code == 0
    assert project.read() == {"a": 3, "b": 30, "total": 4}
    assert project.branches() == ["main"]


def test_what_is_lost_by_a_failure_is_told(project: KedroProject, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError):
        project.run(3, fail=["first"])
    assert "is dropped" not in caplog.text, "nothing was written"
    with pytest.raises(RuntimeError):
        project.run(3, fail=["add"])
    assert "wrote to lakeFS is dropped. To go on with `--from-nodes`, begin at the first node" in caplog.text


def test_a_run_that_is_aborted_while_it_lands_says_what_is_still_there(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = LakeFSAPI.merge

    def late(self: LakeFSAPI, repository: str, source: str, *more: Any) -> str:
        self.delete_branch(repository, source)
        return merge(self, repository, source, *more)

    monkeypatch.setattr(LakeFSAPI, "merge", late)
    with pytest.raises(
        RunError, match=r"ended elsewhere. What this run wrote is still there as the commit '"
    ) as caught:
        project.run(3)
    (commit,) = re.findall("as the commit '([0-9a-f]{64})'", str(caught.value))
    assert project.read(commit) == {"a": 3, "b": 30, "total": 3}
    assert project.read() == BEFORE


def test_a_tag_whose_answer_was_lost_is_recognised(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    create = LakeFSAPI.create_tag

    def twice(*arguments: Any) -> None:
        create(*arguments)
        create(*arguments)

    monkeypatch.setattr(LakeFSAPI, "create_tag", twice)
    run_id = project.run(3)
    assert len(project.tags()) == 2
    assert f"kedro-{run_id}" in project.tags()


def test_a_branch_that_cannot_be_dropped_does_not_hide_why_the_run_failed(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise BackendUnreachable("no answer")

    monkeypatch.setattr(LakeFSAPI, "delete_branch", fail)
    with pytest.raises(RuntimeError, match="add fails"):
        project.run(3, fail=["add"])
    assert "is left over" in caplog.text
