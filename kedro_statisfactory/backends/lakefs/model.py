"""What lakeFS has: objects, refs and commits, as its API describes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.hidden import Hidden

_Kind = TypeVar("_Kind")

#: Bytes of the longest path that lakeFS allows.
LONGEST_PATH = 1024
#: Name of the user metadata in which an object that this package stores keeps the CRC-32 of all its bytes, in hex.
CRC32_KEY = "crc32"
#: Key of the metadata of a run's commits that names the data branch for which the run was made.
DATA_BRANCH = "kedro_data_branch"
#: Key of the same that names the hidden branch of the run: it tells the run from others of its id.
RUN_TOKEN = "kedro_run_branch"
#: Key of the same with the page of the CI job by which the run was made; absent: no CI service made it.
CI_JOB = "::lakefs::Kedro CI job::url[url:ui]"
#: Below this there is an object for each folder, named after it, with a digest of all that is in the folder. lakeFS
#: merges object by object: two runs that write other names into one folder would mix, if they did not both write this.
FOLDER_MARK = ".statisfactory/"

_COMMIT_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Stat:
    """An object as lakeFS describes it; ``checksum`` is the MD5 of what came through the API, in hex."""

    path: str
    size: int
    checksum: str
    mtime: int
    address: str = field(repr=False)  # it may be a signed URL
    metadata: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""


def info_of(path: str, stat: Stat) -> ObjectInfo:
    """The same in the words that all backends share, under another path."""
    return ObjectInfo(path, stat.size, datetime.fromtimestamp(stat.mtime, tz=timezone.utc), stat.checksum)


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


@dataclass(frozen=True)
class Difference:
    """An object that differs between two refs.

    Attributes:
        path: Of the object.
        kind: ``added``, ``changed`` or ``removed``.
        size: In bytes; of a removed one as it was, else as it is.
        checksum: Likewise; empty where the server does not tell.
    """

    path: str
    kind: str
    size: int
    checksum: str


# -- readers of the API's JSON; what has another form is a KeyError, TypeError or ValueError ------------------------


def stat_of(found: Any, path: str | None = None, size: int | None = None) -> Stat:
    """An object; with ``path`` and ``size`` the one that was asked for."""
    told = 0 if found.get("size_bytes") is None else _number_of(found, "size_bytes")
    if path not in (None, found["path"]) or size not in (None, told):
        raise ValueError
    return Stat(
        text_of(found, "path"),
        told,
        text_of(found, "checksum"),
        _number_of(found, "mtime"),
        text_of(found, "physical_address"),
        _metadata_of(found),
        found.get("content_type") or "",
    )


def ref_of(found: Any, name: str | None = None) -> Ref:
    """A branch or tag; with ``name`` the one that was asked for."""
    if name is not None and found["id"] != name:
        raise ValueError
    return Ref(text_of(found, "id"), commit_id_of(found["commit_id"]))


def commit_of(found: Any) -> Commit:
    """A commit."""
    return Commit(
        commit_id_of(found["id"]),
        text_of(found, "message"),
        _number_of(found, "creation_date"),
        tuple(map(commit_id_of, list_of(found, "parents"))),
        _metadata_of(found),
    )


def difference_of(found: Any) -> Difference:
    """An object that differs."""
    checksum = str((found.get("right") or {}).get("checksum", ""))
    return Difference(text_of(found, "path"), text_of(found, "type"), found.get("size_bytes") or 0, checksum)


def commit_id_of(found: Any) -> str:
    """The id of a commit."""
    if not _COMMIT_ID.fullmatch(found):
        raise ValueError
    return str(found)


def errors_of(found: Any) -> list[tuple[Any, Any]]:
    """What lakeFS could not delete, and why; it may say ``null`` where there is nothing to say."""
    return [] if found["errors"] is None else [(each["path"], each["message"]) for each in list_of(found, "errors")]


def text_of(found: Any, key: str) -> str:
    """A text."""
    return _of_kind(str, found[key])


def begun_of(found: Any, count: int) -> tuple[str, str, list[Hidden[str]]]:
    """An upload in ``count`` parts: its id, its address, and a signed URL for each part."""
    urls = [Hidden(_of_kind(str, each)) for each in list_of(found, "presigned_urls")]
    if len(urls) != count:
        raise ValueError
    return text_of(found, "upload_id"), text_of(found, "physical_address"), urls


def list_of(found: Any, key: str) -> list[Any]:
    """A list."""
    return _of_kind(list, found[key])


def mapping_of(found: Any, key: str) -> dict[str, Any]:
    """A mapping."""
    return _of_kind(dict, found[key])


def flag_of(found: Any, key: str) -> bool:
    """True or false."""
    return _of_kind(bool, found[key])


def _number_of(found: Any, key: str) -> int:
    return _of_kind(int, found[key])


def _metadata_of(found: Any) -> Mapping[str, str]:
    metadata = found.get("metadata") or {}
    if not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError
    return _of_kind(dict, metadata)


def _of_kind(kind: type[_Kind], value: Any) -> _Kind:
    if not isinstance(value, kind):
        raise TypeError
    return value
