"""How what a run wrote gets from its hidden branch to where others see it: commit, merge, tags, and their metadata."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import secrets
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, Commit
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BranchNotFound,
    Conflict,
    DirtyBranch,
    MergeConflict,
    NoChanges,
    ObjectNotFound,
    RefNotFound,
    RunError,
    StatisfactoryError,
)
from kedro_statisfactory.project.branches import git_tag, run_tag

#: Kedro shows what is logged below its own name, and hides the information of other packages.
LOGGER = logging.getLogger("kedro.statisfactory")

#: Stands for the time of beginning in the name of the branch that the parts of a run share.
JOINED = "joined"
#: Tries of a merge that something else came in between.
TRIES = 5

# Keys of the metadata of commits.
TOKEN = "kedro_run_branch"  # tells the commits of a run
DATA_BRANCH = "kedro_data_branch"
PART = "kedro_part_branch"  # of a part of a joined run, which has a branch of its own
PART_ID = "kedro_part"  # Kedro's id of a part
ALL_SHAS = "kedro_git_commits"  # where the parts of a run were made at several git commits
ASKED = "kedro_finish"  # tells that all parts are there
MERGED = "kedro_run_commit"  # the commit of a run that this one has brought here
REPOSITORIES = "kedro_repositories"  # all to which the run, or the part of one, writes


@dataclass(frozen=True)
class Part:
    """What one process says of its share in a run.

    Attributes:
        id: Kedro's id of that process's own run.
        is_part: Whether it is not the run as a whole.
        outputs: Names of the entries that it wrote to one repository.
        repositories: All to which it writes.
    """

    id: str
    is_part: bool
    outputs: frozenset[str]
    repositories: frozenset[str]

    @classmethod
    def of(cls, commit: Commit) -> Part:
        """As the commit of a process tells it."""
        metadata = commit.metadata
        return cls(
            metadata.get(PART_ID, metadata["kedro_run_id"]),
            PART_ID in metadata,
            frozenset(json.loads(metadata["kedro_outputs"])),
            frozenset(json.loads(metadata.get(REPOSITORIES, "[]"))),
        )


@dataclass
class Target:
    """A repository to which a run writes, and how far the run has come there.

    Attributes:
        api: Its server.
        repository: Its name.
        data_branch: Where the run is going to land.
        outputs: Paths by the names of entries.
        run_branch: The hidden branch; empty: none yet, or none any more.
        base: The commit from which that was made.
        joined: Branch of the run of which this is a part; empty: it is the run itself.
        is_new: Whether there was no data branch when the run began.
        commit: The last commit on the hidden branch.
        landed: The commit by which the run is on its destination; empty: it is not.
        metadata: Of these commits.
        parts: What the processes of a run that waits say of it, oldest first.
    """

    api: LakeFSAPI
    repository: str
    data_branch: str
    outputs: Mapping[str, str]
    run_branch: str = ""
    base: str = ""
    joined: str = ""
    is_new: bool = False
    commit: str = ""
    landed: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """Server and repository."""
        return self.api.host, self.repository

    @property
    def destination(self) -> str:
        """The branch into which the hidden one is merged."""
        return self.joined or self.data_branch

    @property
    def name(self) -> str:
        """The destination in words."""
        if self.joined:
            return f"the branch of the run in the repository {self.repository!r}"
        return f"the data branch {self.data_branch!r} of the repository {self.repository!r}"


def commit_run(api: LakeFSAPI, repository: str, branch: str, metadata: Mapping[str, str]) -> str:
    """Commit, once: when the answer is lost, the log tells whether it was done."""
    for _ in range(TRIES):
        try:
            return api.create_commit(repository, branch, _message(metadata), metadata, allow_empty=True)
        except BackendUnreachable:
            newest = api.commit(repository, branch)
            if newest.metadata == dict(metadata):
                return newest.id
    raise RunError(f"the branch {branch!r} of {repository!r} could not be committed: the server does not answer.")


def commit_strays(api: LakeFSAPI, repository: str, branch: str, run_id: str) -> None:
    """Commit what others have written to a data branch, as what it is."""
    with contextlib.suppress(NoChanges):
        api.create_commit(repository, branch, "Changes made outside of runs", {"kedro_found_by_run": run_id})
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
            metadata = {**target.metadata, MERGED: target.commit}
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


def landed_at(target: Target) -> str | None:
    """The commit by which a run has landed already."""
    with contextlib.suppress(ObjectNotFound, BranchNotFound, RefNotFound):
        for commit in itertools.islice(target.api.log(target.repository, target.destination, amount=100), 1000):
            if target.commit in (commit.id, commit.metadata.get(MERGED)):
                return commit.id
    return None


def is_of(commit: Commit, target: Target) -> bool:
    """Whether a commit is the end of the very run, and not of one with the same id."""
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


def tag_run(api: LakeFSAPI, repository: str, commit: str, metadata: Mapping[str, str], only_read: bool = False) -> None:
    """Make the tags by which a run is found: by its id and, where git is in use, by git commit."""
    run_id = metadata["kedro_run_id"]
    _tag_once(api, repository, run_tag(run_id), commit)
    dirty = metadata.get("git_dirty") == "true"
    finished = int(datetime.fromisoformat(metadata["kedro_finished"]).timestamp() * 1000)
    shas = json.loads(metadata.get(ALL_SHAS, "[]")) or [metadata[key] for key in ("git_commit_id",) if key in metadata]
    for sha in shas:
        _tag_once(api, repository, git_tag(sha, finished, run_id, dirty, only_read), commit)


def _tag_once(api: LakeFSAPI, repository: str, name: str, commit: str) -> None:
    try:
        api.create_tag(repository, name, commit)
    except Conflict:
        there = api.tag(repository, name)
        if there is None or there.commit_id != commit:  # not ours with a lost answer, but another run of this id
            other = f"{name}-{secrets.token_hex(4)}"
            LOGGER.warning("The tag %r of %r is another run's: this one has the tag %r.", name, repository, other)
            api.create_tag(repository, other, commit)


def seal(target: Target) -> None:
    """Tag a run that has landed, and drop its branch."""
    try:
        tag_run(target.api, target.repository, target.landed, target.metadata)
        target.api.delete_branch(target.repository, target.run_branch)
    except StatisfactoryError as error:
        raise RunError(
            f"the run {target.metadata['kedro_run_id']!r} is on {target.name}, but a tag of it is missing or its "
            f"branch is left over ({error}): `{command('finish', target.metadata)}` mends that."
        ) from error


def has_uncommitted(api: LakeFSAPI, repository: str, branch: str) -> bool:
    """Whether a ref is a branch with uncommitted changes."""
    try:
        return api.has_uncommitted(repository, branch)
    except BranchNotFound:
        return False


def _message(metadata: Mapping[str, str]) -> str:
    count = len(json.loads(metadata["kedro_outputs"]))
    return f"kedro run {metadata['kedro_pipeline']}: {count} {'entry' if count == 1 else 'entries'} written"


def command(verb: str, metadata: Mapping[str, str]) -> str:
    """What a person types to end a run."""
    run_id = shlex.quote(metadata["kedro_run_id"])
    env = f" --env {shlex.quote(metadata['kedro_env'])}" if "kedro_env" in metadata else ""
    return f"kedro statisfactory run {verb}{env} {'-- ' if run_id.startswith('-') else ''}{run_id}"
