"""What becomes of a data branch whose runs were made on another git branch of the same name."""

from __future__ import annotations

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import RunError
from kedro_statisfactory.project import Project
from kedro_statisfactory.runs.landing import commit_strays, has_uncommitted
from kedro_statisfactory.runs.leftovers import begun_on
from kedro_statisfactory.runs.tags import tag_dropped
from kedro_statisfactory.runs.target import DATA_BRANCH, LOGGER


def adopt(api: LakeFSAPI, project: Project, repository: str) -> str:
    """Note on the data branch that it belongs to the git branch that is checked out; gives its name."""
    branch, head = project.branch(), project.read_head()
    if head.branch is None or head.commit is None:
        raise RunError(f"no git branch with a commit is checked out ({head.reason}): switch to one.")
    _commit_uncommitted(api, repository, branch)
    mark = {"git_branch": head.branch, "git_commit_id": head.commit, DATA_BRANCH: branch}
    api.create_commit(repository, branch, f"Data of the git branch {head.branch} from here on", mark, allow_empty=True)
    return branch


def reset(api: LakeFSAPI, project: Project, repository: str) -> tuple[str, str]:
    """Drop the data branch, so that the next run makes it anew; gives its name, and the tag by which it is found."""
    branch = project.branch()
    if branch == api.default_branch(repository):
        raise RunError(f"{branch!r} is the default branch of {repository!r}, which is not reset.")
    _warn_of_runs(api, repository, branch, api.branch(repository, branch).commit_id)  # takes long where many wait
    _commit_uncommitted(api, repository, branch)
    tag = tag_dropped(api, repository, branch, api.branch(repository, branch).commit_id)
    api.delete_branch(repository, branch)
    return branch, tag


def _commit_uncommitted(api: LakeFSAPI, repository: str, branch: str) -> None:
    """Commit what others have saved there as a commit of its own, not as one of ours."""
    if has_uncommitted(api, repository, branch):
        commit_strays(api, repository, branch, "")


def _warn_of_runs(api: LakeFSAPI, repository: str, branch: str, head: str) -> None:
    """Name the hidden branches of runs that began on a data branch, which goes: none of them can land any more."""
    if began := begun_on(api, repository, branch, head):
        LOGGER.warning(
            "Runs that began on the data branch %r are at work or wait, and cannot land any more, since it is reset: "
            "abort or repeat them. Their branches in %r are %s.",
            branch,
            repository,
            ", ".join(map(repr, began)),
        )
