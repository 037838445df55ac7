"""Taking back what a run wrote, by a commit of its own, where nothing was built on it since."""

from __future__ import annotations

import re

from kedro_statisfactory.backends.lakefs.records import RECORDS
from kedro_statisfactory.errors import Conflict, RunError
from kedro_statisfactory.runs.history import History, Wanted
from kedro_statisfactory.runs.landing import has_uncommitted
from kedro_statisfactory.runs.overlaps import is_at
from kedro_statisfactory.runs.past import PastRun, Share
from kedro_statisfactory.runs.target import REVERTS

_COMMIT_ID = re.compile(r"[0-9a-f]{64}")


class BuiltOn(RunError):
    """Something was built on a run since, or changed what it wrote."""


def revert(history: History, run: PastRun) -> list[str]:
    """Take a run back on the data branch of the git branch that is checked out; gives the repositories.

    Raises:
        BuiltOn: Later runs read what it wrote, or it was changed since.
        RunError: The run is not there, was taken back already, or the data branch has uncommitted changes.
    """
    branch = history.project.branch()
    found = [(share, _since(share, run.id, branch)) for share in run.shares]
    # Where it was taken back in some repositories, and something came in between, the others are left to do.
    since = {share.repository: ids for share, ids in found if ids}
    shares = [share for share, ids in found if ids]
    if not shares:
        raise RunError(f"the run {run.id!r} was taken back already on {branch!r}.")
    if readers := _readers(history, run, since):
        raise BuiltOn(f"the run {run.id!r} is not taken back, because {', '.join(readers)}.")
    done: list[str] = []
    for share in shares:
        message, metadata = f"kedro run {run.id}: taken back", {"kedro_reverted_run": run.id, REVERTS: share.commit.id}
        try:
            share.place[0].api.revert(share.repository, branch, share.commit.id, message, metadata)
        except Conflict:
            reached = f" It was taken back in {', '.join(done)} already." if done else ""
            raise BuiltOn(
                f"what the run {run.id!r} wrote has changed in {share.repository!r} since.{reached}"
            ) from None
        done.append(share.repository)
    return done


def _since(share: Share, run_id: str, branch: str) -> set[str]:
    """The commits of a data branch from that of a run on; none, if it was taken back already.

    Raises:
        RunError: It cannot be taken back there.
    """
    api, repository = share.place[0].api, share.repository
    where = f"{branch!r} of {repository!r}"
    if has_uncommitted(api, repository, branch):
        raise RunError(f"{where} has changes that no commit has: commit or drop them in lakeFS first.")
    ids: set[str] = set()
    for commit in api.log(repository, branch):
        ids.add(commit.id)
        if commit.metadata.get(REVERTS) == share.commit.id:
            return set()
        if commit.id == share.commit.id:
            break
    else:
        raise RunError(f"the run {run_id!r} is not on {where}, but on {share.data_branch!r}: switch to its git branch.")
    paths = [output.path for output in share.outputs]
    changed = sorted(
        {
            output
            for path, _ in api.changes(repository, share.commit.id, branch)
            for output in paths
            if is_at(path, output) and not path.startswith(RECORDS)
        }
    )
    if changed:
        raise BuiltOn(f"the run {run_id!r} is not taken back: {', '.join(changed)} of {repository!r} changed since.")
    return ids


def _readers(history: History, run: PastRun, since: dict[str, set[str]]) -> list[str]:
    """What later runs did with what a run wrote."""
    outputs = [output for output in run.outputs if output.repository in since]
    written = {f"lakefs://{output.repository}/{output.path}": output for output in outputs}
    begun = min(share.commit.created for share in run.shares)
    found: list[str] = []
    for later in history.all_since(Wanted(since=begun)):
        is_it = later.shares[0].identity == run.shares[0].identity
        if is_it or later.taken_back or _is_before(later, run, since):
            continue
        for name, read in sorted(later.inputs.items()):
            output = written.get(str(read.get("url", "")))
            ref = str(read.get("ref", ""))
            # What was read at an older commit is not of this run.
            if output and not (_COMMIT_ID.fullmatch(ref) and ref not in since[output.repository]):
                found.append(f"the run {later.id} has read {name}")
        again = {(each.repository, each.path) for each in later.outputs}
        found += [
            f"the run {later.id} has written {each.entry}" for each in outputs if (each.repository, each.path) in again
        ]
    return list(dict.fromkeys(found))


def _is_before(other: PastRun, run: PastRun, since: dict[str, set[str]]) -> bool:
    """Whether the log tells that another run landed before one: commits know their time in seconds only."""
    branches = {share.repository: share.data_branch for share in run.shares if share.repository in since}
    return any(
        share.data_branch == branches.get(share.repository) and share.commit.id not in since[share.repository]
        for share in other.shares
    )
