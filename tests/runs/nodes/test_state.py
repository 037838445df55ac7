"""What makes a node stale, without a server: by what is known of it, and by what nobody knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.errors import TransferError
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.code import NodeCode, UnknownCode
from kedro_statisfactory.runs.nodes.contents import identity_of, is_as_read, noted, written_meanwhile
from kedro_statisfactory.runs.nodes.of_run import NodesOfRun
from kedro_statisfactory.runs.nodes.pipeline import Data, Node, NodePipeline
from kedro_statisfactory.runs.nodes.record import NODES, Record, packed, unpacked
from kedro_statisfactory.runs.nodes.recording import recipes, records_of_run
from kedro_statisfactory.runs.nodes.state import Plan, State, look, plan
from kedro_statisfactory.runs.nodes.values import digest_of_value
from kedro_statisfactory.runs.use import Use

_CODE = NodeCode("code", {"my.nodes": "1"}, {"pandas": "2.2"}, None)


def _node(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], **more: Any) -> Node:
    return Node(name, inputs, outputs, [list(inputs), list(outputs)], **{"code": _CODE, **more})


def _stored(name: str, **more: Any) -> Data:
    return Data(name, path=name, repository=("host", "repo"), **more)


def _pipeline(*nodes: Node, project_code: Callable[[], str | None] = lambda: "all", **data: Data) -> NodePipeline:
    """Nodes, and their datasets, which are stored where nothing else is said."""
    names = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    return NodePipeline(
        nodes, {name: data.get(name.partition("@")[0]) or _stored(name) for name in names}, project_code
    )


# raw -> [clean] -> kept -> [sum] -> memory -> [report] -> told
CLEAN, _SUM = _node("clean", ("raw",), ("kept",)), _node("sum", ("kept",), ("memory",))
REPORT = _node("report", ("memory",), ("told",), parameters={"params:x": "1"})
_MEMORY = Data("memory", in_memory=True)
WHOLE = _pipeline(CLEAN, _SUM, REPORT, memory=_MEMORY)
HELD = {"raw": "r", "kept": "k", "told": "t"}


def recorded_nodes(pipeline: NodePipeline = WHOLE) -> dict[str, Record]:
    told = records_of_run(pipeline, {"raw": "r"}, {"kept": "k", "told": "t"}, None)
    return {each.recipe.name: each for each in unpacked(packed(told))}


def _changed(name: str, **change: Any) -> NodePipeline:
    """The pipeline, with another node of a name."""
    nodes = [dataclasses.replace(each, **change) if each.name == name else each for each in WHOLE.nodes]
    return dataclasses.replace(WHOLE, nodes=nodes)


def changed_entry(name: str, **change: Any) -> NodePipeline:
    """The pipeline, with another dataset of a name."""
    return dataclasses.replace(WHOLE, data={**WHOLE.data, name: dataclasses.replace(WHOLE.data[name], **change)})


def _planned(pipeline: NodePipeline, held: Mapping[str, str | None] = HELD, before: NodePipeline = WHOLE) -> Plan:
    recorded = recorded_nodes(before)
    return plan(pipeline, held, lambda node: filter(None, [recorded.get(node.name)]))


def _reasons(pipeline: NodePipeline, held: Mapping[str, str | None] = HELD) -> dict[str, list[str]]:
    """Why nodes that keep something are not up to date."""
    found = _planned(pipeline, held).verdicts.values()
    return {each.node.name: list(map(str, each.reasons)) for each in found if each.state is State.STALE}


def test_the_same_is_up_to_date() -> None:
    assert [each.state for each in _planned(WHOLE).verdicts.values()] == [
        State.UP_TO_DATE,
        State.IN_MEMORY,
        State.UP_TO_DATE,
    ]


@pytest.mark.parametrize(
    ("pipeline", "held", "reasons"),
    [
        (
            _changed("report", code=UnknownCode("a lambda")),
            HELD,
            {"report": ["its code is not known: a lambda"]},
        ),
        (
            _changed("report", code=dataclasses.replace(_CODE, digest="other")),
            HELD,
            {"report": ["code of its function changed"]},
        ),
        (
            _changed("report", code=dataclasses.replace(_CODE, distributions={"pandas": "3.0"})),
            HELD,
            {"report": ["pandas 2.2 -> 3.0"]},
        ),
        (_changed("report", code=dataclasses.replace(_CODE, distributions={})), HELD, {}),
        (
            _changed("sum", code=dataclasses.replace(_CODE, digest="other", modules={"my.nodes": "2"})),
            HELD,
            {"report": ["code of `my.nodes` changed (in `sum`)"]},
        ),
        (
            _changed("sum", code=UnknownCode("a lambda")),
            HELD,
            {"report": ["its code is not known: a lambda (in `sum`)"]},
        ),
        (
            _changed("report", parameters={"params:x": None}),
            HELD,
            {"report": ["values in parameter `x` cannot be compared"]},
        ),
        (
            _changed("report", parameters={"parameters": "1", "params:x": "1"}),
            HELD,
            {"report": ["`parameters` changed"]},
        ),
        (_changed("report", wiring="other"), HELD, {"report": ["other inputs, outputs or arguments"]}),
        (
            _changed("clean", always=True),
            HELD,
            {
                "clean": ["tagged `always`"],
                "report": ["input `kept` is made again by `clean` (in `sum`)"],
            },
        ),
        (
            _changed("sum", always=True),
            HELD,
            {"report": ["input `memory` is made by `sum`, which is tagged `always`"]},
        ),
        (
            changed_entry("told", settings=None),
            HELD,
            {"report": ["options of entry `told` cannot be compared"]},
        ),
        (changed_entry("told", settings="other"), HELD, {"report": ["the catalog has other options for `told`"]}),
        (
            changed_entry("kept", is_pinned=True),
            HELD,
            {"report": ["what input `kept` holds is not known (in `sum`)"]},
        ),
        (
            WHOLE,
            {**HELD, "raw": "other"},
            {
                "clean": ["input `raw` changed"],
                "report": ["input `kept` is made again by `clean` (in `sum`)"],
            },
        ),
        (
            WHOLE,
            {**HELD, "raw": None},
            {
                "clean": ["what input `raw` holds is not known"],
                "report": ["input `kept` is made again by `clean` (in `sum`)"],
            },
        ),
        (WHOLE, {**HELD, "told": None}, {"report": ["output `told` is missing, or not known"]}),
        (WHOLE, {**HELD, "told": "other"}, {"report": ["output `told` was changed since"]}),
        (
            changed_entry("raw", brings_code=True),
            HELD,
            {
                "clean": ["code that `raw` brings with it changed"],
                "report": ["input `kept` is made again by `clean` (in `sum`)"],
            },
        ),
        (
            dataclasses.replace(changed_entry("raw", brings_code=True), project_code=lambda: None),
            HELD,
            {
                "clean": ["the code that `raw` brings with it is not known"],
                "report": ["input `kept` is made again by `clean` (in `sum`)"],
            },
        ),
    ],
)
def test_what_has_changed_is_told(
    pipeline: NodePipeline, held: dict[str, str | None], reasons: dict[str, list[str]]
) -> None:
    assert _reasons(pipeline, held) == reasons


def test_what_is_unpickled_depends_on_all_code_before_it() -> None:
    report = _node("report", ("kept",), ("told",))
    before = _pipeline(CLEAN, report, kept=_stored("kept", brings_code=True))
    other = dataclasses.replace(_CODE, digest="other")
    after = dataclasses.replace(before, nodes=[dataclasses.replace(CLEAN, code=other), report])
    found = _planned(after, before=before).verdicts["report"]
    assert str(found.reasons[0]) == "code that `kept` brings with it changed"
    assert not found.may_be_same
    unknown = dataclasses.replace(CLEAN, code=UnknownCode("a lambda"))
    found = _planned(dataclasses.replace(before, nodes=[unknown, report]), before=before).verdicts["report"]
    assert str(found.reasons[0]) == "the code that `kept` brings with it is not known"


def test_an_input_in_memory_that_nobody_makes_is_not_known() -> None:
    alone = _pipeline(REPORT, memory=_MEMORY)
    assert _reasons(alone)["report"][0] == "what input `memory` holds is not known"
    assert recipes(alone, HELD) == {}


def test_what_is_in_memory_may_be_another_one_though_its_node_is_as_it_was_last() -> None:
    recorded = recorded_nodes()
    recipe = dataclasses.replace(recorded["report"].recipe, memory={"memory": "older"})
    recorded["report"] = dataclasses.replace(recorded["report"], recipe=recipe)
    found = plan(WHOLE, HELD, lambda node: [recorded[node.name]]).verdicts["report"]
    assert list(map(str, found.reasons)) == ["input `memory` changed"]


def test_entries_of_two_classes_in_one_place_are_one() -> None:
    """What ``x@pandas`` writes, ``x@spark`` reads."""
    nodes = _node("one", ("raw",), ("x@pandas",)), _node("two", ("x@spark",), ("told",))
    found = _pipeline(*nodes)
    made = records_of_run(found, {"raw": "r"}, {"x@pandas": "x", "told": "t"}, None)
    assert made[1].recipe.data == {"x@spark": "x"}
    held = {"raw": "r", "x@pandas": "x", "x@spark": "x", "told": "t"}
    planned = plan(found, held, lambda node: [each for each in made if each.recipe.name == node.name])
    assert {each.state for each in planned.verdicts.values()} == {State.UP_TO_DATE}


def test_what_a_run_did_not_write_or_does_not_know_is_notrecorded_nodes() -> None:
    assert [each.recipe.name for each in records_of_run(WHOLE, {"raw": None}, {"kept": "k"}, None)] == ["sum"]
    pinned = records_of_run(changed_entry("kept", is_pinned=True), {"raw": "r"}, {"kept": "k", "told": "t"}, None)
    assert [each.recipe.name for each in pinned] == ["clean"]


def test_code_that_changed_during_a_run_is_notrecorded_nodes() -> None:
    other = dataclasses.replace(_CODE, digest="other")
    nodes = NodesOfRun(WHOLE, lambda: {"clean": _CODE, "sum": other, "report": _CODE})
    uses = [Use("raw", "raw", is_input=True), Use("gone", "gone", is_input=True)]
    read = {"raw": {"raw": [{"checksum": "r"}]}}
    target: Any = SimpleNamespace(key=("host", "repo"), written={})
    ((facts, content),) = nodes.told(uses, {}, read, {"kept": {"": {"checksum": "k"}}, "told": None}, [target])
    assert facts == {NODES: records.path_of(content, "json")}
    assert [each.recipe.name for each in unpacked(content)] == ["clean"]


@pytest.mark.parametrize("content", [b"\xff", b"[]", b"{}", b'{"form": 2}', b'{"form": 1, "codes": {}, "nodes": [{}]}'])
def test_what_another_program_has_written_is_no_record(content: bytes) -> None:
    assert unpacked(content) == []


def test_values_are_told_apart_by_type_order_and_content() -> None:
    values: list[Any] = [1, 1.0, True, "1", b"1", None, [1], (1,), {"a": 1, "b": 2}, {"b": 2, "a": 1}, int, Path("1")]
    digests = [digest_of_value(value) for value in values]
    assert None not in digests
    assert len(set(digests)) == len(values)
    endless: list[Any] = []
    endless.append(endless)
    assert [digest_of_value(value) for value in ({1}, [object()], endless)] == [None, None, None]


def test_what_an_entry_holds_is_told_by_checksums_else_by_size_and_time() -> None:
    assert identity_of({"": {"checksum": "c"}}) == "c"
    assert identity_of({"": {"size": "3", "modified": "now"}}) == "3 now"
    assert identity_of({}) is None
    assert identity_of({"a": {"checksum": "c"}, "b": {"size": "3"}}) is None
    one = identity_of({"a": {"checksum": "c"}})
    assert len({one, identity_of({"b": {"checksum": "c"}}), identity_of({"a": {"checksum": "c"}}, "x")}) == 3
    assert noted({"x": [{"checksum": "1"}, {"checksum": "2"}]}, "x") is None
    assert noted({"x": [{"checksum": "1"}]}, "x") == {"": {"checksum": "1"}}
    assert noted({"x/a": [{"checksum": "1"}]}, "x") == {"a": {"checksum": "1"}}
    assert noted({"x/a": [{"checksum": "1"}], "x/b": [{"checksum": "2"}]}, "x") == {
        "a": {"checksum": "1"},
        "b": {"checksum": "2"},
    }


def test_what_was_confirmed_is_as_it_was_read_where_nobody_else_has_changed_it() -> None:
    first, then, last = ({"size": "1", "modified": each} for each in ("1", "2", "3"))
    told = {**first, "checksum": "c"}
    assert is_as_read({"x": [told, first, last]}, {"": last}, "x")
    assert not is_as_read({"x": [told, then, last]}, {"": last}, "x"), "somebody else was there before"
    assert is_as_read({"x/a": [told]}, {"a": first, "b": last}, "x")
    assert is_as_read({"x/a": [first]}, {}, "x"), "it was removed by who confirmed it"


def test_processes_of_a_run_know_what_the_others_have_written(tmp_path: Path) -> None:
    journal, saves = tmp_path / "journal", tmp_path / "saves"
    project = Project(tmp_path, journal=journal, saves=saves, entry="kept")
    at = ("host", "repo", "x")
    assert written_meanwhile(project, "kept", at) is None, "on another host there is no journal"
    journal.touch()
    saves.touch()
    assert written_meanwhile(project, "kept", at) is None
    project.note_saved({})
    assert written_meanwhile(project, "kept", at) == ""
    project.note_saved({"": {"checksum": "d"}})
    assert written_meanwhile(project, "kept", None) == "d"
    project.note_written("host", "repo", "xy", "other")
    project.note_written("host", "repo", "x/a", "c")
    assert written_meanwhile(project, "kept", at) == identity_of({"a": {"checksum": "c"}}, "x")


def test_what_cannot_be_asked_is_not_known() -> None:
    def fail() -> None:
        raise TransferError("away")

    assert look([_stored("a", held=fail), _stored("b", held=lambda: {"": {"checksum": "c"}}), _MEMORY]) == {
        "a": None,
        "b": "c",
    }
