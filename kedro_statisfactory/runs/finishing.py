"""Ending a run from outside: one of several processes, or one that a conflict or a crash stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import ObjectNotFound, RunError, StatisfactoryError
from kedro_statisfactory.project.branches import run_branch, run_tag
from kedro_statisfactory.runs.attempts import attempts_to_end
from kedro_statisfactory.runs.complete import has_nothing, read_waiting
from kedro_statisfactory.runs.landing import TRIES, land, landed_at, verified
from kedro_statisfactory.runs.leftovers import branches_of
from kedro_statisfactory.runs.pending import commit_kept
from kedro_statisfactory.runs.several import has_merge_hooks, look_ahead
from kedro_statisfactory.runs.tags import drop, ending, is_tagged, tag, tagged
from kedro_statisfactory.runs.target import (
    ASKED,
    JOINED,
    TOKEN,
    Part,
    Target,
    is_of,
    ways_out,
)

# A repository of a run, how to settle a conflict there, and whether changes of what it read are one.
_ToLand = tuple[Target, str | None, str]


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
    waiting: list[_ToLand] = []
    empty: list[tuple[LakeFSAPI, str, str]] = []
    for backend, repository in places:
        for name in branches_of(backend.api, repository, run_id):
            if target := _complete(backend.api, repository, name):
                settings = backend.project.settings
                waiting.append((target, merge or settings.merge, settings.inputs))
            else:
                empty.append((backend.api, repository, name))
    if empty and not waiting:
        raise RunError(f"the run {run_id!r} is not complete: no process of it has ended well. Abort or repeat it.")
    for _, repository, name in empty:
        if name != run_branch(run_id, JOINED):
            raise RunError(
                f"the run {run_id!r} is not complete: what it wrote to {repository!r} was never committed, and what "
                "its commit would have said is not known. Abort the run, and run again."
            )
    _refuse_incomplete(waiting_targets := [target for target, _, _ in waiting], run_id)
    done: list[str] = []
    unwritten = [target for target, _, _ in waiting if has_nothing(target)]
    to_land = [each for each in waiting if each[0] not in unwritten]
    _land_each(to_land, waiting_targets, done)
    # Where parts had nothing to write, or began to write and failed, no tag of the run tells a part of its end.
    untagged = [*((target.api, target.repository, target.run_branch) for target in unwritten), *empty]
    with ending(untagged):
        has_come = any([*(_has_more(target) for target in unwritten), *(_has_come(*each) for each in empty)])
        # Last of all: until the run is in all its repositories, each of them can tell of it.
        for target in [each[0] for each in to_land if each[0].landed and not has_come]:
            drop(target)
        for api, repository, name in untagged if not has_come else ():
            api.delete_branch(repository, name)
    if has_come:
        return list(dict.fromkeys([*done, *(_finish_attempt(places, run_id, merge) or ())]))
    if waiting_targets or any(backend.api.tag(repository, run_tag(run_id)) for backend, repository in places):
        return done
    return None


def _land_each(to_land: list[_ToLand], waiting: Sequence[Target], done: list[str]) -> None:
    """Land a run in its repositories and tag it; once more where a part of it has come meanwhile.

    Args:
        to_land: The repositories to which it has written.
        waiting: All its repositories.
        done: Gets the names of the data branches on which the run is.
    """
    for target, _, _ in to_land:
        _note_own(
            target, next((commit.id for commit in tagged(target, target.repository) if is_of(commit, target)), "")
        )
    if len(to_land) > 1:
        for target, strategy, inputs in to_land:
            with _told(target, done):
                if not landed_at(target):
                    look_ahead(target, strategy, inputs)
        to_land.sort(key=lambda each: has_merge_hooks(each[0]), reverse=True)
    late = to_land
    for _ in range(TRIES):
        for target, strategy, inputs in late:
            with _told(target, done):
                _finish(target, strategy, inputs)
                done += [target.name] if target.name not in done else []
        late = [each for each in to_land if each[0].landed and _has_more(each[0])]
        if not late:
            return
        try:
            _refuse_incomplete(waiting, late[0][0].metadata["kedro_run_id"])
        except RunError as error:
            raise _not_finished(late[0][0], error, done) from error
    target = late[0][0]
    text = f"parts come to the run in {target.repository!r} all the time: finish it when all of them are done."
    raise _not_finished(target, RunError(text), done)


def _complete(api: LakeFSAPI, repository: str, name: str) -> Target | None:
    """What waits on the branch of a run, which is committed first where that failed; as :func:`read_waiting`."""
    target = read_waiting(api, repository, name)
    return read_waiting(api, repository, name) if target is None and commit_kept(api, repository, name) else target


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


def _finish(target: Target, merge: str | None, inputs: str) -> None:
    """Land a run and tag it.

    Args:
        target: A repository of the run.
        merge: How to settle a conflict.
        inputs: Whether changes of what it read are a conflict.
    """
    api, repository = target.api, target.repository
    if target.is_new:  # its record is that of a merge, which a run of several processes has more to say in
        api.ensure_branch(repository, target.data_branch, target.base)
    _note_own(target, target.landed)
    found = landed_at(target)
    target.landed = verified(target, found) if found else land(target, merge, inputs)
    tag(target)


def _note_own(target: Target, landed: str) -> None:
    """Note that a run has landed once before; a part has perhaps come since, which goes before what it has landed."""
    if landed:
        target.own = target.compared = landed


def _has_more(target: Target) -> bool:
    """Whether a part has come to a run since it was read; it is read again then.

    The run has its tag by now. A part that comes after this look finds the tag when it looks for it, after its merge.
    """
    try:
        again = read_waiting(target.api, target.repository, target.run_branch)
    except ObjectNotFound:  # somebody else has dropped the branch, and so has landed all of it
        return False
    if again is None or again.commit == target.commit:
        return False
    target.commit, target.metadata, target.outputs, target.parts = (
        again.commit,
        again.metadata,
        again.outputs,
        again.parts,
    )
    return True


def _has_come(api: LakeFSAPI, repository: str, name: str) -> bool:
    """Whether a part has come to a branch to which none had when it was read, as :func:`_has_more`."""
    try:
        return _complete(api, repository, name) is not None
    except ObjectNotFound:  # somebody else has dropped it
        return False


def _has_landed_elsewhere(target: Target) -> bool:
    """Whether another process has landed the very run meanwhile, and not one of the same id."""
    return is_tagged(target, target.repository, [part.id for part in target.parts if part.is_part])


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
            missing = [each for each in missing if not _has_landed_in(target, each, part)]
            if missing:
                raise RunError(
                    f"the run {run_id!r} is not whole: what {'a part of ' if part.is_part else ''}it wrote to "
                    f"{', '.join(map(repr, missing))} is missing there, or no entry of this catalog names that "
                    "repository. Repeat that part, or abort the run."
                )


def _has_landed_in(target: Target, repository: str, part: Part) -> bool:
    """Whether a run, or a part of it, has landed in another repository already."""
    if part.is_part:
        return is_tagged(target, repository, [part.id])
    began = target.metadata["kedro_started"]
    return any(commit.metadata.get("kedro_started") == began for commit in tagged(target, repository))


def _keep_from_cleaning(target: Target) -> None:
    """Mark a run that is complete and could not land."""
    with contextlib.suppress(StatisfactoryError):  # the error that is on its way says more
        mark = {"kedro_run_id": target.metadata["kedro_run_id"], TOKEN: target.run_branch, ASKED: "true"}
        message = f"kedro run {target.metadata['kedro_run_id']}: complete"
        target.api.create_commit(target.repository, target.run_branch, message, mark, allow_empty=True)
