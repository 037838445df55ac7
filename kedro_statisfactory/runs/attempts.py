"""Attempts of a run of several processes: where a part of it comes after it was finished, it is done once more.

So it is when somebody clears a task of a finished DAG run in Airflow: the id is that of the finished run, whose commit
and tag never change. Each further attempt is a run with an id of its own, and says which one it replaces.
"""

from __future__ import annotations

from collections.abc import Sequence

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import RefNotFound
from kedro_statisfactory.project.branches import run_branch, run_tag
from kedro_statisfactory.runs.leftovers import branches_of
from kedro_statisfactory.runs.target import JOINED

_Places = Sequence[tuple[LakeFSAPI, str]]


def attempt_id(run_id: str, number: int) -> str:
    """The id of an attempt, counted from 1.

    >>> attempt_id("nightly", 1), attempt_id("nightly", 2)
    ('nightly', 'nightly--attempt-2')
    """
    return run_id if number == 1 else f"{run_id}--attempt-{number}"


def attempt_to_join(places: _Places, run_id: str) -> int:
    """The number of the attempt of which a process is a part: one that goes on, else one that nobody has begun.

    Args:
        places: The repositories that the process uses.
        run_id: As it was told.
    """
    number = 1
    while not _goes_on(places, attempt_id(run_id, number)) and _is_finished(places, attempt_id(run_id, number)):
        number += 1
    return number


def attempts_to_end(places: _Places, run_id: str) -> list[str]:
    """The ids of the attempts that wait; where none does, that of the last one that was finished."""
    number, last, waiting = 1, run_id, list[str]()
    while True:
        current = attempt_id(run_id, number)
        if _waits(places, current):
            waiting.append(current)
        elif not _is_finished(places, current):
            return waiting or [last]
        number, last = number + 1, current


def _goes_on(places: _Places, run_id: str) -> bool:
    return any(_is_there(api, repository, run_branch(run_id, JOINED)) for api, repository in places)


def _waits(places: _Places, run_id: str) -> bool:
    return any(branches_of(api, repository, run_id) for api, repository in places)


def _is_there(api: LakeFSAPI, repository: str, branch: str) -> bool:
    try:
        api.commit(repository, branch)
    except RefNotFound:
        return False
    return True


def _is_finished(places: _Places, run_id: str) -> bool:
    return any(api.tag(repository, run_tag(run_id)) for api, repository in places)
