"""An entry whose partitions are stored one by one, and are entries themselves."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from kedro.io.core import DatasetError, Version

from kedro_statisfactory.backends import ObjectInfo
from kedro_statisfactory.datasets.collections import Collection, parse_collection
from kedro_statisfactory.datasets.formats import Format
from kedro_statisfactory.datasets.partitions import Partitions
from kedro_statisfactory.datasets.staging import StagingFolders
from kedro_statisfactory.datasets.versioned import VersionedEntry
from kedro_statisfactory.errors import InvalidFormat

_LOG_OF_KEDRO = logging.getLogger("kedro.io.core")
_Entry = TypeVar("_Entry", bound="CollectedEntry")


class CollectedEntry(VersionedEntry):
    """An entry that may be a collection."""

    _collection: Collection | None = None
    _folders: StagingFolders | None = None  # where to stage one entry of many, which may not write several files
    _fetched: bytes | None = None  # what is there, where it was fetched before it was asked for
    _is_part = False  # of a collection, which notes for the run what all of them are
    _parts: Partitions | None = None  # made when it is needed; stays in its process

    @abstractmethod
    def begin_save(self, data: Any) -> Callable[[], None]:
        """Do all of a save but to publish it; gives what does that, on any thread."""

    @abstractmethod
    def note_more(self, is_more: Callable[[], bool]) -> None:
        """Note that nobody knows what was confirmed, where more has come to the entry than was read of it."""

    @abstractmethod
    def _load(self) -> Any: ...

    def load_quietly(self) -> Any:
        """Load without the text about the entry that Kedro makes for its log before each load."""
        if _LOG_OF_KEDRO.isEnabledFor(logging.DEBUG):
            return self.load()
        try:
            return self._load()
        except DatasetError:
            raise
        except Exception as error:  # as Kedro does with whatever else comes
            raise DatasetError(f"Failed while loading data from dataset {self!s}.\n{error!s}") from error

    def part(
        self: _Entry,
        path: str,
        format_: Format | None,
        version: Version | None = None,
        folders: StagingFolders | None = None,
        fetched: bytes | None = None,
    ) -> _Entry:
        """The entry of what is at a path below this one, read and written where this one is now.

        Args:
            path: Of a file below it.
            format_: Of that.
            version: Which one is read and written; ``None``: that of this entry, if it has one.
            folders: Where to stage it, if it is one of many.
            fetched: What is there, if it was fetched already.
        """
        return self._twin(
            filepath=f"{self.filepath}/{path}",
            _filepath=self._filepath / path,
            _format=format_,
            _collection=None,
            _version=version or self._version,
            _folders=folders,
            _fetched=fetched,
            _is_part=True,
        )

    def fetch(self) -> bytes:
        """The bytes of the file that is loaded."""
        where, options = self._load_from()
        return self._backend().get(fragment=where, **options)

    @property
    def is_here(self) -> bool:
        """Whether files are read where they are, so that none is fetched."""
        where, options = self._load_from()
        return self._backend().local_path(fragment=where, **options) is not None

    def list_below(self) -> Iterator[ObjectInfo]:
        """All files below the entry."""
        where, options = self._load_from()
        return self._backend().list(fragment=where, **options)

    def end_changes(self, remove: Iterable[str] = ()) -> None:
        """Remove files below the entry, and let it be known that files below it have changed.

        Args:
            remove: Their paths.
        """
        self._backend().end_changes(fragment=self._location(), remove=remove, **self._save_args)
        self.note_written()

    def note_written(self) -> None:
        """Let the run in which the entry works know that it was saved."""
        self._backend().note_written(fragment=self._location(), **self._save_args)

    @property
    def is_collection(self) -> bool:
        """Whether its partitions are stored one by one."""
        return self._collection is not None

    @property
    def has_version_folders(self) -> bool:
        """Whether a version is a folder here."""
        return self._backend().version_options("") is None

    def _partitions(self) -> Partitions:
        """What loads and saves partitions: where the entry is now, whatever it is bound to later."""
        if self._parts is None:
            assert self._collection is not None
            self._parts = Partitions(self._collection, self._twin(), self._shown)
        return self._parts

    def _twin(self: _Entry, **changed: Any) -> _Entry:
        """The same entry with some attributes changed; it shares the connection."""
        twin: _Entry = object.__new__(type(self))
        twin.__dict__.update({**self.__dict__, "_parts": None, "_reader": None, **changed})
        return twin

    def _parsed_collection(self, format_: Format | None, read_ahead: object) -> Collection | None:
        if format_ is None or not format_.is_collection:
            if read_ahead:
                raise InvalidFormat(
                    "`read_ahead` is for partitions, which are fetched when they are used, and this entry has none: "
                    "take it away."
                )
            return None
        if self._version is not None and not self._by_service:
            raise InvalidFormat(
                "versions of a collection are those of its partitions: move `versioned` into the `dataset` of these."
            )
        return parse_collection(format_, self.filepath, read_ahead)
