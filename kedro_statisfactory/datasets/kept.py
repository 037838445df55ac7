"""Copies that lazy data may still read from: each content once, and a bounded number of them."""

from __future__ import annotations

import contextlib
import filecmp
import logging
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.io.core import AbstractDataset

from kedro_statisfactory.datasets.noting import files_of
from kedro_statisfactory.datasets.staging import StagingFolder

_LOGGER = logging.getLogger("kedro.statisfactory")

# Roots of the modules whose objects hold their data in memory once they are loaded …
_EAGER_ROOTS = frozenset("collections datetime numpy pandas geopandas sklearn matplotlib PIL networkx plotly".split())
# … and single classes of modules that have lazy ones, too.
_EAGER_CLASSES = frozenset(("polars.DataFrame", "polars.Series"))
_EAGER_BUILTINS = frozenset((bool, bytearray, bytes, complex, float, int, range, str, type(None)))
_NOT_EAGER = frozenset(("memmap", "TextFileReader", "JsonReader", "HDFStore"))
# Formats that read all of a file, whatever the class of what was in it.
_EAGER_FORMATS = frozenset(f"kedro_datasets.{name}Dataset" for name in ("json.JSON", "text.Text", "yaml.YAML"))
_PICKLE = "kedro_datasets.pickle.PickleDataset"

#: The most copies that a process keeps, but for the newest of each URL.
MOST_COPIES = 50
# And the most of the disk that they may take.
_LARGEST_SHARE = 0.25


@dataclass(frozen=True)
class _Kept:
    """A copy that stays.

    Attributes:
        folder: In which it is.
        copy: The file or folder.
        url: Of which it is a copy.
        size: Bytes.
        state: Tells whether somebody has changed it since.
    """

    folder: StagingFolder
    copy: Path
    url: str
    size: int
    state: object


_kept: list[_Kept] = []  # the one that was used last stands at the end
_lock = threading.Lock()


def keep_for_lazy(
    folder: StagingFolder | None, copy: Path, url: str, data: object, inner: AbstractDataset[Any, Any]
) -> bool:
    """Let a copy stay when ``data`` may still read from it; gives whether it does.

    A polars scan, an ibis table or an open reader finds its bytes when it is asked, perhaps through objects that were
    derived from it and that nobody can trace. So a copy goes at once only for data that is known to be in memory.
    The others go when the process ends, or when there are too many.

    Args:
        folder: With the copy; ``None``: it is the file itself, which stays anyway.
        copy: What was loaded.
        url: Of which it is a copy.
        data: What the format made of it.
        inner: The format.
    """
    if folder is None or reads_all(inner) or is_eager(data):
        return False
    if not folder.stays:
        folder.stays = True
        with _lock:
            if not _kept:
                # Unlike atexit it serves the processes of multiprocessing too, and only the one that it was made in.
                from multiprocessing.util import Finalize

                Finalize(None, _remove_all, exitpriority=0)
            _kept.append(_Kept(folder, copy, url, _size_of(copy), _state_of(copy)))
            _remove_surplus()
    return True


def same_as(copy: Path, url: str) -> _Kept | None:
    """A copy of the same URL with the same content that is kept already, and that nobody has changed."""
    if not any(each.url == url for each in list(_kept)):
        return None
    size = _size_of(copy)
    with _lock:
        for each in reversed(_kept):
            if (each.url, each.size) == (url, size) and _state_of(each.copy) == each.state and _equal(each.copy, copy):
                _kept.remove(each)
                _kept.append(each)
                return each
    return None


def _remove_surplus() -> None:
    """Remove copies of what was replaced since, those first that were not used for the longest time.

    The newest copy of a URL stays: what was made of it is in use, as far as anybody knows.
    """
    room = shutil.disk_usage(_kept[-1].folder.path).total * _LARGEST_SHARE
    newest = {each.url: each for each in _kept}
    for oldest in [each for each in _kept if newest[each.url] is not each]:
        if len(_kept) <= MOST_COPIES and sum(each.size for each in _kept) <= room:
            return
        _kept.remove(oldest)
        _LOGGER.info(
            "The copy that lazy data of %r may read from is dropped, because it was replaced since.", oldest.url
        )
        oldest.folder.temporary.remove()


def _files_of(copy: Path) -> list[Path]:
    return files_of(copy) if copy.is_dir() else [copy]


def _size_of(copy: Path) -> int:
    return sum(path.lstat().st_size for path in _files_of(copy))  # a link takes no room


def _state_of(copy: Path) -> object:
    with contextlib.suppress(OSError):
        return [(path, (found := path.stat()).st_mtime_ns, found.st_size, found.st_ino) for path in _files_of(copy)]
    return None


def _equal(one: Path, other: Path) -> bool:
    """Whether two files, or folders with all that is in them, hold the same bytes."""
    pairs = [[(path.relative_to(root), path) for path in _files_of(root)] for root in (one, other)]
    return len(pairs[0]) == len(pairs[1]) and all(
        a[0] == b[0] and (a[1].samefile(b[1]) or filecmp.cmp(a[1], b[1], shallow=False))
        for a, b in zip(*pairs, strict=True)
    )


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


def _remove_all() -> None:
    while _kept:
        _kept.pop().folder.temporary.remove()


def _forget() -> None:
    """Leave the copies to the parent, of which this process is a fork."""
    global _lock
    _kept.clear()
    _lock = threading.Lock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)
