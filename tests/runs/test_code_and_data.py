"""Data follows code: what a git commit, or a name of git, made is found again by it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable

import pytest
from kedro.io import DatasetError

from kedro_statisfactory.project import AT, Project
from kedro_statisfactory.project.branches import git_tag
from kedro_statisfactory.project.git import Head
from tests.runs.conftest import KedroProject

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def test_a_sha_means_the_newest_run_there_even_if_it_was_asked_for_before(project: KedroProject) -> None:
    sha = project.git("rev-parse", "HEAD")
    for value in (1, 2):
        project.run(value)
        assert project.catalog().load("b", version=sha) == {"n": 10 * value}
        assert project.entry("b", Project(project.path, head=Head(None, sha, "a test"))).load() == {"n": 10 * value}


def test_a_short_sha_of_several_commits_is_refused(project: KedroProject) -> None:
    commit = project.log()[0].id
    for number in (1, 2):
        project.api.create_tag(project.repository, git_tag(f"abcdefa{number}{'0' * 32}", number, "x"), commit)
    with pytest.raises(DatasetError, match=r"E0703.*'abcdefa' is short for several git commits with runs"):
        project.entry("total", version="abcdefa").load()
    assert project.entry("total", version="abcdefa1").load() == {"n": 0}


def test_on_a_detached_head_the_data_is_that_of_the_newest_run_there(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    sha = project.git("rev-parse", "HEAD")
    project.run(1)
    newest = project.run(2)
    project.commit_code("later")
    project.run(3)
    project.git("checkout", "-q", "--detach", sha)
    catalog = project.catalog()
    assert catalog.load("b") == {"n": 20}
    assert catalog.load("total") == {"n": 3}
    assert f"as the run {newest!r} left it" in caplog.text
    assert caplog.text.count("left it") == 1


def test_it_is_told_that_the_code_of_a_run_was_not_committed(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    (project.path / "conf/base/parameters.yml").write_text("value: 2\n")
    project.run()
    project.git("checkout", "-q", "--detach")
    assert project.catalog().load("a") == {"n": 1}
    assert re.search("made at the git commit [0-9a-f]{40}, with uncommitted changes in the code", caplog.text)


def test_a_commit_without_a_run_names_the_nearest_ancestor_that_has_one(project: KedroProject) -> None:
    sha = project.git("rev-parse", "HEAD")
    project.run(1)
    for text in ("one", "two"):
        project.commit_code(text)
    project.git("checkout", "-q", "--detach")
    with pytest.raises(DatasetError, match=rf"E0705.*nearest ancestor with a run is {sha}: STATISFACTORY_AT={sha}"):
        project.catalog().load("b")


def test_where_nothing_has_ever_run_there_is_no_ancestor_to_name(project: KedroProject) -> None:
    project.git("checkout", "-q", "--detach")
    with pytest.raises(DatasetError, match=r"E0705.*no run was made at the git commit") as caught:
        project.catalog().load("b")
    assert "ancestor" not in str(caught.value)


def test_old_shas_are_found_after_a_merge_and_a_rebase(project: KedroProject) -> None:
    project.git("switch", "-qc", "feature/x")
    old = project.commit_code("feature")
    project.run(1)
    project.git("switch", "-q", "main")
    project.commit_code("main goes on")
    project.run(2)
    project.git("switch", "-q", "feature/x")
    project.git("rebase", "-q", "main")
    project.git("switch", "-q", "main")
    project.git("merge", "-q", "--no-ff", "-m", "merged", "feature/x")
    project.git("branch", "-D", "feature/x")
    assert project.catalog().load("b", version=old) == {"n": 10}
    project.git("checkout", "-q", "--detach", old)
    assert project.catalog().load("b") == {"n": 10}


def test_a_sha_is_found_with_one_question_among_many_runs(
    project: KedroProject, calls: Callable[[], Counter[str]]
) -> None:
    commit = project.log()[0].id
    for number in range(50):
        project.api.create_tag(project.repository, f"kedro-git-{number:040x}--{number:013}--run{number}", commit)
    sha = f"{7:040x}"
    entry = project.entry("total", Project(project.path, head=Head(None, sha, "a test")))
    before = calls()
    assert entry.load() == {"n": 0}
    assert calls() - before == {"GET tags": 1, "GET objects": 1}


def _old_code(project: KedroProject, node: str) -> str:
    """Run at a git commit, then newer code, then one node of the first commit again; gives the SHA of that."""
    sha = project.git("rev-parse", "HEAD")
    project.run(1)
    project.commit_code("later")
    project.run(2)
    project.git("checkout", "-q", "--detach", sha)
    with pytest.MonkeyPatch.context() as job:
        job.setenv("GITLAB_CI", "true")
        job.setenv("CI_COMMIT_BRANCH", "main")
        project.run(5, nodes=[node])
    project.git("switch", "-q", "main")
    return sha


@pytest.mark.parametrize("how", ["version", "lake_ref", "variable", "detached"])
def test_at_a_git_commit_each_entry_is_what_the_newest_run_made_that_wrote_it(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    project.write("raw.json", 7)
    project.api.create_commit(project.repository, "main", "Data of others", {})
    sha = _old_code(project, "first")  # makes a = 5 beside the newer b
    assert project.read() == {"a": 5, "b": 20, "total": 3, "raw": 7}
    if how == "detached":
        project.git("checkout", "-q", "--detach", sha)
    if how == "variable":
        monkeypatch.setenv(AT, sha)
    version = sha if how == "lake_ref" else None
    if how == "version":
        assert project.catalog().load("b", version=sha) == {"n": 10}
    else:
        found = {name: project.entry(name, version=version).load()["n"] for name in ("a", "b", "total", "raw")}
        assert found == {"a": 5, "b": 10, "total": 1, "raw": 7}
    assert re.search(r"Reading 'b.json' of '[^']+' as the run", caplog.text)


def test_in_a_run_that_is_pinned_to_a_git_commit_it_is_the_same(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = _old_code(project, "first")
    monkeypatch.setenv(AT, sha)
    project.run(pipeline="from_b")
    assert project.read(repository=project.other) == {"elsewhere": 100}
    inputs = json.loads(project.log(repository=project.other)[0].metadata["kedro_inputs"])
    assert project.read(inputs["b"]["ref"])["b"] == 10
    monkeypatch.delenv(AT)
    project.run(pipeline="from_b", load_versions={"b": sha})
    assert project.read(repository=project.other) == {"elsewhere": 100}
    inputs = json.loads(project.log(repository=project.other)[0].metadata["kedro_inputs"])
    assert project.read(inputs["b"]["ref"])["b"] == 10


def test_a_run_that_read_elsewhere_counts_for_what_it_wrote_alone(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = project.run(1)
    sha = project.commit_code("later")
    project.run(2)
    project.write("total.json", 50)
    project.api.create_commit(project.repository, "main", "Data of others", {})
    monkeypatch.setenv(AT, old)
    project.run(4, nodes=["second"])
    monkeypatch.delenv(AT)
    assert project.log()[0].metadata["kedro_at"] == old
    project.git("checkout", "-q", "--detach", sha)
    assert [project.entry(name).load() for name in ("a", "b", "total")] == [{"n": 2}, {"n": 10}, {"n": 3}]


def test_what_a_run_read_elsewhere_is_not_found_by_its_git_commit(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = project.run(1)
    project.commit_code("later")
    monkeypatch.setenv(AT, old)
    again = project.run(pipeline="elsewhere")
    monkeypatch.delenv(AT)
    assert project.entry("a", version=again).load() == {"n": 1}
    project.git("checkout", "-q", "--detach")
    with pytest.raises(DatasetError, match="no run was made at the git commit"):
        project.entry("a").load()


def test_the_outputs_of_many_runs_at_a_git_commit_are_asked_for_at_once(
    project: KedroProject, calls: Callable[[], Counter[str]]
) -> None:
    sha = project.git("rev-parse", "HEAD")
    for value in (1, 2, 3):
        project.run(value, nodes=["first"])
    entries = [project.entry(name, version=sha) for name in ("total", "a")]
    before = calls()
    assert [entry.load() for entry in entries] == [{"n": 0}, {"n": 3}]
    assert calls() - before == {"GET tags": 2, "GET refs": 1, "GET objects": 2}


@pytest.mark.parametrize("how", ["version", "lake_ref", "variable"])
def test_the_names_of_git_are_versions(project: KedroProject, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    project.git("switch", "-qc", "feature/x")
    project.commit_code("feature")
    project.run(1)
    project.git("tag", "v1.0")
    project.git("tag", "-a", "-m", "annotated", "release/1.0")
    project.commit_code("later")
    project.run(2)
    project.git("switch", "-qc", "elsewhere")
    project.commit_code("even later")
    for name, value in (("v1.0", 10), ("release/1.0", 10), ("HEAD~2", 10), ("HEAD^", 20), ("feature/x", 20)):
        if how == "version":
            assert project.catalog().load("b", version=name) == {"n": value}, name
        elif how == "lake_ref":
            assert project.entry("b", version=name).load() == {"n": value}, name
        else:
            monkeypatch.setenv(AT, name)
            assert project.entry("b").load() == {"n": value}, name


def test_a_run_takes_the_names_of_git(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run(1)
    project.git("tag", "v1.0")
    project.commit_code("later")
    project.run(2)
    project.run(pipeline="from_b", load_versions={"b": "v1.0"})
    assert project.read(repository=project.other) == {"elsewhere": 100}
    project.run(pipeline="from_b")
    monkeypatch.setenv(AT, "v1.0")
    project.run(pipeline="from_b")
    assert project.read(repository=project.other) == {"elsewhere": 100}


def test_of_a_name_in_both_that_of_lakefs_is_read_and_told_once(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    project.run(1)
    project.api.create_tag(project.repository, "v1.0", project.log()[0].id)
    project.run(2)
    project.git("tag", "v1.0")
    sha = project.git("rev-parse", "HEAD")
    for _ in range(2):
        assert project.entry("b", version="v1.0").load() == {"n": 10}
    assert caplog.text.count("a name in git, too: lakeFS's is read") == 1
    assert f"Write {sha} to read" in caplog.text
    assert project.entry("b", version="main").load() == {"n": 20}
    assert "'main' is a ref" not in caplog.text, "it is the data branch of that git branch"


def test_a_name_of_git_without_a_run_says_which_commit_it_means(project: KedroProject) -> None:
    project.git("tag", "v1.0")
    sha = project.git("rev-parse", "HEAD")
    with pytest.raises(DatasetError, match=rf"E0703.*no run made at a git commit of this name: git means {sha} by it"):
        project.entry("b", version="v1.0").load()


def test_reading_follows_git(project: KedroProject) -> None:
    project.run(1)
    catalog = project.catalog()
    project.git("switch", "-qc", "other")
    assert catalog.load("total") == {"n": 1}, "read from where the branch would be made"
    project.run(4)
    assert catalog.load("total") == {"n": 5}
    project.git("switch", "-q", "main")
    assert catalog.load("total") == {"n": 1}
