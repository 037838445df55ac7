"""What a project may set in ``conf/<env>/statisfactory.yml``, with defaults that work without the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from kedro_statisfactory.errors import InvalidSettings
from kedro_statisfactory.project.branches import check_explicit, data_branch, is_data_branch
from kedro_statisfactory.project.sizes import parse_size

_CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "mode": ("isolated", "direct", "off"),
    "merge": (None, "source-wins", "dest-wins"),
    "inputs": ("warn", "conflict"),
    "versions": ("ignore", "minor", "exact"),
}
_CACHE_SIZE = "20 GiB"
_TEXTS = ("at", "branch", "source", "gateway")


@dataclass(frozen=True)
class Settings:
    """The settings of a project.

    Attributes:
        mode: How a run writes to lakeFS. ``isolated``: on a hidden branch of its own, merged when the run succeeds.
            ``direct``: on the data branch, committed when the run succeeds. ``off``: on the data branch, and nothing
            is committed.
        branch: The data branch where git names none: without a repository, or on a detached HEAD.
        source: The branch, tag or commit from which new data branches are made; absent: the data of the newest run at
            the nearest ancestor of what is checked out, else the default branch of the repository.
        branches: Data branches by git branch, for those that the rules should not name.
        at: Run id, git SHA, tag, branch or commit at which all entries are read that are not pinned themselves. The
            variable ``STATISFACTORY_AT`` goes before it.
        merge: What to do when another run has changed the same entries: ``source-wins`` takes this run's,
            ``dest-wins`` the other's; absent: nothing is merged and the conflict is reported.
        inputs: What to do when another run has changed what this one has read: ``warn``, or ``conflict``, by which the
            run does not land.
        keep_failed: Whether the hidden branch of a failed run is kept for a look.
        grace_hours: Age from which hidden branches count as left behind by a run that was killed; 0: no run drops any.
        versions: How far the versions of the distributions that a node imports decide whether it is up to date:
            ``ignore``, ``minor`` (the first two numbers), or ``exact``.
        gateway: URL of the S3 gateway of lakeFS, by which engines read and write, where it has a host of its own;
            absent: the server's.
        cache: ``size``, the most that the copies of what was loaded and saved may take of the disk, as in ``20 GiB``;
            0: there are none.
    """

    mode: str = "isolated"
    branch: str | None = None
    source: str | None = None
    branches: Mapping[str, str] = field(default_factory=dict)
    at: str | None = None
    merge: str | None = None
    inputs: str = "warn"
    keep_failed: bool = False
    gateway: str | None = None
    versions: Literal["ignore", "minor", "exact"] = "minor"
    grace_hours: float = 24.0
    cache: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                listing = ", ".join(str(choice) for choice in choices if choice)
                raise InvalidSettings(f"{name!r} is {getattr(self, name)!r}: choose one of {listing}.")
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidSettings(f"{name!r} is {value!r}, no text: put a name there, between quotes.")
        if self.branch is not None and not is_data_branch(self.branch):
            of_git = ""
            if "/" in self.branch:
                of_git = f" The git branch of this name has the data branch {data_branch(self.branch)!r}."
            raise InvalidSettings(
                f"'branch' is {self.branch!r}, which lakeFS does not allow as the name of a branch, or which could be "
                f"taken for a commit id or a run: choose another.{of_git}"
            )
        if not isinstance(self.branches, Mapping):
            raise InvalidSettings("'branches' is no mapping of git branches to data branches.")
        check_explicit(self.branches)
        if self.gateway is not None and not re.match(r"https?://[^/@]+", self.gateway):
            raise InvalidSettings("'gateway' is no URL of a server: write it as in 'https://s3.lakefs.example.org'.")
        if not isinstance(self.keep_failed, bool):
            raise InvalidSettings(f"'keep_failed' is {self.keep_failed!r}: write true or false.")
        if (
            isinstance(self.grace_hours, bool)
            or not isinstance(self.grace_hours, int | float)
            or not self.grace_hours >= 0
        ):
            raise InvalidSettings(f"'grace_hours' is {self.grace_hours!r}: write a number of hours.")
        if self.cache is not None and (not isinstance(self.cache, Mapping) or self.cache.keys() - {"size"}):
            raise InvalidSettings(f"'cache' is {self.cache!r}: write it as in `cache: {{size: {_CACHE_SIZE}}}`.")
        _ = self.cache_size

    @property
    def cache_size(self) -> int:
        """The most bytes that the cache may take.

        Raises:
            InvalidSettings: What is written is no size.
        """
        size = (self.cache or {}).get("size", _CACHE_SIZE)
        found = parse_size(size)
        if found is None:
            raise InvalidSettings(f"'size' of 'cache' is {size!r}: write a number and a unit, as in '{_CACHE_SIZE}'.")
        return found


def parse_settings(content: Mapping[str, Any]) -> Settings:
    """Read the content of ``statisfactory.yml``.

    Raises:
        InvalidSettings: A key or value means nothing; the text names it and what was perhaps meant.
        InvalidGitBranch, InvalidDataBranch, BranchCollision: As for
            :func:`~kedro_statisfactory.project.branches.check_explicit`.

    >>> parse_settings({"mode": "direct"}).mode
    'direct'
    """
    known = [each.name for each in fields(Settings)]
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            raise InvalidSettings(f"statisfactory.yml has an unknown key {key!r}: {hint}")
    if content.get("mode") is False:  # what YAML takes a bare `off` for
        content = {**content, "mode": "off"}
    values = {key: value for key, value in content.items() if value is not None or key in (*_TEXTS, "merge")}
    try:
        return Settings(**values)
    except InvalidSettings as error:
        raise InvalidSettings(f"statisfactory.yml: {error.args[0]}") from None
