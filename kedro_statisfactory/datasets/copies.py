"""Where a format reads: the file itself, or a private copy of it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.datasets.engines import refuse_cluster, refuse_handle
from kedro_statisfactory.datasets.formats import Format
from kedro_statisfactory.datasets.kept import same_as
from kedro_statisfactory.datasets.noting import note_copy, noting_in_place
from kedro_statisfactory.datasets.sets import main_of, names_beside
from kedro_statisfactory.datasets.staging import (
    COPIES,
    StagingFolder,
    StagingFolders,
    is_odd,
    named_when_full,
    staged_path,
    staging_folder,
)
from kedro_statisfactory.errors import InvalidFormat
from kedro_statisfactory.location import basename, beside

# Where Linux says what a process has open.
_OPEN = "/proc/self/fd"

# Path, time of the last write in nanoseconds, and size of each of some files.
Lent = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Copy:
    """What a format reads.

    Attributes:
        whole: The file or folder, with all that belongs to it.
        folder: The private folder that goes with it; ``None``: it is used where it is.
        is_private: Whether it is a copy, so that a change of it changes nothing else.
        pattern: Of the files in it, for a format that is given one.
        is_alias: Whether its files are links to those that are meant, which take no room.
        has_more: Whether files that belong to it may stand beside it.
    """

    whole: Path
    folder: StagingFolder | None = None
    is_private: bool = False
    pattern: str = ""
    is_alias: bool = False
    has_more: bool = False

    @property
    def path(self) -> Path:
        """The path that the format is given."""
        return self.whole / self.pattern if self.pattern else main_of(self.whole)

    def or_the_same(self, url: str) -> Copy:
        """A copy of the same content that is kept already, where there is one.

        Args:
            url: Of which it is a copy.
        """
        kept = same_as(self.whole, url) if self.is_private and not self.is_alias else None
        return dataclasses.replace(self, whole=kept.copy, folder=kept.folder) if kept else self

    def lent(self) -> Lent:
        """Those of its files that others may read, too, by links of theirs."""
        if self.folder is None or self.is_alias:
            return ()
        return tuple(_lent_at(os.fspath(self.folder.path if self.has_more else self.whole)))

    def state(self) -> object:
        """Something that is equal as long as nobody has changed the copy."""
        files = sorted(path for path in self.whole.parent.rglob("*") if path.is_file())
        return [(path, (found := path.stat()).st_mtime_ns, found.st_size) for path in files]


def is_read_there(path: Path, format_: Format) -> bool:
    """Whether a format can read a file or folder where it is, and takes no part of its path for a pattern."""
    return not (format_.takes_patterns and is_odd(path))


@contextlib.contextmanager
def local_copy(
    backend: Backend,
    where: ParseResult,
    options: Mapping[str, Any],
    format_: Format,
    again: Copy | None = None,
    shared: bool = True,
    folders: StagingFolders | None = None,
    fetched: bytes | None = None,
) -> Iterator[Copy]:
    """Give what a format reads.

    Args:
        backend: Brings it.
        where: The location.
        options: Of the backend, for that.
        format_: What reads.
        again: A copy from before, whose place is used once more, because a dataset knows it by that.
        shared: Whether it may be lent, to be read by others as well.
        folders: Where to put one of many; ``None``: into a folder of its own.
        fetched: What is there, if it was fetched already.

    Raises:
        FileNotFoundError: Nothing is there.
        InvalidFormat: The format would take a part of the path for a pattern.
    """
    path = backend.local_path(fragment=where, **options)
    if path is not None and is_read_there(path, format_):
        with noting_in_place(backend, path, names_beside(path.name, format_.kind)):
            yield Copy(path, pattern=format_.pattern)
        return
    if path is None:
        refuse_cluster(format_.kind)
        refuse_handle(format_.kind)
    if again is not None and again.folder is not None and again.folder.stays:
        yield again
        return
    with _folder_for(format_, again, folders) as folder:
        if format_.takes_patterns and is_odd(folder.path.parent / "x"):
            raise InvalidFormat(
                f"{format_.name} may take a part of {str(folder.path.parent)!r} for a pattern: name another folder for "
                "temporary files by the environment variable TMPDIR."
            )
        whole = staged_path(folder.path, basename(where))
        if path is not None:  # the same file under a name that is no pattern
            _link_all(path, whole)
            with noting_in_place(backend, path, names_beside(path.name, format_.kind)):
                yield Copy(whole, folder, is_private=True, pattern=format_.pattern, is_alias=True)
            return
        fetch = functools.partial(backend.lend if shared else backend.download, **options)
        with named_when_full(folder.path):
            has_more = _bring(fetch, where, whole, fetched, format_.kind)
        note_copy(backend, folder.path)
        yield Copy(whole, folder, is_private=True, pattern=format_.pattern, has_more=has_more)


def _folder_for(
    format_: Format, again: Copy | None, folders: StagingFolders | None
) -> AbstractContextManager[StagingFolder]:
    """A folder for a copy: one that held other copies before, unless the format may take the new one for an old one."""
    if not format_.forgets_paths:
        folders = None
    elif folders is None and not hasattr(format_.kind, "confirm"):  # no dataset looks at its copy after the load
        folders = COPIES
    return folders.folder(None) if folders else staging_folder(None, again.folder if again else None)


def _link_all(path: Path, alias: Path) -> None:
    """Give a file or folder another path, and what a format may have beside a file as well."""
    _link(path, alias)
    for each in path.parent.glob(f"{glob.escape(path.stem)}*") if path.is_file() else ():
        if each != path and each.is_file():
            _link(each, alias.with_name(each.name.replace(path.name, alias.name, 1)))


def _link(path: Path, alias: Path) -> None:
    """Give a file, or all files of a folder, another path. Links to folders would be followed to their odd names."""

    def link(source: str, target: str) -> None:
        os.symlink(os.path.abspath(source), target)

    if path.is_dir():
        shutil.copytree(path, alias, copy_function=link)
    else:
        link(str(path), str(alias))


def is_unchanged(lent: Lent) -> bool:
    """Whether files that were lent are as they were then."""
    with contextlib.suppress(FileNotFoundError):
        return all(_state_of(path, os.lstat(path)) == (path, *state) for path, *state in lent)
    return False


def are_open_for_writing(lent: Lent) -> bool:
    """Whether this process may still write to files that were lent; it is not known everywhere, and assumed there.

    Their mode does not keep the superuser from that, as which much runs in containers.
    """
    if not any(os.access(path, os.W_OK) for path, *_ in lent):
        return False
    try:
        inodes = {os.stat(path).st_ino for path, *_ in lent}
        return any(_is_writable(each, inodes) for each in os.listdir(_OPEN))
    except OSError:
        return True


def _is_writable(descriptor: str, inodes: Collection[int]) -> bool:
    """Whether a descriptor of this process is one of a file by which that can be changed."""
    import fcntl

    with contextlib.suppress(OSError):  # another thread has closed it
        is_one = os.fstat(int(descriptor)).st_ino in inodes
        return is_one and fcntl.fcntl(int(descriptor), fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    return False


def _lent_at(path: str) -> Iterator[tuple[str, int, int]]:
    """The files at and below a path that are links to what is elsewhere, too, or were until that was dropped."""
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        for name in os.listdir(path):
            yield from _lent_at(f"{path}/{name}")
    elif status.st_nlink > 1 or not status.st_mode & stat.S_IWUSR:
        yield _state_of(path, status)


def _state_of(path: str, status: os.stat_result) -> tuple[str, int, int]:
    return path, status.st_mtime_ns, status.st_size


def _bring(fetch: Callable[..., None], where: ParseResult, whole: Path, fetched: bytes | None, kind: type) -> bool:
    """Bring what is read, and what another tool has stored beside it; gives whether there may be something beside it.

    Args:
        fetch: Brings an object.
        where: The location.
        whole: Where to bring it.
        fetched: What is there, if it was fetched already.
        kind: Class of the format.
    """
    if fetched is None:
        fetch(target=whole, fragment=where)
    else:
        whole.write_bytes(fetched)
    names = names_beside(basename(where), kind)
    if names and whole.is_file():
        for name, staged in zip(names, names_beside(whole.name, kind), strict=True):
            with contextlib.suppress(FileNotFoundError):
                fetch(target=whole.with_name(staged), fragment=beside(where, name))
    return bool(names)
