"""A person sees which runs there are, and all of one."""

from __future__ import annotations

import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.errors import RefNotFound
from kedro_statisfactory.plugin.commands import output
from kedro_statisfactory.project.branches import run_tag
from kedro_statisfactory.runs import history as history_module
from kedro_statisfactory.runs.history import History, Wanted
from kedro_statisfactory.runs.past import PastRun, Share, mapping_in
from kedro_statisfactory.session import Session
from tests.runs.conftest import KedroProject

pytestmark = pytest.mark.once


def history(project: KedroProject, *more: str) -> History:
    """Of the repository of a project, as a command would ask for it."""
    bootstrap_project(project.path)
    project.catalog()
    return History([(LakeFSBackend(Session()), name) for name in (project.repository, *more)])


def answer(project: KedroProject, *arguments: str) -> Any:
    """What a command tells programs."""
    done = project.invoke(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def record(project: KedroProject, run_id: str, branch: str = "main", **facts: str) -> str:
    """Commit a run without making it, with its tag; gives the id of the commit."""
    told = {
        "kedro_run_id": run_id,
        "kedro_data_branch": branch,
        "kedro_started": "2026-11-27T08:00:00.000+00:00",
        "kedro_finished": "2026-11-27T08:01:15.000+00:00",
        "kedro_pipeline": "__default__",
        "kedro_outputs": '{"a": {"path": "a.json", "checksum": "abc"}}',
        **facts,
    }
    commit = project.api.create_commit(project.repository, branch, "a run", told, allow_empty=True)
    project.api.create_tag(project.repository, run_tag(run_id), commit)
    return commit


def test_runs_are_listed_newest_first_with_who_made_what_by_which_code(project: KedroProject) -> None:
    first = project.run(1)
    (project.path / "more.py").write_text("# not committed")
    second = project.run(2, nodes=["first"])
    newest, before = answer(project, "runs")
    assert [newest["id"], before["id"]] == [second, first]
    assert [each["entry"] for each in before["outputs"]] == ["a", "b", "total"]
    assert [each["entry"] for each in newest["outputs"]] == ["a"]
    assert (newest["dirty"], before["dirty"]) == (True, False)
    assert newest["git_commits"] == [project.git("rev-parse", "HEAD")]
    assert (newest["git_branch"], newest["pipeline"]) == ("main", "__default__")
    assert newest["seconds"] > 0
    shown = project.invoke("runs", "-n", "1").output
    assert second in shown
    assert first not in shown
    assert f"main {newest['git_commits'][0][:7]}*" in shown


def test_runs_are_chosen_by_branch_time_and_entry(project: KedroProject) -> None:
    on_main = project.run(1)
    project.git("switch", "-qc", "feature/größe")
    on_feature = project.run(2, nodes=["first"])
    assert [each["id"] for each in answer(project, "runs")] == [on_feature, on_main], "what main had is there, too"
    assert [each["id"] for each in answer(project, "runs", "--branch", "main")] == [on_main]
    assert [each["id"] for each in answer(project, "runs", "--entry", "total")] == [on_main]
    assert [each["git_branch"] for each in answer(project, "runs", "-n", "1")] == ["feature/größe"]
    assert len(answer(project, "runs", "--since", "1h")) == 2
    assert answer(project, "runs", "--since", "2999-01-01") == []
    assert "No run is like that" in project.invoke("runs", "--since", "2999-01-01T00:00Z").output
    for wrong in (["--since", "soon"], ["-n", "0"], ["--branch", "no/such"]):
        done = project.invoke("runs", *wrong)
        assert (done.exit_code, "Traceback" in done.output) == (2, False), done.output
    assert "no run was made there" in project.invoke("runs", "--branch", "no/such").output


def test_a_page_of_the_log_is_enough_however_many_runs_there_are(
    project: KedroProject, calls: Callable[[], Counter[str]]
) -> None:
    for number in range(30):
        record(project, f"run-{number:02}")
    there = history(project)
    before = calls()
    assert [run.id for run in there.newest(20)][::19] == ["run-29", "run-10"]
    assert calls() - before == {"GET branches": 1, "GET refs": 1}
    before = calls()
    assert there.run("run-07").id == "run-07"
    assert calls() - before == {"GET commits": 1}
    before = calls()
    assert there.run("@~3").id == "run-26"
    assert calls() - before == {"GET branches": 1, "GET refs": 1}


@pytest.mark.parametrize("run_id", ["2026-11-27T08.00.00.000Z", "größe 日本", "git-like", "gamma"])
def test_a_run_is_found_by_its_id_and_by_the_beginning_of_it(project: KedroProject, run_id: str) -> None:
    record(project, run_id, git_commit_id="0" * 40)
    record(project, "other")
    there = history(project)
    for length in (len(run_id), len(run_id) - 1, 1):
        assert there.run(run_id[:length]).id == run_id


def test_a_run_is_found_by_tag_branch_and_git_sha(project: KedroProject) -> None:
    run_id = project.run(1)
    sha = project.git("rev-parse", "HEAD")
    project.api.create_tag(project.repository, "größe-1", "main")
    project.git("switch", "-qc", "feature/x")
    project.run(2)
    project.git("switch", "-q", "main")
    project.api.create_commit(project.repository, "main", "by hand", {}, allow_empty=True)
    there = history(project)
    for word in ("größe-1", "main", sha, "@"):
        assert there.run(word).id == (run_id if word != sha else there.run("feature/x").id), word
    assert there.run(project.git("rev-parse", "--short=8", "HEAD")).id == there.run(sha).id


def test_a_run_that_is_not_there_is_told_with_the_nearest(project: KedroProject) -> None:
    there = history(project)
    done = project.invoke("runs")
    assert (done.exit_code, "there is no run here yet" in done.output) == (2, True)
    for word in ("nothing", "@"):
        done = project.invoke("show", word)
        assert (done.exit_code, "`kedro run` makes one" in done.output) == (2, True)
        assert len(done.stderr.strip().splitlines()) == 1
    record(project, "nightly-1")
    record(project, "nightly-2")
    record(project, "weekly")
    with pytest.raises(RefNotFound, match="nearest run is weekly"):
        there.run("weakly")
    with pytest.raises(RefNotFound, match=r"begin with 'night': nightly-1, nightly-2. Write more"):
        there.run("night")
    with pytest.raises(RefNotFound, match="there are 3 runs on 'main' only: @~2 is the first one"):
        there.run("@~7")
    for word in ("kedro-git-", "git-0", "deadbeef", "", "a\x1bb"):
        with pytest.raises(RefNotFound):
            there.run(word)
    for number in range(8):
        record(project, f"daily-{number}")
    with pytest.raises(RefNotFound, match="daily-4 and more"):
        there.run("daily")


def test_all_of_a_run_is_shown(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_JOB_URL", "https://ci.example.org/7")
    monkeypatch.setenv("COLUMNS", "80")
    (project.path / "more.py").write_text("# not committed")
    run_id = project.run(3, pipeline="both", password="hunter2-hunter2")
    told = answer(project, "show", run_id[:-1])
    assert {each["entry"]: each["size"] for each in told["outputs"]} == {"a": 12, "b": 13, "total": 12, "elsewhere": 13}
    assert told["inputs"]["total_before"]["size"] == "8"
    assert told["parameters"]["value"] == 3
    assert told["links"] == {"Kedro CI job": "https://ci.example.org/7"}
    assert {each["repository"] for each in told["commits"]} == {project.repository, project.other}
    shown = project.invoke("show", "@").output
    for text in (
        run_id,
        "https://ci.example.org/7",
        f"STATISFACTORY_AT={run_id}",
        "lake_ref",
        ".patch",
        "total_before",
    ):
        assert text in shown.replace("\n", ""), shown
    assert "hunter2" not in shown
    assert max(map(len, shown.splitlines())) <= 80, shown


def test_what_a_run_wrote_to_a_folder_is_measured_as_a_whole(project: KedroProject) -> None:
    for name in ("x", "y"):
        project.write(f"folder/{name}", 1)
    outputs = {"f": {"path": "folder", "objects": "2"}, "g": {"path": "folder"}, "h": {"path": "gone"}}
    record(project, "folders", kedro_outputs=json.dumps(outputs))
    told = {each["entry"]: (each["size"], each["objects"]) for each in answer(project, "show", "folders")["outputs"]}
    assert told == {"f": (16, 2), "g": (16, 2), "h": (None, None)}
    assert "16 B in 2 objects" in project.invoke("show", "folders").output


def test_what_a_run_left_as_it_was_is_told_with_the_run_that_made_it(project: KedroProject) -> None:
    record(project, "second", kedro_kept=json.dumps({"a": "first"}))
    assert answer(project, "show", "second")["kept"] == {"a": "first"}
    assert "made by the run" in project.invoke("show", "second").output


def test_a_run_that_was_taken_back_is_told_and_does_not_count(project: KedroProject) -> None:
    record(project, "good")
    commit = record(project, "bad")
    project.api.create_commit(project.repository, "main", "back", {"kedro_reverts": commit}, allow_empty=True)
    there = history(project)
    assert [(run.id, run.taken_back) for run in there.newest(2)] == [("bad", True), ("good", False)]
    assert there.run("@").id == "good"
    with pytest.raises(RefNotFound, match="1 runs"):
        there.run("@~1")
    assert "taken back" in project.invoke("runs").output


def test_a_run_in_two_repositories_is_one(project: KedroProject) -> None:
    run_id = project.run(1, pipeline="both")
    only_here = project.run(1)
    there = history(project, project.other)
    assert [(run.id, len(run.shares)) for run in there.newest(5)] == [(only_here, 1), (run_id, 2)]
    assert {output.entry for output in there.run(run_id).outputs} == {"a", "b", "total", "elsewhere"}
    (one,) = History(there.places[1:]).newest(1, Wanted(entry="elsewhere"))
    assert [share.repository for share in there._completed(one).shares] == [project.other, project.repository]
    project.run(2, pipeline="from_b")
    assert len(there.run("main").shares) == 1


def test_what_has_no_room_in_a_commit_is_told(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST", 0)
    run_id = project.run(1)
    assert [each["entry"] for each in answer(project, "runs")[0]["outputs"]] == ["a", "b", "total"]
    assert answer(project, "show", run_id)["parameters"]["value"] == 1


def test_a_commit_that_says_odd_things_is_told_as_far_as_it_can_be(project: KedroProject) -> None:
    odd = {"kedro_outputs": "[]", "kedro_parameters": "{", "kedro_started": "?", "kedro_repositories": "1", "x": "{"}
    commit = project.api.commit(project.repository, record(project, "odd", **odd, kedro_git_commits="{"))
    run = PastRun("odd", (Share((project.backend, project.repository), commit, commit.metadata),))
    assert not any((run.outputs, run.parameters, run.seconds, run.repositories, run.git_commits))
    assert mapping_in(odd, "x") == {}
    for command in (["runs"], ["show", "odd"]):
        done = project.invoke(*command)
        assert done.exit_code == 0, done.output


def test_a_server_that_is_away_is_one_line(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", "http://127.0.0.1:9")
    done = project.invoke("runs")
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "the lakeFS server http://127.0.0.1:9" in done.stderr


def test_a_catalog_without_lakefs_is_one_line(project: KedroProject) -> None:
    (project.path / "conf/base/catalog.yml").write_text("{}")
    done = project.invoke("runs")
    assert (done.exit_code, done.stderr.strip()) == (2, "Error: no entry of the catalog is in lakeFS: check --env.")


def test_an_answer_into_a_closed_pipe_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    @output.answers
    def answers() -> None:
        output.show("größe " * 10_000)

    end, begin = os.pipe()
    os.close(end)
    with open(begin, "w", encoding="ascii") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        answers()


def test_a_narrow_screen_that_knows_few_letters_shows_all(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(project, "größe-日本-\x1b[31m", kedro_outputs=json.dumps({f"entry_{n}": {"path": "x"} for n in range(12)}))
    monkeypatch.setenv("COLUMNS", "60")
    shown = project.invoke("runs").output
    assert "größe-日本-\\x1b[31m" in shown
    assert "\x1b" not in shown, "neither colours nor orders where there is no terminal"
    assert "…" in shown
    assert max(map(len, shown.splitlines())) <= 60


@pytest.mark.parametrize(("length", "told"), [(30, "now"), (150, "2 min ago"), (7300, "2 h ago"), (200_000, "2 d ago")])
def test_how_long_something_is_ago(length: int, told: str) -> None:
    assert output.ago(datetime.now(timezone.utc) - timedelta(seconds=length)) == told
    assert (output.ago(None), output.clock(None)) == ("", "")


def test_times_are_those_of_the_run(project: KedroProject) -> None:
    record(project, "timed")
    run = history(project).run("timed")
    assert run.seconds == 75
    assert run.finished == datetime.fromisoformat("2026-11-27T08:01:15+00:00")


def test_a_branch_up_to_which_no_run_was_made_has_none(project: KedroProject) -> None:
    with pytest.raises(RefNotFound, match="no run was made up to 'main'"):
        history(project).run("main")


def test_a_search_for_an_entry_ends_somewhere_and_says_so(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MOST_COMMITS", 22)  # more than the first page has
    for number in range(23):
        record(project, f"run-{number:02}", **({"kedro_outputs": '{"rare": {"path": "r"}}'} if number < 2 else {}))
    done = project.invoke("runs", "--entry", "rare", "-n", "1")
    assert "run-01" in done.stdout
    assert done.stderr == ""
    done = project.invoke("runs", "--entry", "rare", "--json")
    assert [each["id"] for each in json.loads(done.stdout)] == ["run-01"]
    assert "--since looks further back" in done.stderr
    assert len(answer(project, "runs", "--entry", "rare", "--since", "1d")) == 2


def test_of_two_runs_with_one_id_each_is_listed_and_shown(project: KedroProject) -> None:
    ids = ("first", "second")
    for number, mark in enumerate(("0a0b0c0d", "1a1b1c1d")):
        facts = {"kedro_run_id": "same", "kedro_run_branch": f"kedro----20261127T080000Z--same--01234567-{mark}"}
        record(project, "same" if not number else f"same-{mark}", **facts, kedro_user=ids[number])
    listed = answer(project, "runs")
    assert [each["id"] for each in listed] == ["same-1a1b1c1d", "same"]
    for each, user in zip(listed[::-1], ids, strict=True):
        assert answer(project, "show", each["id"])["user"] == user


def test_a_tag_without_a_run_of_its_id_is_no_run(project: KedroProject) -> None:
    project.api.create_tag(project.repository, "kedro-only-read", "main")
    project.api.create_tag(project.repository, "kedro-id---only-x---12345678", "main")
    there = history(project)
    for word in ("only-rea", "only x"):
        with pytest.raises(RefNotFound, match="there is no run"):
            there.run(word)


def test_the_pipeline_and_the_version_that_was_read_are_told(project: KedroProject) -> None:
    first = project.run(1)
    inputs = json.dumps({"b": {"url": "lakefs://x/b.json", "version": first}})
    record(project, "other", kedro_pipeline="some", kedro_inputs=inputs)
    assert "some" in project.invoke("runs").output
    assert first in project.invoke("show", "other").output
    assert output.size_of(5 * 10**15) == "5000 TB"


def test_a_name_that_begins_like_a_tag_by_git_commit_is_no_run(project: KedroProject) -> None:
    project.run(1)
    for word in ("git-0", "g"):
        done = project.invoke("show", word)
        assert (done.exit_code, f"'{word}'" in done.output) == (2, True), done.output


def test_a_stream_that_is_no_terminals_knows_all_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    monkeypatch.setattr(sys, "stdout", told)
    output._tell_all_letters()
    print("\udc80 ü")
    assert told.getvalue() == "\udc80 ü\n"


def test_two_runs_with_one_id_in_two_repositories_are_two(project: KedroProject) -> None:
    bootstrap_project(project.path)
    for pipeline in ("__default__", "from_b", "both"):
        service = KedroServiceSession.create(project_path=project.path)
        service.run(pipeline_names=[pipeline], run_id="same")
    third, second, first = answer(project, "runs")
    assert first["id"] == "same"
    told = [{output["entry"] for output in run["outputs"]} for run in (first, second, third)]
    assert told == [{"a", "b", "total"}, {"elsewhere"}, {"a", "b", "total", "elsewhere"}]
    for each, entries in zip((first, second, third), told, strict=True):
        assert {output["entry"] for output in answer(project, "show", each["id"])["outputs"]} == entries
    assert project.invoke("revert", third["id"]).exit_code == 0
    done = project.invoke("revert", second["id"])
    assert done.exit_code == 0, done.output
    assert (project.read()["total"], project.read(repository=project.other)) == (1, {})
