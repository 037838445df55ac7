"""Keeping copies, and lending them to whoever only reads."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from kedro_statisfactory.backends.cache import room
from kedro_statisfactory.backends.cache.names import (
    Copy,
    Key,
    copy_of,
    hashed,
    is_as_noted,
    knows_boots,
    may_be_noted,
    this_boot,
)
from kedro_statisfactory.backends.cache.place import as_one_warning, cache_folder, trusted
from kedro_statisfactory.backends.temporary import new_file
from kedro_statisfactory.session import Session

#: Bytes of the smallest content that is worth a copy. To make one takes about as long as it takes a connection of
#: 50 MiB a second to bring so much.
LEAST = 1 << 18

# When each copy was written last, as its file tells: long ago, and so that every file system can note it. No write
# leaves this time, however short it comes after another one.
_MODIFIED = 1_000_000_000 * 10**9
_ONLY_READ, _PRIVATE = 0o400, 0o600
_CHUNK = 1 << 20
_BEING_MADE = "being-made"
# What a file system says that has no links, not between these folders, or no more of them.
_NO_LINKS = frozenset((errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS))
_TRIES = 3  # of putting a copy into a folder that another process is about to remove
# The states of an object (commits, say) of which it is noted what they hold, at most.
_MOST_STATES = 64
_OF_STATE = "at-"


class ContentCache:
    """Copies of what services keep.

    No fault of the cache is an error: where it cannot be used nothing is found and nothing kept, and each process gives
    one warning. All methods may be called from several threads and processes at once.

    A copy that is lent is a link to the one file: whoever takes it must not change it. Where somebody has, it shows by
    the time of the last write; then, as for a copy that is not as it was noted for another reason, the bytes are read
    and compared with their CRC-32 before they are given to anybody, and dropped where they differ.

    Args:
        session: Whose project says how large the cache may be.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    # -- what is there ---------------------------------------------------------------------------------------------

    def find(self, key: Key, fingerprint: str | None = None) -> Copy | None:
        """The copy of a location that was used last, or the one with a fingerprint; whether it is good shows later.

        Raises:
            InvalidSettings: The size of the cache is none.
        """
        root = self._root()
        found = _copies(key.folder(root)) if root else ()
        return next((copy for copy in found if fingerprint in (None, copy.fingerprint)), None)

    def find_at(self, key: Key, state: str) -> tuple[Copy, str] | None:
        """The copy of what a location holds in a state that never changes, and what :meth:`note` has noted of that.

        Raises:
            InvalidSettings: As for :meth:`find`.
        """
        root = self._root()
        if root is None:
            return None
        folder, beginning = key.folder(root), _note_of(state)
        for name in _names(folder):
            if name.startswith(beginning):
                fingerprint, _, told = name.removeprefix(beginning).partition("-")
                for copy in _copies(folder):
                    if hashed(copy.fingerprint) == fingerprint:
                        return copy, told
        return None

    def note(self, copy: Copy, state: str, told: str = "") -> None:
        """Note that the location of a copy holds its content in a state that never changes: a commit, say.

        Args:
            copy: The copy.
            state: What the service calls the state, of which it must have said that it holds this content.
            told: Some letters or digits that the service has told as well.
        """
        folder = os.path.dirname(copy.path)
        with contextlib.suppress(OSError):  # it was dropped meanwhile: the service is asked again
            notes = [name for name in _names(folder) if name.startswith(_OF_STATE)]
            for name in notes if len(notes) >= _MOST_STATES else ():
                os.unlink(os.path.join(folder, name))
            note = os.path.join(folder, f"{_note_of(state)}{hashed(copy.fingerprint)}-{told}")
            os.close(os.open(note, os.O_CREAT | os.O_WRONLY, _PRIVATE))

    # -- lending ---------------------------------------------------------------------------------------------------

    def lend(self, copy: Copy, target: Path, private: bool = False) -> bool:
        """Give a copy to whoever reads it; it stays when the cache drops its own.

        Args:
            copy: What :meth:`find` has found.
            target: Where it should be; nothing is there yet.
            private: Whether it may be changed there, so that a link does not do.

        Returns:
            Whether it is there, and good; a copy that is not is dropped, and nothing is at ``target``.
        """
        if not private and _linked(copy, target):
            return True
        try:
            is_good = _copied(copy, target)
        except OSError:  # it was dropped meanwhile, or there is no room at the target, which will show without it
            target.unlink(missing_ok=True)
            return False
        except BaseException:  # an interrupt must not leave a part where a format would find it
            target.unlink(missing_ok=True)
            raise
        if not is_good:
            target.unlink()
            room.drop(copy)
        elif private or _is_good(copy):
            _mark_used(copy)
        else:  # it was written to, or is from before a crash; what was read of it now is known to be good
            with contextlib.suppress(OSError):
                folder = os.path.dirname(copy.path)
                made = _made(os.path.dirname(os.path.dirname(folder)), folder, target, copy)
                _drop_all_but(made, [copy])
        return is_good

    def read(self, copy: Copy) -> bytes | None:
        """The content of a copy; ``None``: it is gone, or was not good and is dropped."""
        with contextlib.suppress(OSError):
            payload = Path(copy.path).read_bytes()
            if len(payload) == copy.size and zlib.crc32(payload) == copy.crc32:
                _mark_used(copy)
                return payload
            room.drop(copy)
        return None

    def is_good(self, copy: Copy) -> bool:
        """Whether a copy is there, and is as it was noted."""
        return _is_good(copy)

    # -- keeping ---------------------------------------------------------------------------------------------------

    def keep(self, key: Key, source: Path | bytes, fingerprint: str, crc32: int) -> Copy | None:
        """Keep a copy of what was loaded or saved just now; gives it, if there is one.

        Args:
            key: Of the location.
            source: The content. A file is linked to: from now on it must not be changed any more, and says so by its
                mode; whoever gives it may remove it.
            fingerprint: What the service calls the content, by the answer that has brought it or that says it is
                stored.
            crc32: Of the content.

        Raises:
            InvalidSettings: As for :meth:`find`.
        """
        folder = cache_folder()
        if folder is None or not may_be_noted(fingerprint):
            return None
        with as_one_warning(folder):
            size = os.stat(source).st_size if isinstance(source, Path) else len(source)
            if LEAST <= size <= self._size and (root := trusted(folder, make=True)):
                return self._keep(root, key, source, Copy("", fingerprint, size, crc32, 0, this_boot()))
        return None

    def _keep(self, root: str, key: Key, source: Path | bytes, noted: Copy) -> Copy | None:
        folder = key.folder(root)
        kept = _copies(folder)
        content = noted.fingerprint, noted.size, noted.crc32
        same = next((each for each in kept if (each.fingerprint, each.size, each.crc32) == content), None)
        if same is not None and _is_good(same):
            _mark_used(same)
            return same
        if not room.make_room(root, self._size, noted.size):
            return None
        made = _made(root, folder, source, noted)
        others = [copy for copy in kept if copy.fingerprint != noted.fingerprint]
        _drop_all_but(made, [copy for copy in kept if copy not in others] + others[key.states - 1 :])
        return made

    # -- where ------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _size(self) -> int:
        return self._session.project.settings.cache_size

    def _root(self) -> str | None:
        folder = cache_folder()
        if folder is None or not self._size:
            return None
        with as_one_warning(folder):
            return trusted(folder)
        return None


def _copies(folder: str) -> list[Copy]:
    """All copies of a location, those first that were used last."""
    found = [copy for name in _names(folder) if (copy := copy_of(folder, name))]
    return sorted(found, key=_used, reverse=True) if len(found) > 1 else found


def _drop_all_but(made: Copy, copies: Iterable[Copy]) -> None:
    """Drop copies, but for one that has got the name of one of them: inodes are used again."""
    for copy in copies:
        if copy.path != made.path:
            room.drop(copy)


def _made(root: str, folder: str, source: Path | bytes, noted: Copy) -> Copy:
    """Put a copy into the folder of its location, whole, by one call of the file system."""
    if isinstance(source, Path):
        try:
            return _put(source, folder, noted, os.link)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
    being_made = Path(root, _BEING_MADE)
    being_made.mkdir(exist_ok=True)
    temporary = new_file(being_made)  # of which the next process removes what a killed one has left
    try:
        if isinstance(source, Path):
            shutil.copyfile(source, temporary.path)
        else:
            temporary.path.write_bytes(source)
        return _put(temporary.path, folder, noted, os.rename)
    finally:
        temporary.remove()


def _put(source: Path, folder: str, noted: Copy, put: Callable[[Path, str], None]) -> Copy:
    """Give a file the name of a copy, once it is what the name says."""
    descriptor = os.open(source, os.O_RDONLY if knows_boots() else os.O_RDWR)  # Windows syncs what may be written
    try:
        os.utime(source, ns=(time.time_ns(), _MODIFIED))
        if sys.platform != "win32":  # where such files cannot be removed
            os.chmod(source, _ONLY_READ)
        if not knows_boots():
            os.fsync(descriptor)
        copy = dataclasses.replace(noted, inode=os.fstat(descriptor).st_ino, boot=this_boot())
    finally:
        os.close(descriptor)
    copy = dataclasses.replace(copy, path=os.path.join(folder, copy.name))
    try:
        for _ in range(_TRIES):
            try:
                put(source, copy.path)
                return copy
            except FileExistsError:  # of a file that has come from elsewhere
                os.unlink(copy.path)
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)
        raise FileNotFoundError(errno.ENOENT, "it is removed again and again", folder)
    except BaseException:  # an interrupt, too, must not leave a file that only looks like a copy
        with contextlib.suppress(OSError):
            os.chmod(source, _PRIVATE)  # it is no copy, and whoever has it may change it
        raise


def _linked(copy: Copy, target: Path) -> bool:
    """Give a link to a copy that is as it was noted; what is looked at is the link, which nobody else replaces."""
    try:
        os.link(copy.path, target)
    except OSError:
        return False
    if is_as_noted(copy, os.lstat(target), _MODIFIED):
        return True
    os.unlink(target)
    return False


def _copied(copy: Copy, target: Path) -> bool:
    """Write the bytes of a copy to a new file; gives whether they are those that were kept."""
    size = crc32 = 0
    with open(copy.path, "rb") as source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
            size, crc32 = size + len(chunk), zlib.crc32(chunk, crc32)
    return (size, crc32) == (copy.size, copy.crc32)


def _is_good(copy: Copy) -> bool:
    with contextlib.suppress(OSError):
        return is_as_noted(copy, os.lstat(copy.path), _MODIFIED)
    return False


def _mark_used(copy: Copy) -> None:
    """Change the time that links change, and no other."""
    with contextlib.suppress(OSError):
        os.chmod(copy.path, _ONLY_READ)


def _used(copy: Copy) -> int:
    with contextlib.suppress(OSError):
        return os.lstat(copy.path).st_ctime_ns
    return 0


def _names(folder: str) -> list[str]:
    with contextlib.suppress(OSError):  # there is no such location, or no longer
        return os.listdir(folder)
    return []


def _note_of(state: str) -> str:
    return f"{_OF_STATE}{hashed(state)}-"
