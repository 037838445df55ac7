"""Storing and fetching by a file system of fsspec, and walking through its folders."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.backends.filesystems import dav
from kedro_statisfactory.backends.filesystems.errors import is_missing
from kedro_statisfactory.backends.filesystems.known import OBJECT_STORES
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.transfer import is_folder_marker

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Whose ways to store and to move say so when they fail; of others (jupyter) some say nothing.
_TELLING = frozenset("dbfs ftp hdfs sftp smb ssh webdav webhdfs".split())
# Between the random part of the name of a file that has gone aside and what it was called.
_BEFORE = "-before-"
_LONGEST_NAME = 255  # bytes
_IN_MEMORY = "memory"  # fsspec's, whose files are seen while they are written
_TIMES = ("mtime", "modified", "last_modified", "LastModified", "updated", "created")
_CHECKSUMS = ("etag", "ETag", "checksum")


def store(file_system: AbstractFileSystem, prefix: str, source: Path | bytes, path: str) -> None:
    """Store a file or bytes; whoever reads sees the old object or the new one, as far as the place allows that.

    In an object store an object appears when it is whole. A file is written beside its place and moved there, where
    the file system can move.
    """
    if prefix in OBJECT_STORES or not (prefix == dav.WEBDAV or _can_move(file_system)):
        _send(file_system, prefix, source, path)
        return
    if prefix == dav.WEBDAV:
        dav.refuse_changed_names(file_system, path)
    temporary = _beside(path)
    try:
        _send(file_system, prefix, source, temporary)
        if prefix not in _TELLING:
            file_system.info(temporary)
        if prefix == dav.WEBDAV:
            dav.move(file_system, temporary, path)
        else:
            _replace(functools.partial(_move, file_system, prefix), file_system, temporary, path)
    except BaseException:  # an interrupt, too
        with contextlib.suppress(Exception):
            file_system.rm_file(temporary)
        raise


def fetch(file_system: AbstractFileSystem, prefix: str, path: str, target: Path) -> bool:
    """Fetch a file; gives whether it was one, and not a folder.

    Raises:
        FileNotFoundError: There is no file. In an object store there may be a folder.
    """
    try:
        if prefix == _IN_MEMORY:
            target.write_bytes(file_system.cat_file(path))
        else:
            file_system.get_file(path, str(target))
    except IsADirectoryError:
        return False
    except BaseException:  # an interrupt, too
        target.unlink(missing_ok=True)  # several make it first
        raise
    return target.is_file()


def below(file_system: AbstractFileSystem, folder: str) -> Iterator[dict[str, Any]]:
    """What fsspec tells of all files and folders below a folder, a folder before what is in it.

    fsspec's own `find` takes a folder that may not be read for an empty one.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    for info in file_system.ls(folder, detail=True):
        name = info["name"].rstrip("/")
        if name.strip("/") == folder.strip("/"):  # it is a file, or an object store's mark of a folder
            continue
        yield {**info, "name": name}
        if info["type"] == "directory":
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                yield from below(file_system, name)


def is_hidden(info: ObjectInfo) -> bool:
    """Whether something is none of a folder's files: it is being written, was left by who was killed, or is a mark."""
    is_staged = info.path.rpartition("/")[2].startswith(STAGING_NAME)
    return is_staged or is_folder_marker(info.path, info.size)


def described(path: str, info: dict[str, Any]) -> ObjectInfo:
    """What fsspec tells of a file, in our words."""
    times = (info[name] for name in _TIMES if isinstance(info.get(name), datetime))
    modified = next(times, None)
    if modified is not None and modified.tzinfo is None:
        modified = modified.replace(tzinfo=timezone.utc)
    checksums = (info[name] for name in _CHECKSUMS if isinstance(info.get(name), str))
    return ObjectInfo(path, int(info["size"] or 0), modified, next(checksums, None))


def _can_move(file_system: AbstractFileSystem) -> bool:
    """Whether a file system has a way of its own to move; fsspec's is to copy and to remove."""
    from fsspec import AbstractFileSystem as Base

    return type(file_system).mv is not Base.mv


def _send(file_system: AbstractFileSystem, prefix: str, source: Path | bytes, path: str) -> None:
    """Send a file or bytes, and make the folders above where the file system says that there are none."""

    def send() -> None:
        if isinstance(source, bytes):
            file_system.pipe_file(path, source)
        elif prefix == _IN_MEMORY:
            file_system.pipe_file(path, source.read_bytes())
        else:
            file_system.put_file(str(source), path)

    try:
        send()
    except Exception as error:  # several libraries say of a missing folder what they say of anything
        folder = path.rpartition("/")[0]
        has_none = is_missing(error) or (prefix == "ftp" and not file_system.isdir(folder))
        if prefix in OBJECT_STORES or not has_none:
            raise
        _make_folders(file_system, folder)
        send()


def _make_folders(file_system: AbstractFileSystem, folder: str) -> None:
    try:
        file_system.makedirs(folder, exist_ok=True)
    except Exception:  # several libraries do not know `exist_ok`
        if not file_system.isdir(folder):  # another one has made it at the same moment
            raise


def _move(file_system: AbstractFileSystem, prefix: str, source: str, target: str) -> None:
    file_system.mv(source, target)
    if prefix not in _TELLING and file_system.exists(source):
        raise FileExistsError(f"{source} was not moved to {target}")


def _replace(move: Callable[[str, str], None], file_system: AbstractFileSystem, source: str, target: str) -> None:
    """Move a file to a place where there may be one."""
    try:
        move(source, target)
    except Exception:  # each library says in its own way that there is something
        # Several protocols have no rename that replaces: the old file goes aside, and comes back if that was not it.
        if not file_system.isfile(target):
            raise
        aside = _aside(target)
        move(target, aside)
        try:
            move(source, target)
        except BaseException:  # an interrupt, too
            move(aside, target)
            raise
        file_system.rm_file(aside)


def _aside(path: str) -> str:
    """A name for an old file that tells what it was, in case that nobody gets to moving it back."""
    told = f"{_beside(path)}{_BEFORE}{path.rpartition('/')[2]}"
    return told if len(told.rpartition("/")[2].encode()) <= _LONGEST_NAME else _beside(path)


def name_before(name: str) -> str:
    """What a file was called that has gone aside; of other files, nothing.

    >>> name_before(".statisfactory-0123456789-before-x.csv")
    'x.csv'
    """
    return name.partition(_BEFORE)[2] if name.startswith(STAGING_NAME) else ""


def _beside(path: str) -> str:
    """A name in the same folder that nobody has."""
    return f"{path.rpartition('/')[0]}/{STAGING_NAME}{secrets.token_hex(5)}"
