"""A run that outlives the branch on which it began brings nothing of that branch back."""

from __future__ import annotations

import pytest

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import BranchNotFound, MergeConflict, RunError
from kedro_statisfactory.project import RUN_ID
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.runs.landing import _refuse_ended
from kedro_statisfactory.runs.target import Target
from tests.runs.conftest import KedroProject
from tests.runs.overlaps import before_merge, id_of

pytestmark = pytest.mark.once

FIRST = ["first", "second"]


@pytest.fixture
def feature(project: KedroProject) -> KedroProject:
    """A project on a git branch whose data branch has an object `old` that no other has."""
    project.git("switch", "-qc", "x")
    project.run(1)
    project.write("old.json", 1, "x")
    project.api.create_commit(project.repository, "x", "old", {})
    return project


def reset(project: KedroProject) -> None:
    done = project.invoke("branch", "--reset")
    assert done.exit_code == 0, done.output


def anew(project: KedroProject) -> None:
    reset(project)
    project.run(5)


NEW = {
    "a": 5,
    "b": 50,
    "total": 5,
}  # nothing of what was there before is there again, though it was made at this commit


def test_a_run_does_not_land_on_a_branch_that_was_made_anew(
    feature: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    with feature.waiting_run("second", value=3, nodes=["second"], expect=10) as run:
        (hidden,) = (name for name in feature.branches() if name.startswith(RUN_BRANCH))
        feature.api.create_branch(feature.repository, f"{RUN_BRANCH}of-another", "main", hidden=True)
        anew(feature)
        feature.api.delete_branch(feature.repository, f"{RUN_BRANCH}of-another")
        assert "of-another" not in caplog.text
        assert "cannot land any more, since it is reset: abort or repeat them. Their branches in " in caplog.text
        assert hidden in caplog.text
    with pytest.raises(RunError, match=r"data branch 'x' .* is not the one any more on which this run began"):
        run.result()
    assert feature.read("x") == NEW
    run_id = id_of(run.exception())
    assert feature.invoke("run", "finish", run_id, "--merge", "source-wins").exit_code == 2
    assert feature.read("x") == NEW
    caplog.clear()
    reset(feature)
    assert hidden in caplog.text, "it waits, and is committed"
    assert feature.invoke("run", "abort", run_id).exit_code == 0
    assert feature.branches() == ["main"]


def test_a_run_does_not_bring_a_branch_back_that_was_reset(feature: KedroProject) -> None:
    with feature.waiting_run("second", value=3, nodes=FIRST) as run:
        reset(feature)
    with pytest.raises(RunError, match="is not the one any more"):
        run.result()
    assert feature.invoke("run", "finish", id_of(run.exception())).exit_code == 2
    assert "x" not in feature.branches()


def test_a_branch_that_is_made_anew_at_the_moment_of_the_merge_gets_nothing_of_the_old_one(
    feature: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_anew() -> None:
        reset(feature)
        feature.api.create_branch(feature.repository, "x", "main")

    before_merge(monkeypatch, made_anew)
    with pytest.raises(MergeConflict, match=r"is not the one any more.*taken back"):
        feature.run(1, nodes=["first"])
    assert feature.read("x") == feature.read("main")


def test_a_joined_run_that_waits_does_not_bring_a_branch_back(
    feature: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_ID, "nightly")
    feature.run(3, nodes=FIRST)
    reset(feature)
    done = feature.invoke("run", "finish")
    assert (done.exit_code, "is not the one any more" in " ".join(done.output.split())) == (2, True)
    assert "x" not in feature.branches()


def test_a_part_does_not_land_in_a_run_that_was_begun_anew(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_ID, "nightly")
    project.run(3, nodes=["first"])
    with project.waiting_run("second", value=3, nodes=["second"]) as run:
        assert project.invoke("run", "abort").exit_code == 0
        project.run(4, pipeline="wide")
    with pytest.raises(RunError, match="is not the one any more on which this part began"):
        run.result()
    assert project.invoke("run", "finish").exit_code == 0
    assert not {"a", "b"} & project.read().keys()


@pytest.mark.parametrize("joined", [True, False])
def test_a_run_that_was_the_first_of_its_branch_makes_it_when_it_is_finished(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, joined: bool
) -> None:
    project.git("switch", "-qc", "x")
    if joined:
        monkeypatch.setenv(RUN_ID, "nightly")
    with project.waiting_run("second", value=3, nodes=FIRST) as run:
        monkeypatch.delenv(RUN_ID, raising=False)
        project.run(4, nodes=FIRST)
    if joined:
        assert run.exception() is None
    project.api.delete_branch(project.repository, "x")
    run_id = "nightly" if joined else id_of(run.exception())
    assert project.invoke("run", "finish", run_id).exit_code == 0
    assert project.read("x") == {"a": 3, "b": 30, "total": 0}


def test_a_merge_that_misses_something_that_is_there_is_tried_again(
    feature: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge, missed = LakeFSAPI.merge, iter([True])

    def miss(self: LakeFSAPI, *arguments: object) -> str:
        if next(missed, False):
            raise BranchNotFound("not yet")
        return merge(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LakeFSAPI, "merge", miss)
    feature.run(3)
    assert feature.read("x")["a"] == 3


def test_a_new_data_branch_that_is_not_there_yet_is_no_sign_that_its_run_was_ended(feature: KedroProject) -> None:
    feature.api.create_branch(feature.repository, "hidden", "main")
    _refuse_ended(Target(feature.api, feature.repository, "new", {}, "hidden", is_new=True))
