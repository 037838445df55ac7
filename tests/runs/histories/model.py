"""What should be where, told by what was done alone: the model knows nothing of how the package does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: The numbers that an entry is made of: one of a file, one of each file in a folder.
Numbers = frozenset[int]
#: What the entries hold; one that is not there is missing.
State = Mapping[str, Numbers]

NOTHING: Numbers = frozenset()


@dataclass(frozen=True)
class Made:
    """What one run has made, and what was there with it.

    Attributes:
        sha: Of the git commit.
        wrote: Entries.
        state: What was on the data branch then.
        branch: Of git.
        before: What was made before on that data branch, and where it was made from, oldest first.
    """

    sha: str
    wrote: frozenset[str]
    state: State
    branch: str
    before: tuple[Made, ...]


@dataclass
class Model:
    """What should be where."""

    data: dict[str, State] = field(default_factory=lambda: {"main": {"total": frozenset({0})}})  # by git branch
    runs: dict[str, State] = field(default_factory=dict)  # by run id
    made: dict[str, list[Made]] = field(default_factory=dict)  # by git commit, oldest first
    logs: dict[str, tuple[Made, ...]] = field(default_factory=lambda: {"main": ()})  # by git branch, oldest first
    parents: dict[str, str] = field(default_factory=dict)  # the git branches from which others were made
    bare: list[str] = field(default_factory=list)  # git commits at which nothing was run
    dropped: dict[str, list[Made]] = field(default_factory=dict)  # what was made on a branch that was reset since

    def land(
        self, run_id: str, branch: str, commits: list[str], wrote: State, lost: frozenset[str] = frozenset()
    ) -> None:
        """Note that a run is on its data branch.

        Args:
            run_id: Of the run.
            branch: Of git.
            commits: Of git, newest first.
            wrote: What the run wrote.
            lost: Entries of it that were to lose against what others wrote.
        """
        kept = {name: numbers for name, numbers in wrote.items() if name not in lost}
        before, log = self.at(branch, commits)
        self.data[branch] = self.runs[run_id] = {**before, **kept}
        self.note(branch, commits[0], frozenset(kept), log)
        self.made.setdefault(commits[0], []).append(self.logs[branch][-1])
        self.bare = [each for each in self.bare if each != commits[0]]

    def note(self, branch: str, sha: str, wrote: frozenset[str], log: tuple[Made, ...]) -> None:
        """Note that a commit on a data branch tells of a git commit."""
        self.logs[branch] = (*log, Made(sha, wrote, self.data[branch], branch, log))

    def at(self, branch: str, commits: list[str]) -> tuple[State, tuple[Made, ...]]:
        """What is read on a git branch with some git commits, newest first, and what was made there: data follows code.

        Where several have run at the nearest git commit, the branch from which this one was made goes first.
        """
        if branch in self.data:
            return self.data[branch], self.logs[branch]
        found, origin = self._origin(branch, commits, [])
        if origin == branch:  # what was reset does not come back
            found, _ = self._origin(branch, commits, self.dropped.get(branch, []))
        return found

    def reset(self, branch: str) -> None:
        """Note that a data branch is made anew by the next run."""
        self.dropped.setdefault(branch, []).extend(made for made in self.logs[branch] if made.branch == branch)
        del self.data[branch], self.logs[branch]

    def _origin(
        self, branch: str, commits: list[str], dropped: list[Made]
    ) -> tuple[tuple[State, tuple[Made, ...]], str | None]:
        """What a data branch is made from, without some runs, and the git branch where that was made."""
        at_each = (
            [made for made in self.made.get(sha, ()) if not any(made is each for each in dropped)] for sha in commits
        )
        runs = next(filter(None, at_each), [])
        if not runs:
            return (self.data["main"], self.logs["main"]), None
        if len(runs) > 1:
            for other in (self.parents.get(branch, "main"), "main"):
                if found := self._on(other, commits, runs[0].sha):
                    return found, other
        newest = runs[-1]
        return self._on(newest.branch, commits) or (newest.state, (*newest.before, newest)), newest.branch

    def _on(self, branch: str, commits: list[str], sha: str | None = None) -> tuple[State, tuple[Made, ...]] | None:
        """A data branch, unless newer code has run there; else what was made there at a git commit."""
        log = self.logs.get(branch, ())
        at = [made for made in log if made.sha == sha]
        if log and log[-1].sha in commits and (at or sha is None):
            return self.data[branch], log
        return (at[-1].state, (*at[-1].before, at[-1])) if at else None

    def at_commit(self, sha: str) -> State:
        """What is read at a git commit: each entry as the newest run there that wrote it left it."""
        runs = self.made[sha]
        found = dict(runs[-1].state)
        for run in runs:
            found |= {name: run.state[name] for name in run.wrote}
        return found


def overlaps(base: State, head: State, wrote: State) -> frozenset[str]:
    """The entries that a run wrote and that others have changed since its base, otherwise than the run did."""

    def differ(name: str, left: State, right: State) -> Numbers:
        return left.get(name, NOTHING) ^ right.get(name, NOTHING)

    return frozenset(name for name in wrote if differ(name, base, head) & differ(name, head, wrote))
