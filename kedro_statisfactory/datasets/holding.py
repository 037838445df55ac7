"""What an entry holds, as its service tells it without a load: by that two states of it are compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend, ObjectInfo
from kedro_statisfactory.backends.info import info_of_file
from kedro_statisfactory.datasets.noting import checksums_of, files_of, states_of
from kedro_statisfactory.errors import NotSupported, ObjectNotFound, StatisfactoryError


def held_at(backend: Backend, where: ParseResult, options: Mapping[str, Any]) -> dict[str, dict[str, str]] | None:
    """Fingerprints of the objects of an entry, by path below it; none: there is nothing. ``None``: nobody can tell.

    Args:
        backend: Of the entry.
        where: Its location.
        options: For loading.
    """
    if type(backend).stat is Backend.stat:  # it would fetch all bytes, and tells no checksum of them
        return None
    try:
        file = backend.local_path(fragment=where, **options)
        if file is not None:
            return held_by_files(file)
        found = _told(backend, where, options)
    except NotSupported:
        return None
    except FileNotFoundError:
        return {}
    return {info.path: info.fingerprint() for info in found}


def held_since(backend: Backend, where: ParseResult, options: Mapping[str, Any]) -> dict[str, dict[str, str]] | None:
    """The same of what was just saved, which is there whether or not somebody can tell."""
    try:
        return held_at(backend, where, options)
    except (StatisfactoryError, OSError):
        return None


def held_by_files(path: Path) -> dict[str, dict[str, str]]:
    """The same of a file or folder of this machine."""
    is_folder = path.is_dir()
    states = states_of(files_of(path) if is_folder else [path])
    checksums = checksums_of(states)
    return {
        file.relative_to(path).as_posix() if is_folder else "": info_of_file(
            str(file), status, checksums.get(file)
        ).fingerprint()
        for file, status in states.items()
    }


def _told(backend: Backend, where: ParseResult, options: Mapping[str, Any]) -> list[ObjectInfo]:
    try:
        return [backend.stat(fragment=where, **options)]
    except ObjectNotFound:  # perhaps it is a folder
        return list(backend.list(fragment=where, **options))
