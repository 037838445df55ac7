"""Two people, two clones, two git branches: what each of them sees and does from the first run to the last."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.readme.blocks import below
from tests.runs.conftest import KedroProject
from tests.runs.test_history import answer, record

pytestmark = pytest.mark.once

BRANCH = "feature/größe"
TYPED: set[str] = set()  # commands, as the walk types them


def _clone(project: KedroProject, path: Path) -> KedroProject:
    project.git("clone", "-q", str(project.path / ".git"), str(path))
    return dataclasses.replace(project, path=path)


def _told(project: KedroProject, *arguments: str, status: int = 0) -> str:
    """What a command says to a person, on a screen with 80 columns; tables keep within it."""
    done = project.invoke(*arguments)
    TYPED.add(" ".join(arguments))
    print(f"$ kedro statisfactory {' '.join(arguments)}\n{done.output}")
    assert done.exit_code == status, done.output
    if arguments[0] in ("runs", "status", "show", "diff"):
        assert max(cell_len(line) for line in done.output.splitlines()) <= 80, done.output
    return done.output


def test_two_people_run_compare_merge_and_prune_and_load_old_runs(
    project: KedroProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    project.git("config", "receive.denyCurrentBranch", "ignore")
    ada, ben = (_clone(project, tmp_path / "people" / name) for name in ("ada", "ben"))
    on_main = ada.run(1)

    # Ben changes the code on a branch of his own; its data begins with that of main, which stays as it is.
    ben.git("switch", "-qc", BRANCH)
    assert "not there yet, the next run makes it" in " ".join(_told(ben, "status").split())
    sha = ben.commit_code("bens")
    on_branch = ben.run(2, nodes=["first", "second"])
    assert on_branch in _told(ben, "runs")
    assert [each["id"] for each in answer(ben, "runs", "--branch", "main")] == [on_main]
    told = _told(ben, "diff", "main", status=1)
    assert {"a", "b"} <= {line.split(" ")[0] for line in told.splitlines()}
    assert "parameter value" in told
    _told(ben, "tag", "@", "bens-best")
    ben.git("push", "-q", "origin", BRANCH)

    # Ada goes on meanwhile, merges his code, and then his data.
    assert ada.run(3, nodes=["add"]) in _told(ada, "status")
    ada.git("fetch", "-q")
    assert "git has not merged" in _told(ada, "merge", BRANCH, status=2)
    ada.git("merge", "-q", "--no-edit", f"origin/{BRANCH}")
    _told(ada, "merge", BRANCH)
    assert ada.read() == {"a": 2, "b": 20, "total": 2}
    assert "a.json" in _told(ada, "show", on_branch)
    assert "Nothing differs" not in _told(ada, "diff", on_main, status=1)
    ada.git("push", "-q", "origin", "main")

    # The branch is done with: who had it drops its data, and nobody else.
    ben.git("push", "-q", "origin", "--delete", BRANCH)
    ben.git("switch", "-q", "main")
    ben.git("pull", "-q", "origin", "main")
    ben.git("branch", "-qD", BRANCH)
    ada.git("fetch", "-q", "--prune")
    (hers,) = [name for name in ada.branches() if name.startswith("feature")]
    assert "this clone never had it" in _told(ada, "prune", "--yes")
    assert f"would drop the data branch {hers}" in _told(ben, "prune")
    assert f"dropped the data branch {hers}" in _told(ben, "prune", "--yes")
    assert hers not in ada.branches()

    (recording,) = below("Work in two branches, and bring their data together", "text")
    for command in re.findall(r"^\w+\$ kedro statisfactory (.+)$", recording.text, re.MULTILINE):
        assert command.replace("feature/ben", BRANCH) in TYPED, "what the README shows is what is done here"

    # Old runs load as ever, by their ids, names and git commits.
    for word, number in ((on_main, 10), (on_branch, 20), ("bens-best", 20), (sha, 20)):
        ada.run(pipeline="reads", load_versions={"b": word}, expect=10 * number)


def test_what_is_asked_does_not_grow_with_the_runs(project: KedroProject, calls: Callable[[], Counter[str]]) -> None:
    def asked(*arguments: str) -> Counter[str]:
        before = calls()
        done = project.invoke(*arguments)
        assert done.exit_code in (0, 1), done.output
        return calls() - before

    def all_asked(newest: str) -> dict[tuple[str, ...], Counter[str]]:
        commands = (
            *(["runs"], ["runs", "-n", "2"], ["runs", "--since", "1d"], ["runs", "--entry", "a"], ["status"]),
            *(["show", newest], ["show", newest[:-1]], ["show", "@"], ["show", "@~1"], ["show", "main"]),
            *(["diff", "@~1", "@"], ["diff", newest]),
        )
        return {tuple(command[:1] + command[2:]): asked(*command) for command in commands}

    for number in range(11):  # the newest ten commits are asked for first
        record(project, f"early-{number:02}x")
    asked("status")  # what a process learns once of a server and its folders is known from here on
    few = all_asked("early-10x")
    for number in range(27):
        record(project, f"late-{number:02}x")
    many = all_asked("late-26x")
    assert few == many
    status = many.pop(("status",))
    assert sum(status.values()) <= 12 + 4 * 3, "what there is in two repositories, and what three entries hold"
    assert max(sum(each.values()) for each in many.values()) <= 2 * 6, "there are two repositories"


def test_names_in_any_script_stay_within_a_narrow_screen(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.git("switch", "-qc", "功能/数据版本")
    run_id = project.run(1)
    for columns in (20, 40, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        for command in (["runs"], ["status"], ["show", "@"], ["diff", "main"], ["doctor"]):
            done = project.invoke(*command)
            assert done.exit_code in (0, 1), done.output
            wide = [line for line in done.output.splitlines() if cell_len(line) > columns and run_id not in line]
            assert not wide, (columns, wide)
