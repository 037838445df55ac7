"""Runs that write the same at once land one after the other or tell, in one repository and in several."""

from __future__ import annotations

import json
import os
import re
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import MergeConflict
from kedro_statisfactory.project.branches import RUN_BRANCH
from tests.runs.conftest import KedroProject, with_folder

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


# -- conflicts and several repositories ----------------------------------------------------------------------------


def test_a_conflict_names_the_entries_and_the_other_run_and_loses_nothing(project: KedroProject) -> None:
    with project.waiting_run("add", value=3) as run:
        other = project.run(2)
    with pytest.raises(MergeConflict, match=r"E0709.*entries a, b, total \(a.json, b.json, total.json\)") as caught:
        run.result()
    assert other in str(caught.value)
    (kept,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
    assert kept in str(caught.value)
    assert project.read() == {"a": 2, "b": 20, "total": 2}
    assert project.read(kept) == {"a": 3, "b": 30, "total": 3}


def test_a_conflict_whose_origin_the_log_does_not_tell_is_told_all_the_same(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LakeFSAPI, "log", lambda *_, **__: iter(()))
    with project.waiting_run("add", value=3) as run:
        project.run(2)
    with pytest.raises(MergeConflict, match="since this run began, by another run"):
        run.result()


def test_a_conflict_with_changes_made_by_hand_names_their_commit(project: KedroProject) -> None:
    with project.waiting_run("add", value=3) as run:
        project.write("total.json", 50)
    with pytest.raises(MergeConflict, match=r"entries total .*Changes made outside of runs"):
        run.result()
    assert project.read() == {"total": 50}


@pytest.mark.parametrize(("merge", "total"), [("source-wins", 3), ("dest-wins", 2)])
def test_a_conflict_can_be_settled_by_a_setting(project: KedroProject, merge: str, total: int) -> None:
    project.settings(merge=merge)
    with project.waiting_run("add", value=3) as run:
        project.run(2)
    run.result()
    assert project.read()["total"] == total
    assert project.branches() == ["main"]
    metadata = project.log()[0].metadata
    lost = json.loads(metadata.get("kedro_outputs_lost", "{}"))
    assert json.loads(metadata["kedro_outputs"]).keys() == {"a", "b", "total"} - lost.keys()
    assert lost.keys() == ({"a", "b", "total"} if merge == "dest-wins" else set())


@pytest.mark.parametrize("merge", [None, "source-wins", "dest-wins"])
def test_two_runs_that_write_one_folder_do_not_mix(project: KedroProject, merge: str | None) -> None:
    with_folder(project)
    project.settings(merge=merge)
    with project.waiting_run("second", value=3, nodes=["first", "second"]) as run:
        project.run(5, nodes=["first", "second"])
    with pytest.raises(MergeConflict, match=r"entries a, b ") as caught:
        run.result()
    assert ("which no strategy of merging keeps whole" in str(caught.value)) == bool(merge)
    assert project.catalog().load("a") == {"n": 5}


def test_two_runs_that_write_the_same_into_a_folder_agree(project: KedroProject) -> None:
    with_folder(project)
    with project.waiting_run("second", value=3, nodes=["first", "second"]) as run:
        project.run(3, nodes=["first", "second"])
    run.result()
    assert project.catalog().load("a") == {"n": 3}


@pytest.mark.parametrize("merge", [[], ["--merge", "source-wins"]])
def test_a_conflict_can_be_settled_by_a_command(project: KedroProject, merge: list[str]) -> None:
    with project.waiting_run("add", value=3) as run:
        project.run(2)
    (run_id,) = re.findall(r"finish (\S+)`", str(run.exception()))
    done = project.invoke("run", "finish", run_id, *merge)
    if merge:
        assert done.exit_code == 0, done.output
        assert project.read() == {"a": 3, "b": 30, "total": 3}
        assert project.branches() == ["main"]
        assert project.tags()[f"kedro-{run_id}"] == project.log()[0].id
        assert json.loads(project.log()[0].metadata["kedro_outputs"]).keys() == {"a", "b", "total"}
    else:
        assert done.exit_code == 1
        assert "E0709" in done.output
        assert project.invoke("run", "abort", run_id).exit_code == 0
        assert project.read() == {"a": 2, "b": 20, "total": 2}


def test_all_repositories_of_a_run_land(project: KedroProject) -> None:
    run_id = project.run(3, pipeline="both")
    assert project.read() == {"a": 3, "b": 30, "total": 3}
    assert project.read(repository=project.other) == {"elsewhere": 30}
    for repository in (project.repository, project.other):
        assert f"kedro-{run_id}" in project.tags(repository)
        assert project.branches(repository) == ["main"]


def test_a_conflict_in_one_of_several_repositories_says_which_have_landed(project: KedroProject) -> None:
    first, last = sorted([project.repository, project.other])
    with project.waiting_run("add", value=3, pipeline="both") as run:
        project.run(2, pipeline="both")
    text = str(run.exception())
    assert re.search(r"not reached.*main.*main", text), text
    assert len(project.branches(first)) == len(project.branches(last)) == 2


# -- many at once --------------------------------------------------------------------------------------------------


def _check_serial(project: KedroProject, landed: list[int]) -> None:
    """That the commits are those of the runs which landed, one after the other and each of them whole."""
    total = 0
    commits = [commit for commit in reversed(project.log()) if "kedro_run_id" in commit.metadata]
    assert len(commits) == len(landed)
    for commit in commits:
        found = project.read(commit.id)
        total += found["a"]
        assert found == {"a": found["a"], "b": 10 * found["a"], "total": total}
    assert total == sum(landed)


def test_sixteen_processes_land_or_tell(project: KedroProject) -> None:
    def one(value: int) -> int:
        child = os.fork()
        if child == 0:
            try:
                project.run(value)
            except MergeConflict:
                os._exit(7)
            except BaseException:
                (project.path / f"begun-{value}").write_text(traceback.format_exc())
                os._exit(1)
            os._exit(0)
        return child

    children = {one(value): value for value in range(1, 17)}
    ended = {value: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child, value in children.items()}
    assert [error.read_text() for error in project.path.glob("begun-*")] == []
    assert set(ended.values()) <= {0, 7}
    landed = [value for value, code in ended.items() if code == 0]
    assert landed
    _check_serial(project, landed)
    assert len(project.branches()) == 1 + len(ended) - len(landed)


def test_sixteen_threads_of_one_service_land_or_tell(project: KedroProject) -> None:
    bootstrap_project(project.path)
    session = KedroServiceSession.create(project_path=project.path, serving_mode=True)

    def one(value: int) -> bool:
        try:
            session.run(runtime_params={"value": value})
        except MergeConflict:
            return False
        return True

    with ThreadPoolExecutor(16) as executor:
        ended = dict(zip(range(1, 17), executor.map(one, range(1, 17)), strict=True))
    landed = [value for value, done in ended.items() if done]
    assert landed
    _check_serial(project, landed)


def test_sixteen_processes_that_write_different_entries_all_land(project: KedroProject) -> None:
    def one(number: int) -> int:
        child = os.fork()
        if child == 0:
            try:
                project.run(number, pipeline="wide", nodes=[f"n{number}"])
            except BaseException:
                (project.path / f"begun-{number}").write_text(traceback.format_exc())
                os._exit(1)
            os._exit(0)
        return child

    children = [one(number) for number in range(16)]
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert [error.read_text() for error in project.path.glob("begun-*")] == []
    assert ended == [0] * 16
    assert project.read() == {"total": 0, **{f"wide/{number}": number for number in range(16)}}
    assert project.branches() == ["main"]
