"""Which modules of the project, and which distributions, a module reaches by its imports."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field

from kedro_statisfactory.project.code.distributions import distribution_of
from kedro_statisfactory.project.code.files import Files
from kedro_statisfactory.project.code.imports import Imports, imports_of, uses
from kedro_statisfactory.project.code.modules import Module, find_module, held_by, is_installed, submodules
from kedro_statisfactory.project.code.unknown import CodeNotKnown

_NO_IMPORTS = Imports()


@dataclass
class Reached:
    """What is reached in one step.

    Attributes:
        modules: Modules of the project.
        absent: Modules that are imported, and are not there.
        distributions: Versions of distributions.
        hidden: What cannot be followed; ``None``: nothing.
    """

    modules: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    distributions: dict[str, str] = field(default_factory=dict)
    hidden: str | None = None


class Graph:
    """Modules and what they import, as they are at one moment.

    Args:
        files: Reads the files of modules.
        package: The package of the project, which counts by its source also where it is installed.
    """

    def __init__(self, files: Files, package: str | None) -> None:
        self._files, self._package = files, package
        self._modules: dict[str, Module | None] = {}
        self._steps: dict[str, Reached] = {}
        self._held: dict[str, dict[str, Module]] = {}

    def find(self, name: str) -> Module | None:
        """A module by its name; ``None``: there is none."""
        if name not in self._modules:
            parent = name.rpartition(".")[0]
            self._modules[name] = find_module(name, self.find(parent) if parent else None)
        return self._modules[name]

    def add(self, name: str, reached: Reached) -> Module | None:
        """Add a module, and the packages that it is in, to what is reached; gives it if it is of the project."""
        module = None
        for dot in [match.start() for match in re.finditer(r"\.|$", name)]:
            module = self.find(name[:dot])
            if module is None:
                if name.split(".")[0] not in sys.stdlib_module_names:  # those may be of another system
                    reached.absent.add(name[:dot])
                return None
            if self._is_own(module):
                reached.modules.add(module.name)
            elif module.is_standard or self._add_distribution(module, reached):
                return None
        return module

    def step(self, module: Module) -> Reached:
        """What a module imports itself, or holds of others."""
        if module.name not in self._steps:
            reached = Reached()
            if module.file is None and module.search is None:
                raise CodeNotKnown(f"the module {module.name!r} has no file")
            if module.file is not None and not module.is_python:
                reached.hidden = "its imports are not in a source of Python"
            self._resolve(module, reached)
            self._steps[module.name] = reached
        return self._steps[module.name]

    def _is_own(self, module: Module) -> bool:
        """Whether a module counts by its source: it is neither of Python nor installed, or of the project's package."""
        if module.is_standard:
            return False
        is_of_package = self._package is not None and f"{module.name}.".startswith(f"{self._package}.")
        return is_of_package or module.file is None or not is_installed(module.file)

    def _add_distribution(self, module: Module, reached: Reached) -> bool:
        """Add the distribution of a module; gives whether there is one, else the module counts by its source."""
        found = distribution_of(module.file or "")
        if found is None:
            reached.modules.add(module.name)
            return False
        reached.distributions[found[0]] = found[1]
        return True

    def _imports(self, module: Module) -> Imports:
        if not module.is_python or module.file is None:
            return _NO_IMPORTS
        try:
            source = self._files.read(module.file)[0]
            return imports_of(source, module.name, module.search is not None, self._package or "")
        except (SyntaxError, ValueError):
            raise CodeNotKnown(f"{module.file} cannot be parsed") from None

    def _resolve(self, module: Module, reached: Reached) -> None:
        imports = self._imports(module)
        reached.hidden = reached.hidden or imports.hidden
        for name in sorted(imports.modules):
            self.add(name, reached)
        for origin, member in sorted(imports.members):
            owner = self.add(origin, reached)
            if owner is not None and owner.search is not None and self.find(f"{origin}.{member}"):
                self.add(f"{origin}.{member}", reached)
        for text in sorted(imports.named):
            self._add_named(text, reached)
        for origin in sorted(imports.stars):
            self._add_all(origin, reached)
        for name in held_by(module.name):
            found = self.find(name)
            if found is not None and self._is_own(found):
                self.add(name, reached)
        self._follow_packages(module, imports, reached)

    def _add_named(self, text: str, reached: Reached) -> None:
        """Add the module that a text names, as those do that are loaded by name."""
        while "." in text and self.find(text) is None:
            text = text.rpartition(".")[0]
        if self.find(text) is not None:
            self.add(text, reached)

    def _add_all(self, origin: str, reached: Reached) -> None:
        """Add what a star takes from a module."""
        owner = self.add(origin, reached)
        if owner is None:
            return
        for name in submodules(owner):
            self.add(name, reached)
        if self._packages_in(owner):
            reached.hidden = reached.hidden or f"`{origin}.*`, which has packages of the project"

    # -- packages as values ------------------------------------------------------------------------------------------

    def _follow_packages(self, module: Module, imports: Imports, reached: Reached) -> None:
        """Follow the attributes of packages: each module in them may be reached by one, whoever has imported it."""
        for name, target in sorted(imports.bound):
            found = self._bound_to(target)
            if found is None or not (found.search is not None or self._packages_in(found)):
                continue
            source = self._files.read(module.file or "")[0]
            for chain in uses(source, name) if name else [()]:
                if not self._add_chain(found, chain, reached):
                    reached.hidden = reached.hidden or f"`{found.name}` as a value"

    def _bound_to(self, target: str) -> Module | None:
        """The module of the project that a dotted name is; it may be an import of an import."""
        origin, _, name = target.rpartition(".")
        owner = self.find(origin) if origin else None
        if origin and (owner is None or not self._is_own(owner)):
            return None
        module = self.find(target) if owner is None or owner.search is not None else None
        if module is not None:
            return module if self._is_own(module) else None
        return self._packages_in(owner).get(name) if owner else None

    def _packages_in(self, module: Module) -> dict[str, Module]:
        """Packages of the project, and modules that hold some, by the names that a module has for them."""
        if module.name not in self._held:
            self._held[module.name] = held = {}
            for name, target in self._imports(module).bound if self._is_own(module) else ():
                found = self._bound_to(target)
                if name and found is not None and (found.search is not None or self._packages_in(found)):
                    held[name] = found
        return self._held[module.name]

    def _add_chain(self, module: Module, chain: tuple[str, ...], reached: Reached) -> bool:
        """Add the modules that attributes of a module lead to; gives whether it is known where they lead."""
        for attribute in chain:
            below = self.find(f"{module.name}.{attribute}") if module.search is not None else None
            found = below or self._packages_in(module).get(attribute)
            if found is None:
                return True
            self.add(found.name, reached)
            module = found
        return module.search is None and not self._packages_in(module)
