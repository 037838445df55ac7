"""How what a run wrote gets from its hidden branch to where others see it: commit and merge."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Mapping

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
    StatisfactoryError,
)
from kedro_statisfactory.runs.overlaps import (
    conflicts,
    entries_at,
    in_folders,
    make_changes_of,
    overlaps,
    stale_inputs,
)
from kedro_statisfactory.runs.target import COMPARED, LOGGER, MERGED, PART_ID, REVERTS, TOKEN, Target

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


def land(target: Target, merge: str | None, inputs: str = "warn") -> str:
    """Merge a run into its data branch, which is made where it is missing; gives the commit there.

    Args:
        target: A repository of the run.
        merge: ``source-wins`` or ``dest-wins`` settles a conflict.
        inputs: ``conflict``: what the run read and others have changed since is a conflict as well, and not only told.

    Raises:
        MergeConflict: Others have changed there what the run wrote.
        RunError: It could not be merged.
    """
    api, repository = target.api, target.repository
    is_new = target.is_new
    for _ in range(TRIES):
        try:
            if is_new:
                if api.ensure_branch(repository, target.destination, target.commit):
                    return target.commit
                is_new = False
            return verified(target, _merge(target, merge, inputs))
        except (ObjectNotFound, BranchNotFound):
            _refuse_ended(target)
            is_new = target.is_new
        except DirtyBranch:
            commit_strays(api, repository, target.destination, target.metadata["kedro_run_id"])
        except BackendUnreachable:
            if found := landed_at(target):
                return verified(target, found)
    raise RunError(f"the run could not be merged into {target.name}, which changes all the time or does not answer.")


def _merge(target: Target, merge: str | None, inputs: str) -> str:
    """Merge a run into what is on its destination now; gives the commit there."""
    api, repository = target.api, target.repository
    head = compare(target, merge, inputs)
    if head == target.own:
        merge = "source-wins"  # against nobody but the run itself
    metadata = {**_packed(target), MERGED: target.commit, COMPARED: head}
    try:
        return api.merge(repository, target.run_branch, target.destination, _message(target.metadata), metadata, merge)
    except MergeConflict:
        raise _conflict(target, target.destination) from None


def compare(target: Target, merge: str | None, inputs: str, find: Callable[[Target, str], list[str]] = overlaps) -> str:
    """Compare a run with what others have changed on its destination, and settle that; gives the commit there.

    Args:
        target: A repository of the run; it is noted there up to which commit this was done.
        merge: ``source-wins`` or ``dest-wins`` settles a conflict.
        inputs: ``conflict``: what the run read and others have changed since is a conflict as well, and not only told.
        find: What gives the paths of a conflict with a commit of the destination.

    Raises:
        MergeConflict: Others have changed there what the run wrote.
        BranchNotFound: There is no destination.
    """
    head = target.api.branch(target.repository, target.destination).commit_id
    if head != (target.compared or target.base):
        _refuse_outlived(target, head)
        _look_at_inputs(target, head, inputs)
        if merge:
            _settle(target, merge, head)
        elif find(target, head):
            raise _conflict(target, head)
        target.compared = head
    return head


def verified(target: Target, landed: str) -> str:
    """See that nobody has changed what the run wrote between the last look and the merge, which would be a mixture.

    Args:
        target: A repository of the run.
        landed: The commit by which it is there; given back.

    Raises:
        MergeConflict: Somebody has, and the merge was taken back.
    """
    if landed == target.commit:  # the branch was made from it
        return landed
    merge = target.api.commit(target.repository, landed)
    target.compared = merge.metadata.get(COMPARED, target.compared)
    below = merge.parents[0]
    try:
        if below != target.compared:
            _refuse_outlived(target, below)
        if not overlaps(target, below):
            return landed
        conflict: StatisfactoryError = _conflict(target, below)
    except RunError as error:
        conflict = error
    try:
        _take_back(target, landed)
    except StatisfactoryError as error:
        target.is_over = True
        raise RunError(
            f"{conflict.args[0]} This happened at the moment of the merge, which made a mixture of both and could not "
            f"be taken back ({error.args[0]}): revert the commit {landed} in lakeFS, and run again."
        ) from error
    raise _taken_back(target, conflict.args[0])


def _take_back(target: Target, landed: str) -> None:
    """Undo a merge by a commit, once: when the answer is lost, the log tells whether it was done."""
    api, repository, destination = target.api, target.repository, target.destination
    run_id = target.metadata["kedro_run_id"]
    message, metadata = f"kedro run {run_id}: taken back", {"kedro_found_by_run": run_id, REVERTS: landed}
    why = "others save there all the time"
    for _ in range(TRIES):
        try:
            api.revert(repository, destination, landed, message, metadata)
            return
        except DirtyBranch:  # what was saved there meanwhile is committed first
            commit_strays(api, repository, destination, run_id)
        except BackendUnreachable as error:
            why = error.args[0]
            if any(
                landed in _reverted_by(commit) for commit in itertools.islice(api.log(repository, destination), 100)
            ):
                return
    raise RunError(why)


def _reverted_by(commit: Commit) -> tuple[str, str]:
    """The merge that a commit has taken back: ours says so in its metadata, lakeFS's own in its message."""
    return commit.metadata.get(REVERTS, ""), commit.message.removeprefix("Revert ")


def _taken_back(target: Target, why: str) -> MergeConflict:
    """Say that a merge was undone; lakeFS takes it for done, so that it cannot be done once more."""
    target.is_over = True
    return MergeConflict(f"{why} The merge was taken back by a commit of its own, and the run has to be repeated.")


def _look_at_inputs(target: Target, head: str, inputs: str) -> None:
    """Tell which entries others have changed that the run read before.

    Raises:
        MergeConflict: There are some, and the settings make that a conflict.
    """
    if not (stale := stale_inputs(target, head)):
        return
    text = f"the entries {', '.join(stale)}, which the run read, have changed on {target.name} since it began"
    if inputs == "conflict":
        raise MergeConflict(f"{text}, and `inputs: conflict` of statisfactory.yml lets it not land then: run again.")
    LOGGER.warning("%s: what it wrote was made of what was there before.", text[0].upper() + text[1:])


def _refuse_ended(target: Target) -> None:
    """See that a run whose merge found something missing was not ended elsewhere."""
    api, repository = target.api, target.repository
    gone = f"the branch of the run is gone from {repository!r}: the run was ended elsewhere."
    try:
        api.branch(repository, target.run_branch)
    except BranchNotFound:
        target.run_branch = ""
        raise RunError(gone) from None
    try:
        if not target.is_new:
            api.branch(repository, target.destination)
    except BranchNotFound:
        raise RunError(gone) if target.joined else _outlived(target) from None


def _refuse_outlived(target: Target, head: str) -> None:
    """See that the destination is still the one on which a run began: lakeFS would merge all that the old one had.

    Raises:
        RunError: It was dropped, and made anew.
    """
    # What a run of a new data branch began with is the data of another branch, which has not gone.
    if not target.is_new and target.api.merge_base(target.repository, target.base, head) != target.base:
        raise _outlived(target)


def _outlived(target: Target) -> RunError:
    target.is_over = True
    return RunError(
        f"{target.name} is not the one any more on which this {'part' if target.joined else 'run'} began: it was "
        "dropped since, by `branch --reset` or `run abort` for example, and what was read there is gone. Run again."
    )


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
    """The commit by which a run has landed already.

    Raises:
        MergeConflict: It had, and was taken back.
    """
    reverted: set[str] = set()
    with contextlib.suppress(ObjectNotFound, BranchNotFound, RefNotFound):
        for commit in itertools.islice(target.api.log(target.repository, target.destination, amount=100), 1000):
            reverted.update(_reverted_by(commit))
            if target.commit in (commit.id, commit.metadata.get(MERGED)):
                if commit.id in reverted:
                    raise _taken_back(target, "others had changed the same entries at the moment of the merge.")
                return commit.id
    return None


def _settle(target: Target, merge: str, head: str) -> None:
    """See that a conflict can be settled as asked for, and tell in the metadata what the run loses by it.

    Raises:
        MergeConflict: A folder has changed on both sides, and lakeFS would mix its objects.
    """
    paths = conflicts(target, head)
    if in_folders(target, paths):
        raise _conflict(target, head, " They are folders, which no strategy of merging keeps whole: run again.")
    if merge == "source-wins":
        make_changes_of(target, overlaps(target, head))
        return
    lost, outputs = entries_at(target, paths), json.loads(target.metadata["kedro_outputs"])
    if lost:
        target.metadata = {
            **target.metadata,
            "kedro_outputs": json.dumps({name: outputs[name] for name in outputs if name not in lost}, sort_keys=True),
            "kedro_outputs_lost": json.dumps({name: outputs[name] for name in lost}),
        }


def _conflict(target: Target, head: str, more: str = "") -> MergeConflict:
    """Name the entries and the other run of a conflict."""
    api, repository = target.api, target.repository
    found = conflicts(target, head)
    paths = sorted({path.removeprefix(FOLDER_MARK) for path in found})
    newest = next(api.log(repository, head, paths[0], amount=1), None) if paths else None
    other = "another run"
    if newest is not None:
        other = f"the commit {newest.id[:12]} ({newest.message})"
        if "kedro_run_id" in newest.metadata:
            other = f"the run {newest.metadata['kedro_run_id']!r}"
        if PART_ID in newest.metadata and target.joined:
            other = f"its part {newest.metadata[PART_ID]!r}"
    return MergeConflict(
        f"the entries {', '.join(entries_at(target, paths))} ({', '.join(paths)}) have changed on {target.name} since "
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
