"""Where a project stands: its git branch, its data branches, and what waits there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK
from kedro_statisfactory.errors import BranchNotFound, StatisfactoryError
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head, read_worktree
from kedro_statisfactory.runs.history import History
from kedro_statisfactory.runs.leftovers import Leftover, leftovers
from kedro_statisfactory.runs.past import Place, Share

#: Uncommitted changes that are told one by one.
MOST = 20


@dataclass(frozen=True)
class Standing:
    """How it is in one repository.

    Attributes:
        repository: Its name.
        data_branch: That of the git branch which is checked out.
        source: The ref from which it is going to be made; empty: it is there.
        last: What the last run left on it; ``None``: there was none.
        uncommitted: Paths that have changed there outside of runs and that no commit has; at most ``MOST`` and one.
        waiting: Hidden branches of runs that have not ended.
    """

    repository: str
    data_branch: str
    source: str
    last: Share | None
    uncommitted: list[str]
    waiting: list[Leftover]


@dataclass(frozen=True)
class Checkout:
    """What git says of the project.

    Attributes:
        head: What is checked out.
        dirty: Whether there are uncommitted changes of the code; ``None``: git does not tell.
    """

    head: Head
    dirty: bool | None


def checkout(project: Project) -> Checkout:
    """What git says of the project."""
    head = project.read_head()
    try:
        worktree = read_worktree(project.path)
    except StatisfactoryError:  # without a git program
        worktree = None
    return Checkout(head, worktree.dirty if worktree else None)


def standing(places: Sequence[Place]) -> list[Standing]:
    """How it is in each repository.

    Raises:
        NoDataBranch: Neither git nor the settings name one.
    """
    history = History(places)
    branch = history.project.branch()
    return [_in(history, place, branch) for place in places]


def _in(history: History, place: Place, branch: str) -> Standing:
    backend, repository = place
    source, uncommitted = "", list[str]()
    try:
        ref = backend.api.branch(repository, branch).commit_id
        changed = (path for path in backend.api.uncommitted(repository, branch) if not path.startswith(FOLDER_MARK))
        uncommitted = list(itertools.islice(changed, MOST + 1))
    except BranchNotFound:
        ref = source = backend.refs.source(repository)
    waiting = list(leftovers(backend.api, repository))
    return Standing(repository, branch, source, history.last_at(place, ref), uncommitted, waiting)
