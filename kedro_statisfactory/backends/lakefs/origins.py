"""From where a data branch is made that does not exist yet: data follows code."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import DATA_BRANCH
from kedro_statisfactory.backends.lakefs.run_tags import RunTags
from kedro_statisfactory.backends.lakefs.runs_at import CLEAN, DIRTY, RunAt, RunsAt
from kedro_statisfactory.errors import ObjectNotFound
from kedro_statisfactory.project.branches import UNTIL, data_branch
from kedro_statisfactory.project.git import ancestors
from kedro_statisfactory.project.history import made_from
from kedro_statisfactory.session import Session

# Commits of a data branch among which its newest run is looked for.
_MOST_COMMITS = 100
_PAGE = 10
_MOST_DROPPED = 1000  # of a data branch that was reset
_SHA = "git_commit_id"


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
        there; else the commit of the run. Where several have run at that ancestor, those on the branch from which the
        git branch was made go first, then those on the default branch: others may have tried something there. The
        runs that a data branch had when it was reset do not count for it: it begins as if they had never been.
        """
        head, settings = self._session.project.read_head(), self._session.project.settings
        own = data_branch(head.branch, settings.branches) if head.branch else settings.branch
        origin, branch = self._origin(repository)
        if branch is not None and branch == own and (dropped := self._dropped(repository, own)):
            origin, _ = self._origin(repository, dropped)
        return origin

    def _origin(self, repository: str, dropped: Collection[str] = ()) -> tuple[str | None, str | None]:
        """The same without the runs of some commits, and the data branch of the run that was found."""
        head = self._session.project.read_head()
        runs = self._nearest(repository, head.commit, dropped) if head.commit else []
        if not runs or head.commit is None:
            return None, None
        shas = {head.commit, *ancestors(self._session.project.path, head.commit)}
        if len(runs) > 1:
            for branch in self._preferred(repository, head.branch):
                if found := self._on(repository, branch, runs[0].sha, shas):
                    return found, branch
        run = runs[0]
        told = self._api.commit(repository, run.commit).metadata.get(DATA_BRANCH)
        return (told and self._on(repository, told, "", shas)) or run.commit, told

    def _dropped(self, repository: str, branch: str) -> set[str]:
        """The commits of the runs that a data branch had when it was reset."""
        commits: set[str] = set()
        for tag in self._api.tags(repository, branch + UNTIL):
            log = itertools.islice(self._api.log(repository, tag.commit_id, amount=_MOST_COMMITS), _MOST_DROPPED)
            commits.update(commit.id for commit in log if commit.metadata.get(DATA_BRANCH) == branch)
        return commits

    def _nearest(self, repository: str, sha: str, dropped: Collection[str]) -> list[RunAt]:
        """The newest run at the nearest commit, and the one before it where there are several.

        Code that was never committed counts where there is nothing else.
        """

        def newest(runs: RunsAt, marks: Iterable[str]) -> list[RunAt]:
            left = (run for run in runs.newest(*marks) if run.commit not in dropped)
            return list(itertools.islice(left, 2))  # there may be thousands more

        without_commit: list[RunAt] = []
        for runs in self._runs.by_ancestor(repository, sha):
            if clean := newest(runs, CLEAN):
                return clean
            without_commit = without_commit or newest(runs, DIRTY)
        return without_commit

    def _preferred(self, repository: str, git_branch: str | None) -> Iterator[str]:
        """Data branches that go before others."""
        project = self._session.project
        if git_branch and (source := made_from(project.path, git_branch)):
            yield data_branch(source, project.settings.branches)
        yield self._api.default_branch(repository)

    def _on(self, repository: str, branch: str, sha: str, shas: Collection[str]) -> str | None:
        """A data branch whose newest run was made at one of some git commits; else its newest run at one of them.

        Args:
            repository: Where.
            branch: The data branch, which may be gone.
            sha: Of a git commit at which the run has to be made in the second case; empty: that does not count.
            shas: Of the code that is checked out, and of all before it.
        """
        try:
            commits = list(itertools.islice(self._api.log(repository, branch, amount=_PAGE), _MOST_COMMITS))
        except ObjectNotFound:
            return None
        made = [(commit.metadata[_SHA], commit.id) for commit in commits if _SHA in commit.metadata]
        if made and made[0][0] in shas and (not sha or sha in (each for each, _ in made)):
            return branch
        return next((commit for each, commit in made if each == sha), None)
