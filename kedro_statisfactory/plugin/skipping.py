"""Nodes that are not computed because their inputs turned out to be what they were, though they were made again.

Kedro decides before a run which nodes it runs, when nobody knows yet whether what is made again will be the same bytes.
It lets hooks decorate the function of a node, and change its inputs before it is called: the one by the other tells a
function that what it made before will do. Its outputs are loaded rather than computed, so that other packages' hooks
see data, and saving them changes nothing.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node as KedroNode

if TYPE_CHECKING:
    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.runs.nodes.state import Plan, Verdict


@dataclass(frozen=True)
class Kept:
    """Stands in the place of an input of a node that need not be computed.

    Attributes:
        result: What its function would give.
        entries: Its outputs.
    """

    result: Any
    entries: Sequence[ArtifactDataset]


class Skippable:
    """The function of a node, which is not called where an input says so; it knows nothing of any run.

    Args:
        function: Of the node.
    """

    __wrapped__: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.__signature__ = inspect.signature(function, follow_wrapped=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for each in (*args, *kwargs.values()):
            if isinstance(each, Kept):
                for entry in each.entries:
                    entry.keep()
                return each.result
        return self.__wrapped__(*args, **kwargs)

    def __reduce__(self) -> tuple[type[Skippable], tuple[Callable[..., Any]]]:
        return Skippable, (self.__wrapped__,)


def original(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a node as the project has it."""
    return function.__wrapped__ if isinstance(function, Skippable) else function


def let_skip(plan: Plan, pipeline: Pipeline, ours: Mapping[str, list[ArtifactDataset]]) -> list[KedroNode]:
    """Prepare the nodes of which it is only not known yet whether their inputs are what they were.

    Args:
        plan: Which these are.
        pipeline: The pipeline.
        ours: The entries of this package, by name.

    Returns:
        Those whose function was decorated.
    """
    found: list[KedroNode] = []
    for node in pipeline.nodes:
        entries = [ours.get(name, []) for name in node.outputs]
        is_fit = all(len(those) == 1 and those[0].may_be_kept for those in entries) and not node.confirms
        is_plain = inspect.isfunction(original(node.func)) and not inspect.isgeneratorfunction(original(node.func))
        awaited = _awaited(plan, plan.verdicts[node.name])
        is_direct = all(plan.pipeline.as_written(name) == name for name in awaited)
        if not (awaited and is_fit and is_plain and is_direct):
            continue
        entries[0][0].await_inputs(awaited)
        if not isinstance(node.func, Skippable):
            node.func = Skippable(node.func)
            found.append(node)
    return found


def _awaited(plan: Plan, verdict: Verdict) -> dict[str, tuple[str, bool]]:
    """What inputs have to turn out to hold, and whether they hold that where they are not made again after all."""
    if not verdict.may_be_same or verdict.record is None:
        return {}
    before = verdict.record.recipe.data
    names = {reason.name for reason in verdict.reasons}
    if not names <= set(verdict.node.inputs) & before.keys():  # something in between stays in memory
        return {}
    return {name: (before[name], plan.held.get(name) == before[name]) for name in sorted(names)}


def kept_inputs(node: KedroNode, catalog: Any) -> dict[str, Any] | None:
    """What the inputs of a node are to be where it need not be computed; ``None``: as they are.

    Args:
        node: The node, whose inputs were made already.
        catalog: Of the run, in whichever of its processes.
    """
    if not isinstance(node.func, Skippable):
        return None
    from kedro_statisfactory.datasets.artifact import ArtifactDataset

    entries = [catalog.get(name) for name in node.outputs]
    if not all(isinstance(each, ArtifactDataset) for each in entries):
        return None
    awaited = entries[0].awaited
    if not awaited or not all(_is_as_before(catalog.get(name), name, *awaited[name]) for name in awaited):
        return None
    try:
        loaded = {name: entry.load() for name, entry in zip(node.outputs, entries, strict=True)}
    except DatasetError:  # it is computed, then
        return None
    wanted: Any = getattr(node, "_outputs", None)
    if isinstance(wanted, str):
        result: Any = loaded[wanted]
    elif isinstance(wanted, Mapping):
        result = {key: loaded[name] for key, name in wanted.items()}
    else:
        result = [loaded[name] for name in wanted]
    return {node.inputs[0]: Kept(result, entries)}


def _is_as_before(entry: Any, name: str, before: str, is_same: bool) -> bool:
    """Whether an input holds now what it held before, as the processes of the run have noted it."""
    from kedro_statisfactory.backends import LakeFSBackend
    from kedro_statisfactory.datasets.artifact import ArtifactDataset
    from kedro_statisfactory.runs.nodes.contents import written_meanwhile

    if not isinstance(entry, ArtifactDataset) or entry.keeps_chunks:
        return False
    backend = entry.backend
    place = (backend.api.host, *backend.split(entry.location)) if isinstance(backend, LakeFSBackend) else None
    found = written_meanwhile(entry.project, name, place) if entry.project else None
    return is_same if found == "" else found == before
