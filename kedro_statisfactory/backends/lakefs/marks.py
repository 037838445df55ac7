"""Marks by which the branch of a run tells what was written to it, though no byte differs from what was there before.

A process on another host cannot write the journal of the run, and what it made again as it was is no change.
"""

from __future__ import annotations

import hashlib

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.records import RECORDS


def leave(api: LakeFSAPI, repository: str, branch: str, path: str) -> None:
    """Mark on the branch of a run that an entry was saved there; the run drops that before it commits.

    Args:
        api: The server.
        repository: Where.
        branch: Where.
        path: Of the entry.
    """
    content = path.encode()
    api.upload(repository, branch, mark_of(branch, path), lambda: content, len(content))


def mark_of(branch: str, path: str) -> str:
    """The path of such a mark. It names the branch: one that is left over says nothing of other runs."""
    return f"{marks_of(branch)}{hashlib.sha256(path.encode()).hexdigest()}"


def marks_of(branch: str) -> str:
    """What the paths of all marks of a run begin with."""
    return f"{RECORDS}written/{branch}/"
