"""What lakeFS has: objects, refs and commits, as its API describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Bytes of the longest path that lakeFS allows.
LONGEST_PATH = 1024
#: Name of the user metadata in which a large object keeps the CRC-32 of all its bytes, in hex.
CRC32_KEY = "crc32"
#: Below this there is an object for each folder, named after it, with a digest of all that is in the folder. lakeFS
#: merges object by object: two runs that write other names into one folder would mix, if they did not both write this.
FOLDER_MARK = ".statisfactory/"


@dataclass(frozen=True)
class Stat:
    """An object as lakeFS describes it; ``checksum`` is the MD5 of what came through the API, in hex."""

    path: str
    size: int
    checksum: str
    mtime: int
    address: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ref:
    """A branch or tag, and the commit that it points to."""

    id: str
    commit_id: str


@dataclass(frozen=True)
class Commit:
    """A commit; ``created`` in seconds since 1970."""

    id: str
    message: str
    created: int
    parents: tuple[str, ...]
    metadata: Mapping[str, str]


def stat_of(found: Mapping[str, Any]) -> Stat:
    """An object, from the JSON of the API."""
    return Stat(
        found["path"],
        int(found.get("size_bytes") or 0),
        found["checksum"],
        int(found["mtime"]),
        found["physical_address"],
        found.get("metadata") or {},
    )


def commit_of(found: Mapping[str, Any]) -> Commit:
    """A commit, from the JSON of the API."""
    return Commit(
        found["id"],
        found["message"],
        int(found["creation_date"]),
        tuple(found["parents"]),
        found.get("metadata") or {},
    )
