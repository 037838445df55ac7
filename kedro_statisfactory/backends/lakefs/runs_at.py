"""The runs that were made at a git commit, as the names of their tags tell them."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kedro_statisfactory.backends.lakefs.model import Ref
from kedro_statisfactory.project.branches import GIT_TAG

#: Comes after all such tags in the order of names.
BEHIND_ALL = f"{GIT_TAG[:-1]}."
# What the names of tags say of runs that have written: those of the committed code, and those of another one.
CLEAN, DIRTY = ("", "-at"), ("-dirty", "-dirty-at")
# In which order runs answer for a git commit.
_BY_RANK = ("", "-dirty", "-read", "-dirty-read", "-at", "-dirty-at")
_TAG = re.compile(
    rf"{GIT_TAG}(?P<sha>[0-9a-f]+)(?P<marks>(?:-[a-z]+)*)"
    r"--(?P<time>[0-9]{13})(?P<behind>(?:-[a-z]+)*)--(?P<run_id>.+)"  # the marks of older tags stand behind the time
)


@dataclass(frozen=True)
class RunAt:
    """A run that was made at a git commit, as the name of its tag tells it.

    Attributes:
        run_id: Of the run.
        commit: Id of the commit in lakeFS.
        sha: Of the git commit.
        time: Milliseconds since 1970 when it ended, in 13 digits.
        marks: Of its state.
    """

    run_id: str
    commit: str
    sha: str
    time: str
    marks: str = ""

    @classmethod
    def of(cls, tag: Ref) -> RunAt | None:
        """Read it from a tag; ``None`` where the tag is not one by which a run is found by git commit."""
        told = _TAG.fullmatch(tag.id)
        if told is None or (marks := told["marks"] + told["behind"]) not in _BY_RANK:
            return None
        return cls(told["run_id"], tag.commit_id, told["sha"], told["time"], marks)

    @property
    def milliseconds(self) -> int:
        """The time as a number."""
        return int(self.time)

    @property
    def is_dirty(self) -> bool:
        """Whether the code had changes that no git commit has."""
        return "-dirty" in self.marks

    @property
    def only_read(self) -> bool:
        """Whether the run wrote to other repositories alone."""
        return "-read" in self.marks


class RunsAt:
    """The runs at a git commit, those first that answer for it.

    Args:
        of_marks: Gives those whose tags have some marks, newest first.
    """

    def __init__(self, of_marks: Callable[[str], Iterator[RunAt]]) -> None:
        self._of_marks = of_marks
        self._told: dict[str, tuple[Iterator[RunAt], list[RunAt]]] = {}

    @classmethod
    def of(cls, runs: Iterable[RunAt]) -> RunsAt:
        """Those that are known already."""
        newest_first = sorted(runs, key=lambda run: run.time, reverse=True)
        return cls(lambda marks: (run for run in newest_first if run.marks == marks))

    def __iter__(self) -> Iterator[RunAt]:
        """All of them: those of the committed code go first, and those that read elsewhere come last."""
        for marks in _BY_RANK:
            yield from self._of(marks)

    def newest(self, *marks: str) -> Iterator[RunAt]:
        """Those with one of some marks, newest first."""
        return heapq.merge(*map(self._of, marks), key=lambda run: run.time, reverse=True)

    def writers(self) -> Iterator[RunAt]:
        """Those that have written, newest first: of the committed code, and then of another one."""
        yield from self.newest(*CLEAN)
        yield from self.newest(*DIRTY)

    def _of(self, marks: str) -> Iterator[RunAt]:
        """The runs with some marks, of which each is asked for once."""
        rest, told = self._told.setdefault(marks, (self._of_marks(marks), []))
        number = 0
        while True:
            if number == len(told):
                if (run := next(rest, None)) is None:
                    return
                told.append(run)
            yield told[number]
            number += 1
