"""The nodes of one run: what is known of them before it, and what it records of them in its end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.code import NodeCode, UnknownCode
from kedro_statisfactory.runs.inputs import unchanged
from kedro_statisfactory.runs.nodes.contents import Fingerprint, identity_of, is_as_read, noted
from kedro_statisfactory.runs.nodes.found import Source
from kedro_statisfactory.runs.nodes.pipeline import Node, NodePipeline
from kedro_statisfactory.runs.nodes.planning import At, plan_at
from kedro_statisfactory.runs.nodes.record import NODES, packed
from kedro_statisfactory.runs.nodes.recording import records_of_run, still_told
from kedro_statisfactory.runs.nodes.state import Plan
from kedro_statisfactory.runs.taking import take
from kedro_statisfactory.runs.target import KEPT, LOGGER, Target
from kedro_statisfactory.runs.use import Use

_Read = Mapping[str, Mapping[str, Sequence[Fingerprint]]]


@dataclass
class NodesOfRun:
    """The nodes of a run.

    Attributes:
        pipeline: All of them.
        read_again: Reads the code of the nodes once more, by name: a module may be loaded as late as in a node.
        plan: What was known of them before, where nodes may be skipped.
    """

    pipeline: NodePipeline
    read_again: Callable[[], Mapping[str, NodeCode | UnknownCode]]
    plan: Plan | None = None

    def look(self, targets: Sequence[Target], project: Project, further: Callable[[], Iterable[At]]) -> Plan:
        """Find out which of them are up to date, and take over what runs on other branches have made.

        Args:
            targets: The repositories to which the run writes.
            project: The project in the run.
            further: Gives the other repositories of the catalog.
        """
        places = [(each.api, each.repository, each.base or each.data_branch) for each in targets]
        self.plan = plan_at(self.pipeline, places, project, further)
        for verdict in self.plan.verdicts.values():
            if verdict.source:
                self._take_over(verdict.node, verdict.source, targets, project)
        return self.plan

    def _take_over(self, node: Node, source: Source, targets: Sequence[Target], project: Project) -> None:
        """Let the outputs of a node be what they are somewhere else, as if the run had written them."""
        target = next(each for each in targets if each.key == (source.api.host, source.repository))
        branch = target.run_branch or target.data_branch
        for data in self.pipeline.kept_outputs(node):
            for stat in take(source.api, source.repository, branch, source.commit, data.path):
                project.note_written(source.api.host, source.repository, stat.path, stat.checksum)
        LOGGER.info(
            "Took over what %r makes from the run %r on the git branch %r.", node.name, source.record.run, source.branch
        )

    def told(
        self,
        uses: Sequence[Use],
        states: Mapping[str, os.stat_result | None],
        read: _Read,
        saved: Mapping[str, Mapping[str, Fingerprint] | None],
        targets: Sequence[Target],
    ) -> Iterator[tuple[dict[str, str], bytes]]:
        """What the commit of the run in each repository says of its nodes, and the content of the object that it names.

        Args:
            uses: The entries of the pipeline.
            states: What files of other packages' entries were when the run began.
            read: What the objects of its inputs were when they were read.
            saved: What entries outside of lakeFS held when they were saved.
            targets: The repositories to which the run wrote.
        """
        found = {use.name: self._read(use, states, read) for use in uses if use.is_input}
        written = {
            name: told["checksum"] for each in targets for name, told in each.written.items() if "checksum" in told
        }
        for name, held in saved.items():
            root = self.pipeline.data[name].root if name in found and name in self.pipeline.data else ""
            # What others have put in beside what was read and confirmed was not read by any node.
            is_known = name not in found or is_as_read(read.get(name, {}), held or {}, root)
            if is_known and (identity := identity_of(held or {})):
                written[name] = identity
        for name in [name for name in written if name in self.pipeline.data and self.pipeline.data[name].adds]:
            written[name] = self.pipeline.data[name].identity() or ""  # more than this run has written
        told = records_of_run(self._as_it_ran(), found, written, self.plan)
        kept = {name: record.run for record in told if record.run for name in sorted(record.outputs)}
        for each in targets:
            others = self.plan.others.get(each.key, ()) if self.plan else ()
            content = packed([*told, *still_told(told, others)])
            facts = {NODES: records.path_of(content, "json")}
            yield {**facts, **({KEPT: json.dumps(kept, sort_keys=True)} if kept else {})}, content

    def _as_it_ran(self) -> NodePipeline:
        """The pipeline, without what is known of code that was another one when the run had ended."""
        after = self.read_again()
        nodes = [
            node if node.code == after[node.name] else replace(node, code=UnknownCode("it changed during the run"))
            for node in self.pipeline.nodes
        ]
        return replace(self.pipeline, nodes=nodes)

    def _read(self, use: Use, states: Mapping[str, os.stat_result | None], read: _Read) -> str | None:
        """What an input held all the time that it may have been read."""
        if (data := self.pipeline.data.get(use.name)) is None:
            return None
        if use.file is None:
            held = noted(read.get(use.name, {}), data.root)
            return None if held is None else identity_of(held, data.path)
        before = states.get(use.name)
        held = data.held() if unchanged(use.file, before) else None
        return identity_of(held, data.path) if held and unchanged(use.file, before) else None
