"""What a format has read, for the record of a run, where no answer of a service tells it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from kedro_statisfactory.backends import Backend, ObjectInfo
from kedro_statisfactory.backends.info import MOST_HASHED, checksum_of, info_of_file


@contextlib.contextmanager
def noting_in_place(backend: Backend, path: Path, beside: Iterable[str]) -> Iterator[None]:
    """Note what a file or folder was while it was read in its place; both, where it has changed meanwhile.

    Args:
        backend: Of the entry.
        path: The file or folder.
        beside: Names of the files that a format may read with it.
    """
    if not backend.is_noted:
        yield
        return
    files = files_of(path) if path.is_dir() else [path, *(path.with_name(name) for name in beside)]
    before = states_of(files)
    yield
    checksums = checksums_of(before)
    after = states_of(files)
    for file, status in before.items():
        is_same = _content_of(status) == _content_of(after.get(file))
        backend.note_read(info_of_file(str(file), status, checksums.get(file) if is_same else None))
        if not is_same and file in after:
            backend.note_read(info_of_file(str(file), after[file]))


def note_copy(backend: Backend, folder: Path) -> None:
    """Note what has come from a backend that does not do that itself.

    Args:
        backend: Of the entry.
        folder: With the copy, and nothing else.
    """
    if backend.notes_reads or not backend.is_noted:
        return
    states = states_of(files_of(folder))
    checksums = checksums_of(states)
    for file, status in states.items():
        name = file.relative_to(folder).as_posix()
        backend.note_read(ObjectInfo(name, status.st_size, checksum=checksums.get(file)))


def note_payload(backend: Backend, payload: bytes) -> None:
    """The same for what has come into memory."""
    if not backend.notes_reads and backend.is_noted:
        backend.note_read(ObjectInfo("", len(payload), checksum=checksum_of(payload)))


def files_of(folder: Path) -> list[Path]:
    """All files in a folder, at any depth."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def states_of(files: Iterable[Path]) -> dict[Path, os.stat_result]:
    """What the file system tells of files, as far as they are there."""
    found: dict[Path, os.stat_result] = {}
    for file in files:
        with contextlib.suppress(OSError):
            found[file] = file.stat()
    return found


def _content_of(status: os.stat_result | None) -> object:
    """What differs when a file has got other content."""
    return status and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def checksums_of(states: Mapping[Path, os.stat_result]) -> dict[Path, str | None]:
    """Checksums of files; none where it would take long to read all of them once more."""
    if sum(status.st_size for status in states.values()) > MOST_HASHED:
        return {}
    with contextlib.suppress(OSError):  # somebody has just removed one
        return {file: checksum_of(file.read_bytes()) for file in states}
    return {}
