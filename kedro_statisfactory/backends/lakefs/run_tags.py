"""Finding runs by the tags that they leave: by run id, and by the git commit of their code."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.once import warn_once
from kedro_statisfactory.errors import RefNotFound
from kedro_statisfactory.project.branches import GIT_TAG, run_tag
from kedro_statisfactory.project.git import ancestors
from kedro_statisfactory.session import Session

_GIT_SHA = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True)
class RunAt:
    """A run that was made at a git commit, as the name of its tag tells it.

    Attributes:
        run_id: Of the run.
        commit: Id of the commit in lakeFS.
        sha: Of the git commit.
        time: Milliseconds since 1970 when it ended, with marks of its state behind them.
    """

    run_id: str
    commit: str
    sha: str
    time: str

    @property
    def is_dirty(self) -> bool:
        """Whether the code had changes that no git commit has."""
        return "-dirty" in self.time

    @property
    def only_read(self) -> bool:
        """Whether the run wrote to other repositories alone."""
        return self.time.endswith("-read")


class RunTags:
    """The tags of runs on one server.

    Args:
        session: Credentials, and what this process remembers.
        api: The server.
        logger: For what a user should know of a run that was found.
    """

    def __init__(self, session: Session, api: LakeFSAPI, logger: logging.Logger) -> None:
        self._session, self._api, self._logger = session, api, logger

    def commit_of(self, repository: str, run_id: str) -> str | None:
        """The commit of a run; ``None`` when there is no such run."""
        tag = self._api.tag(repository, run_tag(run_id))
        if tag is None:
            return None
        self._remembered()[repository, run_id] = tag.commit_id
        return tag.commit_id

    def remembered(self, repository: str, run_id: str) -> str | None:
        """The same as far as this process knows without asking: the commit of a run never changes."""
        return self._remembered().get((repository, run_id))

    def newest_at(self, repository: str, sha: str) -> RunAt | None:
        """The newest run that was made at a git commit, and of its very code when there is one such.

        It may be another one soon, so it is asked for each time.

        Raises:
            RefNotFound: A short SHA means several commits.
        """
        if not _GIT_SHA.fullmatch(sha):
            return None
        found = [
            RunAt(parts[2], tag.commit_id, parts[0].removeprefix(GIT_TAG), parts[1])
            for tag in self._api.tags(repository, f"{GIT_TAG}{sha}")
            if len(parts := tag.id.split("--", 2)) > 2
        ]
        if len(shas := {run.sha for run in found}) > 1:
            raise RefNotFound(f"{sha!r} is short for several git commits with runs: {', '.join(sorted(shas))}.")
        run = max(found, key=lambda run: (not run.only_read, not run.is_dirty, run.time), default=None)
        if run is not None:
            dirty = ", with uncommitted changes in the code" if run.is_dirty else ""
            made = "found" if run.only_read else "left"
            warn_once(
                self._logger,
                f"Reading {repository!r} as the run {run.run_id!r} {made} it, which was made at the git commit "
                f"{run.sha}{dirty}.",
            )
        return run

    def nearest_ancestor(self, repository: str, sha: str) -> str | None:
        """The nearest git commit before ``sha`` at which a run was made; ``None`` when there is none."""
        made = {tag.id.removeprefix(GIT_TAG).partition("--")[0] for tag in self._api.tags(repository, GIT_TAG)}
        return next((each for each in ancestors(self._session.project.path, sha) if each in made), None)

    def _remembered(self) -> dict[tuple[str, str], str]:
        """Commits by repository and run id."""
        return self._session.connection(("lakefs runs", self._api.host), dict[tuple[str, str], str])
