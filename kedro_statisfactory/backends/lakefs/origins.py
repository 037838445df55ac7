"""From where a data branch is made that does not exist yet: data follows code."""

from __future__ import annotations

import itertools
from collections.abc import Collection

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import DATA_BRANCH
from kedro_statisfactory.backends.lakefs.run_tags import RunAt, RunTags
from kedro_statisfactory.errors import ObjectNotFound
from kedro_statisfactory.project.git import ancestors
from kedro_statisfactory.session import Session

# Commits of a data branch among which its newest run is looked for.
_MOST_COMMITS = 100
_PAGE = 10


class Origins:
    """Finds the data that belongs to the code from which a git branch was made.

    Args:
        session: It knows the project, with its git commit.
        api: The server.
        runs: Of that server.
    """

    def __init__(self, session: Session, api: LakeFSAPI, runs: RunTags) -> None:
        self._session, self._api, self._runs = session, api, runs

    def origin(self, repository: str) -> str | None:
        """The data of the newest run at the nearest ancestor of what is checked out; ``None``: there is no such run.

        It is the data branch of that run, with all that was brought there since, as long as no newer code has run
        there; else the commit of the run.
        """
        sha = self._session.project.read_head().commit
        run = self._nearest(repository, sha) if sha else None
        if sha is None or run is None:
            return None
        branch = self._api.commit(repository, run.commit).metadata.get(DATA_BRANCH)
        if branch and self._ran_last_at(repository, branch, {sha, *ancestors(self._session.project.path, sha)}):
            return branch
        return run.commit

    def _nearest(self, repository: str, sha: str) -> RunAt | None:
        """The newest run at the nearest commit; code that was never committed counts where there is nothing else."""
        without_commit: RunAt | None = None
        for runs in self._runs.by_ancestor(repository, sha):
            wrote = [run for run in runs if not run.only_read]
            newest = max(wrote, key=lambda run: (not run.is_dirty, run.time), default=None)
            if newest is not None and not newest.is_dirty:
                return newest
            without_commit = without_commit or newest
        return without_commit

    def _ran_last_at(self, repository: str, branch: str, shas: Collection[str]) -> bool:
        """Whether the newest run on a data branch, which may be gone, was made at one of some git commits."""
        try:
            for commit in itertools.islice(self._api.log(repository, branch, amount=_PAGE), _MOST_COMMITS):
                if "git_commit_id" in commit.metadata:
                    return commit.metadata["git_commit_id"] in shas
        except ObjectNotFound:
            pass
        return False
