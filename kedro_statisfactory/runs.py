"""Runs of a pipeline on lakeFS: what a run writes appears on the data branch all at once, or not at all.

An isolated run works on a hidden branch per repository. When it succeeds, each of these gets one commit, is merged into
its data branch, tagged and dropped; when it fails they are dropped, and the data branches were never touched.

One run over several processes, each of them a run of Kedro, is joined by ``STATISFACTORY_RUN_ID``: they work on one
branch and commit there, and the command ``kedro statisfactory run finish`` does the rest.
"""

from __future__ import annotations

import atexit
import calendar
import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import os
import re
import secrets
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend, LakeFSBackend
from kedro_statisfactory.backends.lakefs import FOLDER_MARK
from kedro_statisfactory.backends.lakefs_api import Commit, LakeFSAPI
from kedro_statisfactory.branches import RUN_BRANCH, data_branch, git_tag, id_digest, run_branch, run_tag
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BranchNotFound,
    Conflict,
    DirtyBranch,
    MergeConflict,
    NoChanges,
    NoDataBranch,
    ObjectNotFound,
    RefNotFound,
    RunError,
    StatisfactoryError,
)
from kedro_statisfactory.git import ref_names
from kedro_statisfactory.project import AT, Pin, Project
from kedro_statisfactory.provenance import now

#: Variable that makes several processes one run.
RUN_ID = "STATISFACTORY_RUN_ID"

# Kedro shows what is logged below its own name, and hides the information of other packages.
_LOGGER = logging.getLogger("kedro.statisfactory")

_JOINED = "joined"
_EXIT_WITHIN = 10.0  # seconds for dropping the branches of runs after a signal
_TRIES = 5  # of a merge that something else came in between
_TOKEN = "kedro_run_branch"  # key of the metadata that tells the commits of a run
_DATA_BRANCH = "kedro_data_branch"
_PART = "kedro_part_branch"  # the same for a part of a joined run, which has a branch of its own
_PART_ID = "kedro_part"  # Kedro's id of a part
_ALL_SHAS = "kedro_git_commits"  # where the parts of a run were made at several git commits
# What is told of a run of several parts by what each of them says.
_JOINED_BY_COMMA = (
    "kedro_pipeline",
    "kedro_node_names",
    "kedro_tags",
    "kedro_parameters_sha256",
    "kedro_runtime_params",
    "git_diff_sha256",
)
_ASKED = "kedro_finish"  # key of the metadata that tells that all parts are there
_MERGED = "kedro_run_commit"  # the same for the commit of a run that a commit elsewhere has brought there
_REPOSITORIES = "kedro_repositories"  # all to which the run, or the part of one, writes


@dataclass(frozen=True)
class Use:
    """How a pipeline uses an entry.

    Attributes:
        name: Of the entry.
        url: As the catalog has it.
        backend: Of the entry; ``None``: the entry is another package's.
        fragment: The parsed location; ``None`` likewise.
        written: Whether the pipeline writes it, to the data branch where there is one.
        is_input: Whether the pipeline reads it as it was before.
        version: Version or ref that is read; ``None``: the newest.
    """

    name: str
    url: str
    backend: Backend | None = None
    fragment: ParseResult | None = None
    written: bool = False
    is_input: bool = False
    version: str | None = None

    @property
    def place(self) -> tuple[LakeFSBackend, str, str] | None:
        """Backend, repository and path of an entry in lakeFS; ``None`` elsewhere."""
        if not isinstance(self.backend, LakeFSBackend) or self.fragment is None:
            return None
        return self.backend, *self.backend.split(self.fragment)


@dataclass
class _Target:
    """A repository to which a run writes."""

    api: LakeFSAPI
    repository: str
    data_branch: str
    outputs: Mapping[str, str]  # paths by the names of entries
    run_branch: str = ""
    base: str = ""
    joined: str = ""  # branch of the run of which this is a part
    is_new: bool = False  # there was no data branch when the run began
    commit: str = ""
    landed: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    parts: list[_Part] = field(default_factory=list)  # oldest first, of a run that waits

    @property
    def key(self) -> tuple[str, str]:
        return self.api.host, self.repository

    @property
    def destination(self) -> str:
        return self.joined or self.data_branch

    @property
    def name(self) -> str:
        if self.joined:
            return f"the branch of the run in the repository {self.repository!r}"
        return f"the data branch {self.data_branch!r} of the repository {self.repository!r}"


@dataclass(frozen=True)
class _Part:
    """What one process says of its share in a run; ``is_part``: it is not the run as a whole."""

    id: str
    is_part: bool
    outputs: frozenset[str]
    repositories: frozenset[str]

    @classmethod
    def of(cls, commit: Commit) -> _Part:
        metadata = commit.metadata
        return cls(
            metadata.get(_PART_ID, metadata["kedro_run_id"]),
            _PART_ID in metadata,
            frozenset(json.loads(metadata["kedro_outputs"])),
            frozenset(json.loads(metadata.get(_REPOSITORIES, "[]"))),
        )


class Run:
    """One run, from :func:`begin` to its end.

    Attributes:
        project: What the entries have to be bound to that the run writes.
        inputs: What the entries have to be bound to that the run finds there.
        after: What all of them have to be bound to when the run has ended.
    """

    def __init__(self, kedro_id: str, project: Project, uses: Sequence[Use]) -> None:
        self.after = project
        self.project = self.inputs = dataclasses.replace(project, head=project.read_head())
        self._kedro_id = kedro_id
        joined = os.environ.get(RUN_ID)
        self._is_joined = bool(joined)
        self._id = joined or kedro_id
        self._facts: Mapping[str, str] = {}
        self._uses = uses
        self._targets: list[_Target] = []
        self._only_read: list[tuple[LakeFSAPI, str, str]] = []  # repositories, and the commits at which they are read
        self._is_complete = False  # all nodes have done their work: nothing is dropped any more
        self._journal: Path | None = None

    # -- begin -----------------------------------------------------------------------------------------------------

    def _begin(self, facts: Callable[[Project], Mapping[str, str]]) -> None:
        settings = self.project.settings
        isolated = settings.mode == "isolated"
        writes = any(use.written and use.place for use in self._uses)
        if self._is_joined and not isolated:
            raise RunError(
                f"{RUN_ID} is set and `mode` is {settings.mode!r}: processes can be joined in 'isolated' runs only."
            )
        if self._is_joined and self.project.at:
            raise RunError(
                f"{RUN_ID} is set, and {AT} or `at` of statisfactory.yml too: a part of a run reads what the parts "
                "before it wrote. Pin single entries by `load_args: {lake_ref: …}` instead."
            )
        read: dict[tuple[str, str], Pin] = {}
        if writes:
            self._facts = facts(self.project)
            with _named(next(use.name for use in self._uses if use.written and use.place)):
                branch = self.project.branch()
            self._targets = _targets(self._uses, branch)
            descriptor, journal = tempfile.mkstemp(prefix="statisfactory-run-")
            os.close(descriptor)
            self._journal = Path(journal)
            _interrupted.add(self)
            self.project = dataclasses.replace(self.project, journal=self._journal)
        for target in self._targets:
            uses = [use for use in self._uses if _is_in(use, target.key)]
            backend, outputs = _backend_of(uses), [use for use in uses if use.written]
            with _named(outputs[0].name):
                if not isolated:
                    self._commit_strays(target)
                    continue
                if self._is_joined:
                    self._join(target, backend)
                self._create(target, backend)
            inputs = [use.name for use in uses if use.is_input and use.version is None]
            at = self._at(backend, target.repository, inputs[0]) if inputs else ""
            read[target.key] = Pin(at or target.base)
        if isolated and (self._targets or self._is_joined):
            read.update(self._pins_for_reading())
        pins = {target.key: Pin(target.run_branch, target.run_branch) for target in self._targets if isolated}
        refs = self._resolved_versions() if isolated and self._targets else {}
        names = self._known_names() if isolated and self._targets else None
        self.project = dataclasses.replace(self.project, pins=pins, refs=refs, names=names)
        self.inputs = dataclasses.replace(self.project, pins=read)

    def _known_names(self) -> frozenset[str]:
        """Names of branches and tags as far as they are known without asking lakeFS for each folder of each entry."""
        settings = self.project.settings
        git = ref_names(self.project.path)
        data = {data_branch(name, settings.branches) for name in git if name not in ("", "HEAD")}
        return frozenset((*git, *data, *filter(None, (settings.branch, settings.source))))

    def _at(self, backend: LakeFSBackend, repository: str, entry: str) -> str:
        """The commit at which the user wants everything to be read; empty: nowhere in particular."""
        if not self.project.at:
            return ""
        with _named(entry):
            return backend.resolved(repository, self.project.at)

    def _resolved_versions(self) -> dict[tuple[str, str, str], str]:
        """The commits of refs at which single entries are read, so that all nodes of the run see the same."""
        found: dict[tuple[str, str, str], str] = {}
        for use in self._uses:
            if use.is_input and use.version is not None and (place := use.place):
                backend, repository, _ = place
                # What means nothing is told when the entry is loaded; what has uncommitted changes cannot be pinned.
                with contextlib.suppress(RefNotFound):
                    commit = backend.resolved(repository, use.version)
                    if not _has_uncommitted(backend.api, repository, use.version):
                        found[backend.api.host, repository, use.version] = commit
        return found

    def _create(self, target: _Target, backend: LakeFSBackend) -> None:
        """Make the hidden branch of this process alone, from the last commit of the branch where it will land."""
        # Two runs may have one id, which Kedro takes from the clock, or which is given to them.
        began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{run_branch(self._kedro_id, began)}-{secrets.token_hex(4)}"
        source = target.destination
        for _ in range(_TRIES):
            try:
                target.base = target.api.create_branch(target.repository, name, source, hidden=True)
            except Conflict:  # nobody else knows the name: it was made by a try whose answer was lost
                target.base = target.api.branch(target.repository, name).commit_id
            except BranchNotFound:
                if target.is_new or target.joined:
                    raise
                source = backend.source(target.repository)
                target.is_new = True
                continue
            target.run_branch = name
            if source == target.data_branch and self._commit_strays(target):
                target.api.delete_branch(target.repository, name)
                target.run_branch = ""
                continue
            if target.is_new and _has_uncommitted(target.api, target.repository, source):
                _LOGGER.warning(
                    "The branch %r of %r, from which the run makes %r, has uncommitted changes: the run does not see "
                    "them.",
                    source,
                    target.repository,
                    target.data_branch,
                )
            return
        raise RunError(f"no branch could be made for the run in {target.repository!r}: others change it all the time.")

    def _join(self, target: _Target, backend: LakeFSBackend) -> None:
        """Make or find the branch where all parts of this run land before the run itself does."""
        api, repository, name = target.api, target.repository, run_branch(self._id, _JOINED)
        target.joined = name
        try:
            data_branch = api.commit(repository, name).metadata.get(_DATA_BRANCH, target.data_branch)
            if data_branch != target.data_branch:
                raise RunError(
                    f"the run {self._id!r} was begun for the data branch {data_branch!r}, and git is on the one for "
                    f"{target.data_branch!r} now: all parts of a run have to be on one branch."
                )
            return
        except RefNotFound:
            if api.tag(repository, run_tag(self._id)):
                raise RunError(
                    f"the run {self._id!r} was finished in {repository!r}: set {RUN_ID} to another id for a new one."
                ) from None
        self._commit_strays(target)
        try:
            try:
                api.create_branch(repository, name, target.data_branch, hidden=True)
            except BranchNotFound:
                api.create_branch(repository, name, backend.source(repository), hidden=True)
        except Conflict:
            api.branch(repository, name)  # another part of this run was faster
        else:
            # Tells from when on the run is there, for those who clean up.
            mark = {"kedro_run_id": self._id, _TOKEN: name, _DATA_BRANCH: target.data_branch}
            api.create_commit(repository, name, f"kedro run {self._id}: begun", mark, allow_empty=True)

    def _commit_strays(self, target: _Target) -> bool:
        if not _has_uncommitted(target.api, target.repository, target.data_branch):
            return False
        _commit_strays(target.api, target.repository, target.data_branch, self._id)
        return True

    def _pins_for_reading(self) -> Iterator[tuple[tuple[str, str], Pin]]:
        """Pin the repositories that the run only reads."""
        seen = {target.key for target in self._targets}
        for use in self._uses:
            if not (place := use.place) or use.version is not None or not use.is_input:
                continue
            backend, repository, _ = place
            with _named(use.name):
                key = (backend.api.host, repository)
                if key not in seen and (commit := self._commit_for_reading(backend, repository, use.name)):
                    self._only_read.append((backend.api, repository, commit))
                    yield key, Pin(commit)
            seen.add(key)

    def _commit_for_reading(self, backend: LakeFSBackend, repository: str, entry: str) -> str | None:
        """The commit at which the run reads a repository; ``None``: as outside of runs."""
        if commit := self._at(backend, repository, entry):
            return commit
        if self._is_joined:  # other parts of the run may have written what this one reads
            with contextlib.suppress(RefNotFound):
                return backend.api.commit(repository, run_branch(self._id, _JOINED)).id
        try:
            branch = self.project.branch()
        except NoDataBranch:
            return None
        try:
            commit = backend.api.commit(repository, branch).id
        except RefNotFound:
            branch = backend.source(repository)  # where such a branch is read from
            commit = backend.api.commit(repository, branch).id
        if not _has_uncommitted(backend.api, repository, branch):
            return commit
        _LOGGER.warning(
            "The branch %r of %r, which the run only reads, has uncommitted changes: they are read too, and cannot be "
            "pinned.",
            branch,
            repository,
        )
        return None

    # -- end -------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let what the run wrote appear on the data branches.

        Raises:
            MergeConflict: Another run has changed the same entries; this one's are kept on its branch.
            RunError: It could not be completed; the text says what is where.
            StatisfactoryError: Nothing has appeared.
        """
        isolated = self.project.settings.mode == "isolated"
        # A part is done again when it fails; what a run of its own has computed is not thrown away.
        self._is_complete = isolated and not self._is_joined
        try:
            self._commit_all()
            if isolated:
                self._land_all()
        finally:
            self.abandon()

    def _commit_all(self) -> None:
        try:
            written = self.project.written()
        except FileNotFoundError:  # a cleaner of temporary files was here
            written = None
        inputs = {use.name: self._described(use) for use in self._uses if use.is_input}
        isolated = self.project.settings.mode == "isolated"
        for target in self._targets:
            outputs = _described_outputs(target.outputs, None if written is None else written.get(target.key, {}))
            target.metadata = {
                **self._facts,
                "kedro_run_id": self._id,
                "kedro_finished": now(),
                "kedro_inputs": json.dumps(inputs, sort_keys=True),
                "kedro_outputs": json.dumps(outputs, sort_keys=True),
                _DATA_BRANCH: target.data_branch,
                _REPOSITORIES: json.dumps([each.repository for each in self._targets]),
                **({_TOKEN: target.joined or target.run_branch} if isolated else {}),
                **({_PART: target.run_branch, _PART_ID: self._kedro_id} if target.joined else {}),
            }
            branch = target.run_branch or target.data_branch
            try:
                target.commit = _commit(target.api, target.repository, branch, target.metadata)
            except StatisfactoryError as error:
                raise self._not_committed(target, error) from error
        if not isolated:
            for target in self._targets:
                _tag(target.api, target.repository, target.commit, target.metadata)
                _LOGGER.info("Committed the run %r to %s.", self._id, target.name)

    def _land_all(self) -> None:
        failed: tuple[_Target, StatisfactoryError] | None = None
        unsealed: RunError | None = None
        for target in self._targets:
            try:
                target.landed = _land(target, self.project.settings.merge)
            except StatisfactoryError as error:
                failed = target, error
                break
        for target in self._targets:
            if not target.landed:
                continue
            if target.joined:
                self._drop(target)
                continue
            try:
                _seal(target)
                target.run_branch = ""
                _LOGGER.info("The run %r is on %s. Load it again by this id.", self._id, target.name)
            except RunError as error:
                unsealed = error
        if self._targets and not failed and not self._is_joined:
            self._tag_only_read()
        if self._targets and not failed and self._is_joined:
            _LOGGER.info(
                "This part of the run %r is kept out of sight until `%s`.",
                self._id,
                _command("finish", self._targets[0].metadata),
            )
        if failed:
            raise self._not_landed(*failed)
        if unsealed:
            raise unsealed

    def _tag_only_read(self) -> None:
        """Let a repository that the run only read be found by the run as well, where that is allowed."""
        metadata = self._targets[0].metadata
        for api, repository, commit in self._only_read:
            try:
                _tag(api, repository, commit, metadata)
            except StatisfactoryError as error:
                _LOGGER.info("What the run read of %r cannot be found by its id: %s", repository, error)

    def _not_committed(self, target: _Target, error: StatisfactoryError) -> RunError:
        kept = ", ".join(f"{each.run_branch!r} of {each.repository!r}" for each in self._targets if each.run_branch)
        text = f"what the run {self._id!r} wrote to {target.repository!r} could not be committed: {error}"
        if self._is_complete:
            text += (
                f" It is kept, uncommitted, on {kept}: commit and merge it by hand, or drop it by "
                f"`{_command('abort', target.metadata)}` and run again."
            )
        return RunError(text)

    def _not_landed(self, target: _Target, error: StatisfactoryError) -> StatisfactoryError:
        if target.joined:  # the part is tried again, and this time finds what the others wrote
            landed = ", ".join(repr(each.repository) for each in self._targets if each.landed)
            more = f" It has reached the run in {landed} already: the run cannot be finished before it is repeated."
            return type(error)(f"{error.args[0]}{more}") if landed else error
        left = [each for each in self._targets if not each.landed]
        done = [each for each in self._targets if each.landed]
        text = error.args[0]
        if done:
            text += f" The run has reached {', '.join(each.name for each in done)}."
        if len(left) > 1:
            text += f" It has not reached {', '.join(each.name for each in left)}."
        kept = ", ".join(f"{each.run_branch!r} of {each.repository!r}" for each in left if each.run_branch)
        gone = ", ".join(f"{each.commit!r} of {each.repository!r}" for each in left if not each.run_branch)
        if gone:
            text += f" What this run wrote is still there as the commit {gone}."
        if kept:
            text += (
                f" What this run wrote is kept on {kept}: `{_command('finish', target.metadata)}` tries again, with "
                "`--merge source-wins` or `--merge dest-wins` to settle a conflict; "
                f"`{_command('abort', target.metadata)}` drops it."
            )
        return MergeConflict(text) if isinstance(error, MergeConflict) else RunError(text)

    def abandon(self) -> None:
        """End the run: drop what a run that failed wrote. Does nothing to a run that has ended."""
        if self not in _interrupted:
            return
        _interrupted.discard(self)
        kept = self._is_complete or self.project.settings.keep_failed
        if (
            not kept
            and any(target.run_branch and not target.landed for target in self._targets)
            and self._has_written()
        ):
            _LOGGER.warning(
                "What the run %r wrote to lakeFS is dropped. To go on with `--from-nodes`, begin at the first node "
                "that writes there.",
                self._id,
            )
        for target in self._targets:
            if target.run_branch and kept:
                _LOGGER.warning(
                    "What the run %r wrote is kept on the branch %r of %r.",
                    self._id,
                    target.run_branch,
                    target.repository,
                )
            elif target.run_branch:
                self._drop(target)
        if self._journal:
            self._journal.unlink(missing_ok=True)

    def _has_written(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(self.project.written())
        return False

    def _drop(self, target: _Target) -> None:
        name, target.run_branch = target.run_branch, ""
        try:
            target.api.delete_branch(target.repository, name)
        except StatisfactoryError as error:  # of no importance beside what the run did, or what made it fail
            _LOGGER.warning(
                "The branch %r of %r is left over (%s); `kedro statisfactory clean` drops it later.",
                name,
                target.repository,
                error,
            )

    def _described(self, use: Use) -> dict[str, str]:
        found = {"url": use.url}
        if use.version is not None:
            found["version"] = use.version
            if (place := use.place) and (ref := self.project.refs.get((place[0].api.host, place[1], use.version))):
                found["ref"] = ref
        elif place := use.place:
            pin = self.inputs.pins.get((place[0].api.host, place[1]))
            found["ref"] = pin.read if pin else self.project.branch()
        return found


class _Interrupted:
    """The runs that have begun in this process and not ended, so that an exit or a signal ends them too."""

    def __init__(self) -> None:
        self._runs: set[Run] = set()
        self._lock = threading.Lock()

    def __contains__(self, run: Run) -> bool:
        return run in self._runs

    def add(self, run: Run) -> None:
        with self._lock:
            self._runs.add(run)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            # By default a process ends without giving anybody a chance. A handler of the user's own is left alone.
            signal.signal(signal.SIGTERM, _exit)

    def discard(self, run: Run) -> None:
        with self._lock:
            self._runs.discard(run)
        if not self._runs and threading.current_thread() is threading.main_thread():
            _restore_sigterm()

    def abandon_all(self) -> None:
        for run in list(self._runs):
            run.abandon()


_interrupted = _Interrupted()


def _exit(number: int, frame: FrameType | None) -> None:
    """Leave by the way on which everything is tidied up.

    The runs end first: a runner with threads or processes waits for the nodes that are at work, and whoever sent the
    signal does not wait for ever. By a thread of its own, since a lock may be held where the signal came in.
    """
    ending = threading.Thread(target=_interrupted.abandon_all, name="statisfactory-exit", daemon=True)
    ending.start()
    ending.join(_EXIT_WITHIN)
    raise SystemExit(128 + number)


def _restore_sigterm() -> None:
    if signal.getsignal(signal.SIGTERM) is _exit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _forget_runs() -> None:
    """Leave the runs to the parent: a worker that was forked in mid-run has no business ending them."""
    global _interrupted
    _interrupted = _Interrupted()
    _restore_sigterm()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_runs)


@atexit.register
def _abandon_all() -> None:
    _interrupted.abandon_all()


def begin(kedro_id: str, project: Project, uses: Sequence[Use], facts: Callable[[Project], Mapping[str, str]]) -> Run:
    """Begin a run.

    Args:
        kedro_id: Kedro's id of the run; ``STATISFACTORY_RUN_ID`` goes before it.
        project: The project that runs.
        uses: All entries of the pipeline.
        facts: Called when it writes to lakeFS, to tell what its commits say beside what it read and wrote.

    Raises:
        NoDataBranch: Neither git nor the settings name the branch to write to.
        RunError: The run cannot begin.
    """
    run = Run(kedro_id, project, uses)
    try:
        if project.settings.mode != "off" or run._is_joined:
            run._begin(facts)
    except BaseException:
        run.abandon()
        raise
    return run


# -- what a run and the commands have in common ----------------------------------------------------------------------


def finish(places: Sequence[tuple[LakeFSBackend, str]], run_id: str, merge: str | None) -> list[str] | None:
    """Land a run that waits: one of several processes, or one that a conflict or a crash stopped.

    Args:
        places: The repositories where it may wait.
        run_id: Of the run.
        merge: ``source-wins`` or ``dest-wins`` settles a conflict; ``None``: as the settings say.

    Returns:
        Where it has landed just now; nowhere, when it had landed before. ``None``: there is no such run.

    Raises:
        MergeConflict: Another run has changed the same entries.
        RunError: The run is not complete.
    """
    waiting: list[tuple[_Target, str | None]] = []
    empty: list[tuple[LakeFSAPI, str, str]] = []
    for backend, repository in places:
        for name in _branches_of(backend.api, repository, run_id):
            if target := _waiting(backend.api, repository, name):
                waiting.append((target, merge or backend.project.settings.merge))
            else:
                empty.append((backend.api, repository, name))
    if empty and not waiting:
        raise RunError(f"the run {run_id!r} is not complete: no process of it has ended well. Abort or repeat it.")
    for _, repository, name in empty:
        if name != run_branch(run_id, _JOINED):
            raise RunError(
                f"what the run {run_id!r} wrote to {repository!r} was never committed: commit it by hand on the branch "
                f"{name!r}, or abort the run."
            )
    _refuse_incomplete(waiting_targets := [target for target, _ in waiting], run_id)
    done: list[str] = []
    for target, strategy in waiting:
        try:
            _finish(target, strategy)
        except StatisfactoryError as error:
            if _has_landed_elsewhere(target):
                continue  # somebody else was faster
            _keep_from_cleaning(target)
            reached = f" The run has reached {', '.join(done)}." if done else ""
            raise type(error)(
                f"{error.args[0]}{reached} What the run wrote is kept: `{_command('finish', target.metadata)}` tries "
                "again, with `--merge source-wins` or `--merge dest-wins` to settle a conflict; "
                f"`{_command('abort', target.metadata)}` drops it."
            ) from error
        done.append(target.name)
    for api, repository, name in empty:  # parts of the run began to write here and failed; others did the work
        api.delete_branch(repository, name)
    if waiting_targets or any(backend.api.tag(repository, run_tag(run_id)) for backend, repository in places):
        return done
    return None


def _finish(target: _Target, merge: str | None) -> None:
    """Land a run and seal it; once more when a part of it has come to its branch meanwhile."""
    for _ in range(_TRIES):
        target.landed = _landed(target) or _land(target, merge)
        try:
            head = target.api.branch(target.repository, target.run_branch).commit_id
        except BranchNotFound:
            head = target.commit
        if head == target.commit:
            _seal(target)
            return
        again = _waiting(target.api, target.repository, target.run_branch)
        assert again, "its commits are still there"
        target.commit, target.metadata, target.outputs = again.commit, again.metadata, again.outputs
    raise RunError(f"parts come to the run in {target.repository!r} all the time: finish it when all of them are done.")


def _has_landed_elsewhere(target: _Target) -> bool:
    """Whether another process has landed the very run meanwhile, and not one of the same id."""
    tag = target.api.tag(target.repository, run_tag(target.metadata["kedro_run_id"]))
    return tag is not None and _is_of(target.api.commit(target.repository, tag.commit_id), target)


def _refuse_incomplete(waiting: Sequence[_Target], run_id: str) -> None:
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


def _has_landed_in(target: _Target, repository: str) -> bool:
    """Whether a run has landed in another repository already."""
    try:
        tag = target.api.tag(repository, run_tag(target.metadata["kedro_run_id"]))
        return tag is not None and "kedro_outputs" in target.api.commit(repository, tag.commit_id).metadata
    except StatisfactoryError:
        return False


def _waiting(api: LakeFSAPI, repository: str, name: str) -> _Target | None:
    """What waits on the branch of a run; ``None``: nothing that is complete."""
    commits = _commits_of(api, repository, name)
    complete = [commit for commit in commits if "kedro_outputs" in commit.metadata]
    if not complete:
        return None
    metadata = _combined(complete)
    outputs = {entry: each["path"] for entry, each in json.loads(metadata["kedro_outputs"]).items()}
    target = _Target(api, repository, metadata[_DATA_BRANCH], outputs, name, commit=commits[0].id, metadata=metadata)
    target.parts = [_Part.of(commit) for commit in reversed(complete)]
    # A run of several processes may have been the first on its data branch; its record is that of the merge.
    api.ensure_branch(repository, target.data_branch, commits[-1].parents[0])
    return target


def _keep_from_cleaning(target: _Target) -> None:
    """Mark a run that is complete and could not land."""
    with contextlib.suppress(StatisfactoryError):  # the error that is on its way says more
        mark = {"kedro_run_id": target.metadata["kedro_run_id"], _TOKEN: target.run_branch, _ASKED: "true"}
        message = f"kedro run {target.metadata['kedro_run_id']}: complete"
        target.api.create_commit(target.repository, target.run_branch, message, mark, allow_empty=True)


def abort(places: Sequence[tuple[LakeFSBackend, str]], run_id: str) -> bool:
    """Drop a run that has not landed; gives whether there was one."""
    found = [(backend, repository, _branches_of(backend.api, repository, run_id)) for backend, repository in places]
    for backend, repository, names in found:
        for name in names:
            backend.api.delete_branch(repository, name)
    return any(names for _, _, names in found)


@dataclass(frozen=True)
class Leftover:
    """The hidden branch of a run that has not ended here; ``complete``: all of it is there, it only has to land."""

    name: str
    run_id: str
    complete: bool
    hours: float


def leftovers(backend: LakeFSBackend, repository: str) -> Iterator[Leftover]:
    """The hidden branches of all runs in a repository, with hours since they began or last did something."""
    for ref in backend.api.branches(repository, RUN_BRANCH):
        commits = _commits_of(backend.api, repository, ref.id)
        began, _, rest = ref.id.removeprefix(RUN_BRANCH).partition("--")
        if commits:
            since, run_id = float(commits[0].created), commits[0].metadata["kedro_run_id"]
        else:
            run_id = rest.rpartition("--")[0]
            try:
                since = float(calendar.timegm(time.strptime(began, "%Y%m%dT%H%M%SZ")))
            except ValueError:  # a joined run that is about to make its first commit
                since = time.time()
        complete = bool(commits) and (began != _JOINED or any(_ASKED in commit.metadata for commit in commits))
        yield Leftover(ref.id, run_id, complete, (time.time() - since) / 3600)


def drop(backend: LakeFSBackend, repository: str, leftover: Leftover) -> None:
    """Drop a leftover."""
    backend.api.delete_branch(repository, leftover.name)


def _targets(uses: Iterable[Use], branch: str) -> list[_Target]:
    found: dict[tuple[str, str], _Target] = {}
    for use in uses:
        if use.written and (place := use.place):
            backend, repository, path = place
            key = (backend.api.host, repository)
            target = found.setdefault(key, _Target(backend.api, repository, branch, {}))
            target.outputs = {**target.outputs, use.name: path}
    return [found[key] for key in sorted(found)]


def _is_in(use: Use, key: tuple[str, str]) -> bool:
    place = use.place
    return place is not None and (place[0].api.host, place[1]) == key


def _backend_of(uses: Iterable[Use]) -> LakeFSBackend:
    return next(place[0] for use in uses if (place := use.place))


def _branches_of(api: LakeFSAPI, repository: str, run_id: str) -> list[str]:
    pattern = re.compile(rf".*--{id_digest(run_id)}(-[0-9a-f]{{8}})?")
    found = [ref.id for ref in api.branches(repository, RUN_BRANCH) if pattern.fullmatch(ref.id)]
    joined = run_branch(run_id, _JOINED)
    return [joined] if joined in found else found  # a part may have the id of the run


def _commits_of(api: LakeFSAPI, repository: str, branch: str) -> list[Commit]:
    """The commits that a run made on its branch, newest first."""
    log = api.log(repository, branch, amount=100)
    return list(itertools.takewhile(lambda commit: commit.metadata.get(_TOKEN) == branch, log))


def _combined(commits: Sequence[Commit]) -> dict[str, str]:
    """What the processes of a run say, as if they were one; newest first."""
    combined = {key: value for key, value in commits[0].metadata.items() if key not in (_PART, _PART_ID)}
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
        combined[_ALL_SHAS] = json.dumps(shas)
    combined["kedro_started"] = min(commit.metadata["kedro_started"] for commit in commits)
    if parts := [commit.metadata[_PART_ID] for commit in reversed(commits) if _PART_ID in commit.metadata]:
        combined["kedro_parts"] = json.dumps(parts)
    return combined


def _described_outputs(paths: Mapping[str, str], written: Mapping[str, str] | None) -> dict[str, dict[str, str]]:
    """Path and checksum of each entry that was written; for a folder, a checksum over those of its objects.

    ``None`` for what was written: nobody knows any more, and a run that succeeded has written all of it.
    """
    found: dict[str, dict[str, str]] = {}
    if written is None:
        return {name: {"path": path} for name, path in paths.items()}
    for name, path in paths.items():
        if path in written:
            found[name] = {"path": path, "checksum": written[path]}
            continue
        below = sorted((each, checksum) for each, checksum in written.items() if each.startswith(f"{path}/"))
        if below:
            digest = hashlib.sha256(json.dumps(below).encode()).hexdigest()
            found[name] = {"path": path, "checksum": f"sha256:{digest}", "objects": str(len(below))}
    return found


def _message(metadata: Mapping[str, str]) -> str:
    count = len(json.loads(metadata["kedro_outputs"]))
    return f"kedro run {metadata['kedro_pipeline']}: {count} {'entry' if count == 1 else 'entries'} written"


def _command(verb: str, metadata: Mapping[str, str]) -> str:
    """What a person types to end a run."""
    run_id = shlex.quote(metadata["kedro_run_id"])
    env = f" --env {shlex.quote(metadata['kedro_env'])}" if "kedro_env" in metadata else ""
    return f"kedro statisfactory run {verb}{env} {'-- ' if run_id.startswith('-') else ''}{run_id}"


def _commit(api: LakeFSAPI, repository: str, branch: str, metadata: Mapping[str, str]) -> str:
    """Commit, once: when the answer is lost, the log tells whether it was done."""
    for _ in range(_TRIES):
        try:
            return api.create_commit(repository, branch, _message(metadata), metadata, allow_empty=True)
        except BackendUnreachable:
            newest = api.commit(repository, branch)
            if newest.metadata == dict(metadata):
                return newest.id
    raise RunError(f"the branch {branch!r} of {repository!r} could not be committed: the server does not answer.")


def _commit_strays(api: LakeFSAPI, repository: str, branch: str, run_id: str) -> None:
    """Commit what others have written to a data branch, as what it is."""
    with contextlib.suppress(NoChanges):
        api.create_commit(repository, branch, "Changes made outside of runs", {"kedro_found_by_run": run_id})
        _LOGGER.warning(
            "The branch %r of %r had uncommitted changes: they were committed as they are, apart from the run.",
            branch,
            repository,
        )


def _land(target: _Target, merge: str | None) -> str:
    """Merge a run into its data branch, which is made where it is missing; gives the commit there."""
    api, repository = target.api, target.repository
    message = _message(target.metadata)
    is_new = target.is_new
    if merge:
        _settle(target, merge)
    for _ in range(_TRIES):
        try:
            if is_new:
                if api.ensure_branch(repository, target.destination, target.commit):
                    return target.commit
                is_new = False
            metadata = {**target.metadata, _MERGED: target.commit}
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
            _commit_strays(api, repository, target.destination, target.metadata["kedro_run_id"])
        except BackendUnreachable:
            if landed := _landed(target):
                return landed
    raise RunError(f"the run could not be merged into {target.name}, which changes all the time or does not answer.")


def _landed(target: _Target) -> str | None:
    """The commit by which a run has landed already."""
    with contextlib.suppress(ObjectNotFound, BranchNotFound, RefNotFound):
        for commit in itertools.islice(target.api.log(target.repository, target.destination, amount=100), 1000):
            if target.commit in (commit.id, commit.metadata.get(_MERGED)):
                return commit.id
    return None


def _is_of(commit: Commit, target: _Target) -> bool:
    """Whether a commit is the end of the very run, and not of one with the same id."""
    return commit.metadata.get(_TOKEN) == target.metadata[_TOKEN]


def _conflicts(target: _Target) -> list[str]:
    """The paths that have changed on both sides; a folder is told by its mark."""
    changes = target.api.changes(target.repository, target.destination, target.run_branch, three_dot=True)
    return sorted(path.removeprefix(FOLDER_MARK) for path, kind in changes if kind == "conflict")


def _entries_at(target: _Target, paths: Iterable[str]) -> list[str]:
    """The entries to which paths belong."""
    return sorted(
        name
        for name, output in target.outputs.items()
        if any(path == output or path.startswith(f"{output}/") for path in paths)
    )


def _settle(target: _Target, merge: str) -> None:
    """See that a conflict can be settled as asked for, and tell in the metadata what the run loses by it.

    Raises:
        MergeConflict: A folder has changed on both sides, and lakeFS would mix its objects.
    """
    try:
        lost = _entries_at(target, _conflicts(target))
    except ObjectNotFound:
        return  # one of the branches is missing, which is told elsewhere
    outputs = json.loads(target.metadata["kedro_outputs"])
    if any("objects" in outputs.get(name, ()) for name in lost):
        raise _conflict(target, " They are folders, which no strategy of merging keeps whole: run again.")
    if lost and merge == "dest-wins":
        kept = {name: each for name, each in outputs.items() if name not in lost}
        target.metadata = {
            **target.metadata,
            "kedro_outputs": json.dumps(kept, sort_keys=True),
            "kedro_outputs_lost": json.dumps({name: outputs[name] for name in lost if name in outputs}),
        }


def _conflict(target: _Target, more: str = "") -> MergeConflict:
    """Name the entries and the other run of a conflict."""
    api, repository = target.api, target.repository
    paths = _conflicts(target)
    newest = next(api.log(repository, target.destination, paths[0], amount=1), None) if paths else None
    other = "another run"
    if newest is not None:
        other = f"the commit {newest.id[:12]} ({newest.message})"
        if "kedro_run_id" in newest.metadata:
            other = f"the run {newest.metadata['kedro_run_id']!r}"
        if _PART_ID in newest.metadata and target.joined:
            other = f"its part {newest.metadata[_PART_ID]!r}"
    return MergeConflict(
        f"the entries {', '.join(_entries_at(target, paths))} ({', '.join(paths)}) have changed on {target.name} since "
        f"this {'part' if target.joined else 'run'} began, by {other}.{more}"
    )


def _tag(api: LakeFSAPI, repository: str, commit: str, metadata: Mapping[str, str]) -> None:
    """Make the tags by which a run is found: by its id and, where git is in use, by git commit."""
    run_id = metadata["kedro_run_id"]
    _tag_once(api, repository, run_tag(run_id), commit)
    dirty = metadata.get("git_dirty") == "true"
    finished = int(datetime.fromisoformat(metadata["kedro_finished"]).timestamp() * 1000)
    shas = json.loads(metadata.get(_ALL_SHAS, "[]")) or [metadata[key] for key in ("git_commit_id",) if key in metadata]
    for sha in shas:
        _tag_once(api, repository, git_tag(sha, finished, run_id, dirty), commit)


def _has_uncommitted(api: LakeFSAPI, repository: str, branch: str) -> bool:
    """Whether a ref is a branch with uncommitted changes."""
    try:
        return api.has_uncommitted(repository, branch)
    except BranchNotFound:
        return False


@contextlib.contextmanager
def _named(entry: str) -> Iterator[None]:
    """Note in an error which entry it is about."""
    try:
        yield
    except StatisfactoryError as error:
        error.entry = error.entry or entry
        raise


def _tag_once(api: LakeFSAPI, repository: str, name: str, commit: str) -> None:
    try:
        api.create_tag(repository, name, commit)
    except Conflict:
        there = api.tag(repository, name)
        if there is None or there.commit_id != commit:  # not ours with a lost answer, but another run of this id
            other = f"{name}-{secrets.token_hex(4)}"
            _LOGGER.warning("The tag %r of %r is another run's: this one has the tag %r.", name, repository, other)
            api.create_tag(repository, other, commit)


def _seal(target: _Target) -> None:
    """Tag a run that has landed, and drop its branch."""
    try:
        _tag(target.api, target.repository, target.landed, target.metadata)
        target.api.delete_branch(target.repository, target.run_branch)
    except StatisfactoryError as error:
        raise RunError(
            f"the run {target.metadata['kedro_run_id']!r} is on {target.name}, but a tag of it is missing or its "
            f"branch is left over ({error}): `{_command('finish', target.metadata)}` mends that."
        ) from error
