"""A run over several repositories: what keeps it from landing in one of them is looked for before it is in another."""

from __future__ import annotations

import contextlib

from kedro_statisfactory.backends.transfer import CHUNK
from kedro_statisfactory.errors import BranchNotFound, StatisfactoryError
from kedro_statisfactory.runs.landing import commit_strays, compare, has_uncommitted
from kedro_statisfactory.runs.overlaps import conflicts
from kedro_statisfactory.runs.target import Target

# Where lakeFS looks for what it has to do at a merge: in the commit that is merged, whatever the destination has.
_ACTIONS, _AT_A_MERGE = "_lakefs_actions/", b"pre-merge"


def look_ahead(target: Target, merge: str | None, inputs: str) -> None:
    """See that a run, which is in none of its repositories yet, can land in one of them as far as that can be known.

    Args:
        target: That repository; it is noted there up to which commit this was done.
        merge: ``source-wins`` or ``dest-wins`` settles a conflict.
        inputs: ``conflict``: what the run read and others have changed since is a conflict as well.

    Raises:
        MergeConflict: Others have changed there what the run wrote.
        NotABranch: A tag has the name of the data branch, which is missing.
    """
    api, repository, destination = target.api, target.repository, target.destination
    if has_uncommitted(api, repository, destination):
        commit_strays(api, repository, destination, target.metadata["kedro_run_id"])
    try:
        compare(target, merge, inputs, conflicts)
    except BranchNotFound:  # it will be made
        if api.tag(repository, destination):
            raise api.not_a_branch(repository, destination) from None


def has_merge_hooks(target: Target) -> bool:
    """Whether what a run brings to a repository has hooks that lakeFS runs before a merge: the run goes there first.

    lakeFS runs them at the merge itself, for the very destination, and cannot be asked before what they will say. Where
    one repository of a run has such hooks, the run is nowhere yet when they refuse it.
    """
    api, repository, commit = target.api, target.repository, target.commit
    with contextlib.suppress(StatisfactoryError):  # what is wrong is told when the run is merged
        for action in api.list(repository, commit, _ACTIONS):
            with api.open(repository, commit, action.path) as answer:
                if _AT_A_MERGE in b"".join(answer.chunks(CHUNK)):
                    return True
    return False
