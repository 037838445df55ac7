"""After any edit, a run of what has changed leaves what a full run of the same code makes from nothing."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from kedro_statisfactory.project import announce
from kedro_statisfactory.project.code import CodeReader, NodeCode
from kedro_statisfactory.project.code.functions import Function
from kedro_statisfactory.project.code.graph import Graph, Reached
from kedro_statisfactory.project.code.modules import Module
from kedro_statisfactory.runs.nodes.record import Recipe
from kedro_statisfactory.runs.nodes.state import _Judging
from tests.runs.conftest import kedro_project
from tests.runs.nodes.changes import Changes, changes, replace
from tests.runs.nodes.programs import PACKAGE, RAW, SMALL, Helper, Program, Step, Uses, edited, programs
from tests.servers.lakefs import LakeFSServer

pytestmark = [
    pytest.mark.first,  # they are long
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
LENGTH = 10  # edits of one history, each of which is a case
PART = 3  # histories that are tried one after the other


@pytest.fixture
def server(lakefs_local: LakeFSServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LakeFSServer:
    """A server that the variables of lakectl name."""
    monkeypatch.chdir(tmp_path)
    for name, value in lakefs_local.environment.items():
        monkeypatch.setenv(name, value)
    announce(None)
    _load_all(lakefs_local)
    return lakefs_local


@functools.cache
def _load_all(server: LakeFSServer) -> None:
    """Let this process load what each run needs, so that no process that is forked from it has to."""
    with TemporaryDirectory() as folder, kedro_project(Path(folder), server) as project:
        project.run(missing=True)
    announce(None)


def edit(
    data: st.DataObject, history: Changes, program: Program, programs_of: dict[str, Program]
) -> tuple[Program, bool]:
    """Edit something; gives the program that is checked out then, and whether all must be up to date."""
    kind = data.draw(st.sampled_from(["program"] * 6 + ["nothing", "raw", "widget", "switch", "overwrite", "before"]))
    if kind == "program":
        return data.draw(st.composite(edited)(program)), False
    if kind == "raw":
        history.write_raw(data.draw(st.sampled_from(RAW)), data.draw(SMALL))
    elif kind == "widget":
        history.set_widget(data.draw(SMALL))
    elif kind == "switch":
        programs_of[history.branch] = program
        history.switch(data.draw(st.sampled_from(["main", "one", "feature/two"])))
        return programs_of.get(history.branch, program), False
    elif kind == "overwrite" and (outputs := [step.output for step in program.steps if step.output.startswith("out")]):
        if any(history.stored().get(name) is not None for name in outputs):
            history.write_by_hand(f"{data.draw(st.sampled_from(outputs))}.json", 99)
    elif kind == "before":
        return programs_of.get("before", program), False
    return program, kind == "nothing"


def check(data: st.DataObject, server: LakeFSServer) -> int:
    """One history; gives the number of its cases."""
    program = data.draw(programs())
    known: dict[str, Program] = {}
    with changes(server) as history:
        for number in range(LENGTH):
            history.write(program)
            history.run()
            assert history.wrong(program) == {}, number
            known["before"] = copy.deepcopy(program)
            program, is_same = edit(data, history, program, known)
            if is_same:
                assert history.run() == [], history.log
    return LENGTH


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cut the histories into parts, so that several processes can share them."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(math.ceil(metafunc.config.getoption("--changes") / LENGTH / PART)))


@pytest.mark.timeout(600)
def test_what_is_kept_is_what_a_full_run_makes(server: LakeFSServer, pytestconfig: pytest.Config, part: int) -> None:
    number = pytestconfig.getoption("--histories-seed") + part
    cases: list[int] = []

    @seed(number)
    @settings(
        max_examples=PART,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def histories(data: Any) -> None:
        cases.append(check(data, server))

    histories()
    assert sum(cases) >= PART * LENGTH


# -- negative controls -----------------------------------------------------------------------------------------------


def _ignore(field: str, value: object) -> None:
    """Let what is recorded of one thing be the same, whatever it is."""
    made = Recipe.__init__

    def make(recipe: Recipe, *values: Any, **named: Any) -> None:
        made(recipe, *values, **named)
        object.__setattr__(recipe, field, value)

    replace(Recipe, "__init__", make)


def _ignore_code() -> None:
    """Let all functions be the same."""
    replace(CodeReader, "read", lambda reader, function: NodeCode("", {}, {}, None))


def _ignore_captured() -> None:
    """Let what functions have captured be the same."""
    replace(Function, "_tell_cell", lambda function, cell: None)


def _ignore_module(name: str) -> None:
    """Let one module be reached by none."""
    step = Graph.step

    def others(graph: Graph, module: Module) -> Reached:
        found = step(graph, module)
        found.modules.discard(f"{PACKAGE}.{name}")
        return found

    replace(Graph, "step", others)


def _ignore_outputs() -> None:
    """Let an output be what it was, whoever has changed it since."""
    replace(_Judging, "_of_outputs", lambda judging, record: [])


def _program() -> Program:
    """Two nodes that keep what they make, and one between them that does not; each reads what the one before made."""
    plain = Uses({0: "module"})
    steps = [
        Step(0, 1, 1000, 1, ["raw_a", "raw_b"], "p0", "out_0", plain),
        Step(1, 1, 1000, 1, ["out_0"], "p0", "mem_1", Uses()),
        Step(2, 1, 1000, 1, ["mem_1"], "p1", "out_2", Uses()),
    ]
    return Program([Helper(1, Uses({}), True), Helper(1, Uses(), False)], steps, {"p0": 1, "p1": 1})


def _change(history: Changes, program: Program, what: str) -> None:
    first, middle, last = program.steps
    match what:
        case "code":
            last.constant += 1
        case "captured":
            last.captured += 1
        case "module":
            program.helpers[0].constant += 1
        case "parameter":
            program.parameters["p1"] += 1
        case "stored input":
            history.write_raw("raw_a", 7)
        case "input on disk":
            history.write_raw("raw_b", 9)
        case "input in memory":
            middle.constant += 1
        case "names":
            first.inputs.reverse()
        case "version":
            history.set_widget(history.widget + 1)
        case "output":
            history.project.write("out_2.json", 99)
    history.write(program)


CONTROLS: dict[str, Callable[[], None]] = {
    "code": _ignore_code,
    "captured": _ignore_captured,
    "module": lambda: _ignore_module("h0"),
    "parameter": lambda: _ignore("parameters", {}),
    "stored input": lambda: _ignore("data", {}),
    "input on disk": lambda: _ignore("data", {}),
    "input in memory": lambda: _ignore("memory", {}),
    "names": lambda: _ignore("wiring", None),
    "version": lambda: _ignore("distributions", {}),
    "output": _ignore_outputs,
}


@pytest.mark.once
def test_each_thing_that_is_recorded_is_seen_where_it_is_ignored(server: LakeFSServer) -> None:
    """Negative controls."""
    program = _program()
    with changes(server) as history:
        history.write(program)
        history.run()
        assert history.wrong(program) == {}
        for what, ignore in CONTROLS.items():
            history.run(ignore)
            _change(history, program, what)
            assert history.wrong(program) != {}, f"{what} makes no difference"
            history.run(ignore)
            assert history.wrong(program) != {}, f"{what} is ignored, and nobody sees it"
            history.run()
            assert history.wrong(program) == {}, what
        for _ in range(2):  # what was there before is taken from where it is, also when it was taken from there itself
            history.project.write("out_2.json", 99)
            history.run()
            assert history.wrong(program) == {}
