"""What a run promises: all of it or nothing appears, as one commit, at a fixed number of calls."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from kedro.io import DatasetError
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, ThreadRunner

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import TransferError
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.runs import interrupts
from tests.runs.conftest import BEFORE, ROOT, KedroProject

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


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
