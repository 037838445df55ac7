"""Private folders in which a format reads and writes."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kedro_statisfactory.backends.temporary import Temporary, new_folder
from kedro_statisfactory.backends.transfer import Part, read_chunks
from kedro_statisfactory.errors import PermissionDenied, TransferError

_LONGEST_NAME = 200  # bytes; file systems allow 255, and some formats write a longer name first
# What readers take for a pattern or for an escape, and for the mark of a file that they pass over.
_PATTERN = re.compile(r"[*?\[\]{}%\\]")
_HIDDEN = re.compile(r"[._]")


@dataclass
class StagingFolder:
    """A folder in which a format reads or writes.

    Attributes:
        temporary: The folder, which goes with the process.
        stays: Whether somebody has taken it over, who removes it when nobody needs it any more.
    """

    temporary: Temporary
    stays: bool = False

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.temporary.path


@contextlib.contextmanager
def staging_folder(parent: Path | None, again: StagingFolder | None = None) -> Iterator[StagingFolder]:
    """A new folder that only this process's user may enter; it is removed afterwards, unless it stays.

    Args:
        parent: Where to make it; ``None``: in the system's folder for temporary files.
        again: One from before, which is gone, and whose path is used once more.

    Raises:
        PermissionDenied, TransferError: It cannot be made there.
    """
    folder = StagingFolder(_made(parent, again.path if again else None))
    try:
        yield folder
    finally:
        if not folder.stays:
            folder.temporary.remove()


def _made(parent: Path | None, path: Path | None = None) -> Temporary:
    try:
        return new_folder(parent, path=path)
    except OSError as error:
        where = f"the folder {str(parent)!r}" if parent else "the folder for temporary files (TMPDIR)"
        kind = PermissionDenied if isinstance(error, PermissionError) else TransferError
        raise kind(f"nothing can be written to {where}: {error.strerror}.") from error


class StagingFolders:
    """Folders for many loads or saves: one that is done with serves the next, for which none has to be made and locked.

    They go when they are closed, or when nobody has a use for this object any more, or with the process. A fork and a
    copy that was pickled make their own.

    Args:
        is_elsewhere: Whether they are never beside what is saved.
    """

    def __init__(self, is_elsewhere: bool = False) -> None:
        self._is_elsewhere = is_elsewhere
        self._parents: dict[str, Path | None] = {}
        self._free: dict[tuple[int, str], list[Temporary]] = {}  # by process and parent
        self._is_closed = False

    def __reduce__(self) -> tuple[type[StagingFolders], tuple[()]]:
        return StagingFolders, ()

    def parent(self, folder: str, find: Callable[[], Path | None]) -> Path | None:
        """Where folders are made for what is saved in ``folder``: what ``find`` gives, which is asked once."""
        if folder not in self._parents:
            self._parents[folder] = None if self._is_elsewhere else find()
        return self._parents[folder]

    @contextlib.contextmanager
    def folder(self, parent: Path | None) -> Iterator[StagingFolder]:
        """One as :func:`staging_folder` makes it; any thread may begin and end it."""
        free = self._free_in(parent)
        folder = StagingFolder(_taken(free) or _made(parent))
        try:
            yield folder
        finally:
            if not folder.stays:
                self._take_back(free, folder.temporary)

    def close(self) -> None:
        """Remove the folders that are free; others are removed when they are done with."""
        self._is_closed = True
        for (process, _), free in list(self._free.items()):
            if process == os.getpid():
                _remove_all(free)

    def _free_in(self, parent: Path | None) -> list[Temporary]:
        free = self._free.get(key := (os.getpid(), os.fspath(parent or tempfile.gettempdir())))
        if free is None:
            # Unlike weakref.finalize it serves the processes of multiprocessing, too.
            from multiprocessing.util import Finalize

            free = self._free.setdefault(key, [])
            Finalize(self, _remove_all, args=(free,), exitpriority=0)
        return free

    def _take_back(self, free: list[Temporary], temporary: Temporary) -> None:
        is_empty, path = False, os.fspath(temporary.path)
        with contextlib.suppress(OSError):  # somebody has removed it, or there is a folder in it
            for name in os.listdir(path):  # what was copied, and not moved, to where it belongs
                os.unlink(f"{path}/{name}")
            is_empty = temporary.lock is not None  # without one nobody notices that somebody has removed it
        if is_empty:
            free.append(temporary)
        else:
            temporary.remove()
        if self._is_closed:
            self.close()


#: The folders that all entries of this process share. To make and remove one for each load and save takes longer than
#: to move a small object.
COPIES = StagingFolders()


def _taken(free: list[Temporary]) -> Temporary | None:
    """One of the folders that are free, if there is one that nobody has removed."""
    with contextlib.suppress(IndexError):  # none is left; several threads may do this at once
        while True:
            temporary = free.pop()
            try:
                temporary.check()
            except TransferError:
                temporary.remove()
            else:
                return temporary
    return None


def _remove_all(free: list[Temporary]) -> None:
    with contextlib.suppress(IndexError):
        while True:
            free.pop().remove()


@contextlib.contextmanager
def named_when_full(folder: Path) -> Iterator[None]:
    """Say which folder is full, and how to name another one.

    Args:
        folder: One that :func:`staging_folder` has made in the folder for temporary files.

    Raises:
        TransferError: The disk, or what the user may have of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TransferError(
            f"the folder for temporary files {str(folder.parent)!r} is full: make room there, or name another one by "
            "the environment variable TMPDIR."
        ) from error


class Beginning:
    """What a file holds now, to see later whether it still begins so.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._crc32 = self._of_beginning()

    def is_kept(self) -> bool:
        """Whether the file still begins with what it held."""
        return self._path.is_file() and self._path.stat().st_size >= self._size and self._of_beginning() == self._crc32

    def _of_beginning(self) -> int:
        chunks = read_chunks(self._path, Part(1, 0, self._size))
        return functools.reduce(lambda checksum, chunk: zlib.crc32(chunk, checksum), chunks, 0)


def staged_path(folder: Path, name: str) -> Path:
    """Where to stage something called ``name``, under a name that every reader takes as it is written.

    File systems allow shorter names than object stores: the end of a long name is kept, because formats look at the
    suffix.

    >>> len(staged_path(Path(), 1000 * "ü" + ".csv").name.encode()) <= _LONGEST_NAME + 1
    True
    >>> staged_path(Path(), "data[1].csv").name
    'data_1_.csv'
    """
    plain = _PATTERN.sub("_", name).encode()[-_LONGEST_NAME:].decode(errors="ignore")
    return folder / (f"x{plain}" if _HIDDEN.match(plain) else plain)


def is_odd(path: Path) -> bool:
    """Whether a reader may take a path for something else than the name of a file."""
    return bool(_PATTERN.search(path.as_posix()) or _HIDDEN.match(path.name))
