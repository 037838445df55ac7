"""Small projects made at random: what their files say, and what their runs make, computed without the package."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

PACKAGE = "changing"
PARAMETERS = ("p0", "p1")
RAW = ("raw_a", "raw_b")  # on lakeFS, and on disk
HELPERS = 3
_MANY = 100_003

# How a module imports a helper: the statement at its top, that in its functions, and how they call it.
STYLES: Mapping[str, tuple[str, str, str]] = {
    "module": ("from {package} import h{n}", "", "h{n}.value{n}()"),
    "relative": ("from . import h{n} as helper{n}", "", "helper{n}.value{n}()"),
    "inner": ("", "from .h{n} import value{n} as inner{n}", "inner{n}()"),
    "attribute": ("import {package}.h{n}", "", "{package}.h{n}.value{n}()"),
    "star": ("from .h{n} import *", "", "value{n}()"),
    "literal": ("import importlib", "", "importlib.import_module('{package}.h{n}').value{n}()"),
    "computed": ("import importlib", "", "importlib.import_module('{package}.h' + str({n})).value{n}()"),
}


@dataclass
class Uses:
    """The helpers that a module imports, and how."""

    helpers: dict[int, str] = field(default_factory=dict)

    def render(self, head: list[str], inner: list[str]) -> str:
        """Add what imports them; gives the sum of what they say."""
        calls = ["0"]
        for number, style in self.helpers.items():
            top, within, call = (text.format(package=PACKAGE, n=number) for text in STYLES[style])
            head += [top] if top else []
            inner += [f"    {within}"] if within else []
            calls.append(call)
        return " + ".join(calls)


@dataclass
class Helper:
    """A module that nodes and other helpers import."""

    constant: int
    uses: Uses
    has_widget: bool
    remark: int = 0


@dataclass
class Step:
    """A node: which module its function is in, what that computes, and what it reads and writes."""

    module: int
    constant: int
    modulus: int
    captured: int
    inputs: list[str]
    parameter: str
    output: str
    uses: Uses


@dataclass
class Program:
    """All that decides what a run makes, beside what is stored."""

    helpers: list[Helper]
    steps: list[Step]
    parameters: dict[str, int]
    unrelated: int = 0

    @property
    def has_computed(self) -> bool:
        """Whether some import cannot be followed."""
        uses = [each.uses for each in self.helpers] + [each.uses for each in self.steps]
        return any("computed" in each.helpers.values() for each in uses)

    def files(self) -> dict[str, str]:
        """The sources and parameters of the project."""
        found = {f"src/{PACKAGE}/{name}.py": "" for name in ("__init__", "settings")}
        found[f"src/{PACKAGE}/unrelated.py"] = f"CONSTANT = {self.unrelated}\n"
        for number, helper in enumerate(self.helpers):
            found[f"src/{PACKAGE}/h{number}.py"] = _helper(number, helper)
        for module in {step.module for step in self.steps}:
            found[f"src/{PACKAGE}/n{module}.py"] = _module(
                [step for step in self.steps if step.module == module], self.steps
            )
        found[f"src/{PACKAGE}/pipeline_registry.py"] = _registry(self.steps)
        found["conf/base/parameters.yml"] = "".join(f"{name}: {value}\n" for name, value in self.parameters.items())
        return found

    def results(self, stored: Mapping[str, int], widget: int) -> dict[str, int]:
        """What a full run makes of what is stored, by entry."""
        values: list[int] = []
        for helper in self.helpers:
            below = sum(values[number] for number in helper.uses.helpers)
            values.append(helper.constant + below + (widget if helper.has_widget else 0))
        made = {name: stored[name] for name in RAW}
        for step in self.steps:
            weighed = sum((weight + 2) * made[name] for weight, name in enumerate(step.inputs))
            helped = sum(values[number] for number in step.uses.helpers)
            made[step.output] = (
                weighed + step.constant + step.captured + self.parameters[step.parameter] + helped
            ) % step.modulus
        return made


def _helper(number: int, helper: Helper) -> str:
    head, inner = [f"# {helper.remark}", *(["import widget"] if helper.has_widget else [])], [f"def value{number}():"]
    total = helper.uses.render(head, inner)
    widget = " + widget.VALUE" if helper.has_widget else ""
    return "\n".join([*head, f"C{number} = {helper.constant}", *inner, f"    return C{number} + {total}{widget}", ""])


def _module(steps: list[Step], all_steps: list[Step]) -> str:
    head, body = ["import os"], []
    for step in steps:
        number = all_steps.index(step)
        inner = [f"    def f{number}(*inputs):"]
        within: list[str] = []
        total = step.uses.render(head, within)
        inner += [f"    {line}" for line in within]
        inner += [
            f"        with open(os.environ['CHANGING_RAN'], 'a') as ran: ran.write('f{number}\\n')",
            "        *values, parameter = inputs",
            "        weighed = sum((weight + 2) * each['n'] for weight, each in enumerate(values))",
            f"        return {{'n': (weighed + {step.constant} + captured + parameter + {total}) % {step.modulus}}}",
        ]
        body += [f"def make{number}(captured):", *inner, f"    return f{number}"]
    return "\n".join([*dict.fromkeys(head), *body, ""])


def _registry(steps: list[Step]) -> str:
    lines = [f"from {PACKAGE} import " + ", ".join(sorted({f"n{step.module}" for step in steps}))]
    lines += [
        "from kedro.pipeline import node, pipeline",
        "def register_pipelines():",
        "    return {'__default__': pipeline([",
    ]
    for number, step in enumerate(steps):
        inputs = [*step.inputs, f"params:{step.parameter}"]
        lines.append(
            f"        node(n{step.module}.make{number}({step.captured}), {inputs}, {step.output!r}, name='f{number}'),"
        )
    return "\n".join([*lines, "    ])}", ""])


# -- at random -------------------------------------------------------------------------------------------------------

SMALL = st.integers(0, 2)
_STYLES = st.sampled_from(sorted(STYLES.keys() - {"computed"})) | st.sampled_from(sorted(STYLES))


def uses_of(count: int) -> st.SearchStrategy[Uses]:
    """Some of the first helpers, in some way."""
    return st.builds(Uses, st.dictionaries(st.integers(0, count - 1), _STYLES, max_size=2) if count else st.just({}))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A project: helpers that import those before them, and nodes that read what those before them write."""
    helpers = [Helper(draw(SMALL), draw(uses_of(number)), draw(st.booleans())) for number in range(HELPERS)]
    steps: list[Step] = []
    for number in range(draw(st.integers(2, 5))):
        known = [*RAW, *(step.output for step in steps)]
        inputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=2))
        # A run that writes nothing to lakeFS records nothing.
        output = f"{draw(st.sampled_from(['out', 'out', 'mem', 'loc'])) if number else 'out'}_{number}"
        modulus = draw(st.sampled_from([2, _MANY, _MANY]))
        uses = draw(uses_of(HELPERS))
        step = Step(
            draw(SMALL), draw(SMALL), modulus, draw(SMALL), inputs, draw(st.sampled_from(PARAMETERS)), output, uses
        )
        steps.append(step)
    return Program(helpers, steps, {name: draw(SMALL) for name in PARAMETERS})


def edited(draw: st.DrawFn, program: Program) -> Program:
    """The same project with one edit."""
    changed = copy.deepcopy(program)
    helper, step = draw(st.sampled_from(changed.helpers)), draw(st.sampled_from(changed.steps))
    match draw(
        st.sampled_from(
            ["helper", "remark", "node", "captured", "parameter", "unrelated", "inputs", "output", "imports"]
        )
    ):
        case "helper":
            helper.constant = draw(SMALL)
        case "remark":
            helper.remark = draw(SMALL)
        case "node":
            step.constant = draw(SMALL)
        case "captured":
            step.captured = draw(SMALL)
        case "parameter":
            changed.parameters[draw(st.sampled_from(PARAMETERS))] = draw(SMALL)
        case "unrelated":
            changed.unrelated = draw(SMALL)
        case "inputs":
            step.inputs.reverse()
        case "output":
            step = draw(st.sampled_from(changed.steps[1:]))
            _rename(changed, step, f"{draw(st.sampled_from(['out', 'mem', 'loc']))}_{changed.steps.index(step)}")
        case "imports":
            step.uses = draw(uses_of(HELPERS))
    return changed


def _rename(program: Program, step: Step, output: str) -> None:
    old, step.output = step.output, output
    for each in program.steps:
        each.inputs = [output if name == old else name for name in each.inputs]
