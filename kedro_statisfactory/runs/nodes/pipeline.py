"""A pipeline in plain values, as far as it decides what is up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project.code import NodeCode, UnknownCode
from kedro_statisfactory.runs.nodes.contents import Held, identity_of


@dataclass(frozen=True)
class Data:
    """A dataset of a pipeline.

    Attributes:
        name: Of the entry.
        in_memory: Whether it is gone when the run ends.
        settings: A digest of how the catalog configures it; ``None``: not known.
        path: Of the entry in its lakeFS repository; empty: it is elsewhere.
        repository: Server and name of that repository.
        root: How the paths of its objects begin, as reads tell them.
        is_pinned: Whether it is read at a version or ref of its own, and not as the run writes it.
        adds: Whether what is saved is added to what was there before.
        brings_code: Whether what is loaded may be an object of a class of the project, so that it brings code with it
            that no import tells of.
        held: Tells what it holds now; ``None``: nobody knows.
    """

    name: str
    in_memory: bool = False
    settings: str | None = ""
    path: str = ""
    repository: tuple[str, str] | None = None
    root: str = ""
    is_pinned: bool = False
    adds: bool = False
    brings_code: bool = False
    held: Callable[[], Held | None] = lambda: None

    def identity(self) -> str | None:
        """What it holds now, in one text; ``None``: not known, or nothing."""
        try:
            found = self.held()
        except (StatisfactoryError, OSError):  # whoever needs it says what is wrong
            return None
        return None if found is None else identity_of(found, self.path)


@dataclass(frozen=True)
class Node:
    """A node of a pipeline.

    Attributes:
        name: Of the node.
        inputs: Names of what it reads, parameters apart.
        outputs: Names of what it writes.
        wiring: Which argument or result of its function each input and output is, in values of JSON.
        code: What its function depends on.
        parameters: Digests of the parameters that it takes, by name; ``None``: not known.
        always: Whether the user wants it to be run each time.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    wiring: Any
    code: NodeCode | UnknownCode
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    always: bool = False

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """By which it is found again: two pipelines may have nodes of one name that write other entries."""
        return self.name, self.outputs


@dataclass(frozen=True)
class NodePipeline:
    """The nodes of a pipeline in an order in which they can run, and the datasets between them, by name.

    Attributes:
        nodes: Each comes behind those whose outputs it reads.
        data: All that they read and write, parameters apart.
        project_code: Tells a digest of all code of the project; ``None``: not known.
    """

    nodes: Sequence[Node] = ()
    data: Mapping[str, Data] = field(default_factory=dict)
    project_code: Callable[[], str | None] = lambda: None

    @cached_property
    def _made(self) -> dict[str, tuple[Node, str]]:
        return {_file(name): (node, name) for node in self.nodes for name in node.outputs}

    def maker(self, name: str) -> Node | None:
        """The node that writes a dataset; ``None``: it was there before."""
        found = self._made.get(_file(name))
        return found and found[0]

    def as_written(self, name: str) -> str:
        """The name under which a dataset is written that is read under another one, where both are one entry."""
        found = self._made.get(_file(name))
        return found[1] if found else name

    @cached_property
    def _lineages(self) -> dict[str, str | None]:
        return {}

    def lineage(self, node: Node) -> str | None:
        """A digest of the code of a node and of all before it; ``None`` where that of one is not known."""
        if node.name not in self._lineages:
            self._lineages[node.name] = self._lineage(node)
        return self._lineages[node.name]

    def _lineage(self, node: Node) -> str | None:
        makers = [maker for name in node.inputs if (maker := self.maker(name))]
        found = [self.lineage(each) for each in makers]
        if isinstance(node.code, UnknownCode) or None in found:
            return None
        return hashlib.sha256(json.dumps([node.code.digest, found]).encode()).hexdigest()

    def brought(self, node: Node) -> dict[str, str | None]:
        """Digests of the code that the inputs of a node may bring with them, by their names."""
        found: dict[str, str | None] = {}
        for name in node.inputs:
            if self.data[name].brings_code:
                maker = self.maker(name)
                found[name] = self.lineage(maker) if maker else self.project_code()
        return found

    def settings(self, node: Node) -> dict[str, str | None]:
        """Digests of how the catalog configures the inputs and outputs of a node, by their names."""
        return {name: self.data[name].settings for name in (*node.inputs, *node.outputs)}

    def kept_outputs(self, node: Node) -> list[Data]:
        """The outputs of a node that are still there when the run has ended."""
        return [data for name in node.outputs if not (data := self.data[name]).in_memory]


def _file(name: str) -> str:
    """Entries that differ behind the "@" alone are one: Kedro lets one class write and another one read it."""
    return name.partition("@")[0]
