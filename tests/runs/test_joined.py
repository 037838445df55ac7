"""One run over several processes, and the commands that end runs and clean up after them."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.backends.temporary import new_folder
from kedro_statisfactory.errors import BackendUnreachable, MergeConflict, PermissionDenied, RefNotFound, RunError
from kedro_statisfactory.project import AT
from kedro_statisfactory.project.branches import RUN_BRANCH, run_branch, run_tag
from kedro_statisfactory.runs import RUN_ID, Run, begin, finishing, interrupts, landing
from kedro_statisfactory.runs.leftovers import leftovers
from kedro_statisfactory.runs.target import JOINED, TOKEN, Target, command
from kedro_statisfactory.session import Session
from tests.runs.conftest import KedroProject
from tests.servers.lakefs import LakeFSServer

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
BEFORE = {"total": 0}
ID = "scheduled__2026-11-25T00:00:00+00:00"  # as Airflow names its runs


@pytest.fixture
def joined(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> KedroProject:
    """A project whose runs are all parts of one."""
    monkeypatch.setenv(RUN_ID, ID)
    return project


def _hidden(project: KedroProject) -> list[str]:
    return [name for name in project.branches() if name.startswith(RUN_BRANCH)]


@pytest.mark.parametrize(
    "told",
    [
        {"kedro_outputs": '{"a": '},
        {"kedro_outputs": "[]"},
        {"kedro_outputs": "{}"},
        {"kedro_outputs": '{"a": {"pith": "x"}}', "kedro_started": "2026"},
    ],
)
def test_commits_that_do_not_tell_of_a_run_are_an_error_of_ours(
    lakefs_local: LakeFSServer, told: dict[str, str]
) -> None:
    repository, branch = lakefs_local.new_repository(), run_branch(ID, JOINED)
    backend = LakeFSBackend(Session(lakefs_local.credentials))
    backend.api.create_branch(repository, branch, "main", hidden=True)
    backend.api.create_commit(repository, branch, "by another program", {TOKEN: branch, **told}, allow_empty=True)
    with pytest.raises(RunError, match="do not tell of a run as this package does"):
        finishing.finish([(backend, repository)], ID, None)
    assert [leftover.name for leftover in leftovers(backend.api, repository)] == [branch]


def test_the_parts_of_a_run_appear_when_it_is_finished(joined: KedroProject) -> None:
    sessions = [joined.run(3, nodes=[name]) for name in ("first", "second", "add")]
    assert joined.read() == BEFORE
    done = joined.invoke("run", "finish", ID)
    assert done.exit_code == 0, done.output
    assert joined.read() == {"a": 3, "b": 30, "total": 3}
    newest, begin, _ = joined.log()
    assert begin.message == "Begin"
    assert newest.message == "kedro run __default__: 3 entries written"
    found = newest.metadata
    assert found["kedro_run_id"] == ID
    assert json.loads(found["kedro_parts"]) == sessions
    assert json.loads(found["kedro_outputs"]).keys() == {"a", "b", "total"}
    assert json.loads(found["kedro_inputs"]).keys() == {"total_before"}, "a is no input of the run as a whole"
    assert found["kedro_node_names"] == "first, second, add"
    assert found["kedro_started"] < found["kedro_finished"]
    assert joined.branches() == ["main"]
    assert joined.catalog().load("b", version=ID) == {"n": 30}


def test_to_finish_twice_does_no_harm(joined: KedroProject) -> None:
    joined.run(3)
    for _ in range(2):
        done = joined.invoke("run", "finish")
        assert done.exit_code == 0
        assert done.output.splitlines()[-1].startswith(f"The run {ID} is finished")
    assert len(joined.log()) == 3


def test_to_abort_drops_the_run_and_twice_does_no_harm(joined: KedroProject) -> None:
    joined.run(3)
    assert joined.invoke("run", "abort").output.splitlines()[-1] == f"The run {ID} is dropped."
    assert joined.invoke("run", "abort").output.splitlines()[-1] == f"There is no run {ID} that waits."
    assert joined.read() == BEFORE
    assert joined.branches() == ["main"]


def test_a_part_that_failed_can_be_tried_again(joined: KedroProject) -> None:
    joined.run(3, nodes=["first"])
    with pytest.raises(RuntimeError, match="second fails"):
        joined.run(3, nodes=["second", "add"], fail=["second"])
    assert len(_hidden(joined)) == 1, "the part has left nothing"
    joined.run(3, nodes=["second", "add"])
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read() == {"a": 3, "b": 30, "total": 3}


def test_a_run_of_which_no_part_succeeded_cannot_be_finished(joined: KedroProject) -> None:
    with pytest.raises(RuntimeError):
        joined.run(3, fail=["first"])
    done = joined.invoke("run", "finish")
    assert done.exit_code == 2
    assert "is not complete" in done.output


def test_a_run_that_nobody_knows_cannot_be_finished(project: KedroProject) -> None:
    done = project.invoke("run", "finish", "no-such-run")
    assert done.exit_code == 2
    assert "no repository of the catalog has a run 'no-such-run'" in done.output


def test_a_part_of_a_finished_run_begins_another_attempt(
    joined: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    joined.run(3)
    assert joined.invoke("run", "finish").exit_code == 0
    first = joined.log()[0]
    joined.run(4, nodes=["first"])
    assert f"The run {ID!r} was finished. This is a part of another attempt, '{ID}--attempt-2'" in caplog.text
    joined.run(4, nodes=["second", "add"])
    assert joined.read() == {"a": 3, "b": 30, "total": 3}, "nothing of it is seen before it is finished"
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read() == {"a": 4, "b": 40, "total": 7}
    newest = joined.log()[0]
    assert newest.metadata["kedro_run_id"] == f"{ID}--attempt-2"
    assert newest.metadata["kedro_replaces"] == ID
    assert joined.tags()[run_tag(ID)] == first.id
    assert joined.tags()[run_tag(f"{ID}--attempt-2")] == newest.id
    assert joined.invoke("run", "finish").exit_code == 0, "twice does no harm"
    assert joined.log()[0].id == newest.id


def test_another_attempt_can_be_aborted_and_begun_again(joined: KedroProject) -> None:
    joined.run(3)
    joined.invoke("run", "finish")
    joined.run(4)
    assert joined.invoke("run", "abort").output.splitlines()[-1] == f"The run {ID} is dropped."
    assert joined.branches() == ["main"]
    joined.run(5)
    joined.invoke("run", "finish")
    joined.run(6)
    joined.invoke("run", "finish")
    assert joined.log()[0].metadata["kedro_run_id"] == f"{ID}--attempt-3"
    assert joined.read()["a"] == 6


def test_two_parts_that_begin_another_attempt_at_once_are_in_one(joined: KedroProject) -> None:
    joined.run(3)
    joined.invoke("run", "finish")
    context = multiprocessing.get_context("fork")
    parts = [
        context.Process(target=joined.run, args=(4,), kwargs={"nodes": nodes}) for nodes in (["first"], ["second"])
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join(120)
        assert part.exitcode == 0
    assert len(_hidden(joined)) == 1
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read() in ({"a": 4, "b": b, "total": 3} for b in (30, 40)), "the one may have seen the other's"


def test_a_part_that_only_reads_finds_the_attempt_as_well(joined: KedroProject) -> None:
    joined.run(3)
    joined.invoke("run", "finish")
    joined.run(4)
    joined.run(pipeline="reads", expect=400)


def test_an_attempt_that_is_finished_in_one_repository_alone_is_no_new_one(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, pipeline="both")
    joined.api.create_tag(joined.other, run_tag(ID), "main")
    joined.api.delete_branch(joined.other, run_branch(ID, JOINED))
    with pytest.raises(DatasetError, match=r"E0710.*was finished in .*, and waits in another repository"):
        joined.run(4, pipeline="both")


def test_parts_of_a_run_do_not_see_what_others_land(joined: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    joined.run(3, nodes=["first"])
    monkeypatch.delenv(RUN_ID)
    joined.run(50, pipeline="wide")
    monkeypatch.setenv(RUN_ID, ID)
    joined.run(3, nodes=["second", "add"])
    joined.invoke("run", "finish")
    assert joined.read()["total"] == 3
    assert joined.read()["wide/0"] == 50


def test_changes_made_outside_of_runs_are_committed_before_a_joined_run(joined: KedroProject) -> None:
    joined.write("total.json", 100)
    joined.run(3)
    joined.invoke("run", "finish")
    assert joined.read()["total"] == 103
    assert joined.log()[1].message == "Changes made outside of runs"


def test_a_joined_run_makes_the_data_branch_of_a_new_git_branch(joined: KedroProject) -> None:
    joined.git("switch", "-qc", "new")
    joined.run(3)
    assert "new" not in joined.branches()
    joined.git("switch", "-q", "main")  # whoever finishes need not be on the branch
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read("new") == {"a": 3, "b": 30, "total": 3}
    assert joined.read() == BEFORE
    assert joined.log("new")[0].message == "kedro run __default__: 3 entries written"
    assert [commit.message for commit in joined.log("new")][1] == "Begin"


def test_eight_processes_join_at_once(joined: KedroProject) -> None:
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            try:
                joined.run(number, pipeline="wide", nodes=[f"n{number}"])
            except BaseException:
                (joined.path / f"begun-{number}").write_text(traceback.format_exc())
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert [error.read_text() for error in joined.path.glob("begun-*")] == []
    assert len(_hidden(joined)) == 1
    done = joined.invoke("run", "finish")
    assert done.exit_code == 0, done.output
    assert joined.read() == {**BEFORE, **{f"wide/{number}": number for number in range(8)}}
    assert len(json.loads(joined.log()[0].metadata["kedro_outputs"])) == 8


def test_two_first_parts_share_the_branch_that_one_of_them_made(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, nodes=["first"])
    asked: list[str] = []
    commit = LakeFSAPI.commit

    def not_yet(self: LakeFSAPI, repository: str, ref: str) -> Commit:
        asked.append(ref)
        if len(asked) <= 2:  # to find the attempt, and to join it
            raise RefNotFound("not yet")
        return commit(self, repository, ref)

    monkeypatch.setattr(LakeFSAPI, "commit", not_yet)
    joined.run(3, nodes=["second", "add"])
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read() == {"a": 3, "b": 30, "total": 3}


def test_a_conflict_of_a_joined_run_can_be_settled(joined: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    joined.run(3)
    monkeypatch.delenv(RUN_ID)
    joined.run(2)
    done = joined.invoke("run", "finish", ID)
    assert done.exit_code == 1
    assert "E0709" in done.output
    done = joined.invoke("run", "finish", ID, "--merge", "dest-wins")
    assert done.exit_code == 0, done.output
    assert joined.read() == {"a": 2, "b": 20, "total": 2}


def test_a_part_may_write_elsewhere_as_well(joined: KedroProject) -> None:
    joined.run(3, pipeline="mixed")
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read()["a"] == 3
    assert json.loads((joined.path / "data/local.json").read_text()) == {"n": 3}


def test_a_part_without_entries_on_lakefs_is_of_no_attempt(joined: KedroProject) -> None:
    run = begin("now", joined.on("main"), [], lambda _: {})
    assert run.id == ID
    run.finish()


def test_direct_runs_cannot_be_joined(joined: KedroProject) -> None:
    joined.settings(mode="direct")
    with pytest.raises(DatasetError, match=r"E0710.*'direct'"):
        joined.run(3)


def test_a_branch_that_is_gone_while_a_part_runs_is_told(joined: KedroProject) -> None:
    with joined.waiting_run("first", value=3) as run:
        assert joined.invoke("run", "abort").exit_code == 0
    with pytest.raises(RunError, match="ended elsewhere"):
        run.result()
    assert joined.branches() == ["main"]


def test_a_part_that_is_killed_leaves_nothing_in_the_run(joined: KedroProject) -> None:
    joined.run(3, nodes=["first"])
    assert joined.killed_run("SIGKILL", "second", nodes=["second", "add"]) == -9
    joined.run(3, nodes=["second", "add"])
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read() == {"a": 3, "b": 30, "total": 3}
    assert "dropped" in joined.invoke("clean", "--older-than", "0").output
    assert joined.branches() == ["main"]


def test_parts_that_write_the_same_conflict_and_can_be_tried_again(joined: KedroProject) -> None:
    with joined.waiting_run("first", value=3, nodes=["first"]) as run:
        joined.run(4, nodes=["first"])
    with pytest.raises(MergeConflict, match=r"entries a .*changed"):
        run.result()
    assert len(_hidden(joined)) == 1


def test_parts_that_only_read_see_what_other_parts_wrote(joined: KedroProject) -> None:
    joined.run(7, nodes=["first"])
    joined.run(pipeline="elsewhere")
    joined.run(7, nodes=["second", "add"])
    joined.run(pipeline="reads", expect=700)
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read(repository=joined.other) == {"elsewhere": 70}


def test_parts_are_on_one_git_branch(joined: KedroProject) -> None:
    joined.run(3, nodes=["first"])
    joined.git("switch", "-qc", "other")
    with pytest.raises(DatasetError, match=r"E0710.*begun for the data branch 'main'.*'other'"):
        joined.run(3, nodes=["second", "add"])


def test_a_part_that_has_landed_does_not_fail_afterwards(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise BackendUnreachable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "delete_branch", fail)
        joined.run(3)
    assert "is left over" in caplog.text
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read()["total"] == 3


def test_a_part_that_cannot_be_committed_is_told_and_dropped(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, nodes=["first"])

    def refuse(*_: object, **__: object) -> str:
        raise PermissionDenied("a hook says no")

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "create_commit", refuse)
        with pytest.raises(RunError, match=r"could not be committed: .*a hook says no"):
            joined.run(3, nodes=["second", "add"])
    assert len(_hidden(joined)) == 1


def test_a_repository_that_no_part_finished_to_write_does_not_keep_the_others(joined: KedroProject) -> None:
    with pytest.raises(RuntimeError):
        joined.run(3, pipeline="both", fail=["second"])
    joined.run(3)
    done = joined.invoke("run", "finish")
    assert done.exit_code == 0, done.output
    assert joined.read() == {"a": 3, "b": 30, "total": 3}
    assert joined.branches(joined.other) == ["main"]


def test_a_part_whose_own_id_is_that_of_the_run_can_be_killed(joined: KedroProject) -> None:
    joined.run(3)
    joined.api.create_branch(
        joined.repository, run_branch(ID, "20260101T000000Z"), "main", hidden=True
    )  # as a service would leave it
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read()["total"] == 3


def test_the_setting_settles_conflicts_of_joined_runs_too(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.settings(merge="source-wins")
    joined.run(3)
    monkeypatch.delenv(RUN_ID)
    joined.run(2)
    assert joined.invoke("run", "finish", ID).exit_code == 0
    assert joined.read()["a"] == 3


def test_whoever_finishes_second_finds_it_done(joined: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    joined.run(3)
    land = landing.land

    def raced(target: Target, merge: str | None, inputs: str) -> str:
        monkeypatch.setattr(finishing, "land", land)
        assert joined.invoke("run", "finish").exit_code == 0
        return land(target, merge, inputs)

    monkeypatch.setattr(finishing, "land", raced)
    done = joined.invoke("run", "finish")
    assert done.exit_code == 0, done.output
    assert len(joined.tags()) == 2
    assert joined.read() == {"a": 3, "b": 30, "total": 3}


def test_a_part_that_lands_while_the_run_is_finished_is_not_lost(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, nodes=["first", "second"])
    land = landing.land

    def late(target: Target, merge: str | None, inputs: str) -> str:
        landed = land(target, merge, inputs)
        monkeypatch.setattr(finishing, "land", land)
        joined.run(3, nodes=["add"])
        return landed

    monkeypatch.setattr(finishing, "land", late)
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read() == {"a": 3, "b": 30, "total": 3}
    assert joined.branches() == ["main"]


def test_parts_that_come_all_the_time_are_told(joined: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    joined.run(3, nodes=["first"])
    land, number = landing.land, iter(range(100))

    def late(target: Target, merge: str | None, inputs: str) -> str:
        landed = land(target, merge, inputs)
        branch = run_branch(ID, "joined")
        mark = joined.log(branch)[0].metadata
        joined.write(f"late{next(number)}.json", 1, branch)
        joined.api.create_commit(joined.repository, branch, "late", mark)
        return landed

    monkeypatch.setattr(finishing, "land", late)
    done = joined.invoke("run", "finish")
    assert done.exit_code == 2
    assert "finish it when all of them are done" in done.output


def test_a_part_that_comes_after_half_a_finish_lands_with_the_next(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BackendUnreachable("no answer")

    joined.run(3, nodes=["first", "second"])
    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "create_tag", fail)
        assert joined.invoke("run", "finish").exit_code == 2
    joined.run(3, nodes=["add"])
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read() == {"a": 3, "b": 30, "total": 3}
    assert joined.tags()[run_tag(ID)] == joined.log()[0].id


@pytest.mark.parametrize("parts", [True, False])
def test_a_finish_that_was_half_done_does_not_bring_old_data_back(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, parts: bool
) -> None:
    def fail(*_: object) -> None:
        raise BackendUnreachable("no answer")

    if parts:
        monkeypatch.setenv(RUN_ID, ID)
        project.run(3)
        monkeypatch.delenv(RUN_ID)
    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "create_tag", fail)
        if not parts:
            with pytest.raises(RunError, match="a tag of it is missing") as caught:
                project.run(3)
        run_id = ID if parts else re.findall(r"finish (\S+)`", str(caught.value))[0]
        for _ in range(2):
            assert project.invoke("run", "finish", run_id).exit_code == 2
    project.run(5)
    assert project.invoke("run", "finish", run_id, "--merge", "source-wins").exit_code == 0
    assert project.read() == {"a": 5, "b": 50, "total": 8}
    assert project.catalog().load("b", version=run_id) == {"n": 30}
    assert project.branches() == ["main"]


def test_a_part_that_writes_again_while_the_run_is_finished_goes_before_the_older_one(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, nodes=["first", "second"])
    land = landing.land

    def late(target: Target, merge: str | None, inputs: str) -> str:
        landed = land(target, merge, inputs)
        monkeypatch.setattr(finishing, "land", land)
        joined.run(4, nodes=["first", "second"])
        return landed

    monkeypatch.setattr(finishing, "land", late)
    done = joined.invoke("run", "finish")
    assert done.exit_code == 0, done.output
    assert joined.read() == {"a": 4, "b": 40, "total": 0}


def test_whoever_has_merged_second_to_none_finds_the_branch_gone(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3)
    land = landing.land

    def raced(target: Target, merge: str | None, inputs: str) -> str:
        landed = land(target, merge, inputs)
        monkeypatch.setattr(finishing, "land", land)
        assert joined.invoke("run", "finish").exit_code == 0
        return landed

    monkeypatch.setattr(finishing, "land", raced)
    done = joined.invoke("run", "finish")
    assert done.exit_code == 0, done.output
    assert joined.read() == {"a": 3, "b": 30, "total": 3}
    assert len(joined.log()) == 3


def test_a_part_that_only_reads_on_a_detached_head_reads_what_was_made_there(joined: KedroProject) -> None:
    joined.run(3)
    assert joined.invoke("run", "finish").exit_code == 0
    joined.git("checkout", "-q", "--detach")
    joined.run(pipeline="reads")
    assert len(joined.branches()) == 1


def test_a_part_that_comes_late_after_another_run_may_conflict(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, nodes=["first", "second"])
    land = landing.land

    def late(target: Target, merge: str | None, inputs: str) -> str:
        landed = land(target, merge, inputs)
        monkeypatch.setattr(finishing, "land", land)
        joined.run(4, nodes=["first", "second"])
        monkeypatch.delenv(RUN_ID)
        joined.run(5)
        return landed

    monkeypatch.setattr(finishing, "land", late)
    done = joined.invoke("run", "finish", ID)
    assert done.exit_code == 1
    assert "E0709" in done.output
    assert joined.read()["a"] == 5


def test_a_part_of_which_one_repository_has_nothing_keeps_the_run_from_being_finished(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, merge = max(joined.repository, joined.other), LakeFSAPI.merge

    def refuse(self: LakeFSAPI, repository: str, *more: object) -> str:
        if repository == last:
            raise PermissionDenied("no")
        return merge(self, repository, *more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "merge", refuse)
        with pytest.raises(PermissionDenied, match=r"has reached the run in .* already: the run cannot be finished"):
            joined.run(3, pipeline="both")
    done = joined.invoke("run", "finish")
    assert done.exit_code == 2
    assert f"what a part of it wrote to '{last}' is missing there" in done.output
    assert joined.read() == BEFORE
    joined.run(3, pipeline="both")
    assert joined.invoke("run", "finish").exit_code == 0, "its place was taken by one that is whole"
    assert joined.read().items() >= {"a": 3, "b": 30}.items()
    assert joined.read(repository=joined.other) == {"elsewhere": 30}


def test_what_somebody_has_dropped_of_one_repository_keeps_the_other_from_landing(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, commit = max(project.repository, project.other), LakeFSAPI.create_commit

    def refuse(self: LakeFSAPI, repository: str, *more: object, **options: object) -> str:
        if repository == last:
            raise PermissionDenied("a hook says no")
        return commit(self, repository, *more, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "create_commit", refuse)
        with pytest.raises(RunError):
            project.run(3, pipeline="both")
    assert "dropped" not in project.invoke("clean", "--older-than", "0").output, "it is complete"
    (hidden,) = (name for name in project.branches(last) if name.startswith(RUN_BRANCH))
    project.api.delete_branch(last, hidden)
    (run_id,) = (each.run_id for each in leftovers(project.api, min(project.repository, project.other)))
    done = project.invoke("run", "finish", run_id)
    assert done.exit_code == 2
    assert f"what it wrote to '{last}' is missing there" in done.output
    assert project.read() == BEFORE
    assert project.invoke("run", "abort", run_id).exit_code == 0


def test_parts_that_are_pinned_to_the_past_are_refused(joined: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AT, "main")
    with pytest.raises(DatasetError, match=r"E0710.*STATISFACTORY_AT.*a part of a run reads what the parts before it"):
        joined.run(3)
    assert joined.branches() == ["main"]


def test_without_isolation_there_are_no_parts_at_all(joined: KedroProject) -> None:
    joined.settings(mode="off")
    with pytest.raises(DatasetError, match=r"E0710.*`mode` is 'off': processes can be joined in 'isolated' runs only"):
        joined.run(3)


def test_parts_made_of_different_code_are_told_and_found(joined: KedroProject) -> None:
    first = joined.git("rev-parse", "HEAD")
    joined.run(3, nodes=["first"])
    second = joined.commit_code("later")
    (joined.path / "conf/base/parameters.yml").write_text("value: 1\nmore: 2\n")
    joined.run(3, nodes=["second", "add"], colour="red")
    assert joined.invoke("run", "finish").exit_code == 0
    found = joined.log()[0].metadata
    assert found["git_dirty"] == "true"
    assert json.loads(found["kedro_git_commits"]) == [first, second]
    assert '"colour": "red"' in found["kedro_runtime_params"]
    for sha in (first, second):
        assert joined.catalog().load("b", version=sha) == {"n": 30}


def test_a_conflict_that_comes_between_two_merges_names_what_has_landed(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, pipeline="both")
    monkeypatch.delenv(RUN_ID)
    merge = LakeFSAPI.merge

    def merged(self: LakeFSAPI, repository: str, *more: Any) -> str:
        done = merge(self, repository, *more)
        joined.write("total.json", 50)
        return done

    monkeypatch.setattr(LakeFSAPI, "merge", merged)
    done = joined.invoke("run", "finish", ID)
    assert done.exit_code == 1
    assert f"has reached the data branch 'main' of the repository '{joined.other}'" in done.output
    assert f"kedro statisfactory run finish {ID}" in done.output


def run_only_missing(joined: KedroProject, pipeline: str, nodes: list[str] | None = None) -> None:
    """Run the nodes of a pipeline whose outputs are missing, or those among some."""
    bootstrap_project(joined.path)
    service = KedroServiceSession.create(project_path=joined.path)
    service.run(pipeline_names=[pipeline], node_names=nodes, only_missing_outputs=True)


def test_a_run_all_of_whose_parts_had_nothing_to_do_leaves_nothing_when_it_is_finished(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(RUN_ID)
    joined.run(pipeline="wide")
    before = [commit.id for commit in joined.log()], joined.branches(), joined.tags()
    monkeypatch.setenv(RUN_ID, ID)
    with caplog.at_level("INFO", "kedro.statisfactory"):
        for _ in range(2):
            run_only_missing(joined, "wide")
    assert caplog.text.count(f"This part of the run {ID!r} had nothing to write") == 2
    done = joined.invoke("run", "finish")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == f"The run {ID} is finished: nothing was left to land."
    assert ([commit.id for commit in joined.log()], joined.branches(), joined.tags()) == before


def test_what_each_part_left_as_it_was_is_told_of_the_run(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUN_ID)
    before = joined.run(pipeline="chain")
    monkeypatch.setenv(RUN_ID, ID)
    for nodes in (["one"], ["sign", "sign_again"]):
        joined.run(pipeline="chain", nodes=nodes, missing=True)
    joined.run(pipeline="chain", nodes=["one"])
    assert joined.invoke("run", "finish").exit_code == 0
    told = joined.log()[0].metadata
    assert json.loads(told["kedro_outputs"]).keys() == {"wide_1"}
    assert json.loads(told["kedro_kept"]) == {"wide_3": before}


def test_a_run_whose_parts_wrote_to_disk_alone_is_recorded(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUN_ID)
    joined.run(pipeline="three", other=1)
    monkeypatch.setenv(RUN_ID, ID)
    for _ in range(2):
        joined.run(pipeline="three", factor=3, other=1, missing=True)
    assert joined.invoke("run", "finish").exit_code == 0
    newest = joined.log(repository=joined.other)[0]
    assert (newest.metadata["kedro_run_id"], json.loads(newest.metadata["kedro_saved"])) == (ID, ["local"])
    assert ID not in [commit.metadata.get("kedro_run_id") for commit in joined.log()], (
        "one place is enough for a record"
    )
    monkeypatch.delenv(RUN_ID)
    made = (joined.path / "data/local.json").stat().st_mtime_ns
    joined.run(pipeline="three", factor=3, other=1, missing=True)
    assert joined.log(repository=joined.other)[0] == newest
    assert (joined.path / "data/local.json").stat().st_mtime_ns == made


def test_a_repository_to_which_no_part_wrote_gets_no_commit_when_the_run_is_finished(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUN_ID)
    joined.run()
    commits = len(joined.log())
    monkeypatch.setenv(RUN_ID, ID)
    run_only_missing(joined, "both", ["first", "second", "other"])
    assert joined.invoke("run", "finish").exit_code == 0
    assert joined.read(repository=joined.other) == {"elsewhere": 10}
    assert len(joined.log()) == commits
    assert joined.branches() == joined.branches(joined.other) == ["main"]


# -- cleaning up ---------------------------------------------------------------------------------------------------


def test_what_a_killed_run_left_is_dropped_after_a_while(project: KedroProject) -> None:
    project.killed_run("SIGKILL")
    (name,) = _hidden(project)
    assert "it may be at work" in project.invoke("clean").output
    assert f"would drop {name}" in project.invoke("clean", "--older-than", "0", "--dry-run").output
    assert _hidden(project) == [name]
    project.settings(grace_hours=0)
    assert f"dropped {name}" in project.invoke("clean").output
    assert project.branches() == ["main"]
    assert "kedro----" not in project.invoke("clean").output


def test_what_killed_processes_have_left_on_disk_is_cleaned_away(
    project: KedroProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    folders = [temporary, tmp_path / ".statisfactory", tmp_path / "data"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    left = [new_folder(folder) for folder in folders]
    needed = new_folder(temporary)
    for each in left:
        assert each.lock is not None
        os.close(each.lock)
    done = project.invoke("clean", "--dry-run").output
    assert all(f"would drop {each.path}" in done for each in left)
    assert all(each.path.exists() for each in left)
    done = project.invoke("clean").output
    assert all(f"dropped {each.path}" in done for each in left)
    assert not any(each.path.exists() for each in left)
    assert needed.path.exists()
    needed.remove()


def test_a_complete_run_is_never_cleaned_away(project: KedroProject) -> None:
    with project.waiting_run("add", value=3) as run:
        project.run(2)
    with pytest.raises(MergeConflict):
        run.result()
    done = project.invoke("clean", "--older-than", "0")
    assert "kept" in done.output
    assert "kedro statisfactory run finish" in done.output
    assert len(_hidden(project)) == 1


def test_a_joined_run_is_cleaned_away_when_nothing_goes_on_in_it(joined: KedroProject) -> None:
    joined.run(3, nodes=["first"])
    assert "it may be at work" in joined.invoke("clean").output
    assert "dropped" in joined.invoke("clean", "--older-than", "0").output
    assert joined.branches() == ["main"]


def test_a_joined_run_that_could_not_land_is_never_cleaned_away(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3)
    monkeypatch.delenv(RUN_ID)
    joined.run(2)
    assert joined.invoke("run", "finish", ID).exit_code == 1
    assert "kept" in joined.invoke("clean", "--older-than", "0").output
    assert joined.invoke("run", "finish", ID, "--merge", "source-wins").exit_code == 0
    assert joined.read()["a"] == 3


@pytest.mark.parametrize("zone", ["UTC", "Australia/Sydney", "America/Los_Angeles"])
def test_the_age_of_a_run_does_not_depend_on_the_clock_on_the_wall(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        project.killed_run("SIGKILL")
        assert "(0.0 hours old)" in project.invoke("clean").output
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("hours", ["-5", "nan", "soon"])
def test_an_age_is_a_number(project: KedroProject, hours: str) -> None:
    project.killed_run("SIGKILL")
    done = project.invoke("clean", "--older-than", hours)
    assert done.exit_code == 2
    assert len(_hidden(project)) == 1


def test_entries_that_cannot_be_used_here_do_not_keep_runs_from_being_ended(project: KedroProject) -> None:
    file = project.path / "conf/base/catalog.yml"
    entries = yaml.safe_load(file.read_text())
    entries["broken"] = {"type": "not_installed.Dataset", "filepath": "x"}
    entries["nowhere"] = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": "lakefs://no-such-repository/x"}
    file.write_text(yaml.safe_dump(entries))
    project.killed_run("SIGKILL", nodes=["first", "add"])
    done = project.invoke("clean", "--older-than", "0")
    assert done.exit_code == 0, done.output
    line = next(line for line in done.output.splitlines() if line.startswith("The entry broken is left out"))
    assert "not_installed" in line, "Kedro tells it in several lines, of which this is not the first"
    assert "The repository no-such-repository is left out" in done.output
    assert project.branches() == ["main"]
    entries["locked"] = {**entries["nowhere"], "credentials": "no_such_credentials"}
    file.write_text(yaml.safe_dump(entries))
    done = project.invoke("clean")
    assert done.exit_code == 2
    assert "no_such_credentials" in done.output
    assert "Traceback" not in done.output


def test_hints_can_be_copied(project: KedroProject) -> None:
    assert command("finish", {"kedro_run_id": "my run; x", "kedro_env": "prod"}) == (
        "kedro statisfactory run finish --env prod 'my run; x'"
    )
    assert command("abort", {"kedro_run_id": "-x"}) == "kedro statisfactory run abort -- -x"


def test_a_joined_run_that_is_about_to_begin_is_at_work(project: KedroProject) -> None:
    project.api.create_branch(project.repository, f"{RUN_BRANCH}joined--x--12345678", "main", hidden=True)
    assert "it may be at work" in project.invoke("clean").output


def test_the_commands_are_kedros(project: KedroProject) -> None:
    done = project.command("statisfactory", "run", "abort", "nothing")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "There is no run nothing that waits."), done.stderr


def test_a_catalog_without_lakefs_is_told(project: KedroProject) -> None:
    (project.path / "conf/base/catalog.yml").write_text("local: {type: json.JSONDataset, filepath: data/x.json}\n")
    done = project.invoke("run", "finish", "x")
    assert done.exit_code == 2
    assert "no entry of the catalog is in lakeFS" in done.output
    assert project.invoke("clean").exit_code == 0, "there may be something to clean up on the disk"


def test_credentials_that_are_missing_are_told_with_an_entry(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY")
    for arguments in (["clean"], ["run", "finish", "x"], ["run", "abort", "x"]):
        done = project.invoke(*arguments)
        assert done.exit_code == 2
        assert "Error: catalog entry 'a': [E0402]" in done.output


def test_a_server_that_is_gone_is_told_in_one_line(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("kedro_statisfactory.backends.http.ATTEMPTS", 1)
    done = project.invoke("clean")
    assert done.exit_code == 2
    assert "E0304" in done.output


# -- signals -------------------------------------------------------------------------------------------------------


def test_a_handler_of_the_users_own_is_left_alone(project: KedroProject) -> None:
    heard: list[int] = []

    def listen(number: int, _: object) -> None:
        heard.append(number)

    previous = signal.signal(signal.SIGTERM, listen)
    try:
        project.run(1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run = Run("x", project.on("main"), [])
        interrupts.current().add(run)
        signal.signal(signal.SIGTERM, listen)
        interrupts.current().discard(run)
        assert signal.getsignal(signal.SIGTERM) is listen
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_a_worker_that_is_forked_in_mid_run_leaves_it_alone(project: KedroProject) -> None:
    run = Run("x", project.on("main"), [])
    interrupts.current().add(run)
    try:
        child = os.fork()
        if child == 0:
            if run in interrupts.current():
                os._exit(98)
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.value.code == 143
    finally:
        interrupts.current().discard(run)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    interrupts.current().add(run)
    interrupts.forget_runs()
    assert run not in interrupts.current()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
