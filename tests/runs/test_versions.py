"""Loading again what a run wrote: by its id, a tag, a branch, a commit, or the git commit that it was made at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest
from kedro.io import DatasetError
from kedro.runner import ParallelRunner

from kedro_statisfactory.branches import git_tag
from kedro_statisfactory.git import Head
from kedro_statisfactory.project import AT, Project
from kedro_statisfactory.runs import RUN_ID
from tests.runs.conftest import KedroProject

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:register_new_resolver\\(\\) is deprecated:UserWarning"),
]


def test_a_run_is_loaded_again_by_id_tag_branch_commit_and_git_sha(project: KedroProject) -> None:
    run_id = project.run(1)
    sha, commit = project.git("rev-parse", "HEAD"), project.log()[0].id
    project.api.create_tag(project.repository, "v1.0", commit)
    project.api.create_branch(project.repository, "kept", commit)
    project.commit_code("later")
    project.run(2)
    catalog = project.catalog()
    assert catalog.load("b") == {"n": 20}
    for version in (run_id, "v1.0", "kept", commit, commit[:16], sha, sha[:10], f"kedro-{run_id}"):
        assert catalog.load("b", version=version) == {"n": 10}, version
    assert project.catalog(load_versions={"b": run_id}).load("b") == {"n": 10}


def test_the_command_line_takes_versions(project: KedroProject) -> None:
    run_id = project.run(1)
    project.run(2)
    done = project.command("run", "--pipeline", "reads", f"--load-versions=b:{run_id}")
    assert done.returncode == 0, done.stderr
    done = project.command("run", "--pipeline", "reads", "--load-versions=b:nothing-of-this-name")
    assert done.returncode != 0
    assert "E0703" in done.stdout + done.stderr
    assert "b" in done.stdout + done.stderr


def test_versions_are_listed_newest_first_and_add_no_folder(project: KedroProject) -> None:
    ids = [project.run(value) for value in (1, 2, 3)]
    entry = project.catalog().get("b")
    assert entry is not None
    assert entry.list_versions() == ids[::-1]  # type: ignore[attr-defined]
    assert set(project.read()) == {"a", "b", "total"}


def test_all_entries_are_pinned_by_a_variable(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = project.run(1)
    project.run(2)
    monkeypatch.setenv(AT, run_id)
    catalog = project.catalog()
    assert [catalog.load(name) for name in ("a", "b", "total")] == [{"n": 1}, {"n": 10}, {"n": 1}]
    project.run(pipeline="elsewhere", runner=ParallelRunner(max_workers=2))
    assert project.read(repository=project.other) == {"elsewhere": 10}
    inputs = json.loads(project.log(repository=project.other)[0].metadata["kedro_inputs"])
    assert inputs["a"]["ref"] == project.tags()[f"kedro-{run_id}"]


def test_a_run_that_writes_reads_its_inputs_where_they_are_pinned(project: KedroProject) -> None:
    run_id = project.run(1)
    project.run(2)
    project.settings(at=run_id)
    project.run(5)
    assert project.read() == {"a": 5, "b": 50, "total": 6}


def test_a_pin_that_means_nothing_is_an_error_before_anything_runs(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AT, "no-such-run")
    with pytest.raises(DatasetError, match=r"E0703.*'no-such-run'"):
        project.run(1)
    with pytest.raises(DatasetError, match=r"E0703.*'no-such-run'"):
        project.run(1, pipeline="elsewhere")
    assert project.branches() == ["main"]
    assert project.branches(project.other) == ["main"]


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


def test_a_version_is_listed_once_whatever_the_number_of_parts(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_ID, "parts")
    project.run(1)
    project.run(2)
    assert project.invoke("run", "finish").exit_code == 0
    entry = project.catalog().get("b")
    assert entry is not None
    assert entry.list_versions() == ["parts"]  # type: ignore[attr-defined]


# -- data follows code ---------------------------------------------------------------------------------------------


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
    assert "made at this git commit, with uncommitted changes in the code" in caplog.text


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


def test_reading_follows_git(project: KedroProject) -> None:
    project.run(1)
    catalog = project.catalog()
    project.git("switch", "-qc", "other")
    assert catalog.load("total") == {"n": 1}, "read from where the branch would be made"
    project.run(4)
    assert catalog.load("total") == {"n": 5}
    project.git("switch", "-q", "main")
    assert catalog.load("total") == {"n": 1}
