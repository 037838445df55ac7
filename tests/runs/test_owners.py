"""A data branch belongs to one git branch, not to another one that had its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from kedro.io import DatasetError

from kedro_statisfactory.backends.lakefs.owners import is_of_another
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head
from tests.runs.conftest import KedroProject
from tests.runs.test_ends import at

pytestmark = pytest.mark.once

ANOTHER = "has runs of another git branch of this name"


def _used_again(project: KedroProject) -> None:
    project.run(1)
    project.git("switch", "-qc", "feature/x")
    project.commit_code("old")
    project.run(10)
    project.git("switch", "-q", "main")
    project.git("branch", "-qD", "feature/x")
    project.git("switch", "-qc", "feature/x", "main")


def test_a_name_used_again_is_told_and_refused_until_it_is_adopted(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    _used_again(project)
    assert project.catalog().load("total") == {"n": 11}
    assert project.catalog().load("total") == {"n": 11}
    assert caplog.text.count(ANOTHER) == 1
    with pytest.raises(DatasetError, match=ANOTHER):
        project.run(1)
    project.write("total.json", 12, "feature--x")
    done = project.invoke("branch", "--adopt")
    assert [commit.message for commit in project.log("feature--x")[:2]] == [
        "Data of the git branch feature/x from here on",
        "Changes made outside of runs",
    ], "what others have saved is no change of ours"
    assert "total.json" not in dict(project.api.changes(project.repository, "feature--x~1", "feature--x"))
    assert (done.exit_code, "adopted feature--x" in done.output, "there is no data branch" in done.output) == (
        0,
        True,
        True,
    )
    project.run(1)
    project.commit_code("new")
    project.run(1)
    assert project.read("feature--x")["total"] == 14


def test_a_name_used_again_can_begin_anew(project: KedroProject) -> None:
    _used_again(project)
    project.write("total.json", 99, "feature--x")
    done = project.invoke("branch", "--reset")
    assert done.exit_code == 0, done.output
    project.run(1)
    assert project.read("feature--x")["total"] == 2
    tag = next(name for name in project.tags() if name.startswith("feature--x--until-"))
    assert project.read(tag)["total"] == 99


def test_a_branch_can_be_reset_again_at_once(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "20260101T000000Z")
    project.run(1)
    project.git("switch", "-qc", "feature/x")
    for value in (10, 20):
        project.run(value)
        assert project.invoke("branch", "--reset").exit_code == 0
    assert project.catalog().load("total") == {"n": 1}, "it begins with what `main` had, not with its own runs"
    kept = [name for name in project.tags() if name.startswith("feature--x--until-2026")]
    assert [project.read(name)["total"] for name in kept] == [11, 21]


def test_what_comes_while_a_reset_looks_for_runs_stays_under_the_tag(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come() -> None:
        project.write("came.json", 7, "feature--x")
        project.api.create_commit(project.repository, "feature--x", "by hand", {})
        project.write("saved.json", 8, "feature--x")

    project.git("switch", "-qc", "feature/x")
    project.run(1)
    at(monkeypatch, "branches", come)
    assert project.invoke("branch", "--reset").exit_code == 0
    tag = next(name for name in project.tags() if name.startswith("feature--x--until-"))
    assert project.read(tag).items() >= {"came": 7, "saved": 8}.items()


def test_the_branch_of_somebody_else_is_refused(project: KedroProject) -> None:
    _used_again(project)
    project.git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "refs/heads/main", "HEAD")
    project.git("gc", "-q", "--prune=now")
    with pytest.raises(DatasetError, match=ANOTHER):
        project.run(1)


@pytest.mark.parametrize("how", ["rebase", "amend", "reset", "dirty", "remote", "follows", "shallow reflog", "gaps"])
def test_a_branch_whose_history_was_rewritten_is_the_same(
    project: KedroProject, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    if how in ("remote", "follows", "shallow reflog"):
        _used_again(project)
    else:
        project.git("switch", "-qc", "feature/x")
        if how != "dirty":
            project.commit_code("feature")
        project.run(1)
    if how == "rebase":
        project.git("switch", "-q", "main")
        project.commit_code("main goes on")
        project.git("switch", "-q", "feature/x")
        project.git("rebase", "-q", "main")
    if how in ("amend", "gaps"):
        project.git("commit", "-q", "--amend", "-m", "amended")
    if how == "gaps":  # what git does after a month
        project.git("reflog", "expire", "--expire=never", "--expire-unreachable=now", "refs/heads/feature/x")
    if how == "follows":  # a merged branch that was pruned
        project.git("config", "branch.feature/x.remote", "origin")
    if how == "reset":
        project.git("reset", "-q", "--hard", "main")
    if how == "remote":
        project.git("update-ref", "refs/remotes/origin/feature/x", "main")
    if how == "shallow reflog":
        project.git("reflog", "expire", "--expire=now", "--all")
    with caplog.at_level("INFO", "kedro.statisfactory"):
        project.run(1)
    assert ("git does not tell here" in caplog.text) == (how in ("shallow reflog", "gaps"))


def test_runs_of_ci_at_commits_that_a_clone_never_had_are_no_reason_to_refuse(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BUILD_URL", "https://ci.example.org/job/1")
    monkeypatch.setenv("JENKINS_URL", "https://ci.example.org")
    _used_again(project)
    project.git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "refs/heads/main", "HEAD")
    monkeypatch.delenv("BUILD_URL")
    monkeypatch.delenv("JENKINS_URL")
    with pytest.raises(DatasetError, match=ANOTHER):
        project.run(1)
    project.git("gc", "-q", "--prune=now")
    with caplog.at_level("INFO", "kedro.statisfactory"):
        project.run(1)
    assert "git does not tell here" in caplog.text


def test_neither_the_default_branch_nor_a_branch_without_a_commit_is_touched(project: KedroProject) -> None:
    done = project.invoke("branch", "--reset")
    assert (done.exit_code, "is the default branch" in done.output) == (2, True)
    project.git("checkout", "-q", "--detach")
    project.settings(branch="main")
    done = project.invoke("branch", "--adopt")
    assert (done.exit_code, "no git branch with a commit is checked out" in done.output) == (2, True)


def test_a_branch_that_the_settings_map_or_name_is_looked_at_by_its_own_name(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    project.settings(branches={"feature/x": "my---data"})
    project.run(1)
    assert not is_of_another(project.api, project.on("feature/x"), project.repository, "my---data"), (
        "no commit is known"
    )
    elsewhere = Project(project.path, head=Head("other", project.git("rev-parse", "HEAD"), "a test"))
    assert not is_of_another(project.api, elsewhere, project.repository, "my---data")


def test_a_run_on_a_feature_branch_looks_once_and_so_does_reading(
    project: KedroProject, calls: Callable[[], Counter[str]]
) -> None:
    project.run(1)
    project.git("switch", "-qc", "feature/x")
    project.run(1)
    before = calls()
    project.run(2, nodes=["first"])
    assert (calls() - before)["GET refs"] == 1
    before = calls()
    for _ in range(2):
        project.catalog().load("a")
    assert (calls() - before)["GET refs"] <= 1
