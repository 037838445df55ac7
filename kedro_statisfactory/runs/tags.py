"""The tags by which runs are found again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.errors import Conflict, HookRefused, RunError, StatisfactoryError
from kedro_statisfactory.project.branches import git_tag, run_tag, token_of
from kedro_statisfactory.runs.target import ALL_SHAS, LOGGER, READ_AT, Target, command


def tag_run(
    api: LakeFSAPI, repository: str, commit: str, metadata: Mapping[str, str], token: str = "", only_read: bool = False
) -> str:
    """Make the tags by which a run is found: by its id and, where git is in use, by git commit.

    Args:
        api: The server.
        repository: Where.
        commit: By which the run is there.
        metadata: Of the run's commits.
        token: What tells it from other runs of its id.
        only_read: Whether the run has written nothing there.

    Returns:
        The id by which it is found: its own, or, where that is another run's, the same with the token behind it.
    """
    run_id = metadata["kedro_run_id"]
    ids = [run_id, f"{run_id}-{token or secrets.token_hex(4)}"]
    found_by = _tag_once(api, repository, commit, ids, run_tag)
    if found_by != run_id:
        LOGGER.warning("The id %r is that of another run in %r: this run is found by %r.", run_id, repository, found_by)
    dirty, pinned = metadata.get("git_dirty") == "true", READ_AT in metadata
    if pinned and only_read:
        return found_by  # what it read there has nothing to do with its code
    finished = int(datetime.fromisoformat(metadata["kedro_finished"]).timestamp() * 1000)
    shas = json.loads(metadata.get(ALL_SHAS, "[]")) or [metadata[key] for key in ("git_commit_id",) if key in metadata]
    ids = ids[ids.index(found_by) :]
    for sha in shas:
        _tag_once(api, repository, commit, ids, partial(_git_tag, sha, finished, (dirty, only_read, pinned)))
    return found_by


def _git_tag(sha: str, finished: int, marks: tuple[bool, bool, bool], run_id: str) -> str:
    return git_tag(sha, finished, run_id, *marks)


def _tag_once(api: LakeFSAPI, repository: str, commit: str, ids: Sequence[str], name_of: Callable[[str], str]) -> str:
    """Tag a commit by the first of some ids that is not another run's; gives that."""
    for run_id in ids[:-1]:
        try:
            api.create_tag(repository, name_of(run_id), commit)
            return run_id
        except Conflict:
            if _is_tagged(api, repository, name_of(run_id), commit):
                return run_id
    try:
        api.create_tag(repository, name_of(ids[-1]), commit)
    except Conflict:
        if not _is_tagged(api, repository, name_of(ids[-1]), commit):
            raise
    return ids[-1]


def _is_tagged(api: LakeFSAPI, repository: str, name: str, commit: str) -> bool:
    """Whether a tag is ours, of a try whose answer was lost, and not that of another run of this id."""
    there = api.tag(repository, name)
    return there is not None and there.commit_id == commit


def tagged(target: Target, repository: str) -> Iterator[Commit]:
    """The commits of a repository that have a tag by which a run would be found: its own, or another's of its id."""
    run_id, token = target.metadata["kedro_run_id"], token_of(target.run_branch)
    for each in (run_id, *([f"{run_id}-{token}"] if token else ())):
        if tag := target.api.tag(repository, run_tag(each)):
            yield target.api.commit(repository, tag.commit_id)


def seal(target: Target, gives_up: bool = False) -> str:
    """Tag a run that has landed, and drop its branch; gives the id by which it is found.

    Args:
        target: Where it has landed.
        gives_up: Whether the run stays without the tags that a hook refuses.

    Raises:
        RunError: That failed; it can be tried again as long as the branch is there.
    """
    try:
        found_by = _tag(target, gives_up)
        target.api.delete_branch(target.repository, target.run_branch)
        return found_by
    except StatisfactoryError as error:
        where = f"the run {target.metadata['kedro_run_id']!r} is on {target.name}"
        if not isinstance(error, HookRefused):
            raise RunError(
                f"{where}, but a tag of it is missing or its branch is left over ({error}): "
                f"`{command('finish', target.metadata)}` mends that."
            ) from error
        raise RunError(
            f"{where} as the commit {target.landed}, by which it can be loaded, and not by its id: a hook refuses its "
            f"tag ({error}). lakeFS asks the hooks that the commit itself has below `_lakefs_actions/`: let them "
            f"allow tags that begin with `kedro-`, for the runs to come. `{command('finish', target.metadata)}` tries "
            f"again to tag this one, `{command('abort', target.metadata)}` leaves it without a tag."
        ) from error


def _tag(target: Target, gives_up: bool) -> str:
    token = token_of(target.run_branch)
    try:
        return tag_run(target.api, target.repository, target.landed, target.metadata, token)
    except HookRefused as error:
        if not gives_up:
            raise
        run_id = target.metadata["kedro_run_id"]
        LOGGER.warning("The run %r stays without a tag; load it by its commit %s. %s", run_id, target.landed, error)
        return target.landed
