"""A commit on the data branch says which code ran, what it read and wrote, and who ran it where."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
from datetime import datetime, timezone
from pathlib import Path

import kedro
import pytest
import yaml
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner

from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import GitNotFound
from kedro_statisfactory.project import Project, git
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.runs import provenance
from kedro_statisfactory.runs.inputs import state_of, unchanged
from kedro_statisfactory.session import Session
from tests.runs.commits import input_told, metadata_of, with_input
from tests.runs.conftest import KedroProject
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once


def test_a_commit_says_which_code_and_what_of_it_ran(project: KedroProject) -> None:
    project.git("remote", "add", "origin", "git@github.com:acme/penguins.git")
    run_id = project.run(3)
    sha = project.git("rev-parse", "HEAD")
    found = metadata_of(project)
    assert found["git_commit_id"] == sha
    assert found["git_branch"] == "main"
    assert found["git_dirty"] == "false"
    assert found["::lakefs::github.com::url[url:ui]"] == f"https://github.com/acme/penguins/commit/{sha}"
    assert found["kedro_run_id"] == run_id
    assert found["kedro_pipeline"] == "__default__"
    assert found["kedro_version"] == kedro.__version__
    assert found["kedro_user"] == getpass.getuser()
    assert found["kedro_host"] == socket.gethostname()
    assert found["kedro_started"] < found["kedro_finished"]
    assert re.fullmatch(r"[0-9a-f]{64}", found["kedro_parameters_sha256"])
    assert "kedro_tags" not in found
    assert json.loads(found["kedro_runtime_params"]) == {"value": 3}


def test_a_commit_says_what_was_read_and_written(project: KedroProject) -> None:
    begin = project.log()[0].id
    project.run(3)
    found = metadata_of(project)
    written = json.loads(found["kedro_outputs"])
    assert {name: each["path"] for name, each in written.items()} == {
        "a": "a.json",
        "b": "b.json",
        "total": "total.json",
    }
    stat = project.api.stat(project.repository, "main", "b.json")
    assert written["b"]["checksum"] == stat.checksum
    read = json.loads(found["kedro_inputs"])
    before = project.api.stat(project.repository, begin, "total.json")
    assert read["total_before"] == {
        "url": f"lakefs://{project.repository}/total.json",
        "ref": begin,
        "checksum": before.checksum,
        "size": str(before.size),
        "modified": datetime.fromtimestamp(before.mtime, timezone.utc).isoformat(timespec="milliseconds"),
    }, "as it was read, not as the run has left it"
    project.run(pipeline="elsewhere")
    other = json.loads(project.log(repository=project.other)[0].metadata["kedro_inputs"])
    assert other["a"]["ref"] == project.log()[0].id


def test_a_pinned_input_is_told_with_its_version(project: KedroProject) -> None:
    run_id = project.run(3)
    project.run(4)
    project.run(pipeline="from_b", load_versions={"b": run_id})
    read = json.loads(project.log(repository=project.other)[0].metadata["kedro_inputs"])
    commit = project.tags()[f"kedro-{run_id}"]
    pinned = {"url": f"lakefs://{project.repository}/b.json", "version": run_id, "ref": commit}
    assert (
        read["b"].items()
        >= {**pinned, "checksum": project.api.stat(project.repository, commit, "b.json").checksum}.items()
    )
    assert project.read(repository=project.other) == {"elsewhere": 300}


def test_what_was_not_written_is_not_told(project: KedroProject) -> None:
    project.run(3)
    bootstrap_project(project.path)
    service = KedroServiceSession.create(project_path=project.path)
    for names in (["n1"], ["n1", "n2"]):
        service.run(pipeline_names=["wide"], node_names=names, only_missing_outputs=True)
    assert json.loads(metadata_of(project)["kedro_outputs"]).keys() == {"wide_2"}
    assert project.log()[0].message == "kedro run wide: 1 entry written"


def test_inputs_of_other_packages_are_told_as_far_as_they_stay_the_same(project: KedroProject) -> None:
    with_input(project, type="json.JSONDataset", filepath="data/before.json")
    (project.path / "data").mkdir()
    path = project.path / "data/before.json"
    path.write_text('{"n": 5}')
    project.run(1)
    assert project.read()["total"] == 6
    found = input_told(project)
    assert found.keys() == {"url", "size", "modified"}
    assert (found["url"], found["size"]) == (str(path), "8")
    with project.waiting_run("add") as waiting:
        path.write_text('{"n": 7}')
    waiting.result()
    assert input_told(project) == {"url": str(path)}, "nobody knows whether it was read before or after that"


@pytest.mark.parametrize("runner", [SequentialRunner, ParallelRunner])
def test_inputs_on_disk_and_in_s3_are_told_from_every_process(
    project: KedroProject, seaweed: S3Server, bucket: str, runner: type[AbstractRunner]
) -> None:
    ours = {"type": "kedro_statisfactory.ArtifactDataset", "dataset": "json.JSONDataset"}
    if runner is SequentialRunner:
        path = project.path / "before.json"
        path.write_text('{"n": 5}')
        with_input(project, **ours, filepath=str(path))
        checksum = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    else:
        client = s3_client(Session(seaweed.credentials))
        checksum = client.put_object(Bucket=bucket, Key="x.json", Body=b'{"n": 5}')["ETag"].strip('"')
        with_input(project, **ours, filepath=f"s3://{bucket}/x.json", credentials="store")
        (project.path / "conf/local/credentials.yml").write_text(yaml.safe_dump({"store": seaweed.credentials}))
    project.run(1, runner=runner())
    assert input_told(project).items() >= {"checksum": checksum, "size": "8"}.items()
    assert seaweed.credentials["aws_secret_access_key"] not in json.dumps(metadata_of(project))


def test_a_run_whose_notes_are_gone_tells_what_it_has(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Project) -> None:
        raise FileNotFoundError("a cleaner of temporary files was here")

    monkeypatch.setattr(Project, "read", gone)
    project.run(1)
    held = project.api.stat(project.repository, "main~1", "total.json")  # what the run began with is still to be asked
    assert input_told(project).items() >= {"size": str(held.size), "checksum": held.checksum}.items()


def test_a_file_that_nobody_may_look_at_is_told_by_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert state_of(tmp_path / "file" / "x") is None
    assert state_of(tmp_path / ("x" * 300)) is None
    assert unchanged(tmp_path / "missing", None) == {}


def test_the_version_of_an_input_in_folders_is_told(project: KedroProject) -> None:
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["total_before"] = {**catalog["local"], "versioned": True}
    file.write_text(yaml.safe_dump(catalog))
    with pytest.raises(DatasetError, match="total_before"):
        project.run(1)
    project.catalog(save_version="v1").save("total_before", {"n": 5})
    project.run(1)
    assert json.loads(metadata_of(project)["kedro_inputs"])["total_before"]["version"] == "v1"
    assert project.read()["total"] == 6


def test_a_folder_has_a_checksum_over_its_objects(project: KedroProject) -> None:
    file = project.path / "conf/base/catalog.yml"
    catalog = yaml.safe_load(file.read_text())
    catalog["a"] = {
        "type": "CachedDataset",
        "dataset": {
            "type": "kedro_statisfactory.ArtifactDataset",
            "filepath": f"lakefs://{project.repository}/a",
            "dataset": {"type": "tests.runs.project.folder.FolderDataset"},
        },
    }
    file.write_text(yaml.safe_dump(catalog))
    project.run(3)
    written = json.loads(metadata_of(project)["kedro_outputs"])
    assert written["a"]["objects"] == "2"
    assert written["a"]["checksum"].startswith("sha256:")
    before = written["a"]["checksum"]
    project.run(4)
    assert json.loads(metadata_of(project)["kedro_outputs"])["a"]["checksum"] != before


def test_a_dirty_worktree_is_told_with_a_digest_of_the_difference(project: KedroProject) -> None:
    (project.path / "conf/base/parameters.yml").write_text("value: 2\n")
    project.run()
    found = metadata_of(project)
    assert found["git_dirty"] == "true"
    assert re.fullmatch(r"[0-9a-f]{64}", found["git_diff_sha256"])


def test_the_same_bytes_add_nothing_but_the_record_of_the_run(project: KedroProject) -> None:
    project.run(3, pipeline="wide")
    before = project.log()[0].id
    run_id = project.run(3, pipeline="wide")
    after = project.log()[0]
    assert list(project.api.changes(project.repository, before, after.id)) == []
    assert after.metadata["kedro_run_id"] == run_id
    assert len(json.loads(after.metadata["kedro_outputs"])) == 40


def test_parameters_decide_the_digest_and_their_order_does_not(project: KedroProject) -> None:
    digests = []
    for parameters in ({"x": 1, "y": {1: 0.5, "b": 2}}, {"y": {"b": 2, 1: 0.5}, "x": 1}, {"x": 2}):
        project.run(1, **parameters)
        digests.append(metadata_of(project)["kedro_parameters_sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_what_a_service_runs_says_what_was_selected(project: KedroProject) -> None:
    bootstrap_project(project.path)
    project.run(1)
    KedroServiceSession.create(project_path=project.path).run(run_id="mine", tags=["some"], node_names=["second"])
    found = metadata_of(project)
    assert found["kedro_run_id"] == "mine"
    assert found["kedro_tags"] == "some"
    assert found["kedro_node_names"] == "second"


def test_without_a_git_program_the_commit_is_still_told(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise GitNotFound("install git")

    monkeypatch.setattr(provenance, "read_worktree", missing)
    project.run(1)
    found = metadata_of(project)
    assert found["git_commit_id"] == project.git("rev-parse", "HEAD")
    assert found["git_dirty"] == "unknown"


def test_without_git_there_is_no_word_of_it(project: KedroProject) -> None:
    (project.path / ".git").rename(project.path / "not-git")
    project.settings(branch="main")
    run_id = project.run(1)
    assert not any("git" in key for key in metadata_of(project))
    assert project.tags().keys() == {f"kedro-{run_id}"}


def test_a_folder_that_git_does_not_track_has_no_state(tmp_path: Path) -> None:
    project = Project(tmp_path, head=Head("main", "0" * 40, "a test"))
    assert provenance.of_code(project) == {"git_branch": "main", "git_commit_id": "0" * 40}


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/acme/penguins", "https://github.com/acme/penguins/commit/abc"),
        ("https://token:x@github.com/acme/penguins.git", "https://github.com/acme/penguins/commit/abc"),
        ("ssh://git@gitlab.com:22/acme/team/penguins.git", "https://gitlab.com/acme/team/penguins/-/commit/abc"),
        ("git@bitbucket.org:acme/penguins.git", "https://bitbucket.org/acme/penguins/commits/abc"),
        ("git@example.org:acme/penguins.git", None),
        ("/srv/penguins.git", None),
    ],
)
def test_commits_have_pages_on_known_hosts(project: KedroProject, remote: str, url: str | None) -> None:
    project.git("remote", "add", "origin", remote)
    found = git.commit_url(project.path, "abc")
    assert (found and found[1]) == url


def test_a_repository_without_a_remote_has_no_page(
    project: KedroProject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert git.commit_url(project.path, "abc") is None
    assert git.commit_url(tmp_path_factory.mktemp("none"), "abc") is None


@pytest.mark.parametrize(
    ("variables", "page"),
    [
        (
            "GITHUB_ACTIONS=true GITHUB_SERVER_URL=https://github.com GITHUB_REPOSITORY=a/b GITHUB_RUN_ID=7",
            "https://github.com/a/b/actions/runs/7",
        ),
        ("GITHUB_ACTIONS=true", None),
        ("GITLAB_CI=true CI_JOB_URL=https://gitlab.com/a/b/-/jobs/7", "https://gitlab.com/a/b/-/jobs/7"),
        (
            "BITBUCKET_BUILD_NUMBER=7 BITBUCKET_REPO_FULL_NAME=a/b",
            "https://bitbucket.org/a/b/pipelines/results/7",
        ),
        (
            "TF_BUILD=True SYSTEM_COLLECTIONURI=https://dev.azure.com/a/ SYSTEM_TEAMPROJECT=b BUILD_BUILDID=7",
            "https://dev.azure.com/a/b/_build/results?buildId=7",
        ),
        ("BUILD_URL=https://me:pw@jenkins.example/job/7/", "https://jenkins.example/job/7/"),
        ("BUILDKITE_BUILD_URL=https://buildkite.com/a/b/builds/7", "https://buildkite.com/a/b/builds/7"),
        ("CIRCLE_BUILD_URL=https://circleci.com/gh/a/b/7", "https://circleci.com/gh/a/b/7"),
        ("", None),
    ],
)
def test_the_page_of_a_ci_job_is_linked(variables: str, page: str | None) -> None:
    environ = dict(each.split("=", 1) for each in variables.split())
    assert provenance.of_machine(environ).get("::lakefs::Kedro CI job::url[url:ui]") == page


@pytest.mark.parametrize("error", [OSError, KeyError])
def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def nobody() -> str:
        raise error("no such user")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert provenance.of_machine({})["kedro_user"] == "unknown"


def test_a_branch_that_is_no_unicode_is_spelt_out(project: KedroProject) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    project.git("symbolic-ref", "HEAD", f"refs/heads/{name}")
    project.git("commit", "-qm", "same", "--allow-empty")
    project.run(1)
    branch = next(each for each in project.branches() if each != "main")
    assert project.log(branch)[0].metadata["git_branch"] == "caf\\udce9"
