"""The records that runs have left on a data branch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.backends.lakefs.requests import PAGE
from kedro_statisfactory.errors import IntegrityError
from kedro_statisfactory.runs.nodes.record import NODES, Record, unpacked
from kedro_statisfactory.runs.target import KEPT, SAVED

#: Names of a node and of its outputs.
Key = tuple[str, tuple[str, ...]]

# Commits that are asked for first: mostly the newest run tells of all nodes.
_FIRST = 10
# Objects with records that are read of a branch, at most; what is in none of them was never run, as far as one knows.
_MOST_READ = 10


@dataclass(frozen=True)
class Source:
    """Where outputs are that can be taken over.

    Attributes:
        record: What they were made of.
        api: The server.
        repository: Where.
        commit: Where.
        branch: The git branch of the run.
    """

    record: Record
    api: LakeFSAPI
    repository: str
    commit: str
    branch: str


def newest_records(api: LakeFSAPI, repository: str, ref: str, wanted: Iterable[Key]) -> dict[Key, list[Record]]:
    """The records of each node on a branch, newest first: one at least, if its last thousand commits have one.

    Args:
        api: The server.
        repository: Where.
        ref: Where the log begins.
        wanted: The nodes; others that are found beside them are given, too.
    """
    missing, found, read = set(wanted), dict[Key, list[Record]](), 0
    for commit in _commits(api, repository, ref):
        if not missing or read == _MOST_READ:
            break
        if NODES not in commit.metadata or not _may_tell(commit, missing):
            continue
        read += 1
        for record in records_of(api, repository, commit):
            found.setdefault(record.key, []).append(record)
        missing -= found.keys()
    return found


def records_of(api: LakeFSAPI, repository: str, commit: Commit) -> list[Record]:
    """What a run has recorded of nodes, each with the run that made it.

    What a part of it has made goes before what another part, which began before that, has left as it was.
    """
    made, left = list[Record](), list[Record]()
    run = commit.metadata.get("kedro_run_id", "")
    for path in reversed(commit.metadata.get(NODES, "").split(", ")):
        try:
            content = records.read(api, repository, commit.id, path)
        except IntegrityError:  # a run that was finished from elsewhere may have lost it
            continue
        for record in unpacked(content):
            (left if record.run not in ("", run) else made).append(replace(record, run=record.run or run))
    return [*made, *left]


def _commits(api: LakeFSAPI, repository: str, ref: str) -> Iterator[Commit]:
    """The last commits of a branch: some first, and only then the others."""
    amount, last = 0, ""
    for commit in api.log(repository, ref, amount=_FIRST):
        yield commit
        amount, last = amount + 1, commit.id
        if amount == _FIRST:
            break
    else:
        return
    for number, commit in enumerate(api.log(repository, last, amount=PAGE)):
        if number == PAGE:
            return
        if number:  # the first one was given before
            yield commit


def _may_tell(commit: Commit, missing: Iterable[Key]) -> bool:
    """Whether a run may tell of some nodes: it wrote an output of theirs, or what it wrote is told elsewhere."""
    if "kedro_outputs" not in commit.metadata or KEPT in commit.metadata:
        return True
    if records.RECORD in commit.metadata and SAVED not in commit.metadata:  # SAVED may have had no room there
        return True
    try:
        told = {*json.loads(commit.metadata["kedro_outputs"]), *json.loads(commit.metadata.get(SAVED, "[]"))}
    except (ValueError, TypeError):
        return True
    return any(name in told for _, outputs in missing for name in outputs)
