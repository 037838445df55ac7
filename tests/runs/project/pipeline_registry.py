"""A pipeline whose nodes fail, wait or die when a parameter says so."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from kedro.pipeline import Pipeline, node, pipeline

Value = dict[str, int]
_WAITS_AT_MOST = 60.0  # seconds


def act(where: str, parameters: dict[str, Any]) -> None:
    """Do in the node ``where`` what the parameters ask for."""
    if where in parameters.get("fail", ()):
        raise RuntimeError(f"{where} fails")
    if where == parameters.get("interrupt"):
        raise KeyboardInterrupt
    if where in parameters.get("signal", {}):
        os.kill(os.getpid(), getattr(signal, parameters["signal"][where]))
        time.sleep(_WAITS_AT_MOST)
    if where in parameters.get("wait", {}):
        begun, end = map(Path, parameters["wait"][where])
        begun.touch()
        deadline = time.monotonic() + _WAITS_AT_MOST
        while not end.exists() and time.monotonic() < deadline:
            time.sleep(0.01)


def first(parameters: dict[str, Any]) -> Value:
    """Make ``a`` from a parameter."""
    act("first", parameters)
    return {"n": parameters["value"]}


def second(a: Value, parameters: dict[str, Any]) -> Value:
    """Make ``b`` from ``a``."""
    act("second", parameters)
    assert parameters.get("expect", a["n"] * 10) == a["n"] * 10
    return {"n": a["n"] * 10}


def add(before: Value, a: Value, parameters: dict[str, Any]) -> Value:
    """Add ``a`` to the total that there was before."""
    act("add", parameters)
    return {"n": before["n"] + a["n"]}


def compare(a: Value, made: Value) -> Value:
    """See that ``a`` is still what ``second`` was given."""
    assert made == {"n": a["n"] * 10}
    return a


def parts(parameters: dict[str, Any]) -> Value:
    """Make what a folder holds from a parameter."""
    act("parts", parameters)
    return {"n": parameters["value"]}


def take(queue: list[str], parameters: dict[str, Any]) -> Value:
    """Count what waits."""
    act("take", parameters)
    return {"n": len(queue)}


def row(parameters: dict[str, Any]) -> Any:
    """A table with one row."""
    import pandas as pd

    return pd.DataFrame({"n": [parameters["value"]]})


def one(value: int) -> Value:
    """Make a number from a parameter."""
    return {"n": value}


def times(a: Value, factor: int) -> Value:
    """Multiply a number."""
    return {"n": a["n"] * factor}


def sign(a: Value) -> Value:
    """Whether a number is above zero."""
    return {"n": int(a["n"] > 0)}


def both(a: Value) -> tuple[Value, Value]:
    """The same twice."""
    return a, a


def named(a: Value) -> dict[str, Value]:
    """The same by name."""
    return {"n": a}


def register_pipelines() -> dict[str, Pipeline]:
    """The pipelines of the project."""
    whole = pipeline(
        [
            node(first, "parameters", "a", name="first"),
            node(second, ["a", "parameters"], "b", name="second", tags="some"),
            node(add, ["total_before", "a", "parameters"], "total", name="add"),
        ]
    )
    there = node(one, "params:other", "elsewhere", name="there")
    return {
        "__default__": whole,
        "with_folder": whole + pipeline([node(parts, "parameters", "folder", name="parts")]),
        "elsewhere": pipeline([node(second, ["a", "parameters"], "elsewhere", name="second")]),
        "twice": pipeline(
            [
                node(second, ["a", "parameters"], "elsewhere", name="second"),
                node(compare, ["a", "elsewhere"], "memory", name="compare"),
            ]
        ),
        "reads": pipeline([node(second, ["b", "parameters"], "memory", name="second")]),
        "from_b": pipeline([node(second, ["b", "parameters"], "elsewhere", name="second")]),
        "local": pipeline([node(first, "parameters", "local", name="first")]),
        "both": whole + pipeline([node(second, ["a", "parameters"], "elsewhere", name="other")]),
        "mixed": pipeline([node(first, "parameters", "local", name="local"), node(first, "parameters", "a", name="a")]),
        "confirms": pipeline([node(take, ["queue", "parameters"], "elsewhere", name="take", confirms="queue")]),
        "adds": pipeline([node(row, "parameters", "added", name="row")]),
        # Two nodes behind one; what is between them is in lakeFS, or stays in memory.
        "chain": pipeline(
            [
                node(one, "params:value", "wide_1", name="one"),
                node(times, ["wide_1", "params:factor"], "wide_2", name="times"),
                node(sign, "wide_1", "memory", name="sign"),
                node(sign, "memory", "wide_3", name="sign_again"),
            ]
        ),
        "straight": pipeline(
            [
                node(one, "params:value", "wide_1", name="one"),
                node(times, {"a": "wide_1", "factor": "params:factor"}, "wide_2", name="times"),
                node(both, "wide_2", ["wide_3", "wide_4"], name="both"),
                node(named, "wide_4", {"n": "wide_5"}, name="named"),
            ]
        ),
        # What is tagged `always` keeps nothing; what is on disk, or another package's, beside what is in lakeFS.
        "odd": pipeline(
            [
                node(one, "params:value", "seen", name="look", tags="always"),
                node(one, "params:value", "local", name="one"),
                node(times, ["local", "params:factor"], "wide_6", name="times"),
                node(one, "params:value", "of_kedro", name="of_kedro"),
            ]
        ),
        # What is on disk alone, beside what is in two repositories.
        "three": pipeline(
            [
                node(one, "params:value", "a", name="here"),
                node(times, ["a", "params:factor"], "local", name="local"),
                there,
            ]
        ),
        "there": pipeline([node(times, ["a", "params:factor"], "local", name="local"), there]),
        "wide": pipeline([node(first, "parameters", f"wide_{number}", name=f"n{number}") for number in range(40)]),
    }
