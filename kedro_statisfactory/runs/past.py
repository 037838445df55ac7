"""A run of the past, as its commits tell it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.model import DATA_BRANCH, RUN_TOKEN, Commit
from kedro_statisfactory.project.branches import token_of
from kedro_statisfactory.runs.target import ALL_SHAS, KEPT, REPOSITORIES, SAVED

#: A repository, and the backend of an entry that is in it.
Place = tuple[LakeFSBackend, str]

# Keys of links that lakeFS's web page shows.
_LINK_BEGINS, _LINK_ENDS = "::lakefs::", "::url[url:ui]"


@dataclass(frozen=True)
class Output:
    """What a run wrote.

    Attributes:
        entry: Name of the catalog entry.
        repository: Where.
        path: Where in the repository; of an object, or of a folder of them.
        checksum: Of the object, or a digest over those of a folder; empty: not known.
        objects: How many objects the folder has; ``None``: it is an object.
        size: In bytes; ``None``: nobody asked.
    """

    entry: str
    repository: str
    path: str
    checksum: str = ""
    objects: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Share:
    """What a run left in one repository: a commit, and all that this says.

    Attributes:
        place: The repository.
        commit: By which the run is on its data branch.
        metadata: Of the commit, whole.
    """

    place: Place
    commit: Commit
    metadata: Mapping[str, str]

    @property
    def repository(self) -> str:
        """Name of the repository."""
        return self.place[1]

    @property
    def token(self) -> str:
        """By which the run is told from others of its id; empty: there is none."""
        return token_of(self.metadata.get(RUN_TOKEN, ""))

    @property
    def identity(self) -> tuple[str, str]:
        """The same for all that one run has left; a run of several processes is known by its id alone."""
        is_joined = RUN_TOKEN in self.metadata and not self.token
        told = "" if is_joined else self.token or self.metadata.get("kedro_started", "")
        return self.metadata.get("kedro_run_id", ""), told

    @property
    def data_branch(self) -> str:
        """For which the run was made."""
        return self.metadata.get(DATA_BRANCH, "")

    @property
    def outputs(self) -> list[Output]:
        """What the run wrote there, by the names of entries."""
        return [
            Output(
                name,
                self.repository,
                str(each.get("path", "")),
                str(each.get("checksum", "")),
                int(each["objects"]) if "objects" in each else None,
            )
            for name, each in sorted(mapping_in(self.metadata, "kedro_outputs").items())
        ]


@dataclass(frozen=True)
class PastRun:
    """A run that has landed.

    Attributes:
        id: Of the run.
        shares: What it left, by repository; at least one.
        taken_back: Whether what it wrote was taken back later.
    """

    id: str
    shares: tuple[Share, ...]
    taken_back: bool = False

    @property
    def facts(self) -> Mapping[str, str]:
        """What its commits say in common; what they wrote is told by each for its repository."""
        return self.shares[0].metadata

    @property
    def in_repositories(self) -> frozenset[str]:
        """Those in which something of it was found."""
        return frozenset(share.repository for share in self.shares)

    @property
    def outputs(self) -> list[Output]:
        """What it wrote, everywhere."""
        return [output for share in self.shares for output in share.outputs]

    @property
    def kept(self) -> dict[str, str]:
        """Entries that it left as they were, since they were up to date, and the runs that made them."""
        return {name: str(run) for share in self.shares for name, run in mapping_in(share.metadata, KEPT).items()}

    @property
    def saved(self) -> list[str]:
        """Entries outside of lakeFS that it wrote."""
        return sorted({name for share in self.shares for name in _names_in(share.metadata, SAVED)})

    @property
    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """What it read: URL, checksum, size and version, as far as they are known, by the names of entries."""
        return mapping_in(self.facts, "kedro_inputs")

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters, as far as they are no secrets."""
        return mapping_in(self.facts, "kedro_parameters")

    @property
    def started(self) -> datetime | None:
        """When it began."""
        return _time(self.facts.get("kedro_started", ""))

    @property
    def finished(self) -> datetime | None:
        """When it ended."""
        return _time(self.facts.get("kedro_finished", ""))

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        if self.started is None or self.finished is None:
            return None
        return (self.finished - self.started).total_seconds()

    @property
    def git_commits(self) -> list[str]:
        """SHAs of the code; several, where the parts of a run were made at several."""
        one = [self.facts["git_commit_id"]] if "git_commit_id" in self.facts else []
        return _names_in(self.facts, ALL_SHAS) or one

    @property
    def repositories(self) -> frozenset[str]:
        """All to which it wrote, those that the catalog does not name any more included."""
        return frozenset(_names_in(self.facts, REPOSITORIES))

    @property
    def is_dirty(self) -> bool:
        """Whether the code had changes that no git commit has."""
        return self.facts.get("git_dirty") == "true"

    @property
    def links(self) -> dict[str, str]:
        """Web pages by their names: of the job, and of the git commit."""
        return {
            key[len(_LINK_BEGINS) : -len(_LINK_ENDS)]: value
            for key, value in self.facts.items()
            if key.startswith(_LINK_BEGINS) and key.endswith(_LINK_ENDS)
        }


def mapping_in(metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    """A mapping that a commit tells as JSON; empty where another program has written something else there."""
    with contextlib.suppress(ValueError):
        found = json.loads(metadata.get(key, "{}"))
        return found if isinstance(found, dict) else {}
    return {}


def _names_in(metadata: Mapping[str, str], key: str) -> list[str]:
    with contextlib.suppress(ValueError):
        found = json.loads(metadata.get(key, "[]"))
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
    return []


def _time(text: str) -> datetime | None:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    return None
