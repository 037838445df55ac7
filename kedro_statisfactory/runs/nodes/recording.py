"""What a run records of its nodes when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kedro_statisfactory.runs.nodes.pipeline import Node, NodePipeline
from kedro_statisfactory.runs.nodes.record import Recipe, Record, recipe_of
from kedro_statisfactory.runs.nodes.state import Plan, State


def recipes(pipeline: NodePipeline, held: Mapping[str, str | None]) -> dict[str, Recipe]:
    """What the nodes of a pipeline are made of, by their names; without those of which something is not known.

    Args:
        pipeline: The pipeline.
        held: What each stored dataset holds when it is read.
    """
    found: dict[str, Recipe] = {}
    for node in pipeline.nodes:
        if recipe := _recipe(pipeline, held, node, found):
            found[node.name] = recipe
    return found


def _recipe(
    pipeline: NodePipeline, held: Mapping[str, str | None], node: Node, above: Mapping[str, Recipe]
) -> Recipe | None:
    data: dict[str, str | None] = {}
    memory: dict[str, str | None] = {}
    for name in node.inputs:
        maker = pipeline.maker(name)
        if pipeline.data[name].in_memory:
            made = above.get(maker.name) if maker and not maker.always else None
            memory[name] = made.digest if made else None
        elif maker and pipeline.data[name].is_pinned:
            data[name] = None
        else:
            data[name] = held.get(pipeline.as_written(name))
    return recipe_of(pipeline, node, data, memory)


def records_of_run(
    pipeline: NodePipeline, read: Mapping[str, str | None], written: Mapping[str, str], before: Plan | None
) -> list[Record]:
    """What is recorded of the nodes that a run has run, and of those that it has not because they were up to date.

    Args:
        pipeline: All nodes of the run.
        read: What each input held that was there before, by the name of the entry.
        written: What the run wrote.
        before: What was known before the run, where nodes may be skipped.
    """
    kept = _kept(before) if before else {}
    held = {**{name: record.outputs[name] for record in kept.values() for name in record.outputs}, **read, **written}
    made = recipes(pipeline, held)
    found: list[Record] = []
    for node in pipeline.nodes:
        outputs = {data.name for data in pipeline.kept_outputs(node)}
        if node.name in kept and _is_as_it_was(kept[node.name], outputs, written, before):
            found.append(kept[node.name])
        elif node.name in made and outputs <= written.keys():
            found.append(Record(made[node.name], {name: written[name] for name in sorted(outputs)}))
    return found


def still_told(records: Sequence[Record], others: Sequence[Record]) -> list[Record]:
    """Those records of other nodes that hold beside what a run records."""
    told = {name for record in records for name in record.recipe.outputs}
    return [record for record in others if not told & set(record.recipe.outputs)]


def _is_as_it_was(record: Record, outputs: set[str], written: Mapping[str, str], before: Plan | None) -> bool:
    """Whether what a node made before is what its outputs are, now that the run has ended."""
    if before and before.verdicts[record.recipe.name].source:  # the run has written them, and not made them
        return all(written.get(name) == record.outputs.get(name) for name in outputs)
    return not outputs & written.keys()


def _kept(before: Plan) -> dict[str, Record]:
    return {
        name: verdict.record
        for name, verdict in before.verdicts.items()
        if verdict.record and (verdict.state is State.UP_TO_DATE or verdict.may_be_same or verdict.source)
    }
