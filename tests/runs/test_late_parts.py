"""Parts of a run that come while it is finished, and finishing that was interrupted between two repositories."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import BackendUnreachable, PermissionDenied, RunError
from kedro_statisfactory.project import RUN_ID
from kedro_statisfactory.project.branches import run_branch, run_tag
from kedro_statisfactory.runs.tags import refuse_late
from kedro_statisfactory.runs.target import JOINED
from tests.runs.conftest import KedroProject
from tests.runs.overlaps import change
from tests.runs.test_ends import at
from tests.runs.test_joined import run_only_missing

pytestmark = pytest.mark.once

ID = "nightly"
ALL = {"a": 3, "b": 30, "total": 3}
LATE = f"the run '{ID}' was finished in .* while this part of it landed, and may be without it"


@pytest.fixture
def joined(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> KedroProject:
    """A project whose runs are all parts of one."""
    monkeypatch.setenv(RUN_ID, ID)
    return project


@pytest.fixture
def late(joined: KedroProject) -> Callable[[], None]:
    """A part that comes late, and is told so."""

    def come() -> None:
        with pytest.raises(RunError, match=LATE):
            joined.run(3, nodes=["add"])

    return come


def finish(project: KedroProject) -> str:
    done = project.invoke("run", "finish", ID)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()[-1]


def fail(*_: object) -> None:
    raise BackendUnreachable("no answer")


def test_a_part_that_comes_when_the_run_was_looked_at_for_the_last_time_is_told_to_be_repeated(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch, late: Callable[[], None]
) -> None:
    delete = LakeFSAPI.delete_branch
    comes = iter([late])

    def drop(self: LakeFSAPI, repository: str, branch: str) -> None:
        if branch == run_branch(ID, JOINED):
            next(comes, lambda: None)()
        delete(self, repository, branch)

    joined.run(3, nodes=["first", "second"])
    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "delete_branch", drop)
        finish(joined)
    assert next(comes, None) is None, "it came"
    assert joined.read() == {**ALL, "total": 0}
    assert "nothing was left to land" in finish(joined)
    joined.run(3, nodes=["add"])
    finish(joined)
    assert joined.read() == ALL
    assert joined.log()[0].metadata["kedro_replaces"] == ID
    assert joined.branches() == ["main"]


def test_a_part_that_comes_before_that_lands_and_the_tags_of_the_run_go_along(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch, late: Callable[[], None]
) -> None:
    joined.run(3, nodes=["first", "second"])
    with monkeypatch.context() as patch:
        at(patch, "create_tag", late)
        finish(joined)
    assert joined.read() == ALL
    assert set(joined.tags().values()) == {joined.log()[0].id}
    assert len(joined.tags()) == 2
    assert json.loads(joined.log()[0].metadata["kedro_outputs"]).keys() == {"a", "b", "total"}
    assert joined.branches() == ["main"]


def test_a_part_that_comes_after_a_finish_that_died_before_its_end_lands_with_the_next(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch, late: Callable[[], None]
) -> None:
    joined.run(3, nodes=["first", "second"])
    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "delete_branch", fail)
        done = joined.invoke("run", "finish")
        assert (done.exit_code, "its branch is left over" in " ".join(done.output.split())) == (2, True)
    late()
    finish(joined)
    assert joined.read() == ALL
    assert set(joined.tags().values()) == {joined.log()[0].id}


def test_a_part_that_is_repeated_after_a_finish_that_died_goes_before_what_that_has_landed(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, nodes=["first", "second"])
    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "delete_branch", fail)
        assert joined.invoke("run", "finish").exit_code == 2
    with pytest.raises(RunError, match=LATE):
        joined.run(4, nodes=["first", "second"])
    finish(joined)
    assert joined.read() == {"a": 4, "b": 40, "total": 0}
    assert set(joined.tags().values()) == {joined.log()[0].id}


def test_what_others_change_while_a_part_goes_before_what_its_run_has_landed_is_not_lost(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come() -> None:
        with pytest.raises(RunError, match=LATE):
            joined.run(4, nodes=["first", "second"])
        at(monkeypatch, "branch", change(joined))  # right after finish has looked again at what is on `main`

    joined.run(3, nodes=["first", "second"])
    at(monkeypatch, "create_tag", come)
    done = joined.invoke("run", "finish")
    assert (done.exit_code, joined.read()["a"]) == (1, 9), done.output


def test_a_tag_stays_where_whoever_was_faster_has_landed_more(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch, late: Callable[[], None]
) -> None:
    def faster() -> None:
        joined.run(3, nodes=["add"])
        delete = LakeFSAPI.delete_branch
        with monkeypatch.context() as patch:
            patch.setattr(LakeFSAPI, "delete_branch", lambda self, *_: fail() if _[1] == branch else delete(self, *_))
            assert joined.invoke("run", "finish", ID).exit_code == 2

    branch = run_branch(ID, JOINED)
    joined.run(3, nodes=["first", "second"])
    with monkeypatch.context() as patch:
        at(patch, "merge", faster)
        finish(joined)
    assert joined.read() == ALL
    assert json.loads(joined.log()[0].metadata["kedro_outputs"]).keys() == {"a", "b", "total"}
    assert joined.tags()[run_tag(ID)] == joined.log()[0].id


@pytest.mark.parametrize("dies", ["before the second", "between the ends"])
def test_a_run_that_a_finish_has_landed_in_one_of_two_repositories_can_be_finished(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    first, last = sorted([joined.repository, joined.other])
    merge = LakeFSAPI.merge

    def refuse(self: LakeFSAPI, repository: str, *more: Any) -> str:
        if repository == last:
            raise PermissionDenied("no")
        return merge(self, repository, *more)

    joined.run(3, pipeline="both")
    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "merge", refuse)
        done = joined.invoke("run", "finish")
        assert f"has reached the data branch 'main' of the repository '{first}'" in " ".join(done.output.split())
    if dies == "between the ends":
        joined.api.delete_branch(first, run_branch(ID, JOINED))
    finish(joined)
    assert joined.read().items() >= {"a": 3, "b": 30}.items()
    assert joined.read(repository=joined.other) == {"elsewhere": 30}
    assert joined.branches(first) == joined.branches(last) == ["main"]
    assert run_tag(ID) in joined.tags(first).keys() & joined.tags(last).keys()


def test_a_part_that_writes_where_no_other_has_while_the_run_is_finished_lands_too(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUN_ID)
    joined.run()
    monkeypatch.setenv(RUN_ID, ID)
    run_only_missing(joined, "both", ["first", "second", "other"])  # writes to the other repository alone
    with monkeypatch.context() as patch:
        at(patch, "create_tag", lambda: joined.run(4, nodes=["first"]))
        assert joined.repository in finish(joined)
    assert joined.read()["a"] == 4
    assert joined.branches() == joined.branches(joined.other) == ["main"]


def test_a_part_that_was_at_work_where_no_other_has_written_lands_when_it_ends_in_time(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, nodes=["first", "second"])
    with joined.waiting_run("second", value=3, pipeline="elsewhere") as part:
        at(monkeypatch, "create_tag", lambda: end(joined, part))
        assert joined.other in finish(joined)
    assert joined.read(repository=joined.other) == {"elsewhere": 30}
    assert joined.branches() == joined.branches(joined.other) == ["main"]


def test_a_part_that_was_at_work_where_no_other_has_written_is_told_that_it_ended_too_late(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = LakeFSAPI.delete_branch
    joined.run(3, nodes=["first", "second"])
    with joined.waiting_run("second", value=3, pipeline="elsewhere") as part:

        def drop(self: LakeFSAPI, repository: str, branch: str) -> None:
            if (repository, branch) == (joined.other, run_branch(ID, JOINED)):
                end(joined, part)
            delete(self, repository, branch)

        monkeypatch.setattr(LakeFSAPI, "delete_branch", drop)
        finish(joined)
    assert joined.read(repository=joined.other) == {}


@pytest.mark.parametrize("looks", ["before", "after"])
def test_a_part_that_reads_nothing_of_the_run_is_told_as_well_that_it_ended_too_late(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch, looks: str
) -> None:
    delete = LakeFSAPI.delete_branch
    has_merged, is_over = threading.Event(), threading.Event()

    def look(targets: Any, part: str, _: Any) -> None:
        has_merged.set()
        if looks == "after":
            assert is_over.wait(60)
        refuse_late(targets, part, [])

    joined.run(3, nodes=["first", "second"])
    monkeypatch.setattr("kedro_statisfactory.runs.run.refuse_late", look)
    with joined.waiting_run("second", value=3, pipeline="elsewhere") as part:

        def drop(self: LakeFSAPI, repository: str, branch: str) -> None:
            if (repository, branch) == (joined.other, run_branch(ID, JOINED)):
                (joined.path / "end-second").touch()
                assert has_merged.wait(60)
                if looks == "before":
                    assert part.exception(60) is not None
            delete(self, repository, branch)

        monkeypatch.setattr(LakeFSAPI, "delete_branch", drop)
        finish(joined)
        is_over.set()
    with pytest.raises(RunError, match=LATE):
        part.result(60)
    assert joined.read(repository=joined.other) == {}
    assert joined.tags(joined.other) == {}, "the mark of the end is gone"


def test_a_branch_to_which_nobody_has_written_may_be_dropped_by_others_first(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined.run(3, nodes=["first", "second"])
    with joined.waiting_run("second", value=3, pipeline="elsewhere") as part:
        at(monkeypatch, "create_tag", lambda: joined.api.delete_branch(joined.other, run_branch(ID, JOINED)))
        finish(joined)
    assert "was ended elsewhere" in str(part.exception())


def end(project: KedroProject, part: Future[str]) -> None:
    """Let a part that waits in its node end now; it is told that it came late."""
    (project.path / "end-second").touch()
    assert re.search(LATE, str(part.exception()))


def test_a_late_part_that_reached_one_of_two_repositories_is_not_landed_by_halves(
    joined: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, merge = max(joined.repository, joined.other), LakeFSAPI.merge

    def refuse(self: LakeFSAPI, repository: str, *more: Any) -> str:
        if repository == last:
            raise PermissionDenied("no")
        return merge(self, repository, *more)

    def come() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(LakeFSAPI, "merge", refuse)
            with pytest.raises(PermissionDenied):
                joined.run(4, pipeline="both")

    joined.run(3, pipeline="both")
    with monkeypatch.context() as patch:
        at(patch, "create_tag", come)
        done = joined.invoke("run", "finish")
    assert (done.exit_code, f"to '{last}' is missing there" in " ".join(done.output.split())) == (2, True)
    assert joined.read()["b"] == 30
    with pytest.raises(RunError, match=LATE):
        joined.run(4, pipeline="both")
    done = joined.invoke("run", "finish", "--merge", "source-wins")  # it goes before what the run itself has landed
    assert done.exit_code == 0, done.output
    assert (joined.read()["b"], joined.read(repository=joined.other)) == (40, {"elsewhere": 40})
