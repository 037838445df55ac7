"""Digests of values that a catalog or parameters have, which are equal only where the values are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any

# Values that their text tells, together with their type.
_PLAIN = (type(None), bool, int, float, complex, str, bytes, date, time, timedelta, Decimal, PurePath)


class _Odd(Exception):
    """A value of which nobody knows what it says of itself."""


def digest_of_value(value: object) -> str | None:
    """A digest that equal values have in each process; ``None`` where a part of the value is of an unknown type.

    The order of a mapping counts: code may go through it in this order.

    >>> digest_of_value({"a": 1}) == digest_of_value({"a": 1}) != digest_of_value({"a": 1.0})
    True
    >>> digest_of_value({"a": object()})
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(value):
            digest.update(part.encode("utf-8", "surrogatepass"))
    except (_Odd, RecursionError):
        return None
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[str]:
    """The type and content of a value, so that no two values give the same parts in a row."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, type):
        yield f"class {value.__module__}.{value.__qualname__};"
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)};"
        for key, item in value.items():
            yield from _parts(key)
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        yield f"{'list' if isinstance(value, list) else 'tuple'} {len(value)};"
        for item in value:
            yield from _parts(item)
    elif isinstance(value, _PLAIN):
        text = repr(value)
        yield f"{name} {len(text)} {text};"
    else:
        raise _Odd
