"""What a process has learnt of a server and need not ask again."""

from __future__ import annotations


class Known:
    """What a process has learnt of a server; each by repository."""

    def __init__(self) -> None:
        self.folders: set[tuple[str, str]] = set()  # first segments of paths that are not refs
        self.branches: set[tuple[str, str]] = set()  # data branches that are there
        self.looked: set[tuple[str, str]] = set()  # data branches of which it was asked whose they are
        self.named: set[tuple[str, str]] = set()  # what users named, and git was asked for as well
