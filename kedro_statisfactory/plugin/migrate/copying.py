"""Copying what entries have to where they are going to live, without replacing anything there."""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import ParseResult

import click

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.location import basename, parse, unparse
from kedro_statisfactory.plugin.migrate.catalogs import Entries
from kedro_statisfactory.plugin.migrate.judging import PARAMETER
from kedro_statisfactory.plugin.migrate.planning import Plan
from kedro_statisfactory.project import Project, current_project
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from kedro_statisfactory.runs import Use


@dataclass(frozen=True)
class Copy:
    """One entry whose data is copied.

    Attributes:
        name: Of the entry.
        source: Its file or folder on this machine.
        target: Where that goes.
        credentials: Of the entry.
    """

    name: str
    source: Path
    target: ParseResult
    credentials: Mapping[str, Any]

    def backend(self, project: Project) -> Backend:
        """What stores it, for a project."""
        return Backend.registered(self.target.scheme)(Session(self.credentials, project))


def copy(project_path: Path, env: str | None, plan: Plan, dry_run: bool) -> Iterator[str]:
    """Copy the data of all entries that are going to live elsewhere, in one run where the service has such.

    Args:
        project_path: Folder of the project.
        env: Environment with the settings and credentials; ``None``: that in which Kedro runs.
        plan: What is going to change.
        dry_run: Only look whether it can be done.

    Yields:
        What has been done, or is not.

    Raises:
        click.ClickException: Something else is there already, or it cannot be stored; the catalogs are as they were.
    """
    from kedro.framework.session import KedroSession

    try:
        with KedroSession.create(project_path, env=env) as session:
            assert isinstance(session, KedroSession)  # for type checkers: it has no service's interface
            context: Any = session.load_context()  # which announces the project, with its settings
            loader, project = context.config_loader, current_project()
        found = list(_Finder(project_path, plan, _credentials(loader)).copies())
    except StatisfactoryError as error:
        raise click.ClickException(f"nothing is changed: {error}") from error
    copies = [each for each in found if isinstance(each, Copy)]
    yield from (each for each in found if isinstance(each, str))
    try:
        missing = _missing(copies, project)
        if dry_run:
            yield from (f"would copy {each.source} to {unparse(each.target)}" for each in missing)
        elif missing:
            yield from _stored(missing, project)
    except StatisfactoryError as error:
        raise click.ClickException(
            f"the catalogs are as they were, because data could not be copied: {error}"
        ) from error


def _credentials(loader: Any) -> Mapping[str, Any]:
    from kedro.config import MissingConfigException

    try:
        found: Mapping[str, Any] = loader["credentials"]
    except MissingConfigException:
        return {}
    return found


class _Finder:
    """Finds out what has to be copied.

    Args:
        project: Folder of the project.
        plan: What is going to change.
        credentials: By the names that entries have for them.
    """

    def __init__(self, project: Path, plan: Plan, credentials: Mapping[str, Any]) -> None:
        self._project, self._plan, self._credentials = project, plan, credentials

    def copies(self) -> Iterator[Copy | str]:
        """What is to be copied, each once; texts say what is not."""
        seen: set[tuple[Path, str]] = set()
        for environment, chosen in self._plan.relocated.items():
            before, after = self._plan.before[environment], self._plan.after[environment]
            for name, old, new in self._concrete(chosen, before, after):
                path = self._project / str(old.get("filepath", old.get("path")))
                if (path, new["filepath"]) in seen:
                    continue
                seen.add((path, new["filepath"]))
                yield self._copy(name, path, new)

    def _concrete(self, chosen: Iterable[str], before: Entries, after: Entries) -> Iterator[tuple[str, Any, Any]]:
        """The entries as they were and as they are going to be, with those of the pipelines that factories make."""
        from kedro.framework.project import pipelines
        from kedro.io import CatalogConfigResolver

        factories = {name for name in chosen if CatalogConfigResolver.is_pattern(name)}
        for name in chosen:
            if name not in factories:
                yield name, before[name], after[name]
        if factories:
            rest = {"{default}": {"type": "MemoryDataset"}}  # what Kedro takes as well, and warns of
            keys = dict(self._credentials)
            old, new = (CatalogConfigResolver(each, keys, default_runtime_patterns=rest) for each in (before, after))
            for name in sorted(set().union(*(pipeline.datasets() for pipeline in pipelines.values()))):
                if name not in before and old.match_dataset_pattern(name) in factories:
                    yield name, old.resolve_pattern(name), new.resolve_pattern(name)

    def _copy(self, name: str, path: Path, new: Mapping[str, Any]) -> Copy | str:
        if PARAMETER in str(path):
            return f"{name}: not copied, because a parameter of the run says where it is."
        target = parse(new["filepath"])
        if "*" in path.name and "dask." in str(new.get("dataset")):  # the files of a folder
            path, target = path.parent, parse(new["filepath"].rpartition("/")[0])
        given = new.get("credentials")
        credentials = self._credentials.get(given, {}) if isinstance(given, str) else given or {}
        source: Path | None = path
        if new.get("versioned"):
            by_service = Backend.registered(target.scheme)(Session(credentials)).version_options("") is not None
            source = _newest(path) if by_service else path
        if source is None or not source.exists():
            return f"{name}: not copied, because there is nothing at {path}."
        if new.get("versioned") and source.is_file() and source.parent.parent != path:
            return f"{name}: not copied, because it is a file from before it had versions: {path}."
        return Copy(name, source, target, credentials)


def _newest(path: Path) -> Path | None:
    """The newest version of an entry that has its versions in folders."""
    found = sorted(path.glob(f"*/{path.name}"), reverse=True) if path.is_dir() else []
    return next(iter(found), None)


def _missing(copies: Iterable[Copy], project: Project) -> list[Copy]:
    """Those that are not there yet.

    Raises:
        click.ClickException: Something else is there.
    """
    missing, taken = [], []
    for each in copies:
        backend = each.backend(project)
        if not backend.exists(fragment=each.target):
            missing.append(each)
        elif not _is_same(each, backend):
            taken.append(f"{each.name} ({unparse(each.target)})")
    if taken:
        raise click.ClickException(
            f"nothing is changed, because something else is there already, which is not replaced: {', '.join(taken)}. "
            "Remove it, or migrate without --copy to use what is there."
        )
    return missing


def _is_same(copy: Copy, backend: Backend) -> bool:
    """Whether what is there is what would be copied."""
    with tempfile.TemporaryDirectory(prefix="statisfactory-") as folder:
        there = Path(folder) / basename(copy.target)
        backend.download(target=there, fragment=copy.target)
        if there.is_file() or copy.source.is_file():
            return there.is_file() and copy.source.is_file() and filecmp.cmp(there, copy.source, shallow=False)
        names = _files(copy.source)
        return names == _files(there) and not any(filecmp.cmpfiles(there, copy.source, names, shallow=False)[1:])


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _stored(copies: list[Copy], project: Project) -> Iterator[str]:
    """Store what is missing; where the service has runs, in one, which lands as a whole or not at all."""
    if not copies[0].backend(project).follows_git:
        for each in copies:
            each.backend(project).create(source=each.source, fragment=each.target)
            yield f"copied {each.source} to {unparse(each.target)}"
        return
    from kedro.io.core import generate_timestamp

    from kedro_statisfactory import runs

    run = runs.begin(generate_timestamp(), project, [_use(each, project) for each in copies], _facts)
    try:
        for each in copies:
            each.backend(run.project).create(source=each.source, fragment=each.target)
        run.finish()
    finally:
        run.abandon()
    for each in copies:
        yield f"copied {each.source} to {unparse(each.target)}"
    yield f"The copies are one commit, of the run {run.id!r}."


def _use(copy: Copy, project: Project) -> Use:
    from kedro_statisfactory.runs import Use

    return Use(copy.name, unparse(copy.target), copy.backend(project), copy.target, written=True)


def _facts(project: Project) -> dict[str, str]:
    """What the commit says of the copies."""
    from kedro_statisfactory.runs import provenance
    from kedro_statisfactory.runs.redaction import without_tokens

    facts = {
        **provenance.of_code(project),
        **provenance.of_machine(),
        "kedro_pipeline": "(kedro statisfactory migrate)",
        "kedro_started": provenance.now(),
    }
    return {key: without_tokens(value) for key, value in facts.items()}
