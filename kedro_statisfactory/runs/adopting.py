"""What becomes of a data branch whose runs were made on another git branch of the same name."""

from __future__ import annotations

import time

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import RunError
from kedro_statisfactory.project import Project
from kedro_statisfactory.runs.landing import commit_strays, has_uncommitted
from kedro_statisfactory.runs.target import DATA_BRANCH


def adopt(api: LakeFSAPI, project: Project, repository: str) -> str:
    """Note on the data branch that it belongs to the git branch that is checked out; gives its name."""
    branch, head = project.branch(), project.read_head()
    if head.branch is None or head.commit is None:
        raise RunError(f"no git branch with a commit is checked out ({head.reason}): switch to one.")
    mark = {"git_branch": head.branch, "git_commit_id": head.commit, DATA_BRANCH: branch}
    api.create_commit(repository, branch, f"Data of the git branch {head.branch} from here on", mark, allow_empty=True)
    return branch


def reset(api: LakeFSAPI, project: Project, repository: str) -> tuple[str, str]:
    """Drop the data branch, so that the next run makes it anew; gives its name, and the tag by which it is found."""
    branch = project.branch()
    if branch == api.default_branch(repository):
        raise RunError(f"{branch!r} is the default branch of {repository!r}, which is not reset.")
    if has_uncommitted(api, repository, branch):
        commit_strays(api, repository, branch, "")
    tag = f"{branch}--until-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    api.create_tag(repository, tag, api.branch(repository, branch).commit_id)
    api.delete_branch(repository, branch)
    return branch, tag
