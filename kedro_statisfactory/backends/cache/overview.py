"""What is in the cache, for who looks at it or empties it."""

from __future__ import annotations

from dataclasses import dataclass

from kedro_statisfactory.backends.cache import room
from kedro_statisfactory.backends.cache.place import cache_folder, trusted


@dataclass(frozen=True)
class Overview:
    """What the cache has.

    Attributes:
        folder: Where it is; ``None``: it is off.
        copies: How many it has.
        size: Their bytes.
        limit: The most bytes that they may take, as the disk is now.
    """

    folder: str | None
    copies: int = 0
    size: int = 0
    limit: int = 0


def overview(size: int) -> Overview:
    """Look at the cache.

    Args:
        size: What the project gives it.

    Raises:
        OSError: Its folder is not to be trusted, or none.
    """
    folder = cache_folder()
    if folder is None or not size:
        return Overview(None)
    root = trusted(folder, make=True) or folder
    sizes = [status.st_size for _, status in room.all_copies(root)]
    return Overview(folder, len(sizes), sum(sizes), room.limit_in(root, size, sum(sizes)))


def empty() -> None:
    """Drop all copies; whoever reads one at the moment keeps it.

    Raises:
        OSError: As for :func:`overview`.
    """
    if (folder := cache_folder()) and (root := trusted(folder)):
        room.drop_everything(root)
