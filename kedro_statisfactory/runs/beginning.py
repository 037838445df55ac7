"""Beginning a run: a hidden branch for each repository that it writes, a pinned commit for each that it reads."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.owners import is_of_another
from kedro_statisfactory.backends.temporary import new_folder
from kedro_statisfactory.errors import BranchNotFound, Conflict, NoDataBranch, RefNotFound, RunError
from kedro_statisfactory.project import AT, RUN_ID, Pin, Project
from kedro_statisfactory.project.branches import USUAL_BRANCHES, data_branch, run_branch, run_tag
from kedro_statisfactory.project.git import ref_names
from kedro_statisfactory.runs import interrupts
from kedro_statisfactory.runs.attempts import attempt_id, attempt_to_join
from kedro_statisfactory.runs.inputs import state_of
from kedro_statisfactory.runs.landing import TRIES, commit_strays, has_uncommitted
from kedro_statisfactory.runs.leftovers import mark_of
from kedro_statisfactory.runs.patches import read_uncommitted
from kedro_statisfactory.runs.run import Run
from kedro_statisfactory.runs.target import DATA_BRANCH, JOINED, LOGGER, NEW, READ_AT, REPLACES, TOKEN, Target
from kedro_statisfactory.runs.use import Use, backend_of, is_in, named, targets_of


def begin(
    kedro_id: str,
    project: Project,
    uses: Sequence[Use],
    facts: Callable[[Project], Mapping[str, str]],
    may_skip: bool = False,
) -> Run:
    """Begin a run.

    Args:
        kedro_id: Kedro's id of the run; ``STATISFACTORY_RUN_ID`` goes before it.
        project: The project that runs.
        uses: All entries of the pipeline.
        facts: Called when it writes to lakeFS, to tell what its commits say beside what it read and wrote.
        may_skip: Whether nodes are skipped whose outputs are there.

    Raises:
        NoDataBranch: Neither git nor the settings name the branch to write to.
        RunError: The run cannot begin.
    """
    run = Run(kedro_id, project, uses, may_skip)
    try:
        if project.settings.mode != "off" or run.is_joined:
            _Beginning(run).begin(facts)
    except BaseException:  # an interrupt, too, must not leave a run behind
        run.abandon()
        raise
    return run


class _Beginning:
    """What has to be done before the first node of a run.

    Args:
        run: Gets what it will need.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def begin(self, facts: Callable[[Project], Mapping[str, str]]) -> None:
        """Make the hidden branches, and pin what is read.

        Args:
            facts: Called when the run writes to lakeFS.
        """
        run = self._run
        self._refuse_contradictions()
        if any(use.written and use.place for use in run.uses):
            self._plan_writes(facts)
        for target in run.targets:
            self._refuse_branch_of_others(target)
        if run.is_joined:
            self._choose_attempt()
        if run.project.settings.mode == "isolated":
            read = {target.key: self._begin_in(target) for target in run.targets}
            if run.targets or run.is_joined:
                read.update(self._pins_for_reading())
            self._pin(read)
        else:
            for target in run.targets:
                with named(next(iter(target.outputs))):
                    self._commit_strays(target)
            run.inputs = run.project
        self._refuse_refs_in_paths()
        if run.temporary:
            reads, saves = run.temporary.path / "reads", run.temporary.path / "saves"
            for notes in (reads, saves):
                notes.touch()
            run.inputs = dataclasses.replace(run.inputs, reads=reads, saves=saves)  # what is read may be confirmed
            run.project = dataclasses.replace(run.project, saves=saves)

    def _refuse_contradictions(self) -> None:
        """See that the settings let processes be joined, where they are."""
        project = self._run.project
        if self._run.is_joined and project.settings.mode != "isolated":
            raise RunError(
                f"{RUN_ID} is set and `mode` is {project.settings.mode!r}: processes can be joined in 'isolated' runs "
                "only."
            )
        if self._run.is_joined and project.at:
            raise RunError(
                f"{RUN_ID} is set, and {AT} or `at` of statisfactory.yml too: a part of a run reads what the parts "
                "before it wrote. Pin single entries by `load_args: {lake_ref: …}` instead."
            )

    def _refuse_refs_in_paths(self) -> None:
        """See that no path begins with the name of a branch or tag, before a node has made what belongs there."""
        branches = {target.key: target.run_branch or target.data_branch for target in self._run.targets}
        for use in self._run.uses:
            if use.written and (place := use.place):
                backend, repository, path = place
                branch = branches[backend.api.host, repository]
                with named(use.name):
                    backend.refs.refuse_ref_in_path(repository, branch, path, self._run.project.names)

    def _refuse_branch_of_others(self, target: Target) -> None:
        """See that the data branch is not that of another git branch of the same name."""
        with named(next(iter(target.outputs))):
            if is_of_another(target.api, self._run.project, target.repository, target.data_branch):
                raise RunError(
                    f"the data branch {target.data_branch!r} of {target.repository!r} has runs of another git branch "
                    "of this name, which was deleted or is somebody else's. `kedro statisfactory branch --adopt` goes "
                    "on with its data, `--reset` begins anew; or rename the git branch."
                )

    def _plan_writes(self, facts: Callable[[Project], Mapping[str, str]]) -> None:
        """Find out where the run writes, and begin its journal."""
        run = self._run
        with named(next(use.name for use in run.uses if use.written and use.place)):
            branch = run.project.branch()
        run.targets = targets_of(run.uses, branch)
        run.facts = facts(run.project)
        if run.facts.get("git_dirty") == "true":
            run.uncommitted = read_uncommitted(run.project.path, run.uses)
        if run.project.at:
            run.facts = {**run.facts, READ_AT: run.project.at}
        run.temporary = new_folder()
        journal = run.temporary.path / "journal"
        journal.touch()
        interrupts.current().add(run)
        run.project = dataclasses.replace(run.project, journal=journal)
        run.states = {use.name: state_of(use.file) for use in run.uses if use.file}

    def _choose_attempt(self) -> None:
        """Find out of which attempt of the run this is a part: a run that was finished is not begun again."""
        places: dict[tuple[str, str], tuple[LakeFSAPI, str]] = {}
        for use in self._run.uses:
            if place := use.place:
                with named(use.name):
                    places[place[0].api.host, place[1]] = (place[0].api, place[1])
        if not places:
            return
        told = self._run.id
        with named(next(iter(use.name for use in self._run.uses if use.place))):
            number = attempt_to_join(list(places.values()), told)
        if number > 1:
            self._run.id = attempt_id(told, number)
            replaced = attempt_id(told, number - 1)
            self._run.facts = {**self._run.facts, REPLACES: replaced}
            LOGGER.warning(
                "The run %r was finished. This is a part of another attempt, %r, which begins with what is on the data "
                "branch: finish it as before.",
                replaced,
                self._run.id,
            )

    def _begin_in(self, target: Target) -> Pin:
        """Make the branch of the run in a repository to which it writes; gives where inputs are read there."""
        uses = [use for use in self._run.uses if is_in(use, target.key)]
        backend = backend_of(uses)
        with named(next(use.name for use in uses if use.written)):
            if self._run.is_joined:
                self._join(target, backend)
            self._create(target, backend)
        at = self._at(backend, target.repository, uses) or Pin(target.base)
        return dataclasses.replace(at, write=target.run_branch)  # what is read may be confirmed, which writes

    def _pin(self, read: Mapping[tuple[str, str], Pin]) -> None:
        """Let the entries work where they have to during the run.

        Args:
            read: Where its inputs are read, by server and repository.
        """
        run = self._run
        pins = {target.key: Pin(target.run_branch, target.run_branch) for target in run.targets}
        refs = self._resolved_versions() if run.targets else {}
        names = self._known_names() if run.targets else None
        run.project = dataclasses.replace(run.project, pins=pins, refs=refs, names=names)
        run.inputs = dataclasses.replace(run.project, pins=read)

    def _known_names(self) -> frozenset[str]:
        """Names of branches and tags as far as they are known without asking lakeFS for each folder of each entry."""
        settings = self._run.project.settings
        git = ref_names(self._run.project.path)
        data = {data_branch(name, settings.branches) for name in git if name not in ("", "HEAD")}
        return frozenset((*git, *data, *filter(None, (settings.branch, settings.source)), *USUAL_BRANCHES))

    def _at(self, backend: LakeFSBackend, repository: str, uses: Sequence[Use]) -> Pin | None:
        """The commits at which the user wants everything to be read in a repository; ``None``: none in particular."""
        inputs = {place[2]: use.name for use in uses if use.is_free_input and (place := use.place)}
        if not self._run.project.at or not inputs:
            return None
        with named(next(iter(inputs.values()))):
            return backend.refs.resolved(repository, self._run.project.at, inputs)

    def _resolved_versions(self) -> dict[tuple[str, str, str], Pin]:
        """The commits of refs at which single entries are read, so that all nodes of the run see the same."""
        asked: dict[tuple[str, str, str], tuple[LakeFSBackend, list[str]]] = {}
        for use in self._run.uses:
            if use.is_input and use.version is not None and (place := use.place):
                backend, repository, path = place
                with named(use.name):
                    key = (backend.api.host, repository, use.version)
                asked.setdefault(key, (backend, []))[1].append(path)
        found: dict[tuple[str, str, str], Pin] = {}
        for (host, repository, version), (backend, paths) in asked.items():
            # What means nothing is told when the entry is loaded; what has uncommitted changes cannot be pinned.
            with contextlib.suppress(RefNotFound):
                pin = backend.refs.resolved(repository, version, paths)
                if not has_uncommitted(backend.api, repository, version):
                    found[host, repository, version] = pin
        return found

    def _create(self, target: Target, backend: LakeFSBackend) -> None:
        """Make the hidden branch of this process alone, from the last commit of the branch where it will land."""
        # Two runs may have one id, which Kedro takes from the clock, or which is given to them.
        began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = run_branch(self._run.kedro_id, began, self._run.token)
        source = target.destination
        self._mark(target, name)
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
                LOGGER.info(
                    "The data branch %r of %r will be made from %r.", target.data_branch, target.repository, source
                )
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
        api, repository, name = target.api, target.repository, run_branch(self._run.id, JOINED)
        target.joined = name
        self._mark(target, name)
        try:
            data_branch = api.commit(repository, name).metadata.get(DATA_BRANCH, target.data_branch)
            if data_branch != target.data_branch:
                raise RunError(
                    f"the run {self._run.id!r} was begun for the data branch {data_branch!r}, and git is on the one "
                    f"for {target.data_branch!r} now: all parts of a run have to be on one branch."
                )
            return
        except RefNotFound:
            if api.tag(repository, run_tag(self._run.id)):
                raise RunError(
                    f"the run {self._run.id!r} was finished in {repository!r}, and waits in another repository: finish "
                    "or abort it there, and then try again."
                ) from None
        self._commit_strays(target)
        # Tells from when on the run is there, for those who clean up.
        mark = {"kedro_run_id": self._run.id, TOKEN: name, DATA_BRANCH: target.data_branch}
        try:
            try:
                api.create_branch(repository, name, target.data_branch, hidden=True)
            except BranchNotFound:
                mark[NEW] = "true"
                api.create_branch(repository, name, backend.refs.source(repository), hidden=True)
        except Conflict:
            api.branch(repository, name)  # another part of this run was faster
        else:
            message = f"kedro run {self._run.id}: begun"
            api.create_commit(repository, name, message, mark, allow_empty=True, repeatable=True)

    def _mark(self, target: Target, branch: str) -> None:
        """Say to those who clean up on this machine that the branch belongs to a process that is at work."""
        assert self._run.temporary is not None  # it has been made with the journal
        with contextlib.suppress(FileNotFoundError):  # somebody has cleaned up
            (self._run.temporary.path / mark_of(target.api.host, target.repository, branch)).touch()

    def _commit_strays(self, target: Target) -> bool:
        if not has_uncommitted(target.api, target.repository, target.data_branch):
            return False
        commit_strays(target.api, target.repository, target.data_branch, self._run.id)
        return True

    def _pins_for_reading(self) -> Iterator[tuple[tuple[str, str], Pin]]:
        """Pin the repositories that the run only reads."""
        seen = {target.key for target in self._run.targets}
        for use in self._run.uses:
            if not (place := use.place) or not use.is_free_input:
                continue
            backend, repository, _ = place
            with named(use.name):
                key = (backend.api.host, repository)
                if key not in seen and (pin := self._pin_for_reading(backend, repository)):
                    self._run.only_read.append((backend.api, repository, pin.read))
                    yield key, pin
            seen.add(key)

    def _pin_for_reading(self, backend: LakeFSBackend, repository: str) -> Pin | None:
        """Where the run reads a repository to which it does not write; ``None``: as outside of runs."""
        key = (backend.api.host, repository)
        if pin := self._at(backend, repository, [use for use in self._run.uses if is_in(use, key)]):
            return pin
        if self._run.is_joined:  # other parts of the run may have written what this one reads
            with contextlib.suppress(RefNotFound):
                return Pin(backend.api.commit(repository, run_branch(self._run.id, JOINED)).id)
        try:
            branch = self._run.project.branch()
        except NoDataBranch:
            return None
        try:
            commit = backend.api.commit(repository, branch).id
        except RefNotFound:
            branch = backend.refs.source(repository)  # where such a branch is read from
            commit = backend.api.commit(repository, branch).id
        if not has_uncommitted(backend.api, repository, branch):
            return Pin(commit)
        LOGGER.warning(
            "The branch %r of %r, which the run only reads, has uncommitted changes: they are read too, and cannot be "
            "pinned.",
            branch,
            repository,
        )
        return None
