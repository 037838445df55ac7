"""What a run has landed is not dropped by an abort, which tells what it found."""

from __future__ import annotations

from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import BackendUnreachable, PermissionDenied, RunError
from tests.runs.conftest import KedroProject
from tests.runs.overlaps import die, half, id_of

pytestmark = pytest.mark.once


def without_end(project: KedroProject, monkeypatch: pytest.MonkeyPatch, pipeline: str = "__default__") -> str:
    """A run that lands, or lands in the first of two repositories, and dies before its tags; gives its id."""
    with monkeypatch.context() as patch:
        patch.setattr("kedro_statisfactory.runs.run.seal", die)
        with pytest.raises(RunError, match="dead"):
            project.run(3, pipeline=pipeline)
    return str(project.log()[0].metadata["kedro_run_id"])


def test_a_run_that_has_landed_is_not_dropped_by_an_abort_but_gets_its_tags(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = without_end(made, monkeypatch)
    assert f"kedro-{run_id}" not in made.tags()
    done = made.invoke("run", "abort", run_id)
    assert done.exit_code == 0, done.output
    assert "was on the data branch 'main'" in done.output
    assert "dropped" not in done.output
    assert made.tags()[f"kedro-{run_id}"] == made.log()[0].id
    assert made.branches() == ["main"]
    assert f"There is no run {run_id} that waits" in made.invoke("run", "abort", run_id).output


def test_an_abort_says_in_which_of_two_repositories_a_run_has_landed(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = sorted([made.repository, made.other])
    merge = LakeFSAPI.merge

    def refuse(self: LakeFSAPI, repository: str, *more: Any) -> str:
        if repository == last:
            raise PermissionDenied("no")
        return merge(self, repository, *more)

    monkeypatch.setattr(LakeFSAPI, "merge", refuse)
    monkeypatch.setattr("kedro_statisfactory.runs.run.seal", die)
    with pytest.raises(RunError) as caught:
        made.run(3, pipeline="both")
    done = made.invoke("run", "abort", id_of(caught.value))
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert f"was on the data branch 'main' of the repository {first!r} already" in text
    assert f"is dropped in {last}" in text
    assert made.branches(first) == made.branches(last) == ["main"]


def test_a_branch_of_a_run_with_commits_of_others_is_dropped_by_an_abort(made: KedroProject) -> None:
    with made.waiting_run("add", value=2, nodes=["first", "add"]) as run:
        half(made)
    run_id = id_of(run.exception())
    (branch,) = set(made.branches()) - {"main"}
    mark = {**made.log(branch)[0].metadata, "kedro_outputs": "7"}
    made.api.create_commit(made.repository, branch, "not ours", mark, allow_empty=True)
    done = made.invoke("run", "abort", run_id)
    assert f"The run {run_id} is dropped." in done.output
    assert made.branches() == ["main"]


def test_an_abort_tells_which_parts_came_after_their_run_had_landed(
    made: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise BackendUnreachable("no answer")

    monkeypatch.setenv("STATISFACTORY_RUN_ID", "nightly")
    half(made)
    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "create_tag", fail)
        assert made.invoke("run", "finish").exit_code == 2
    late = made.run(3, nodes=["add"])
    done = made.invoke("run", "abort")
    assert (done.exit_code, "was on the data branch 'main'" in done.output) == (0, True)
    assert f"The parts '{late}' of the run 'nightly'" in caplog.text
    assert made.read() == {"a": 3, "b": 30, "total": 2}
    assert made.tags()["kedro-nightly"] == made.log()[0].id
    assert made.branches() == ["main"]
