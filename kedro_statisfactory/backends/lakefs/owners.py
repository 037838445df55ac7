"""Whether a data branch belongs to the git branch that is checked out, or to another one that had its name."""

from __future__ import annotations

import itertools
import logging

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import CI_JOB, DATA_BRANCH
from kedro_statisfactory.errors import ObjectNotFound
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import USUAL_BRANCHES, data_branch
from kedro_statisfactory.project.history import is_of_another_branch

_LOGGER = logging.getLogger("kedro.statisfactory")  # below Kedro's own name, since it hides the information of others
_MOST_COMMITS = 50  # of a data branch that are looked at, in one request


def is_of_another(api: LakeFSAPI, project: Project, repository: str, branch: str) -> bool:
    """Whether the runs on a data branch were made on another git branch; never so on the default branch.

    Args:
        api: The server.
        project: Whose git branch is checked out.
        repository: Where.
        branch: The data branch of that git branch.
    """
    head = project.read_head()
    if head.branch is None or head.commit is None or branch in (*USUAL_BRANCHES, project.settings.branch):
        return False
    if data_branch(head.branch, project.settings.branches) != branch:
        return False
    try:
        commits = list(itertools.islice(api.log(repository, branch, amount=_MOST_COMMITS), _MOST_COMMITS))
    except ObjectNotFound:  # there is none yet
        return False
    runs = [
        commit
        for commit in commits
        if commit.metadata.get(DATA_BRANCH) == branch and "git_commit_id" in commit.metadata
    ]
    made = [(commit.metadata["git_commit_id"], commit.created) for commit in runs]
    by_ci = {commit.metadata["git_commit_id"] for commit in runs if CI_JOB in commit.metadata}
    is_another = is_of_another_branch(project.path, head.branch, head.commit, made, by_ci)
    if is_another is None:
        _LOGGER.info(
            "git does not tell here (a shallow clone, a CI job, an expired reflog) whether the runs on the data branch "
            "%r of %r are those of the git branch %r: it is taken for granted.",
            branch,
            repository,
            head.branch,
        )
    return bool(is_another) and api.default_branch(repository) != branch
