"""A save by a format: to a staging folder first, and published by one call of the backend when all of it is there."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro_statisfactory.backends.local.staging import STAGING_FOLDER
from kedro_statisfactory.datasets.engines import refuse_cluster, refuse_hollow
from kedro_statisfactory.datasets.formats import Format
from kedro_statisfactory.datasets.replaced import Replaced
from kedro_statisfactory.datasets.sets import as_set_of_one, gathered, is_single_file, main_of, names_beside, scatter
from kedro_statisfactory.datasets.staging import (
    COPIES,
    Beginning,
    StagingFolder,
    StagingFolders,
    is_odd,
    staged_path,
    staging_folder,
)
from kedro_statisfactory.errors import InvalidFormat
from kedro_statisfactory.location import basename


@dataclass(frozen=True)
class StagedSave:
    """How an entry is saved.

    Attributes:
        format: What writes.
        url: Of the entry, for errors.
        replaced: What is there, where it is going to be saved.
        publish: Stores what was staged.
        folders: Where to stage one of many; ``None``: it is the only one, and may write several files.
    """

    format: Format
    url: str
    replaced: Replaced
    publish: Callable[[Path], None]
    folders: StagingFolders | None = None

    def begin(self, data: Any) -> Callable[[], None]:
        """Let the format write an object; gives what publishes that, on any thread.

        Args:
            data: The object.

        Raises:
            DatasetError: The format failed.
            InvalidFormat: It would not do, or has not done, what its arguments say; what was there stays as it is.
        """
        refuse_cluster(self.format.kind, data)
        modes = self.format.modes
        if (modes.keeps_old or modes.fails_if_exists) and self.replaced.is_there():
            if modes.keeps_old:
                return _nothing
            raise InvalidFormat(
                f"something is there already, and the mode of {self.format.name} is to fail then: delete it first, or "
                "set `save_args: {mode: overwrite}` in `dataset`."
            )
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(self._folder())
            staged = staged_path(folder.path, basename(self.replaced.where))
            self._write(data, staged)
            whole = self._alone(staged) if is_single_file(staged) else self._gathered(staged)
            if self.folders and whole.is_dir():
                raise InvalidFormat(
                    f"{self.format.name} has written several files, and a listing does not tell which files make a "
                    "partition: choose a format that writes single files."
                )
            folder.temporary.check()
            opened = stack.pop_all()

        def publish() -> None:
            with opened:
                self.publish(whole)

        return publish

    def _folder(self) -> AbstractContextManager[StagingFolder]:
        """Where to stage it."""
        where = self.replaced.where
        find = functools.partial(self.replaced.backend.staging_parent, fragment=where)
        parent = self.folders.parent(where.path.rpartition("/")[0], find) if self.folders else find()
        if parent is not None and self.format.takes_patterns and is_odd(parent / "x"):
            parent = None
        # Shared folders stay when a save has ended: not beside what is saved, where a listing would find them.
        folders = self.folders or (COPIES if parent is None or parent.name == STAGING_FOLDER else None)
        return folders.folder(parent) if folders and self.format.forgets_paths else staging_folder(parent)

    def _write(self, data: Any, staged: Path) -> None:
        """Let the format write to the staging folder."""
        if self.format.builds_on_old:
            self.replaced.fetch(staged)
            scatter(staged)
        elif self.format.keeps_folder(data):
            self.replaced.fetch_folder(staged)
            if staged.is_file():  # what is found before the folder, and is replaced
                staged.unlink()
        old = Beginning(staged) if self.format.modes.appends_to_file and staged.is_file() else None
        path = staged
        if self.format.pattern:
            staged.mkdir(exist_ok=True)
            path = staged / self.format.pattern
        inner = self.format.for_saving(path, self.url)
        self.format.save(inner, data, path, self.url)
        if old and staged.exists() and not old.is_kept():
            raise InvalidFormat(
                f"what {self.format.name} has written does not begin with what was there, although a mode among its "
                "arguments asks to add to it: name that mode under `fs_args: {open_args_save: {mode: …}}` of "
                "`dataset`, or take it away."
            )

    def _alone(self, staged: Path) -> Path:
        """What has to be published where the format has written a single file."""
        with contextlib.suppress(FileNotFoundError):
            there = self.replaced.backend.local_path(fragment=self.replaced.where)
            if there is not None and main_of(there) != there:
                return as_set_of_one(staged)
        self.replaced.refuse_beside(names_beside(basename(self.replaced.where), self.format.kind))
        return staged

    def _gathered(self, staged: Path) -> Path:
        """What has to be published where the format has written a folder, or several files."""
        if not staged.exists():
            written = ", ".join(sorted(path.name for path in staged.parent.iterdir()))
            instead = f" but, in its place, {written}. Name what it writes in the URL" * bool(written)
            raise InvalidFormat(f"{self.format.name} did not write to the path that it was given{instead}.")
        refuse_hollow(staged, self.format.name)
        return gathered(staged)


def _nothing() -> None:
    """What there is to publish where a mode keeps what is there."""
