"""Datasets of one class with the same arguments on many paths: copies of one, because to make one takes longer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from types import MethodType
from typing import Any, TypeVar, cast

_Dataset = TypeVar("_Dataset")

# What is equal where it has the same value; anything else has to be the same object.
_VALUES = frozenset((bool, bytes, complex, float, int, str, PurePosixPath))


class Template:
    """Gives copies of a dataset, each as if it had been made on a path of its own.

    It does so only where that was seen to be right: the first two datasets are made as always, and the second has to
    be exactly what a copy of the first would be. So a class that does more with its path is never copied. What was seen
    of the same path, on which one file after the other may be staged, tells nothing about other paths.
    """

    def __init__(self) -> None:
        self._first: tuple[str, Any] | None = None
        self._is_right: dict[bool, bool] = {}  # on the same path, and on others, as far as that was seen
        self._varying: list[str] = []

    def __reduce__(self) -> tuple[type[Template], tuple[()]]:
        return Template, ()  # what it has seen stays in its process

    def on(self, path: str, make: Callable[[], _Dataset]) -> _Dataset:
        """A dataset on a path.

        Args:
            path: Of its file.
            make: Makes one.
        """
        if (first := self._first) is None:
            made = make()
            kept = _copy(made, path, path, vars(made))
            self._varying = [name for name, value in vars(kept).items() if _varies(value, path)]
            self._first = path, kept  # last, because other threads copy what is there
            return made
        is_same = first[0] == path
        if self._is_right.get(is_same) and _suffix(first[0]) == _suffix(path):
            return _copy(cast("_Dataset", first[1]), first[0], path, self._varying)
        made = make()
        if is_same not in self._is_right:
            self._is_right[is_same] = _same(vars(_copy(first[1], first[0], path, self._varying)), vars(made))
        return made


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1]


def _varies(value: Any, path: str) -> bool:
    """Whether each copy of a dataset needs its own value of an attribute: one that can be changed, or is the path."""
    return isinstance(value, dict | list) or (isinstance(value, str | PurePosixPath) and str(value) == path)


def _copy(dataset: _Dataset, old: str, new: str, varying: Iterable[str]) -> _Dataset:
    """A copy of a dataset with a new path where the old one was; it shares all but dictionaries and lists.

    Args:
        dataset: What is copied.
        old: Its path.
        new: Of the copy.
        varying: Names of the attributes that cannot be shared.
    """
    twin: _Dataset = object.__new__(type(dataset))
    attributes, made = vars(twin), dict[int, Any]()
    attributes.update(vars(dataset))
    for name in varying:
        attributes[name] = _copied(attributes[name], old, new, made)
    return twin


def _copied(value: Any, old: str, new: str, made: dict[int, Any]) -> Any:
    """A value with a new path where the old one was.

    Args:
        value: What is copied.
        old: The path.
        new: Of the copy.
        made: What was copied before: a value that stands in two places is one.
    """
    kind = type(value)
    if kind is str:
        return new if value == old else value
    if kind is PurePosixPath:
        return PurePosixPath(new) if str(value) == old else value
    if kind is not dict and kind is not list:
        return value
    found: Any = made.get(id(value))
    if found is None:
        found = made[id(value)] = kind(value)
        for key in value if kind is dict else range(len(value)):
            found[key] = _copied(value[key], old, new, made)
    return found


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, of the same kinds, and share what a copy would share."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if kind is list:
        return len(one) == len(other) and all(map(_same, one, other))
    if kind is MethodType:
        return one.__func__ is other.__func__ and one.__self__ is other.__self__
    return one is other or (kind in _VALUES and bool(one == other))
