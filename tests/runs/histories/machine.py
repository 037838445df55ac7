"""The project of a history: git, runs, and a look at everything that may be read."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kedro.io import DatasetError

from kedro_statisfactory.errors import ObjectNotFound
from kedro_statisfactory.project import Project, announce
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.project.git import Head
from tests.runs.conftest import KedroProject, kedro_project
from tests.runs.histories.model import NOTHING, Model, State
from tests.servers.lakefs import LakeFSServer

#: The entries by the nodes that write them.
NODES = {"first": "a", "second": "b", "add": "total", "parts": "folder"}
#: What a run can make of a parameter; other tools write larger numbers.
VALUES = st.integers(1, 99)


class Machine(RuleBasedStateMachine):
    """What people and schedulers do to a project, one after the other."""

    server: ClassVar[LakeFSServer]
    count: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        """Make a project of its own for the history."""
        type(self).count += 1
        self._stack = contextlib.ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="history-"))
        os.chdir(self._folder)
        self.project: KedroProject = self._stack.enter_context(kedro_project(self._folder, self.server))
        self.model = Model(bare=[self.project.git("rev-parse", "HEAD")])
        self.branch = "main"
        self.names = iter(f"feature/{number}" for number in itertools.count())
        self.numbers = itertools.count()
        self._newest = ""

    def teardown(self) -> None:
        """Check everything once more in the end, from the outside."""
        if not hasattr(self, "project"):
            return
        try:
            if sys.exc_info()[0] is None:  # else that says more
                self._check_runs()
                self._check_git_commits()
                assert self.killed or not any(name.startswith(RUN_BRANCH) for name in self.project.branches())
        finally:
            self.close()

    def close(self) -> None:
        """Drop the project."""
        self._stack.close()
        announce(None)
        os.chdir("/")
        shutil.rmtree(self._folder, ignore_errors=True)

    killed = False

    # -- git -------------------------------------------------------------------------------------------------------

    @rule()
    def commit(self) -> None:
        """Change the code."""
        self.change_code()

    def change_code(self) -> None:
        """Commit something else."""
        self.model.bare.append(self.project.commit_code(f"{next(self.numbers)}"))

    @rule()
    def create_branch(self) -> None:
        """Begin a branch where we are."""
        source, self.branch = self.branch, next(self.names)
        self.project.git("switch", "-qc", self.branch)
        self.model.parents[self.branch] = source

    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        """Go to another branch."""
        branches = self.project.git("branch", "--format=%(refname:short)").split()
        self.branch = data.draw(st.sampled_from(sorted(branches)))
        self.project.git("switch", "-q", self.branch)

    @precondition(lambda self: self.branch != "main")
    @rule()
    def merge_into_main(self) -> None:
        """Bring the code of the branch to main; data stays where it is."""
        self.project.git("switch", "-q", "main")
        self.project.git("merge", "-q", "--no-ff", "-m", f"merge {next(self.numbers)}", self.branch)
        self.branch = "main"
        self._note_head()

    @precondition(lambda self: self.branch != "main")
    @rule()
    def rebase(self) -> None:
        """Give the commits of the branch new names."""
        self.project.git("rebase", "-q", "main")
        self._note_head()

    def _note_head(self) -> None:
        if (sha := self.sha) not in self.model.made and sha not in self.model.bare:
            self.model.bare.append(sha)

    @property
    def sha(self) -> str:
        """Of the git commit that is checked out."""
        return self.project.git("rev-parse", "HEAD")

    # -- runs ------------------------------------------------------------------------------------------------------

    def run(self, value: int, nodes: Collection[str] = NODES.keys()) -> str:
        """Run some nodes of the pipeline on the branch where we are, and note what that should make."""
        wrote = self.makes(value, nodes)
        run_id = self.project.run(value, pipeline="with_folder", nodes=list(nodes))
        self.lands(run_id, wrote)
        return run_id

    def makes(self, value: int, nodes: Collection[str] = NODES.keys()) -> State:
        """What some nodes of the pipeline make of a parameter and of what there is now."""
        before = self.predicted(self.branch)
        a = value if "first" in nodes else sum(before.get("a", NOTHING))  # for the nodes that need it, it is there
        made = {"a": value, "b": 10 * a, "total": sum(before["total"]) + a, "folder": value}
        return {NODES[node]: frozenset({made[NODES[node]]}) for node in nodes}

    def lands(self, run_id: str, wrote: State, lost: frozenset[str] = frozenset()) -> None:
        """Note that a run has landed on the branch where we are."""
        self.model.land(run_id, self.branch, self._commits(self.branch), wrote, lost)
        self._newest = run_id

    @rule(value=VALUES)
    def succeed(self, value: int) -> None:
        """Run the pipeline."""
        self.run(value)

    @rule(value=VALUES)
    def run_twice(self, value: int) -> None:
        """Run the pipeline twice with the same code."""
        self.run(value)
        self.run(value)

    @rule(where=st.sampled_from(["first", "second", "add"]))
    def fail(self, where: str) -> None:
        """Run the pipeline, of which a node fails."""
        with pytest.raises(RuntimeError, match="fails"):
            self.project.run(1000, fail=[where])

    @rule(where=st.sampled_from(["first", "second", "add"]))
    def kill(self, where: str) -> None:
        """Run the pipeline in a process that is killed."""
        assert self.project.killed_run("SIGKILL", where, value=1000) == -9
        self.killed = True

    # -- what is read ----------------------------------------------------------------------------------------------

    @invariant()
    def everything_reads_as_predicted(self) -> None:
        """Look at every entry on every branch and by the newest run, and at one of them by every git commit."""
        for line in self.project.git("branch", "--format=%(refname:short) %(objectname)").splitlines():
            branch, sha = line.split()
            elsewhere = Project(self._folder, head=Head(branch, sha, "a test"))
            on = Project(self._folder) if branch == self.branch else elsewhere
            self._expect(self.predicted(branch), f"on the branch {branch}", on)
        self._check_runs(self._newest)
        for sha in self.model.made:
            found, expected = self._read("total", self.project.on("main"), sha), self.model.at_commit(sha)
            assert found == sum(expected["total"]), f"by the git commit {sha}"

    def predicted(self, branch: str) -> State:
        """What should be on a git branch now."""
        return self.model.at(branch, [] if branch in self.model.data else self._commits(branch))[0]

    def _commits(self, branch: str) -> list[str]:
        return self.project.git("rev-list", branch).split()

    def _check_runs(self, only: str | None = None) -> None:
        for run_id in self.model.runs if only is None else filter(None, [only]):
            self._expect(self.model.runs[run_id], f"by the run {run_id}", self.project.on("main"), run_id)

    def _check_git_commits(self) -> None:
        for sha in self.model.made:
            state = self.model.at_commit(sha)
            self._expect(state, f"by the git commit {sha}", self.project.on("main"), sha)
            self._expect(state, f"with {sha} checked out", Project(self._folder, head=Head(None, sha, "a test")))
        for sha in self.model.bare:
            with pytest.raises(DatasetError, match="no run was made at the git commit"):
                self._read("total", Project(self._folder, head=Head(None, sha, "a test")))

    def _expect(self, state: State, where: str, on: Project, version: str | None = None) -> None:
        found = {name: self._read(name, on, version) for name in NODES.values()}
        expected = {name: sum(numbers) for name, numbers in state.items()}
        assert {name: number for name, number in found.items() if number is not None} == expected, where

    def _read(self, name: str, on: Project, version: str | None = None) -> int | None:
        try:
            return int(self.project.entry(name, on, version).load()["n"])
        except DatasetError as error:
            if isinstance(error.__cause__, ObjectNotFound):
                return None
            raise
