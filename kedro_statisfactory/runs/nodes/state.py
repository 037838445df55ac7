"""Which nodes of a pipeline are up to date, and why the others are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain

from kedro_statisfactory.project.code import UnknownCode
from kedro_statisfactory.runs.nodes.found import Source
from kedro_statisfactory.runs.nodes.pipeline import Data, Node, NodePipeline
from kedro_statisfactory.runs.nodes.record import Recipe, Record, recipe_of

_AT_ONCE = 8


class State(str, Enum):
    """How it is with a node."""

    UP_TO_DATE = "up to date"
    STALE = "stale"
    TO_TAKE_OVER = "to take over"  # a run on another branch has made it of the very same
    IN_MEMORY = "in memory"  # it keeps nothing: it is run where what it makes is needed


class Why(str, Enum):
    """Why a node is not up to date."""

    NEVER = "never run"
    ALWAYS = "tagged `always`"
    CODE = "code"
    DISTRIBUTION = "distribution"
    PARAMETER = "parameter"
    INPUT = "input"
    UPSTREAM = "is made again"
    WIRING = "inputs or outputs"
    SETTINGS = "catalog"
    OUTPUT = "output"
    UNKNOWN = "not known"


# What is made by such nodes is known before the run.
_THERE = (State.UP_TO_DATE, State.TO_TAKE_OVER)


@dataclass(frozen=True)
class Reason:
    """One reason for which a node is not up to date.

    Attributes:
        why: Its kind.
        name: Of what has changed: a module, a parameter, an entry; empty: the kind says all.
        text: The reason as people read it.
    """

    why: Why
    name: str = ""
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.why.value


@dataclass(frozen=True)
class Verdict:
    """What is known of a node before a run.

    Attributes:
        node: The node.
        state: How it is with it.
        reasons: Why it is not up to date; none where it is.
        recipe: What it would be made of now; ``None``: something of it is not known, or will be only in the run.
        record: The last one; ``None``: there is none.
        source: Where its outputs can be taken over from; ``None``: from nowhere.
        may_be_same: Whether it is only not known yet whether its inputs are what they were.
    """

    node: Node
    state: State
    reasons: Sequence[Reason] = ()
    recipe: Recipe | None = None
    record: Record | None = None
    source: Source | None = None
    may_be_same: bool = False


@dataclass
class Plan:
    """What is known of all nodes of a pipeline before a run.

    Attributes:
        pipeline: The pipeline.
        held: What each stored dataset holds, by name; ``None``: not known.
        verdicts: By name of the node.
        others: Records of nodes that are not in the pipeline, by the repository (server and name) that has them.
    """

    pipeline: NodePipeline
    held: dict[str, str | None]
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    others: Mapping[tuple[str, str], Sequence[Record]] = field(default_factory=dict)


def look(data: Iterable[Data]) -> dict[str, str | None]:
    """What stored datasets hold now; ``None``: not known, or nothing."""
    stored = [each for each in data if not each.in_memory]
    with ThreadPoolExecutor(_AT_ONCE) as executor:
        return dict(zip((each.name for each in stored), executor.map(Data.identity, stored), strict=True))


def plan(
    pipeline: NodePipeline,
    held: Mapping[str, str | None],
    records: Callable[[Node], Iterable[Record]],
    find: Callable[[Node, Recipe], Source | None] = lambda *_: None,
) -> Plan:
    """Find out which nodes are up to date.

    Args:
        pipeline: The pipeline.
        held: What each stored dataset holds.
        records: Gives the records of a node, the newest one first; those behind it are asked for where it does not do.
        find: Gives where the outputs of a node are that were made by a recipe.
    """
    found = Plan(pipeline, dict(held))
    for node in pipeline.nodes:
        verdict = _judged(found, node, iter(records(node)))
        if verdict.state is State.STALE and verdict.recipe and not node.always:
            verdict = _elsewhere(found, verdict, find(node, verdict.recipe))
        found.verdicts[node.name] = verdict
    return found


def _judged(plan: Plan, node: Node, records: Iterator[Record]) -> Verdict:
    """What the first record says that a node is up to date by, or may be; else what the newest one says."""
    first = _Judging(plan, node, next(records, None)).verdict()
    is_hopeless = any(reason.why in (Why.ALWAYS, Why.UNKNOWN) for reason in first.reasons)
    if is_hopeless or any(plan.held.get(data.name) is None for data in plan.pipeline.kept_outputs(node)):
        return first
    verdicts = chain([first], (_Judging(plan, node, record).verdict() for record in records))
    return next((each for each in verdicts if each.state is not State.STALE or each.may_be_same), first)


def _elsewhere(plan: Plan, verdict: Verdict, source: Source | None) -> Verdict:
    """What is known of a node that is not up to date, where a run on another branch has perhaps made its outputs."""
    if source is None:
        return verdict
    made = source.record.outputs
    if all(plan.held.get(name) == identity for name, identity in made.items()):  # they were brought here already
        return replace(verdict, state=State.UP_TO_DATE, reasons=(), record=source.record)
    plan.held.update(made)
    return replace(verdict, state=State.TO_TAKE_OVER, record=source.record, source=source)


class _Judging:
    """Compares a node with what was recorded of it.

    Args:
        plan: With the verdicts of all nodes before it.
        node: The node.
        record: Of the node.
    """

    def __init__(self, plan: Plan, node: Node, record: Record | None) -> None:
        self._plan, self._node, self._record = plan, node, record
        self._data: dict[str, str | None] = {}
        self._memory: dict[str, str | None] = {}
        self._pending: list[Reason] = []  # what will be known only in the run
        self._unknown: list[Reason] = []  # what nobody knows
        self._settings, self._brought = plan.pipeline.settings(node), plan.pipeline.brought(node)

    def verdict(self) -> Verdict:
        """What is known of the node."""
        node = self._node
        for name in node.inputs:
            self._look_at_input(name)
        self._look_for_unknown()
        kept = self._plan.pipeline.kept_outputs(node)
        recipe = None
        if not self._pending and not self._unknown:
            recipe = recipe_of(self._plan.pipeline, node, self._data, self._memory)
        reasons = [*self._unknown, *self._changes(), *self._pending]
        if node.always:
            reasons = [Reason(Why.ALWAYS), *reasons]
        if not kept:
            return Verdict(node, State.IN_MEMORY, reasons, recipe, self._record)
        if not reasons:
            return Verdict(node, State.UP_TO_DATE, (), recipe, self._record)
        may_be_same = all(reason.why is Why.UPSTREAM for reason in reasons)
        return Verdict(node, State.STALE, reasons, recipe, self._record, may_be_same=may_be_same)

    def _look_at_input(self, name: str) -> None:
        """Find out what an input holds, or that it will be known only in the run."""
        data, maker = self._plan.pipeline.data[name], self._plan.pipeline.maker(name)
        above = self._plan.verdicts[maker.name] if maker else None
        if data.in_memory:
            if above and above.node.always:
                self._memory[name] = None
                text = f"input `{name}` is made by `{above.node.name}`, which is tagged `always`"
                self._unknown.append(Reason(Why.ALWAYS, name, text))
                return
            self._memory[name] = above.recipe.digest if above and above.recipe else None
            if self._memory[name] is None:
                self._await(name, above)
            return
        if above and (data.is_pinned or above.state not in _THERE):
            self._await(name, above)
            return
        self._data[name] = self._plan.held.get(self._plan.pipeline.as_written(name) if above else name)
        if self._data[name] is None:
            self._unknown.append(Reason(Why.UNKNOWN, name, f"what input `{name}` holds is not known"))

    def _await(self, name: str, above: Verdict | None) -> None:
        """Note why an input is not known before the run."""
        if above is None or self._plan.pipeline.data[name].is_pinned:
            self._unknown.append(Reason(Why.UNKNOWN, name, f"what input `{name}` holds is not known"))
        elif above.state is State.IN_MEMORY and above.reasons:
            is_pending = all(reason.why is Why.UPSTREAM for reason in above.reasons)
            told = [replaced(reason, above.node.name) for reason in above.reasons]
            (self._pending if is_pending else self._unknown).extend(told)
        else:
            text = f"input `{name}` is made again by `{above.node.name}`"
            self._pending.append(Reason(Why.UPSTREAM, name, text))

    def _look_for_unknown(self) -> None:
        node = self._node
        if isinstance(node.code, UnknownCode):
            self._unknown.append(Reason(Why.UNKNOWN, "", f"its code is not known: {node.code.reason}"))
        for name, digest in self._brought.items():
            if digest is None:
                self._unknown.append(Reason(Why.UNKNOWN, name, f"the code that `{name}` brings with it is not known"))
        for name, digest in node.parameters.items():
            if digest is None:
                text = f"values in {_parameter(name)} cannot be compared"
                self._unknown.append(Reason(Why.UNKNOWN, name, text))
        for name, digest in self._settings.items():
            if digest is None:
                self._unknown.append(Reason(Why.UNKNOWN, name, f"options of entry `{name}` cannot be compared"))

    def _changes(self) -> list[Reason]:
        """What differs from the last record."""
        if self._record is None:
            return [Reason(Why.NEVER)]
        return [
            *_of_code(self._node, self._record.recipe),
            *self._of_values(),
            *self._of_outputs(self._record),
        ]

    def _of_values(self) -> list[Reason]:
        assert self._record is not None
        before, node = self._record.recipe, self._node
        found: list[Reason] = []
        if before.wiring != node.wiring:
            found.append(Reason(Why.WIRING, "", "other inputs, outputs or arguments"))
        for name in _differ(node.parameters, before.parameters):
            found.append(Reason(Why.PARAMETER, name, f"{_parameter(name)} changed"))
        for name in _differ(self._data, before.data, only=self._data):
            found.append(Reason(Why.INPUT, name, f"input `{name}` changed"))
        for name in _differ(self._memory, before.memory, only=self._memory):
            found += self._of_memory(name)
        for name in _differ(self._brought, before.brought):
            found.append(Reason(Why.CODE, name, f"code that `{name}` brings with it changed"))
        for name in _differ(self._settings, before.settings):
            found.append(Reason(Why.SETTINGS, name, f"the catalog has other options for `{name}`"))
        return found

    def _of_memory(self, name: str) -> list[Reason]:
        """Why an input that stays in memory is another one: for the reasons of the node that makes it."""
        maker = self._plan.pipeline.maker(name)
        above = self._plan.verdicts[maker.name] if maker else None
        if above and above.reasons:
            return [replaced(reason, above.node.name) for reason in above.reasons]
        return [Reason(Why.INPUT, name, f"input `{name}` changed")]

    def _of_outputs(self, record: Record) -> list[Reason]:
        found: list[Reason] = []
        for data in self._plan.pipeline.kept_outputs(self._node):
            held = self._plan.held.get(data.name)
            if held is None:
                found.append(Reason(Why.OUTPUT, data.name, f"output `{data.name}` is missing, or not known"))
            elif record.outputs.get(data.name) != held:
                found.append(Reason(Why.OUTPUT, data.name, f"output `{data.name}` was changed since"))
        return found


def replaced(reason: Reason, by: str) -> Reason:
    """A reason of a node that works in memory, as told of the node that needs what it makes."""
    text, name = str(reason), "" if reason.why is Why.UPSTREAM else reason.name
    return Reason(reason.why, name, text if text.endswith(")") else f"{text} (in `{by}`)")


def _parameter(name: str) -> str:
    return f"parameter `{name.removeprefix('params:')}`" if name != "parameters" else "`parameters`"


def _of_code(node: Node, before: Recipe) -> list[Reason]:
    """What differs in the code, as precisely as that is known."""
    code, found = node.code, list[Reason]()
    if isinstance(code, UnknownCode):
        return found
    if code.digest != before.code:
        modules = _differ(code.modules, before.modules)
        found = [Reason(Why.CODE, name, f"code of `{name}` changed") for name in modules]
        found = found or [Reason(Why.CODE, "", "code of its function changed")]
    if code.distributions:  # the setting says that they decide
        was, now = before.distributions, code.distributions
        for name in _differ(now, was):
            text = f"{name} {was.get(name, 'none')} -> {now.get(name, 'none')}"
            found.append(Reason(Why.DISTRIBUTION, name, text))
    return found


def _differ(now: Mapping[str, str | None], before: Mapping[str, str], only: Iterable[str] | None = None) -> list[str]:
    """Names whose values differ; what is not known differs from nothing here, and is told elsewhere."""
    names = sorted(set(now) | set(before)) if only is None else sorted(only)
    return [name for name in names if not (name in now and now[name] is None) and now.get(name) != before.get(name)]
