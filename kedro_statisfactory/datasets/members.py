"""Public members of a format that are reached through its entry: a preview, a confirmation, the history of a table."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

_Ask = Callable[[Callable[[Any], Any]], Any]


def has_member(kind: type, name: str) -> bool:
    """Whether a class of a format has a public member of this name."""
    return not name.startswith("_") and hasattr(kind, name)


def member_of(kind: type, name: str, ask: _Ask) -> Any:
    """A public member of a format, which works on the data of the entry when it is used.

    Args:
        kind: Class of the format.
        name: Of the member.
        ask: Called with what is to be done with a dataset of that class; gives what that gives.
    """
    found = inspect.getattr_static(kind, name)
    if isinstance(found, property | functools.cached_property):
        return ask(lambda inner: getattr(inner, name))
    if not inspect.isfunction(found):
        return getattr(kind, name)

    @functools.wraps(found)
    def call(*args: Any, **kwargs: Any) -> Any:
        return ask(lambda inner: getattr(inner, name)(*args, **kwargs))

    signature = inspect.signature(found)
    call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    return call
