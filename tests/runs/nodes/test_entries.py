"""What entries tell of themselves, and what is done where one of them cannot."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import ParseResult

import pytest
from kedro.io import AbstractDataset, DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro_datasets.json import JSONDataset

from kedro_statisfactory import ArtifactDataset, Backend
from kedro_statisfactory.backends import LocalFS, ObjectInfo
from kedro_statisfactory.datasets.holding import held_at, held_since
from kedro_statisfactory.errors import NotSupported, TransferError
from kedro_statisfactory.location import parse
from kedro_statisfactory.plugin import skipping
from kedro_statisfactory.plugin.commands.nodes import _entries, shown_nodes
from kedro_statisfactory.plugin.nodes import _held_by, nodes_of
from kedro_statisfactory.plugin.skipping import Skippable, kept_inputs, original
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.code import CodeReader, UnknownCode
from kedro_statisfactory.runs.nodes.pipeline import NodePipeline
from kedro_statisfactory.runs.nodes.state import Plan
from kedro_statisfactory.session import Session


class _Plain(Backend, prefix="plain-of-nodes"):
    """A third party's, with the least that there may be."""

    def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None: ...

    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        raise AssertionError("nobody fetches all bytes to learn what they are")


class _NoList(_Plain, prefix="no-list-of-nodes"):
    def stat(self, *, fragment: ParseResult, **kwargs: Any) -> ObjectInfo:
        raise NotSupported("no")


class _Away(_Plain, prefix="away-of-nodes"):
    def stat(self, *, fragment: ParseResult, **kwargs: Any) -> ObjectInfo:
        raise TransferError("away")


class _Odd(AbstractDataset[int, int]):
    """A class of the project, which keeps its data nobody knows where."""

    def _load(self) -> int:
        return 1

    def _save(self, data: int) -> None: ...

    def _describe(self) -> dict[str, Any]:
        return {}


_OWN = """
from kedro.io import AbstractDataset

class Own(AbstractDataset):
    def _load(self): return 1
    def _save(self, data): pass
    def _describe(self): return {}

def same(value): return value
"""
_READ = """
import sys
from pathlib import Path
import own
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from kedro_statisfactory.plugin.nodes import nodes_of
from kedro_statisfactory.project import Project

catalog = DataCatalog({"odd": own.Own()})
found = nodes_of(pipeline([node(own.same, "odd", "made")]), catalog, {}, Project(Path(sys.argv[1])))
print(type(found.nodes[0].code).__name__, "unknown" if found.data["odd"].settings is None else "known")
"""


def _same(value: Any, *_: Any) -> Any:
    return value


def test_what_cannot_be_told_without_a_load_is_not_known(tmp_path: Path) -> None:
    at = parse("plain-of-nodes://x/y")
    assert held_at(_Plain(Session()), at, {}) is None
    assert held_at(_NoList(Session()), at, {}) is None
    with pytest.raises(TransferError):
        held_at(_Away(Session()), at, {})
    assert held_since(_Away(Session()), at, {}) is None, "what was saved is there, though nobody can tell"
    local = LocalFS(Session())
    assert held_at(local, parse(str(tmp_path / "missing")), {}) == {}
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a").write_text("a")
    found = held_at(local, parse(str(tmp_path / "folder")), {})
    assert found is not None
    assert found["a"]["checksum"].startswith("sha256:")


def test_nodes_are_told_in_plain_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw.json").write_text("1")
    entry = ArtifactDataset(filepath=str(tmp_path / "made.json"), dataset="json.JSONDataset")
    versions = ArtifactDataset(filepath=str(tmp_path / "none.pkl"), dataset="pickle.PickleDataset")
    catalog = DataCatalog(
        {
            "params:x": MemoryDataset(),
            "params:y": MemoryDataset({"a": 1}),
            "raw": JSONDataset(filepath=str(tmp_path / "raw.json")),
            "missing": JSONDataset(filepath=str(tmp_path / "missing.json")),
            "odd": _Odd(),  # type: ignore[abstract]
            "made": entry,
            "none": versions,
        }
    )
    nodes = pipeline(
        [
            node(_same, ["raw", "params:x", "params:y", "missing"], "memory", name="one"),
            node(_same, ["memory", "odd"], "made", name="two", tags="always"),
            node(_same, "made", "none", name="three"),
        ]
    )
    found = nodes_of(nodes, catalog, {"made": [entry], "none": [versions]}, Project(tmp_path))
    (one, two, _) = found.nodes
    assert one.parameters["params:x"] is None, "it is not there"
    assert one.parameters["params:y"] is not None
    assert (one.always, two.always) == (False, True)
    assert found.data["raw"].identity() is not None
    assert [found.data[name].held() for name in ("missing", "odd")] == [None, None]
    assert found.data["made"].held() == {}
    assert [found.data[name].brings_code for name in ("raw", "made", "none", "odd")] == [False, False, True, True]
    monkeypatch.setattr(f"{__name__}._Odd.__module__", "<stdin>")
    again = nodes_of(nodes, catalog, {"made": [entry, entry], "none": [versions]}, Project(tmp_path))
    assert [again.data[name].settings for name in ("odd", "made")] == [None, None], "nobody knows what it does"

    def fail(*_: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(CodeReader, "read", fail)
    unknown = nodes_of(nodes, catalog, {"made": [entry], "none": [versions]}, Project(tmp_path)).nodes[0].code
    assert unknown == UnknownCode("RuntimeError: odd"), "to look at code never ends a run"


def test_code_of_nodes_and_of_classes_of_the_project_is_known_in_a_process_that_has_loaded_no_more(
    tmp_path: Path,
) -> None:
    # Here other tests have registered backends and formats from files that they wrote, which nobody can know.
    (tmp_path / "own.py").write_text(_OWN)
    time.sleep(0.1)  # what is as young as a process may be other code than it has loaded
    done = subprocess.run(
        [sys.executable, "-B", "-c", _READ, tmp_path], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-2:] == ["NodeCode", "known"]


def test_an_entry_that_cannot_be_made_leaves_the_rest_of_the_status_as_it_is(tmp_path: Path) -> None:
    nodes = pipeline([node(_same, "broken", "memory", name="one")])
    catalog = DataCatalog.from_config({"broken": {"type": "no.such.Dataset"}})
    made, ours = _entries(catalog, nodes)
    assert ours == {}
    found = nodes_of(nodes, made, ours, Project(tmp_path))
    assert found.data["broken"].held() is None
    assert shown_nodes(Plan(NodePipeline(), {})) == []


def test_a_node_is_computed_where_what_it_made_cannot_be_had(tmp_path: Path) -> None:
    entry = ArtifactDataset(filepath=str(tmp_path / "made.json"), dataset="json.JSONDataset")
    one = node(_same, ["raw", "memory"], "made", name="one")
    catalog: Any = DataCatalog({"raw": MemoryDataset(1), "memory": MemoryDataset(1), "made": entry})
    assert kept_inputs(one, catalog) is None
    one.func = Skippable(_same)
    assert original(one.func) is _same
    assert one.func(3, 4) == 3
    assert kept_inputs(one, catalog) is None, "nothing is awaited"
    entry.await_inputs({"raw": ("x", True)})
    assert kept_inputs(one, catalog) is None, "nobody knows what another package's entry holds"
    entry.await_inputs({})
    other: Any = DataCatalog({"made": MemoryDataset(1)})
    assert kept_inputs(one, other) is None
    saves, journal = tmp_path / "saves", tmp_path / "journal"
    saves.touch()
    journal.touch()
    raw = ArtifactDataset(filepath=str(tmp_path / "raw.json"), dataset="json.JSONDataset")
    raw.bind(Project(tmp_path, saves=saves, journal=journal, entry="raw"))
    raw.note_kept()
    entry.await_inputs({"raw": ("x", True)})
    awaited: Any = DataCatalog({"raw": raw, "made": entry})
    assert kept_inputs(one, awaited) is None, "it cannot be loaded"
    (tmp_path / "made.json").write_text("7")
    found = kept_inputs(one, awaited)
    assert found is not None
    assert one.func(found["raw"], 1) == 7
    assert not entry.is_saved()
    entry.note_kept()
    assert entry.is_saved()


def test_an_entry_that_cannot_tell_what_it_holds_is_not_known() -> None:
    def held() -> None:
        raise DatasetError("there is no version of it yet")

    entry: Any = SimpleNamespace(held=held)
    assert _held_by(entry) is None


def test_a_function_that_another_run_has_decorated_is_decorated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(a: int) -> int:
        return a

    monkeypatch.setattr(skipping, "_awaited", lambda *_: {"a": ("1", True)})
    nodes = pipeline([node(f, "a", "b", name="n")])
    plan: Any = SimpleNamespace(verdicts={"n": None}, pipeline=SimpleNamespace(as_written=str))
    entry: Any = SimpleNamespace(may_be_kept=True, await_inputs=lambda _: None)
    assert [each.name for each in skipping.let_skip(plan, nodes, {"b": [entry]})] == ["n"]
    assert skipping.let_skip(plan, nodes, {"b": [entry]}) == []
    assert original(nodes.nodes[0].func) is f
