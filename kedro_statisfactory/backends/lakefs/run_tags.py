"""Finding runs by the tags that they leave: by run id, and by the git commit of their code."""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
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
_TAG = re.compile(rf"{GIT_TAG}(?P<sha>[0-9a-f]+)--(?P<time>[0-9]{{13}}(?:-[a-z]+)*)--(?P<run_id>.+)")
_BEHIND_ALL = f"{GIT_TAG[:-1]}."  # comes after all such tags in the order of names
_NEVER = 10**13 - 1  # the last time that such a tag can tell

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
        """Read it from a tag; ``None`` where the tag is not one by which a run is found by git commit."""
        told = _TAG.fullmatch(tag.id)
        return cls(commit=tag.commit_id, **told.groupdict()) if told else None

    @property
    def milliseconds(self) -> int:
        """The time without the marks."""
        return int(self.time.partition("-")[0])

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

    def _runs_at(self, repository: str, sha: str) -> list[RunAt]:
        return [run for tag in self._api.tags(repository, f"{GIT_TAG}{sha}") if (run := RunAt.of(tag))]

    def nearest_ancestor(self, repository: str, sha: str) -> str | None:
        """The nearest git commit up to ``sha`` at which a run was made; ``None`` when there is none near by."""
        return next((run.sha for runs in self.by_ancestor(repository, sha) for run in runs), None)

    def by_ancestor(self, repository: str, sha: str) -> Iterator[Iterable[RunAt]]:
        """The runs at a git commit, newest first, then those at the commit before it, and so on.

        Among few runs this takes one request: all tags come in one page. Among many, each further page tells of the
        next ancestor of which nothing is known yet, and of all whose tags are near by; after ``MOST_PAGES`` of them
        nobody looks further back. The runs at a commit that has more than a page of them are asked for while they are
        iterated over.
        """
        runs: dict[str, Iterable[RunAt]] = {}
        told: list[tuple[str, str]] = []  # two names each: of all tags between them, the runs are known
        for each in ancestors(self._session.project.path, sha):
            begin, end = _around(each)
            while not any(first <= begin and end <= last for first, last in told):
                if len(told) == MOST_PAGES:
                    return
                told.append(self._page_of_runs(repository, begin if told else "", runs))
            if each in runs:
                yield runs[each]

    def _page_of_runs(self, repository: str, first: str, runs: dict[str, Iterable[RunAt]]) -> tuple[str, str]:
        """Add to ``runs`` what the page of tags behind a name tells; gives the names between which that is all."""
        page = list(itertools.islice(self._api.tags(repository, GIT_TAG, first), PAGE))
        found = [run for tag in page if (run := RunAt.of(tag))]
        by_sha: dict[str, Iterable[RunAt]] = {
            sha: list(group)[::-1] for sha, group in itertools.groupby(found, key=lambda run: run.sha)
        }
        last = _BEHIND_ALL
        if len(page) == PAGE:  # of the last git commit there may be more
            last = page[-1].id
            sha = last.removeprefix(GIT_TAG).partition("--")[0]
            begin, end = _around(sha)
            by_sha.pop(sha, None)
            if page[0].id.startswith(begin):
                by_sha[sha], last = self._newest_first(repository, sha, page), end
        runs.update(by_sha)
        return first, last

    def _newest_first(self, repository: str, sha: str, page: Sequence[Ref], until: int = _NEVER) -> Iterator[RunAt]:
        """The runs at a git commit that ended before a time.

        lakeFS lists the oldest ones first. So where there is more than a page, the time behind that page is halved, and
        the later half is told before the earlier one. Each listing halves the time in which the newest run can be, or
        reads a page, or both. Older runs are asked for only when somebody looks for them, too.

        Args:
            repository: Where.
            sha: Of the git commit.
            page: The first page of their tags.
            until: The time, in milliseconds since 1970.
        """
        runs = [run for tag in page if (run := RunAt.of(tag))]
        if len(page) == PAGE:
            newest = max((run.milliseconds for run in runs), default=0)
            middle = (newest + min(until, int(time.time() * 1000))) // 2
            begin, last = _around(sha)[0], page[-1].id
            for after, end in ((max(last, f"{begin}{middle:013}"), until), (last, middle)):
                tags = itertools.islice(self._api.tags(repository, begin, after), PAGE)
                more = [tag for tag in tags if tag.id < f"{begin}{end:013}"]
                yield from self._newest_first(repository, sha, more, end)
        yield from reversed(runs)

    def _remembered(self) -> dict[tuple[str, str], str]:
        """Commits by repository and run id."""
        return self._session.connection(("lakefs runs", self._api.host), dict[tuple[str, str], str])


def _is_or_contains(path: str, other: str) -> bool:
    return path == other or other.startswith(f"{path}/")


def _around(sha: str) -> tuple[str, str]:
    """Two names between which the tags of all runs at a git commit are, in the order of names."""
    return f"{GIT_TAG}{sha}--", f"{GIT_TAG}{sha}-."
