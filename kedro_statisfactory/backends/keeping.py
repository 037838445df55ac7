"""Keeping what was moved just now in the cache, where that may be done."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.cache import ContentCache, Copy, Key
from kedro_statisfactory.backends.cache.copies import LEAST
from kedro_statisfactory.backends.transfer import Part


def keep(
    cache: ContentCache, key: Key | None, source: Path | bytes, fingerprint: str, crc32: int | None = None
) -> Copy | None:
    """Keep what was loaded or saved just now; gives the copy, if there is one.

    Args:
        cache: Where.
        key: Of the location; ``None``: it is not to be kept.
        source: The bytes, or a file that nobody changes any more.
        fingerprint: What the service calls the content.
        crc32: Of the content, where it is known; absent: it is computed.
    """
    if key is None or not _may_be_kept(source):
        return None
    return cache.keep(key, source, fingerprint, transfer.crc32_of(source) if crc32 is None else crc32)


def _may_be_kept(source: Path | bytes) -> bool:
    """Whether something is large enough and, being a file, nobody else's: a format may have made a link to a user's."""
    if not isinstance(source, Path):
        return len(source) >= LEAST
    found = os.lstat(source)
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size >= LEAST


def holds(cache: ContentCache, copy: Copy, source: Path | bytes) -> bool:
    """Whether a copy that is as it was noted has the very bytes of a file, or of what is in memory."""
    if copy.size != transfer.size_of(source) or not cache.is_good(copy):
        return False
    kept = Path(copy.path)

    def is_equal(part: Part, stop: threading.Event) -> bool:
        if isinstance(source, Path):
            pairs = zip(transfer.read_chunks(source, part), transfer.read_chunks(kept, part), strict=True)
            return all(one == other for one, other in pairs)
        return transfer.read_part(source, part) == transfer.read_part(kept, part)

    try:
        found = transfer.in_parallel(is_equal, transfer.parts(copy.size, transfer.DOWNLOAD_PART), 2)
    except (OSError, ValueError):  # the cache has dropped it meanwhile, or somebody has cut it off
        return False
    return all(found) and cache.is_good(copy)
