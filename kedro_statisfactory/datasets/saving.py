"""A save by a format: to a staging folder first, and published by one call of the backend when all of it is there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.datasets.formats import Format
from kedro_statisfactory.datasets.staging import Beginning, staged_path, staging_folder
from kedro_statisfactory.errors import InvalidFormat
from kedro_statisfactory.location import basename


@dataclass(frozen=True)
class StagedSave:
    """How an entry is saved.

    Attributes:
        format: What writes.
        url: Of the entry, for errors.
        backend: What publishes.
        options: Options of the backend for that.
        is_there: Whether something is there, where it is going to be saved.
        fetch_old: Fetches that, if there is something, for a format that adds to it.
    """

    format: Format
    url: str
    backend: Backend
    options: Mapping[str, Any]
    is_there: Callable[[], bool]
    fetch_old: Callable[[Path], None]

    def save(self, data: Any, where: ParseResult) -> None:
        """Save an object.

        Args:
            data: The object.
            where: The location.

        Raises:
            DatasetError: The format failed.
            InvalidFormat: It would not do, or has not done, what its arguments say; what was there stays as it is.
        """
        modes = self.format.modes
        if (modes.keeps_old or modes.fails_if_exists) and self.is_there():
            if modes.keeps_old:
                return
            raise InvalidFormat(
                f"something is there already, and the mode of {self.format.name} is to fail then: delete it first, or "
                "set `save_args: {mode: overwrite}` in `dataset`."
            )
        with staging_folder(self.backend.staging_parent(fragment=where)) as folder:
            staged = staged_path(folder, basename(where))
            self._write(data, staged)
            self.backend.upload(source=staged, fragment=where, consume=True, **self.options)

    def _write(self, data: Any, staged: Path) -> None:
        """Let the format write to the staging folder."""
        if self.format.builds_on_old or (self.format.keeps_others and isinstance(data, list | Mapping)):
            self.fetch_old(staged)
        old = Beginning(staged) if self.format.modes.appends_to_file and staged.is_file() else None
        inner = self.format.for_saving(staged, self.url)
        self.format.call(staged, self.url, functools.partial(inner.save, data))
        if not staged.exists():
            raise InvalidFormat(f"{self.format.name} did not write to the path that it was given.")
        if old and not old.is_kept():
            raise InvalidFormat(
                f"{self.format.name} has replaced what was there, although a mode among its arguments asks to add to "
                "it: name that mode under `fs_args: {open_args_save: {mode: …}}` of `dataset`, or take it away."
            )
