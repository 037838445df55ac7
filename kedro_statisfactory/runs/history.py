"""Which runs there are: newest first on a data branch, or one by what a user calls it."""

from __future__ import annotations

import contextlib
import difflib
import heapq
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.model import RUN_TOKEN, Commit, Ref
from kedro_statisfactory.backends.lakefs.requests import PAGE
from kedro_statisfactory.errors import BranchNotFound, RefNotFound
from kedro_statisfactory.project.branches import (
    GIT_TAG,
    HASHED_RUN_TAG,
    RUN_TAG,
    beginnings_of_tags,
    data_branch,
    run_tag,
    token_of,
)
from kedro_statisfactory.runs.past import PastRun, Place, Share, mapping_in
from kedro_statisfactory.runs.target import REVERTS

_NEWEST = re.compile(r"@(?:~(\d{1,6}))?")
_SHORT_HEX = re.compile(r"[0-9a-f]{1,16}")  # lakeFS would take it for the beginning of a commit's id
_MARK = re.compile(r"[0-9a-f]{8}")  # behind the id of a run, where another one has that
_MOST_TOLD = 5  # ids that an error names
#: Commits among which the runs that wrote an entry are looked for, where no time bounds that.
MOST_COMMITS = 2000
_MOST_NEAR = 100  # newest runs among which a misspelt one is looked for
_BEHIND_GIT_TAGS = f"{GIT_TAG[:-1]}."  # comes after all of them in the order of names


@dataclass(frozen=True)
class Wanted:
    """Which runs are asked for.

    Attributes:
        branch: A git branch; ``None``: the one that is checked out.
        since: Time, in seconds since 1970, before which nothing is looked at.
        entry: Name of an entry that they wrote; ``None``: any.
    """

    branch: str | None = None
    since: float | None = None
    entry: str | None = None


@dataclass(frozen=True)
class State:
    """What was there at some point.

    Attributes:
        name: As a user called it.
        commits: By place.
        run: Which left it; ``None``: no run is known.
    """

    name: str
    commits: tuple[tuple[Place, str], ...]
    run: PastRun | None


class History:
    """The runs in some repositories.

    Args:
        places: The repositories of a catalog; at least one.

    Attributes:
        is_cut: Whether a search has ended before it came to the first commit of a branch.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = list(places)
        self.project = self.places[0][0].project
        self.is_cut = False

    @property
    def _branch(self) -> str:
        """What is checked out, in the words of git; where that is no branch, the data branch of the settings."""
        return self.project.read_head().branch or self.project.branch()

    # -- newest first ------------------------------------------------------------------------------------------------

    def newest(self, amount: int, wanted: Wanted | None = None) -> list[PastRun]:
        """The newest runs on a data branch, in all repositories; those that were taken back are told as such.

        Args:
            amount: How many at most.
            wanted: Which; absent: all on the branch that is checked out.

        Raises:
            RefNotFound: There is no data branch of this name.
        """
        wanted = wanted or Wanted()
        page = min(PAGE, max(20, 2 * amount))
        streams = [self._on_branch(place, ref, wanted, page) for place, ref in self._refs(wanted.branch)]
        found: list[PastRun] = []
        last: dict[tuple[str, str], int] = {}  # where in the list a run was last
        for share, taken_back in heapq.merge(*streams, key=lambda each: -each[0].commit.created):
            run_id = share.metadata["kedro_run_id"]
            number = last.get(share.identity)
            # Of two commits with one id in one repository each is a run of its own.
            if number is not None and share.repository not in found[number].in_repositories:
                found[number] = replace(found[number], shares=(*found[number].shares, share))
            elif len(found) == amount:
                break
            else:
                last[share.identity] = len(found)
                found.append(PastRun(run_id, (share,), taken_back))
                if len(found) == amount and len(streams) == 1:  # no other repository has more of it
                    break
        return _told_apart([self._completed(run) for run in found])

    def all_since(self, wanted: Wanted) -> Iterator[PastRun]:
        """What each run left in one repository on a data branch, for all that are wanted."""
        for place, ref in self._refs(wanted.branch):
            for share, taken_back in self._on_branch(place, ref, wanted, PAGE):
                yield PastRun(share.metadata["kedro_run_id"], (share,), taken_back)

    def _refs(self, branch: str | None) -> list[tuple[Place, str]]:
        """Where the log of a branch begins, in the repositories that have it."""
        found: list[tuple[Place, str]] = []
        why = None
        for place in self.places:
            try:
                found.append((place, self.ref_of(place, branch)))
            except RefNotFound as error:
                why = why or error
        if why and not found:
            raise why
        return found

    def ref_of(self, place: Place, branch: str | None = None) -> str:
        """The data branch of a git branch, or where that would be made from.

        Args:
            place: The repository.
            branch: The git branch; ``None``: the one that is checked out.

        Raises:
            RefNotFound: A branch was named, and has no data.
        """
        backend, repository = place
        name = self.project.branch() if branch is None else data_branch(branch, self.project.settings.branches)
        try:
            return backend.api.branch(repository, name).commit_id
        except BranchNotFound:
            if branch is None:
                return backend.refs.source(repository)
            raise RefNotFound(
                f"the git branch {branch!r} has no data branch in {repository!r}: no run was made there."
            ) from None

    def _on_branch(self, place: Place, ref: str, wanted: Wanted, page: int) -> Iterator[tuple[Share, bool]]:
        """What runs left on a branch, newest first, and whether it was taken back since."""
        reverted: set[str] = set()
        for number, commit in enumerate(self._log(place, ref, page)):
            if wanted.since is not None and commit.created < wanted.since:
                return
            if wanted.since is None and wanted.entry is not None and number == MOST_COMMITS:
                self.is_cut = True
                return
            reverted.add(commit.metadata.get(REVERTS, ""))
            if is_run(commit):
                share = self._share(place, commit)
                if wanted.entry is None or wanted.entry in mapping_in(share.metadata, "kedro_outputs"):
                    yield share, commit.id in reverted

    @staticmethod
    def _log(place: Place, ref: str, page: int) -> Iterator[Commit]:
        """The commits of a branch; after a first page, which does as a rule, by large ones."""
        api, repository = place[0].api, place[1]
        last = None
        for last in itertools.islice(api.log(repository, ref, amount=page), page):
            yield last
        if last is not None and last.parents:
            yield from api.log(repository, last.parents[0], amount=PAGE)

    def _share(self, place: Place, commit: Commit) -> Share:
        return Share(place, commit, records.metadata_of(place[0].api, place[1], commit))

    def _completed(self, run: PastRun) -> PastRun:
        """A run with what it left in other repositories, where the log has not come to that."""
        missing = run.repositories - run.in_repositories
        first = run.shares[0]
        ids = (run.id, *([f"{run.id}-{first.token}"] if first.token else ()))
        more = [share for place in self.places if place[1] in missing for share in self._shares_of(place, ids)]
        return replace(run, shares=(*run.shares, *(share for share in more if share.identity == first.identity)))

    # -- by what a user calls it -------------------------------------------------------------------------------------

    def run(self, word: str) -> PastRun:
        """The run that a user means.

        Args:
            word: Its id or an unambiguous beginning of that, ``@`` for the newest one on the data branch, ``@~1`` for
                the one before it, a tag, a git SHA or anything else that git or lakeFS know.

        Raises:
            RefNotFound: There is none, or there are several.
        """
        state = self.state(word)
        if state.run is None:
            raise RefNotFound(f"no run was made up to {word!r}.")
        return state.run

    def state(self, word: str | None) -> State:
        """What was there at what a user means, which may be more than what a run left.

        Args:
            word: As for :meth:`run`; ``None``: what is on the data branch of the git branch that is checked out.

        Raises:
            RefNotFound: It means nothing, or several things.
        """
        if word is None:
            refs = [(place, place[0].api.commit(place[1], ref).id) for place, ref in self._refs(None)]
            return self._state(self._branch, refs)
        if not word:
            raise RefNotFound("a run has no empty id: write one, or @ for the newest run.")
        if newest := _NEWEST.fullmatch(word):
            return _state_of(word, self._counted(int(newest[1] or 0)))
        if shares := self._of_one(word):
            return _state_of(word, PastRun(word, shares))
        if not _SHORT_HEX.fullmatch(word) and (state := self._at_ref(word)):
            return state
        if run := self._that_begins(word):
            return _state_of(word, run)
        if _SHORT_HEX.fullmatch(word) and (state := self._at_ref(word)):
            return state
        return _state_of(word, self._among_newest(word))

    def _counted(self, number: int) -> PastRun:
        """The newest run, or one so many before it; what was taken back does not count."""
        amount = number + 1
        while True:
            runs = self.newest(amount)
            there = [run for run in runs if not run.taken_back]
            if len(there) > number:
                return there[number]
            if len(runs) < amount:
                break
            amount = number + 1 + len(runs) - len(there)
        if not there:
            raise RefNotFound(f"there is no run on {self._branch!r} yet: `kedro run` makes one.")
        raise RefNotFound(f"there are {len(there)} runs on {self._branch!r} only: @~{len(there) - 1} is the first one.")

    def _of_one(self, run_id: str) -> tuple[Share, ...]:
        """What the run left that is found by an id; of several, which may be in several repositories, the first one."""
        plain, _, mark = run_id.rpartition("-")
        shares = [share for place in self.places for share in self._shares_of(place, [run_id])]
        if not shares and _MARK.fullmatch(mark):
            shares = [each for place in self.places for each in self._shares_of(place, [plain]) if each.token == mark]
        first = min(shares, key=_landed, default=None)
        return tuple(share for share in shares if first and share.identity == first.identity)

    def _shares_of(self, place: Place, ids: Sequence[str]) -> Iterator[Share]:
        """What runs left in a repository that are found by some ids; those that only read there left nothing."""
        for run_id in ids:
            with contextlib.suppress(RefNotFound):
                commit = place[0].api.commit(place[1], run_tag(run_id))
                if commit.metadata.get("kedro_run_id") == ids[0]:
                    yield self._share(place, commit)

    def _that_begins(self, word: str) -> PastRun | None:
        """The run whose id begins in some way; ``None``: there is none.

        Raises:
            RefNotFound: There are several.
        """
        found: dict[str, list[Share]] = {}
        for place in self.places:
            plain, hashed = beginnings_of_tags(word)
            tags = list(itertools.islice(self._tags(place, plain), _MOST_TOLD + 1))
            tags = tags or list(itertools.islice(place[0].api.tags(place[1], hashed, amount=PAGE), PAGE))
            for tag in tags:
                if tag.id.startswith(HASHED_RUN_TAG):
                    commit = place[0].api.commit(place[1], tag.commit_id)
                    run_id = commit.metadata.get("kedro_run_id", "")
                    if run_id.startswith(word) and is_run(commit):
                        found.setdefault(run_id, []).append(self._share(place, commit))
                else:
                    found.setdefault(tag.id.removeprefix(RUN_TAG), [])
        if len(found) > 1:
            ids = sorted(found)
            more = " and more" if len(ids) > _MOST_TOLD else ""
            told = ", ".join(ids[:_MOST_TOLD])
            raise RefNotFound(f"several runs have ids that begin with {word!r}: {told}{more}. Write more of the one.")
        for run_id, shares in found.items():
            of_one = tuple(shares) or self._of_one(run_id)
            return PastRun(run_id, of_one) if of_one else None
        return None

    def _tags(self, place: Place, prefix: str) -> Iterator[Ref]:
        """The tags of runs that begin in some way, without those by git commit, of which there may be many."""
        backend, repository = place
        after = ""
        if GIT_TAG.startswith(prefix):
            for tag in backend.api.tags(repository, prefix, amount=_MOST_TOLD + 1):
                if tag.id.startswith(GIT_TAG):
                    break
                yield tag
            after = _BEHIND_GIT_TAGS
        elif prefix.startswith(GIT_TAG):
            return
        yield from backend.api.tags(repository, prefix, after, amount=_MOST_TOLD + 1)

    def _at_ref(self, word: str) -> State | None:
        """What is at a ref of lakeFS or git; ``None``: there is no such ref."""
        found: list[tuple[Place, str]] = []
        for place in self.places:
            with contextlib.suppress(RefNotFound):
                found.append((place, place[0].refs.resolved(place[1], word).read))
        return self._state(word, found) if found else None

    def _state(self, name: str, commits: Sequence[tuple[Place, str]]) -> State:
        """What is at some commits, with the newest run up to them."""
        shares = [share for place, commit in commits if (share := self.last_at(place, commit))]
        run = None
        if shares:
            identity = max(shares, key=_landed).identity
            run = PastRun(identity[0], tuple(share for share in shares if share.identity == identity))
        return State(name, tuple(commits), run)

    def last_at(self, place: Place, commit: str) -> Share | None:
        """What the last run left that is at a commit, or before it on its branch."""
        log = place[0].api.log(place[1], commit, amount=20)
        found = next(filter(is_run, log), None)
        return self._share(place, found) if found else None

    def _among_newest(self, word: str) -> PastRun:
        """The run of an id on the data branch, whose tag was pruned, or refused by a hook.

        Raises:
            RefNotFound: There is none; the text names the run which was perhaps meant.
        """
        near = {run.id: run for run in self.newest(_MOST_NEAR)}
        if word in near:
            return near[word]
        if not near:
            raise RefNotFound(f"there is no run {word!r}, nor any other on {self._branch!r}: `kedro run` makes one.")
        closest = difflib.get_close_matches(word, near, 1, cutoff=0.0)[0]
        raise RefNotFound(
            f"there is no run, tag, branch or git commit {word!r}. The nearest run is {closest}; "
            "`kedro statisfactory runs` lists them."
        )


def _told_apart(runs: Sequence[PastRun]) -> list[PastRun]:
    """Runs with the ids by which they are found: of several with one id all but the first have a mark behind it."""
    ids: set[str] = set()
    told: list[PastRun] = []
    for run in reversed(runs):
        mark = token_of(run.facts.get(RUN_TOKEN, "")) if run.id in ids else ""
        ids.add(run.id)
        told.append(replace(run, id=f"{run.id}-{mark}") if mark else run)
    return told[::-1]


def _landed(share: Share) -> tuple[int, str]:
    """When a run has landed; lakeFS counts whole seconds."""
    return share.commit.created, share.metadata.get("kedro_finished", "")


def _state_of(word: str, run: PastRun) -> State:
    return State(word, tuple((share.place, share.commit.id) for share in run.shares), run)


def is_run(commit: Commit) -> bool:
    """Whether a commit is the record of a run that a person may ask for."""
    return records.tells_of_run(commit) and "kedro_run_id" in commit.metadata
