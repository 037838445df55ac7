"""The code that nodes depend on, as it is loaded in this process; nothing is imported or run for it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kedro_statisfactory.project.code.distributions import all_installed
from kedro_statisfactory.project.code.files import Files
from kedro_statisfactory.project.code.functions import Function
from kedro_statisfactory.project.code.graph import Graph, Reached
from kedro_statisfactory.project.code.modules import Module, files_below, is_installed, is_standard
from kedro_statisfactory.project.code.unknown import CodeNotKnown

Versions = Literal["ignore", "minor", "exact"]
_ABSENT = "absent"


@dataclass(frozen=True)
class NodeCode:
    """The code that a node depends on.

    Attributes:
        digest: Of the function, and of every module of the project that it reaches by imports.
        modules: Digests of these modules by name, which tell which one has changed.
        distributions: Versions of Python and of the distributions that these modules import, cut as the setting says.
        whole_project: Why all modules of the project count; ``None``: only those that are imported do.
    """

    digest: str
    modules: Mapping[str, str]
    distributions: Mapping[str, str]
    whole_project: str | None


@dataclass(frozen=True)
class UnknownCode:
    """The code of a node that cannot be known; such a node is never up to date.

    Attributes:
        reason: Why.
    """

    reason: str


#: Stands for all distributions, where the whole project counts.
INSTALLED = "all that is installed"


class CodeReader:
    """Reads the code of the nodes of a project, at one moment; what they share is read once.

    Who records what a run has run reads it before the run and, by another reader, after it: a module may be loaded as
    late as in a node, and where the two differ, or the second is unknown, nobody knows which code ran. An object that
    was unpickled brings the code of its class with it, which no import tells of: whoever takes such an input depends
    on the code of the node that made it as well.

    A module of the project is each one that is neither of Python nor installed, wherever its file is, and the project's
    own package also where that is installed.

    Args:
        project: The root of the project.
        package: The project's package.
        versions: How versions of distributions count.
    """

    def __init__(self, project: Path, package: str | None, versions: Versions = "minor") -> None:
        self._project, self._package, self._versions = project, package, versions
        self._files = Files()
        self._graph = Graph(self._files, package)
        self._known: dict[frozenset[str], tuple[dict[str, str], dict[str, str], str | None]] = {}
        self._whole: dict[str, tuple[str, str]] | None = None

    def read(self, function: Callable[..., Any]) -> NodeCode | UnknownCode:
        """The code of a node, or of anything else that can be called, such as the class of a dataset."""
        try:
            return self._read(Function(function, self._project))
        except CodeNotKnown as error:
            return UnknownCode(str(error))

    def read_project(self) -> str | None:
        """A digest of all code of the project; ``None`` where it cannot be read."""
        try:
            return hashlib.sha256(json.dumps(sorted(self._whole_project(set()).items())).encode()).hexdigest()
        except CodeNotKnown:
            return None

    def _read(self, function: Function) -> NodeCode:
        modules, versions, hidden = self._reached(frozenset(function.modules))
        digest = hashlib.sha256(json.dumps([function.identity, sorted(modules.items())]).encode()).hexdigest()
        counting = self._counting(versions)
        if hidden and counting:  # what nobody can follow may lead to whatever is installed
            counting[INSTALLED] = self._installed
        return NodeCode(digest, modules, counting, hidden)

    def _reached(self, names: frozenset[str]) -> tuple[dict[str, str], dict[str, str], str | None]:
        """Digests of all modules that some reach, versions of distributions, and why the whole project counts."""
        if names in self._known:
            return self._known[names]
        first = Reached()
        for name in sorted(names):
            self._graph.add(name, first)
        steps, waiting, seen = [first], sorted(first.modules), set(first.modules)
        found: list[Module] = []
        hidden = None
        while waiting:
            module = self._graph.find(waiting.pop())
            assert module is not None
            found.append(module)
            step = self._graph.step(module)
            if step.hidden and not hidden:
                hidden = f"{module.name}: {step.hidden}"
            steps.append(step)
            waiting += sorted(step.modules - seen)
            seen |= step.modules
        modules = {each.name: self._files.read(each.file)[1] for each in found if each.file is not None}
        modules.update((name, _ABSENT) for step in steps for name in step.absent)
        if hidden:
            modules.update(self._whole_project({os.path.realpath(each.file) for each in found if each.file}))
        versions = dict(item for step in steps for item in step.distributions.items())
        self._known[names] = modules, {"python": platform.python_version(), **versions}, hidden
        return self._known[names]

    def _counting(self, versions: Mapping[str, str]) -> dict[str, str]:
        """Versions as far as the setting lets them count."""
        if self._versions == "ignore":
            return {}
        parts = 2 if self._versions == "minor" else None
        return {name: ".".join(versions[name].split(".")[:parts]) for name in sorted(versions)}

    @functools.cached_property
    def _installed(self) -> str:
        """A digest of the versions of all distributions."""
        return hashlib.sha256(json.dumps(self._counting(all_installed())).encode()).hexdigest()[:12]

    # -- the whole project -------------------------------------------------------------------------------------------

    def _whole_project(self, without: Container[str]) -> dict[str, str]:
        """Digests of all files of the project that can be imported, by path; some are known already."""
        if self._whole is None:
            root = os.path.realpath(self._project)
            self._whole = {
                os.path.realpath(file): (Path(os.path.relpath(file, root)).as_posix(), self._files.read(file)[1])
                for folder in self._folders()
                for file in files_below(folder)
            }
        return dict(told for file, told in self._whole.items() if file not in without)

    def _folders(self) -> list[Path]:
        """Where modules of the project can be: in its folder, its package, and where Python looks beside."""
        package = self._graph.find(self._package) if self._package else None
        found = [self._project, *map(Path, (package and package.search) or ())]
        scripts = sysconfig.get_path("scripts")
        for place in map(os.path.abspath, sys.path):
            inside = os.path.join(place, "")
            if place != scripts and os.path.isdir(place) and not is_installed(inside) and not is_standard(inside):
                found.append(Path(place))
        unique = list(dict.fromkeys(Path(os.path.realpath(each)) for each in found))
        return [each for each in unique if not any(other in each.parents for other in unique)]


def node_code(
    function: Callable[..., Any], *, project: Path, package: str | None, versions: Versions = "minor"
) -> NodeCode | UnknownCode:
    """The code that one node depends on; for many, make one :class:`CodeReader`."""
    return CodeReader(project, package, versions).read(function)
