"""Which function it is, and which modules have a part in it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import os
import pathlib
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any

from kedro_statisfactory.project.code.unknown import CodeNotKnown

_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)})
_TOLD_BY_TEXT = (
    pathlib.PurePath,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.timezone,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    range,
)
_DEEPEST = 50  # levels of values within values


class Function:
    """A function, or whatever else can be called, as far as the sources of modules do not say all of it.

    Args:
        function: The function.
        project: The root of the project: paths below it are told as they are from there, so that clones agree.

    Attributes:
        identity: Values of JSON that tell it from others of the same modules: its name, and if it was made by a
            function, its code and what it has captured.
        modules: Names of the modules that it, and what it has captured, come from.

    Raises:
        CodeNotKnown: It comes from no module, or has captured something that is no plain value.
    """

    def __init__(self, function: Callable[..., Any], project: Path) -> None:
        self._roots = dict.fromkeys([os.path.abspath(project), os.path.realpath(project)])
        self._only_fixed = False  # whether what can be changed is left out
        self.modules: set[str] = set()
        self._open: dict[int, int] = {}  # what is being told, against circles
        self.identity = self._tell(function)

    def _tell(self, value: object) -> Any:
        if type(value) in _PLAIN:
            return [type(value).__name__, self._tell_plain(value)]
        if id(value) in self._open:
            return ["again", self._open[id(value)]]
        self._open[id(value)] = len(self._open)
        try:
            if len(self._open) > _DEEPEST:
                raise CodeNotKnown("its function has captured values that are nested too deeply")
            return [type(value).__name__, *self._tell_more(value)]
        except CodeNotKnown:
            if not self._only_fixed:
                raise
            return None
        finally:
            del self._open[id(value)]

    def _tell_plain(self, value: object) -> str | list[str]:
        if isinstance(value, str) and (below := self._below_project(value)) is not None:
            return ["in the project", below]
        return repr(value)

    def _below_project(self, path: str) -> str | None:
        """What an absolute path is from the root of the project; ``None``: it does not lead there."""
        for root in self._roots:
            if all(f"{each}{os.sep}".startswith(os.path.join(root, "")) for each in (path, os.path.normpath(path))):
                return path[len(root) :]
        return None

    def _tell_more(self, value: Any) -> Iterable[Any]:
        kind: type = type(value)
        if self._only_fixed and kind in (list, set, dict):
            return ["may change"]
        if kind in (tuple, list):
            return map(self._tell, value)
        if kind in (set, frozenset):
            return sorted(map(self._tell, value), key=json.dumps)
        if kind is dict:
            return self._tell_items(value)
        if _is_told_by_text(value):
            below = self._below_project(str(value)) if isinstance(value, pathlib.PurePath) else None
            return [repr(value) if below is None else ["in the project", below]]
        if kind is re.Pattern:
            return [self._tell(value.pattern), value.flags]
        if isinstance(value, enum.Enum):
            return [self._tell(kind), value.name or repr(value)]  # flags that are joined may have no name
        if isinstance(value, tuple) and hasattr(kind, "_fields") and not getattr(value, "__dict__", None):
            return [self._tell(kind), *map(self._tell, value)]
        if isinstance(value, CodeType):
            return self._tell_code(value)
        return self._tell_callable(value)

    def _tell_items(self, value: Mapping[Any, object]) -> list[Any]:
        return [[self._tell(key), self._tell(each)] for key, each in value.items()]

    def _tell_callable(self, value: object) -> Iterable[Any]:
        if isinstance(value, ModuleType):
            return [self._known(value.__name__)]
        if isinstance(value, FunctionType):
            return self._tell_function(value)
        if isinstance(value, MethodType):
            return [self._tell(value.__func__), self._tell(value.__self__)]
        if type(value) is functools.partial:
            return [self._tell(value.func), self._tell(value.args), ["dict", *self._tell_items(value.keywords)]]
        if isinstance(value, functools._lru_cache_wrapper):
            return [self._tell(value.__wrapped__)]
        if isinstance(value, staticmethod | classmethod):
            return [self._tell(value.__func__)]
        if found := self._by_name(value):
            return [*found, *self._tell_made_by(value, "__new__", "__init__")]
        if isinstance(value, BuiltinFunctionType | MethodWrapperType) and not isinstance(value.__self__, ModuleType):
            return [value.__name__, self._tell(value.__self__)]
        if isinstance(value, type):
            raise CodeNotKnown(f"the class {value.__qualname__!r} is none that its module names")
        return self._tell_instance(value)

    # -- by name -----------------------------------------------------------------------------------------------------

    def _known(self, module: str) -> str:
        """A module that has a part in it."""
        if module == "__main__":
            raise CodeNotKnown("its function comes from a notebook or from the script that runs, and from no module")
        self.modules.add(module)
        return module

    def _by_name(self, value: object) -> list[str] | None:
        """Module and name of what a module holds under the name that it has; ``None``: no module does."""
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str):
            return None
        held: object = sys.modules.get(module)
        for part in name.split("."):
            held = getattr(held, "__dict__", {}).get(part)
            if isinstance(held, staticmethod | classmethod):
                held = held.__func__
        if held is not value:
            return None
        bases = value.__mro__ if isinstance(value, type) else ()
        for base in bases:
            self._known(base.__module__)
        return [self._known(module), name]

    # -- functions ---------------------------------------------------------------------------------------------------

    def _tell_function(self, function: FunctionType) -> Iterable[Any]:
        home = function.__globals__.get("__name__")
        if getattr(sys.modules.get(str(home)), "__dict__", None) is not function.__globals__:
            raise CodeNotKnown(f"its function {function.__qualname__!r} comes from no module that is loaded")
        self._known(str(home))
        if found := self._by_name(function):
            return [*found, *self._tell_wrapped(function)]
        file = getattr(sys.modules[str(home)], "__file__", None)
        if function.__code__.co_filename != file:
            raise CodeNotKnown(f"its function {function.__qualname__!r} was made by code that is in no file")
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        captured = [[name, self._tell_cell(cell)] for name, cell in cells]
        more = {name: each for name, each in vars(function).items() if name != "__wrapped__"}
        keywords = function.__kwdefaults__
        told = (
            self._tell(function.__code__),
            self._tell(function.__defaults__),
            self._tell(None) if keywords is None else ["dict", *self._tell_items(keywords)],
            self._tell(more),
        )
        return [home, function.__qualname__, *told, captured]

    def _tell_cell(self, cell: CellType) -> Any:
        try:
            return self._tell(cell.cell_contents)
        except ValueError:
            return ["empty"]

    def _tell_code(self, code: CodeType) -> Iterable[Any]:
        names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)
        return [self._tell(each) for each in (code.co_code, names, code.co_consts)]

    def _tell_wrapped(self, function: FunctionType) -> Iterable[Any]:
        """The defaults of a function's arguments, and those of the functions that its decorators have captured.

        All else of these functions is in the code of their modules, which are added here even if nothing imports them.
        A default may have been made of a variable or a file, of which that code does not tell the value. What can be
        changed in a default is left out, because there are functions that remember something there, and so is what
        cannot be told.
        """
        waiting, seen = [function], {id(function)}
        while waiting:
            outer = waiting.pop()
            if found := [*(outer.__defaults__ or ()), *sorted((outer.__kwdefaults__ or {}).items())]:
                yield self._tell_fixed(found)
            for cell in outer.__closure__ or ():
                inner = getattr(cell, "cell_contents", None)
                if isinstance(inner, FunctionType) and id(inner) not in seen:
                    seen.add(id(inner))
                    self._known(str(inner.__globals__.get("__name__")))
                    waiting.append(inner)

    def _tell_fixed(self, values: Iterable[object]) -> list[Any]:
        """Values, as far as they cannot change and can be told."""
        before, self._only_fixed = self._only_fixed, True
        try:
            return [*map(self._tell, values)]
        finally:
            self._only_fixed = before

    def _tell_made_by(self, kind: object, *names: str) -> Iterable[Any]:
        """What modules do not tell of the methods of a class that are called with it; what is no class has none."""
        methods = [getattr(kind, name, None) for name in names] if isinstance(kind, type) else []
        return [more for each in methods if isinstance(each, FunctionType) for more in self._tell_wrapped(each)]

    # -- instances ---------------------------------------------------------------------------------------------------

    def _tell_instance(self, value: Any) -> Iterable[Any]:
        """Class and state of an object whose class leaves it to Python to tell them."""
        kind = type(value)
        if self._only_fixed:
            return self._tell_frozen(value)
        own = (getattr(kind, name, None) for name in ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__"))
        plain = (object.__reduce__, object.__reduce_ex__, getattr(object, "__getstate__", None), None)
        try:
            if tuple(own) != plain or hasattr(kind, "__getnewargs_ex__"):
                raise TypeError
            _, (_, *arguments), state, items, pairs = value.__reduce_ex__(2)
        except (TypeError, ValueError):
            raise CodeNotKnown(
                f"its function has captured an object of {kind.__qualname__!r}, which is no plain value"
            ) from None
        told = map(self._tell, (arguments, state, list(items or ()), list(pairs or ())))
        return [self._tell(kind), *told, *self._tell_made_by(kind, "__call__")]

    def _tell_frozen(self, value: Any) -> Iterable[Any]:
        """Class and fields of a dataclass that is frozen; of another object nothing."""
        kind = type(value)
        if not (params := vars(kind).get("__dataclass_params__")) or not params.frozen:
            return ["may change"]
        return [self._tell(kind), *(self._tell(getattr(value, each.name, None)) for each in dataclasses.fields(value))]


def _is_told_by_text(value: object) -> bool:
    return isinstance(value, _TOLD_BY_TEXT) and type(value).__module__ in _TELLERS


_TELLERS = frozenset({"builtins", "datetime", "decimal", "fractions", "pathlib", "pathlib._local", "uuid"})
