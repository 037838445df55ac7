"""Finding runs by the tags that they leave: by run id, and by the git commit of their code."""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Ref
from kedro_statisfactory.backends.lakefs.once import warn_once
from kedro_statisfactory.backends.lakefs.records import metadata_of
from kedro_statisfactory.backends.lakefs.requests import PAGE
from kedro_statisfactory.errors import RefNotFound
from kedro_statisfactory.project.branches import GIT_TAG, run_tag
from kedro_statisfactory.project.git import ancestors
from kedro_statisfactory.session import Session

_GIT_SHA = re.compile(r"[0-9a-f]{7,64}")
_MOST_COMMITS = 100  # that are asked for at once, to learn what the runs of a data branch wrote
_BEHIND_ALL = "g"  # sorts behind every SHA

#: Of more runs at one git commit nobody asks who looks for the newest ones.
ENOUGH = 100
_MINUTES = (1, 60, 60 * 24, 60 * 24 * 30, 60 * 24 * 365)  # within which they are looked for

#: Pages of tags that are asked for at most to find a git commit with a run.
MOST_PAGES = 20


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

    @classmethod
    def of(cls, tag: Ref) -> RunAt | None:
        """Read it from a tag; ``None`` where that is no such one."""
        parts = tag.id.split("--", 2)
        return cls(parts[2], tag.commit_id, parts[0].removeprefix(GIT_TAG), parts[1]) if len(parts) > 2 else None

    @property
    def is_dirty(self) -> bool:
        """Whether the code had changes that no git commit has."""
        return "-dirty" in self.time

    @property
    def is_pinned(self) -> bool:
        """Whether the user had all entries read elsewhere than on the data branch."""
        return "-at" in self.time

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

    def runs_at(self, repository: str, sha: str) -> list[RunAt]:
        """The runs that were made at a git commit; there may be more soon, so it is asked for each time.

        Raises:
            RefNotFound: A short SHA means several commits.
        """
        if not _GIT_SHA.fullmatch(sha):
            return []
        found = self._runs_at(repository, sha)
        if len(shas := {run.sha for run in found}) > 1:
            raise RefNotFound(f"{sha!r} is short for several git commits with runs: {', '.join(sorted(shas))}.")
        return found

    def choose(self, repository: str, runs: Sequence[RunAt], path: str = "") -> RunAt:
        """The run of a git commit as whose commit an object is read, and say which one it is.

        It is the newest that wrote the object, else the newest, which saw it. Runs of the committed code go first; what
        a run read elsewhere, because a user said so, is nothing that belongs to the code.

        Args:
            repository: Where.
            runs: At the git commit; at least one.
            path: Of an object or folder; empty: all that was there.
        """
        newest = max(runs, key=lambda run: (not run.is_pinned, not run.only_read, not run.is_dirty, run.time))
        chosen = newest
        writers = [run for run in runs if not run.only_read]
        if path and writers != [newest]:
            by_rank = sorted(writers, key=lambda run: (not run.is_dirty, run.time), reverse=True)
            amount = min(len(writers), _MOST_COMMITS)
            chosen = next((run for run in by_rank if self._wrote(repository, run, path, amount)), newest)
        dirty = ", with uncommitted changes in the code" if chosen.is_dirty else ""
        made = "found" if chosen.only_read else "left"
        what = f"{repository!r}" if chosen is newest else f"{path!r} of {repository!r}"
        warn_once(
            self._logger,
            f"Reading {what} as the run {chosen.run_id!r} {made} it, which was made at the git commit "
            f"{chosen.sha}{dirty}.",
        )
        return chosen

    def _wrote(self, repository: str, run: RunAt, path: str, amount: int) -> bool:
        """Whether a run wrote an object; the commits of other runs on its data branch are remembered with its own."""
        known = self._session.connection(("lakefs outputs", self._api.host), dict[tuple[str, str], frozenset[str]])
        if (repository, run.commit) not in known:
            for commit in itertools.islice(self._api.log(repository, run.commit, amount=amount), amount):
                if commit.id == run.commit or "kedro_outputs" in commit.metadata:
                    outputs = json.loads(metadata_of(self._api, repository, commit).get("kedro_outputs", "{}"))
                    known[repository, commit.id] = frozenset(each["path"] for each in outputs.values())
        return any(_is_or_contains(path, each) or _is_or_contains(each, path) for each in known[repository, run.commit])

    def _runs_at(self, repository: str, sha: str, since: float = 0, most: int | None = None) -> list[RunAt]:
        after = f"{GIT_TAG}{sha}--{int(since):013}" if since else ""
        tags = itertools.islice(self._api.tags(repository, f"{GIT_TAG}{sha}", after), most)
        return [run for tag in tags if (run := RunAt.of(tag))]

    def _newest_at(self, repository: str, sha: str) -> list[RunAt]:
        """The newest runs at a git commit that has more than a page tells, by few requests, however many these are."""
        found: list[RunAt] = []
        for minutes in _MINUTES:
            page = self._runs_at(repository, sha, time.time() * 1000 - minutes * 60_000, PAGE)
            if len(page) == PAGE:  # it has the oldest of these
                break
            found = page
            if len(found) >= ENOUGH:
                break
        return found or self._runs_at(repository, sha)

    def nearest_ancestor(self, repository: str, sha: str) -> str | None:
        """The nearest git commit up to ``sha`` at which a run was made; ``None`` when there is none near by."""
        return next((runs[0].sha for runs in self.by_ancestor(repository, sha)), None)

    def by_ancestor(self, repository: str, sha: str) -> Iterator[list[RunAt]]:
        """The runs at a git commit and at those before it, nearest first.

        Among few runs this takes one request: all tags come in one page. Among many, each further page tells of the
        next ancestor of which nothing is known yet, and of all whose tags are near by; after ``MOST_PAGES`` of them
        nobody looks further back.
        """
        runs: dict[str, list[RunAt]] = {}
        told: list[tuple[str, str]] = []  # from which SHA on, and up to which, the pages have told of all runs
        for each in ancestors(self._session.project.path, sha):
            while not any(first <= each < last for first, last in told):
                if len(told) == MOST_PAGES:
                    return
                told.append(self._page_of_runs(repository, each if told else "", runs))
            if each in runs:
                yield runs[each]

    def _page_of_runs(self, repository: str, first: str, runs: dict[str, list[RunAt]]) -> tuple[str, str]:
        """Add the runs of one page of tags to ``runs``; gives from which SHA on, and up to which, these are all."""
        tags = self._api.tags(repository, GIT_TAG, f"{GIT_TAG}{first}" if first else "")
        page = list(itertools.islice(tags, PAGE))
        found = [run for tag in page if (run := RunAt.of(tag))]
        by_sha = {sha: list(group) for sha, group in itertools.groupby(found, key=lambda run: run.sha)}
        last = _BEHIND_ALL
        if found and len(page) == PAGE:  # of the last git commit there may be more
            last = found[-1].sha
            if len(by_sha) > 1:
                del by_sha[last]
            else:
                by_sha[last], last = self._newest_at(repository, last), f"{last}-"
        runs.update(by_sha)
        return first, last

    def _remembered(self) -> dict[tuple[str, str], str]:
        """Commits by repository and run id."""
        return self._session.connection(("lakefs runs", self._api.host), dict[tuple[str, str], str])


def _is_or_contains(path: str, other: str) -> bool:
    return path == other or other.startswith(f"{path}/")
