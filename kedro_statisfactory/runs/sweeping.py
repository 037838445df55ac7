"""Dropping, at the end of a run, what runs that were killed long ago have left in its repositories."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterable
from pathlib import Path

from kedro_statisfactory.backends.local.staging import staging_folder_for
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project import Project
from kedro_statisfactory.runs.leftovers import leftovers
from kedro_statisfactory.runs.target import LOGGER, Target

# Hidden branches of one repository that are looked at by one run.
_MOST = 20


def sweep(project: Project, targets: Iterable[Target]) -> None:
    """Drop what is older than the grace period, and name what waits; what fails is left to the next one.

    A project looks once in each grace period, which a file in its folder tells: nothing can have come of age sooner
    that was there at the last look. So a run asks for nothing more as a rule; else for one listing of branches, and for
    each that is old enough for its commits and its end.

    Args:
        project: The project; one that cannot be written to never looks, nor does one whose grace period is 0.
        targets: The repositories to which its run has written.
    """
    for target in targets:
        try:
            if _is_due(project, target):
                _sweep(target, project.settings.grace_hours)
        except (StatisfactoryError, OSError) as error:
            LOGGER.info("What killed runs may have left in %r was not looked for: %s", target.repository, error)


def _is_due(project: Project, target: Target) -> bool:
    """Whether it is time to look into a repository; the next look is due a grace period later."""
    grace, folder = project.settings.grace_hours, staging_folder_for(project.path)
    if not grace or folder is None:
        return False
    mark = _mark(folder, target)
    try:
        if time.time() - mark.stat().st_mtime < grace * 3600:
            return False
    except FileNotFoundError:  # what runs leave from here on is younger than the grace period for as long
        mark.touch()
        return False
    mark.touch()
    return True


def _mark(folder: Path, target: Target) -> Path:
    return folder / f"swept-{hashlib.sha256(' '.join(target.key).encode()).hexdigest()[:16]}"


def _sweep(target: Target, grace: float) -> None:
    api, repository = target.api, target.repository
    for each in list(itertools.islice(leftovers(api, repository, grace), _MOST)):
        if each.hours < grace or each.is_at_work:
            continue
        if each.complete:
            LOGGER.warning(
                "The run %r has waited in %r for %.1f hours: `%s` lets it land, `%s` drops it.",
                each.run_id,
                repository,
                each.hours,
                each.command("finish"),
                each.command("abort"),
            )
        else:
            api.delete_branch(repository, each.name)
            LOGGER.warning(
                "Dropped the branch %r of %r: its run, of %.1f hours ago, never ended (`grace_hours`).",
                each.name,
                repository,
                each.hours,
            )
