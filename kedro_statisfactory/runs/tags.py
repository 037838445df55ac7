"""The tags by which runs are found again."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.errors import (
    BranchNotFound,
    Conflict,
    HookRefused,
    ObjectNotFound,
    RefNotFound,
    RunError,
    StatisfactoryError,
)
from kedro_statisfactory.project.branches import UNTIL, git_tag, run_tag, token_of
from kedro_statisfactory.runs.target import ALL_SHAS, LOGGER, READ_AT, Target, command, is_of

# Behind the name of a branch of a joined run: a tag that says that it is about to be dropped.
_ENDS = "--ends"


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
    ids = ids[ids.index(found_by) :]
    for name_of in _git_tags(metadata, only_read):
        _tag_once(api, repository, commit, ids, name_of)
    return found_by


def _git_tags(metadata: Mapping[str, str], only_read: bool = False) -> list[Callable[[str], str]]:
    """What gives the names of the tags by git commit, from the id by which the run is found."""
    dirty, pinned = metadata.get("git_dirty") == "true", READ_AT in metadata
    if pinned and only_read:
        return []  # what it read there has nothing to do with its code
    finished = int(datetime.fromisoformat(metadata["kedro_finished"]).timestamp() * 1000)
    shas = json.loads(metadata.get(ALL_SHAS, "[]")) or [metadata[key] for key in ("git_commit_id",) if key in metadata]
    return [partial(_git_tag, sha, finished, (dirty, only_read, pinned)) for sha in shas]


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


def tag_dropped(api: LakeFSAPI, repository: str, branch: str, commit: str) -> str:
    """Tag the last commit of a data branch that is about to be dropped; gives the tag, which says until when it was.

    Args:
        api: The server.
        repository: Where.
        branch: The data branch.
        commit: Its last one.
    """
    until = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())  # in one second it may be dropped, made and dropped again
    until = _tag_once(api, repository, commit, [until, f"{until}-{commit[:8]}"], lambda each: f"{branch}{UNTIL}{each}")
    return f"{branch}{UNTIL}{until}"


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


def is_tagged(target: Target, repository: str, parts: Collection[str]) -> bool:
    """Whether a run, and not another one of its id, has landed in a repository and has its tag there.

    Args:
        target: A repository of the run.
        repository: Which one is asked.
        parts: The parts of the run that have to be in there.
    """
    return any(_holds(commit, target, repository, parts) for commit in tagged(target, repository))


def _holds(commit: Commit, target: Target, repository: str, parts: Collection[str]) -> bool:
    if not is_of(commit, target):
        return False
    told = records.metadata_of(target.api, repository, commit)
    return set(parts).issubset(json.loads(told.get("kedro_parts", "[]")))


@contextlib.contextmanager
def ending(branches: Sequence[tuple[LakeFSAPI, str, str]]) -> Iterator[None]:
    """Say by a tag, while that goes on, that branches of a run are looked at for the last time and dropped.

    A part that comes after that look finds the tag, or no branch any more: see :func:`refuse_late`.

    Args:
        branches: Server, repository and name of each.
    """
    for api, repository, branch in branches:
        # Another process ends the run as well; or somebody has dropped the branch; or a hook refuses all tags.
        with contextlib.suppress(Conflict, ObjectNotFound, BranchNotFound, RefNotFound, HookRefused):
            api.create_tag(repository, branch + _ENDS, branch)
    try:
        yield
    finally:
        for api, repository, branch in branches:
            with contextlib.suppress(StatisfactoryError):  # of no importance beside what was done
                api.delete_tag(repository, branch + _ENDS)


def _is_ending(target: Target) -> bool:
    """Whether the branch of a joined run is about to be dropped as one to which nobody has written, or was."""
    api, repository = target.api, target.repository
    if api.tag(repository, target.joined + _ENDS):
        return True
    try:
        api.branch(repository, target.joined)
    except BranchNotFound:
        return True
    return False


def refuse_late(targets: Sequence[Target], part: str, read: Iterable[tuple[LakeFSAPI, str]]) -> None:
    """See that a run was not finished without a part that has just come to it.

    Args:
        targets: The repositories to which the part has come.
        part: Its id.
        read: Those that it only read: where it was the first to write to a repository, the run has its tag elsewhere.

    Raises:
        RunError: It may have been.
    """
    written = {target.key: target for target in targets}
    for api, repository in [*((target.api, target.repository) for target in targets), *read]:
        target = replace(targets[0], api=api)
        ends = [commit for commit in tagged(target, repository) if is_of(commit, target)]
        is_late = bool(ends) and not any(_holds(commit, target, repository, [part]) for commit in ends)
        if not ends and (own := written.get((api.host, repository))):
            is_late = _is_ending(own)
        if is_late:
            raise RunError(
                f"the run {target.metadata['kedro_run_id']!r} was finished in {repository!r} while this part of "
                f"it landed, and may be without it: `{command('finish', target.metadata)}` lands it unless it is too "
                "late. If that says that nothing was left to land, repeat this part, and then finish."
            )


def seal(target: Target, gives_up: bool = False) -> str:
    """Tag a run that has landed, and drop its branch; gives the id by which it is found.

    Args:
        target: Where it has landed.
        gives_up: Whether the run stays without the tags that a hook refuses.

    Raises:
        RunError: That failed; it can be tried again as long as the branch is there.
    """
    found_by = tag(target, gives_up)
    drop(target)
    return found_by


def tag(target: Target, gives_up: bool = False) -> str:
    """Tag a run that has landed; as :func:`seal`."""
    run_id = target.metadata["kedro_run_id"]
    try:
        if target.parts and not _takes_tags_along(target):
            return run_id
        return tag_run(target.api, target.repository, target.landed, target.metadata, token_of(target.run_branch))
    except HookRefused as error:
        if not gives_up:
            raise RunError(
                f"{_where(target)} as the commit {target.landed}, by which it can be loaded, and not by its id: a hook "
                f"refuses its tag ({error}). lakeFS asks the hooks that the commit itself has below "
                "`_lakefs_actions/`: let them allow tags that begin with `kedro-`, for the runs to come. "
                f"`{command('finish', target.metadata)}` tries again to tag this one, "
                f"`{command('abort', target.metadata)}` leaves it without a tag."
            ) from error
        LOGGER.warning("The run %r stays without a tag; load it by its commit %s. %s", run_id, target.landed, error)
        return target.landed
    except StatisfactoryError as error:
        raise _not_sealed(target, error) from error


def _takes_tags_along(target: Target) -> bool:
    """Take the tags of a run off the commit by which it landed before a part came; gives whether it may have them."""
    api, repository = target.api, target.repository
    for before in tagged(target, repository):
        if before.id != target.landed and is_of(before, target):
            if api.merge_base(repository, before.id, target.landed) != before.id:
                return False  # whoever was faster has landed more of the run
            run_id = target.metadata["kedro_run_id"]
            metadata = records.metadata_of(api, repository, before)
            for name in (run_tag(run_id), *(name_of(run_id) for name_of in _git_tags(metadata))):
                api.delete_tag(repository, name)
    return True


def drop(target: Target) -> None:
    """Drop the branch of a run that has landed; as :func:`seal`."""
    try:
        target.api.delete_branch(target.repository, target.run_branch)
    except StatisfactoryError as error:
        raise _not_sealed(target, error) from error


def _not_sealed(target: Target, error: StatisfactoryError) -> RunError:
    return RunError(
        f"{_where(target)}, but a tag of it is missing or its branch is left over ({error}): "
        f"`{command('finish', target.metadata)}` mends that."
    )


def _where(target: Target) -> str:
    return f"the run {target.metadata['kedro_run_id']!r} is on {target.name}"
