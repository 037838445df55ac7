"""What a save is going to replace, for formats that add to it or keep it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.datasets.sets import SET_MARK
from kedro_statisfactory.errors import InvalidFormat, NotSupported, PreconditionFailed
from kedro_statisfactory.location import beside

_REF = "lake_ref"


@dataclass(frozen=True)
class Replaced:
    """What is at the location where an entry is going to be saved.

    Attributes:
        backend: Of the entry.
        where: The location.
        load_args: Of the entry.
        save_args: Of the entry.
        never: Where nothing may be replaced: says so of what is there.
    """

    backend: Backend
    where: ParseResult
    load_args: Mapping[str, Any]
    save_args: Mapping[str, Any]
    never: AbstractContextManager[None] | None = None

    def is_there(self) -> bool:
        """Whether something is there.

        Raises:
            InvalidFormat: The entry would be read at another time than it is written to.
            DatasetError: It may not be replaced.
        """
        self.refuse_the_past()
        is_there = self.backend.exists(fragment=self.where, **self._options)
        if is_there and self.never is not None:
            with self.never:
                raise PreconditionFailed("the mode of the format asks for what is there")
        return is_there

    def fetch(self, staged: Path) -> None:
        """Fetch what is there, if there is something, to a path of this machine.

        Raises:
            InvalidFormat: As for :meth:`is_there`.
        """
        self.refuse_the_past()
        if self.never is not None:
            return
        with contextlib.suppress(FileNotFoundError):
            self.backend.download(target=staged, fragment=self.where, **self._options)

    def fetch_folder(self, staged: Path) -> None:
        """The same where that is a folder; a file is not fetched.

        Raises:
            InvalidFormat: As for :meth:`is_there`.
        """
        if self.never is not None:
            return
        with contextlib.suppress(NotSupported):  # a backend that cannot list has no folders
            names = {info.path for info in self.backend.list(fragment=self.where, **self._options)}
            if names and SET_MARK not in names:  # the files of a set are replaced all together
                self.fetch(staged)

    def refuse_beside(self, names: Iterable[str]) -> None:
        """Refuse a single file where another tool has stored a set: what is beside it would belong to it.

        Args:
            names: Of the files that belong to one of that name.

        Raises:
            InvalidFormat: Some of them are there; the text names them.
        """
        there = [name for name in names if self.backend.exists(fragment=beside(self.where, name), **self._options)]
        if there:
            raise InvalidFormat(
                f"{', '.join(there)} would stay beside what is saved, and be read as a part of it: move it away, or "
                "save all files together."
            )

    def refuse_the_past(self) -> None:
        """See that a save which depends on what is there does not look at another time than it writes to.

        Raises:
            InvalidFormat: It would.
        """
        if self.backend.reads_the_past(self.where) and _REF not in {*self.load_args, *self.save_args}:
            raise InvalidFormat(
                "the format adds to what is there, or keeps it, and STATISFACTORY_AT or `at` of statisfactory.yml "
                "would have it look at the past: unset that, or pin the entry by `load_args`."
            )

    @property
    def _options(self) -> Mapping[str, Any]:
        """Options to read it from where it is going to be written."""
        if _REF in self.save_args or _REF in self.load_args:
            kept = {key: value for key, value in self.load_args.items() if key != _REF}
            return {**kept, **{key: value for key, value in self.save_args.items() if key == _REF}}
        return self.load_args
