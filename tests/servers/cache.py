"""What takes long to get or to build is kept for the next time, in the cache of the user."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """Where it is kept."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "kedro-statisfactory")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is here; the lock of one that was killed goes with it."""
    import fcntl  # not on Windows, where nothing of this is

    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
