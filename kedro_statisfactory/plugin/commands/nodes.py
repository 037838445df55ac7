"""Which nodes of a pipeline are up to date, for ``status``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.plugin.commands.output import Refused, one_line, table, words

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline
    from rich.console import RenderableType

    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.runs.nodes.planning import At
    from kedro_statisfactory.runs.nodes.state import Plan, Verdict
    from kedro_statisfactory.runs.past import Place

_MOST_TOLD = 4  # reasons for one node


def look_at_nodes(catalog: Any, pipelines: Mapping[str, Pipeline], name: str, places: Sequence[Place]) -> Plan:
    """What is known of the nodes of a pipeline.

    Args:
        catalog: Of the project.
        pipelines: All of them.
        name: Of the one that is meant.
        places: The repositories of the catalog.
    """
    from kedro_statisfactory.plugin.nodes import nodes_of
    from kedro_statisfactory.runs.history import History
    from kedro_statisfactory.runs.nodes.planning import plan_at

    if name not in pipelines:
        raise Refused(f"there is no pipeline {name!r}: known are {', '.join(sorted(pipelines))}.")
    history = History(places)
    nodes = nodes_of(pipelines[name], *_entries(catalog, pipelines[name]), history.project)
    written = {data.repository for node in nodes.nodes for data in nodes.kept_outputs(node)}
    at: dict[bool, list[Place]] = {True: [], False: []}
    for backend, repository in places:
        at[(backend.api.host, repository) in written].append((backend, repository))

    def refs(there: bool) -> Iterator[At]:
        return ((place[0].api, place[1], history.ref_of(place)) for place in at[there])

    return plan_at(nodes, list(refs(True)), history.project, lambda: refs(False))


class _Made:
    """The entries of a catalog that can be made; what is wrong with others is told where they are used."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def get(self, name: str) -> Any:
        """An entry; ``None``: there is none."""
        return self._entries.get(name)


def _entries(catalog: Any, pipeline: Pipeline) -> tuple[_Made, dict[str, list[ArtifactDataset]]]:
    """The entries of a pipeline, and of these the ones of this package."""
    from kedro_statisfactory.datasets.artifact import ArtifactDataset
    from kedro_statisfactory.plugin.entries import artifacts

    entries: dict[str, Any] = {}
    for name in sorted(pipeline.datasets()):
        try:
            entries[name] = catalog.get(name)
        except Exception:  # a package that is not installed here; it was told which
            entries[name] = object()
    ours = {name: found for name, entry in entries.items() if (found := list(artifacts(entry, ArtifactDataset)))}
    return _Made(entries), ours


def nodes_as_json(plan: Plan) -> list[dict[str, Any]]:
    """What is told of nodes to programs."""
    return [
        {
            "node": each.node.name,
            "state": each.state.value,
            "run": each.record.run if each.record else None,
            "branch": each.source.branch if each.source else None,
            "outputs": list(each.node.outputs),
            "reasons": [{"kind": why.why.name.lower(), "name": why.name, "text": str(why)} for why in each.reasons],
            "whole_project": getattr(each.node.code, "whole_project", None),
        }
        for each in plan.verdicts.values()
    ]


def shown_nodes(plan: Plan) -> list[RenderableType]:
    """What is told of nodes to people."""
    if not plan.verdicts:
        return []
    from kedro_statisfactory.runs.nodes.state import State

    styles = {State.UP_TO_DATE: "green", State.TO_TAKE_OVER: "cyan", State.STALE: "yellow", State.IN_MEMORY: ""}
    rows = [
        (each.node.name, words(each.state.value, styles[each.state]), _why(each)) for each in plan.verdicts.values()
    ]
    shown: list[RenderableType] = [table(("node", "state", "why"), rows)]
    whole = {each.node.name: why for each in plan.verdicts.values() if (why := _whole(each))}
    if whole:
        first, why = next(iter(whole.items()))
        more = f" and of {len(whole) - 1} more" if len(whole) > 1 else ""
        shown.append(words(f"All code of the project counts as that of {first}{more}: {one_line(why)}."))
    return shown


def _whole(verdict: Verdict) -> str | None:
    why: str | None = getattr(verdict.node.code, "whole_project", None)
    return why


def _why(verdict: Verdict) -> str:
    from kedro_statisfactory.runs.nodes.state import State

    if verdict.state is State.IN_MEMORY:
        return "run where what it makes is needed"
    if verdict.source:
        return f"the run {verdict.source.record.run} on {verdict.source.branch} made it of the same"
    if verdict.state is State.UP_TO_DATE:
        return f"made by the run {verdict.record.run}" if verdict.record else ""
    told = [one_line(str(reason)) for reason in verdict.reasons]
    more = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return "; ".join(told[:_MOST_TOLD]) + more
