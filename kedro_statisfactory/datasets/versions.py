"""Versions in folders, as kedro-datasets makes them: ``model.pkl/<version>/model.pkl``."""

from __future__ import annotations

from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.location import basename, join


def at_version(where: ParseResult, version: str) -> ParseResult:
    """The location of one version of what is at ``where``."""
    return join(where, version, basename(where))


def versions_below(backend: Backend, where: ParseResult) -> list[ParseResult]:
    """The locations of all versions of what is at ``where``, newest first, from one listing."""
    name = basename(where)
    found = {
        folders[0]
        for info in backend.list(fragment=where)
        if len(folders := info.path.split("/")) > 1 and folders[1] == name
    }
    return [at_version(where, version) for version in sorted(found, reverse=True)]
