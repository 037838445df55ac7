"""Finding runs by the tags that they leave: by run id, and by the git commit of their code."""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Ref
from kedro_statisfactory.backends.lakefs.once import warn_once
from kedro_statisfactory.backends.lakefs.records import metadata_of
from kedro_statisfactory.backends.lakefs.requests import PAGE
from kedro_statisfactory.backends.lakefs.runs_at import BEHIND_ALL, RunAt, RunsAt
from kedro_statisfactory.errors import RefNotFound
from kedro_statisfactory.project.branches import GIT_TAG, run_tag
from kedro_statisfactory.project.git import ancestors
from kedro_statisfactory.session import Session

_GIT_SHA = re.compile(r"[0-9a-f]{7,64}")
# Runs that are asked whether they wrote something, and commits that are asked for at once to learn that.
_MOST_ASKED = 100
_NEVER = 10**13 - 1  # the last time that a tag can tell

#: Pages of tags that are asked for at most to find a git commit with a run.
MOST_PAGES = 20


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

    def runs_at(self, repository: str, sha: str) -> RunsAt | None:
        """The runs that were made at a git commit; there may be more soon, so it is asked for each time.

        Raises:
            RefNotFound: A short SHA means several commits.
        """
        if not _GIT_SHA.fullmatch(sha):
            return None
        page = self._page(repository, f"{GIT_TAG}{sha}")
        found = _runs_in(page)
        if len(page) == PAGE:
            found += _runs_in(self._page(repository, f"{GIT_TAG}{sha}", _around(_sha_in(page[-1]))[1]))
        shas = sorted({run.sha for run in found})
        if len(shas) > 1:
            raise RefNotFound(f"{sha!r} is short for several git commits with runs: {', '.join(shas)}.")
        if len(page) == PAGE:
            runs = self._many_runs(repository, shas[0] if shas else sha, page)
            return runs if any(True for _ in runs) else None
        return RunsAt.of(found) if found else None

    def choose(self, repository: str, runs: RunsAt, path: str = "") -> RunAt:
        """The run of a git commit as whose commit an object is read, and say which one it is.

        It is the newest that wrote the object, else the newest, which saw it. Runs of the committed code go first; what
        a run read elsewhere, because a user said so, is nothing that belongs to the code.

        Args:
            repository: Where.
            runs: At the git commit; at least one.
            path: Of an object or folder; empty: all that was there.
        """
        chosen = newest = next(iter(runs))
        writers = list(itertools.islice(runs.writers(), _MOST_ASKED)) if path else []
        if path and writers != [newest]:
            chosen = next((run for run in writers if self._wrote(repository, run, path, len(writers))), newest)
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

    def nearest_ancestor(self, repository: str, sha: str) -> str | None:
        """The nearest git commit up to ``sha`` at which a run was made; ``None`` when there is none near by."""
        return next((run.sha for runs in self.by_ancestor(repository, sha) for run in runs), None)

    def by_ancestor(self, repository: str, sha: str) -> Iterator[RunsAt]:
        """The runs at a git commit, then those at the commit before it, and so on.

        Among few runs this takes one request: all tags come in one page. Among many, each further page tells of the
        next ancestor of which nothing is known yet, and of all whose tags are near by; after ``MOST_PAGES`` of them
        nobody looks further back. The runs at a commit that has more than a page of them are asked for while they are
        iterated over.
        """
        runs: dict[str, RunsAt] = {}
        told: list[tuple[str, str]] = []  # two names each: of all tags between them, the runs are known
        for each in ancestors(self._session.project.path, sha):
            begin, end = _around(each)
            while not any(first <= begin and end <= last for first, last in told):
                if len(told) == MOST_PAGES:
                    return
                told.append(self._page_of_runs(repository, begin if told else "", runs))
            if each in runs:
                yield runs[each]

    def _page_of_runs(self, repository: str, first: str, runs: dict[str, RunsAt]) -> tuple[str, str]:
        """Add to ``runs`` what the page of tags behind a name tells; gives the names between which that is all."""
        page = self._page(repository, GIT_TAG, first)
        found: dict[str, list[RunAt]] = {}
        for run in _runs_in(page):
            found.setdefault(run.sha, []).append(run)
        runs.update({sha: RunsAt.of(each) for sha, each in found.items()})
        if len(page) < PAGE:
            return first, BEHIND_ALL
        sha = _sha_in(page[-1])
        begin, end = _around(sha)
        if page[-1].id < end:  # of the last git commit there may be more
            runs.pop(sha, None)
            if page[0].id.startswith(begin):
                runs[sha] = self._many_runs(repository, sha, page)
                return first, end
        return first, page[-1].id

    def _many_runs(self, repository: str, sha: str, page: Sequence[Ref]) -> RunsAt:
        """The runs at a git commit that has more than a page of tags, of which the first page is known."""

        def of_marks(marks: str) -> Iterator[RunAt]:
            begin = f"{GIT_TAG}{sha}{marks}--"
            is_first = page[0].id.startswith(begin) and page[-1].id.startswith(begin)
            found = self._newest_first(repository, begin, page if is_first else self._page(repository, begin))
            yield from (run for run in found if run.marks == marks)

        return RunsAt(of_marks)

    def _newest_first(self, repository: str, begin: str, page: Sequence[Ref], until: int = _NEVER) -> Iterator[RunAt]:
        """The runs whose tags begin in some way, and that ended before a time.

        lakeFS lists the oldest ones first. So where there is more than a page, the time behind that page is halved, and
        the later half is told before the earlier one. Each listing halves the time in which the newest run can be, or
        reads a page, or both. Older runs are asked for only when somebody looks for them, too.

        Args:
            repository: Where.
            begin: How their tags begin, up to the time.
            page: The first page of them.
            until: The time, in milliseconds since 1970.
        """
        runs = _runs_in(page)
        if len(page) == PAGE:
            newest = max((run.milliseconds for run in runs), default=0)
            middle = (newest + min(until, int(time.time() * 1000))) // 2
            for after, end in ((max(page[-1].id, f"{begin}{middle:013}"), until), (page[-1].id, middle)):
                more = [tag for tag in self._page(repository, begin, after) if tag.id < f"{begin}{end:013}"]
                yield from self._newest_first(repository, begin, more, end)
        yield from reversed(runs)

    def _page(self, repository: str, prefix: str, after: str = "") -> list[Ref]:
        return list(itertools.islice(self._api.tags(repository, prefix, after), PAGE))

    def _remembered(self) -> dict[tuple[str, str], str]:
        """Commits by repository and run id."""
        return self._session.connection(("lakefs runs", self._api.host), dict[tuple[str, str], str])


def _is_or_contains(path: str, other: str) -> bool:
    return path == other or other.startswith(f"{path}/")


def _runs_in(page: Iterable[Ref]) -> list[RunAt]:
    return [run for tag in page if (run := RunAt.of(tag))]


def _sha_in(tag: Ref) -> str:
    """The SHA in a tag that is perhaps one by which a run is found by git commit."""
    return re.split("[^0-9a-f]", tag.id.removeprefix(GIT_TAG), maxsplit=1)[0]


def _around(sha: str) -> tuple[str, str]:
    """Two names between which the tags of all runs at a git commit are, in the order of names."""
    return f"{GIT_TAG}{sha}-", f"{GIT_TAG}{sha}."
