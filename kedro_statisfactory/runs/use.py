"""How a pipeline uses the entries of its catalog."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend, LakeFSBackend
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.runs.target import Target


@dataclass(frozen=True)
class Use:
    """How a pipeline uses an entry.

    Attributes:
        name: Of the entry.
        url: As the catalog has it.
        backend: Of the entry; ``None``: the entry is another package's.
        fragment: The parsed location; ``None`` likewise.
        written: Whether the pipeline writes it, to the data branch where there is one.
        is_input: Whether the pipeline reads it as it was before.
        version: Version or ref that is read; ``None``: the newest.
        file: The file of another package's entry, where it is on this machine.
    """

    name: str
    url: str
    backend: Backend | None = None
    fragment: ParseResult | None = None
    written: bool = False
    is_input: bool = False
    version: str | None = None
    file: Path | None = None

    @property
    def is_free_input(self) -> bool:
        """Whether it is read where the run reads, and not at a version of its own."""
        return self.is_input and self.version is None

    @property
    def place(self) -> tuple[LakeFSBackend, str, str] | None:
        """Backend, repository and path of an entry in lakeFS; ``None`` elsewhere."""
        if not isinstance(self.backend, LakeFSBackend) or self.fragment is None:
            return None
        return self.backend, *self.backend.split(self.fragment)


@contextlib.contextmanager
def named(entry: str) -> Iterator[None]:
    """Note in an error which entry it is about."""
    try:
        yield
    except StatisfactoryError as error:
        error.entry = error.entry or entry
        raise


def targets_of(uses: Iterable[Use], branch: str) -> list[Target]:
    """The repositories to which a pipeline writes, in the order of their servers and names.

    Args:
        uses: All entries of the pipeline.
        branch: The data branch where the run is going to land.
    """
    found: dict[tuple[str, str], Target] = {}
    for use in uses:
        if use.written and (place := use.place):
            backend, repository, path = place
            with named(use.name):
                key = (backend.api.host, repository)
            target = found.setdefault(key, Target(backend.api, repository, branch, {}))
            target.outputs = {**target.outputs, use.name: path}
    return [found[key] for key in sorted(found)]


def is_in(use: Use, key: tuple[str, str]) -> bool:
    """Whether an entry is in a repository, which is told by its server and name."""
    place = use.place
    return place is not None and (place[0].api.host, place[1]) == key


def backend_of(uses: Iterable[Use]) -> LakeFSBackend:
    """The backend of the first entry that is in lakeFS."""
    return next(place[0] for use in uses if (place := use.place))
