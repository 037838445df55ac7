"""Dropping a run from outside, as far as it has not landed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import MergeConflict, RunError
from kedro_statisfactory.runs.attempts import attempts_to_end
from kedro_statisfactory.runs.complete import read_waiting
from kedro_statisfactory.runs.landing import landed_at, verified
from kedro_statisfactory.runs.leftovers import branches_of, commits_on
from kedro_statisfactory.runs.pending import forget
from kedro_statisfactory.runs.tags import seal
from kedro_statisfactory.runs.target import LOGGER, PART_ID, Target


@dataclass(frozen=True)
class Aborted:
    """What became of a run.

    Attributes:
        dropped: Repositories in which it was dropped.
        landed: Names of the data branches on which it was already; it stays there, with its tags.
    """

    dropped: list[str] = field(default_factory=list)
    landed: list[str] = field(default_factory=list)


def abort(places: Sequence[tuple[LakeFSBackend, str]], run_id: str) -> Aborted:
    """Drop a run that has not landed; one that has, and whose end was interrupted, is tagged instead."""
    aborted = Aborted()
    for attempt in attempts_to_end([(backend.api, repository) for backend, repository in places], run_id):
        for backend, repository in places:
            for name in branches_of(backend.api, repository, attempt):
                if landed := _landed(backend.api, repository, name):
                    seal(landed, gives_up=True)
                    aborted.landed.append(landed.name)
                else:
                    backend.api.delete_branch(repository, name)
                    forget(backend.api, repository, name)
                    aborted.dropped.append(repository)
    return aborted


def _landed(api: LakeFSAPI, repository: str, name: str) -> Target | None:
    """A run that is on its data branch, though its hidden branch is still there; ``None``: it is not there."""
    try:
        target = read_waiting(api, repository, name)
    except RunError:  # what is on the branch is no run of this package, so that nothing of it has landed
        return None
    if target is None:
        return None
    commits = commits_on(api, repository, name)
    for number, commit in enumerate(commits):
        target.commit = commit.id
        with contextlib.suppress(MergeConflict):  # it was taken back, perhaps just now
            if found := landed_at(target):
                target.landed = verified(target, found)
                _tell_of_later(
                    target, [each.metadata[PART_ID] for each in commits[:number] if PART_ID in each.metadata]
                )
                return target
    return None


def _tell_of_later(target: Target, parts: list[str]) -> None:
    """Say which parts are dropped though their run has landed, because they came to it later."""
    if not parts:
        return
    commit = target.api.commit(target.repository, target.landed)
    target.metadata = records.metadata_of(target.api, target.repository, commit)
    LOGGER.warning(
        "The parts %s of the run %r, which is on %s, came after it had landed there, and are dropped.",
        ", ".join(map(repr, reversed(parts))),
        target.metadata["kedro_run_id"],
        target.name,
    )
