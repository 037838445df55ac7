"""Versions in folders, as kedro-datasets makes them: ``model.pkl/<version>/model.pkl``."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from urllib.parse import ParseResult

from kedro.io.core import DatasetError

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.backends.base import CLAIM
from kedro_statisfactory.errors import PreconditionFailed
from kedro_statisfactory.location import basename, join


def at_version(where: ParseResult, version: str) -> ParseResult:
    """The location of one version of what is at ``where``."""
    return join(where, version, basename(where))


@contextlib.contextmanager
def never_overwritten(url: str, version: str | None) -> Iterator[None]:
    """Say what it means for a version that something is where it was going to be saved.

    Args:
        url: Of the entry.
        version: Its name.

    Raises:
        DatasetError: Somebody has saved it, be it at the same moment.
    """
    try:
        yield
    except PreconditionFailed as error:
        raise DatasetError(
            f"{url!r}: the version {version!r} is there already, and versions are never overwritten: save under "
            f"another one. ({error})"
        ) from error


def versions_below(backend: Backend, where: ParseResult) -> list[ParseResult]:
    """The locations of all versions of what is at ``where``, newest first, from one listing."""
    name = basename(where)
    pairs = {(parts[0], parts[1]) for info in backend.list(fragment=where) if len(parts := info.path.split("/")) > 1}
    # Where there is a claim, a saver has not come to its end yet, or was killed.
    found = {version for version, each in pairs if each == name and (version, CLAIM + name) not in pairs}
    return [at_version(where, version) for version in sorted(found, reverse=True)]


def of_part(version: str, run_id: str) -> str:
    """The version that a part of a run of several processes writes: it sorts by its time, and tells the run.

    >>> of_part("2026-11-25T03.16.09.123Z", "nightly")
    '2026-11-25T03.16.09.123Z--run-2a3b62b5'
    """
    return version.removesuffix(_suffix(run_id)) + _suffix(run_id)


def newest_of_run(versions: Iterable[str], run_id: str) -> str | None:
    """The first of ``versions`` that a part of a run has written; ``None`` where no part has."""
    return next((version for version in versions if version.endswith(_suffix(run_id))), None)


def _suffix(run_id: str) -> str:
    return f"--run-{hashlib.sha256(run_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
