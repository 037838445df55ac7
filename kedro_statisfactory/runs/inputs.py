"""What the record of a run says of its inputs: which they were, and what they held when they were read."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

from kedro_statisfactory.backends.info import info_of_file
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import info_of
from kedro_statisfactory.backends.transfer import is_folder_marker
from kedro_statisfactory.errors import ObjectNotFound, StatisfactoryError

_Fingerprint = Mapping[str, str]


def fingerprint(read: Mapping[str, Sequence[_Fingerprint]]) -> dict[str, str]:
    """What an input held.

    Args:
        read: What each of its objects was, by path; more than one where that has changed during the run.

    Returns:
        Size, time, checksum and version of an object; of several their number, the newest time, and a digest over the
        relative path, size and checksum of each (or its time, where it has no checksum).
    """
    if not read:
        return {}
    last = {path: found[-1] for path, found in read.items()}
    changed = {"changed_while_read": "true"} if any(len(found) > 1 for found in read.values()) else {}
    if len(last) == 1:
        return {**next(iter(last.values())), **changed}
    top = posixpath.commonpath(last)
    listing = [
        [posixpath.relpath(path, top or "."), each["size"], each.get("checksum", each.get("modified"))]
        for path, each in sorted(last.items())
    ]
    times = [each["modified"] for each in last.values() if "modified" in each]
    return {
        "objects": str(len(last)),
        "size": str(sum(int(each["size"]) for each in last.values())),
        "checksum": f"sha256:{hashlib.sha256(json.dumps(listing).encode()).hexdigest()}",
        **({"modified": max(times)} if times else {}),
        **changed,
    }


def held_at(api: LakeFSAPI, repository: str, commit: str, path: str) -> _Fingerprint:
    """What an input in lakeFS is at a commit, which never changes; empty where that is not to be had.

    Args:
        api: The server.
        repository: Where.
        commit: Where.
        path: Of the object or folder.
    """
    try:
        try:
            found = [api.stat(repository, commit, path)]
        except ObjectNotFound:
            listed = api.list(repository, commit, f"{path}/")
            found = [stat for stat in listed if not is_folder_marker(stat.path, stat.size)]
    except StatisfactoryError:  # the record of the run can do without
        return {}
    return fingerprint({stat.path: [info_of(stat.path, stat).fingerprint()] for stat in found})


def state_of(file: Path) -> os.stat_result | None:
    """What the file system tells of a file that another package reads; ``None`` where there is no file."""
    try:
        return file.stat() if file.is_file() else None
    except OSError:
        return None


def unchanged(file: Path, before: os.stat_result | None) -> _Fingerprint:
    """What a file was all the time since ``before``; empty where it has changed, so that nobody knows what was read."""
    now = state_of(file)
    if before is None or now is None:
        return {}
    states = [(each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns) for each in (before, now)]
    return info_of_file(str(file), now).fingerprint() if states[0] == states[1] else {}
