"""The lakeFS repositories of a catalog to which a run does not write, and which may tell of its nodes all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from kedro_statisfactory.errors import RefNotFound, StatisfactoryError
from kedro_statisfactory.plugin.entries import artifacts

if TYPE_CHECKING:
    from kedro_statisfactory.backends import LakeFSBackend
    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.runs import Run
    from kedro_statisfactory.runs.nodes.planning import At


def other_places(catalog: Any, run: Run) -> Iterator[At]:
    """Those repositories, each with the ref at which its runs end; one that cannot be asked is left out.

    Args:
        catalog: Of the run; its entries stay unmade.
        run: The run.
    """
    seen = {target.key for target in run.targets}
    for entry in _entries(catalog):
        entry.bind(run.after)
        with contextlib.suppress(StatisfactoryError):
            backend: Any = entry.backend
            api, repository = backend.api, backend.split(entry.location)[0]
            if (api.host, repository) not in seen:
                seen.add((api.host, repository))
                yield api, repository, _end_of_runs(run, backend, repository)


def _end_of_runs(run: Run, backend: LakeFSBackend, repository: str) -> str:
    from kedro_statisfactory.project.branches import run_branch
    from kedro_statisfactory.runs.target import JOINED

    names = [run_branch(run.id, JOINED)] if run.is_joined else []
    for name in (*names, run.project.branch()):
        with contextlib.suppress(RefNotFound):
            return backend.api.commit(repository, name).id
    return backend.refs.source(repository)


def _entries(catalog: Any) -> Iterator[ArtifactDataset]:
    """One entry for each repository that the catalog names with some credentials, those of factories included."""
    from kedro.framework.project import pipelines

    from kedro_statisfactory.datasets.artifact import ArtifactDataset

    resolver = catalog.config_resolver
    names = set(resolver.config).union(*(each.datasets() for each in pipelines.values()))
    seen: set[tuple[str, str]] = set()
    for name in sorted(names):
        config = resolver.config.get(name)
        if config is None and resolver.match_dataset_pattern(name):
            config = resolver.resolve_pattern(name)
        if config is None or (where := _repository_in(config)) is None or where in seen:
            continue
        # A package that is not installed here is told where the entry is used.
        with contextlib.suppress(Exception):
            found = list(artifacts(AbstractDataset.from_config(name, config), ArtifactDataset))
            seen |= {where} if found else set()
            yield from found


def _repository_in(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """The repository that the configuration of an entry names, and what it says of credentials."""
    url = str(config.get("filepath", ""))
    if url.startswith("lakefs://"):
        return url.split("/")[2], repr(config.get("credentials"))
    inner = (_repository_in(value) for value in config.values() if isinstance(value, Mapping))
    return next((each for each in inner if each), None)
