"""A run that is complete and could not be committed is committed by `run finish`, with all that it has to say."""

from __future__ import annotations

import errno
import json
import re
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.local.staging import STAGING_FOLDER
from kedro_statisfactory.errors import PermissionDenied, RunError
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.runs.patches import Uncommitted
from tests.runs.conftest import KedroProject

pytestmark = pytest.mark.once

ALL = {"a": 3, "b": 30, "total": 3}


def refuse(*_: Any, **__: Any) -> Any:
    raise PermissionDenied("a hook says no")


def keep_nowhere(patch: pytest.MonkeyPatch) -> None:
    """Let neither the server nor the disk keep what a commit has to say."""
    patch.setattr("kedro_statisfactory.runs.run.keep", refuse)
    patch.setattr("os.replace", full)


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "the disk is full")


def uncommitted(project: KedroProject, patch: pytest.MonkeyPatch, pipeline: str = "__default__") -> tuple[str, str]:
    """A run that could not be committed; gives its id, and what was told."""
    patch.setattr(LakeFSAPI, "create_commit", refuse)
    with pytest.raises(RunError, match=r"could not be committed: .*a hook says no.*kept, uncommitted") as caught:
        project.run(3, pipeline=pipeline)
    return re.findall(r"abort (\S+)`", str(caught.value))[0], str(caught.value)


@pytest.mark.parametrize("pipeline", ["__default__", "both"])
def test_finish_commits_and_lands_what_was_never_committed(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    (project.path / "code-zero.py").write_text("# changed\n")
    with monkeypatch.context() as patch:
        run_id, told = uncommitted(project, patch, pipeline)
        assert f"run finish {run_id}` commits and lands it" in told
        done = project.invoke("run", "finish", run_id)
        assert (done.exit_code, "could not be committed: a hook says no" in " ".join(done.output.split())) == (2, True)
    assert f"run finish {run_id}`" in project.invoke("clean", "--older-than", "0").output
    done = project.invoke("run", "finish", run_id)
    assert done.exit_code == 0, done.output
    assert project.read().items() >= {"a": 3, "b": 30}.items()
    newest = project.log()[0]
    metadata = records.metadata_of(project.api, project.repository, newest)
    assert json.loads(metadata["kedro_outputs"])["b"].keys() == {"path", "checksum"}
    assert {"kedro_inputs", "kedro_started", "git_commit_id", "git_patch"} <= metadata.keys()
    assert project.catalog().load("b", version=run_id) == {"n": 30}
    assert project.catalog().load("b", version=project.git("rev-parse", "HEAD")) == {"n": 30}
    assert project.branches() == project.branches(project.other) == ["main"]
    if pipeline == "both":
        assert project.read(repository=project.other) == {"elsewhere": 30}


@pytest.mark.parametrize("pipeline", ["__default__", "both"])
def test_what_the_server_does_not_take_is_kept_in_the_project(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    (project.path / "code-zero.py").write_text("# changed\n")
    with monkeypatch.context() as patch:
        patch.setattr("kedro_statisfactory.runs.run.keep", refuse)
        patch.setattr(Uncommitted, "store", refuse)
        run_id, told = uncommitted(project, patch, pipeline)
    assert f"run finish {run_id}`, in the folder of this project, commits and lands it" in told
    files = list((project.path / STAGING_FOLDER).glob("pending-*.json"))
    assert files
    assert not any(file.stat().st_mode & 0o077 for file in files), "nobody else reads it"
    assert f"run finish {run_id}`" in project.invoke("clean", "--older-than", "0").output
    done = project.invoke("run", "finish", run_id)
    assert done.exit_code == 0, done.output
    assert project.catalog().load("b", version=run_id) == {"n": 30}
    patch_of_run = records.metadata_of(project.api, project.repository, project.log()[0])["git_patch"]
    with project.api.open(project.repository, "main", patch_of_run) as answer:
        assert b"# changed" in b"".join(answer.chunks(1024))
    assert not any(file.exists() for file in files)


def test_what_the_project_has_kept_of_a_run_goes_with_it(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("kedro_statisfactory.runs.run.keep", refuse)
        run_id, _ = uncommitted(project, patch)
    (file,) = (project.path / STAGING_FOLDER).glob("pending-*.json")
    content = file.read_text()
    file.write_text(content[:40])  # a cut one is as good as none
    assert "is not complete" in project.invoke("run", "finish", run_id).output
    file.write_text(content)
    assert project.invoke("run", "abort", run_id).exit_code == 0
    assert not file.exists()
    assert project.read() == {"total": 0}


@pytest.mark.parametrize("disk", ["is full", "cannot be written to"])
def test_a_run_whose_record_could_not_be_kept_either_is_not_taken_for_complete(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    if disk == "cannot be written to":
        monkeypatch.setattr("kedro_statisfactory.runs.pending.staging_folder_for", lambda _: None)
    with monkeypatch.context() as patch:
        keep_nowhere(patch)
        run_id, told = uncommitted(project, patch)
        assert "so that it cannot be finished" in told
    (branch,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
    project.api.upload(project.repository, branch, f"{records.RECORDS}not-ours.json", lambda: b"{}", 2)
    done = project.invoke("run", "finish", run_id)
    assert (done.exit_code, "is not complete" in done.output) == (2, True)
    assert project.invoke("run", "abort", run_id).exit_code == 0
    assert project.branches() == ["main"]


def test_what_another_run_has_kept_is_not_taken_for_ones_own(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        keep_nowhere(patch)
        run_id, _ = uncommitted(project, patch, "both")
    (branch,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
    for path in ("none.txt", records.path_of(b"{}", "json"), f"{records.RECORDS}x.patch"):
        project.api.upload(project.repository, branch, path, lambda: b"{}", 2)
    done = project.invoke("run", "finish", run_id)
    assert (done.exit_code, "is not complete" in done.output) == (2, True)


def test_what_is_known_of_one_repository_does_not_land_without_the_other(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, commit = max(project.repository, project.other), LakeFSAPI.create_commit

    def refuse_last(self: LakeFSAPI, repository: str, *more: Any, **options: Any) -> str:
        return refuse() if repository == last else commit(self, repository, *more, **options)

    with monkeypatch.context() as patch:
        keep_nowhere(patch)
        patch.setattr(LakeFSAPI, "create_commit", refuse_last)
        with pytest.raises(RunError, match="so that it cannot be finished") as caught:
            project.run(3, pipeline="both")
    done = project.invoke("run", "finish", re.findall(r"abort (\S+)`", str(caught.value))[0])
    assert (done.exit_code, f"wrote to '{last}' was never committed" in " ".join(done.output.split())) == (2, True)
    assert project.read() == {"total": 0}
