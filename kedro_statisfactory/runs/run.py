"""A run that has begun, and its end: what it wrote appears everywhere, or is dropped."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.temporary import Temporary
from kedro_statisfactory.errors import MergeConflict, NoDataBranch, RunError, StatisfactoryError
from kedro_statisfactory.project import RUN_ID, Pin, Project
from kedro_statisfactory.runs import interrupts
from kedro_statisfactory.runs.inputs import fingerprint, held_at, unchanged
from kedro_statisfactory.runs.landing import commit_run, land
from kedro_statisfactory.runs.nodes.of_run import NodesOfRun
from kedro_statisfactory.runs.nodes.record import NODES
from kedro_statisfactory.runs.patches import Uncommitted
from kedro_statisfactory.runs.pending import keep, keep_here
from kedro_statisfactory.runs.provenance import now
from kedro_statisfactory.runs.redaction import without_tokens
from kedro_statisfactory.runs.several import has_merge_hooks, look_ahead
from kedro_statisfactory.runs.sweeping import sweep
from kedro_statisfactory.runs.tags import refuse_late, seal, tag_run
from kedro_statisfactory.runs.target import (
    DATA_BRANCH,
    LOGGER,
    NEW,
    PART,
    PART_ID,
    REPOSITORIES,
    SAVED,
    TOKEN,
    Target,
    command,
    ways_out,
)
from kedro_statisfactory.runs.use import Use
from kedro_statisfactory.runs.written import find_outputs, journal_of, saved_elsewhere

# Entries that the last line of a run names.
_MOST_TOLD = 8


class Run:
    """One run that :func:`~kedro_statisfactory.runs.begin` has begun, and its end.

    Attributes:
        project: What the entries have to be bound to that the run writes.
        inputs: What the entries have to be bound to that the run finds there.
        after: What all of them have to be bound to when the run has ended.
        kedro_id: Kedro's id of the run.
        id: By which it is found again: the same, or that of the run of which this process does a part.
        token: Eight hex digits that tell this process from others whose run has the same id.
        is_joined: Whether this process does a part of a run.
        facts: What its commits say beside what it read and wrote.
        uncommitted: The code that is in no commit of git.
        uses: All entries of the pipeline.
        targets: The repositories to which it writes.
        only_read: The others, and the commits at which they are read.
        is_complete: Whether all nodes have done their work: nothing is dropped any more.
        temporary: Folder of the journal in which its processes note what they write.
        states: What files were that other packages' entries read, by the names of entries.
        nodes: What its nodes depend on; ``None``: nobody records that.
        may_skip: Whether nodes are skipped whose outputs are there, so that there may be nothing to write.
    """

    def __init__(self, kedro_id: str, project: Project, uses: Sequence[Use], may_skip: bool = False) -> None:
        self.after = project
        # What this process's variables say has to hold on other hosts as well.
        settings = dataclasses.replace(project.settings, at=project.at)
        self.project = self.inputs = dataclasses.replace(project, head=project.read_head(), settings=settings)
        self.kedro_id = kedro_id
        joined = os.environ.get(RUN_ID)
        self.is_joined = bool(joined)
        self.id = joined or kedro_id
        self.token = secrets.token_hex(4)
        self.facts: Mapping[str, str] = {}
        self.uncommitted = Uncommitted()
        self.uses = uses
        self.targets: list[Target] = []
        self.only_read: list[tuple[LakeFSAPI, str, str]] = []
        self.is_complete = False
        self.temporary: Temporary | None = None
        self.states: dict[str, os.stat_result | None] = {}
        self.may_skip = may_skip
        self.nodes: NodesOfRun | None = None
        self._landing: interrupts.Landing | None = None
        self._saved: list[str] = []

    def finish(self) -> None:
        """Let what the run wrote appear on the data branches.

        Raises:
            MergeConflict: Another run has changed the same entries; this one's are kept on its branch.
            RunError: It could not be completed; the text says what is where.
            StatisfactoryError: Nothing has appeared.
        """
        # A part is done again when it fails; what a run of its own has computed is not thrown away.
        self.is_complete = self.project.settings.mode == "isolated" and not self.is_joined
        self._landing = interrupts.Landing(self._land)
        try:
            self._landing.complete()
        finally:
            self.abandon()
        sweep(self.project, self.targets)

    def _land(self) -> None:
        self._find_outputs()
        self._commit_all()
        if self.project.settings.mode == "isolated":
            self._land_all()
        if self.targets and not self.is_joined:
            names = sorted({*self._saved, *(name for target in self.targets for name in target.written)})
            told = ", ".join(names[:_MOST_TOLD]) + f" and {len(names) - _MOST_TOLD} more" * (len(names) > _MOST_TOLD)
            LOGGER.info("It wrote %s: `kedro statisfactory show %s`", told or "nothing", shlex.quote(self.id))

    def _find_outputs(self) -> None:
        """Find out what was written; a repository to which nothing was written is one that was only read."""
        if not self.targets:
            return
        written, self._saved = journal_of(self.project), saved_elsewhere(self.project)
        for number, target in enumerate(list(self.targets)):
            has_written = find_outputs(target, None if written is None else written.get(target.key, {}))
            # In the first repository the next run looks for the records of nodes that write outside of lakeFS.
            is_needed = has_written or (self._saved and not number)
            # A part of a run says on the run's own branch, out of sight, that it was there.
            if not is_needed and self.may_skip and not target.joined:
                self.targets.remove(target)
                if target.run_branch:
                    self.only_read.append((target.api, target.repository, self.inputs.pins[target.key].read))
                    self._drop(target)
        if not self.targets:
            LOGGER.info("The run %r had nothing to write to lakeFS: its outputs are there already.", self.id)

    def _commit_all(self) -> None:
        read = self._read()
        inputs = {use.name: {**self._described(use), **read(use)} for use in self.uses if use.is_input}
        isolated = self.project.settings.mode == "isolated"
        of_nodes = self._records_of_nodes()
        for number, target in enumerate(self.targets):
            told, _ = of_nodes[number]
            target.metadata = {
                **self.facts,
                **self.uncommitted.facts,
                **told,
                "kedro_run_id": self.id,
                "kedro_finished": now(),
                "kedro_inputs": json.dumps(inputs, sort_keys=True),
                "kedro_outputs": json.dumps(target.written, sort_keys=True),
                DATA_BRANCH: target.data_branch,
                REPOSITORIES: json.dumps([each.repository for each in self.targets]),
                **({TOKEN: target.joined or target.run_branch} if isolated else {}),
                **({NEW: "true"} if target.is_new else {}),
                **({SAVED: json.dumps(self._saved)} if self._saved and not number else {}),
                **({PART: target.run_branch, PART_ID: self.kedro_id} if target.joined else {}),
            }
        for target, (told, content) in zip(self.targets, of_nodes, strict=True):
            try:
                self.uncommitted.store(target)
                if content:
                    branch = target.run_branch or target.data_branch
                    records.write(target.api, target.repository, branch, told[NODES], content)
                target.commit = commit_run(target)
            except StatisfactoryError as error:
                raise self._not_committed(target, error) from error
        if not isolated:
            for target in self.targets:
                tag_run(target.api, target.repository, target.commit, target.metadata, self.token)
                target.landed = target.commit
                LOGGER.info("Committed the run %r to %s.", self.id, target.name)

    def _records_of_nodes(self) -> list[tuple[dict[str, str], bytes]]:
        """What its nodes have made of what, and what its commit in each repository says about that."""
        # A cleaner of temporary files may have been here: the next run does all once more.
        with contextlib.suppress(OSError, ValueError):
            if self.nodes and self.targets:
                read, saved = self.inputs.read(), self.project.saved()
                return list(self.nodes.told(self.uses, self.states, read, saved, self.targets))
        return [({}, b"") for _ in self.targets]

    def _land_all(self) -> None:
        failed = self._merge_all()
        unsealed: RunError | None = None
        for target in self.targets:
            if not target.landed:
                continue
            if target.joined:
                self._drop(target)
                continue
            try:
                found_by = seal(target)
                target.run_branch = ""
                by = "this id" if found_by == self.id else repr(found_by)
                LOGGER.info("The run %r is on %s. Load it again by %s.", self.id, target.name, by)
            except RunError as error:
                unsealed = error
        if self.targets and not failed and not self.is_joined:
            self._tag_only_read()
        if self.targets and not failed and self.is_joined:
            has_written = bool(self._saved) or any(target.written for target in self.targets)
            if has_written:
                refuse_late(self.targets, self.kedro_id, [(api, repository) for api, repository, _ in self.only_read])
            LOGGER.info(
                "This part of the run %r %s until `%s`.",
                self.id,
                "is kept out of sight" if has_written else "had nothing to write; the run goes on",
                command("finish", self.targets[0].metadata),
            )
        if failed:
            raise self._not_landed(*failed)
        if unsealed:
            raise unsealed

    def _merge_all(self) -> tuple[Target, StatisfactoryError] | None:
        """Merge the run into all its data branches, or into none where that is known before; gives what failed."""
        settings, targets = self.project.settings, self.targets
        if len(targets) > 1:
            for target in targets:
                try:
                    look_ahead(target, settings.merge, settings.inputs)
                except StatisfactoryError as error:
                    return target, error
            targets = sorted(targets, key=has_merge_hooks, reverse=True)
        for target in targets:
            try:
                target.landed = land(target, settings.merge, settings.inputs)
            except StatisfactoryError as error:
                return target, error
        return None

    def _tag_only_read(self) -> None:
        """Let a repository that the run only read be found by the run as well, where that is allowed."""
        metadata = self.targets[0].metadata
        for api, repository, commit in self.only_read:
            try:
                tag_run(api, repository, commit, metadata, self.token, only_read=True)
            except StatisfactoryError as error:
                LOGGER.info("What the run read of %r cannot be found by its id: %s", repository, error)

    def _not_committed(self, target: Target, error: StatisfactoryError) -> RunError:
        kept = ", ".join(f"{each.run_branch!r} of {each.repository!r}" for each in self.targets if each.run_branch)
        text = f"what the run {self.id!r} wrote to {target.repository!r} could not be committed: {error}"
        if self.is_complete:
            text += f" It is kept, uncommitted, on {kept}: {self._keep()}"
        return RunError(text)

    def _keep(self) -> str:
        """Keep what the commits of the run had to say for `run finish`, and say so."""
        where, drops = "", f"`{command('abort', self.targets[0].metadata)}` drops it."
        for target in self.targets:
            try:
                if not target.commit:
                    self.uncommitted.store(target)
                    keep(target)
            except StatisfactoryError as error:
                where = ", in the folder of this project,"
                if not keep_here(self.project.path, target, self.uncommitted.content):
                    return (
                        f"what its commit has to say could not be kept there as well ({error}), so that it cannot be "
                        f"finished; {drops}"
                    )
        return f"`{command('finish', self.targets[0].metadata)}`{where} commits and lands it, {drops}"

    def _not_landed(self, target: Target, error: StatisfactoryError) -> StatisfactoryError:
        if target.joined:  # the part is tried again, and this time finds what the others wrote
            landed = ", ".join(repr(each.repository) for each in self.targets if each.landed)
            more = f" It has reached the run in {landed} already: the run cannot be finished before it is repeated."
            return type(error)(f"{error.args[0]}{more}") if landed else error
        left = [each for each in self.targets if not each.landed]
        done = [each for each in self.targets if each.landed]
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
            text += f" What this run wrote is kept on {kept}: {ways_out(target)}"
        return MergeConflict(text) if isinstance(error, MergeConflict) else RunError(text)

    def abandon(self) -> None:
        """End the run: drop what a run that failed wrote. Does nothing to a run that has ended."""
        if self not in interrupts.current():
            return
        # What is in the middle of landing may have landed: it is not dropped.
        is_stuck = self._landing is not None and self._landing.is_stuck()
        kept = is_stuck or self.is_complete or self.project.settings.keep_failed
        dropped = [target for target in self.targets if target.run_branch and not kept]
        is_lost = any(not target.landed for target in dropped) and self._has_written()
        is_there = self.project.settings.mode == "direct" and self._has_written()
        # First of all: a signal may have come in while somebody held the lock of a log.
        are_gone = [self._drop(target) for target in dropped]
        if self.temporary and not is_stuck:
            self.temporary.remove()
        interrupts.current().discard(self)
        if is_lost and all(are_gone):
            LOGGER.warning(
                "What the run %r wrote to lakeFS is dropped. To go on with `--from-nodes`, begin at the first node "
                "that writes there.",
                self.id,
            )
        if self._landing is not None and not is_stuck and (error := self._landing.error):
            if not self._landing.is_told:
                LOGGER.error("The run %r was interrupted, and ended by: %s", self.id, error)
            if isinstance(error, StatisfactoryError):  # it says what is where
                return
        for target in self.targets:
            if target.run_branch:
                LOGGER.warning("%s", self._kept(target))
            elif is_there and not target.landed:
                LOGGER.warning("%s", self._there(target))

    def _there(self, target: Target) -> str:
        """Say what is where, of a repository to whose data branch a run wrote itself that has not ended well."""
        if target.commit:
            commit = f"the commit {target.commit}, by which it can be loaded; a tag of it may be missing"
            return f"The run {self.id!r} is on {target.name} as {commit}."
        return (
            f"What the run {self.id!r} has written is on {target.name}, perhaps without a commit: the next run commits "
            "it, apart from itself."
        )

    def _kept(self, target: Target) -> str:
        """Say what is where, of a repository in which the branch of the run is still there."""
        where = f"the branch {target.run_branch!r} of {target.repository!r}"
        if target.landed:
            text = f"The run {self.id!r} is on {target.name}, but a tag of it is missing or {where} is left over"
            return f"{text}: `{command('finish', target.metadata)}` mends that."
        text = f"What the run {self.id!r} wrote is kept on {where}."
        if not target.commit:
            return text
        if target.joined:
            return f"{text} This part may have reached the run: repeat it."
        return (
            f"{text} It has perhaps landed on {target.name}: `{command('finish', target.metadata)}` lands it, or "
            "completes what has landed."
        )

    def _has_written(self) -> bool:
        return journal_of(self.project) != {}

    def _drop(self, target: Target) -> bool:
        """Drop the branch of the run; gives whether it is gone."""
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
            return False
        return True

    def _read(self) -> Callable[[Use], Mapping[str, str]]:
        """What tells of each input what it held when it was read, as far as anybody knows."""
        try:
            noted = self.inputs.read()
        except (OSError, ValueError):  # a cleaner of temporary files was here, or a writer was killed
            noted = {}

        def read(use: Use) -> Mapping[str, str]:
            if use.file:
                return unchanged(use.file, self.states.get(use.name))
            if use.name in noted or self.may_skip or not (place := use.place) or not (pin := self._pin_of(use)):
                return fingerprint(noted.get(use.name, {}))
            return held_at(place[0].api, place[1], pin.at(place[2]), place[2])  # another host has read it

        return read

    def _pin_of(self, use: Use) -> Pin | None:
        """Where the run reads an input that is in lakeFS; ``None``: at no commit in particular."""
        assert use.place is not None
        backend, repository, _ = use.place
        if use.version is not None:
            return self.project.refs.get((backend.api.host, repository, use.version))
        return self.inputs.pins.get((backend.api.host, repository))

    def _described(self, use: Use) -> dict[str, str]:
        found = {"url": without_tokens(use.url)}
        if use.version is not None:
            found["version"] = use.version
        if place := use.place:
            pin = self._pin_of(use)
            with contextlib.suppress(NoDataBranch):  # a repository that is only read, on a detached HEAD
                if pin or use.version is None:
                    found["ref"] = pin.at(place[2]) if pin else self.project.branch()
        return found
