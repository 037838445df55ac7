"""Whether work belongs to a git branch, or to another one that had its name."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from kedro_statisfactory.errors import DubiousOwnership, GitError, GitNotFound
from kedro_statisfactory.project.git import repository_of

_ENTRY = re.compile(r"(\w+) .*@\{(\d+)\} (.*)")
_CREATED = "branch: Created from "
_NO_NAME = re.compile(r"(refs/heads/|refs/remotes/[^/]+/|origin/)?")


def is_of_another_branch(
    project: Path, branch: str, commit: str, made: Sequence[tuple[str, int]], by_ci: Collection[str] = ()
) -> bool | None:
    """Whether something was made on another branch of the same name: one that was deleted, or somebody else's.

    What this clone remembers of a branch tells: a branch that was made here from other code has the commits since, also
    those that a rebase or an amendment took away. Where the branch was made from a remote one or follows one, and where
    a remote has one of its name, it is taken for the same.

    Args:
        project: Root folder of the project.
        branch: The git branch that is checked out.
        commit: Its SHA.
        made: SHA and time, in seconds since 1970, of what was made.
        by_ci: Those of the SHAs at which a CI service made it: a clone need not have these.

    Returns:
        ``None``: git does not tell, as in CI, in shallow clones and where it has forgotten what became of the branch.
    """
    try:
        if not made or (opened := repository_of(project)) is None:
            return False
        return _is_of_another(*opened, branch, commit, made, by_ci)
    except (GitError, GitNotFound, DubiousOwnership):
        return None


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


def _has_gaps(top: Path, git: Callable[..., bytes], ref: str, commit: str) -> bool:
    """Whether git has thrown away some entries of a reflog, as it does with those that are old, and not all."""
    path = top / git("rev-parse", "--git-path", f"logs/{ref}").decode("utf-8", "surrogateescape").strip()
    told = path.read_bytes() if path.exists() else b""  # it may be kept in another form
    moves = [line.split(b" ", 2)[:2] for line in told.splitlines()]
    moves.append([commit.encode()])
    return any(before[-1] != after[0] for before, after in itertools.pairwise(moves))


def _is_of_another(
    top: Path,
    git: Callable[..., bytes],
    branch: str,
    commit: str,
    made: Sequence[tuple[str, int]],
    by_ci: Collection[str],
) -> bool | None:
    def lines(*arguments: str) -> list[str]:
        return git(*arguments, allowed=(0, 1, 128)).decode("utf-8", "replace").splitlines()

    entries = _reflog(git, ref := f"refs/heads/{branch}")
    is_whole = bool(entries) and entries[-1][3].startswith(_CREATED) and not _has_gaps(top, git, ref, commit)
    is_fetched = is_whole and entries[-1][3].endswith((f"/{branch}", "_HEAD"))
    follows = lines("config", "--get", f"branch.{branch}.remote") not in ([], ["."])
    if is_fetched or follows or lines("for-each-ref", f"refs/remotes/*/{branch}"):
        return False
    if by_ci:
        known = set(lines("rev-list", "--no-walk", "--ignore-missing", *by_ci, "--"))
        made = [each for each in made if each[0] in known or each[0] not in by_ci]
    own = set(lines("rev-list", commit, "--"))
    if not is_whole or not made:
        return False if any(sha in own for sha, _ in made) else None
    first, since = entries[-1][1], int(entries[-1][2])
    before = set(lines("rev-list", first, "--"))
    own |= {entry[1] for entry in entries}
    return (
        not any(sha in own and (sha not in before or time >= since) for sha, time in made) and made[0][0] not in before
    )
