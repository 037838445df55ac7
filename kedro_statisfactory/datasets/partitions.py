"""Loading and saving a collection: one listing, and one transfer for each partition that is used."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from kedro.io.core import DatasetError, Version

from kedro_statisfactory.backends import ObjectInfo, transfer
from kedro_statisfactory.datasets.ahead import ReadAhead
from kedro_statisfactory.datasets.collections import Checkpoint, Collection
from kedro_statisfactory.datasets.formats import Format
from kedro_statisfactory.datasets.staging import StagingFolders

_Value = TypeVar("_Value")

# Path, format, version and staging folders of a partition.
_Arguments = tuple[str, Format | None, Version | None, StagingFolders]


class Part(Protocol):
    """An entry below a collection: a partition or a checkpoint."""

    def load_quietly(self) -> Any:
        """Load it."""

    def fetch(self) -> bytes:
        """Its bytes."""

    def begin_save(self, data: Any) -> Callable[[], None]:
        """Do all of a save but to publish it; gives what does that, on any thread."""


class Owner(Protocol):
    """The entry of a collection."""

    def part(
        self,
        path: str,
        format_: Format | None,
        version: Version | None = None,
        folders: StagingFolders | None = None,
        fetched: bytes | None = None,
    ) -> Part:
        """The entry of what is at a path below this one, read and written where this one is now."""

    def list_below(self) -> Iterator[ObjectInfo]:
        """All files below it."""

    def end_changes(self, remove: Iterable[str] = ()) -> None:
        """Remove files below it, and let it be known that files below it have changed."""

    def note_more(self, is_more: Callable[[], bool]) -> None:
        """Note that nobody knows what was confirmed, where more has come to it than was read of it."""

    @property
    def has_version_folders(self) -> bool:
        """Whether a version of a partition is a folder."""

    @property
    def is_here(self) -> bool:
        """Whether files are read where they are, so that none is fetched."""


class Partitions:
    """The partitions of an entry, which are listed when they are first asked for.

    Args:
        collection: What the arguments say.
        owner: The entry.
        url: Of the entry, for errors.
    """

    def __init__(self, collection: Collection, owner: Owner, url: str) -> None:
        self._collection, self._owner, self._url = collection, owner, url
        self._found: dict[str, str] | None = None  # newest version, or nothing, by path
        self._sizes: dict[str, int] = {}  # bytes, by path

    def load(self) -> dict[str, Any]:
        """Ids with what loads each partition; of an incremental collection the new ones, loaded.

        Raises:
            DatasetError: There is none, or a new one cannot be loaded.
        """
        if self._collection.checkpoint is None:
            self._found = None
        found, folders = self._partitions(), StagingFolders()
        parts = {path: (path, self._collection.partition, self._pinned(found[path]), folders) for path in found}
        ahead = self._ahead(list(parts.values()))
        loaders: dict[str, Callable[[], Any]] = {
            self._collection.id_of(path): functools.partial(_load, self._owner, *part, ahead, number)
            for number, (path, part) in enumerate(parts.items())
        }
        if self._collection.checkpoint is None:
            if not loaders:
                raise DatasetError(f"No partitions found in '{self._url}'")
            return loaders

        def load(loader: Callable[[], Any], _: threading.Event) -> Any:
            return loader()

        loaded = transfer.in_parallel(load, loaders.values(), transfer.DOWNLOAD_WORKERS)
        return dict(zip(loaders, loaded, strict=True))

    def save(self, data: Any) -> None:
        """Save partitions: one is made while others are sent. Those that are not saved stay, unless told otherwise.

        Args:
            data: Ids with data, or with what gives it when it is called.
        """
        paths = self._collection.paths_of(data)
        stale = [info.path for info in self._owner.list_below()] if self._collection.overwrite else []
        kept = {self._file_of(path) for path in paths.values()}
        partition = self._collection.partition
        is_built_on = partition is not None and partition.builds_on_old
        above = {parent for path in kept for parent in _above(path)}
        below = kept.intersection(parent for path in stale for parent in _above(path))
        # On a disk a file is in the way of a folder, and elsewhere its removal may take what is below its name.
        in_the_way = [path for path in stale if path in above or below.intersection(_above(path))]
        added_to = set(stale) if is_built_on else set[str]()
        # On a disk a partition cannot be staged beside its place while that is in a folder which is a file.
        folders = StagingFolders(is_elsewhere=bool(in_the_way))

        def begin(key: str, path: str) -> Callable[[], None]:
            value = self._value(data[key], path)
            if (old := self._file_of(path)) in added_to:
                self._owner.end_changes([old])  # or the format would add to it
            return self._owner.part(path, partition, self._collection.version, folders).begin_save(value)

        with contextlib.closing(folders), transfer.behind(transfer.UPLOAD_WORKERS) as send:
            begins = [functools.partial(begin, key, path) for key, path in paths.items()]
            if in_the_way:
                # Others may be made of them, and may fail to be: all are written before any is removed.
                begins = [functools.partial(_given, begin()) for begin in begins]
                self._owner.end_changes([*in_the_way, *sorted(below)])  # the folder itself is in the way of a file, too
                kept.update(in_the_way)
            for each in begins:
                send(each)
        self._owner.end_changes(path for path in stale if path not in kept)
        self._found = None

    def exists(self) -> bool:
        """Whether there is a partition, of an incremental collection a new one."""
        if self._collection.checkpoint is None:
            return any(self._collection.has(info.path) for info in self._owner.list_below())
        return bool(self._partitions())

    def confirm(self) -> None:
        """Let the last of the partitions that were found be the checkpoint."""
        found = list(self._partitions())
        checkpoint = self._collection.checkpoint
        if found and checkpoint is not None:
            last = self._collection.id_of(found[-1])
            self._owner.part(checkpoint.path, checkpoint.format).begin_save(last)()
            self._owner.end_changes()
            self._owner.note_more(Partitions(self._collection, self._owner, self._url).exists)

    def _value(self, given: Any, path: str) -> Any:
        """What is saved at a path: what was given, or what that gives."""
        is_asked = callable(given) and self._collection.saves_lazily
        return _made(given, f"{self._url}/{path}") if is_asked else given

    def _pinned(self, version: str) -> Version | None:
        given = self._collection.version
        return Version(version, given.save) if given and version else given

    def _ahead(self, parts: Sequence[_Arguments]) -> ReadAhead | None:
        if not parts or not self._collection.read_ahead or self._owner.is_here:
            return None

        def is_small(part: _Arguments) -> bool:
            return self._sizes.get(part[0], 0) <= transfer.SMALL

        fetches = [functools.partial(_fetch, self._owner, *part) if is_small(part) else None for part in parts]
        return ReadAhead(self._collection.read_ahead, fetches)

    def _partitions(self) -> dict[str, str]:
        """Paths of the partitions, each with its newest version, in order."""
        if self._found is None:
            self._sizes = {info.path: info.size for info in self._owner.list_below()}
            paths = list(self._sizes)
            pairs = sorted(self._partition_of(path) for path in paths if self._collection.has(path))
            found = dict(pairs)
            if (checkpoint := self._collection.checkpoint) is not None:
                self._found = self._new(checkpoint, found, checkpoint.path in paths)
            else:
                self._found = found
        return self._found

    def _new(self, checkpoint: Checkpoint, found: dict[str, str], is_kept: bool) -> dict[str, str]:
        """Those of the partitions that have not been processed."""
        last = checkpoint.forced
        if last is None:
            if not is_kept:
                return found
            last = checkpoint.read(self._owner.part(checkpoint.path, checkpoint.format).load_quietly)
        return {path: found[path] for path in found if checkpoint.is_new(self._collection.id_of(path), last)}

    def _file_of(self, path: str) -> str:
        """Path of the file that a save of a partition writes."""
        version = self._collection.version
        if version is None or not self._owner.has_version_folders:
            return path
        return f"{path}/{version.save}/{path.rpartition('/')[2]}"

    def _partition_of(self, path: str) -> tuple[str, str]:
        """Path and version of the partition to which a file belongs."""
        if self._collection.version is None or not self._owner.has_version_folders:
            return path, ""
        partition, _, rest = path.rpartition("/")
        partition, _, version = partition.rpartition("/")
        if not partition or partition.rpartition("/")[2] != rest:
            raise DatasetError(
                f"{path!r} in {self._url!r} is not a well-formed versioned path ending with "
                "`filename/timestamp/filename`: move it away, or take `versioned` away."
            )
        return partition, version


def _above(path: str) -> Iterator[str]:
    """The paths of all folders above a file."""
    while path := path.rpartition("/")[0]:
        yield path


def _load(
    owner: Owner,
    path: str,
    format_: Format | None,
    version: Version | None,
    folders: StagingFolders | None = None,
    ahead: ReadAhead | None = None,
    number: int = 0,
) -> Any:
    """Load a partition: what a load of the collection gives for each."""
    fetched = ahead.take(number) if ahead else None
    return owner.part(path, format_, version, folders, fetched).load_quietly()


def _made(make: Callable[[], Any], url: str) -> Any:
    """What a function gives for a partition."""
    try:
        return make()
    except Exception as error:  # whatever that raises
        raise DatasetError(f"{url!r}: the function that gives it failed: {type(error).__name__}: {error}") from error


def _given(value: _Value) -> _Value:
    return value


def _fetch(owner: Owner, *part: Any) -> bytes:
    return owner.part(*part).fetch()
