"""Private folders in which a format reads and writes, and how long they have to stay."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.io.core import AbstractDataset

from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.backends.transfer import Part, read_chunks
from kedro_statisfactory.errors import PermissionDenied, TransferError

# Roots of the modules whose objects hold their data in memory once they are loaded …
_EAGER_ROOTS = frozenset(("collections", "datetime", "numpy", "pandas", "geopandas", "sklearn", "matplotlib", "PIL"))
# … and single classes of modules that have lazy ones, too.
_EAGER_CLASSES = frozenset(("polars.DataFrame", "polars.Series"))
_EAGER_BUILTINS = frozenset((bool, bytearray, bytes, complex, float, int, range, str, type(None)))
_NOT_EAGER = frozenset(("memmap", "TextFileReader", "JsonReader", "HDFStore"))
# Formats that read all of a file, whatever the class of what was in it.
_EAGER_FORMATS = frozenset(f"kedro_datasets.{name}Dataset" for name in ("json.JSON", "text.Text", "yaml.YAML"))
_PICKLE = "kedro_datasets.pickle.PickleDataset"

_LONGEST_NAME = 200  # bytes; file systems allow 255, and some formats write a longer name first

_kept: list[Path] = []


@contextlib.contextmanager
def staging_folder(parent: Path | None) -> Iterator[Path]:
    """A new folder that only this process's user may enter; it is removed afterwards, whatever happens.

    Args:
        parent: Where to make it; ``None``: in the system's folder for temporary files.

    Raises:
        PermissionDenied, TransferError: It cannot be made there.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=STAGING_NAME, dir=parent))
    except OSError as error:
        where = f"the folder {str(parent)!r}" if parent else "the folder for temporary files (TMPDIR)"
        kind = PermissionDenied if isinstance(error, PermissionError) else TransferError
        raise kind(f"nothing can be written to {where}: {error.strerror}.") from error
    try:
        yield folder
    finally:
        if folder not in _kept:
            shutil.rmtree(folder, ignore_errors=True)


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
    """Where to stage something called ``name``: file systems allow shorter names than object stores.

    The end of a long name is kept, because formats look at the suffix.

    >>> len(staged_path(Path(), 1000 * "ü" + ".csv").name.encode()) <= _LONGEST_NAME
    True
    """
    return folder / name.encode()[-_LONGEST_NAME:].decode(errors="ignore")


def keep_for_lazy(folder: Path, data: object, inner: AbstractDataset[Any, Any]) -> None:
    """Let ``folder`` stay until the process ends when ``data`` may still read from it.

    A polars scan, an ibis table or an open reader finds its bytes when it is asked, perhaps through objects that were
    derived from it and that nobody can trace. So a folder goes at once only for data that is known to be in memory.

    Args:
        folder: With the copy of what was loaded.
        data: What the format made of it.
        inner: The format.
    """
    if reads_all(inner) or is_eager(data):
        return
    if not _kept:
        # Unlike atexit it serves the processes of multiprocessing too, and only the one that it was made in.
        from multiprocessing.util import Finalize

        Finalize(None, _remove_kept, exitpriority=0)
    _kept.append(folder)


def reads_all(inner: AbstractDataset[Any, Any]) -> bool:
    """Whether a format leaves nothing in its file that what it gives could still ask for."""
    kind = type(inner)
    name = f"{kind.__module__.rpartition('.')[0]}.{kind.__qualname__}"  # the package, as a catalog writes it
    if name == _PICKLE:
        return getattr(inner, "_load_args", {}).get("mmap_mode") is None
    return name in _EAGER_FORMATS


def is_eager(data: object) -> bool:
    """Whether ``data`` certainly holds all that it is made of in memory.

    >>> is_eager({"a": [1.5, "text"]}), is_eager(line for line in "abc"), is_eager({"part": lambda: open("file")})
    (True, False, False)
    """
    if type(data) in _EAGER_BUILTINS:
        return True
    if isinstance(data, Mapping):
        return all(map(is_eager, data.values()))
    if isinstance(data, list | tuple | set | frozenset):
        return all(map(is_eager, data))
    kind = type(data)
    root = kind.__module__.partition(".")[0]
    if f"{root}.{kind.__name__}" in _EAGER_CLASSES:
        return True
    return root in _EAGER_ROOTS and kind.__name__ not in _NOT_EAGER


def _remove_kept() -> None:
    for folder in _kept:
        shutil.rmtree(folder, ignore_errors=True)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_kept.clear)  # they are the parent's
