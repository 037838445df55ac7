"""What differs between two objects that were loaded: tables, texts, and what JSON can hold."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

#: Differences that are told one by one.
MOST = 20


def differences(before: Any, after: Any) -> list[str]:
    """What differs, a line for each; empty: nothing that can be told, though their bytes may differ."""
    try:
        return _differences(before, after)
    except Exception as error:  # whatever classes of somebody else's make of being compared
        return [f"they cannot be compared: {error}"]


def _differences(before: Any, after: Any) -> list[str]:
    tables = _as_frame(before), _as_frame(after)
    if tables[0] is not None and tables[1] is not None:
        return _of_tables(*tables)
    if isinstance(before, str) and isinstance(after, str):
        return _of_texts(before, after)
    if any(isinstance(before, kind) and isinstance(after, kind) for kind in (Mapping, list)):
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
    found += [f"column {name!s}: added" for name in new if name not in old]
    found += [f"column {name!s}: removed" for name in old if name not in new]
    common = [name for name in new if name in old]
    if len(set(old)) < len(old) or len(set(new)) < len(new):
        return _told(found or ([] if before.equals(after) else ["values differ; names of columns repeat"]))
    if [name for name in old if name in new] != common:
        found.append("columns are in another order")
    types = [(name, before[name].dtype, after[name].dtype) for name in common]
    found += [f"column {name!s}: {one} -> {other}" for name, one, other in types if one != other]
    if before.index.is_unique and after.index.is_unique:
        index = before.index.intersection(after.index)
        others = after.index.difference(before.index, sort=False)
        if len(others) and len(before) == len(after):  # that there are more or fewer rows is told
            found.append(f"{len(others)} of {len(after)} rows have another index, the first {others[0]!s}")
        before, after = before.loc[index], after.loc[index]
    elif len(before) != len(after):
        return _told(found)
    elif not before.index.equals(after.index):
        found.append("the index differs")
    return _told([*found, *(line for name in common for line in _of_columns(name, before[name], after[name]))])


def _of_columns(name: Any, before: Any, after: Any) -> list[str]:
    """What differs in two columns that have as many rows."""
    one, other = before.reset_index(drop=True), after.reset_index(drop=True)
    try:  # what is missing on one side equals nothing, and pandas calls the answer missing as well
        same = (one == other).fillna(False).astype(bool) | (one.isna() & other.isna())
        rows = [int(row) for row in (~same).to_numpy().nonzero()[0]]
    except (TypeError, ValueError):  # categories of two kinds, or arrays in cells
        rows = [row for row, both in enumerate(zip(one, other, strict=True)) if not _are_same(*both)]
    if not rows:
        return []
    first = f"the first {one[rows[0]]!s} -> {other[rows[0]]!s}"
    return [f"column {name!s}: {len(rows)} of {len(one)} values, {first}"]


def _of_texts(before: str, after: str) -> list[str]:
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return [] if before == after else ["the ends of lines differ"]
    lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]  # behind the names of both
    return _told([line for line in lines if not line.startswith("@@")])


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
        is_same = type(before) is type(after) and _are_same(before, after)
        return [] if is_same else [f"{where}: {_short(before)} -> {_short(after)}"]
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


def _are_same(before: Any, after: Any) -> bool:
    """Whether two values are equal, or are both what does not even equal itself: no number."""
    return _are_equal(before, after) or not (_are_equal(before, before) or _are_equal(after, after))


def _are_equal(before: Any, after: Any) -> bool:
    """Whether two objects are equal, be it that their class says so in its own way."""
    try:
        return bool(before == after)
    except (ValueError, TypeError):  # arrays answer for each of their elements
        import pickle

        return pickle.dumps(before) == pickle.dumps(after)
