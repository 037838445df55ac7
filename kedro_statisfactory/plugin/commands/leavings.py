"""What killed processes have left, on this disk and in lakeFS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kedro_statisfactory.backends import LakeFSBackend, ObjectInfo
    from kedro_statisfactory.datasets import ArtifactDataset


def clean_disk(project: Path, entries: Iterable[ArtifactDataset], dry_run: bool) -> None:
    """Drop what killed processes have left where entries are staged; locks tell what nobody needs any more."""
    import tempfile

    from kedro_statisfactory.backends import LocalFS
    from kedro_statisfactory.backends.local.staging import STAGING_FOLDER
    from kedro_statisfactory.backends.temporary import sweep

    targets = {Path(each.backend.target_folder(each.location)) for each in entries if isinstance(each.backend, LocalFS)}
    for folder in sorted({Path(tempfile.gettempdir()), project / STAGING_FOLDER, *targets}):
        for path in sweep(folder, dry_run):
            click.echo(f"{'would drop' if dry_run else 'dropped'} {path}")


def clean_places(entries: Iterable[ArtifactDataset], grace: float, dry_run: bool) -> None:
    """Drop what killed processes have left beside and below entries in places of fsspec, where its age is known.

    Args:
        entries: Of the catalog.
        grace: Hours after which nobody can be writing it any more.
        dry_run: Whether it is only named.
    """
    from kedro_statisfactory.backends import FsspecBackend
    from kedro_statisfactory.errors import StatisfactoryError
    from kedro_statisfactory.location import shown, unparse

    seen: set[str] = set()
    for entry in entries:
        if not isinstance(backend := entry.backend, FsspecBackend):
            continue
        try:
            for where, info in backend.leftovers(entry.location):
                if (url := shown(unparse(where))) in seen:
                    continue
                seen.add(url)
                kept = _why_kept(info, grace)
                if not kept and (name := backend.lost_name(where)):
                    kept = f"it is all that is left of {name!r}, because a save was killed: give it that name again"
                if not (kept or dry_run):
                    backend.delete(fragment=where)
                click.echo(f"kept {url}: {kept}" if kept else f"{'would drop' if dry_run else 'dropped'} {url}")
        except StatisfactoryError as error:  # one place that is away keeps no other from being cleaned
            click.echo(f"{shown(entry.filepath)} is left out: {error}", err=True)


def _why_kept(info: ObjectInfo, grace: float) -> str:
    """Why a file that was never published stays; empty, if it need not."""
    from datetime import datetime, timezone

    if info.modified is None:
        return "its age is not known; remove it when nobody writes there"
    is_young = (datetime.now(timezone.utc) - info.modified).total_seconds() < grace * 3600
    return "it may be at work" if is_young else ""


def clean_repository(backend: LakeFSBackend, repository: str, older_than: float | None, dry_run: bool) -> None:
    """Drop the hidden branches that killed runs have left in a repository."""
    from kedro_statisfactory.runs.leftovers import leftovers

    grace = backend.project.settings.grace_hours if older_than is None else older_than
    for each in list(leftovers(backend.api, repository)):
        what = f"{each.name} of {repository} ({each.hours:.1f} hours old)"
        if each.complete:
            click.echo(f"kept {what}: `{each.command('finish')}` lands it, `{each.command('abort')}` drops it")
        elif each.is_at_work:
            click.echo(f"kept {what}: a process of this machine is at work there")
        elif each.hours < grace:
            click.echo(f"kept {what}: it may be at work")
        elif dry_run:
            click.echo(f"would drop {what}")
        else:
            backend.api.delete_branch(repository, each.name)
            click.echo(f"dropped {what}")
