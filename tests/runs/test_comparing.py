"""A person sees what one run changed against another, and why, and where the project stands."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.errors import GitNotFound, RunError
from kedro_statisfactory.runs import naming, standing
from kedro_statisfactory.runs.comparing import compare
from kedro_statisfactory.runs.contents import MOST, differences
from tests.runs.conftest import KedroProject
from tests.runs.test_history import answer, history, record

pytestmark = pytest.mark.once


def _diff(project: KedroProject, *arguments: str) -> Any:
    done = project.invoke("diff", *arguments, "--json")
    assert done.exit_code in (0, 1), done.output
    told = json.loads(done.stdout)
    assert bool(told["changes"]) == bool(done.exit_code), "as diff does"
    return told


def test_a_run_is_compared_with_another_and_what_differs_is_explained(project: KedroProject) -> None:
    first = project.run(1)
    project.commit_code("better")
    second = project.run(25, nodes=["first", "second"], password="one")
    told = _diff(project, first, second)
    assert {each["entry"]: (each["kind"], each["sizes"]) for each in told["changes"]} == {
        "a": ("changed", [12, 13]),
        "b": ("changed", [13, 14]),
    }
    assert all(len(set(each["checksums"])) == 2 for each in told["changes"])
    reasons = {each["what"]: (each["before"], each["after"]) for each in told["reasons"]}
    assert reasons["parameter value"] == (1, 25)
    assert reasons["code"] == (project.git("rev-parse", "HEAD~1"), project.git("rev-parse", "HEAD"))
    assert reasons["nodes"] == (None, "first, second")
    assert "input total_before" in reasons
    shown = project.invoke("diff", "@~1", "--data").output
    assert "12 B -> 13 B" in shown
    assert "n: 1 -> 25" in shown
    third = project.run(25, nodes=["first", "second"], password="two")
    told = _diff(project, second, third)
    assert (told["changes"], [each["what"] for each in told["reasons"]]) == ([], ["parameters"])
    assert "Nothing differs" in project.invoke("diff", second, third).output


def test_two_git_branches_are_compared_by_their_names(project: KedroProject) -> None:
    project.run(1)
    project.git("switch", "-qc", "feature/x")
    project.run(2, pipeline="wide", nodes=["n1"])
    told = _diff(project, "main", "feature/x")
    assert [(each["entry"], each["kind"], each["sizes"]) for each in told["changes"]] == [
        ("wide_1", "added", [None, 12])
    ]
    back = _diff(project, "feature/x", "main")
    assert [(each["kind"], each["sizes"]) for each in back["changes"]] == [("removed", [12, None])]
    project.git("switch", "-q", "main")
    assert _diff(project, "main")["changes"] == []
    sha = project.git("rev-parse", "HEAD")
    assert _diff(project, sha, "feature/x")["changes"] == [], "the newest run that was made at the commit"


def test_a_comparison_of_two_runs_takes_few_requests(
    project: KedroProject, calls: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST", 0)
    first, second = project.run(1), project.run(2)
    there = history(project)
    before = calls()
    assert len(compare(there.state(first), there.state(second), {}).changes) == 3
    used = calls() - before
    pages = 2
    assert used == {"GET commits": 2, "GET objects": 2, "GET refs": pages}


def test_folders_and_objects_of_no_entry_are_told(project: KedroProject) -> None:
    for name in ("x", "y"):
        project.write(f"folder/{name}", 1)
    project.write("stray.json", 1)
    record(project, "before", kedro_outputs='{"f": {"path": "folder", "objects": "2"}}')
    project.write("folder/x", 10)
    project.write("folder/z", 1)
    project.write("stray.json", 22)
    record(project, "after", kedro_outputs='{"f": {"path": "folder", "objects": "3"}}')
    told = _diff(project, "before", "after")["changes"]
    assert [(each["entry"], each["path"], each["objects"], each["sizes"]) for each in told] == [
        ("f", "folder", 2, [8, 17]),
        ("", "stray.json", 1, [8, 9]),
    ]
    shown = project.invoke("diff", "before", "after", "--data").output
    assert "8 B -> 17 B in 2 objects" in shown
    assert "no entry of the catalog says how to load it" in shown


def test_data_that_cannot_be_loaded_or_is_the_same_is_told(project: KedroProject) -> None:
    project.run(1)
    where = f"/repositories/{project.repository}/branches/main/objects?path=a.json"
    project.server.call("POST", where, body=b'{ "n": 1 }')
    record(project, "spaces")
    assert "the same data, in other bytes" in project.invoke("diff", "@~1", "@", "--data").output
    project.server.call("POST", where, body=b"{")
    record(project, "broken")
    assert "it cannot be loaded" in project.invoke("diff", "@~1", "@", "--data").output


def test_states_without_a_repository_in_common_are_refused(project: KedroProject) -> None:
    here, there = history(project), history(project, project.other)
    there.places = there.places[1:]
    record(project, "one")
    with pytest.raises(RunError, match="have no repository in common"):
        compare(here.state("one"), there.state(None), {})
    there = history(project)
    state = there.state(None)
    assert state.run is not None
    assert compare(state, state, {}).changes == []
    (project.path / "conf/base/catalog.yml").write_text("{}")
    assert project.invoke("diff", "one").exit_code == 2


class _Odd:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not with me")


_TABLE = pd.DataFrame({"n": [1.0, 2.0, float("nan")], "t": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (_TABLE, _TABLE.copy(), []),
        (_TABLE, _TABLE.assign(n=[1.0, 5.0, float("nan")]), ["column n: 1 of 3 values, the first 2.0 -> 5.0"]),
        (_TABLE, _TABLE[:2], ["rows: 3 -> 2"]),
        (_TABLE, _TABLE.rename(columns={"t": "u"}), ["column u: added", "column t: removed"]),
        (
            _TABLE[["t"]],
            pd.DataFrame({"t": [1, 2, 3]}),
            [f"column t: {_TABLE.t.dtype} -> int64", "column t: 3 of 3 values, the "],
        ),
        (_TABLE.set_index(_TABLE.n * 0), _TABLE[:1].set_index(_TABLE[:1].n * 0), ["rows: 3 -> 1"]),
        (pl.DataFrame({"n": [1]}), pl.DataFrame({"n": [2]}), ["column n: 1 of 1 values, the first 1 -> 2"]),
        (
            pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}),
            pd.DataFrame({"n": pd.array([1, 3], dtype="Int64")}),
            ["column n: 1 of 2 values, the first <NA> -> 3"],
        ),
        (_TABLE.set_index("t"), _TABLE.set_index(pd.Index(["a", "b", "z"])), ["column t: added", "1 of 3 rows have"]),
        (_TABLE.set_index(_TABLE.t.str[:0]), _TABLE.set_index(_TABLE.n * 0 + 1), ["the index differs"]),
        (_TABLE, _TABLE[["t", "n"]], ["columns are in another order"]),
        (_TABLE.set_axis(["x", "x"], axis=1), _TABLE.set_axis(["x", "x"], axis=1), []),
        (_TABLE.set_axis(["x", "x"], axis=1), _TABLE[["t", "n"]].set_axis(["x", "x"], axis=1), ["values differ"]),
        (
            pd.DataFrame({"c": pd.Categorical(["a", "b"])}),
            pd.DataFrame({"c": pd.Categorical(["a", "c"])}),
            ["column c: category -> category", "column c: 1 of 2 values, the first b -> c"],
        ),
        (
            pd.DataFrame({"c": [np.array([1, 2]), float("nan")]}),
            pd.DataFrame({"c": [np.array([1, 3]), float("nan")]}),
            ["column c: 1 of 2 values, the first [1 2] -> [1 3]"],
        ),
        ("-- a\n", "++ b\n", ["--- a", "+++ b"]),
        ("one\n", "one", ["the ends of lines differ"]),
        ({"n": float("nan")}, {"n": float("nan")}, []),
        ({"n": 1}, {"n": True}, ["n: 1 -> True"]),
        ({"a": np.array([1, 2])}, {"a": np.array([1, 2])}, []),
        ([1], {"a": 1}, ["type: list -> dict"]),
        (_Odd(), _Odd(), ["they cannot be compared: not with me"]),
        ("one\ntwo\n", "one\nthree\n", ["-two", "+three"]),
        ({"a": {"b": 1}, "c": [1, 2]}, {"a": {"b": 2}, "c": [1]}, ["a.b: 1 -> 2", "c[1]: 2 -> nothing"]),
        ({"a": 1}, {"a": 1, "b": "x" * 80}, ["b: nothing -> 'xxx"]),
        ("text", {"a": 1}, ["type: str -> dict"]),
        (3, 4, ["the two objects of type int are not equal"]),
        (np.array([1, 2]), np.array([1, 2]), []),
        (np.array([1, 2]), np.array([1, 3]), ["the two objects of type ndarray are not equal"]),
    ],
)
def test_what_differs_in_loaded_data_is_told(before: Any, after: Any, told: list[str]) -> None:
    found = differences(before, after)
    assert len(found) == len(told), found
    assert all(line.startswith(begin) for line, begin in zip(found, told, strict=True)), found


def test_many_differences_are_counted() -> None:
    found = differences([0] * 100, [1] * 100)
    assert (len(found), found[-1]) == (MOST + 1, "… and 80 more")


def test_status_tells_where_the_project_stands(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    told = answer(project, "status")
    assert (told["git_branch"], told["dirty"]) == ("main", False)
    assert told["repositories"][0] | {"repository": ""} == {
        "repository": "",
        "data_branch": "main",
        "source": None,
        "last_run": None,
        "uncommitted": [],
        "waiting": [],
    }
    run_id = project.run(1)
    project.killed_run()
    project.write("total.json", 7)
    (project.path / "new.py").touch()
    shown = project.invoke("status").output
    for text in (run_id, "total.json", "with changes that no commit has", "was killed", "main of"):
        assert text in " ".join(shown.split()), shown
    project.git("switch", "-qc", "feature/x")
    shown = project.invoke("status").output
    assert "feature/x at" in shown
    assert "not there yet, the next run makes it from main" in " ".join(shown.split())

    def no_git(_: object) -> None:
        raise GitNotFound("no git")

    monkeypatch.setattr(standing, "read_worktree", no_git)
    assert answer(project, "status")["dirty"] is None


def test_status_names_a_run_that_only_has_to_be_finished(project: KedroProject) -> None:
    with project.waiting_run("add", value=3) as waiting:
        project.run(4, nodes=["first"])
    assert waiting.exception() is not None
    shown = " ".join(project.invoke("status").output.split())
    assert "`kedro statisfactory run finish" in shown


def test_a_run_gets_a_name_by_which_it_is_loaded(project: KedroProject) -> None:
    first = project.run(1)
    second = project.run(2)
    for _ in range(2):
        done = project.invoke("tag", "@~1", "größe-1")
        assert (done.exit_code, first in done.output) == (0, True), done.output
    assert project.catalog(load_versions={"b": "größe-1"}).load("b") == {"n": 10}
    assert project.entry("a", version="größe-1").load() == {"n": 1}
    assert answer(project, "show", "größe-1")["id"] == first
    project.git("branch", "feature/x")
    taken = (
        "größe-1",
        "main",
        "HEAD",
        "feature--x",
    )  # the last one is the data branch that `feature/x` is going to have
    for name in ("", "a/b", "a b", "x:y", "x,y", "-x", "abc123", "2026", "kedro-x", "x.lock", "..", *taken):
        done = project.invoke("tag", second, "--", name)
        assert (done.exit_code, "Traceback" in done.output) == (2, False), name
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_name_that_lakefs_does_not_allow_is_refused(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = project.run(1)
    monkeypatch.setattr(naming, "_NOT_IN_NAMES", re.compile("nothing is refused here"))
    assert "lakeFS does not allow the name" in project.invoke("tag", run_id, "x:y").output


def test_a_name_is_given_in_all_repositories_of_a_run_or_in_none(project: KedroProject) -> None:
    run_id = project.run(1, pipeline="both")
    last = max(project.repository, project.other)
    project.api.create_branch(last, "taken", "main")
    done = project.invoke("tag", run_id, "taken")
    assert (done.exit_code, "is a branch in" in done.output) == (2, True), done.output
    assert not any("taken" in project.tags(repository) for repository in (project.repository, project.other))


def test_what_only_one_side_has_is_not_loaded(project: KedroProject) -> None:
    record(project, "empty", kedro_outputs="{}")
    project.run(1, nodes=["first"])
    shown = project.invoke("diff", "empty", "--data").output
    assert "added" in shown
    assert "n:" not in shown


def test_tables_with_an_index_that_repeats_are_compared_row_by_row() -> None:
    one, other = _TABLE.set_index(_TABLE.t.str[:0]), _TABLE.assign(t="a").set_index(_TABLE.t.str[:0])
    assert differences(one, other) == ["column t: 2 of 3 values, the first b -> a"]
