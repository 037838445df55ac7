"""Runs of a pipeline on lakeFS: what a run writes appears on the data branch all at once, or not at all.

An isolated run works on a hidden branch per repository. When it succeeds, each of these gets one commit, is merged into
its data branch, tagged and dropped; when it fails they are dropped, and the data branches were never touched.

One run over several processes, each of them a run of Kedro, is joined by ``STATISFACTORY_RUN_ID``: they work on one
branch and commit there, and the command ``kedro statisfactory run finish`` does the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend, LakeFSBackend
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import (
    BranchNotFound,
    Conflict,
    MergeConflict,
    NoDataBranch,
    RefNotFound,
    RunError,
    StatisfactoryError,
)
from kedro_statisfactory.landing import (
    DATA_BRANCH,
    JOINED,
    LOGGER,
    PART,
    PART_ID,
    REPOSITORIES,
    TOKEN,
    TRIES,
    Target,
    command,
    commit_run,
    commit_strays,
    has_uncommitted,
    land,
    seal,
    tag_run,
)
from kedro_statisfactory.project import AT, Pin, Project
from kedro_statisfactory.project.branches import data_branch, run_branch, run_tag
from kedro_statisfactory.project.git import ref_names
from kedro_statisfactory.provenance import now

#: Variable that makes several processes one run.
RUN_ID = "STATISFACTORY_RUN_ID"

_USUAL_BRANCHES = ("main", "master", "trunk", "develop", "dev")  # of which git may not know in a shallow clone
_EXIT_WITHIN = 10.0  # seconds for dropping the branches of runs after a signal


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
        self._targets: list[Target] = []
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
        return frozenset((*git, *data, *filter(None, (settings.branch, settings.source)), *_USUAL_BRANCHES))

    def _at(self, backend: LakeFSBackend, repository: str, entry: str) -> str:
        """The commit at which the user wants everything to be read; empty: nowhere in particular."""
        if not self.project.at:
            return ""
        with _named(entry):
            return backend.refs.resolved(repository, self.project.at)

    def _resolved_versions(self) -> dict[tuple[str, str, str], str]:
        """The commits of refs at which single entries are read, so that all nodes of the run see the same."""
        found: dict[tuple[str, str, str], str] = {}
        asked: set[tuple[str, str, str]] = set()
        for use in self._uses:
            if use.is_input and use.version is not None and (place := use.place):
                backend, repository, _ = place
                if (key := (backend.api.host, repository, use.version)) in asked:
                    continue
                asked.add(key)
                # What means nothing is told when the entry is loaded; what has uncommitted changes cannot be pinned.
                with contextlib.suppress(RefNotFound):
                    commit = backend.refs.resolved(repository, use.version)
                    if not has_uncommitted(backend.api, repository, use.version):
                        found[key] = commit
        return found

    def _create(self, target: Target, backend: LakeFSBackend) -> None:
        """Make the hidden branch of this process alone, from the last commit of the branch where it will land."""
        # Two runs may have one id, which Kedro takes from the clock, or which is given to them.
        began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = f"{run_branch(self._kedro_id, began)}-{secrets.token_hex(4)}"
        source = target.destination
        for _ in range(TRIES):
            try:
                target.base = target.api.create_branch(target.repository, name, source, hidden=True)
            except Conflict:  # nobody else knows the name: it was made by a try whose answer was lost
                target.base = target.api.branch(target.repository, name).commit_id
            except BranchNotFound:
                if target.is_new or target.joined:
                    raise
                source = backend.refs.source(target.repository)
                target.is_new = True
                continue
            target.run_branch = name
            if source == target.data_branch and self._commit_strays(target):
                target.api.delete_branch(target.repository, name)
                target.run_branch = ""
                continue
            if target.is_new and has_uncommitted(target.api, target.repository, source):
                LOGGER.warning(
                    "The branch %r of %r, from which the run makes %r, has uncommitted changes: the run does not see "
                    "them.",
                    source,
                    target.repository,
                    target.data_branch,
                )
            return
        raise RunError(f"no branch could be made for the run in {target.repository!r}: others change it all the time.")

    def _join(self, target: Target, backend: LakeFSBackend) -> None:
        """Make or find the branch where all parts of this run land before the run itself does."""
        api, repository, name = target.api, target.repository, run_branch(self._id, JOINED)
        target.joined = name
        try:
            data_branch = api.commit(repository, name).metadata.get(DATA_BRANCH, target.data_branch)
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
                api.create_branch(repository, name, backend.refs.source(repository), hidden=True)
        except Conflict:
            api.branch(repository, name)  # another part of this run was faster
        else:
            # Tells from when on the run is there, for those who clean up.
            mark = {"kedro_run_id": self._id, TOKEN: name, DATA_BRANCH: target.data_branch}
            api.create_commit(repository, name, f"kedro run {self._id}: begun", mark, allow_empty=True)

    def _commit_strays(self, target: Target) -> bool:
        if not has_uncommitted(target.api, target.repository, target.data_branch):
            return False
        commit_strays(target.api, target.repository, target.data_branch, self._id)
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
                return backend.api.commit(repository, run_branch(self._id, JOINED)).id
        try:
            branch = self.project.branch()
        except NoDataBranch:
            return None
        try:
            commit = backend.api.commit(repository, branch).id
        except RefNotFound:
            branch = backend.refs.source(repository)  # where such a branch is read from
            commit = backend.api.commit(repository, branch).id
        if not has_uncommitted(backend.api, repository, branch):
            return commit
        LOGGER.warning(
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
        if not self._targets:
            return
        try:
            written = self.project.written()
        except (OSError, ValueError):  # a cleaner of temporary files was here, or a writer was killed
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
                DATA_BRANCH: target.data_branch,
                REPOSITORIES: json.dumps([each.repository for each in self._targets]),
                **({TOKEN: target.joined or target.run_branch} if isolated else {}),
                **({PART: target.run_branch, PART_ID: self._kedro_id} if target.joined else {}),
            }
            branch = target.run_branch or target.data_branch
            try:
                target.commit = commit_run(target.api, target.repository, branch, target.metadata)
            except StatisfactoryError as error:
                raise self._not_committed(target, error) from error
        if not isolated:
            for target in self._targets:
                tag_run(target.api, target.repository, target.commit, target.metadata)
                LOGGER.info("Committed the run %r to %s.", self._id, target.name)

    def _land_all(self) -> None:
        failed: tuple[Target, StatisfactoryError] | None = None
        unsealed: RunError | None = None
        for target in self._targets:
            try:
                target.landed = land(target, self.project.settings.merge)
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
                seal(target)
                target.run_branch = ""
                LOGGER.info("The run %r is on %s. Load it again by this id.", self._id, target.name)
            except RunError as error:
                unsealed = error
        if self._targets and not failed and not self._is_joined:
            self._tag_only_read()
        if self._targets and not failed and self._is_joined:
            LOGGER.info(
                "This part of the run %r is kept out of sight until `%s`.",
                self._id,
                command("finish", self._targets[0].metadata),
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
                tag_run(api, repository, commit, metadata, only_read=True)
            except StatisfactoryError as error:
                LOGGER.info("What the run read of %r cannot be found by its id: %s", repository, error)

    def _not_committed(self, target: Target, error: StatisfactoryError) -> RunError:
        kept = ", ".join(f"{each.run_branch!r} of {each.repository!r}" for each in self._targets if each.run_branch)
        text = f"what the run {self._id!r} wrote to {target.repository!r} could not be committed: {error}"
        if self._is_complete:
            text += (
                f" It is kept, uncommitted, on {kept}: commit and merge it by hand, or drop it by "
                f"`{command('abort', target.metadata)}` and run again."
            )
        return RunError(text)

    def _not_landed(self, target: Target, error: StatisfactoryError) -> StatisfactoryError:
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
                f" What this run wrote is kept on {kept}: `{command('finish', target.metadata)}` tries again, with "
                "`--merge source-wins` or `--merge dest-wins` to settle a conflict; "
                f"`{command('abort', target.metadata)}` drops it."
            )
        return MergeConflict(text) if isinstance(error, MergeConflict) else RunError(text)

    def abandon(self) -> None:
        """End the run: drop what a run that failed wrote. Does nothing to a run that has ended."""
        if self not in _interrupted:
            return
        kept = self._is_complete or self.project.settings.keep_failed
        dropped = [target for target in self._targets if target.run_branch and not kept]
        is_lost = any(not target.landed for target in dropped) and self._has_written()
        # First of all: a signal may have come in while somebody held the lock of a log.
        for target in dropped:
            self._drop(target)
        if self._journal:
            self._journal.unlink(missing_ok=True)
        _interrupted.discard(self)
        if is_lost:
            LOGGER.warning(
                "What the run %r wrote to lakeFS is dropped. To go on with `--from-nodes`, begin at the first node "
                "that writes there.",
                self._id,
            )
        for target in self._targets:
            if target.run_branch:
                LOGGER.warning(
                    "What the run %r wrote is kept on the branch %r of %r.",
                    self._id,
                    target.run_branch,
                    target.repository,
                )

    def _has_written(self) -> bool:
        try:
            return bool(self.project.written())
        except (OSError, ValueError):  # the journal is gone, or its last line was cut by a kill
            return True

    def _drop(self, target: Target) -> None:
        name, target.run_branch = target.run_branch, ""
        try:
            target.api.delete_branch(target.repository, name)
        except StatisfactoryError as error:  # of no importance beside what the run did, or what made it fail
            LOGGER.warning(
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
            with contextlib.suppress(NoDataBranch):  # a repository that is only read, on a detached HEAD
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
    except BaseException:  # an interrupt, too, must not leave a run behind
        run.abandon()
        raise
    return run


def _targets(uses: Iterable[Use], branch: str) -> list[Target]:
    found: dict[tuple[str, str], Target] = {}
    for use in uses:
        if use.written and (place := use.place):
            backend, repository, path = place
            key = (backend.api.host, repository)
            target = found.setdefault(key, Target(backend.api, repository, branch, {}))
            target.outputs = {**target.outputs, use.name: path}
    return [found[key] for key in sorted(found)]


def _is_in(use: Use, key: tuple[str, str]) -> bool:
    place = use.place
    return place is not None and (place[0].api.host, place[1]) == key


def _backend_of(uses: Iterable[Use]) -> LakeFSBackend:
    return next(place[0] for use in uses if (place := use.place))


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


@contextlib.contextmanager
def _named(entry: str) -> Iterator[None]:
    """Note in an error which entry it is about."""
    try:
        yield
    except StatisfactoryError as error:
        error.entry = error.entry or entry
        raise
