"""A history of edits, each followed by a run of what has changed, in a process that has loaded nothing before."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from coverage import Coverage
from kedro.framework.session import session

from kedro_statisfactory.project import Project, announce, git
from kedro_statisfactory.project.branches import data_branch
from kedro_statisfactory.project.code import files
from kedro_statisfactory.runs.nodes.of_run import NodesOfRun
from kedro_statisfactory.runs.nodes.planning import plan_at
from kedro_statisfactory.runs.nodes.state import Plan, State
from kedro_statisfactory.runs.target import Target
from tests.runs.conftest import ROOT, KedroProject, kedro_project
from tests.runs.nodes.programs import PACKAGE, RAW, Program
from tests.servers.lakefs import LakeFSServer

Patch = Callable[[], object]


def replace(owner: object, name: str, by: object) -> None:
    """Let a class or module do something else, in a process that ends soon."""
    setattr(owner, name, by)


def fresh_run(project: KedroProject, *patches: Patch) -> None:
    """Run what has changed, in a process that has loaded nothing of the project before."""
    log = project.path / ".log"
    child = os.fork()
    if child == 0:
        try:
            with log.open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                _run(project, patches)
                os._exit(0)
        except BaseException:
            log.write_text(log.read_text() + traceback.format_exc())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, log.read_text()


def _run(project: KedroProject, patches: tuple[Patch, ...]) -> None:
    if coverage := Coverage.current():  # what it measures goes with this process
        coverage.stop()
    # Python would take bytecode of the source before, where both are of one second and one size.
    sys.dont_write_bytecode = True
    # The tests are no code of the project, which counts as a whole at times, and somebody may edit them meanwhile.
    others = [each for each in sys.path if Path(each).resolve() != ROOT]
    sys.path[:] = [str(project.path / "src"), str(project.path / "site-packages"), *others]
    # The process from which this one was forked has loaded none of the modules.
    replace(files, "_began", lambda: time.time() + 1)
    logging.disable(logging.INFO)  # to print it takes half of the time
    _remember_git(project.path)
    looked = _note_plans()
    for patch in patches:
        patch()
    project.run(missing=True)
    if not patches:
        _see_that_nothing_is_left(*looked)


def _remember_git(path: Path) -> None:
    """Spare each run some processes: git tracks nothing there, and what it says depends on its branches alone."""
    ask, answers = git._git, path / ".answers"
    heads = sorted(each.name for each in (path / ".git/refs/heads").rglob("*"))
    state = [(path / ".git/HEAD").read_text(), *heads]

    def remembered(top: Path, *arguments: Any, **options: Any) -> bytes:
        answer = answers / hashlib.sha256(repr((state, arguments)).encode()).hexdigest()
        if not answer.exists():
            answers.mkdir(exist_ok=True)
            answer.write_bytes(ask(top, *arguments, **options))
        return answer.read_bytes()

    replace(git, "_git", remembered)
    replace(session, "_describe_git", lambda _: {})  # of Kedro, which asks git as well


def _note_plans() -> list[Any]:
    """Print why nodes are run, for whoever asks why a test fails; gives what the run is going to look at."""
    look, looked = NodesOfRun.look, list[Any]()

    def noted(nodes: NodesOfRun, targets: Sequence[Target], project: Project, further: Any) -> Plan:
        plan = look(nodes, targets, project, further)
        looked[:] = [nodes, [*targets], project]
        _print(plan)
        return plan

    replace(NodesOfRun, "look", noted)
    return looked


def _print(plan: Plan) -> None:
    for verdict in plan.verdicts.values():
        print(verdict.node.name, verdict.state.value, *verdict.reasons, sep="; ", flush=True)


def _see_that_nothing_is_left(nodes: NodesOfRun, targets: Sequence[Target], project: Project) -> None:
    """See that another run would find nothing to do, without the time that it takes."""
    plan = plan_at(nodes.pipeline, [(each.api, each.repository, each.landed or each.base) for each in targets], project)
    print("After the run:")
    _print(plan)
    assert {verdict.state for verdict in plan.verdicts.values()} <= {State.UP_TO_DATE, State.IN_MEMORY}


class Changes:
    """A project on disk, in git and on lakeFS, that is edited and run.

    Args:
        project: The project.
    """

    def __init__(self, project: KedroProject) -> None:
        self.project = project
        self.branch, self.widget = "main", 0
        self._written: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        def entry(url: str) -> dict[str, str]:
            return {"type": "kedro_statisfactory.ArtifactDataset", "filepath": url, "dataset": "json.JSONDataset"}

        path, lakefs = self.project.path, f"lakefs://{self.project.repository}"
        catalog = {"raw_a": entry(f"{lakefs}/raw_a.json"), "raw_b": entry("data/raw_b.json")}
        catalog |= {
            "out_{number}": entry(f"{lakefs}/out_{{number}}.json"),
            "loc_{number}": entry("data/loc_{number}.json"),
        }
        (path / "conf/base/catalog.yml").write_text(yaml.safe_dump(catalog))
        (path / "pyproject.toml").write_text(
            f'[tool.kedro]\npackage_name = "{PACKAGE}"\nproject_name = "changing"\nkedro_init_version = "1.7.0"\n'
        )
        # What git tracks decides nothing here, and to ask git for all that differs takes a third of the time of a run.
        (path / ".gitignore").write_text("*\n")
        self.project.git("rm", "-rq", "--cached", ".")
        self.project.git("commit", "-qm", "nothing")
        self.write_raw("raw_a", 1)
        self.write_raw("raw_b", 1)
        self.set_widget(0)

    # -- what is edited ----------------------------------------------------------------------------------------------

    def write(self, program: Program) -> None:
        """Write those files of a program that have changed."""
        wanted = program.files()
        for name, text in wanted.items():
            if self._written.get(name) != text:
                file = self.project.path / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        for name in self._written.keys() - wanted.keys():
            (self.project.path / name).unlink()
        self._written = wanted

    def write_raw(self, name: str, number: int) -> None:
        """Change an input."""
        if name == "raw_a":
            self.write_by_hand("raw_a.json", number)
        else:
            (self.project.path / "data").mkdir(exist_ok=True)
            (self.project.path / "data/raw_b.json").write_text(json.dumps({"n": number}))

    def write_by_hand(self, path: str, number: int) -> None:
        """Write to lakeFS as another tool would, and commit it: a branch that is made from it has no more than that."""
        self.project.write(path, number, self.data_branch)
        self.project.api.create_commit(self.project.repository, self.data_branch, "by hand", {}, allow_empty=True)

    def set_widget(self, version: int) -> None:
        """Install another version of a distribution."""
        site = self.project.path / "site-packages"
        shutil.rmtree(site, ignore_errors=True)
        (site / f"widget-1.{version}.0.dist-info").mkdir(parents=True)
        (site / "widget.py").write_text(f"VALUE = {version}\n")
        self.widget = version

    def switch(self, branch: str) -> None:
        """Check out a git branch, which is made where we are if there is none."""
        heads = self.project.path / ".git/refs/heads"
        if not (heads / branch).exists():
            (heads / branch).parent.mkdir(exist_ok=True)
            shutil.copy(heads / self.branch, heads / branch)
        (self.project.path / ".git/HEAD").write_text(f"ref: refs/heads/{branch}\n")
        self.branch = branch

    # -- runs --------------------------------------------------------------------------------------------------------

    @property
    def data_branch(self) -> str:
        """The data branch, or `main` as long as there is none."""
        name = data_branch(self.branch)
        return name if name == "main" or name in self.project.branches() else "main"

    def run(self, *patches: Patch) -> list[str]:
        """Run what has changed; gives the functions that were called.

        Args:
            patches: Called in the process of the run before it begins.
        """
        ran = self.project.path / ".ran"
        ran.write_text("")
        os.environ["CHANGING_RAN"] = str(ran)
        try:
            fresh_run(self.project, *patches)
        finally:
            del os.environ["CHANGING_RAN"]
        return ran.read_text().split()

    @property
    def log(self) -> str:
        """What the last run has printed: why each node was run, or was not."""
        return (self.project.path / ".log").read_text()

    def stored(self) -> dict[str, int]:
        """What all entries hold that are stored somewhere."""
        found = self.project.read(self.data_branch)
        for file in (self.project.path / "data").glob("*.json"):
            found[file.stem] = json.loads(file.read_text())["n"]
        return found

    def wrong(self, program: Program) -> dict[str, tuple[int | None, int]]:
        """The entries that are not what a full run from nothing makes: what they are, and what they should be."""
        stored = self.stored()
        made = program.results({name: stored[name] for name in RAW}, self.widget)
        kept = {name: value for name, value in made.items() if not name.startswith("mem")}
        return {name: (stored.get(name), value) for name, value in kept.items() if stored.get(name) != value}


@contextlib.contextmanager
def changes(server: LakeFSServer) -> Iterator[Changes]:
    """A project for one history."""
    folder = Path(tempfile.mkdtemp(prefix="changes-"))
    try:
        os.chdir(folder)
        with kedro_project(folder, server) as project:
            yield Changes(project)
    finally:
        announce(None)
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
