"""A run is loaded again by its id, its tag, a branch or a commit, as an entry or all entries say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from kedro.io import DatasetError
from kedro.runner import ParallelRunner

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import PermissionDenied
from kedro_statisfactory.project import AT
from kedro_statisfactory.runs import RUN_ID
from tests.runs.conftest import KedroProject

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
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


def test_a_run_is_found_by_an_id_that_could_begin_a_commit(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(commit.id[0] for commit in project.log())
    for run_id, value in ((first, 1), ("20261125", 2)):
        monkeypatch.setenv(RUN_ID, run_id)
        project.run(value)
        assert project.invoke("run", "finish").exit_code == 0
        monkeypatch.delenv(RUN_ID)
        project.run(9)
        assert project.catalog().load("b", version=run_id) == {"n": 10 * value}
        monkeypatch.setenv(AT, run_id)
        assert project.catalog().load("a") == {"n": value}
        project.run(pipeline="elsewhere")
        assert project.read(repository=project.other) == {"elsewhere": 10 * value}
        monkeypatch.delenv(AT)


def test_a_run_of_the_very_code_goes_before_one_with_changes(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    sha = project.git("rev-parse", "HEAD")
    project.run(1)
    (project.path / "conf/base/parameters.yml").write_text("value: 2\n")
    project.run(2)
    assert project.catalog().load("b", version=sha) == {"n": 10}
    assert "with uncommitted changes" not in caplog.text


def test_a_version_of_an_entry_that_has_none_is_refused(project: KedroProject) -> None:
    run_id = project.run(1)
    with pytest.raises(DatasetError, match=r"entry 'a': .*E0708.*`versioned: true` only: add that"):
        project.run(2, load_versions={"a": run_id})


def test_a_pin_that_a_repository_does_not_know_says_where_it_is_named(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AT, "v9.0")
    with pytest.raises(DatasetError, match=r"E0703.*'v9.0'.*STATISFACTORY_AT, or `at` of statisfactory.yml, names it"):
        project.catalog().load("a")
    with pytest.raises(DatasetError, match=r"entry 'total_before'.*E0703.*STATISFACTORY_AT"):
        project.run(1)


def test_what_a_run_only_read_is_found_by_the_run_too(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run(1)
    sha = project.git("rev-parse", "HEAD")
    run_id = project.run(pipeline="elsewhere")
    project.commit_code("later")
    project.run(5)
    monkeypatch.setenv(AT, run_id)
    assert project.catalog().load("a") == {"n": 1}
    monkeypatch.delenv(AT)
    project.git("checkout", "-q", "--detach", sha)
    assert project.catalog().load("a") == {"n": 1}
    assert project.catalog().load("elsewhere") == {"n": 10}


def test_what_a_run_wrote_goes_before_what_another_only_read(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = project.run(1)
    sha = project.commit_code("later")
    project.run(2)
    monkeypatch.setenv(AT, old)
    project.run(pipeline="elsewhere")
    assert project.read(repository=project.other) == {"elsewhere": 10}
    monkeypatch.delenv(AT)
    project.git("checkout", "-q", "--detach", sha)
    assert project.catalog().load("b") == {"n": 20}


def test_a_pipeline_that_only_reads_runs_on_a_detached_head(project: KedroProject) -> None:
    project.run(1)
    project.git("checkout", "-q", "--detach")
    project.run(pipeline="reads")
    assert len(project.branches()) == 1


def test_entries_with_one_version_are_resolved_once(project: KedroProject, calls: Callable[[], Counter[str]]) -> None:
    project.run(1)
    _pin(project, lake_ref="main")
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["total_before"]["load_args"] = {"lake_ref": "main"}
    file.write_text(yaml.safe_dump(catalog))
    before = calls()
    project.run(2, nodes=["add"])
    sent = calls() - before
    # What the ref means, and onto what the run was merged; whether the ref, and the data branch, has uncommitted
    # changes, and where that is.
    assert (sent["GET commits"], sent["GET branches"]) == (3, 3)


def test_what_is_appended_is_never_added_to_the_past(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = {"type": "text.TextDataset", "fs_args": {"open_args_save": {"mode": "a"}}}
    entry = ArtifactDataset(filepath=f"lakefs://{project.repository}/log.txt", dataset=dataset)
    entry.save("one\n")
    entry.save("two\n")
    monkeypatch.setenv(AT, "main")
    with pytest.raises(DatasetError, match=r"E0501.*would have it look at the past"):
        entry.save("three\n")
    monkeypatch.delenv(AT)
    assert entry.load() == "one\ntwo\n"


def test_what_a_run_only_read_need_not_be_ours_to_tag(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project.run(1)
    create = LakeFSAPI.create_tag

    def deny(self: LakeFSAPI, repository: str, *more: Any) -> None:
        if repository == project.repository:
            raise PermissionDenied("read only")
        create(self, repository, *more)

    monkeypatch.setattr(LakeFSAPI, "create_tag", deny)
    project.run(pipeline="elsewhere")
    assert project.read(repository=project.other) == {"elsewhere": 10}
    assert "cannot be found by its id: [E0302] read only" in caplog.text


def _pin(project: KedroProject, **load_args: Any) -> None:
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["a"]["load_args"] = load_args
    file.write_text(yaml.safe_dump(catalog))


@pytest.mark.parametrize("how", ["data branch", "lake_ref", "new data branch"])
def test_what_a_run_only_reads_is_one_snapshot_however_it_is_named(project: KedroProject, how: str) -> None:
    project.run(1)
    if how == "lake_ref":
        _pin(project, lake_ref="main")
    if how == "new data branch":
        project.git("switch", "-qc", "new")
    with project.waiting_run("second", pipeline="twice") as run:
        project.write("a.json", 7)
        project.api.create_commit(project.repository, "main", "in between", {})
    run.result()
    branch = "new" if how == "new data branch" else "main"
    assert project.read(branch, repository=project.other) == {"elsewhere": 10}
    inputs = json.loads(project.log(branch, repository=project.other)[0].metadata["kedro_inputs"])
    assert inputs["a"]["ref"] == project.log()[1].id


def test_a_pinned_branch_with_changes_that_nobody_committed_is_read_with_them(project: KedroProject) -> None:
    project.run(1)
    project.write("a.json", 7)
    _pin(project, lake_ref="main")
    project.run(pipeline="elsewhere")
    assert project.read(repository=project.other) == {"elsewhere": 70}


def test_a_new_data_branch_does_not_see_what_its_source_has_not_committed(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    project.write("total.json", 100)
    project.git("switch", "-qc", "new")
    project.run(3)
    assert project.read("new")["total"] == 3
    assert "has uncommitted changes: the run does not see them" in caplog.text
    assert project.read()["total"] == 100


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


# -- what is no version --------------------------------------------------------------------------------------------


def _refused(project: KedroProject) -> None:
    assert project.branches() == ["main"]
    assert "b" not in project.read()
    assert not project.api.has_uncommitted(project.repository, "main")


def test_an_entry_with_versions_is_not_saved_outside_of_a_run(project: KedroProject) -> None:
    with pytest.raises(DatasetError, match=r"E0203.*a version on lakeFS is a run.*save it in a `kedro run`.*lake_ref"):
        project.catalog().save("b", {"n": 1})
    _refused(project)
    run_id = project.run(1)
    with pytest.raises(DatasetError, match="E0203"):
        project.catalog(load_versions={"b": run_id}).save("b", {"n": 2})
    assert project.catalog().load("b", version=run_id) == project.catalog().load("b") == {"n": 10}


def test_a_run_that_commits_nothing_is_refused_before_it_writes_versions(project: KedroProject) -> None:
    project.settings(mode="off")
    with pytest.raises(DatasetError, match=r"catalog entry 'b': .*E0203.*a version on lakeFS is a run"):
        project.run(1)
    assert "a" not in project.read()
    _refused(project)


def test_a_branch_by_name_gets_no_versions(project: KedroProject) -> None:
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["b"]["save_args"] = {"lake_ref": "main"}
    file.write_text(yaml.safe_dump(catalog))
    with pytest.raises(DatasetError, match=r"catalog entry 'b': .*E0203"):
        project.run(1)
    _refused(project)


@pytest.mark.parametrize("runner", [None, ParallelRunner(max_workers=2)])
def test_a_direct_run_makes_versions(project: KedroProject, runner: ParallelRunner | None) -> None:
    project.settings(mode="direct")
    first = project.run(1, runner)
    project.run(2, runner)
    assert project.catalog().load("b", version=first) == {"n": 10}
