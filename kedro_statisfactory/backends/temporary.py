"""Files and folders that a process needs for a while, and removing those of processes that were killed.

Whoever makes one holds a lock on it (``flock``), which the system takes away when the process ends, whatever ends it.
So another process can tell what nobody needs any more, by taking that lock itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.errors import TransferError

_DIGITS = 10
# Only what was made here is ever removed: older versions of this package, which held no locks, used other lengths.
_NAME = re.compile(rf"{re.escape(STAGING_NAME)}[0-9a-f]{{{_DIGITS}}}")

_HAS_LOCKS = sys.platform != "win32"

_MOST_FOLDERS = 1000  # that a process remembers to have swept
_swept: set[tuple[int, str]] = set()  # folders by process


@dataclass
class Temporary:
    """A file or folder that stays until it is removed, or until the process has ended and another one sweeps.

    Attributes:
        path: Where it is.
        lock: Descriptor that holds the lock; ``None`` where the file system has none.
    """

    path: Path
    lock: int | None

    def check(self) -> None:
        """See that it is still the one that was made.

        Raises:
            TransferError: Somebody has removed it meanwhile, and perhaps a part of what was written to it.
        """
        if self.lock is None:
            return
        try:
            is_there = os.path.samestat(os.fstat(self.lock), os.stat(self.path))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise TransferError(f"somebody has removed {str(self.path)!r} while it was in use: save again.")

    def remove(self) -> None:
        """Remove it, if it is still there, and let go of the lock."""
        lock, self.lock = self.lock, None
        try:
            _remove(self.path)
        finally:
            if lock is not None:
                os.close(lock)


def new_folder(parent: Path | None = None, mode: int = 0o700, path: Path | None = None) -> Temporary:
    """Make a folder, after sweeping its parent once in the life of this process.

    Args:
        parent: Where to make it; ``None``: in the system's folder for temporary files.
        mode: Its mode, from which the umask takes away.
        path: Of one from before, which is gone; absent: a new one.
    """
    if path is not None:
        path.mkdir(mode)
        return Temporary(path, _locked(path))
    return _new(parent, lambda path: os.mkdir(path, mode))


def new_file(parent: Path) -> Temporary:
    """Make an empty file with the mode that the umask leaves, after sweeping as for :func:`new_folder`."""
    return _new(parent, lambda path: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)))


def sweep(parent: Path, dry_run: bool = False) -> list[Path]:
    """Remove from a folder what processes of this user have made there and left behind; gives what that was.

    Args:
        parent: The folder.
        dry_run: Whether to look only.
    """
    if not _HAS_LOCKS:
        return []
    with contextlib.suppress(OSError):  # it may not be listed, or is gone
        found = [Path(each.path) for each in os.scandir(parent) if _NAME.fullmatch(each.name)]
        return [path for path in sorted(found) if _is_left_behind(path, dry_run)]
    return []


def is_held(name: str) -> bool:
    """Whether a process of this machine is at work that has made a file of this name in a temporary folder of its own.

    Args:
        name: Of a file in a folder that :func:`new_folder` has made in the system's folder for temporary files.
    """
    folder = Path(tempfile.gettempdir())
    for path in [folder / each for each in os.listdir(folder) if _NAME.fullmatch(each)]:
        with contextlib.suppress(OSError):  # of another user
            if (path / name).exists():
                try:
                    lock = _locked(path)
                except _Taken:
                    return True
                if lock is not None:
                    os.close(lock)
    return False


def _new(parent: Path | None, make: Callable[[str], None]) -> Temporary:
    folder = tempfile.gettempdir() if parent is None else os.fspath(parent)
    if (key := (os.getpid(), folder)) not in _swept:
        if len(_swept) >= _MOST_FOLDERS:
            _swept.clear()
        _swept.add(key)
        sweep(Path(folder))
    while True:
        path = f"{folder}/{STAGING_NAME}{secrets.token_hex(_DIGITS // 2)}"
        with contextlib.suppress(FileExistsError):
            make(path)
            try:
                return Temporary(Path(path), _locked(path))
            except _Taken:  # by who has swept just now, and took it for one of a process that is gone
                continue


class _Taken(Exception):
    """Another process holds the lock, or has removed the file."""


def _locked(path: Path | str) -> int | None:
    """Take the lock of a file or folder; ``None`` where there are no locks.

    Raises:
        _Taken: Another process was faster.
    """
    if not _HAS_LOCKS:
        return None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _Taken from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            raise _Taken
    except (BlockingIOError, FileNotFoundError, _Taken):
        os.close(descriptor)
        raise _Taken from None
    except OSError:  # network file systems may have none
        os.close(descriptor)
        return None
    return descriptor


def _is_left_behind(path: Path, dry_run: bool) -> bool:
    """Whether the process is gone that has made a file or folder of this user, which is removed then."""
    try:
        if path.lstat().st_uid != os.geteuid():
            return False
        lock = _locked(path)
    except (OSError, _Taken):
        return False
    if lock is None:
        return False
    if dry_run:
        os.close(lock)
    else:
        Temporary(path, lock).remove()
    return True


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all in it; most have a file or none, for which this is the fastest way."""
    text = os.fspath(path)
    try:
        with contextlib.suppress(OSError):  # what was in it may have been moved to where it belongs
            os.rmdir(text)
            return
        if not os.path.islink(text):
            for name in os.listdir(text):
                os.unlink(os.path.join(text, name))
            os.rmdir(text)
            return
    except OSError:  # a file, or a folder with folders in it
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()
