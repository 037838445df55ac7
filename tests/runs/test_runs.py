"""What a run promises: all of it or nothing appears, says what made it, and can be loaded again."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroServiceSession, KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, ThreadRunner

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.temporary import Temporary, new_folder
from kedro_statisfactory.errors import (
    BackendUnreachable,
    Conflict,
    MergeConflict,
    PermissionDenied,
    RunError,
    TransferError,
)
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.runs import beginning, interrupts
from tests.runs.conftest import ROOT, KedroProject

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
BEFORE = {"total": 0}


# -- all or nothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner, ParallelRunner])
def test_a_run_lands_as_one_commit(project: KedroProject, runner: type[AbstractRunner]) -> None:
    run_id = project.run(3, runner())
    assert project.read() == {"a": 3, "b": 30, "total": 3}
    newest, begin, _ = project.log()
    assert newest.message == "kedro run __default__: 3 entries written"
    assert begin.message == "Begin"
    assert project.branches() == ["main"]
    assert project.tags()[f"kedro-{run_id}"] == newest.id


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_processes_that_inherit_nothing_write_to_the_run(
    project: KedroProject, start_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)  # where they find the nodes
    # A fork server may have been started long ago, without the variables of this test.
    (project.path / "conf/local/credentials.yml").write_text(yaml.safe_dump({"lake": project.server.credentials}))
    file = project.path / "conf/base/catalog.yml"
    entries = yaml.safe_load(file.read_text())
    file.write_text(
        yaml.safe_dump(
            {
                name: {**entry, "credentials": "lake"}
                for name, entry in entries.items()
                if entry["filepath"].startswith("lakefs")
            }
        )
    )
    previous = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(start_method, force=True)
    try:
        project.run(3, ParallelRunner(max_workers=2))
    finally:
        multiprocessing.set_start_method(previous, force=True)
    assert project.read() == {"a": 3, "b": 30, "total": 3}
    assert len(project.log()) == 3


@pytest.mark.parametrize("where", ["first", "second", "add"])
@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner, ParallelRunner])
def test_a_node_that_fails_leaves_no_trace(project: KedroProject, where: str, runner: type[AbstractRunner]) -> None:
    with pytest.raises(RuntimeError, match="fails"):
        project.run(3, runner(), fail=[where])
    assert project.read() == BEFORE
    assert project.branches() == ["main"]
    assert project.tags() == {}


def test_a_save_that_fails_leaves_no_trace(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = LakeFSAPI.upload

    def fail(self: Any, repository: str, branch: str, path: str, *more: Any) -> Any:
        if path == "total.json":
            raise TransferError("the server is full")
        return upload(self, repository, branch, path, *more)

    monkeypatch.setattr(LakeFSAPI, "upload", fail)
    with pytest.raises(DatasetError, match="the server is full"):
        project.run(3)
    assert project.read() == BEFORE
    assert project.branches() == ["main"]


def test_the_branch_of_a_failed_run_can_be_kept(project: KedroProject) -> None:
    project.settings(keep_failed=True)
    with pytest.raises(RuntimeError, match="fails"):
        project.run(3, fail=["add"])
    (kept,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
    assert project.read(kept) == {"a": 3, "total": 0}
    assert project.read() == BEFORE


def test_an_interrupt_leaves_no_trace_when_the_process_ends(project: KedroProject) -> None:
    with pytest.raises(KeyboardInterrupt):
        project.run(3, interrupt="add")
    assert len(project.branches()) == 2, "Kedro tells nobody of an interrupt"
    interrupts.abandon_all()  # what the interpreter does when it ends
    assert project.branches() == ["main"]
    assert project.read() == BEFORE


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["create_commit", "merge", "create_tag", "delete_branch"])
def test_an_interrupt_while_a_run_lands_loses_nothing(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, call: str, when: str, error: type[BaseException]
) -> None:
    original, count = getattr(LakeFSAPI, call), [0]
    nth = 2 if call in ("merge", "create_commit") else 1  # between two repositories

    def interrupted(*arguments: Any, **options: Any) -> Any:
        count[0] += 1
        if count[0] == nth and when == "before":
            raise error
        answer = original(*arguments, **options)
        if count[0] == nth:
            raise error
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, call, interrupted)
        with pytest.raises(error):
            project.run(3, pipeline="both")
    interrupts.abandon_all()
    assert project.read() in (BEFORE, {"a": 3, "b": 30, "total": 3})
    waiting = [name for name in project.branches() + project.branches(project.other) if name.startswith(RUN_BRANCH)]
    if call == "create_commit" and when == "before":
        assert len(waiting) == 2, "nothing is dropped that nobody has committed"
        return
    run_id = next(
        commit.metadata["kedro_run_id"]
        for repository in (project.repository, project.other)
        for name in project.branches(repository)
        for commit in project.log(name, repository)
        if "kedro_run_id" in commit.metadata
    )
    done = project.invoke("run", "finish", run_id)
    assert done.exit_code == 0, done.output
    assert project.read() == {"a": 3, "b": 30, "total": 3}
    assert project.read(repository=project.other) == {"elsewhere": 30}
    for repository in (project.repository, project.other):
        assert project.branches(repository) == ["main"]
        assert project.tags(repository)[f"kedro-{run_id}"] == project.log(repository=repository)[0].id


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_leaves_no_trace(project: KedroProject, name: str) -> None:
    done = project.command("run", "--params", f"signal.add={name}")
    assert done.returncode == 128 + getattr(signal, name), done.stderr
    assert project.branches() == ["main"]
    assert project.read() == BEFORE


def test_ctrl_c_leaves_no_trace(project: KedroProject) -> None:
    done = project.command("run", "--params", "signal.add=SIGINT")
    assert done.returncode != 0
    assert project.branches() == ["main"]
    assert project.read() == BEFORE


def test_sigkill_leaves_the_data_branch_untouched(project: KedroProject) -> None:
    assert project.killed_run("SIGKILL") == -9
    assert project.read() == BEFORE
    assert len(project.branches()) == 2
    project.run(3)
    assert project.read() == {"a": 3, "b": 30, "total": 3}


def test_without_isolation_a_kill_tears(project: KedroProject) -> None:
    """The negative control."""
    project.settings(mode="direct")
    assert project.killed_run("SIGKILL", value=3) == -9
    assert project.read() == {"a": 3, "total": 0}


def test_a_direct_run_is_committed_when_it_succeeds(project: KedroProject) -> None:
    project.settings(mode="direct")
    run_id = project.run(3)
    newest = project.log()[0]
    assert newest.metadata["kedro_run_id"] == run_id
    assert project.tags()[f"kedro-{run_id}"] == newest.id
    assert not project.api.has_uncommitted(project.repository, "main")


def test_with_mode_off_nothing_is_committed(project: KedroProject) -> None:
    project.settings(mode="off")
    project.run(3, nodes=["first", "add"])
    assert project.read() == {"a": 3, "total": 3}
    assert len(project.log()) == 2
    assert project.api.has_uncommitted(project.repository, "main")


# -- what a run costs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pipeline", "saves", "loads"), [("wide", 40, 0), ("__default__", 3, 3)])
@pytest.mark.parametrize("git", [True, False])
def test_a_run_costs_nine_calls_and_with_git_one_more_whatever_the_number_of_entries(
    project: KedroProject, calls: Callable[[], Counter[str]], pipeline: str, saves: int, loads: int, git: bool
) -> None:
    if not git:
        (project.path / ".git").rename(project.path / "not-git")
        project.settings(branch="main")
    project.run(pipeline=pipeline)
    sent = calls()
    # One more object says what its nodes depend on.
    assert (sent.pop("POST objects"), sent["GET objects"]) == (saves + 1, loads)
    del sent["GET objects"]
    # Make the branch and commit; ask whether the data branch has uncommitted changes, and where it is before the merge;
    # merge; look onto what that went, which its answer does not say; tag; drop the branch. In a git repository one
    # more: the tag that finds the run by its commit.
    assert sent == {
        "POST branches": 2,
        "GET branches": 2,
        "POST refs": 1,
        "GET commits": 1,
        "POST tags": 1 + git,
        "DELETE branches": 1,
    }


def test_a_pipeline_without_lakefs_outputs_asks_for_nothing(
    project: KedroProject, calls: Callable[[], Counter[str]]
) -> None:
    project.run(pipeline="local")
    assert calls() == {}
    project.run()
    before = calls()
    project.run(pipeline="reads")
    assert calls() - before == {"GET objects": 1}
    assert len(project.log()) == 3


def test_a_pipeline_without_our_entries_imports_nothing(project: KedroProject) -> None:
    (project.path / "conf/base/catalog.yml").write_text("a: {type: kedro.io.MemoryDataset}\n")
    code = (
        "import sys; from kedro.framework.cli import main; sys.argv = ['kedro', 'run', '--nodes', 'first']\n"
        "try: main()\n"
        "finally: print('LOADED', [m for m in sys.modules if m.startswith('kedro_statisfactory.')])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=project.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    loaded = done.stdout.split("LOADED")[1]
    assert "hooks" in loaded, done.stderr
    for module in ("runs", "provenance", "backends", "session"):
        assert f"kedro_statisfactory.{module}" not in loaded


# -- what others do meanwhile --------------------------------------------------------------------------------------


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


# -- conflicts and several repositories ----------------------------------------------------------------------------


def test_a_conflict_names_the_entries_and_the_other_run_and_loses_nothing(project: KedroProject) -> None:
    with project.waiting_run("add", value=3) as run:
        other = project.run(2)
    with pytest.raises(MergeConflict, match=r"E0709.*entries a, b, total \(a.json, b.json, total.json\)") as caught:
        run.result()
    assert other in str(caught.value)
    (kept,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
    assert kept in str(caught.value)
    assert project.read() == {"a": 2, "b": 20, "total": 2}
    assert project.read(kept) == {"a": 3, "b": 30, "total": 3}


def test_a_conflict_whose_origin_the_log_does_not_tell_is_told_all_the_same(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LakeFSAPI, "log", lambda *_, **__: iter(()))
    with project.waiting_run("add", value=3) as run:
        project.run(2)
    with pytest.raises(MergeConflict, match="since this run began, by another run"):
        run.result()


def test_a_conflict_with_changes_made_by_hand_names_their_commit(project: KedroProject) -> None:
    with project.waiting_run("add", value=3) as run:
        project.write("total.json", 50)
    with pytest.raises(MergeConflict, match=r"entries total .*Changes made outside of runs"):
        run.result()
    assert project.read() == {"total": 50}


@pytest.mark.parametrize(("merge", "total"), [("source-wins", 3), ("dest-wins", 2)])
def test_a_conflict_can_be_settled_by_a_setting(project: KedroProject, merge: str, total: int) -> None:
    project.settings(merge=merge)
    with project.waiting_run("add", value=3) as run:
        project.run(2)
    run.result()
    assert project.read()["total"] == total
    assert project.branches() == ["main"]
    metadata = project.log()[0].metadata
    lost = json.loads(metadata.get("kedro_outputs_lost", "{}"))
    assert json.loads(metadata["kedro_outputs"]).keys() == {"a", "b", "total"} - lost.keys()
    assert lost.keys() == ({"a", "b", "total"} if merge == "dest-wins" else set())


def _with_folder(project: KedroProject) -> None:
    """Let `a` be a folder of a file that is named after its content."""
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["a"] |= {"filepath": f"lakefs://{project.repository}/a", "dataset": "tests.runs.project.folder.Parts"}
    file.write_text(yaml.safe_dump(catalog))


@pytest.mark.parametrize("merge", [None, "source-wins", "dest-wins"])
def test_two_runs_that_write_one_folder_do_not_mix(project: KedroProject, merge: str | None) -> None:
    _with_folder(project)
    project.settings(merge=merge)
    with project.waiting_run("second", value=3, nodes=["first", "second"]) as run:
        project.run(5, nodes=["first", "second"])
    with pytest.raises(MergeConflict, match=r"entries a, b ") as caught:
        run.result()
    assert ("which no strategy of merging keeps whole" in str(caught.value)) == bool(merge)
    assert project.catalog().load("a") == {"n": 5}


def test_two_runs_that_write_the_same_into_a_folder_agree(project: KedroProject) -> None:
    _with_folder(project)
    with project.waiting_run("second", value=3, nodes=["first", "second"]) as run:
        project.run(3, nodes=["first", "second"])
    run.result()
    assert project.catalog().load("a") == {"n": 3}


@pytest.mark.parametrize("merge", [[], ["--merge", "source-wins"]])
def test_a_conflict_can_be_settled_by_a_command(project: KedroProject, merge: list[str]) -> None:
    with project.waiting_run("add", value=3) as run:
        project.run(2)
    (run_id,) = re.findall(r"finish (\S+)`", str(run.exception()))
    done = project.invoke("run", "finish", run_id, *merge)
    if merge:
        assert done.exit_code == 0, done.output
        assert project.read() == {"a": 3, "b": 30, "total": 3}
        assert project.branches() == ["main"]
        assert project.tags()[f"kedro-{run_id}"] == project.log()[0].id
        assert json.loads(project.log()[0].metadata["kedro_outputs"]).keys() == {"a", "b", "total"}
    else:
        assert done.exit_code == 1
        assert "E0709" in done.output
        assert project.invoke("run", "abort", run_id).exit_code == 0
        assert project.read() == {"a": 2, "b": 20, "total": 2}


def test_all_repositories_of_a_run_land(project: KedroProject) -> None:
    run_id = project.run(3, pipeline="both")
    assert project.read() == {"a": 3, "b": 30, "total": 3}
    assert project.read(repository=project.other) == {"elsewhere": 30}
    for repository in (project.repository, project.other):
        assert f"kedro-{run_id}" in project.tags(repository)
        assert project.branches(repository) == ["main"]


def test_a_conflict_in_one_of_several_repositories_says_which_have_landed(project: KedroProject) -> None:
    first, last = sorted([project.repository, project.other])
    with project.waiting_run("add", value=3, pipeline="both") as run:
        project.run(2, pipeline="both")
    text = str(run.exception())
    assert re.search(r"not reached.*main.*main", text), text
    assert len(project.branches(first)) == len(project.branches(last)) == 2


# -- many at once --------------------------------------------------------------------------------------------------


def _check_serial(project: KedroProject, landed: list[int]) -> None:
    """That the commits are those of the runs which landed, one after the other and each of them whole."""
    total = 0
    commits = [commit for commit in reversed(project.log()) if "kedro_run_id" in commit.metadata]
    assert len(commits) == len(landed)
    for commit in commits:
        found = project.read(commit.id)
        total += found["a"]
        assert found == {"a": found["a"], "b": 10 * found["a"], "total": total}
    assert total == sum(landed)


def test_sixteen_processes_land_or_tell(project: KedroProject) -> None:
    def one(value: int) -> int:
        child = os.fork()
        if child == 0:
            try:
                project.run(value)
            except MergeConflict:
                os._exit(7)
            except BaseException:
                (project.path / f"begun-{value}").write_text(traceback.format_exc())
                os._exit(1)
            os._exit(0)
        return child

    children = {one(value): value for value in range(1, 17)}
    ended = {value: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child, value in children.items()}
    assert [error.read_text() for error in project.path.glob("begun-*")] == []
    assert set(ended.values()) <= {0, 7}
    landed = [value for value, code in ended.items() if code == 0]
    assert landed
    _check_serial(project, landed)
    assert len(project.branches()) == 1 + len(ended) - len(landed)


def test_sixteen_threads_of_one_service_land_or_tell(project: KedroProject) -> None:
    bootstrap_project(project.path)
    session = KedroServiceSession.create(project_path=project.path, serving_mode=True)

    def one(value: int) -> bool:
        try:
            session.run(runtime_params={"value": value})
        except MergeConflict:
            return False
        return True

    with ThreadPoolExecutor(16) as executor:
        ended = dict(zip(range(1, 17), executor.map(one, range(1, 17)), strict=True))
    landed = [value for value, done in ended.items() if done]
    assert landed
    _check_serial(project, landed)


# -- answers that are lost -----------------------------------------------------------------------------------------


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


def test_sixteen_processes_that_write_different_entries_all_land(project: KedroProject) -> None:
    def one(number: int) -> int:
        child = os.fork()
        if child == 0:
            try:
                project.run(number, pipeline="wide", nodes=[f"n{number}"])
            except BaseException:
                (project.path / f"begun-{number}").write_text(traceback.format_exc())
                os._exit(1)
            os._exit(0)
        return child

    children = [one(number) for number in range(16)]
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert [error.read_text() for error in project.path.glob("begun-*")] == []
    assert ended == [0] * 16
    assert project.read() == {"total": 0, **{f"wide/{number}": number for number in range(16)}}
    assert project.branches() == ["main"]


def test_a_branch_that_git_switches_to_in_mid_run_is_for_the_next_run(project: KedroProject) -> None:
    project.run(1)
    with project.waiting_run("second", value=3, runner=ThreadRunner(1)) as run:
        project.git("switch", "-qc", "feature/x")
    run.result()
    assert project.read() == {"a": 3, "b": 30, "total": 4}
    assert project.branches() == ["main"]
    project.run(5)
    assert project.branches() == ["feature--x", "main"]


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
        journals[0].unlink()
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


def _move(project: KedroProject, name: str, path: str) -> None:
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog[name]["filepath"] = f"lakefs://{project.repository}/{path}"
    file.write_text(yaml.safe_dump(catalog))


@pytest.mark.parametrize("first", ["main", "v1.0"])
def test_a_run_takes_no_branch_or_tag_for_a_folder(project: KedroProject, first: str) -> None:
    project.api.create_tag(project.repository, "v1.0", "main")
    _move(project, "a", f"{first}/a.json")
    with pytest.raises(DatasetError, match=r"catalog entry 'a': .*E0707"):
        project.run(3)
    assert project.read() == BEFORE


def test_a_folder_may_have_the_name_of_a_branch_that_git_alone_knows(project: KedroProject) -> None:
    project.git("branch", "docs")
    for path in ("docs/a.json", "v2/a.json"):
        _move(project, "a", path)
        project.run(3)
        assert project.read()[path.removesuffix(".json")] == 3


@pytest.mark.parametrize("runner", ["ThreadRunner", "ParallelRunner"])
def test_sigterm_drops_the_branch_though_a_node_is_still_at_work(project: KedroProject, runner: str) -> None:
    begun, end = project.path / "begun-x", project.path / "end-x"
    parameters = {"value": 3, "wait": {"second": [str(begun), str(end)]}}
    (project.path / "conf/base/parameters.yml").write_text(yaml.safe_dump(parameters))
    command = [sys.executable, "-W", "ignore", "-m", "kedro", "run", f"--runner={runner}"]
    process = subprocess.Popen(command, cwd=project.path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        deadline = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(project.branches()) == 2
        process.terminate()
        while len(project.branches()) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not end.exists(), "the node is still at work"
        assert project.branches() == ["main"]
    finally:
        end.touch()
        process.wait(60)
    assert process.returncode != 0
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


def test_a_run_that_cannot_begin_names_an_entry(project: KedroProject) -> None:
    project.git("checkout", "-q", "--detach")
    with pytest.raises(DatasetError, match=r"entry 'a'.*E0705.*detached"):
        project.run()
    project.git("switch", "-q", "main")
    project.settings(mode="isolatd")
    with pytest.raises(DatasetError, match=r"^\[E0708\] statisfactory.yml: 'mode' is 'isolatd'"):
        project.run()
    (project.path / "conf/base/statisfactory.yml").write_text("- mode\n")
    with pytest.raises(DatasetError, match=r"^\[E0708\] statisfactory.yml cannot be read: "):
        project.run()
    project.settings(source="nowhere")
    project.git("switch", "-qc", "new")
    with pytest.raises(DatasetError, match=r"entry 'a'.*E0702.*'nowhere'"):
        project.run()
    assert project.branches() == ["main"]


def test_a_branch_in_a_path_is_told_before_the_first_node(project: KedroProject) -> None:
    _move(project, "total", "main/total.json")
    with pytest.raises(
        DatasetError, match=r"catalog entry 'total': .*E0707.*on the branch 'main'\. The branch"
    ) as caught:
        project.run(3, signal={"first": "SIGKILL"})  # which would end this very process
    assert "kedro----" not in str(caught.value)
    assert project.branches() == ["main"]


@pytest.mark.parametrize("mode", ["isolated", "direct"])
def test_what_is_missing_to_reach_lakefs_is_told_with_the_entry(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    project.settings(mode=mode)
    monkeypatch.delenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY")
    with pytest.raises(DatasetError, match=r"catalog entry 'a': .*E0402"):
        project.run(3)
    with pytest.raises(DatasetError, match=r"b\b.*E0402"):
        project.run(3, pipeline="reads")
    with pytest.raises(DatasetError, match=r"b\b.*E0402"):
        project.run(3, pipeline="reads", load_versions={"b": "main"})


# -- nothing to do -------------------------------------------------------------------------------------------------


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
    assert [name.endswith("-read--rest") or name == "kedro-rest" for name in sorted(new)] == [True, True]


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
    _with_folder(project)
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
