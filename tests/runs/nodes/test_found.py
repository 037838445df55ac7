"""What runs have left of what is known of nodes, and by how many questions it is found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.errors import IntegrityError, RefNotFound
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.runs.nodes import taking_over
from kedro_statisfactory.runs.nodes.contents import identity_of
from kedro_statisfactory.runs.nodes.found import newest_records
from kedro_statisfactory.runs.nodes.planning import plan_at
from kedro_statisfactory.runs.nodes.record import NODES, Record, packed
from kedro_statisfactory.runs.nodes.recording import records_of_run
from kedro_statisfactory.runs.nodes.state import State, plan
from tests.runs.nodes.test_state import CLEAN, HELD, REPORT, WHOLE, changed_entry, recorded_nodes


class _Log:
    """A server that has commits, and objects that they name."""

    host = "host"

    def __init__(self, *metadata: Mapping[str, str]) -> None:
        self.commits = [Commit(str(number), "", 0, (), each) for number, each in enumerate(metadata)]
        self.read: list[str] = []

    def log(self, repository: str, ref: str, amount: int) -> list[Commit]:
        return self.commits[int(ref) :]

    def commit(self, repository: str, ref: str) -> Commit:
        if ref == "gone":
            raise RefNotFound("gone")
        return self.commits[int(ref)]

    def list(self, *_: Any) -> list[Any]:
        return []


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Record]]:
    """Records, by the path of their object."""
    found: dict[str, list[Record]] = {}

    def read(api: _Log, repository: str, ref: str, path: str) -> bytes:
        api.read.append(path)
        if path not in found:
            raise IntegrityError("it is gone")
        return packed(found[path])

    monkeypatch.setattr(records, "read", read)
    return found


def test_the_newest_record_of_each_node_is_found_by_few_questions(objects: dict[str, list[Record]]) -> None:
    told = recorded_nodes()
    objects["clean"], objects["both"] = [told["clean"]], [told["report"], told["clean"]]
    wrote = {"kedro_outputs": json.dumps({"told": {}})}
    others = [{}, {NODES: "x", "kedro_outputs": '{"y": {}}'}, {NODES: "gone", "kedro_outputs": "no JSON"}]
    others += [{NODES: "saved", "kedro_outputs": "{}", "kedro_saved": '["z"]', "kedro_record": "r"}]
    log: Any = _Log(
        {NODES: "clean, gone", "kedro_run_id": "new", "kedro_kept": "{}"},
        *(others * 4),
        {NODES: "both", "kedro_run_id": "old", **wrote},
    )
    found = newest_records(log, "repo", "0", [CLEAN.key, REPORT.key])
    assert {key[0]: [each.run for each in told] for key, told in found.items()} == {
        "clean": ["new", "old"],
        "report": ["old"],
    }
    assert log.read[:2] == ["gone", "clean"], "the part that came last goes first"
    assert log.read[-1] == "both"
    assert {"x", "saved"}.isdisjoint(log.read)
    for told_by in ({"kedro_saved": '["told"]'}, {"kedro_record": "which may tell more"}):
        log = _Log({NODES: "both", "kedro_outputs": "{}", **told_by})
        assert newest_records(log, "repo", "0", [REPORT.key]).keys() == {REPORT.key, CLEAN.key}
    log = _Log(*([{NODES: "gone"}] * 30))
    assert newest_records(log, "repo", "0", [CLEAN.key]) == {}
    assert len(log.read) == 10, "nobody looks for ever"
    assert newest_records(_Log({}), "repo", "0", [CLEAN.key]) == {}  # type: ignore[arg-type]


def test_the_log_is_read_back_for_a_thousand_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    log: Any = _Log(*([{}] * 2000), {NODES: "too old"})
    assert newest_records(log, "repo", "0", [CLEAN.key]) == {}
    assert log.read == []


def test_what_can_be_taken_over_is_looked_for_in_the_newest_runs_of_the_code(
    objects: dict[str, list[Record]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kedro_statisfactory.backends.lakefs.run_tags import RunTags
    from kedro_statisfactory.backends.lakefs.runs_at import RunAt, RunsAt

    objects["told"] = list(recorded_nodes().values())
    log: Any = _Log({NODES: "told", "kedro_data_branch": "x", "git_branch": "feature/x"})
    runs = [RunAt("r", "gone", "sha", "1"), RunAt("q", "0", "sha", "2", "-read"), *[RunAt("s", "0", "sha", "0")] * 10]
    monkeypatch.setattr(RunTags, "by_ancestor", lambda *_: iter([RunsAt.of(runs)]))
    project = Project(tmp_path, head=Head("main", "sha", ""))
    sources = taking_over.Sources(log, "repo", project, [CLEAN.key])
    recipe = recorded_nodes()["clean"].recipe
    assert sources.find(WHOLE, CLEAN, recipe) is None, "its bytes are not there any more"
    monkeypatch.setattr(log, "list", lambda *_: [_stat("kept/a"), _stat("kept")])
    both = identity_of({"": {"checksum": "k"}, "a": {"checksum": "k"}}, "kept")
    assert both is not None
    told = dataclasses.replace(recorded_nodes()["clean"], outputs={"kept": both})
    objects["told"] = [told]
    sources = taking_over.Sources(log, "repo", project, [CLEAN.key])
    for _ in range(2):
        found = sources.find(WHOLE, CLEAN, recipe)
        assert found is not None
        assert found.branch == "feature/x"
    assert sources.find(WHOLE, REPORT, recorded_nodes()["report"].recipe) is None
    elsewhere = changed_entry("kept", repository=None)
    assert sources.find(elsewhere, CLEAN, recipe) is None, "on disk there is nothing to take over from"
    without = taking_over.Sources(log, "repo", dataclasses.replace(project, head=Head("main", None, "")), [])
    assert without.find(WHOLE, CLEAN, recipe) is None


def _stat(path: str) -> Any:
    from kedro_statisfactory.backends.lakefs.model import Stat

    return Stat(path, 1, "k", 0, "address")


def test_what_was_merged_into_the_data_branch_by_hand_is_up_to_date() -> None:
    from kedro_statisfactory.runs.nodes.found import Source

    recorded = recorded_nodes()
    log: Any = _Log()
    found = plan(WHOLE, HELD, lambda _: [], lambda node, _: Source(recorded[node.name], log, "repo", "0", "feature/x"))
    assert found.verdicts["clean"].state is State.UP_TO_DATE
    taken = plan(
        WHOLE,
        {**HELD, "kept": "other"},
        lambda _: [],
        lambda node, _: Source(recorded[node.name], log, "repo", "0", "feature/x"),
    )
    assert [each.state.value for each in taken.verdicts.values()] == ["to take over", "in memory", "up to date"]
    kept = records_of_run(WHOLE, {"raw": "r"}, {"kept": "k"}, taken)
    assert [each.recipe.name for each in kept] == ["clean", "sum", "report"]
    again = records_of_run(WHOLE, {"raw": "r"}, {"kept": "made again"}, taken)
    assert again[0].outputs == {"kept": "made again"}, "a node that had to be run all the same"


def test_nodes_that_write_nothing_to_lakefs_were_never_run_as_far_as_one_knows(tmp_path: Path) -> None:
    found = plan_at(WHOLE, [], Project(tmp_path))
    assert "never run" in map(str, found.verdicts["clean"].reasons)
