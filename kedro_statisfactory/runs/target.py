"""A repository to which a run writes, and the words in which the commits of a run speak of it."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import DATA_BRANCH as DATA_BRANCH
from kedro_statisfactory.backends.lakefs.model import RUN_TOKEN, Commit

#: Kedro shows what is logged below its own name, and hides the information of other packages.
LOGGER = logging.getLogger("kedro.statisfactory")

#: Stands for the time of beginning in the name of the branch that the parts of a run share.
JOINED = "joined"
# Keys of the metadata of commits.
TOKEN = RUN_TOKEN  # tells the commits of a run
PART = "kedro_part_branch"  # of a part of a joined run, which has a branch of its own
PART_ID = "kedro_part"  # Kedro's id of a part
ALL_SHAS = "kedro_git_commits"  # where the parts of a run were made at several git commits
READ_AT = "kedro_at"  # where the user wanted all entries to be read
ASKED = "kedro_finish"  # tells that all parts are there
MERGED = "kedro_run_commit"  # the commit of a run that this one has brought here
COMPARED = "kedro_compared"  # the head of the destination that was looked at before the merge
REVERTS = "kedro_reverts"  # the merge of a run that this commit has taken back
NEW = "kedro_new_branch"  # tells that there was no data branch when the run began
REPLACES = "kedro_replaces"  # the id of the finished run of which this is another attempt
KEPT = "kedro_kept"  # the runs that made the entries which the run left as they were, by name
SAVED = "kedro_saved"  # names of the entries that the run wrote outside of lakeFS
REPOSITORIES = "kedro_repositories"  # all to which the run, or the part of one, writes


@dataclass(frozen=True)
class Part:
    """What one process says of its share in a run.

    Attributes:
        id: Kedro's id of that process's own run.
        is_part: Whether it is not the run as a whole.
        outputs: Names of the entries that it wrote to one repository.
        repositories: All to which it writes.
    """

    id: str
    is_part: bool
    outputs: frozenset[str]
    repositories: frozenset[str]

    @classmethod
    def of(cls, commit: Commit) -> Part:
        """Read it from that process's commit, whose metadata is whole."""
        metadata = commit.metadata
        return cls(
            metadata.get(PART_ID, metadata["kedro_run_id"]),
            PART_ID in metadata,
            frozenset(json.loads(metadata["kedro_outputs"])),
            frozenset(json.loads(metadata.get(REPOSITORIES, "[]"))),
        )


@dataclass
class Target:
    """A repository to which a run writes, and how far the run has come there.

    Attributes:
        api: Its server.
        repository: Its name.
        data_branch: Where the run is going to land.
        outputs: Paths by the names of entries.
        run_branch: The hidden branch; empty: none yet, or none any more.
        base: The commit from which that was made.
        joined: Branch of the run of which this is a part; empty: it is the run itself.
        is_new: Whether there was no data branch when the run began.
        commit: The last commit on the hidden branch.
        compared: A commit of the destination up to which what others have changed is not in the way of the run; empty:
            its base.
        own: The commit by which the run has landed there before another part came to it; empty: it has not.
        is_over: Whether the run cannot land there any more, and has to be repeated.
        landed: The commit by which the run is on its destination; empty: it is not.
        metadata: Of these commits, whole.
        record: Path of the object on the hidden branch with what they have no room for; empty: there is none.
        written: Path and checksum, by the names of entries, of what the run wrote.
        parts: What the processes of a run that waits say of it, oldest first.
    """

    api: LakeFSAPI
    repository: str
    data_branch: str
    outputs: Mapping[str, str]
    run_branch: str = ""
    base: str = ""
    joined: str = ""
    is_new: bool = False
    commit: str = ""
    compared: str = ""
    own: str = ""
    is_over: bool = False
    landed: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    record: str = ""
    written: dict[str, dict[str, str]] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """Server and repository."""
        return self.api.host, self.repository

    @property
    def destination(self) -> str:
        """The branch into which the hidden one is merged."""
        return self.joined or self.data_branch

    @property
    def name(self) -> str:
        """The destination, as messages call it."""
        if self.joined:
            return f"the branch of the run in the repository {self.repository!r}"
        return f"the data branch {self.data_branch!r} of the repository {self.repository!r}"


def is_of(commit: Commit, target: Target) -> bool:
    """Whether a commit belongs to this very run, and not to another one with the same id."""
    return commit.metadata.get(TOKEN) == target.metadata[TOKEN]


def ways_out(target: Target) -> str:
    """What can be done with a run that waits, as the end of an error."""
    abort = f"`{command('abort', target.metadata)}` drops it."
    if target.is_over:
        return abort
    return (
        f"`{command('finish', target.metadata)}` tries again, with `--merge source-wins` or `--merge dest-wins` to "
        f"settle a conflict; {abort}"
    )


def command(verb: str, metadata: Mapping[str, str]) -> str:
    """The command that finishes or aborts a run.

    Args:
        verb: ``finish`` or ``abort``.
        metadata: Of the run's commits.
    """
    run_id = shlex.quote(metadata["kedro_run_id"])
    env = f" --env {shlex.quote(metadata['kedro_env'])}" if "kedro_env" in metadata else ""
    return f"kedro statisfactory run {verb}{env} {'-- ' if run_id.startswith('-') else ''}{run_id}"
