"""A load by a format, from the file itself or from a private copy, and what else a format does with what is there."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import is_
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from kedro.io.core import AbstractDataset, AbstractVersionedDataset

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.datasets.copies import (
    Copy,
    Lent,
    are_open_for_writing,
    is_read_there,
    is_unchanged,
    local_copy,
)
from kedro_statisfactory.datasets.formats import Format
from kedro_statisfactory.datasets.kept import is_eager, keep_for_lazy
from kedro_statisfactory.datasets.staging import StagingFolders

# Formats that change what they read: they get copies of their own.
_changing: set[type[AbstractDataset[Any, Any]]] = set()
# Formats that give what is a way to write to the file: they get copies of their own, each content once.
_handing_on: set[type[AbstractDataset[Any, Any]]] = set()


class _Changed(Exception):
    """A format may have changed what others read, too."""


class _HandedOn(Exception):
    """Whoever has what a format has loaded may change what others read, too."""


@dataclass(frozen=True)
class _Last:
    """What was read last.

    Attributes:
        copy: Where that was.
        path: The path that the format was given.
        inner: The dataset that has read it.
        is_reusable: Whether it can read there again: it has kept nothing of what it has read.
    """

    copy: Copy
    path: Path
    inner: AbstractDataset[Any, Any]
    is_reusable: bool


class FormatReader:
    """Lets a format read what is at the location of an entry, and remembers what it has read last.

    Args:
        format_: What reads.
        url: Of the entry, for errors.
        folders: Where to put copies of one entry of many.
        fetched: What is there, if it was fetched already; else each load fetches it.
    """

    def __init__(
        self, format_: Format, url: str, folders: StagingFolders | None = None, fetched: bytes | None = None
    ) -> None:
        self._format, self._url, self._folders, self._fetched = format_, url, folders, fetched
        self._last: _Last | None = None

    def load(self, backend: Backend, where: ParseResult, options: Mapping[str, Any]) -> Any:
        """Load an object.

        Args:
            backend: Brings the bytes.
            where: The location.
            options: Of the backend, for that.

        Raises:
            FileNotFoundError: Nothing is there.
            DatasetError: The format failed.
        """
        there = None if backend.is_noted else backend.local_path(fragment=where, **options)
        if there is not None and is_read_there(there, self._format):
            return self._read(Copy(there, pattern=self._format.pattern))
        kind = self._format.kind
        copied = functools.partial(
            local_copy, backend, where, options, self._format, folders=self._folders, fetched=self._fetched
        )
        while kind not in _changing:
            shared = kind not in _handing_on
            with copied(shared=shared) as copy:
                same = copy.or_the_same(self._url)  # which has to stay for what was loaded before
                lent = same.lent()
                try:
                    return self._read(same, lent) if shared or not lent else self._read(copy)
                except _HandedOn:
                    _handing_on.add(kind)
                except _Changed:
                    break
        with copied(shared=False) as copy:
            data = self._read(copy)
            _changing.add(kind)
            return data

    def _read(self, copy: Copy, lent: Lent = ()) -> Any:
        """Let the format read.

        Args:
            copy: What it reads.
            lent: What of that others read as well.

        Raises:
            _Changed: It has changed that, or would, as it seems; or another has.
            _HandedOn: What it gives may be used to change that.
        """
        # A dataset on the same local file can be used again, unless it remembers what it has read; to make one
        # costs more than to read a small file.
        path, last = copy.path, self._last
        again = last is not None and last.is_reusable and last.path == path
        inner = last.inner if last and again else self._format.on(path, self._url)
        before = dict(vars(inner))
        data = self._read_lent(inner, path, lent) if lent else self._format.load(inner, path, self._url)
        self._last = _Last(copy, path, inner, _is_as_before(inner, before))
        keep_for_lazy(copy.folder, copy.whole, self._url, data, inner)
        return data

    def _read_lent(self, inner: AbstractDataset[Any, Any], path: Path, lent: Lent) -> Any:
        """Let the format read what others read as well."""
        with _refusing_changes(lent):
            data = self._format.load(inner, path, self._url)
        if not is_eager(data) and are_open_for_writing(lent):
            raise _HandedOn
        return data

    def ask(
        self,
        backend: Backend,
        where: ParseResult,
        options: Mapping[str, Any],
        work: Callable[[Any], Any],
        of_last: bool,
        store: Callable[[Path], None],
    ) -> Any:
        """Let the format do something else than to load and save.

        Args:
            backend: Brings the bytes.
            where: The location.
            options: Of the backend, for that.
            work: Called with a dataset of the format; what it gives is given back.
            of_last: Whether it is about what was loaded last, and goes to the dataset that has loaded that.
            store: Called with the copy when the format has changed it.
        """
        last = self._last if of_last else None
        if last is None and self._format.kind not in _changing:
            with local_copy(backend, where, options, self._format) as copy, contextlib.suppress(_Changed):
                return self._ask(copy, work, None, store, copy.lent())
        again = last.copy if last else None
        with local_copy(backend, where, options, self._format, again, shared=False) as copy:
            found = self._ask(copy, work, last, store)
            if last is None:
                _changing.add(self._format.kind)
            return found

    def _ask(
        self,
        copy: Copy,
        work: Callable[[Any], Any],
        last: _Last | None,
        store: Callable[[Path], None],
        lent: Lent = (),
    ) -> Any:
        path = copy.path
        inner = last.inner if last and last.path == path else self._format.on(path, self._url)
        before = copy.state() if copy.is_private else None
        with _refusing_changes(lent):
            found = self._format.call(path, self._url, functools.partial(work, inner))
        if copy.is_private and copy.state() != before:
            store(copy.whole)
        keep_for_lazy(copy.folder, copy.whole, self._url, found, inner)
        return found

    def release(self) -> None:
        """Let the format forget what it has read."""
        if self._last is not None:
            self._last.inner.release()
            self._last = None


def _is_as_before(inner: AbstractDataset[Any, Any], before: Mapping[str, Any]) -> bool:
    """Whether a dataset of a file has kept nothing of what it has loaded; one of another kind may have all along."""
    after = vars(inner)
    return (
        isinstance(inner, AbstractVersionedDataset)
        and after.keys() == before.keys()
        and all(map(is_, after.values(), map(before.__getitem__, after)))
    )


@contextlib.contextmanager
def _refusing_changes(lent: Lent) -> Iterator[None]:
    """Notice where a format changes what others read as well, or fails, perhaps because it is not allowed to.

    Raises:
        _Changed: It does; where nothing was lent an error is what it is.
    """
    try:
        yield
    except Exception as error:
        if not lent:
            raise
        raise _Changed from error
    if not is_unchanged(lent):
        raise _Changed
