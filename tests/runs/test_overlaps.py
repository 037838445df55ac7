"""A run is whole also where its bytes are not new: what it wrote and what others changed meanwhile do not mix."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
import yaml

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import BackendUnreachable, DirtyBranch, MergeConflict, PermissionDenied, RunError
from tests.runs.conftest import KedroProject
from tests.runs.overlaps import before_merge, change, die, half, id_of

pytestmark = pytest.mark.once

OLD = {"a": 2, "b": 20, "total": 2}


# -- what others changed -------------------------------------------------------------------------------------------


def test_a_run_that_made_bytes_again_does_not_land_beside_others_changes_of_them(made: KedroProject) -> None:
    with made.waiting_run("add", value=2, nodes=["first", "add"]) as run:
        other = half(made)
    with pytest.raises(MergeConflict, match=rf"entries a \(a.json\) have changed .* by the run '{other}'"):
        run.result()
    assert made.read() == {"a": 3, "b": 30, "total": 2}


def test_a_run_that_made_all_of_its_bytes_again_is_no_name_for_anothers(made: KedroProject) -> None:
    with made.waiting_run("second", value=2, nodes=["first", "second"]) as run:
        half(made)
    assert isinstance(run.exception(), MergeConflict)
    assert f"kedro-{id_of(run.exception())}" not in made.tags()


def test_two_runs_that_make_the_same_bytes_both_land(made: KedroProject) -> None:
    with made.waiting_run("second", value=3, nodes=["first", "second"]) as run:
        half(made, 3)
    assert run.exception() is None
    assert made.read() == {"a": 3, "b": 30, "total": 2}


@pytest.mark.parametrize("merge", [None, "source-wins", "dest-wins"])
def test_what_others_change_elsewhere_is_in_nobodys_way(made: KedroProject, merge: str | None) -> None:
    made.settings(merge=merge)
    with made.waiting_run("second", value=2, nodes=["first", "second"]) as run:
        made.write("else.json", 7)
        made.api.create_commit(made.repository, "main", "by hand", {})
    assert run.exception() is None
    assert made.read() == {**OLD, "else": 7}


def test_uncommitted_changes_of_what_a_run_made_again_are_a_conflict_too(made: KedroProject) -> None:
    with made.waiting_run("second", value=2, nodes=["first", "second"]) as run:
        made.write("a.json", 9)
    with pytest.raises(MergeConflict, match=r"entries a .* \(Changes made outside of runs\)"):
        run.result()
    assert made.read()["a"] == 9


@pytest.mark.parametrize("merge", [None, "source-wins"])
def test_what_another_tool_adds_to_the_folder_of_an_entry_does_not_mix_with_it(
    project: KedroProject, merge: str | None
) -> None:
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["a"] |= {"filepath": f"lakefs://{project.repository}/a", "dataset": "tests.runs.project.folder.Parts"}
    file.write_text(yaml.safe_dump(catalog))
    project.settings(merge=merge)
    half(project, 3)
    with project.waiting_run("second", value=4, nodes=["first", "second"]) as run:
        project.write("a/100.part", 100)
        project.api.create_commit(project.repository, "main", "Spark was here", {})
    with pytest.raises(MergeConflict, match=r"entries a \(a/100.part\) .*\(Spark was here\)") as caught:
        run.result()
    assert ("no strategy of merging keeps whole" in str(caught.value)) == bool(merge)
    assert project.catalog().load("a") == {"n": 103}, "as the other tool left it"


@pytest.mark.parametrize("way", ["setting", "command"])
def test_bytes_that_were_made_again_win_where_the_run_is_to_win(made: KedroProject, way: str) -> None:
    if way == "setting":
        made.settings(merge="source-wins")
    with made.waiting_run("add", value=2, nodes=["first", "second", "add"], expect=20) as run:
        half(made)
    if way == "command":
        run_id = id_of(run.exception())
        done = made.invoke("run", "finish", run_id, "--merge", "source-wins")
        assert done.exit_code == 0, done.output
    else:
        run_id = run.result()
    assert made.read() == {"a": 2, "b": 20, "total": 4}
    assert made.tags()[f"kedro-{run_id}"] == made.log()[0].id
    assert made.branches() == ["main"]


def test_bytes_that_were_made_again_lose_where_the_other_is_to_win(made: KedroProject) -> None:
    made.settings(merge="dest-wins")
    with made.waiting_run("add", value=2) as run:
        half(made)
    run.result()
    assert made.read() == {"a": 3, "b": 30, "total": 4}
    metadata = made.log()[0].metadata
    assert json.loads(metadata["kedro_outputs"]).keys() == {"total"}
    assert json.loads(metadata["kedro_outputs_lost"]).keys() == {"a", "b"}


# -- at the very moment of the merge -------------------------------------------------------------------------------


def test_a_merge_that_made_a_mixture_is_taken_back(made: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    before_merge(monkeypatch, change(made))
    with pytest.raises(MergeConflict, match=r"entries a .*\(by hand\).* taken back") as caught:
        made.run(2)
    assert made.read() == {**OLD, "a": 9}, "what the other one left, and nothing of the run"
    assert "finish" not in str(caught.value)
    run_id = id_of(caught.value)
    finished = made.invoke("run", "finish", run_id)
    assert finished.exit_code == 1
    assert "has to be repeated" in " ".join(finished.output.split())
    assert made.invoke("run", "abort", run_id).exit_code == 0
    assert made.branches() == ["main"]
    made.run(2)
    assert made.read() == {"a": 2, "b": 20, "total": 4}


def test_a_mixture_that_was_made_by_a_merge_with_a_lost_answer_is_taken_back_too(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose() -> None:
        raise BackendUnreachable("gone")

    before_merge(monkeypatch, change(made), lose)
    with pytest.raises(MergeConflict, match="taken back"):
        made.run(2)
    assert made.read() == {**OLD, "a": 9}


def test_a_change_at_the_moment_of_the_merge_that_lakefs_sees_itself_is_a_conflict(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_merge(monkeypatch, change(made, "total.json"))
    with pytest.raises(MergeConflict, match=r"entries total .*\(by hand\).*finish"):
        made.run(2)
    assert made.read() == {**OLD, "total": 9}


def test_a_first_run_of_a_branch_whose_answer_was_lost_has_landed(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.git("switch", "-qc", "new")
    ensure = LakeFSAPI.ensure_branch

    def lost(self: LakeFSAPI, *arguments: Any) -> bool:
        ensure(self, *arguments)
        raise BackendUnreachable("gone")

    monkeypatch.setattr(LakeFSAPI, "ensure_branch", lost)
    made.run(3)
    assert made.read("new") == {"a": 3, "b": 30, "total": 5}


def test_a_change_elsewhere_at_the_moment_of_the_merge_is_in_nobodys_way(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_merge(monkeypatch, change(made, "else.json"))
    made.run(2)
    assert made.read() == {"a": 2, "b": 20, "total": 4, "else": 9}


def test_a_mixture_is_taken_back_where_something_was_saved_right_after_it_as_well(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_merge(monkeypatch, change(made), lambda: made.write("else.json", 7))
    with pytest.raises(MergeConflict, match="taken back"):
        made.run(2)
    assert made.read() == {**OLD, "a": 9, "else": 7}


@pytest.mark.parametrize("merge", [None, "source-wins"])
def test_a_run_that_died_right_after_its_merge_is_looked_at_when_it_is_finished(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch, merge: str | None
) -> None:
    made.settings(merge=merge)

    def _dead(*_: object) -> str:
        raise RunError("dead")

    with monkeypatch.context() as patch:
        if merge is None:
            before_merge(patch, change(made))
            patch.setattr("kedro_statisfactory.runs.landing.verified", _dead)
            with pytest.raises(RunError) as caught:
                made.run(2)
        else:  # what was settled before the merge is no mixture
            with made.waiting_run("add", value=2, nodes=["first", "add"]) as run:
                half(made)
                patch.setattr("kedro_statisfactory.runs.landing.verified", _dead)
            with pytest.raises(RunError) as caught:
                run.result()
    done = made.invoke("run", "finish", id_of(caught.value))
    if merge is None:
        assert done.exit_code == 1
        assert made.read() == {**OLD, "a": 9}
    else:
        assert done.exit_code == 0, done.output
        assert made.read() == {"a": 2, "b": 30, "total": 4}


def test_a_mixture_that_cannot_be_taken_back_is_named_and_can_be_taken_back_in_lakefs(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: LakeFSAPI, *arguments: Any) -> None:
        raise PermissionDenied("not allowed")

    with monkeypatch.context() as patch:
        before_merge(patch, change(made))
        patch.setattr(LakeFSAPI, "revert", refuse)
        refused = r"could not be taken back \(not allowed\): revert the commit ([0-9a-f]{64}) "
        with pytest.raises(RunError, match=refused) as caught:
            made.run(2)
        assert "run finish" not in str(caught.value)
        assert made.invoke("run", "abort", id_of(caught.value)).exit_code == 2, "the mixture is there"
    merge = re.findall(refused, str(caught.value))[0]
    made.server.call(
        "POST", f"/repositories/{made.repository}/branches/main/revert", {"ref": merge, "parent_number": 1}
    )
    assert "is dropped" in made.invoke("run", "abort", id_of(caught.value)).output
    assert made.read() == {**OLD, "a": 9}
    assert made.branches() == ["main"]


@pytest.mark.parametrize("is_done", [True, False])
def test_a_mixture_is_taken_back_once_where_the_answer_to_that_is_lost(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    before_merge(monkeypatch, change(made))
    revert, lost = LakeFSAPI.revert, iter([True])

    def lose(self: LakeFSAPI, *arguments: Any) -> None:
        revert(self, *arguments)
        raise BackendUnreachable("gone")

    def lose_first(self: LakeFSAPI, *arguments: Any) -> None:
        if next(lost, False):
            raise BackendUnreachable("gone")
        revert(self, *arguments)

    monkeypatch.setattr(LakeFSAPI, "revert", lose if is_done else lose_first)
    with pytest.raises(MergeConflict, match="taken back"):
        made.run(2)
    assert made.read() == {**OLD, "a": 9}
    assert [commit.message.endswith("taken back") for commit in made.log()[:3]] == [True, False, False]


def test_a_mixture_where_others_save_all_the_time_is_named(made: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(self: LakeFSAPI, *arguments: Any) -> None:
        raise DirtyBranch("uncommitted changes")

    before_merge(monkeypatch, change(made))
    monkeypatch.setattr(LakeFSAPI, "revert", busy)
    with pytest.raises(RunError, match=r"could not be taken back \(others save there all the time\)"):
        made.run(2)


def test_an_abort_takes_a_mixture_back_which_a_run_left_that_died_right_after_its_merge(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        before_merge(patch, change(made))
        patch.setattr("kedro_statisfactory.runs.landing.verified", lambda *_: die(_))
        with pytest.raises(RunError) as caught:
            made.run(2)
    done = made.invoke("run", "abort", id_of(caught.value))
    assert (done.exit_code, "is dropped" in done.output) == (0, True)
    assert made.read() == {**OLD, "a": 9}
    assert f"kedro-{id_of(caught.value)}" not in made.tags()


# -- what the run read ---------------------------------------------------------------------------------------------


def test_inputs_that_others_have_changed_meanwhile_are_told(
    made: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    file = made.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["total_before"]["load_args"] = {"lake_ref": "main"}  # as the user wants, whatever others do
    file.write_text(yaml.safe_dump(catalog))
    with made.waiting_run("add", value=5, nodes=["add"]) as run, caplog.at_level(logging.WARNING):
        half(made)
    run.result()
    assert "The entries a, which the run read, have changed" in caplog.text
    assert made.read() == {"a": 3, "b": 30, "total": 4}


def test_inputs_that_others_have_changed_meanwhile_can_be_a_conflict(made: KedroProject) -> None:
    made.settings(inputs="conflict")
    with made.waiting_run("add", value=5, nodes=["add"]) as run:
        half(made)
    with pytest.raises(MergeConflict, match=r"entries a, which the run read, .*`inputs: conflict`"):
        run.result()
    assert made.read() == {"a": 3, "b": 30, "total": 2}


def test_inputs_that_were_read_where_the_user_wanted_are_nobodys_to_change(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.settings(inputs="conflict")
    monkeypatch.setenv("STATISFACTORY_AT", made.log()[0].id)
    with made.waiting_run("add", value=5, nodes=["add"]) as run:
        half(made)
    run.result()
    assert made.read() == {"a": 3, "b": 30, "total": 4}
