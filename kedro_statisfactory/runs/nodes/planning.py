"""Finding out, before a run or without one, which nodes of a pipeline are up to date."""

from __future__ import annotations

from collections.abc import Sequence

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.project import Project
from kedro_statisfactory.runs.nodes.found import Key, Source, newest_records
from kedro_statisfactory.runs.nodes.pipeline import Node, NodePipeline
from kedro_statisfactory.runs.nodes.record import Recipe, Record
from kedro_statisfactory.runs.nodes.state import Plan, look, plan
from kedro_statisfactory.runs.nodes.taking_over import Sources

#: A repository, and the ref at which its runs end: server, name and ref.
At = tuple[LakeFSAPI, str, str]


def plan_at(pipeline: NodePipeline, places: Sequence[At], project: Project) -> Plan:
    """What is known of the nodes of a pipeline.

    Args:
        pipeline: The pipeline.
        places: The repositories to which it writes.
        project: It knows what is checked out.
    """
    wanted: dict[int, list[Key]] = {}
    for node in pipeline.nodes:
        wanted.setdefault(_place_of(pipeline, node, places), []).append(node.key)
    found: dict[Key, Record] = {}
    for number, keys in wanted.items() if places else ():
        found.update(newest_records(*places[number], keys))
    sources = {number: Sources(*places[number][:2], project, keys) for number, keys in wanted.items() if places}

    def find(node: Node, recipe: Recipe) -> Source | None:
        of_place = sources.get(_place_of(pipeline, node, places))
        return of_place.find(pipeline, node, recipe) if of_place else None

    made = plan(pipeline, look(pipeline.data.values()), lambda node: found.get(node.key), find)
    known = {node.key for node in pipeline.nodes}
    made.others = [record for key, record in found.items() if key not in known]
    return made


def _place_of(pipeline: NodePipeline, node: Node, places: Sequence[At]) -> int:
    """Which repository tells of a node: the one to which it writes; of others the first one."""
    there = {(api.host, repository): number for number, (api, repository, _) in enumerate(places)}
    for data in pipeline.kept_outputs(node):
        if data.repository in there:
            return there[data.repository]
    return 0
