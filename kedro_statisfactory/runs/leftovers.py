"""The hidden branches of runs that have not ended here."""

from __future__ import annotations

import calendar
import hashlib
import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.backends.temporary import is_held
from kedro_statisfactory.project.branches import RUN_BRANCH, id_digest, run_branch
from kedro_statisfactory.runs.pending import kept
from kedro_statisfactory.runs.target import ASKED, DATA_BRANCH, JOINED, TOKEN, command

#: Repositories, each with a backend that reaches its server.
Places = Sequence[tuple[LakeFSBackend, str]]


@dataclass(frozen=True)
class Leftover:
    """The hidden branch of a run that has not ended here.

    Attributes:
        name: Of the branch.
        run_id: Of the run.
        complete: Whether all of it is there, so that it only has to land.
        hours: Since it began or last did something.
        is_at_work: Whether a process of this machine is still making it; of other machines nobody knows.
        env: Kedro environment in which it was made; empty: the default one, or not known.
    """

    name: str
    run_id: str
    complete: bool
    hours: float
    is_at_work: bool = False
    env: str = ""

    def command(self, verb: str) -> str:
        """The command that lets it land (``finish``) or drops it (``abort``)."""
        return command(verb, {"kedro_run_id": self.run_id, **({"kedro_env": self.env} if self.env else {})})


def leftovers(api: LakeFSAPI, repository: str, older_than: float = 0.0) -> Iterator[Leftover]:
    """The hidden branches of all runs in a repository, with hours since they began or last did something.

    Args:
        api: The server.
        repository: Where.
        older_than: Hours; those of runs that have begun later are left out, without a request for each of them.
    """
    for ref in api.branches(repository, RUN_BRANCH):
        began, _, rest = ref.id.removeprefix(RUN_BRANCH).partition("--")
        try:
            since = float(calendar.timegm(time.strptime(began, "%Y%m%dT%H%M%SZ")))
        except ValueError:  # a joined run, perhaps about to make its first commit
            since = time.time()
        if began != JOINED and _hours_since(since) < older_than:
            continue
        run_id, metadata = rest.rpartition("--")[0], dict[str, str]()
        if commits := commits_on(api, repository, ref.id):
            metadata = dict(commits[0].metadata)
            since, run_id = float(commits[0].created), metadata.get("kedro_run_id", ref.id)
        complete = bool(commits) and (began != JOINED or any(ASKED in commit.metadata for commit in commits))
        if not commits and (uncommitted := kept(api, repository, ref.id)):
            complete, run_id, metadata = True, uncommitted["kedro_run_id"], dict(uncommitted)
        env = metadata.get("kedro_env", "")
        yield Leftover(
            ref.id, run_id, complete, _hours_since(since), is_held(mark_of(api.host, repository, ref.id)), env
        )


def mark_of(host: str, repository: str, branch: str) -> str:
    """Name of the file by which the process that makes a run says on this machine that it is at work.

    Args:
        host: URL of the server.
        repository: Where.
        branch: Of the run; those of other projects may have its name, where a scheduler makes the same ids for all.
    """
    return f"at-work-{hashlib.sha256(f'{host} {repository} {branch}'.encode()).hexdigest()[:16]}"


def _hours_since(seconds: float) -> float:
    return (time.time() - seconds) / 3600


def branches_of(api: LakeFSAPI, repository: str, run_id: str) -> list[str]:
    """The hidden branches of a run in a repository.

    Args:
        api: The server.
        repository: Where.
        run_id: Of the run; where several have one id, with the token of one of them behind it.
    """
    pattern = re.compile(rf".*--{id_digest(run_id)}(-[0-9a-f]{{8}})?")
    names = [ref.id for ref in api.branches(repository, RUN_BRANCH)]
    found = [name for name in names if pattern.fullmatch(name)]
    if not found and (one := re.fullmatch(r"(.+)-([0-9a-f]{8})", run_id, re.DOTALL)):
        found = [name for name in names if name.endswith(f"--{id_digest(one[1])}-{one[2]}")]
    joined = run_branch(run_id, JOINED)
    return [joined] if joined in found else found  # a part may have the id of the run


def begun_on(api: LakeFSAPI, repository: str, branch: str, head: str) -> list[str]:
    """The hidden branches of runs that began on a data branch; none of them can land any more when that goes.

    Args:
        api: The server.
        repository: Where.
        branch: The data branch.
        head: Its last commit.
    """
    began: list[str] = []
    for ref in api.branches(repository, RUN_BRANCH):
        log = itertools.islice(api.log(repository, ref.id, amount=100), 100)
        told = (head if commit.id == head else commit.metadata.get(DATA_BRANCH) for commit in log)
        if next(filter(None, told), "") in (branch, head):
            began.append(ref.id)
    return began


def commits_on(api: LakeFSAPI, repository: str, branch: str) -> list[Commit]:
    """The commits that a run made on its branch, newest first."""
    log = api.log(repository, branch, amount=100)
    return list(itertools.takewhile(lambda commit: commit.metadata.get(TOKEN) == branch, log))
