"""Private folders in which a format reads and writes, and how long they have to stay."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from kedro_statisfactory.backends.base import STAGING_NAME

# Roots of the modules whose objects hold their data in memory once they are loaded …
_EAGER_ROOTS = frozenset(
    ("builtins", "collections", "datetime", "numpy", "pandas", "geopandas", "sklearn", "matplotlib")
)
# … and single classes of modules that have lazy ones, too.
_EAGER_CLASSES = frozenset(("polars.DataFrame", "polars.Series"))
_NOT_EAGER = frozenset(("memmap", "TextFileReader", "JsonReader", "generator", "map", "filter", "zip", "HDFStore"))

_LONGEST_NAME = 200  # bytes; file systems allow 255, and some formats write a longer name first

_kept: list[Path] = []


@contextlib.contextmanager
def staging_folder(parent: Path | None) -> Iterator[Path]:
    """A new folder that only this process's user may enter; it is removed afterwards, whatever happens.

    Args:
        parent: Where to make it; ``None``: in the system's folder for temporary files.
    """
    folder = Path(tempfile.mkdtemp(prefix=STAGING_NAME, dir=parent))
    try:
        yield folder
    finally:
        if folder not in _kept:
            shutil.rmtree(folder, ignore_errors=True)


def staged_path(folder: Path, name: str) -> Path:
    """Where to stage something called ``name``: file systems allow shorter names than object stores.

    The end of a long name is kept, because formats look at the suffix.

    >>> len(staged_path(Path(), 1000 * "ü" + ".csv").name.encode()) <= _LONGEST_NAME
    True
    """
    return folder / name.encode()[-_LONGEST_NAME:].decode(errors="ignore")


def keep_for_lazy(folder: Path, data: object) -> None:
    """Let ``folder`` stay until the process ends when ``data`` may still read from it.

    A polars scan, an ibis table or an open reader finds its bytes when it is asked, perhaps through objects that were
    derived from it and that nobody can trace. So a folder goes at once only for data that is known to be in memory.
    """
    if not is_eager(data):
        if not _kept:
            atexit.register(_remove_kept, os.getpid())
        _kept.append(folder)


def is_eager(data: object) -> bool:
    """Whether ``data`` certainly holds all that it is made of in memory.

    >>> is_eager({"a": [1.5, "text"]}), is_eager(line for line in "abc")
    (True, False)
    """
    if isinstance(data, Mapping):
        return all(map(is_eager, data.values()))
    if isinstance(data, list | tuple | set):
        return all(map(is_eager, data))
    kind = type(data)
    root = kind.__module__.partition(".")[0]
    if f"{root}.{kind.__name__}" in _EAGER_CLASSES:
        return True
    return root in _EAGER_ROOTS and kind.__name__ not in _NOT_EAGER


def _remove_kept(owner: int) -> None:
    if os.getpid() == owner:  # a forked child must not take its parent's bytes away
        for folder in _kept:
            shutil.rmtree(folder, ignore_errors=True)
