"""Which data branch a project is on: what git says, the settings, and what a run has pinned."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kedro_statisfactory.errors import NoDataBranch
from kedro_statisfactory.project.branches import data_branch
from kedro_statisfactory.project.git import Head, read_head
from kedro_statisfactory.project.root import nearest_project
from kedro_statisfactory.project.settings import Settings

#: Variable that pins all entries which are not pinned themselves.
AT = "STATISFACTORY_AT"
#: Variable that makes several processes one run.
RUN_ID = "STATISFACTORY_RUN_ID"


@dataclass(frozen=True)
class Pin:
    """Where an entry works in one repository while a run goes on.

    Attributes:
        read: Ref at which it is read; a commit for what the run does not write.
        write: Branch to which it is written; ``None``: the run did not announce that it writes there.
        paths: Commits at which single objects are read, by path, where these are others; ``None``: there are none.
    """

    read: str
    write: str | None = None
    paths: Mapping[str, str] | None = None

    def at(self, path: str) -> str:
        """The ref at which an object is read."""
        return (self.paths or {}).get(path, self.read)


def _project_here() -> Path:
    """The root of the project in which this process works; the working directory where that is in none."""
    return nearest_project(Path.cwd()) or Path.cwd()


@dataclass(frozen=True)
class Project:
    """A Kedro project as far as its data branches depend on it; plain values that travel to other processes.

    Attributes:
        path: Root folder; absent: that of the nearest Kedro project at or above the working directory, else that.
        settings: Of the environment that runs.
        head: What git said when the run began; ``None``: git is asked each time.
        pins: What a run has pinned, by server and repository.
        refs: Commits at which a run reads refs that single entries name, by server, repository and ref.
        names: Names that git knows, and data branches made of them; ``None``: lakeFS is asked.
        journal: File in which the processes of a run note what they have written; ``None``: nobody asks.
        reads: File in which they note what they have read of the run's inputs; ``None``: nobody asks.
        saves: File in which they note what they have saved outside of lakeFS; ``None``: nobody asks.
        entry: Name of the entry of which that is noted.
    """

    path: Path = field(default_factory=_project_here)
    settings: Settings = field(default_factory=Settings)
    head: Head | None = None
    pins: Mapping[tuple[str, str], Pin] = field(default_factory=dict)
    refs: Mapping[tuple[str, str, str], Pin] = field(default_factory=dict)
    names: frozenset[str] | None = None
    journal: Path | None = None
    reads: Path | None = None
    saves: Path | None = None
    entry: str = ""

    def read_head(self) -> Head:
        """What is checked out: as pinned, else as git says now."""
        return self.head or read_head(self.path)

    def branch(self) -> str:
        """The data branch.

        Raises:
            NoDataBranch: Neither git nor the settings name one.
        """
        head = self.read_head()
        if head.branch is not None:
            return data_branch(head.branch, self.settings.branches)
        if self.settings.branch is not None:
            return self.settings.branch
        raise NoDataBranch(
            f"no git branch names the data branch ({head.reason}): switch to a branch, or set `branch` in "
            "conf/<env>/statisfactory.yml."
        )

    @property
    def at(self) -> str | None:
        """What all entries are read at that are not pinned themselves; ``None``: the data branch."""
        return os.environ.get(AT) or self.settings.at

    @property
    def is_elsewhere(self) -> bool:
        """Whether a run goes on whose journal this process cannot write: on another host, or where it was removed."""
        return self.journal is not None and not os.access(self.journal, os.W_OK)

    def note_written(self, host: str, repository: str, path: str, checksum: str) -> None:
        """Note in the journal that an object was written."""
        _append(self.journal, [host, repository, path, checksum])

    def written(self) -> dict[tuple[str, str], dict[str, str]]:
        """Checksums by path, by server and repository, of all that the journal tells."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        for line in self.journal.read_text().splitlines() if self.journal else ():
            host, repository, path, checksum = json.loads(line)
            found.setdefault((host, repository), {})[path] = checksum
        return found

    def note_read(self, path: str, fingerprint: Mapping[str, str]) -> None:
        """Note what an object of an input was when it was read."""
        _append(self.reads, [self.entry, path, fingerprint])

    def read(self) -> dict[str, dict[str, list[dict[str, str]]]]:
        """What the objects of each input were, by name and path; more than one where an object changed meanwhile."""
        found: dict[str, dict[str, list[dict[str, str]]]] = {}
        for line in self.reads.read_text().splitlines() if self.reads else ():
            entry, path, fingerprint = json.loads(line)
            of_path = found.setdefault(entry, {}).setdefault(path, [])
            if fingerprint not in of_path:
                of_path.append(fingerprint)
        return found

    def note_saved(self, held: Mapping[str, Mapping[str, str]] | None) -> None:
        """Note what an entry holds that was just saved."""
        _append(self.saves, [self.entry, held])

    def saved(self) -> dict[str, dict[str, dict[str, str]] | None]:
        """What the entries hold that were saved outside of lakeFS, by name, as they were noted last."""
        return dict(json.loads(line) for line in (self.saves.read_text().splitlines() if self.saves else ()))


def _append(journal: Path | None, note: Sequence[object]) -> None:
    """Add a line to a journal, if there is one; the processes of a run append side by side."""
    if journal is None:
        return
    # On another host there is none, and a run that was ended meanwhile has taken it away.
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, json.dumps(note).encode() + b"\n")  # one call, so that lines do not mix
        finally:
            os.close(descriptor)


_announced: Callable[[], Project] | None = None


def announce(read: Callable[[], Project] | None) -> None:
    """Say how the project of this process is found, for entries that nobody told which project they belong to.

    Args:
        read: Called when an entry asks; ``None`` takes back what was said.
    """
    global _announced
    _announced = read


def announced_project() -> Project | None:
    """The project that was announced in this process."""
    return _announced() if _announced else None


def current_project() -> Project:
    """The project that was announced in this process, else that around the working directory, with default settings."""
    return announced_project() or Project()
