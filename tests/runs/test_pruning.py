"""What nobody needs any more is named, and dropped when somebody says so; never what somebody may need."""

from __future__ import annotations

import pytest
from kedro.io import DatasetError

from kedro_statisfactory.backends.temporary import new_folder
from kedro_statisfactory.runs import leftovers, pruning, standing
from tests.runs.conftest import KedroProject
from tests.runs.test_history import record

pytestmark = pytest.mark.once


def _gone(project: KedroProject, name: str, **facts: str) -> None:
    """A data branch with a run of a git branch that was there once, and is deleted."""
    data = name.replace("/", "--")
    project.git("switch", "-qc", name)
    project.git("switch", "-q", "-")
    project.git("branch", "-qD", name)
    project.api.create_branch(project.repository, data, "main")
    head = project.git("rev-parse", "HEAD")
    record(project, f"on-{data}", data, **{"git_branch": name, "git_commit_id": head, **facts})


def test_data_branches_without_a_git_branch_are_dropped_and_their_runs_still_load(project: KedroProject) -> None:
    project.run(1)
    project.git("switch", "-qc", "feature/x")
    run_id = project.run(2)
    project.git("switch", "-q", "main")
    _gone(project, "kept")
    project.git("branch", "-q", "kept")
    project.git("branch", "-qD", "feature/x")
    project.api.create_branch(project.repository, "by-hand", "main")
    _gone(project, "of/others", git_commit_id="0" * 40)
    _gone(project, "dirty")
    project.write("total.json", 7, "dirty")
    _gone(project, "saved")
    project.write("total.json", 8, "saved")
    project.api.create_commit(project.repository, "saved", "by hand", {})
    before = project.branches()
    done = project.invoke("prune")
    assert done.exit_code == 0, done.output
    assert project.branches() == before
    for text in (
        "would drop the data branch feature--x",
        "kept the data branch of--others",
        "may be somebody else's",
        "kept the data branch dirty",
        "--yes does it",
    ):
        assert text in done.output, done.output
    assert "main of" not in done.output
    done = project.invoke("prune", "--yes")
    assert set(before) - set(project.branches()) == {"feature--x", "saved"}, done.output
    tag = next(name for name in project.tags() if name.startswith("saved--until-"))
    assert project.read(tag)["total"] == 8
    assert project.entry("a", version=run_id).load() == {"n": 2}


def test_a_branch_of_somebody_else_stays_who_has_not_pushed_it_yet(project: KedroProject) -> None:
    project.api.create_branch(project.repository, "new", "main")
    record(project, "on-new", "new", git_branch="new", git_commit_id=project.git("rev-parse", "HEAD"))
    assert "kept the data branch new" in (told := project.invoke("prune", "--yes").output)
    assert "never had it" in told
    assert "new" in project.branches()


def test_a_data_branch_stays_that_settings_have_named_or_where_a_run_has_begun(project: KedroProject) -> None:
    head = project.git("rev-parse", "HEAD")
    for name, facts in {
        "by-setting": {"git_branch": "main"},  # `branch: by-setting` in another environment
        "detached": {},
        "nested": {"git_branch": "nested"},
    }.items():
        project.api.create_branch(project.repository, name, "main")
        record(project, f"on-{name}", name, git_commit_id=head, **facts)
    project.git("update-ref", "refs/remotes/of/team/nested", head)
    project.git("switch", "-qc", "waits")
    project.run(1)
    with project.waiting_run("add", value=2):
        project.git("switch", "-q", "main")
        project.git("branch", "-qD", "waits")
        done = project.invoke("prune", "--yes")
        assert "kept the data branch waits" in done.output
    assert {"by-setting", "detached", "nested", "waits"} <= set(project.branches())
    assert project.read("waits")["a"] == 2


def test_what_has_lost_the_tag_of_its_run_gets_another_before_its_branch_is_dropped(project: KedroProject) -> None:
    project.git("switch", "-qc", "gone")
    run_id = project.run(7)
    project.git("switch", "-q", "main")
    project.git("branch", "-qD", "gone")
    project.api.delete_tag(project.repository, f"kedro-{run_id}")
    project.invoke("prune", "--yes")
    assert "gone" not in project.branches()
    assert project.read(next(name for name in project.tags() if name.startswith("gone--until-")))["a"] == 7


def test_the_default_branch_stays_whatever_git_says(project: KedroProject) -> None:
    project.git("switch", "-qc", "other")
    project.git("branch", "-qD", "main")
    head = project.git("rev-parse", "HEAD")
    record(project, "on-main", "main", git_branch="main", git_commit_id=head)
    project.invoke("prune", "--yes")
    assert "main" in project.branches()


def test_nothing_is_dropped_where_git_does_not_tell(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    _gone(project, "gone")
    monkeypatch.setattr(pruning, "ref_names", lambda _: [])
    project.invoke("prune", "--yes")
    assert "gone" in project.branches()


def test_old_runs_lose_their_tags_unless_they_have_a_name_or_are_the_last(project: KedroProject) -> None:
    for number in range(6):
        sha = {"git_commit_id": f"{number}" * 40} if number != 3 else {}
        commit = record(project, f"run-{number}" if number else "2020-01-01T00.00.00.000Z", **sha)
        if sha:
            name = f"kedro-git-{number}".ljust(50, str(number))
            milliseconds = 1_600_000_000_000 + number
            run = f"run-{number}" if number else "2020-01-01T00.00.00.000Z"
            older = "-dirty" * (number == 2)
            project.api.create_tag(project.repository, f"{name}--{milliseconds}{older}--{run}", commit)
    project.api.create_tag(project.repository, "kedro-git-0--somebody--else", commit)
    project.invoke("tag", "run-1", "the-one")
    assert "tags of" not in project.invoke("prune", "--yes").output
    done = project.invoke("prune", "--keep", "2")
    told = [line for line in done.output.splitlines() if "tags of" in line]
    assert len(told) == 3, done.output
    assert all("would drop the tags of the run" in line for line in told)
    assert not any("run-1 " in line or "run-5 " in line for line in told)
    assert len(project.tags()) == 13
    done = project.invoke("prune", "--keep", "2", "--older-than", "1w", "--yes")
    left = {name for name in project.tags() if not name.startswith("kedro-git-")}
    assert left == {"the-one", "kedro-run-1", "kedro-run-3", "kedro-run-5"}, done.output
    assert project.invoke("show", "run-2").exit_code == 0, "`runs` lists it still"
    assert "The nearest run is run-2" in project.invoke("show", "run-2x").output
    with pytest.raises(DatasetError, match="no run of this id"):
        project.entry("a", version="run-2").load()
    for wrong in (["--older-than", "old"], ["--keep", "-1"]):
        assert project.invoke("prune", *wrong).exit_code == 2


def test_a_name_of_ones_own_stays_that_begins_as_the_tag_of_a_run(project: KedroProject) -> None:
    commit = record(project, "one")
    record(project, "two")
    project.api.create_tag(project.repository, "kedro-models-v1", commit)
    assert "tags of" not in project.invoke("prune", "--keep", "0", "--yes").output
    assert {"kedro-models-v1", "kedro-one"} <= project.tags().keys()


def test_the_age_of_a_run_without_git_is_that_of_its_id(project: KedroProject) -> None:
    record(project, "2020-01-01T00.00.00.000Z")
    record(project, "young")
    record(project, "last")
    done = project.invoke("prune", "--older-than", "90d")
    told = [line for line in done.output.splitlines() if "tags of" in line]
    assert len(told) == 1, done.output
    assert "2020-01-01" in told[0]


def test_what_killed_runs_have_left_is_dropped_as_well(project: KedroProject) -> None:
    project.settings(grace_hours=0)
    project.killed_run()
    assert "would drop kedro----" in project.invoke("prune").output
    assert "dropped kedro----" in project.invoke("prune", "--yes").output


def test_what_a_process_of_this_machine_is_making_stays_however_old(project: KedroProject) -> None:
    project.settings(grace_hours=0)
    with project.waiting_run("add"):
        told = " ".join(project.invoke("status").output.split())
        assert "is at work on this machine" in told
        for command in (["clean"], ["clean", "--older-than", "0"], ["prune", "--yes"]):
            assert "a process of this machine is at work there" in project.invoke(*command).output
    assert project.read()["a"] == 1, "it has landed"
    project.killed_run()
    (branch,), other = leftovers.leftovers(project.api, project.repository), new_folder()
    # A scheduler may give the runs of all projects on this machine the same ids.
    (other.path / leftovers.mark_of(project.api.host, "of-another-project", branch.name)).touch()
    assert "is at work elsewhere or was killed" in " ".join(project.invoke("status").output.split())
    assert "dropped kedro----" in project.invoke("clean").output
    other.remove()


def test_what_waits_is_told_with_commands_that_can_be_typed(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = leftovers.Leftover("branch", "it's", True, 1.0, env="my env")
    assert told.command("finish") == """kedro statisfactory run finish --env 'my env' 'it'"'"'s'"""
    monkeypatch.setattr(leftovers, "leftovers", lambda *_: [told])
    monkeypatch.setattr(standing, "leftovers", lambda *_: [told])
    for command in ("status", "clean"):
        output = " ".join(project.invoke(command).output.split())
        assert told.command("finish") in output
        assert told.command("abort") in output


def test_a_run_says_in_its_end_what_it_wrote_and_how_that_is_shown(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kedro.statisfactory")
    run_id = project.run(1)
    assert caplog.messages[-1] == f"It wrote a, b, total: `kedro statisfactory show {run_id}`"
    project.run(1, pipeline="wide")
    assert "and 32 more: `kedro" in caplog.messages[-1]
