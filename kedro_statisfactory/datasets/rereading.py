"""What lazy objects are going to read, for saves that would remove it first."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from kedro_statisfactory.backends.engines import S3Access

# Attributes in which Dask's expressions, graphs and tasks, and the files of fsspec that they open, keep what they read.
# They are looked up without running code of Dask: its delayed objects have an attribute of any name, and a collection
# would make its whole graph.
_INSIDE = ("_expr", "operands", "_dask", "dask", "func", "args", "kwargs", "keywords", "value", "fs", "storage_options")
_PACKAGES = ("dask", "fsspec", "functools", "kedro_statisfactory")


def without_reading(data: object) -> object:
    """An object of polars that has read what it needs, since its format would have it read after the old is removed.

    Args:
        data: To be saved; objects of others are given back as they are.
    """
    is_lazy = any(each.__module__.startswith("polars.lazyframe") for each in type(data).__mro__)
    collect: Any = getattr(data, "collect", None) if is_lazy else None
    return collect() if collect else data


def is_of_dask(data: object) -> bool:
    """Whether an object is a collection of Dask, which may read when it is written."""
    return type(data).__module__.startswith("dask.")


def reads_from(data: object, place: S3Access) -> bool:
    """Whether a collection of Dask reads, when it is computed, from a place or from what is around or below it.

    Args:
        data: The collection.
        place: In S3's protocol.
    """
    there = (place.endpoint_url, place.bucket)
    keys = [f"{each.key}/" for each in _accesses(data, set()) if (each.endpoint_url, each.bucket) == there]
    return any(key.startswith(f"{place.key}/") or f"{place.key}/".startswith(key) for key in keys)


def _accesses(value: object, seen: set[int]) -> Iterator[S3Access]:
    """All places that are named in a value."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inside: list[Any] = []
    if isinstance(value, S3Access):
        yield value
    elif isinstance(value, Mapping):
        inside = list(value.values())
    elif isinstance(value, list | tuple):
        inside = list(value)
    elif type(value).__module__.partition(".")[0] in _PACKAGES:
        found = ((name, inspect.getattr_static(value, name, None)) for name in _INSIDE)
        inside = [getattr(value, name, None) for name, it in found if it is not None and not isinstance(it, property)]
    for each in inside:
        yield from _accesses(each, seen)
