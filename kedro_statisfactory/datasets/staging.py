"""Private folders in which a format reads and writes."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
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
    try:
        folder = StagingFolder(new_folder(parent, path=again.path if again else None))
    except OSError as error:
        where = f"the folder {str(parent)!r}" if parent else "the folder for temporary files (TMPDIR)"
        kind = PermissionDenied if isinstance(error, PermissionError) else TransferError
        raise kind(f"nothing can be written to {where}: {error.strerror}.") from error
    try:
        yield folder
    finally:
        if not folder.stays:
            folder.temporary.remove()


class StagingFolders:
    """Folders for many saves: one that a save is done with serves another, for which none has to be made and locked."""

    def __init__(self) -> None:
        self._parents: dict[str, Path | None] = {}
        self._free: list[tuple[Path | None, Temporary]] = []
        self._is_closed = False

    def parent(self, folder: str, find: Callable[[], Path | None]) -> Path | None:
        """Where folders are made for what is saved in ``folder``: what ``find`` gives, which is asked once."""
        if folder not in self._parents:
            self._parents[folder] = find()
        return self._parents[folder]

    @contextlib.contextmanager
    def folder(self, parent: Path | None) -> Iterator[StagingFolder]:
        """One for a save, as :func:`staging_folder` makes it; any thread may end it."""
        free = next((each for each in self._free if each[0] == parent), None)
        if free is None:
            with staging_folder(parent) as folder:
                folder.stays = True
        else:
            self._free.remove(free)
            folder = StagingFolder(free[1], stays=True)
        try:
            yield folder
        finally:
            self._take_back(parent, folder.temporary)

    def close(self) -> None:
        """Remove the folders that are free; others are removed when their saves end."""
        self._is_closed = True
        with contextlib.suppress(IndexError):  # none is left; several threads may do this at once
            while True:
                self._free.pop()[1].remove()

    def _take_back(self, parent: Path | None, temporary: Temporary) -> None:
        is_empty = False
        with contextlib.suppress(OSError):  # somebody has removed it, or there is a folder in it
            for name in os.listdir(temporary.path):  # what was copied, and not moved, to where it belongs
                os.unlink(temporary.path / name)
            is_empty = True
        if is_empty:
            self._free.append((parent, temporary))
        else:
            temporary.remove()
        if self._is_closed:
            self.close()


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
