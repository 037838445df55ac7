"""How much room the copies take: it is counted as they are made, and those go first that nobody has used lately."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from kedro_statisfactory.backends.cache.names import Copy, copy_of

# A file that grows by a byte for so many bytes that are added. Processes can append to one file side by side, so that
# nobody has to look at all copies, or to hold a lock, to know about how much room they take.
_UNIT = 1 << 16
_COUNTER = "added"
# Of what the disk has left, and what the cache takes of it.
_SHARE = 10
# To which part of the limit copies are dropped, so that not each one that is added drops another.
_AFTER = 0.9


def limit_in(root: str, size: int, taken: int) -> int:
    """The most bytes that the copies may take.

    Args:
        root: The folder with all copies.
        size: What the user gives the cache.
        taken: What they take now, about.
    """
    return min(size, (shutil.disk_usage(root).free + taken) // _SHARE)


def make_room(root: str, size: int, more: int) -> bool:
    """Count a copy that is going to be made, and drop others where it does not fit beside them; gives whether it fits.

    Args:
        root: The folder with all copies.
        size: What the user gives the cache.
        more: Bytes of the copy.
    """
    counter = os.open(os.path.join(root, _COUNTER), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        limit = limit_in(root, size, os.fstat(counter).st_size * _UNIT)
        fits = more <= limit
        if fits:
            os.write(counter, bytes(_units(more)))  # before it is there: one too many is found out, one too few is not
        is_too_much = os.fstat(counter).st_size * _UNIT > limit
    finally:
        os.close(counter)
    if is_too_much:
        drop_oldest(root, limit, more if fits else 0)
    return fits


def drop_oldest(root: str, limit: int, more: int = 0) -> int:
    """Drop copies that were not used for the longest time, and count those that are left; gives their bytes.

    Args:
        root: The folder with all copies.
        limit: Bytes that they may take; less is left, so that this is not needed for each new one.
        more: Bytes of a copy that is going to be made.
    """
    found = [(status.st_ctime_ns, status.st_size, copy) for copy, status in all_copies(root)]
    total = more + sum(size for _, size, _ in found)
    if total > limit:
        for _, size, copy in sorted(found, key=lambda each: each[0]):
            if total <= limit * _AFTER:
                break
            drop(copy)
            total -= size
    os.truncate(os.path.join(root, _COUNTER), _units(total))
    return total - more


def all_copies(root: str) -> Iterator[tuple[Copy, os.stat_result]]:
    """All copies, with what the file system says of them.

    The time of the last change (``st_ctime``) of a file is that of its last use: a link to it was made or removed.
    """
    for folder in _folders(root):
        for each in _entries(folder):
            if (copy := copy_of(folder, each.name)) is not None:
                with contextlib.suppress(FileNotFoundError):  # another process has dropped it
                    yield copy, os.stat(each.path, follow_symlinks=False)


def drop(copy: Copy) -> None:
    """Drop a copy; whoever has a link to it keeps the bytes."""
    folder = os.path.dirname(copy.path)
    with contextlib.suppress(OSError):  # another process was faster, or Windows has it open
        os.unlink(copy.path)
        left = _entries(folder)
        if not any(copy_of(folder, each.name) for each in left):
            for note in left:
                os.unlink(note)
            os.rmdir(folder)


def drop_everything(root: str) -> None:
    """Drop all copies, and whatever else is in their folder."""
    for folder in _folders(root):
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.truncate(os.path.join(root, _COUNTER), 0)


def _folders(root: str) -> Iterator[str]:
    """The folders of all locations."""
    for outer in _entries(root):
        if outer.is_dir(follow_symlinks=False):
            yield from (inner.path for inner in _entries(outer.path))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as found:  # it may be gone meanwhile, or be a file
        return list(found)
    return []


def _units(size: int) -> int:
    return -(-size // _UNIT)
