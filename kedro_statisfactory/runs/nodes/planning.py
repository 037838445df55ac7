"""Finding out, before a run or without one, which nodes of a pipeline are up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project import Project
from kedro_statisfactory.runs.nodes.found import Key, Source, newest_records
from kedro_statisfactory.runs.nodes.pipeline import Node, NodePipeline
from kedro_statisfactory.runs.nodes.record import Recipe, Record
from kedro_statisfactory.runs.nodes.state import Plan, look, plan
from kedro_statisfactory.runs.nodes.taking_over import Sources

#: A repository, and the ref at which its runs end: server, name and ref.
At = tuple[LakeFSAPI, str, str]


def plan_at(
    pipeline: NodePipeline,
    places: Sequence[At],
    project: Project,
    further: Callable[[], Iterable[At]] = lambda: (),
) -> Plan:
    """What is known of the nodes of a pipeline.

    Args:
        pipeline: The pipeline.
        places: The repositories to which it writes.
        project: It knows what is checked out.
        further: Gives other repositories, whose runs may tell of nodes that write outside of lakeFS alone.
    """
    found = _Found(pipeline, places, further)
    sources = [Sources(api, repository, project, keys) for (api, repository, _), keys in found.wanted]

    def find(node: Node, recipe: Recipe) -> Source | None:
        number = found.place_of(node)
        return None if number is None else sources[number].find(pipeline, node, recipe)

    made = plan(pipeline, look(pipeline.data.values()), found.of, find)
    made.others = found.others
    return made


class _Found:
    """The records of the nodes of a pipeline, wherever they are.

    A node is told of by the repository to which it writes. One that writes outside of lakeFS alone is told of by the
    first repository of the run that has made it, which others may have been than those of this run.

    Args:
        pipeline: The pipeline.
        places: The repositories to which it writes.
        further: Gives other repositories.
    """

    def __init__(self, pipeline: NodePipeline, places: Sequence[At], further: Callable[[], Iterable[At]]) -> None:
        self._pipeline, self._further = pipeline, further
        self._numbers = {(api.host, repository): number for number, (api, repository, _) in enumerate(places)}
        self.wanted = [(place, list[Key]()) for place in places]
        self._homeless: list[Key] = []
        for node in pipeline.nodes:
            number = self.place_of(node)
            if number is None and pipeline.kept_outputs(node):
                self._homeless.append(node.key)
            if places:
                self.wanted[number or 0][1].append(node.key)
        self._found = [newest_records(*place, keys) for place, keys in self.wanted]
        self._more = self._read_more()
        self._read: list[dict[Key, list[Record]]] = []

    def place_of(self, node: Node) -> int | None:
        """Which repository tells of a node; ``None``: it writes to none of them."""
        numbers = (self._numbers.get(data.repository) for data in self._pipeline.kept_outputs(node) if data.repository)
        return next((number for number in numbers if number is not None), None)

    def of(self, node: Node) -> Iterator[Record]:
        """The records of a node, the newest one first; further repositories are asked where those before do not do."""
        home = self.place_of(node)
        for number in sorted(range(len(self._found)), key=lambda number: number != (home or 0)):
            yield from self._found[number].get(node.key, ())
        if home is None:
            for found in self._read:
                yield from found.get(node.key, ())
            for found in self._more:
                yield from found.get(node.key, ())

    def _read_more(self) -> Iterator[dict[Key, list[Record]]]:
        """What else is recorded of nodes that write outside of lakeFS alone, one repository after the other."""
        places = [place for place, _ in self.wanted[1:]]
        for place in (*places, *(self._further() if self.wanted else ())):
            try:
                self._read.append(newest_records(*place, self._homeless))
            except StatisfactoryError:  # the run does without it
                continue
            yield self._read[-1]

    @property
    def others(self) -> dict[tuple[str, str], list[Record]]:
        """What each repository tells of nodes that are not in the pipeline."""
        known = {node.key for node in self._pipeline.nodes}
        return {
            key: [records[0] for each, records in self._found[number].items() if each not in known]
            for key, number in self._numbers.items()
        }
