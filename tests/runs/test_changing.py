"""A run is taken back, and the data of a merged git branch comes to the branch it was merged into."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK
from kedro_statisfactory.errors import BackendUnreachable, Conflict
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.runs import merging
from tests.runs.conftest import KedroProject
from tests.runs.test_history import answer, record

pytestmark = pytest.mark.once


def test_a_run_is_taken_back_once_and_can_still_be_loaded(project: KedroProject) -> None:
    project.run(1)
    run_id = project.run(5, pipeline="both")
    done = project.invoke("revert", "@")
    assert (done.exit_code, run_id in done.output) == (0, True), done.output
    assert project.read()["a"] == 1
    assert project.read(repository=project.other) == {}
    assert project.entry("a", version=run_id).load() == {"n": 5}
    assert answer(project, "runs")[0]["taken_back"]
    done = project.invoke("revert", run_id)
    assert (done.exit_code, "taken back already" in done.output) == (2, True)
    project.run(7)
    assert project.read()["a"] == 7


def test_a_run_that_was_taken_back_in_one_repository_alone_is_taken_back_in_the_other(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = project.run(5, pipeline="both")
    revert = LakeFSAPI.revert

    def away(api: LakeFSAPI, repository: str, *arguments: Any) -> None:
        if repository == project.repository:
            raise BackendUnreachable("no answer")
        revert(api, repository, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "revert", away)
        assert project.invoke("revert", run_id).exit_code == 2
    done = project.invoke("revert", run_id)
    assert (done.exit_code, f"back in {project.repository}." in done.output) == (0, True), done.output
    assert "a" not in project.read()
    assert project.invoke("revert", run_id).exit_code == 2


def test_a_run_on_which_something_was_built_stays(project: KedroProject) -> None:
    first = project.run(1, nodes=["first"])
    second = project.run(1, nodes=["second"])
    done = project.invoke("revert", first)
    assert (done.exit_code, f"the run {second} has read a" in done.output) == (1, True), done.output
    assert project.invoke("revert", second).exit_code == 0
    assert project.invoke("revert", first).exit_code == 0, "what had read it was taken back"
    third = project.run(3, nodes=["first"])
    project.run(3, nodes=["first"])
    done = project.invoke("revert", third)
    assert (done.exit_code, "has written a" in done.output) == (1, True), done.output
    project.run(4, nodes=["first"])
    done = project.invoke("revert", third)
    assert (done.exit_code, "a.json of" in done.output) == (1, True), done.output


def test_a_run_of_another_branch_and_one_on_a_dirty_branch_are_not_taken_back(project: KedroProject) -> None:
    run_id = project.run(1)
    project.git("switch", "-qc", "feature/x")
    elsewhere = project.run(2)
    project.git("switch", "-q", "main")
    done = project.invoke("revert", elsewhere)
    assert (done.exit_code, "but on 'feature--x'" in done.output) == (2, True), done.output
    project.write("total.json", 9)
    done = project.invoke("revert", run_id)
    assert (done.exit_code, "has changes that no commit has" in done.output) == (2, True), done.output


def _branched(project: KedroProject) -> None:
    """Runs on ``main`` and on ``feature/x``, whose code git has merged."""
    project.run(1)
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(2, nodes=["first", "second"])
    project.git("switch", "-q", "main")


def test_the_data_of_a_merged_branch_comes_as_one_commit_with_both_parents(project: KedroProject) -> None:
    _branched(project)
    done = project.invoke("merge", "feature/x")
    assert (done.exit_code, "git has not merged" in done.output) == (2, True), done.output
    project.git("merge", "-q", "feature/x")
    project.git("branch", "-qd", "feature/x")
    heads = [project.api.branch(project.repository, name).commit_id for name in ("main", "feature--x")]
    done = project.invoke("merge", "feature/x")
    assert done.exit_code == 0, done.output
    newest = project.log()[0]
    assert list(newest.parents) == heads
    assert project.read() == {"a": 2, "b": 20, "total": 1}
    assert "There is nothing to bring" in project.invoke("merge", "feature/x").output
    project.run(5)


def test_data_of_code_that_git_has_not_merged_does_not_come(project: KedroProject) -> None:
    _branched(project)
    project.git("merge", "-q", "feature/x")
    project.git("switch", "-q", "feature/x")
    project.commit_code("newer, of somebody else")
    project.run(3, nodes=["first"])
    project.git("reset", "-q", "--hard", "HEAD~1")  # this clone has not fetched it
    project.git("switch", "-q", "main")
    done = project.invoke("merge", "feature/x")
    assert (done.exit_code, "git has not merged" in done.output) == (2, True), done.output
    assert project.invoke("merge", "feature/x", "--force").exit_code == 0


def test_conflicts_are_told_by_entry_and_settled_for_all_or_for_entries(project: KedroProject) -> None:
    _branched(project)
    project.run(3, nodes=["first", "second"])
    project.git("merge", "-q", "feature/x")
    done = project.invoke("merge", "feature/x")
    assert (done.exit_code, "have both changed a, b:" in done.output) == (1, True), done.output
    done = project.invoke("merge", "feature/x", "--ours-of", "b")
    assert (done.exit_code, "have both changed a:" in done.output) == (1, True), done.output
    both = project.invoke("merge", "feature/x", "--ours", "--theirs")
    assert (both.exit_code, "either --ours or --theirs" in both.output) == (2, True)
    for wrong, told in ((["c"], "no entry 'c'"), (["a", "--theirs-of", "a"], "both name 'a'")):
        done = project.invoke("merge", "feature/x", "--ours", "--ours-of", *wrong)
        assert (done.exit_code, told in done.output) == (2, True), done.output
    main = project.api.branch(project.repository, "main").commit_id
    done = project.invoke("merge", "feature/x", "--ours-of", "b", "--theirs")
    assert (done.exit_code, "theirs for a" in done.output) == (0, True), done.output
    assert project.read() == {"a": 2, "b": 30, "total": 1}
    newest = project.log()[0]
    assert (newest.parents[0], newest.metadata["kedro_ours"], newest.metadata["kedro_theirs"]) == (main, "b", "a")
    assert not any(name.startswith(RUN_BRANCH) for name in project.branches())


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_folder_that_both_have_changed_is_taken_whole(project: KedroProject, side: str) -> None:
    outputs = json.dumps({"f": {"path": "f", "objects": "2"}})

    def write(branch: str, *names: str) -> None:
        for name in names:
            project.write(f"f/{name}", 1, branch)
        project.write(f"{FOLDER_MARK}f", hash(names) % 1000, branch)
        record(project, f"on-{branch}-{names[0]}", branch, kedro_outputs=outputs)

    write("main", "base")
    project.api.create_branch(project.repository, "x", "main")
    write("main", "mine")
    project.api.delete(project.repository, "x", ["f/base"])
    write("x", "yours")
    assert project.invoke("merge", "x", "--force").exit_code == 1
    assert project.invoke("merge", "x", "--force", f"--{side}").exit_code == 0
    found = {stat.path for stat in project.api.list(project.repository, "main", "f/")}
    assert found == ({"f/base", "f/mine"} if side == "ours" else {"f/yours"})


def test_a_merge_that_cannot_be_is_one_line(project: KedroProject) -> None:
    _branched(project)
    project.git("merge", "-q", "feature/x")
    for branch, told in (("no/such", "has no data"), ("main", "is checked out")):
        done = project.invoke("merge", branch)
        assert (done.exit_code, told in done.output) == (2, True), done.output
    project.write("total.json", 9, "feature--x")
    done = project.invoke("merge", "feature/x")
    assert (done.exit_code, "'feature--x' of" in done.output) == (2, True), done.output
    (project.path / "conf/base/catalog.yml").write_text("{}")
    assert project.invoke("merge", "feature/x").exit_code == 2


def test_what_is_refused_makes_no_branch_and_what_comes_meanwhile_is_not_merged(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    _branched(project)
    project.git("merge", "-q", "feature/x")
    project.git("switch", "-qc", "fresh")
    project.settings(source="main")
    assert project.invoke("merge", "feature/x", "--ours-of", "c").exit_code == 2
    assert "fresh" not in project.branches()
    look = merging._look

    def then_others_commit(*arguments: Any) -> None:
        look(*arguments)
        project.write("late.json", 1, "feature--x")
        project.api.create_commit(project.repository, "feature--x", "meanwhile", {})

    monkeypatch.setattr(merging, "_look", then_others_commit)
    assert project.invoke("merge", "feature/x").exit_code == 0
    assert project.read("fresh") == {"a": 2, "b": 20, "total": 1}


def test_data_comes_to_a_branch_that_has_none_yet_and_that_only_the_settings_name(project: KedroProject) -> None:
    _branched(project)
    project.git("checkout", "-q", "--detach", "feature/x")
    project.settings(branch="fresh", source="main")
    done = project.invoke("merge", "feature/x")
    assert done.exit_code == 0, done.output
    assert project.read("fresh") == {"a": 2, "b": 20, "total": 1}
    assert "git_branch" not in project.log("fresh")[0].metadata


def test_a_run_that_read_what_was_there_before_is_not_built_on_it(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.log()[0].id
    run_id = project.run(1)
    inputs = {"total": {"url": f"lakefs://{project.repository}/total.json", "ref": before}}
    record(project, "beside", kedro_inputs=json.dumps(inputs), kedro_outputs="{}")

    def refuse(*_: object) -> None:
        raise Conflict("somebody was faster")

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "revert", refuse)
        done = project.invoke("revert", run_id)
    assert (done.exit_code, "has changed in" in done.output) == (1, True), done.output
    assert project.invoke("revert", run_id).exit_code == 0


def test_branches_without_runs_are_merged_by_their_paths(project: KedroProject) -> None:
    project.api.create_branch(project.repository, "x", "main")
    for branch, number in (("main", 1), ("x", 22)):
        project.write("stray.json", number, branch)
        project.api.create_commit(project.repository, branch, "by hand", {})
    done = project.invoke("merge", "x", "--force")
    assert (done.exit_code, "both changed stray.json" in done.output) == (1, True), done.output
