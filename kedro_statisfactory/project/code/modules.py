"""Where modules come from, whose they are, and whether their files are still what was loaded."""

from __future__ import annotations

import functools
import importlib.machinery
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

from kedro_statisfactory.project.code.distributions import SITES
from kedro_statisfactory.project.code.unknown import CodeNotKnown

_SOURCES = tuple(importlib.machinery.SOURCE_SUFFIXES)
_BINARIES = (*importlib.machinery.EXTENSION_SUFFIXES, *importlib.machinery.BYTECODE_SUFFIXES)
_STANDARD = sys.stdlib_module_names | {*sys.builtin_module_names}
_MOST_FILES = 10_000  # of a project that counts as a whole


@dataclass(frozen=True)
class Module:
    """A module that is loaded, or would be.

    Attributes:
        name: Its absolute name.
        file: Its file; ``None``: it has none, as those that are part of Python, and packages without ``__init__``.
        search: Folders in which its submodules are; ``None``: it is no package.
    """

    name: str
    file: str | None = None
    search: tuple[str, ...] | None = None

    @property
    def is_standard(self) -> bool:
        """Whether it comes with Python."""
        if self.file is None:
            return self.search is None and self.name.split(".")[0] in _STANDARD
        return not is_installed(self.file) and is_standard(self.file)

    @property
    def is_python(self) -> bool:
        """Whether there is source to be read."""
        return self.file is not None and self.file.endswith(_SOURCES)


@functools.lru_cache(maxsize=4096)
def is_installed(file: str) -> bool:
    """Whether a file is where packages are installed, in any environment."""
    return not SITES.isdisjoint(file.split(os.sep)) or file.startswith(_site_folders())


def is_standard(file: str) -> bool:
    """Whether a file, which is not installed, came with Python."""
    return file.startswith(_standard_folders())


@functools.cache
def _site_folders() -> tuple[str, ...]:
    folders = [*site.getsitepackages(), site.getusersitepackages(), *map(sysconfig.get_path, ("purelib", "platlib"))]
    return tuple(os.path.join(folder, "") for folder in folders)


@functools.cache
def _standard_folders() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")} | {os.path.dirname(os.__file__)}
    return tuple(os.path.join(folder, "") for folder in folders)


def find_module(name: str, parent: Module | None) -> Module | None:
    """A module by its name, be it loaded or not; nothing is loaded.

    Args:
        name: Its absolute name.
        parent: The package that it is in.

    Raises:
        CodeNotKnown: It is loaded from a place that cannot be looked at.
    """
    if sys.modules.get(name) is not None:
        held = namespace(name)
        return _described(name, held.get("__file__"), held.get("__path__"))
    if "." in name and (parent is None or parent.search is None):
        return None
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find(name, parent and parent.search and list(parent.search)) if find else None
        if spec is not None:
            origin = spec.origin if spec.has_location else None
            return _described(name, origin, spec.submodule_search_locations)
    return None


def _described(name: str, file: str | None, search: Iterable[str] | None) -> Module:
    return Module(name, file and os.path.abspath(file), None if search is None else tuple(search))


def namespace(name: str) -> Mapping[str, Any]:
    """What a loaded module holds; one that is loaded at its first use is not loaded for that."""
    try:
        found: Mapping[str, Any] = object.__getattribute__(sys.modules.get(name), "__dict__")
    except AttributeError:
        return {}
    return found


def held_by(name: str) -> set[str]:
    """The modules whose functions, classes and objects a loaded module holds, also those that others put there.

    So are plugins found that register themselves, and what a module has got in a way that no import statement tells.
    """
    found: set[str] = set()
    for key, value in list(namespace(name).items()):
        if _is(value, ModuleType):
            # A package has its own modules as attributes, whoever has imported them.
            if value.__name__ != f"{name}.{key}":
                found.add(value.__name__)
        elif not key.startswith("__"):
            found |= set(_homes(value, 3))
            if _is(value, type) and value.__module__ == name:
                found |= {home for each in list(vars(value).values()) if _is(each, *_ALL) for home in _homes(each, 3)}
    return found - {name}


_ALL = (dict, list, tuple, set, frozenset)
_MOST_LOOKED_AT = 1000  # members of a container: what is longer is data


def _is(value: object, *kinds: type) -> bool:
    """Whether a value is of a class; one that stands for another, which may not be there yet, is not asked."""
    return issubclass(type(value), kinds)


def _homes(value: Any, levels: int) -> Iterator[str]:
    """The modules that what a value is made of comes from."""
    if _is(value, *_ALL) and type(value).__module__ in ("builtins", "collections"):
        if levels and len(value) <= _MOST_LOOKED_AT:
            for each in list(value.values() if _is(value, dict) else value):
                yield from _homes(each, levels - 1)
        return
    registry: Any = getattr(value, "registry", None) if _is(value, FunctionType) else None
    if _is(registry, MappingProxyType):  # of a generic function
        yield from (str(each.__module__) for each in registry.values())
    if _is(value, functools.partial):
        yield from _homes(value.func, levels)
    home = getattr(value if _is(value, type, FunctionType) else type(value), "__module__", None)
    if isinstance(home, str) and home not in sys.stdlib_module_names:
        yield home


def submodules(module: Module) -> Iterator[str]:
    """The names of what is directly in a package, as its folders say."""
    for folder in module.search or ():
        for entry in os.scandir(folder):
            stem = entry.name.split(".")[0]
            is_module = entry.name.endswith((*_SOURCES, *_BINARIES)) or entry.is_dir()
            if is_module and stem.isidentifier() and stem not in ("__init__", "__pycache__"):
                yield f"{module.name}.{stem}"


def files_below(folder: Path) -> list[str]:
    """All files below a folder that can be imported; what is installed there is not among them.

    Raises:
        CodeNotKnown: There are too many.
    """
    found: list[str] = []
    waiting, looked = [str(folder)], 0
    while waiting:
        looked += 1
        if max(looked, len(found)) > _MOST_FILES:
            raise CodeNotKnown(
                f"the whole project counts, and {folder} has more than {_MOST_FILES} files of Python or folders"
            )
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:  # what cannot be listed can be imported by nobody, or is gone
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            # What is no identifier is in the name of no module.
            if not entry.name.split(".")[0].isidentifier() or entry.name == "__pycache__":
                continue
            if entry.name.endswith((*_SOURCES, *_BINARIES)):
                found.append(entry.path)
            elif entry.name not in SITES and entry.is_dir() and not (entry.is_symlink() and _is_loop(entry.path)):
                waiting.append(entry.path)
    return found


def _is_loop(link: str) -> bool:
    """Whether a link leads to a folder that it is in."""
    return Path(os.path.realpath(link)) in Path(os.path.realpath(os.path.dirname(link)), "x").parents
