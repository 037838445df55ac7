"""The code that nodes depend on, as it is loaded in this process; nothing is imported or run for it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kedro_statisfactory.project.code.distributions import distribution_of
from kedro_statisfactory.project.code.files import Files
from kedro_statisfactory.project.code.functions import Function
from kedro_statisfactory.project.code.imports import Imports, imports_of, uses
from kedro_statisfactory.project.code.modules import (
    Module,
    files_below,
    find_module,
    is_installed,
    is_standard,
    submodules,
)
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


@dataclass
class _Reached:
    """What one module imports itself: modules of the project, distributions, and what cannot be followed."""

    modules: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    distributions: dict[str, str] = field(default_factory=dict)
    hidden: str | None = None


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
        self._modules: dict[str, Module | None] = {}
        self._reached: dict[str, _Reached] = {}
        self._whole: dict[str, tuple[str, str]] | None = None

    def read(self, function: Callable[..., Any]) -> NodeCode | UnknownCode:
        """The code of a node, or of anything else that can be called, such as the class of a dataset."""
        try:
            return self._read(Function(function))
        except CodeNotKnown as error:
            return UnknownCode(str(error))

    def _read(self, function: Function) -> NodeCode:
        own = _Reached()
        for name in sorted(function.modules):
            self._add(name, own)
        modules, distributions, hidden = dict.fromkeys(own.absent, _ABSENT), own.distributions, ""
        waiting, seen = sorted(own.modules), set(own.modules)
        while waiting:
            name = waiting.pop()
            module = self._find(name)
            assert module is not None
            if module.file is not None:
                modules[name] = self._files.read(module.file)[1]
            elif module.search is None:
                raise CodeNotKnown(f"the module {name!r} has no file")
            reached = self._imports(module)
            hidden = hidden or (f"{name}: {reached.hidden}" if reached.hidden else "")
            modules.update(dict.fromkeys(reached.absent, _ABSENT))
            distributions.update(reached.distributions)
            waiting += reached.modules - seen
            seen |= reached.modules
        if hidden:
            found = filter(None, map(self._find, modules))
            modules.update(self._whole_project({os.path.realpath(each.file) for each in found if each.file}))
        digest = hashlib.sha256(json.dumps([function.identity, sorted(modules.items())]).encode()).hexdigest()
        versions = (
            {} if self._versions == "ignore" else {"python": self._cut(platform.python_version()), **distributions}
        )
        return NodeCode(digest, modules, versions, hidden or None)

    # -- modules -----------------------------------------------------------------------------------------------------

    def _find(self, name: str) -> Module | None:
        if name not in self._modules:
            parent = name.rpartition(".")[0]
            self._modules[name] = find_module(name, self._find(parent) if parent else None)
        return self._modules[name]

    def _is_own(self, module: Module) -> bool:
        """Whether a module counts by its source."""
        if module.is_standard:
            return False
        is_of_package = self._package is not None and (module.name + ".").startswith(self._package + ".")
        return is_of_package or module.file is None or not is_installed(module.file)

    def _add(self, name: str, reached: _Reached) -> Module | None:
        """Add a module, and the packages that it is in, to what is reached."""
        parts = name.split(".")
        module = None
        for length in range(1, len(parts) + 1):
            module = self._find(".".join(parts[:length]))
            if module is None:
                if length == 1 and parts[0] in sys.stdlib_module_names:  # of another system
                    return None
                reached.absent.add(".".join(parts[:length]))
                return None
            if self._is_own(module):
                reached.modules.add(module.name)
            elif module.is_standard or self._add_distribution(module, reached):
                return None
        return module if module and self._is_own(module) else None

    def _add_distribution(self, module: Module, reached: _Reached) -> bool:
        """Add the distribution of a module; gives whether there is one, else it counts by its source."""
        assert module.file is not None
        found = distribution_of(module.file)
        if found is None:
            reached.modules.add(module.name)
            return False
        if self._versions != "ignore":
            reached.distributions[found[0]] = self._cut(found[1])
        return True

    def _cut(self, version: str) -> str:
        return ".".join(version.split(".")[:2]) if self._versions == "minor" else version

    # -- imports -----------------------------------------------------------------------------------------------------

    def _imports(self, module: Module) -> _Reached:
        if module.name not in self._reached:
            self._reached[module.name] = self._follow(module)
        return self._reached[module.name]

    def _follow(self, module: Module) -> _Reached:
        reached = _Reached()
        if module.file is None:
            return reached
        if not module.is_python:
            reached.hidden = "it is no source of Python"
            return reached
        source = self._files.read(module.file)[0]
        try:
            imports = imports_of(source, module.name, module.search is not None)
        except (SyntaxError, ValueError):
            raise CodeNotKnown(f"{module.file} cannot be parsed") from None
        reached.hidden = imports.hidden
        self._resolve(imports, module, source, reached)
        return reached

    def _resolve(self, imports: Imports, module: Module, source: bytes, reached: _Reached) -> None:
        for name in sorted(imports.modules):
            self._add(name, reached)
        for origin, member in sorted(imports.members):
            self._add_member(origin, member, reached)
        for origin in sorted(imports.stars):
            package = self._add(origin, reached)
            for name in submodules(package) if package else ():
                self._add(name, reached)
        for name, target in sorted(imports.bound):
            package = self._package_of(target)
            if package is None:
                continue
            used = uses(source, name) if name else [()]
            for chain in used:
                if not self._add_chain(package, chain, reached):
                    reached.hidden = reached.hidden or f"the package `{package.name}` as a value"

    def _add_member(self, origin: str, member: str, reached: _Reached) -> None:
        owner = self._add(origin, reached)
        if owner is None or owner.search is None:
            return
        name = f"{origin}.{member}"
        if self._find(name) is not None:
            self._add(name, reached)

    def _package_of(self, target: str) -> Module | None:
        """The package of the project that a name is bound to, if it is one."""
        parent = self._find(target.rpartition(".")[0]) if "." in target else None
        if "." in target and (parent is None or parent.search is None or not self._is_own(parent)):
            return None
        module = self._find(target)
        return module if module and module.search is not None and self._is_own(module) else None

    def _add_chain(self, package: Module, chain: tuple[str, ...], reached: _Reached) -> bool:
        """Add the modules that attributes of a package lead to; gives whether it is known where they lead."""
        for attribute in chain:
            module = self._find(f"{package.name}.{attribute}")
            if module is None:
                return True
            self._add(module.name, reached)
            if module.search is None:
                return True
            package = module
        return False

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
        package = self._find(self._package) if self._package else None
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
