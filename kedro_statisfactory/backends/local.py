"""The local file system: every write appears whole, and stays after a loss of power."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import ParseResult

from kedro_statisfactory.backends.base import STAGING_NAME, Backend, ObjectInfo
from kedro_statisfactory.errors import InvalidURL, ObjectNotFound, PermissionDenied, StatisfactoryError, TransferError
from kedro_statisfactory.location import checked, full_path, unparse

_BUFFER = 1 << 20
# A segment of a path as this package names what is not published: mkdtemp adds 8 characters, _temporary_beside 12.
_IS_STAGING = re.compile(rf"(^|/){re.escape(STAGING_NAME)}[0-9a-z_]{{8,12}}(/|$)")
# Where a Kedro project stages what it saves: nobody takes this folder for data, or for a change of the code.
_STAGING_FOLDER = ".statisfactory"
_AT_FDCWD = -100  # <fcntl.h> of Linux: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # renameat2(2)


class LocalFS(Backend, prefix="", aliases=("file",)):
    """Files and folders of this machine.

    A file is written beside its target under a temporary name, brought to the disk, and renamed: whoever reads sees the
    whole old or the whole new one. New files get the mode that the umask leaves; a replaced file keeps its mode and,
    where the process may set it, its owner. A symbolic link stays one: what it points to is replaced.

    Credentials are accepted and not needed, so that an entry can move between disk and S3 by its URL alone.
    """

    def check_options(self, *, load_args: Mapping[str, Any], save_args: Mapping[str, Any]) -> None:
        """Refuse any: there are none."""
        self._refuse_unknown({**load_args, **save_args})

    def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None:
        """Store ``payload`` as a file, creating the folders above it.

        Raises:
            PermissionDenied: The file or its folder may not be written.
            TransferError: A folder is in the way, the disk is full, …
        """
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            target = self._target(fragment)
            with _temporary_beside(target) as temporary:
                with _created(temporary) as file:
                    file.write(payload)
                _publish_file(temporary, target)

    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        """Read a file.

        Raises:
            ObjectNotFound: There is no file.
            PermissionDenied: It may not be read.
        """
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            return _path(fragment).read_bytes()

    def upload(self, *, source: Path, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store a file or folder; one that may be consumed is renamed when it stands on the same file system."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            target = self._target(fragment)
            if consume:
                try:
                    _publish(source, target)
                    return
                except OSError as error:
                    if error.errno != errno.EXDEV:  # another mount, perhaps of the same file system
                        raise
            with _temporary_beside(target) as temporary:
                if source.is_dir():
                    shutil.copytree(source, temporary)
                else:
                    with _created(temporary) as file, source.open("rb") as original:
                        shutil.copyfileobj(original, file, _BUFFER)
                _publish(temporary, target)

    def download(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
        """Copy a file or folder to ``target``."""
        source = self.local_path(fragment=fragment, **kwargs)
        with _translated(fragment):
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)

    def local_path(self, *, fragment: ParseResult, **kwargs: Any) -> Path:
        """The file or folder itself."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            path = _path(fragment)
            path.stat()
            return path

    def staging_parent(self, *, fragment: ParseResult) -> Path | None:
        """A folder of the Kedro project on the file system of the target, else the folder of the target.

        Within the project because a listing of the target's folder, as PartitionedDataset makes it, would find what is
        being written, and what a killed process has left.
        """
        with _translated(fragment):
            folder = self._target(fragment).parent
            return _staging_folder_for(folder) or folder

    def exists(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether there is a file or folder.

        Raises:
            PermissionDenied: A folder above it may not be searched, so nobody knows.
        """
        try:
            self.stat(fragment=fragment, **kwargs)
        except ObjectNotFound:
            return False
        return True

    def stat(self, *, fragment: ParseResult, **kwargs: Any) -> ObjectInfo:
        """Size and time of a file or folder."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            return _info("", _path(fragment))

    def list(self, *, fragment: ParseResult, **kwargs: Any) -> Iterator[ObjectInfo]:
        """All files below a folder."""
        self._refuse_unknown(kwargs)
        with _translated(fragment):
            root = _path(fragment)
            found = sorted(
                path
                for folder, _, names in os.walk(root, onerror=_raise_unless_absent)
                for path in (Path(folder, name).relative_to(root).as_posix() for name in names)
                if not _IS_STAGING.search(path)
            )
            for path in found:
                with contextlib.suppress(FileNotFoundError):  # removed since the walk: it is not there
                    yield _info(path, root / path)

    def delete(self, *, fragment: ParseResult, **kwargs: Any) -> None:
        """Remove a file or folder."""
        self._refuse_unknown(kwargs)
        with _translated(fragment), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path = _path(fragment)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            _sync_folder(path.parent)

    def _target(self, fragment: ParseResult) -> Path:
        """Where a write goes: links followed, folders above it created."""
        target = Path(os.path.realpath(_path(fragment)))
        self._create_parents(target)
        return target

    def _create_parents(self, path: Path) -> None:
        """Create all folders above ``path``, so that they are still there after a loss of power.

        Args:
            path: The file or folder that is going to be written.
        """
        if not path.parent.is_dir():
            self._create_parents(path.parent)
            path.parent.mkdir(exist_ok=True)
            _sync_folder(path.parent.parent)


def _staging_folder_for(folder: Path) -> Path | None:
    """Where the project around ``folder`` stages what it saves; ``None`` without one, or on another file system."""
    for root in (folder, *folder.parents):
        if _is_kedro_project(root):
            staging = root / _STAGING_FOLDER
            try:
                staging.mkdir(exist_ok=True)
                if not (staging / ".gitignore").exists():
                    (staging / ".gitignore").write_text("*\n")
                same = staging.stat().st_dev == folder.stat().st_dev
            except OSError:  # the project is read-only
                return None
            return staging if same and os.access(staging, os.W_OK) else None
    return None


@functools.lru_cache(maxsize=1024)
def _is_kedro_project(folder: Path) -> bool:
    try:
        return "[tool.kedro]" in (folder / "pyproject.toml").read_text()
    except (OSError, ValueError):
        return False


def _path(fragment: ParseResult) -> Path:
    checked(fragment)
    if fragment.netloc not in ("", "localhost"):
        raise InvalidURL(
            f"the URL {unparse(fragment)!r} names the host {fragment.netloc!r}: a file URL has three slashes, "
            f"as in 'file:///{fragment.netloc}{full_path(fragment)}'."
        )
    return Path(os.path.expanduser(full_path(fragment)))  # Path.expanduser fails at a name that is no user's


@contextlib.contextmanager
def _translated(fragment: ParseResult) -> Iterator[None]:
    """Errors of the operating system as ours, most specific first."""
    url = unparse(fragment)
    try:
        yield
    except StatisfactoryError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ObjectNotFound(f"there is no file {url!r}.") from error
    except PermissionError as error:
        raise PermissionDenied(f"the file system does not allow it: {url!r} ({error.strerror}).") from error
    except IsADirectoryError as error:
        raise TransferError(f"{url!r} is a folder where a file is meant: move it away or name another path.") from error
    except FileExistsError as error:
        what = error.strerror if error.filename is None else "folder"  # mkdir names what is in its way
        raise TransferError(
            f"{url!r}, or something above it, is already there and is no {what}: move it away."
        ) from error
    except OSError as error:
        raise TransferError(f"the file system failed at {url!r}: {error.strerror or error}.") from error


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _info(path: str, file: Path) -> ObjectInfo:
    status = file.stat()
    return ObjectInfo(path, status.st_size, datetime.fromtimestamp(status.st_mtime, tz=timezone.utc))


@contextlib.contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    """A free path in the folder of ``target``, for a file or a folder; what is left there afterwards is removed."""
    temporary = target.with_name(f"{STAGING_NAME}{secrets.token_hex(6)}")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def _created(path: Path) -> BinaryIO:
    """A new file open for writing, with the mode that the umask leaves, which ``tempfile`` would not give it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb")


def _publish(source: Path, target: Path) -> None:
    """Let a file or folder take the place of ``target``, on the same file system."""
    parent = target.parent.stat()
    if parent.st_mode & stat.S_ISGID:  # what is made in such a folder belongs to its group
        for path in (source, *source.rglob("*")):
            with contextlib.suppress(PermissionError):
                os.chown(path, -1, parent.st_gid, follow_symlinks=False)
                if path.is_dir() and not path.is_symlink():
                    path.chmod(path.stat().st_mode | stat.S_ISGID)
    if source.is_dir():
        _publish_folder(source, target)
    else:
        _publish_file(source, target)


def _publish_file(source: Path, target: Path) -> None:
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
        _keep_owner_and_mode(source, old)
    source.replace(target)
    _sync_folder(target.parent)


def _publish_folder(source: Path, target: Path) -> None:
    """Let the folder ``source`` take the place of ``target``; what was there is at ``source`` afterwards."""
    for folder, _, names in os.walk(source, topdown=False):
        for name in names:
            if not os.path.islink(file := Path(folder, name)):
                _sync_file(file)
        _sync_folder(Path(folder))
    old = _status(target)
    if old is None:
        source.rename(target)
    elif not stat.S_ISDIR(old.st_mode):
        raise FileExistsError(errno.EEXIST, "folder")
    else:
        _keep_owner_and_mode(source, old)
        _exchange(source, target)
    _sync_folder(target.parent)


def _exchange(one: Path, other: Path) -> None:
    """Let two folders change places.

    Linux does it in one step. Elsewhere, and on file systems without that call, there is an instant in which the
    name of ``other`` is free; a crash just then leaves its old content under a temporary name beside it.
    """
    if not _exchange_in_one_step(one, other):
        aside = other.with_name(f"{STAGING_NAME}{secrets.token_hex(6)}")
        other.rename(aside)
        try:
            one.rename(other)
        except BaseException:  # an interrupt, too, must not leave the name free
            aside.rename(other)
            raise
        aside.rename(one)


def _exchange_in_one_step(one: Path, other: Path) -> bool:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        return False
    failed = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if failed and ctypes.get_errno() == errno.EXDEV:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return not failed


def _keep_owner_and_mode(path: Path, old: os.stat_result) -> None:
    new = path.stat()
    if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with contextlib.suppress(PermissionError):  # only root may give files away
            os.chown(path, old.st_uid, old.st_gid)
    if old.st_mode != new.st_mode:
        path.chmod(stat.S_IMODE(old.st_mode))


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _sync_file(path: Path) -> None:
    # Windows syncs only what is open for writing; elsewhere a file that may only be read has to do.
    with path.open("rb" if hasattr(os, "O_DIRECTORY") else "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, where the system lets a folder be opened (Windows does not)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
