"""From where a data branch is made that does not exist yet: data follows code."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest
from kedro.io import DatasetError

from kedro_statisfactory.backends.lakefs import origins, run_tags
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import git_tag
from kedro_statisfactory.project.git import Head
from tests.runs.conftest import KedroProject

pytestmark = pytest.mark.once


def _continues(project: KedroProject, total: int) -> None:
    """See that a new data branch is read as ``total``, and that its first run goes on from there."""
    assert project.catalog().load("total") == {"n": total}
    project.run(1)
    assert project.catalog().load("total") == {"n": total + 1}


def test_where_no_branch_goes_first_the_newest_of_several_runs_does(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.git("switch", "-qc", "feature/x")
    project.run(1)
    project.run(5)
    monkeypatch.setattr(origins, "made_from", lambda *_: None)
    project.git("switch", "-qc", "feature/y")
    assert project.catalog().load("a") == {"n": 5}


def test_a_branch_of_a_branch_goes_on_with_the_data_of_that_branch(project: KedroProject) -> None:
    project.run(1)
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(10)
    project.git("switch", "-qc", "feature/x2")
    _continues(project, 11)
    assert project.read("feature--x")["total"] == 11


def test_a_commit_without_a_run_is_passed_over(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(10)
    project.commit_code("more")
    project.git("switch", "-qc", "feature/x2")
    project.commit_code("even more")
    _continues(project, 10)


def test_a_renamed_branch_goes_on_with_its_data(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(10)
    project.git("branch", "-m", "feature/renamed")
    _continues(project, 10)


def test_a_branch_of_old_code_goes_on_with_what_that_code_made(project: KedroProject) -> None:
    old = project.git("rev-parse", "HEAD")
    project.run(1)
    project.commit_code("later")
    project.run(10)
    project.git("switch", "-qc", "hotfix", old)
    _continues(project, 1)


@pytest.mark.parametrize(
    ("how", "total"), [("switch", 1), ("branch", 1), ("of the other", 11), ("unknown", 1), ("moved on", 1)]
)
def test_of_several_runs_of_the_same_code_that_of_the_branch_from_which_it_was_made_counts(
    project: KedroProject, how: str, total: int, caplog: pytest.LogCaptureFixture
) -> None:
    project.run(1)
    project.git("switch", "-qc", "experiment")
    project.run(10)
    if how != "of the other":
        project.git("switch", "-q", "main")
    if how == "branch":
        project.git("branch", "feature/x")
        project.git("switch", "-q", "feature/x")
    else:
        project.git("switch", "-qc", "feature/x")
    if how == "unknown":
        project.git("reflog", "expire", "--expire=now", "--all")
    if how == "moved on":
        project.git("switch", "-q", "main")
        project.commit_code("later")
        project.run(100)
        project.git("switch", "-q", "feature/x")
    with caplog.at_level("INFO", "kedro.statisfactory"):
        _continues(project, total)
    assert "The data branch 'feature--x' of" in caplog.text
    assert "will be made from" in caplog.text


def test_what_came_to_the_data_branch_without_new_code_is_read_as_well(project: KedroProject) -> None:
    project.run(1)
    project.write("total.json", 50)
    project.api.create_commit(project.repository, "main", "New data", {})
    project.git("switch", "-qc", "feature/x")
    _continues(project, 50)


def test_a_data_branch_that_is_gone_is_replaced_by_the_commit_of_its_run(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(10)
    project.api.delete_branch(project.repository, "feature--x")
    _continues(project, 10)


def test_a_data_branch_that_was_made_anew_without_a_run_is_replaced_by_the_commit_of_its_run(
    project: KedroProject,
) -> None:
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(10)
    project.api.delete_branch(project.repository, "feature--x")
    project.api.create_branch(project.repository, "feature--x", "main")
    project.git("switch", "-qc", "feature/x2")
    _continues(project, 10)


def test_the_source_that_the_settings_name_goes_first(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(10)
    project.git("switch", "-qc", "feature/x2")
    project.settings(source="main")
    _continues(project, 0)


def test_code_that_was_never_committed_counts_only_where_there_is_nothing_else(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    (project.path / "conf/base/parameters.yml").write_text("value: 2\n")
    project.run(2)
    project.git("switch", "-qc", "feature/x2")
    assert project.catalog().load("total") == {"n": 2}
    project.git("switch", "-q", "main")
    project.git("checkout", "-q", "--", ".")
    project.run(1)
    project.git("switch", "-q", "feature/x2")
    assert project.catalog().load("total") == {"n": 1}


def test_a_run_that_only_read_a_repository_is_no_origin_of_it(project: KedroProject) -> None:
    project.run(1)
    project.commit_code("later")
    project.run(pipeline="elsewhere")
    project.write("total.json", 50)
    project.api.create_commit(project.repository, "main", "New data", {})
    project.git("switch", "-qc", "feature/x")
    assert project.catalog().load("total") == {"n": 50}


def test_a_repository_that_a_run_on_a_new_branch_only_reads_is_read_there_too(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(7)
    project.git("switch", "-qc", "feature/x2")
    project.run(pipeline="elsewhere")
    assert project.read("feature--x2", repository=project.other) == {"elsewhere": 70}


# -- what it costs to find it --------------------------------------------------------------------------------------


def _many(project: KedroProject, shas: list[str]) -> None:
    commit = project.log()[0].id
    for number, sha in enumerate(shas):
        project.api.create_tag(project.repository, git_tag(sha, number, f"run{number}"), commit)


def test_among_few_runs_one_listing_finds_the_origin(project: KedroProject, calls: Callable[[], Counter[str]]) -> None:
    project.run(1)
    _many(project, [f"{number:040x}" for number in range(20)])
    for number in range(30):
        project.git("commit", "-q", "--allow-empty", "-m", f"{number}")
    project.git("switch", "-qc", "feature/x")
    entry = project.entry("total", Project(project.path))
    before = calls()
    assert entry.load() == {"n": 1}
    # There is neither object nor folder nor branch; the tags, the run, the newest run of its branch; the object.
    assert calls() - before == {"GET objects": 3, "GET branches": 1, "GET tags": 1, "GET commits": 1, "GET refs": 1}


def test_among_many_runs_the_listings_are_bounded(
    project: KedroProject, calls: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_tags, "PAGE", 2)
    monkeypatch.setattr(run_tags, "MOST_PAGES", 4)
    old = project.git("rev-parse", "HEAD")
    for number in range(9):
        project.git("commit", "-q", "--allow-empty", "-m", f"{number}")
    shas = project.git("rev-list", "HEAD").split()
    project.git("checkout", "-q", "--detach")
    # Two right behind each of ours, so that no page tells of two of them.
    others = [f"{int(sha[:8], 16) + more:08x}{'0' * 32}" for sha in shas for more in (1, 2)]
    _many(project, [f"{0:040x}", f"{1:040x}", *others])
    _many_at(project, old)
    detached = project.entry("total", Project(project.path, head=Head(None, shas[0], "a test")))
    before = calls()
    with pytest.raises(DatasetError, match="no run was made at the git commit") as caught:
        detached.load()
    assert "nearest ancestor" not in str(caught.value), "it is too far away"
    assert calls() - before == {"GET tags": 1 + 4}
    project.api.create_tag(project.repository, git_tag(shas[2], 0, "near"), project.log()[0].id)
    with pytest.raises(DatasetError, match=f"nearest ancestor with a run is {shas[2]}"):
        detached.load()


def _many_at(project: KedroProject, sha: str) -> None:
    for number in range(3):
        project.api.create_tag(project.repository, git_tag(sha, number, f"at{number}"), project.log()[0].id)


def test_a_page_that_is_full_of_one_git_commit_is_followed_to_its_end(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_tags, "PAGE", 2)
    for value in (1, 2, 3):
        project.run(value)
    project.git("switch", "-qc", "feature/x")
    _continues(project, 6)


def test_of_many_runs_at_one_git_commit_the_newest_are_found_by_few_listings(
    project: KedroProject, calls: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_tags, "PAGE", 3)
    _many(project, [project.git("rev-parse", "HEAD")] * 12)
    project.run(5)
    project.run(2)
    project.git("switch", "-qc", "feature/x")
    before = calls()
    assert project.entry("total", Project(project.path)).load() == {"n": 7}
    assert (calls() - before)["GET tags"] == 1 + 1 + 1, "a page, the newest, and those that read elsewhere"


@pytest.mark.parametrize("marks", [{"dirty": True}, {"only_read": True}])
def test_a_run_that_counts_is_found_behind_newer_ones_that_do_not(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, marks: dict[str, bool]
) -> None:
    monkeypatch.setattr(run_tags, "PAGE", 3)
    project.run(5)
    older = project.log()[0].id
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(2)
    sha, now = project.git("rev-parse", "HEAD"), int(time.time() * 1000)
    newest = project.log("feature--x")[0].id
    for tag in list(project.api.tags(project.repository, f"kedro-git-{sha}")):
        project.api.delete_tag(project.repository, tag.id)
    for number in range(5):
        project.api.create_tag(project.repository, git_tag(sha, now - 10**6 + number, f"run{number}"), newest)
    for number in range(2):
        project.api.create_tag(project.repository, git_tag(sha, now + number, f"more{number}", **marks), older)
    project.git("switch", "-qc", "feature/x2")
    _continues(project, 7)


def test_tags_of_others_that_look_like_those_of_runs_are_passed_over(project: KedroProject) -> None:
    project.run(5)
    project.api.create_tag(project.repository, "kedro-git-mine", project.log()[-1].id)
    project.git("switch", "-qc", "feature/x")
    _continues(project, 5)
