"""The entries of a project's catalog, and the lakeFS repositories that these name, for commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata
    from kedro.pipeline import Pipeline

    from kedro_statisfactory.backends import LakeFSBackend
    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.project.settings import Settings


@contextmanager
def errors_as_text() -> Iterator[None]:
    """Turn errors of this package into what a command says in its end."""
    from kedro_statisfactory.errors import StatisfactoryError

    try:
        yield
    except StatisfactoryError as error:
        where = f"catalog entry {error.entry!r}: " if error.entry else ""
        raise click.ClickException(f"{where}{error}") from error


def settings_of(metadata: ProjectMetadata, env: str | None) -> Settings:
    """What the project sets.

    Raises:
        InvalidSettings: Something in it means nothing.
    """
    from kedro.framework.session import KedroSession

    from kedro_statisfactory.project import current_project

    with KedroSession.create(metadata.project_path, env=env) as session:
        assert isinstance(session, KedroSession)  # as below
        session.load_context()  # by which Kedro tells of the project
    return current_project().settings


def repositories(metadata: ProjectMetadata, env: str | None) -> list[tuple[LakeFSBackend, str]]:
    """Each lakeFS repository that the catalog names, those of dataset factories included."""
    return _some(repositories_of(entries_of(metadata, env)))


def repositories_in(catalog: Any, pipelines: Mapping[str, Pipeline]) -> list[tuple[LakeFSBackend, str]]:
    """The same of a catalog that was read already, and of the pipelines that use it."""
    return _some(repositories_of(_entries_in(catalog, pipelines, _tell_left_out)))


def _some(found: list[tuple[LakeFSBackend, str]]) -> list[tuple[LakeFSBackend, str]]:
    if not found:
        raise click.ClickException("no entry of the catalog is in lakeFS: check --env.")
    return found


def _tell_left_out(name: str, error: Exception) -> None:
    click.echo(f"The entry {name} is left out: {' '.join(str(error).split())}", err=True)


def entries_of(
    metadata: ProjectMetadata, env: str | None, leave_out: Callable[[str, Exception], None] = _tell_left_out
) -> list[tuple[str, ArtifactDataset]]:
    """Our entries of the catalog with their names, those of dataset factories included, in the order of these.

    Args:
        metadata: Of the project.
        env: The environment; ``None``: Kedro's default.
        leave_out: Called with the name of an entry that cannot be made, and why.
    """
    return _entries_in(*catalog_of(metadata, env), leave_out)


def _entries_in(
    catalog: Any, pipelines: Mapping[str, Pipeline], leave_out: Callable[[str, Exception], None]
) -> list[tuple[str, ArtifactDataset]]:
    from kedro_statisfactory.datasets.artifact import ArtifactDataset
    from kedro_statisfactory.plugin.entries import artifacts

    names = set(catalog.keys()).union(*(pipeline.datasets() for pipeline in pipelines.values()))
    found: list[tuple[str, ArtifactDataset]] = []
    for name in sorted(names):
        try:
            found += [(name, each) for each in artifacts(catalog.get(name), ArtifactDataset)]
        except Exception as error:  # a package that is not installed here must not keep the others from being ended
            leave_out(name, error)
    return found


def catalog_of(metadata: ProjectMetadata, env: str | None) -> tuple[Any, Mapping[str, Pipeline]]:
    """The catalog of a project in an environment, and its pipelines by name."""
    from kedro.framework.project import pipelines
    from kedro.framework.session import KedroSession

    try:
        with KedroSession.create(metadata.project_path, env=env) as session:
            assert isinstance(session, KedroSession)  # for type checkers: it has no service's interface
            return session.load_context().catalog, dict(pipelines)
    except Exception as error:  # whatever is wrong with a project of somebody else's
        raise click.ClickException(f"the catalog cannot be read: {error}") from error


def repositories_of(entries: Iterable[tuple[str, ArtifactDataset]]) -> list[tuple[LakeFSBackend, str]]:
    """The lakeFS repositories of entries, as far as they are there, in the order of their servers and names."""
    from kedro_statisfactory.backends import LakeFSBackend
    from kedro_statisfactory.runs.use import named

    found: dict[tuple[str, str], tuple[LakeFSBackend, str]] = {}
    for name, entry in entries:
        backend = entry.backend
        if isinstance(backend, LakeFSBackend):
            repository = backend.split(entry.location)[0]
            with named(name):
                key = (backend.api.host, repository)
                if key not in found and _is_there(backend, repository):
                    found[key] = (backend, repository)
    return [found[key] for key in sorted(found)]


def _is_there(backend: LakeFSBackend, repository: str) -> bool:
    from kedro_statisfactory.errors import RepositoryNotFound

    try:
        backend.api.default_branch(repository)
    except RepositoryNotFound as error:
        click.echo(f"The repository {repository} is left out: {error}", err=True)
        return False
    return True
