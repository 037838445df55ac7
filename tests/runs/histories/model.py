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
    """What one run has made, and what was there with it; ``branch`` is of git."""

    wrote: frozenset[str]
    state: State
    branch: str


@dataclass
class Model:
    """What should be where."""

    data: dict[str, State] = field(default_factory=lambda: {"main": {"total": frozenset({0})}})  # by git branch
    runs: dict[str, State] = field(default_factory=dict)  # by run id
    made: dict[str, list[Made]] = field(default_factory=dict)  # by git commit, oldest first
    last: dict[str, str] = field(default_factory=dict)  # git commits of the newest runs, by git branch
    bare: list[str] = field(default_factory=list)  # git commits at which nothing was run

    def land(self, run_id: str, branch: str, sha: str, wrote: State, lost: frozenset[str] = frozenset()) -> None:
        """Note that a run is on its data branch.

        Args:
            run_id: Of the run.
            branch: Of git.
            sha: Of the git commit.
            wrote: What the run wrote.
            lost: Entries of it that were to lose against what others wrote.
        """
        kept = {name: numbers for name, numbers in wrote.items() if name not in lost}
        state = {**self.data[branch], **kept}
        self.data[branch] = self.runs[run_id] = state
        self.made.setdefault(sha, []).append(Made(frozenset(kept), state, branch))
        self.last[branch] = sha
        self.bare = [each for each in self.bare if each != sha]

    def at(self, branch: str, commits: list[str]) -> State:
        """What is read on a git branch with some git commits, newest first: data follows code."""
        if branch in self.data:
            return self.data[branch]
        near = next((self.made[sha][-1] for sha in commits if sha in self.made), None)
        if near is None:
            return self.data["main"]
        return self.data[near.branch] if self.last.get(near.branch) in commits else near.state

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
