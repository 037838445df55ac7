"""Any history of branches, commits and runs: a model predicts what every entry reads, everywhere."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from kedro.io import DatasetError

from kedro_statisfactory.errors import ObjectNotFound
from kedro_statisfactory.project import Project, announce
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.project.git import Head
from tests.runs.conftest import ENTRIES, KedroProject, kedro_project
from tests.servers.lakefs import LakeFSServer

pytestmark = [
    pytest.mark.first,  # they are long
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
PART = 10  # histories that are tried one after the other
State = dict[str, int]  # what the entries hold; one that is not there is missing


@dataclass
class Model:
    """What should be where."""

    data: dict[str, State] = field(default_factory=lambda: {"main": {"total": 0}})  # by git branch
    runs: dict[str, State] = field(default_factory=dict)  # by run id
    shas: dict[str, State] = field(default_factory=dict)  # of the newest run at a git commit
    on: dict[str, str] = field(default_factory=dict)  # git branches of those runs
    last: dict[str, str] = field(default_factory=dict)  # git commits of the newest runs, by git branch
    bare: list[str] = field(default_factory=list)  # git commits at which nothing was run

    def at(self, branch: str, commits: list[str]) -> State:
        """What is read on a git branch with some git commits, newest first: data follows code."""
        if branch in self.data:
            return self.data[branch]
        near = next((sha for sha in commits if sha in self.shas), None)
        if near is None:
            return self.data["main"]
        return self.data[self.on[near]] if self.last[self.on[near]] in commits else self.shas[near]


class Histories(RuleBasedStateMachine):
    """What people and schedulers do to a project."""

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

    def teardown(self) -> None:
        """Check everything once more in the end, from the outside."""
        if not hasattr(self, "project"):
            return
        try:
            self._check_git_commits()
            assert self.killed or not any(name.startswith(RUN_BRANCH) for name in self.project.branches())
        finally:
            self._stack.close()
            announce(None)
            os.chdir("/")
            shutil.rmtree(self._folder, ignore_errors=True)

    killed = False

    # -- git -------------------------------------------------------------------------------------------------------

    @rule()
    def commit(self) -> None:
        """Change the code."""
        self.model.bare.append(self.project.commit_code(f"{next(self.numbers)}"))

    @rule()
    def create_branch(self) -> None:
        """Begin a branch where we are."""
        self.branch = next(self.names)
        self.project.git("switch", "-qc", self.branch)

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
        sha = self.project.git("rev-parse", "HEAD")
        if sha not in self.model.shas and sha not in self.model.bare:
            self.model.bare.append(sha)

    # -- runs ------------------------------------------------------------------------------------------------------

    def _run(self, value: int) -> None:
        before = self._predicted(self.branch)["total"]
        run_id = self.project.run(value)
        state = {"a": value, "b": 10 * value, "total": before + value}
        sha = self.project.git("rev-parse", "HEAD")
        self.model.data[self.branch] = self.model.runs[run_id] = self.model.shas[sha] = state
        self.model.on[sha], self.model.last[self.branch] = self.branch, sha
        self.model.bare = [each for each in self.model.bare if each != sha]

    @rule(value=st.integers(1, 99))
    def succeed(self, value: int) -> None:
        """Run the pipeline."""
        self._run(value)

    @rule(value=st.integers(1, 99))
    def run_twice(self, value: int) -> None:
        """Run the pipeline twice with the same code."""
        self._run(value)
        self._run(value)

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
        """Look at every entry on every branch and by every run, and at one of them by every git commit."""
        for line in self.project.git("branch", "--format=%(refname:short) %(objectname)").splitlines():
            branch, sha = line.split()
            elsewhere = Project(self._folder, head=Head(branch, sha, "a test"))
            on = Project(self._folder) if branch == self.branch else elsewhere
            self._expect(self._predicted(branch), f"on the branch {branch}", on)
        main = self.project.on("main")
        for run_id, state in self.model.runs.items():
            self._expect(state, f"by the run {run_id}", main, run_id)
        for sha, state in self.model.shas.items():
            assert self._read("total", main, sha) == state["total"], f"by the git commit {sha}"

    def _predicted(self, branch: str) -> State:
        commits = [] if branch in self.model.data else self.project.git("rev-list", branch).split()
        return self.model.at(branch, commits)

    def _check_git_commits(self) -> None:
        main = self.project.on("main")
        for sha, state in self.model.shas.items():
            self._expect(state, f"by the git commit {sha}", main, sha)
            self._expect(state, f"with {sha} checked out", Project(self._folder, head=Head(None, sha, "a test")))
        for sha in self.model.bare:
            with pytest.raises(DatasetError, match="no run was made at the git commit"):
                self._read("total", Project(self._folder, head=Head(None, sha, "a test")))

    def _expect(self, state: State, where: str, on: Project, version: str | None = None) -> None:
        found = {name: self._read(name, on, version) for name in ENTRIES}
        assert {name: number for name, number in found.items() if number is not None} == state, where

    def _read(self, name: str, on: Project, version: str | None = None) -> int | None:
        try:
            return int(self.project.entry(name, on, version).load()["n"])
        except DatasetError as error:
            if isinstance(error.__cause__, ObjectNotFound):
                return None
            raise


@pytest.fixture
def histories(lakefs_local: LakeFSServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Histories]:
    """The histories on a server, with the state of this process put back afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    for name, value in lakefs_local.environment.items():
        monkeypatch.setenv(name, value)
    announce(None)
    Histories.server = lakefs_local
    Histories.count = 0
    return Histories


def _settings(count: int, *phases: Phase) -> settings:
    return settings(
        max_examples=count,
        phases=phases or tuple(Phase),
        stateful_step_count=6,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cut the histories into parts, so that several processes can share them."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(math.ceil(metafunc.config.getoption("--histories") / PART)))


@pytest.mark.timeout(1200)
def test_any_history_reads_as_predicted(histories: type[Histories], pytestconfig: pytest.Config, part: int) -> None:
    count = min(PART, pytestconfig.getoption("--histories") - part * PART)
    number = pytestconfig.getoption("--histories-seed") + part
    print(f"{count} histories from the seed {number} (--histories={count} --histories-seed={number} repeats them)")
    run_state_machine_as_test(seed(number)(histories), settings=_settings(count))
    assert histories.count >= count


class Torn(Histories):
    """The same without isolation, and with no failure but by a kill."""

    fail = None  # type: ignore[assignment]

    @initialize()
    def begin(self) -> None:
        """Write straight to the data branch."""
        super().begin()
        self.project.settings(mode="direct")
        self.project.git("add", "-A")
        self.project.git("commit", "-qm", "direct")
        self.model.bare.append(self.project.git("rev-parse", "HEAD"))


@pytest.mark.timeout(600)
def test_without_isolation_a_history_with_a_kill_does_not(histories: type[Histories]) -> None:
    """The negative control."""
    Torn.server = histories.server
    with pytest.raises(AssertionError, match="on the branch"):
        run_state_machine_as_test(seed(1)(Torn), settings=_settings(50, Phase.generate))
