"""``--only-missing-outputs`` runs what is not up to date, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, ThreadRunner

from kedro_statisfactory.project.code import CodeReader, NodeCode
from tests.runs.conftest import KedroProject
from tests.runs.test_collections import edit


def _fail(*_: object, **__: object) -> None:
    raise AssertionError("this must not be computed")


def _run(project: KedroProject, **options: object) -> set[str]:
    """Run what is not up to date; gives what was written."""
    before = project.log()[0].id
    project.run(missing=True, **{"pipeline": "chain", **options})  # type: ignore[arg-type]
    newest = project.log()[0]
    return set() if newest.id == before else set(json.loads(newest.metadata["kedro_outputs"]))


def _computed(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The nodes that Kedro has completed."""
    told = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return sorted(text.removeprefix("Completed node: ") for text in told if text.startswith("Completed node: "))


def _let_code_be_another(patch: pytest.MonkeyPatch, *functions: str, reason: str | None = None) -> None:
    """Let the code of some functions be another one than it was."""
    read = CodeReader.read

    def other(reader: CodeReader, function: Callable[..., object]) -> NodeCode:
        code = read(reader, function)
        assert isinstance(code, NodeCode)
        if getattr(function, "__name__", "") not in functions:
            return code
        return NodeCode("another", {**code.modules, "my.helpers": "another"}, code.distributions, reason)

    patch.setattr(CodeReader, "read", other)


def _kept(project: KedroProject) -> dict[str, str]:
    """The runs that made what the newest one left as it was."""
    found: dict[str, str] = json.loads(project.log()[0].metadata["kedro_kept"])
    return found


def test_what_depends_on_a_change_is_run_and_nothing_else(
    project: KedroProject, calls: Callable[[], Counter[str]]
) -> None:
    first = project.run(3, pipeline="chain")
    assert _run(project, value=3) == set(), "nothing has changed"
    project.run(3, pipeline="chain", missing=True, factor=7)
    assert project.read()["wide/2"] == 21
    assert set(json.loads(project.log()[0].metadata["kedro_outputs"])) == {"wide_2"}
    assert _kept(project) == {"wide_1": first, "wide_3": first}
    project.git("checkout", "-qb", "feature/x")
    assert _run(project, value=3, factor=7) == set(), "a new git branch has the data of what it was made from"
    assert "feature--x" not in project.branches()
    project.git("checkout", "-q", "main")
    before = calls()
    assert _run(project, value=4, factor=7) == {"wide_1", "wide_2", "wide_3"}
    used = calls() - before
    assert used["GET refs"] + used["GET tags"] == 3, "the log, and the runs of the code before, however many there were"
    assert _run(project, value=4, factor=7, pipeline="__default__") == {"a", "b", "total"}
    assert _run(project, value=4, factor=7) == set(), "a run of another pipeline came between"
    project.write("wide/2.json", 5)
    assert _run(project, value=4, factor=7) == {"wide_2"}, "another program changed it"
    assert project.read()["wide/2"] == 28
    project.run(5, pipeline="chain", nodes=["times"], factor=7)
    assert _run(project, value=4, factor=7) == set(), "a part of the pipeline that had nothing else to do"
    assert _run(project, value=4, factor=7, pipeline="__default__") == {"total"}, "it changes what it reads"


def test_status_says_which_nodes_are_up_to_date_and_why_others_are_not(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*options: str) -> dict[str, tuple[str, list[str]]]:
        answer = project.invoke("status", "--json", "-p", "chain", *options)
        assert answer.exit_code == 0, answer.output
        nodes = json.loads(answer.stdout)["nodes"]
        return {each["node"]: (each["state"], [why["text"] for why in each["reasons"]]) for each in nodes}

    assert {state for state, _ in told().values()} == {"stale", "in memory"}
    assert told()["one"] == ("stale", ["never run"])
    run_id = project.run(pipeline="chain")
    assert {name: state for name, (state, _) in told().items()} == {
        "one": "up to date",
        "times": "up to date",
        "sign": "in memory",
        "sign_again": "up to date",
    }
    assert f"made by the run {run_id}" in project.invoke("status", "-p", "chain").stdout
    parameters = project.path / "conf/base/parameters.yml"
    parameters.write_text("value: 1\nfactor: 3\n")
    assert told()["times"] == ("stale", ["parameter `factor` changed"])
    project.write("wide/3.json", 5)
    assert told()["sign_again"] == ("to take over", ["output `wide_3` was changed since"])
    parameters.write_text("value: 2\nfactor: 2\n")
    assert told()["times"] == ("stale", ["input `wide_1` is made again by `one`"])

    _let_code_be_another(monkeypatch, "sign", reason="it says exec")
    why = "code of `my.helpers` changed (in `sign`)"
    assert why in told()["sign_again"][1]
    shown = project.invoke("status", "-p", "chain").stdout
    assert "All code of the project counts as that of sign and of 1 more: it says exec." in shown
    refused = project.invoke("status", "-p", "chian")
    assert refused.exit_code == 2
    assert "there is no pipeline 'chian': known are " in refused.output


def test_what_a_merged_git_branch_has_made_is_taken_over_without_computing(project: KedroProject) -> None:
    project.run(pipeline="chain")
    project.git("checkout", "-qb", "feature/x")
    parameters = project.path / "conf/base/parameters.yml"
    parameters.write_text("value: 1\nfactor: 3\n")
    project.commit_code("three")
    run_id = project.run(value=5, pipeline="chain")
    made = project.api.stat(project.repository, "feature--x", "wide/2.json")
    project.git("checkout", "-q", "main")
    project.commit_code("beside")
    assert _run(project, pipeline="__default__", value=5) == {"a", "b", "total"}, "main goes on"
    project.git("merge", "-q", "--no-edit", "feature/x")
    parameters.write_text("value: 5\nfactor: 3\n")
    told = json.loads(project.invoke("status", "-p", "chain", "--json").stdout)["nodes"]
    assert {each["node"]: (each["state"], each["run"], each["branch"]) for each in told if each["node"] != "sign"} == {
        name: ("to take over", run_id, "feature/x") for name in ("one", "times")
    } | {"sign_again": ("up to date", told[3]["run"], None)}
    shown = project.invoke("status", "-p", "chain").stdout
    assert "on feature/x made it of the same" in " ".join(shown.split())
    assert _run(project, value=5) == {"wide_1", "wide_2"}
    assert project.read()["wide/2"] == 15
    there = project.api.stat(project.repository, "main", "wide/2.json")
    assert Path(there.address).name == Path(made.address).name, "no bytes were moved"
    assert _kept(project)["wide_1"] == run_id
    assert _run(project, value=5) == set()


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner, ParallelRunner])
def test_what_is_behind_a_node_that_made_the_same_again_is_not_computed(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, runner: type[AbstractRunner]
) -> None:
    first = project.run(pipeline="straight")
    _let_code_be_another(monkeypatch, "one")
    for function in ("times", "both", "named"):
        monkeypatch.setattr(f"tests.runs.project.pipeline_registry.{function}.__code__", _fail.__code__)
    assert _run(project, pipeline="straight", runner=runner()) == {"wide_1"}
    assert _kept(project) == dict.fromkeys(["wide_2", "wide_3", "wide_4", "wide_5"], first)
    assert _run(project, pipeline="straight", runner=runner()) == set()


def test_what_is_tagged_always_or_not_in_lakefs_is_run_where_nobody_knows_better(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kedro")
    for runner in (SequentialRunner(), ParallelRunner()):
        project.run(pipeline="odd", runner=runner, factor=5)
        assert _computed(caplog) == ["look", "of_kedro", "one", "times"]
        project.run(pipeline="odd", runner=runner, factor=5, missing=True)
        assert _computed(caplog) == ["look", "of_kedro"], "what is on disk is known"
        (project.path / "data/local.json").write_text('{"n": 9}')
        project.run(pipeline="odd", runner=runner, factor=5, missing=True)
        assert _computed(caplog) == ["look", "of_kedro", "one", "times"], "somebody changed what is on disk"


@pytest.mark.parametrize(("mode", "native"), [("isolated", False), ("direct", True)])
def test_what_a_run_wrote_to_disk_alone_is_not_made_once_more(
    project: KedroProject, caplog: pytest.LogCaptureFixture, mode: str, native: bool
) -> None:
    project.settings(mode=mode)
    kind = "kedro_statisfactory.ArtifactDataset"
    edit(
        project, "local", {"type": kind, "filepath": "data/local.json", "dataset": "json.JSONDataset", "native": native}
    )
    caplog.set_level("INFO", "kedro")
    project.run(pipeline="three", factor=2, other=1)
    for factor, other, expected in [(3, 1, ["local"]), (4, 2, ["local", "there"])]:
        caplog.clear()
        project.run(pipeline="three", factor=factor, other=other, missing=True)
        assert _computed(caplog) == expected
        shown = project.invoke("show", "@")
        assert "Outside of lakeFS it wrote local." in shown.stdout
        project.run(pipeline="three", factor=factor, other=other, missing=True)
        assert _computed(caplog) == []
