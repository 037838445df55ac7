"""Outputs that runs on other branches have made of the very same, and that need not be made once more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import DATA_BRANCH
from kedro_statisfactory.backends.lakefs.run_tags import RunTags
from kedro_statisfactory.backends.lakefs.runs_at import CLEAN, DIRTY
from kedro_statisfactory.errors import RefNotFound
from kedro_statisfactory.project import Project
from kedro_statisfactory.runs.nodes.contents import identity_of
from kedro_statisfactory.runs.nodes.found import Key, Source, newest_records
from kedro_statisfactory.runs.nodes.pipeline import Data, Node, NodePipeline
from kedro_statisfactory.runs.nodes.record import Recipe
from kedro_statisfactory.runs.target import LOGGER
from kedro_statisfactory.session import Session

# Runs that are looked at: the newest of a branch tells of all nodes that were up to date there.
_MOST_RUNS = 8


class Sources:
    """What the runs at the git commits up to what is checked out have made, in one repository.

    Args:
        api: The server.
        repository: Where.
        project: It knows what is checked out.
        wanted: The nodes of which is going to be asked.
    """

    def __init__(self, api: LakeFSAPI, repository: str, project: Project, wanted: Iterable[Key]) -> None:
        self._api, self._repository, self._project, self._wanted = api, repository, project, list(wanted)
        self._read: dict[Key, list[Source]] = {}
        self._rest = self._runs()

    def find(self, pipeline: NodePipeline, node: Node, recipe: Recipe) -> Source | None:
        """Where the outputs of a node are that were made by some recipe; ``None``: nowhere that is known."""
        outputs = pipeline.kept_outputs(node)
        if any(data.repository != (self._api.host, self._repository) for data in outputs):
            return None
        for found in self._of(node.key):
            if recipe.is_that_of(found.record.recipe) and all(self._is_there(found, data) for data in outputs):
                return found
        return None

    def _of(self, key: Key) -> Iterator[Source]:
        """What is known of a node, and then what further runs tell of it."""
        yield from self._read.get(key, ())
        for sources in self._rest:
            for source in sources:
                self._read.setdefault(source.record.key, []).append(source)
            yield from (source for source in sources if source.record.key == key)

    def _is_there(self, source: Source, data: Data) -> bool:
        """Whether an output is still there as it was recorded."""
        found = {
            stat.path.removeprefix(data.path).removeprefix("/"): {"checksum": stat.checksum}
            for stat in self._api.list(self._repository, source.commit, data.path)
            if stat.path == data.path or stat.path.startswith(f"{data.path}/")
        }
        return identity_of(found, data.path) == source.record.outputs.get(data.name)

    def _runs(self) -> Iterator[list[Source]]:
        """What runs have recorded, those at the nearest git commits first."""
        sha = self._project.read_head().commit
        if sha is None:
            return
        tags, number = RunTags(Session(project=self._project), self._api, LOGGER), 0
        seen: set[str] = set()
        for runs in tags.by_ancestor(self._repository, sha):
            for run in runs.newest(*CLEAN, *DIRTY):
                if number == _MOST_RUNS:
                    return
                number += 1
                try:
                    commit = self._api.commit(self._repository, run.commit)
                except RefNotFound:  # it was thrown away meanwhile
                    continue
                if (branch := commit.metadata.get(DATA_BRANCH, "")) in seen:
                    continue
                seen.add(branch)
                of_git = commit.metadata.get("git_branch", branch)
                told = newest_records(self._api, self._repository, commit.id, self._wanted).values()
                yield [Source(each[0], self._api, self._repository, commit.id, of_git) for each in told]
