"""What must hold for a run to work, looked at one by one."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.requests import NEEDED_VERSION
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import RUN_TAG, run_branch
from kedro_statisfactory.project.git import read_worktree
from kedro_statisfactory.runs.past import Place

#: Seconds that clocks may differ before signatures are refused, with some reserve.
MOST_SKEW = 300.0
_CA_FILES = ("SSL_CERT_FILE", "AWS_CA_BUNDLE")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        is_good: Whether it holds.
        told: What was found, or what is wrong and how it is mended.
    """

    what: str
    is_good: bool
    told: str


def tried(what: str, work: Callable[[], str]) -> Check:
    """A check that holds unless it raises an error of ours, whose text says what to do."""
    try:
        return Check(what, True, work())
    except StatisfactoryError as error:
        return Check(what, False, str(error))


def of_project(project: Project) -> Iterator[Check]:
    """Look at git, at the name of the data branch, and at files that variables name."""
    yield tried("git", lambda: _git(project))
    yield tried("data branch", project.branch)
    for name in _CA_FILES:
        if file := os.environ.get(name):
            is_there = Path(file).exists()
            yield Check("certificates", is_there, f"{name} names {file}" + ("" if is_there else ", which is not there"))
    proxies = [name for name in ("HTTP_PROXY", "HTTPS_PROXY") if os.environ.get(name) or os.environ.get(name.lower())]
    if proxies:
        yield Check("proxy", True, f"set by {', '.join(proxies)}")


def _git(project: Project) -> str:
    head, worktree = project.read_head(), read_worktree(project.path)
    return f"{head.branch or 'no branch'}, {'with' if worktree and worktree.dirty else 'no'} uncommitted changes"


def of_server(backend: LakeFSBackend) -> Iterator[Check]:
    """Look at a lakeFS server: whether it answers, its version, how bytes come, and its clock."""
    told: list[tuple[str, bool, str]] = []

    def ask() -> str:
        told.append(backend.api.server())
        version = told[0][0]
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < NEEDED_VERSION:
            raise StatisfactoryError(f"version {version} is too old: {'.'.join(map(str, NEEDED_VERSION))} is needed.")
        return f"{backend.api.host} answers, version {version}"

    yield tried("server", ask)
    for _, signs, at in told:
        way = "go straight to the object store (signed URLs)" if signs else "go through the server"
        yield Check("large objects", True, way)
        with contextlib.suppress(ValueError, TypeError):
            skew = abs((datetime.now(timezone.utc) - parsedate_to_datetime(at)).total_seconds())
            advice = "" if skew < MOST_SKEW else ": set the clock of this machine, signatures are refused"
            yield Check("clock", skew < MOST_SKEW, f"{skew:.0f} seconds from the server's{advice}")


def of_repository(place: Place) -> Iterator[Check]:
    """Look at a repository: whether these keys may read, write, commit and tag; leaves nothing there."""
    api, repository = place[0].api, place[1]
    default = tried(f"{repository}: read", lambda: f"its default branch is {api.default_branch(repository)}")
    yield default
    if not default.is_good:
        return
    word = secrets.token_hex(4)
    branch = f"{run_branch(f'doctor-{word}', time.strftime('%Y%m%dT%H%M%SZ', time.gmtime()))}-{word}"
    tag = f"{RUN_TAG}doctor-{word}"
    steps: dict[str, Callable[[], object]] = {
        "branch": lambda: api.create_branch(repository, branch, api.default_branch(repository), hidden=True),
        "write": lambda: api.upload(repository, branch, f"doctor-{word}", lambda: b"a test", 6),
        "commit": lambda: api.create_commit(repository, branch, "A test", {}),
        "tag": lambda: api.create_tag(repository, tag, branch),
    }
    try:
        for name, work in steps.items():
            check = tried(f"{repository}: {name}", functools.partial(_allowed, work))
            yield check
            if not check.is_good:
                return
    finally:
        with contextlib.suppress(StatisfactoryError):  # these keys may make tags, and not remove them
            api.delete_tag(repository, tag)
        with contextlib.suppress(StatisfactoryError):
            api.delete_branch(repository, branch)


def _allowed(work: Callable[[], object]) -> str:
    work()
    return "allowed"
