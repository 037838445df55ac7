"""What an entry holds, in one text that is equal only where its bytes are."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence

from kedro_statisfactory.project import Project

#: What is told of an object: size, time, checksum and version, as far as they are known.
Fingerprint = Mapping[str, str]
#: What is told of the objects of an entry, by path below it; that of an entry which is one object is empty.
Held = Mapping[str, Fingerprint]


def identity_of(held: Held, path: str = "") -> str | None:
    """A checksum, or a digest over those of all objects; ``None`` where it is not known what one of them holds.

    Args:
        held: The objects of an entry; none: there is nothing.
        path: Of the entry, where this is a folder of a repository whose objects are told by their whole paths.
    """
    found = {below: _identity(each) for below, each in held.items()}
    if not found or None in found.values():
        return None
    if found.keys() == {""}:
        return found[""]
    listing = sorted((f"{path}/{below}" if path else below, identity) for below, identity in found.items())
    return f"sha256:{hashlib.sha256(json.dumps(listing).encode()).hexdigest()}"


def noted(read: Mapping[str, Sequence[Fingerprint]], root: str) -> Held | None:
    """What an input held when it was read; ``None`` where one of its objects changed meanwhile.

    Args:
        read: What each of its objects was, by path; more than one where that has changed during the run.
        root: Path of the entry, as the paths of its objects begin with it.
    """
    if any(len(found) != 1 for found in read.values()):
        return None
    if len(read) == 1:
        (path, found) = next(iter(read.items()))
        if path == root or not path.startswith(f"{root}/"):
            return {"": found[0]}
    return {posixpath.relpath(path, root): found[0] for path, found in read.items()}


def is_as_read(read: Mapping[str, Sequence[Fingerprint]], held: Held, root: str) -> bool:
    """Whether an input that was changed after it was read was changed by nobody else in between.

    Args:
        read: What each of its objects was whenever it was looked at, by path.
        held: What it held when it had been changed.
        root: Path of the entry, as the paths of its objects begin with it.
    """
    for path, found in read.items():
        after = held.get("" if path == root else posixpath.relpath(path, root))
        before = [each for each in found if after is None or not _agree(each, after)]
        if not all(_agree(before[0], each) for each in before):
            return False
    return True


def _agree(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether all is equal that both tell."""
    return all(one[key] == other[key] for key in one.keys() & other.keys())


def written_meanwhile(project: Project, name: str, place: tuple[str, str, str] | None) -> str | None:
    """What a run has written to an entry up to now: empty where it has left it as it was, ``None`` where nobody knows.

    Args:
        project: The project in the run.
        name: Of the entry.
        place: Server, repository and path of the entry in lakeFS; ``None``: it is elsewhere.
    """
    try:
        written, saved = project.written(), project.saved()
    except (OSError, ValueError):  # this process is on another host, or a cleaner of temporary files was here
        return None
    if place is not None:
        host, repository, path = place
        found = {
            each.removeprefix(path).removeprefix("/"): {"checksum": checksum}
            for each, checksum in written.get((host, repository), {}).items()
            if _is_at(each, path)
        }
        if found:
            return identity_of(found, path)
    held = saved.get(name)
    return "" if held == {} else identity_of(held or {})


def _is_at(path: str, entry: str) -> bool:
    return path == entry or path.startswith(f"{entry}/")


def _identity(found: Fingerprint) -> str | None:
    if found.get("checksum"):
        return found["checksum"]
    if "modified" in found:  # a file that is so large that its time has to do
        return f"{found.get('size')} {found['modified']}"
    return None
