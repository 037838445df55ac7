"""What CI services say of their jobs: the branch that one is for, and the page that shows it.

Each service is known by a variable of its own, so that a stray ``BRANCH_NAME`` means nothing elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

_Told = Callable[[str], str]  # what a variable says; empty when it is not set


def branch_of_job(environ: Mapping[str, str] = os.environ) -> str | None:
    """The branch that a CI service says its job is for; ``None`` for a tag and for a pull request from a fork.

    The branch of a fork may bear the name of one of ours, and must not get its data.
    """
    for variable, read in _SERVICES.items():
        if environ.get(variable):
            branch, foreign = read(lambda name: environ.get(name, ""))
            return None if foreign or branch in ("", "HEAD") or branch.startswith("refs/") else branch
    return None


def page_of_job(environ: Mapping[str, str] = os.environ) -> str | None:
    """The web page of the job that runs here; ``None`` outside of a CI service, and where the service names none."""

    def filled(template: str) -> str | None:
        names = re.findall(r"{(\w+)}", template)
        return template.format_map(environ) if all(environ.get(name) for name in names) else None

    if environ.get("GITHUB_ACTIONS"):
        return filled("{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}")
    if environ.get("TF_BUILD"):
        return filled("{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}")
    if environ.get("BITBUCKET_BUILD_NUMBER"):
        return filled("https://bitbucket.org/{BITBUCKET_REPO_FULL_NAME}/pipelines/results/{BITBUCKET_BUILD_NUMBER}")
    # GitLab, Jenkins, Buildkite and CircleCI say it themselves.
    urls = ("CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL")
    return next((environ[name] for name in urls if environ.get(name)), None)


def _branch_of_ref(ref: str) -> str:
    """The branch that a full ref names, empty for tags and the refs of pull requests."""
    return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""


def _is_from_github_fork(told: _Told) -> bool:
    """Whether a pull request is from another repository, or its event cannot be read to know; no variable tells it."""
    try:
        event = json.loads(Path(told("GITHUB_EVENT_PATH")).read_bytes())
        return bool(event["pull_request"]["head"]["repo"]["full_name"] != told("GITHUB_REPOSITORY"))
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _path_of_url(url: str) -> str:
    """Owner and name in a repository's URL, which may be written for HTTPS or for SSH."""
    return re.sub(r"^(\w+://)?([^/@]+@)?[^/:]+(:\d+)?[/:]", "", url).removesuffix(".git").lower()


# Each of these gives the branch of a job, and whether the job is for a tag or for somebody else's repository.


def _on_github(told: _Told) -> tuple[str, bool]:
    # In a pull request GITHUB_REF_NAME is "<number>/merge", with GITHUB_REF_TYPE "branch": only the full ref tells.
    head = told("GITHUB_HEAD_REF")
    return head or _branch_of_ref(told("GITHUB_REF")), bool(head) and _is_from_github_fork(told)


def _on_gitlab(told: _Told) -> tuple[str, bool]:
    branch = told("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or told("CI_COMMIT_BRANCH")
    return branch, told("CI_MERGE_REQUEST_SOURCE_PROJECT_ID") != told("CI_MERGE_REQUEST_PROJECT_ID")


def _on_bitbucket(told: _Told) -> tuple[str, bool]:
    return told("BITBUCKET_BRANCH"), bool(told("BITBUCKET_TAG"))


def _on_azure(told: _Told) -> tuple[str, bool]:
    # Documented as a full ref, and seen without refs/heads/ too.
    of_pull_request = told("SYSTEM_PULLREQUEST_SOURCEBRANCH").removeprefix("refs/heads/")
    is_fork = told("SYSTEM_PULLREQUEST_ISFORK").lower() == "true"
    return of_pull_request or _branch_of_ref(told("BUILD_SOURCEBRANCH")), is_fork


def _on_jenkins(told: _Told) -> tuple[str, bool]:
    # BRANCH_NAME of a change request is a name like "PR-7"; GIT_BRANCH without its remote may be a tag.
    remote = told("GIT_BRANCH")
    ordinary = told("BRANCH_NAME") or (remote.removeprefix("origin/") if remote.startswith("origin/") else "")
    branch = told("CHANGE_BRANCH") or ("" if told("CHANGE_ID") else ordinary)
    return branch, bool(told("CHANGE_FORK") or told("TAG_NAME"))


def _on_buildkite(told: _Told) -> tuple[str, bool]:
    of_pull_request = told("BUILDKITE_PULL_REQUEST") not in ("", "false")
    from_fork = _path_of_url(told("BUILDKITE_PULL_REQUEST_REPO")) != _path_of_url(told("BUILDKITE_REPO"))
    return told("BUILDKITE_BRANCH"), bool(told("BUILDKITE_TAG")) or (of_pull_request and from_fork)


def _on_circleci(told: _Told) -> tuple[str, bool]:
    # CIRCLE_PR_NUMBER and the like are set for other pull requests too; forks are known by this name alone.
    branch = told("CIRCLE_BRANCH")
    return branch, bool(told("CIRCLE_TAG")) or re.fullmatch(r"pull/\d+(/\w+)?", branch) is not None


# By the variable that tells the service.
_SERVICES: Mapping[str, Callable[[_Told], tuple[str, bool]]] = {
    "GITHUB_ACTIONS": _on_github,
    "GITLAB_CI": _on_gitlab,
    "BITBUCKET_BUILD_NUMBER": _on_bitbucket,
    "TF_BUILD": _on_azure,
    "JENKINS_URL": _on_jenkins,
    "BUILDKITE": _on_buildkite,
    "CIRCLECI": _on_circleci,
}
