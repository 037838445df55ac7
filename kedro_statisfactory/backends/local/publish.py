"""Letting a file or folder that was written elsewhere take the place of another, at once and for good."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.backends.local.attributes import as_far_as_possible, inherit, pass_on, take_over
from kedro_statisfactory.backends.temporary import new_file, new_folder

_AT_FDCWD = -100  # <fcntl.h> of Linux: paths are relative to the working directory
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2  # renameat2(2)
# What file systems say that cannot do it, and will not next time: CIFS, vboxsf, some FUSE.
_CANNOT_SYNC_FOLDERS = frozenset((errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))
# What link(2) says where the file system knows no second names.
_CANNOT_LINK = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))


@contextlib.contextmanager
def temporary_beside(target: Path, is_folder: bool = False) -> Iterator[Path]:
    """A new file or folder in the folder of ``target``; what is left of it afterwards is removed.

    It has the mode that the umask leaves, which ``tempfile`` would not give it.
    """
    temporary = new_folder(target.parent, mode=0o777) if is_folder else new_file(target.parent)
    try:
        yield temporary.path
    finally:
        temporary.remove()


def publish(source: Path, target: Path) -> None:
    """Let a file or folder take the place of ``target``, on the same file system."""
    _give_to_group_of(os.path.dirname(target), source)
    if os.path.isdir(source):
        _publish_folder(source, target)
    else:
        publish_file(source, target)


def publish_new(source: Path, target: Path) -> None:
    """Let a file or folder become ``target``, on the same file system, where nothing is; of several, one succeeds.

    Raises:
        FileExistsError: Something is there.
    """
    _give_to_group_of(target.parent, source)
    if source.parent != target.parent:
        inherit(source, target.parent)
    if source.is_dir():
        pass_on(source, None)
        _sync_files_of(source)
    else:
        _sync_file(source)
    if not _rename(source, target, _RENAME_NOREPLACE):
        (_claim_folder if source.is_dir() else _claim_file)(source, target)
    sync_folder(target.parent)


def _claim_file(source: Path, target: Path) -> None:
    """Let a file become ``target`` by a second name; without such, an empty file is there for an instant."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        with target.open("xb"):
            pass
        with contextlib.ExitStack() as if_that_fails:
            if_that_fails.callback(target.unlink)
            source.replace(target)
            if_that_fails.pop_all()


def _claim_folder(source: Path, target: Path) -> None:
    """Let a folder become ``target``, which is an empty folder for an instant, but for Windows."""
    with contextlib.ExitStack() as if_that_fails:
        if sys.platform != "win32":  # where a rename does not replace anything
            target.mkdir()
            if_that_fails.callback(target.rmdir)
        source.rename(target)
        if_that_fails.pop_all()


def _give_to_group_of(folder: Path | str, source: Path) -> None:
    """What is made in a folder with that bit belongs to the folder's group."""
    parent = os.stat(folder)
    if parent.st_mode & stat.S_ISGID:
        for path in (source, *source.rglob("*")):
            with as_far_as_possible():
                os.chown(path, -1, parent.st_gid, follow_symlinks=False)
                if path.is_dir() and not path.is_symlink():
                    path.chmod(path.stat().st_mode | stat.S_ISGID)


def publish_file(source: Path, target: Path) -> None:
    """Let the file ``source`` take the place of ``target``, on the same file system, and bring both to the disk."""
    _sync_file(source)
    old = _status(target)
    if old is not None:
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(old.st_mode):
            raise FileExistsError(errno.EEXIST, "regular file")
        if not os.access(target, os.W_OK):  # the folder would allow it, but its owner said no
            raise PermissionError(errno.EACCES, "the file is read-only")
        take_over(source, target, old)
    elif source.parent != target.parent:
        inherit(source, target.parent)
    os.replace(source, target)
    sync_folder(os.path.dirname(target))


def _publish_folder(source: Path, target: Path) -> None:
    """Let the folder ``source`` take the place of ``target``; what was there is at ``source`` afterwards."""
    _sync_files_of(source)
    old = _status(target)
    if old is None:
        inherit(source, target.parent)
        pass_on(source, None)
        source.rename(target)
    elif not stat.S_ISDIR(old.st_mode):
        raise FileExistsError(errno.EEXIST, "folder")
    else:
        take_over(source, target, old)
        pass_on(source, target)
        _exchange(source, target)
    sync_folder(target.parent)


def _exchange(one: Path, other: Path) -> None:
    """Let two folders change places.

    Linux does it in one step. Elsewhere, and on file systems without that call, there is an instant in which the
    name of ``other`` is free; a crash just then leaves its old content under a temporary name beside it.
    """
    if not _rename(one, other, _RENAME_EXCHANGE):
        aside = other.with_name(f"{STAGING_NAME}{secrets.token_hex(6)}")
        other.rename(aside)
        try:
            one.rename(other)
        except BaseException:  # an interrupt, too, must not leave the name free
            aside.rename(other)
            raise
        aside.rename(one)


def _rename(one: Path, other: Path, flag: int) -> bool:
    """Rename as Linux alone can; ``False`` where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        return False
    failed = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flag)
    if failed and ctypes.get_errno() in (errno.EXDEV, errno.EEXIST):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return not failed


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _sync_files_of(source: Path) -> None:
    for folder, _, names in os.walk(source, topdown=False):
        for name in names:
            if not os.path.islink(file := Path(folder, name)):
                _sync_file(file)
        sync_folder(Path(folder))


def _sync_file(path: Path) -> None:
    # Windows syncs only what is open for writing; elsewhere a file that may only be read has to do.
    descriptor = os.open(path, os.O_RDONLY if hasattr(os, "O_DIRECTORY") else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path | str) -> None:
    """Bring the names in a folder to the disk, where the system lets a folder be opened (Windows does not)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC_FOLDERS:
                raise
        finally:
            os.close(descriptor)
