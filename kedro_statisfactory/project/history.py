"""Whether work belongs to a git branch, or to another one that had its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from kedro_statisfactory.errors import DubiousOwnership, GitError, GitNotFound
from kedro_statisfactory.project.git import repository_of

_ENTRY = re.compile(r"(\w+) .*@\{(\d+)\} (.*)")
_CREATED = "branch: Created from "
_NO_NAME = re.compile(r"(refs/heads/|refs/remotes/[^/]+/|origin/)?")


def is_of_another_branch(project: Path, branch: str, commit: str, made: Sequence[tuple[str, int]]) -> bool:
    """Whether something was made on another branch of the same name: one that was deleted, or somebody else's.

    What this clone remembers of a branch tells: a branch that was made here from other code has the commits since, also
    those that a rebase or an amendment took away. Where git does not tell, as in CI and in shallow clones, where the
    branch was made from a remote one, and where a remote has one of its name, it is taken for the same.

    Args:
        project: Root folder of the project.
        branch: The git branch that is checked out.
        commit: Its SHA.
        made: SHA and time, in seconds since 1970, of what was made.
    """
    try:
        if not made or (opened := repository_of(project)) is None:
            return False
        return _is_of_another(opened[1], branch, commit, made)
    except (GitError, GitNotFound, DubiousOwnership):
        return False


def made_from(project: Path, branch: str) -> str | None:
    """The git branch from which another one was made in this clone; ``None``: git does not tell.

    Args:
        project: Root folder of the project.
        branch: The one that was made.
    """
    try:
        if (opened := repository_of(project)) is None:
            return None
        entries = _reflog(opened[1], f"refs/heads/{branch}")
        if not entries or not entries[-1][3].startswith(_CREATED):
            return None
        source = entries[-1][3].removeprefix(_CREATED)
        if source == "HEAD":  # `git switch -c` says so, whatever was checked out
            moved = re.compile(rf"checkout: moving from (.+) to {re.escape(branch)}")
            since = [entry for entry in _reflog(opened[1], "HEAD") if entry[2] >= entries[-1][2]]
            found = [match[1] for entry in since if (match := moved.fullmatch(entry[3]))]
            source = found[-1] if found else ""
        return _NO_NAME.sub("", source, count=1) or None
    except (GitError, GitNotFound, DubiousOwnership):
        return None


def _reflog(git: Callable[..., bytes], ref: str) -> list[re.Match[str]]:
    """The entries of a reflog, newest first: SHA, time, and what was done."""
    told = git("reflog", "show", "--date=unix", "--format=%H %gd %gs", ref, "--", allowed=(0, 128))
    return [entry for line in told.decode("utf-8", "replace").splitlines() if (entry := _ENTRY.fullmatch(line))]


def _is_of_another(git: Callable[..., bytes], branch: str, commit: str, made: Sequence[tuple[str, int]]) -> bool:
    def lines(*arguments: str) -> list[str]:
        return git(*arguments, allowed=(0, 128)).decode("utf-8", "replace").splitlines()

    entries = _reflog(git, f"refs/heads/{branch}")
    if not entries or not entries[-1][3].startswith(_CREATED):
        return False
    first, since, source = entries[-1][1], int(entries[-1][2]), entries[-1][3]
    is_fetched = source.endswith((f"/{branch}", "_HEAD"))
    if is_fetched or lines("for-each-ref", f"refs/remotes/*/{branch}"):
        return False
    before = set(lines("rev-list", first, "--"))
    own = {entry[1] for entry in entries} | set(lines("rev-list", commit, "--"))
    return (
        not any(sha in own and (sha not in before or time >= since) for sha, time in made) and made[0][0] not in before
    )
