"""What differs between two objects that were loaded: tables, texts, and what JSON can hold."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

#: Differences that are told one by one.
MOST = 20


def differences(before: Any, after: Any) -> list[str]:
    """What differs, a line for each; empty: nothing."""
    tables = _as_frame(before), _as_frame(after)
    if tables[0] is not None and tables[1] is not None:
        return _of_tables(*tables)
    if isinstance(before, str) and isinstance(after, str):
        return _of_texts(before, after)
    if isinstance(before, Mapping | list) and isinstance(after, Mapping | list):
        return _told(_of_trees(before, after, ""))
    if type(before) is not type(after):
        return [f"type: {type(before).__name__} -> {type(after).__name__}"]
    return [] if _are_equal(before, after) else [f"the two objects of type {type(after).__name__} are not equal"]


def _as_frame(value: Any) -> Any:
    """A table as pandas has it; ``None``: it is no table."""
    for convert in ("to_pandas", "toPandas"):
        if hasattr(value, convert) and hasattr(value, "columns"):
            value = getattr(value, convert)()
    return value if hasattr(value, "columns") and hasattr(value, "iloc") and hasattr(value, "dtypes") else None


def _of_tables(before: Any, after: Any) -> list[str]:
    found: list[str] = []
    if len(before) != len(after):
        found.append(f"rows: {len(before)} -> {len(after)}")
    old, new = list(before.columns), list(after.columns)
    for what, names in (("added", [name for name in new if name not in old]), ("removed", set(old) - set(new))):
        found += [f"column {name!s}: {what}" for name in names]
    common = [name for name in new if name in old]
    found += [
        f"column {name!s}: {before[name].dtype} -> {after[name].dtype}"
        for name in common
        if before[name].dtype != after[name].dtype
    ]
    if before.index.is_unique and after.index.is_unique:
        index = before.index.intersection(after.index)
        before, after = before.loc[index], after.loc[index]
    elif len(before) != len(after):
        return found
    for name in common:
        one, other = before[name].reset_index(drop=True), after[name].reset_index(drop=True)
        differ = ~((one == other) | (one.isna() & other.isna()))
        if count := int(differ.sum()):
            at = differ.idxmax()
            found.append(f"column {name!s}: {count} of {len(one)} values, the first {one[at]!s} -> {other[at]!s}")
    return _told(found)


def _of_texts(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return _told([line for line in lines if not line.startswith(("---", "+++", "@@"))])


def _of_trees(before: Any, after: Any, where: str) -> list[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        pairs: list[tuple[str, Any, Any]] = []
        for key in [*before, *(key for key in after if key not in before)]:
            pairs.append((f"{where}.{key}" if where else str(key), before.get(key, _GONE), after.get(key, _GONE)))
    elif isinstance(before, list) and isinstance(after, list):
        size = max(len(before), len(after))
        one, other = [*before, *[_GONE] * (size - len(before))], [*after, *[_GONE] * (size - len(after))]
        pairs = [(f"{where}[{number}]", one[number], other[number]) for number in range(size)]
    else:
        return [] if before == after else [f"{where}: {_short(before)} -> {_short(after)}"]
    return [line for place, one, other in pairs for line in _of_trees(one, other, place)]


class _Gone:
    def __repr__(self) -> str:
        return "nothing"


_GONE = _Gone()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _told(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST else [*lines[:MOST], f"… and {len(lines) - MOST} more"]


def _are_equal(before: Any, after: Any) -> bool:
    """Whether two objects are equal, be it that their class says so in its own way."""
    try:
        return bool(before == after)
    except (ValueError, TypeError):  # arrays answer for each of their elements
        import pickle

        return pickle.dumps(before) == pickle.dumps(after)
