"""An entry in a run that may leave out what is up to date."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from kedro.io.core import AbstractDataset, DatasetError

from kedro_statisfactory.datasets.checked import CheckedEntry
from kedro_statisfactory.datasets.holding import held_at, held_since
from kedro_statisfactory.datasets.noting import files_of, states_of
from kedro_statisfactory.datasets.sets import names_beside
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project import Project


class EntryOfRun(CheckedEntry):
    """An entry that says what its run knows of it: whether it is there, and whether a save of it changes anything."""

    _project: Project | None = None
    _answer: bool | None = None  # stays in its process, as the next one does
    _keeps = False
    _awaited: Mapping[str, tuple[str, bool]] | None = None  # travels to all processes of a run

    @property
    def project(self) -> Project | None:
        """The project in which it works; ``None``: nobody has told it."""
        return self._project

    @property
    def kinds(self) -> list[type[AbstractDataset[Any, Any]]]:
        """The classes of its format, and of its partitions; none: it loads bytes."""
        formats = self._collection.formats if self._collection else [self._format]
        return [each.kind for each in formats if each is not None]

    def held(self) -> dict[str, dict[str, str]] | None:
        """What the entry holds, by path below it, without a load; ``None``: nobody can tell."""
        with self._named():
            where, options = self._load_from()
            return held_at(self._backend(), where, options)

    def answer(self, exists: bool) -> None:
        """Let the entry say that it is there, or not, until something is saved: its run knows what has to be made."""
        self._answer = exists

    @property
    def may_be_kept(self) -> bool:
        """Whether a save of it can be left out in a run, because what is there will do."""
        return self._collection is None and self._backend().follows_git and "lake_ref" not in self._save_args

    def await_inputs(self, inputs: Mapping[str, tuple[str, bool]]) -> None:
        """Note what the inputs of the node have to hold that makes it, so that what is there will do.

        Args:
            inputs: By name, what each has to hold, and whether it holds that where it is not made again after all.
        """
        self._awaited = inputs

    @property
    def awaited(self) -> Mapping[str, tuple[str, bool]]:
        """The same; none: it has to be made in any case."""
        return self._awaited or {}

    def keep(self) -> None:
        """Let the next save change nothing: what was there when the run began is what would be saved."""
        self._keeps = True

    def is_saved(self) -> bool:
        """Whether a save that begins has anything to save."""
        kept, self._keeps, self._answer = self._keeps, False, None
        return not kept

    def note_kept(self) -> None:
        """Note for the other processes of the run that what was there is still what is there."""
        if self._project is not None:
            self._project.note_saved({})

    def note_saved(self, where: ParseResult) -> None:
        """Note for the record of the run what was saved outside of lakeFS, whose branch tells that for the rest."""
        if self._project is None or self._project.saves is None or self._is_part:
            return
        if not self._backend().follows_git:
            # Nothing would say that it was kept, and not that a collection was saved without any partition.
            self._project.note_saved(held_since(self._backend(), where, self._load_args) or None)

    @contextlib.contextmanager
    def noting_changes(self, where: ParseResult, options: Mapping[str, Any]) -> Iterator[None]:
        """Note where a format changes the very file or folder of this machine that it works on.

        Args:
            where: Its location.
            options: For loading.
        """
        is_noted = self._project is not None and self._project.saves is not None
        path = self._backend().local_path(fragment=where, **options) if is_noted else None
        before = self._state_of(path)
        yield
        if self._state_of(path) != before:
            self.note_saved(where)

    def _state_of(self, path: Path | None) -> object:
        """What differs when files have changed."""
        if path is None or self._format is None:
            return None
        beside = names_beside(path.name, self._format.kind)
        files = files_of(path) if path.is_dir() else [path, *map(path.with_name, beside)]
        return [(file, status.st_ino, status.st_size, status.st_mtime_ns) for file, status in states_of(files).items()]

    def end_changes(self, remove: Iterable[str] = ()) -> None:
        """Remove files below the entry, and let it be known that files below it have changed.

        Args:
            remove: Their paths.
        """
        super().end_changes(remove)
        self.note_saved(self._location())

    def note_more(self, is_more: Callable[[], bool]) -> None:
        """Note that nobody knows what was confirmed, where more has come to the entry than was read of it.

        Args:
            is_more: Tells that; asked only where a run wants to know.
        """
        if self._project is None or self._project.saves is None or self._backend().follows_git:
            return
        with contextlib.suppress(StatisfactoryError, DatasetError, OSError):
            if not is_more():
                return
        self._project.note_saved(None)

    def forget_run(self) -> None:
        """Forget what a run knew."""
        self._answer, self._keeps, self._awaited = None, False, None
