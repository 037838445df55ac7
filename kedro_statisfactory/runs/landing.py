"""How what a run wrote gets from its hidden branch to where others see it: commit and merge."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Mapping

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, Commit
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BranchNotFound,
    DirtyBranch,
    MergeConflict,
    NoChanges,
    ObjectNotFound,
    RefNotFound,
    RunError,
)
from kedro_statisfactory.runs.target import LOGGER, MERGED, PART_ID, TOKEN, Target

#: Tries of a merge that something else came in between.
TRIES = 5


def commit_run(target: Target) -> str:
    """Commit what a run wrote to its branch, once: when the answer is lost, the log tells whether it was done."""
    api, repository, branch = target.api, target.repository, target.run_branch or target.data_branch
    packed = records.pack(target.metadata)
    records.store(api, repository, branch, packed)
    target.record = packed.path
    why = ""
    for _ in range(TRIES):
        try:
            return api.create_commit(repository, branch, _message(target.metadata), packed.metadata, allow_empty=True)
        except BackendUnreachable as error:
            why = error.args[0]
            newest = api.commit(repository, branch)
            if newest.metadata == dict(packed.metadata):
                return newest.id
    raise RunError(
        f"the branch {branch!r} of {repository!r} could not be committed, the server fails or does not answer: {why}"
    )


def commit_strays(api: LakeFSAPI, repository: str, branch: str, run_id: str) -> None:
    """Commit what was written to a data branch outside of runs, as a commit of its own."""
    with contextlib.suppress(NoChanges):
        found_by = {"kedro_found_by_run": run_id}
        api.create_commit(repository, branch, "Changes made outside of runs", found_by, repeatable=True)
        LOGGER.warning(
            "The branch %r of %r had uncommitted changes: they were committed as they are, apart from the run.",
            branch,
            repository,
        )


def land(target: Target, merge: str | None) -> str:
    """Merge a run into its data branch, which is made where it is missing; gives the commit there."""
    api, repository = target.api, target.repository
    message = _message(target.metadata)
    is_new = target.is_new
    if merge:
        _settle(target, merge)
    for _ in range(TRIES):
        try:
            if is_new:
                if api.ensure_branch(repository, target.destination, target.commit):
                    return target.commit
                is_new = False
            metadata = {**_packed(target), MERGED: target.commit}
            return api.merge(repository, target.run_branch, target.destination, message, metadata, merge)
        except MergeConflict:
            raise _conflict(target) from None
        except ObjectNotFound:
            gone = f"the branch of the run is gone from {repository!r}: the run was ended elsewhere."
            try:
                api.branch(repository, target.run_branch)
            except BranchNotFound:
                target.run_branch = ""
                raise RunError(gone) from None
            try:
                if target.joined:
                    api.branch(repository, target.joined)
            except BranchNotFound:
                raise RunError(gone) from None
            is_new = True
        except DirtyBranch:
            commit_strays(api, repository, target.destination, target.metadata["kedro_run_id"])
        except BackendUnreachable:
            if found := landed_at(target):
                return found
    raise RunError(f"the run could not be merged into {target.name}, which changes all the time or does not answer.")


def _packed(target: Target) -> Mapping[str, str]:
    """What the commit says by which a run lands; what it has no room for is on the branch of the run then."""
    packed = records.pack(target.metadata)
    if packed.record and packed.path != target.record:  # it says something else than the commits on that branch
        mark = {"kedro_run_id": target.metadata["kedro_run_id"], TOKEN: target.metadata[TOKEN]}
        message = f"kedro run {target.metadata['kedro_run_id']}: record"
        records.store(target.api, target.repository, target.run_branch, packed)
        target.api.create_commit(target.repository, target.run_branch, message, mark, allow_empty=True)
        target.record = packed.path
    return packed.metadata


def landed_at(target: Target) -> str | None:
    """The commit by which a run has landed already."""
    with contextlib.suppress(ObjectNotFound, BranchNotFound, RefNotFound):
        for commit in itertools.islice(target.api.log(target.repository, target.destination, amount=100), 1000):
            if target.commit in (commit.id, commit.metadata.get(MERGED)):
                return commit.id
    return None


def is_of(commit: Commit, target: Target) -> bool:
    """Whether a commit belongs to this very run, and not to another one with the same id."""
    return commit.metadata.get(TOKEN) == target.metadata[TOKEN]


def _conflicts(target: Target) -> list[str]:
    """The paths that have changed on both sides, marks of folders included."""
    changes = target.api.changes(target.repository, target.destination, target.run_branch, three_dot=True)
    return sorted(path for path, kind in changes if kind == "conflict")


def _entries_at(target: Target, paths: Iterable[str]) -> list[str]:
    """The entries to which paths, or marks of folders, belong."""
    plain = [path.removeprefix(FOLDER_MARK) for path in paths]
    return sorted(
        name
        for name, output in target.outputs.items()
        if any(path == output or path.startswith(f"{output}/") for path in plain)
    )


def _settle(target: Target, merge: str) -> None:
    """See that a conflict can be settled as asked for, and tell in the metadata what the run loses by it.

    Raises:
        MergeConflict: A folder has changed on both sides, and lakeFS would mix its objects.
    """
    try:
        conflicts = _conflicts(target)
    except ObjectNotFound:
        return  # one of the branches is missing, which is told elsewhere
    lost, outputs = _entries_at(target, conflicts), json.loads(target.metadata["kedro_outputs"])
    if any(path.startswith(FOLDER_MARK) for path in conflicts):
        raise _conflict(target, " They are folders, which no strategy of merging keeps whole: run again.")
    if lost and merge == "dest-wins":
        kept = {name: each for name, each in outputs.items() if name not in lost}
        target.metadata = {
            **target.metadata,
            "kedro_outputs": json.dumps(kept, sort_keys=True),
            "kedro_outputs_lost": json.dumps({name: outputs[name] for name in lost if name in outputs}),
        }


def _conflict(target: Target, more: str = "") -> MergeConflict:
    """Name the entries and the other run of a conflict."""
    api, repository = target.api, target.repository
    conflicts = _conflicts(target)
    paths = sorted({path.removeprefix(FOLDER_MARK) for path in conflicts})
    newest = next(api.log(repository, target.destination, paths[0], amount=1), None) if paths else None
    other = "another run"
    if newest is not None:
        other = f"the commit {newest.id[:12]} ({newest.message})"
        if "kedro_run_id" in newest.metadata:
            other = f"the run {newest.metadata['kedro_run_id']!r}"
        if PART_ID in newest.metadata and target.joined:
            other = f"its part {newest.metadata[PART_ID]!r}"
    return MergeConflict(
        f"the entries {', '.join(_entries_at(target, paths))} ({', '.join(paths)}) have changed on {target.name} since "
        f"this {'part' if target.joined else 'run'} began, by {other}.{more}"
    )


def has_uncommitted(api: LakeFSAPI, repository: str, branch: str) -> bool:
    """Whether a ref is a branch with uncommitted changes."""
    try:
        return api.has_uncommitted(repository, branch)
    except BranchNotFound:
        return False


def _message(metadata: Mapping[str, str]) -> str:
    count = len(json.loads(metadata["kedro_outputs"]))
    return f"kedro run {metadata['kedro_pipeline']}: {count} {'entry' if count == 1 else 'entries'} written"
