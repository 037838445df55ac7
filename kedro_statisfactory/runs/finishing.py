"""Ending a run from outside: one of several processes, or one that a conflict or a crash stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.backends.lakefs.records import RECORDS
from kedro_statisfactory.errors import MergeConflict, ObjectNotFound, RunError, StatisfactoryError
from kedro_statisfactory.project.branches import run_branch, run_tag
from kedro_statisfactory.runs.attempts import attempts_to_end
from kedro_statisfactory.runs.landing import TRIES, is_of, land, landed_at, verified
from kedro_statisfactory.runs.leftovers import branches_of, commits_on
from kedro_statisfactory.runs.several import has_merge_hooks, look_ahead
from kedro_statisfactory.runs.tags import seal
from kedro_statisfactory.runs.target import (
    ALL_SHAS,
    ASKED,
    DATA_BRANCH,
    JOINED,
    PART,
    PART_ID,
    TOKEN,
    Part,
    Target,
    ways_out,
)

# What is told of a run of several parts by what each of them says.
_JOINED_BY_COMMA = (
    "kedro_pipeline",
    "kedro_node_names",
    "kedro_tags",
    "kedro_parameters_sha256",
    "kedro_runtime_params",
    "git_diff_sha256",
    "git_patch",
    "git_patch_without",
)


@dataclass(frozen=True)
class Aborted:
    """What became of a run.

    Attributes:
        dropped: Repositories in which it was dropped.
        landed: Names of the data branches on which it was already; it stays there, with its tags.
    """

    dropped: list[str] = field(default_factory=list)
    landed: list[str] = field(default_factory=list)


def finish(places: Sequence[tuple[LakeFSBackend, str]], run_id: str, merge: str | None) -> list[str] | None:
    """Land a run that waits: one of several processes, or one that a conflict or a crash stopped.

    Args:
        places: The repositories where it may wait.
        run_id: Of the run.
        merge: ``source-wins`` or ``dest-wins`` settles a conflict; ``None``: as the settings say.

    Returns:
        Where it has landed just now; nowhere, when it had landed before, or has written nothing. ``None``: there is no
        such run.

    Raises:
        MergeConflict: Another run has changed the same entries.
        RunError: The run is not complete.
    """
    done: list[str] = []
    is_known = False
    for attempt in attempts_to_end([(backend.api, repository) for backend, repository in places], run_id):
        landed = _finish_attempt(places, attempt, merge)
        is_known = is_known or landed is not None
        done += landed or ()
    return done if is_known else None


def _finish_attempt(places: Sequence[tuple[LakeFSBackend, str]], run_id: str, merge: str | None) -> list[str] | None:
    """Land one attempt of a run; as :func:`finish`."""
    waiting: list[tuple[Target, str | None, str]] = []
    empty: list[tuple[LakeFSAPI, str, str]] = []
    for backend, repository in places:
        for name in branches_of(backend.api, repository, run_id):
            if target := _waiting(backend.api, repository, name):
                settings = backend.project.settings
                waiting.append((target, merge or settings.merge, settings.inputs))
            else:
                empty.append((backend.api, repository, name))
    if empty and not waiting:
        raise RunError(f"the run {run_id!r} is not complete: no process of it has ended well. Abort or repeat it.")
    for _, repository, name in empty:
        if name != run_branch(run_id, JOINED):
            raise RunError(
                f"what the run {run_id!r} wrote to {repository!r} was never committed: commit it by hand on the branch "
                f"{name!r}, or abort the run."
            )
    _refuse_incomplete(waiting_targets := [target for target, _, _ in waiting], run_id)
    done: list[str] = []
    unwritten = [target for target, _, _ in waiting if _has_nothing(target)]
    to_land = [each for each in waiting if each[0] not in unwritten]
    if len(to_land) > 1:
        for target, strategy, inputs in to_land:
            with _told(target, done):
                if not landed_at(target):
                    look_ahead(target, strategy, inputs)
        to_land.sort(key=lambda each: has_merge_hooks(each[0]), reverse=True)
    for target, strategy, inputs in to_land:
        with _told(target, done):
            _finish(target, strategy, inputs, waiting_targets)
            done.append(target.name)
    for target in unwritten:  # after the others: until these are there, a part must be found in all its repositories
        target.api.delete_branch(target.repository, target.run_branch)
    for api, repository, name in empty:  # parts of the run began to write here and failed; others did the work
        api.delete_branch(repository, name)
    if waiting_targets or any(backend.api.tag(repository, run_tag(run_id)) for backend, repository in places):
        return done
    return None


@contextlib.contextmanager
def _told(target: Target, done: Sequence[str]) -> Iterator[None]:
    """Say of an error what is where, and keep the run; none matters where somebody else was faster.

    Args:
        target: The repository that is worked on.
        done: Names of the data branches on which the run is.
    """
    try:
        yield
    except StatisfactoryError as error:
        if not _has_landed_elsewhere(target):
            _keep_from_cleaning(target)
            raise _not_finished(target, error, done) from error


def _not_finished(target: Target, error: StatisfactoryError, done: Sequence[str]) -> StatisfactoryError:
    reached = f" The run has reached {', '.join(done)}." if done else ""
    return type(error)(f"{error.args[0]}{reached} What the run wrote is kept: {ways_out(target)}")


def _finish(target: Target, merge: str | None, inputs: str, others: Sequence[Target]) -> None:
    """Land a run and seal it; once more when a part of it has come to its branch meanwhile.

    Args:
        target: A repository of the run.
        merge: How to settle a conflict.
        inputs: Whether changes of what it read are a conflict.
        others: All repositories of the run, this one among them.
    """
    api, repository = target.api, target.repository
    # A run of several processes may have been the first on its data branch; its record is that of the merge.
    api.ensure_branch(repository, target.data_branch, target.base)
    for _ in range(TRIES):
        found = landed_at(target)
        target.landed = verified(target, found) if found else land(target, merge, inputs)
        try:
            again = _waiting(api, repository, target.run_branch)
        except ObjectNotFound:  # somebody else has dropped the branch, and so has landed all of it
            again = None
        if again is None or again.commit == target.commit:
            seal(target)
            return
        target.commit, target.metadata, target.outputs, target.parts = (
            again.commit,
            again.metadata,
            again.outputs,
            again.parts,
        )
        _refuse_incomplete(others, target.metadata["kedro_run_id"])
        target.compared = target.landed
        if api.branch(repository, target.data_branch).commit_id == target.landed:
            merge = "source-wins"  # against nobody but the run itself
    raise RunError(f"parts come to the run in {repository!r} all the time: finish it when all of them are done.")


def _has_landed_elsewhere(target: Target) -> bool:
    """Whether another process has landed the very run meanwhile, and not one of the same id."""
    tag = target.api.tag(target.repository, run_tag(target.metadata["kedro_run_id"]))
    return tag is not None and is_of(target.api.commit(target.repository, tag.commit_id), target)


def _refuse_incomplete(waiting: Sequence[Target], run_id: str) -> None:
    """See that every part of a run is there in all repositories to which it has written.

    A part whose place was taken by a later one, which wrote the same entries to the same repositories, need not be.

    Raises:
        RunError: Something is missing: the run would land torn.
    """
    parts = {target.repository: {part.id for part in target.parts} for target in waiting}
    for target in waiting:
        for number, part in enumerate(target.parts):
            later = target.parts[number + 1 :]
            if any(part.outputs <= each.outputs and part.repositories <= each.repositories for each in later):
                continue
            missing = [each for each in sorted(part.repositories) if part.id not in parts.get(each, ())]
            if not part.is_part:
                missing = [each for each in missing if not _has_landed_in(target, each)]
            if missing:
                raise RunError(
                    f"the run {run_id!r} is not whole: what {'a part of ' if part.is_part else ''}it wrote to "
                    f"{', '.join(map(repr, missing))} is missing there, or no entry of this catalog names that "
                    "repository. Repeat that part, or abort the run."
                )


def _has_landed_in(target: Target, repository: str) -> bool:
    """Whether a run has landed in another repository already."""
    tag = target.api.tag(repository, run_tag(target.metadata["kedro_run_id"]))
    began = tag and target.api.commit(repository, tag.commit_id).metadata.get("kedro_started")
    return began == target.metadata["kedro_started"]


def _waiting(api: LakeFSAPI, repository: str, name: str) -> Target | None:
    """What waits on the branch of a run; ``None``: nothing that is complete."""
    commits = commits_on(api, repository, name)
    complete = list(filter(records.tells_of_run, commits))
    if not complete:
        return None
    complete = [replace(each, metadata=records.metadata_of(api, repository, each)) for each in complete]
    try:
        metadata = _combined(complete)
        outputs = {entry: each["path"] for entry, each in json.loads(metadata["kedro_outputs"]).items()}
        target = Target(api, repository, metadata[DATA_BRANCH], outputs, name, commits[-1].parents[0])
        target.commit, target.metadata = complete[0].id, metadata
        target.parts = [Part.of(commit) for commit in reversed(complete)]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise RunError(
            f"the commits on the branch {name!r} of {repository!r} do not tell of a run as this package does: another "
            "program has made them, or something on the way changes what the lakeFS server answers. Look at them in "
            "lakeFS, then finish or abort the run."
        ) from None
    return target


def _has_nothing(target: Target) -> bool:
    """Whether no part of a run has written anything to a repository, as its branch knows best."""
    changes = target.api.changes(target.repository, target.base, target.run_branch)
    return not target.outputs and all(path.startswith(RECORDS) for path, _ in changes)


def _keep_from_cleaning(target: Target) -> None:
    """Mark a run that is complete and could not land."""
    with contextlib.suppress(StatisfactoryError):  # the error that is on its way says more
        mark = {"kedro_run_id": target.metadata["kedro_run_id"], TOKEN: target.run_branch, ASKED: "true"}
        message = f"kedro run {target.metadata['kedro_run_id']}: complete"
        target.api.create_commit(target.repository, target.run_branch, message, mark, allow_empty=True)


def abort(places: Sequence[tuple[LakeFSBackend, str]], run_id: str) -> Aborted:
    """Drop a run that has not landed; one that has, and whose end was interrupted, is tagged instead."""
    aborted = Aborted()
    for attempt in attempts_to_end([(backend.api, repository) for backend, repository in places], run_id):
        for backend, repository in places:
            for name in branches_of(backend.api, repository, attempt):
                if landed := _landed(backend.api, repository, name):
                    seal(landed, gives_up=True)
                    aborted.landed.append(landed.name)
                else:
                    backend.api.delete_branch(repository, name)
                    aborted.dropped.append(repository)
    return aborted


def _landed(api: LakeFSAPI, repository: str, name: str) -> Target | None:
    """A run that is on its data branch, though its hidden branch is still there; ``None``: it is not there."""
    try:
        target = _waiting(api, repository, name)
    except RunError:  # what is on the branch is no run of this package, so that nothing of it has landed
        return None
    if target is None:
        return None
    for commit in commits_on(api, repository, name):
        target.commit = commit.id
        with contextlib.suppress(MergeConflict):  # it was taken back
            if found := landed_at(target):
                target.landed = found
                return target
    return None


def _combined(commits: Sequence[Commit]) -> dict[str, str]:
    """What the processes of a run say, as if they were one; newest first."""
    combined = {key: value for key, value in commits[0].metadata.items() if key not in (PART, PART_ID)}
    for key in ("kedro_inputs", "kedro_outputs"):
        entries: dict[str, object] = {}
        for commit in reversed(commits):
            entries.update(json.loads(commit.metadata.get(key, "{}")))
        combined[key] = json.dumps(entries, sort_keys=True)
    # What one process read and another one wrote is no input of the run.
    written = json.loads(combined["kedro_outputs"])
    inputs = json.loads(combined["kedro_inputs"])
    combined["kedro_inputs"] = json.dumps({name: inputs[name] for name in sorted(inputs.keys() - written.keys())})
    for key in _JOINED_BY_COMMA:
        if values := list(dict.fromkeys(c.metadata[key] for c in reversed(commits) if key in c.metadata)):
            combined[key] = ", ".join(values)
    if any(commit.metadata.get("git_dirty") == "true" for commit in commits):
        combined["git_dirty"] = "true"
    shas = list(dict.fromkeys(c.metadata["git_commit_id"] for c in reversed(commits) if "git_commit_id" in c.metadata))
    if len(shas) > 1:
        combined[ALL_SHAS] = json.dumps(shas)
    combined["kedro_started"] = min(commit.metadata["kedro_started"] for commit in commits)
    if parts := [commit.metadata[PART_ID] for commit in reversed(commits) if PART_ID in commit.metadata]:
        combined["kedro_parts"] = json.dumps(parts)
    return combined
