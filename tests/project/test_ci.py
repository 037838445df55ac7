"""On a detached HEAD the CI service's word counts, but for tags and forks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kedro_statisfactory.project.git import read_head
from tests.project.conftest import run

pytestmark = pytest.mark.once

AZURE = {"TF_BUILD": "True"}
BITBUCKET = {"BITBUCKET_BUILD_NUMBER": "7"}
BUILDKITE = {"BUILDKITE": "true", "BUILDKITE_REPO": "git@github.com:acme/x.git", "BUILDKITE_PULL_REQUEST": "false"}
CIRCLE = {"CIRCLECI": "true"}
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/x"}
GITLAB = {"GITLAB_CI": "true"}
JENKINS = {"JENKINS_URL": "https://ci/"}
MERGE_REQUEST = {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix/1", "CI_MERGE_REQUEST_PROJECT_ID": "1"}
PULL_REQUEST = {"BUILDKITE_PULL_REQUEST": "7", "BUILDKITE_BRANCH": "fix/1"}

BRANCH_JOBS = {
    "github-push": GITHUB | {"GITHUB_REF": "refs/heads/fix/1", "GITHUB_REF_NAME": "fix/1", "GITHUB_REF_TYPE": "branch"},
    "gitlab-push": GITLAB | {"CI_COMMIT_BRANCH": "fix/1", "CI_COMMIT_REF_NAME": "fix/1"},
    "gitlab-merge-request": GITLAB | MERGE_REQUEST | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1"},
    "bitbucket": BITBUCKET | {"BITBUCKET_BRANCH": "fix/1"},
    "azure-push": AZURE | {"BUILD_SOURCEBRANCH": "refs/heads/fix/1", "BUILD_SOURCEBRANCHNAME": "1"},
    "azure-pull-request": AZURE
    | {"SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/fix/1", "BUILD_SOURCEBRANCH": "refs/pull/7/merge"}
    | {"SYSTEM_PULLREQUEST_ISFORK": "False"},
    "azure-pull-request-short": AZURE | {"SYSTEM_PULLREQUEST_SOURCEBRANCH": "fix/1"},
    "jenkins-multibranch": JENKINS | {"BRANCH_NAME": "fix/1", "GIT_BRANCH": "fix/1"},
    "jenkins-change": JENKINS | {"CHANGE_ID": "7", "CHANGE_BRANCH": "fix/1", "BRANCH_NAME": "PR-7"},
    "jenkins-freestyle": JENKINS | {"GIT_BRANCH": "origin/fix/1"},
    "buildkite-push": BUILDKITE | {"BUILDKITE_BRANCH": "fix/1", "BUILDKITE_TAG": ""},
    "buildkite-pull-request": BUILDKITE
    | PULL_REQUEST
    | {"BUILDKITE_PULL_REQUEST_REPO": "https://github.com/acme/x.git"},
    "buildkite-pull-request-ssh": BUILDKITE
    | PULL_REQUEST
    | {"BUILDKITE_PULL_REQUEST_REPO": "ssh://git@github.com:22/acme/x"},
    "circle": CIRCLE | {"CIRCLE_BRANCH": "fix/1", "CIRCLE_PR_REPONAME": "x"},
}
OTHER_JOBS = {
    "github-tag": GITHUB | {"GITHUB_REF": "refs/tags/v1", "GITHUB_REF_NAME": "v1", "GITHUB_REF_TYPE": "tag"},
    "github-review": GITHUB
    | {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_REF_NAME": "7/merge", "GITHUB_REF_TYPE": "branch"},
    "github-pull-request-without-event": GITHUB | {"GITHUB_HEAD_REF": "main"},
    "gitlab-tag": GITLAB | {"CI_COMMIT_TAG": "v1", "CI_COMMIT_REF_NAME": "v1"},
    "gitlab-fork": GITLAB | MERGE_REQUEST | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2"},
    "bitbucket-tag": BITBUCKET | {"BITBUCKET_TAG": "v1"},
    "azure-tag": AZURE | {"BUILD_SOURCEBRANCH": "refs/tags/v1"},
    "azure-fork": AZURE | {"SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/main", "SYSTEM_PULLREQUEST_ISFORK": "True"},
    "azure-odd-ref": AZURE | {"SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/pull/7/head"},
    "jenkins-tag": JENKINS | {"TAG_NAME": "v1", "BRANCH_NAME": "v1"},
    "jenkins-fork": JENKINS | {"CHANGE_ID": "7", "CHANGE_BRANCH": "main", "CHANGE_FORK": "eve"},
    "jenkins-change-without-branch": JENKINS | {"CHANGE_ID": "7", "BRANCH_NAME": "PR-7"},
    "jenkins-freestyle-tag": JENKINS | {"GIT_BRANCH": "refs/tags/v1"},
    "jenkins-head": JENKINS | {"GIT_BRANCH": "origin/HEAD"},
    "buildkite-tag": BUILDKITE | {"BUILDKITE_BRANCH": "v1", "BUILDKITE_TAG": "v1"},
    "buildkite-fork": BUILDKITE | PULL_REQUEST | {"BUILDKITE_PULL_REQUEST_REPO": "https://github.com/eve/x.git"},
    "circle-tag": CIRCLE | {"CIRCLE_TAG": "v1"},
    "circle-fork": CIRCLE | {"CIRCLE_BRANCH": "pull/7"},
    "stray-variables": {"BRANCH_NAME": "x", "GIT_BRANCH": "origin/x", "CIRCLE_BRANCH": "x", "GITHUB_HEAD_REF": "x"},
    "nothing": {},
}


@pytest.mark.parametrize("job", BRANCH_JOBS.values(), ids=BRANCH_JOBS.keys())
def test_a_ci_job_names_the_branch_of_a_detached_head(project: Path, commit: str, job: dict[str, str]) -> None:
    run(project, "switch", "--quiet", "--detach")
    head = read_head(project, job)
    assert (head.branch, head.commit) == ("fix/1", commit)
    assert (
        head.reason == f"the HEAD of {project} is detached at {commit}, and a CI variable names the branch of its job"
    )


@pytest.mark.parametrize("job", OTHER_JOBS.values(), ids=OTHER_JOBS.keys())
def test_a_tag_a_fork_or_a_stray_variable_names_no_branch(project: Path, commit: str, job: dict[str, str]) -> None:
    run(project, "switch", "--quiet", "--detach")
    head = read_head(project, job)
    assert (head.branch, head.commit) == (None, commit)
    assert head.reason.endswith("and no CI variable names the branch of its job")


@pytest.mark.parametrize(("repository", "branch"), [("acme/x", "fix/1"), ("eve/x", None), (None, None)])
def test_a_pull_request_on_github_names_its_branch_unless_it_is_from_a_fork(
    project: Path, tmp_path: Path, repository: str | None, branch: str | None
) -> None:
    run(project, "switch", "--quiet", "--detach")
    # A fork that was deleted is null.
    source = {"full_name": repository} if repository else None
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"head": {"repo": source}}}))
    pull_request = {"GITHUB_HEAD_REF": "fix/1", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_REF_NAME": "7/merge"}
    job = GITHUB | pull_request | {"GITHUB_REF_TYPE": "branch", "GITHUB_EVENT_PATH": str(tmp_path / "event.json")}
    assert read_head(project, job).branch == branch


@pytest.mark.parametrize("job", BRANCH_JOBS.values(), ids=BRANCH_JOBS.keys())
def test_a_branch_that_is_checked_out_goes_before_any_variable(project: Path, job: dict[str, str]) -> None:
    assert read_head(project, job).branch == "main"


def test_the_variables_of_this_process_count_when_none_are_given(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, "switch", "--quiet", "--detach")
    for marker in ("GITHUB_ACTIONS", "GITLAB_CI", "BITBUCKET_BUILD_NUMBER", "TF_BUILD", "JENKINS_URL", "BUILDKITE"):
        monkeypatch.delenv(marker, raising=False)
    monkeypatch.setenv("CIRCLECI", "true")
    monkeypatch.setenv("CIRCLE_BRANCH", "of-job")
    monkeypatch.delenv("CIRCLE_TAG", raising=False)
    assert read_head(project).branch == "of-job"
