"""The tags by which runs are found again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import datetime

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import Conflict, HookRefused, RunError, StatisfactoryError
from kedro_statisfactory.project.branches import git_tag, run_tag
from kedro_statisfactory.runs.target import ALL_SHAS, LOGGER, READ_AT, Target, command


def tag_run(api: LakeFSAPI, repository: str, commit: str, metadata: Mapping[str, str], only_read: bool = False) -> None:
    """Make the tags by which a run is found: by its id and, where git is in use, by git commit."""
    run_id = metadata["kedro_run_id"]
    _tag_once(api, repository, run_tag(run_id), commit)
    dirty, pinned = metadata.get("git_dirty") == "true", READ_AT in metadata
    if pinned and only_read:
        return  # what it read there has nothing to do with its code
    finished = int(datetime.fromisoformat(metadata["kedro_finished"]).timestamp() * 1000)
    shas = json.loads(metadata.get(ALL_SHAS, "[]")) or [metadata[key] for key in ("git_commit_id",) if key in metadata]
    for sha in shas:
        _tag_once(api, repository, git_tag(sha, finished, run_id, dirty, only_read, pinned), commit)


def _tag_once(api: LakeFSAPI, repository: str, name: str, commit: str) -> None:
    try:
        api.create_tag(repository, name, commit)
    except Conflict:
        there = api.tag(repository, name)
        if there is None or there.commit_id != commit:  # not ours with a lost answer, but another run of this id
            other = f"{name}-{secrets.token_hex(4)}"
            LOGGER.warning("The tag %r of %r is another run's: this one has the tag %r.", name, repository, other)
            api.create_tag(repository, other, commit)


def seal(target: Target, gives_up: bool = False) -> None:
    """Tag a run that has landed, and drop its branch.

    Args:
        target: Where it has landed.
        gives_up: Whether the run stays without the tags that a hook refuses.

    Raises:
        RunError: That failed; it can be tried again as long as the branch is there.
    """
    try:
        _tag(target, gives_up)
        target.api.delete_branch(target.repository, target.run_branch)
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


def _tag(target: Target, gives_up: bool) -> None:
    try:
        tag_run(target.api, target.repository, target.landed, target.metadata)
    except HookRefused as error:
        if not gives_up:
            raise
        run_id = target.metadata["kedro_run_id"]
        LOGGER.warning("The run %r stays without a tag; load it by its commit %s. %s", run_id, target.landed, error)
