"""The hidden branches of runs that have not ended here."""

from __future__ import annotations

import calendar
import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.project.branches import RUN_BRANCH, id_digest, run_branch
from kedro_statisfactory.runs.target import ASKED, JOINED, TOKEN

#: Repositories, each with a backend that reaches its server.
Places = Sequence[tuple[LakeFSBackend, str]]


@dataclass(frozen=True)
class Leftover:
    """The hidden branch of a run that has not ended here; ``complete``: all of it is there, it only has to land."""

    name: str
    run_id: str
    complete: bool
    hours: float


def leftovers(backend: LakeFSBackend, repository: str) -> Iterator[Leftover]:
    """The hidden branches of all runs in a repository, with hours since they began or last did something."""
    for ref in backend.api.branches(repository, RUN_BRANCH):
        commits = commits_on(backend.api, repository, ref.id)
        began, _, rest = ref.id.removeprefix(RUN_BRANCH).partition("--")
        if commits:
            since, run_id = float(commits[0].created), commits[0].metadata.get("kedro_run_id", ref.id)
        else:
            run_id = rest.rpartition("--")[0]
            try:
                since = float(calendar.timegm(time.strptime(began, "%Y%m%dT%H%M%SZ")))
            except ValueError:  # a joined run that is about to make its first commit
                since = time.time()
        complete = bool(commits) and (began != JOINED or any(ASKED in commit.metadata for commit in commits))
        yield Leftover(ref.id, run_id, complete, (time.time() - since) / 3600)


def drop(backend: LakeFSBackend, repository: str, leftover: Leftover) -> None:
    """Drop a leftover."""
    backend.api.delete_branch(repository, leftover.name)


def branches_of(api: LakeFSAPI, repository: str, run_id: str) -> list[str]:
    """The hidden branches of a run in a repository."""
    pattern = re.compile(rf".*--{id_digest(run_id)}(-[0-9a-f]{{8}})?")
    found = [ref.id for ref in api.branches(repository, RUN_BRANCH) if pattern.fullmatch(ref.id)]
    joined = run_branch(run_id, JOINED)
    return [joined] if joined in found else found  # a part may have the id of the run


def commits_on(api: LakeFSAPI, repository: str, branch: str) -> list[Commit]:
    """The commits that a run made on its branch, newest first."""
    log = api.log(repository, branch, amount=100)
    return list(itertools.takewhile(lambda commit: commit.metadata.get(TOKEN) == branch, log))
