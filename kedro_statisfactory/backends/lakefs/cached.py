"""Objects of lakeFS in the cache: whether what is there is what a ref holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from kedro_statisfactory.backends.cache import ContentCache, Copy, Key
from kedro_statisfactory.backends.cache.place import cache_folder
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.keeping import holds, keep
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.client import lakefs_client
from kedro_statisfactory.backends.lakefs.model import CRC32_KEY, Stat, info_of
from kedro_statisfactory.session import Session

_Taken = TypeVar("_Taken")

_COMMIT = re.compile(r"[0-9a-f]{64}")  # the whole id: it never means anything else
# Of how many of its states an object has copies: several branches are at work on one machine.
_STATES = 4


class LakeFSCopies:
    """Copies on this machine of the objects of one server.

    Args:
        session: Whose credentials see them: others do not get what these have fetched.
        api: The server.
        note: Called with what was read.
    """

    def __init__(self, session: Session, api: LakeFSAPI, note: Callable[[ObjectInfo], None]) -> None:
        self._session, self._api, self._note = session, api, note
        self._cache = ContentCache(session)

    def reuse(
        self,
        repository: str,
        ref: str,
        path: str,
        take: Callable[[ContentCache, Copy], _Taken | None],
        told: Stat | None = None,
    ) -> _Taken | None:
        """Take an object from a copy of it, if there is one and the server says that the ref holds just that.

        The server is asked once, and only where there is a copy of some state of the object; of a commit it has said it
        for good.

        Args:
            repository: Where.
            ref: Where.
            path: Where.
            take: Called with a copy; gives ``None`` where that is not good.
            told: What the server has said of the object just now.

        Raises:
            ObjectNotFound: There is none.
        """
        if cache_folder() is None:
            return None
        key, is_commit = self._key(repository, path), _COMMIT.fullmatch(ref)
        if self._cache.find(key) is None:
            return None
        if is_commit and (known := self._cache.find_at(key, ref)):
            copy, seconds = known
            if (taken := take(self._cache, copy)) is not None:
                modified = datetime.fromtimestamp(int(seconds), tz=timezone.utc)
                self._note(ObjectInfo(path, copy.size, modified, copy.fingerprint))
                return taken
        stat = told or self._api.stat(repository, ref, path)
        found = self._cache.find(key, stat.checksum)
        if found is None or not _is_of(found, stat) or (taken := take(self._cache, found)) is None:
            return None
        self._note(info_of(path, stat))
        if is_commit:
            self._cache.note(found, ref, str(stat.mtime))
        return taken

    def is_known(self, repository: str, ref: str, path: str) -> bool:
        """Whether it needs no question that there is an object: there is a copy of what the server says of a commit."""
        if cache_folder() is None or not _COMMIT.fullmatch(ref):
            return False
        return self._cache.find_at(self._key(repository, path), ref) is not None

    def keep(self, repository: str, path: str, source: Path | bytes, checksum: str, crc32: int | None) -> Copy | None:
        """Keep what was fetched or sent just now; gives the copy, if there is one.

        Args:
            repository: Where.
            path: Where.
            source: The content; a file that nobody changes any more.
            checksum: As the server tells it.
            crc32: Of the content, where it is known.
        """
        return keep(self._cache, self._key(repository, path), source, checksum, crc32) if cache_folder() else None

    def keep_at(
        self, repository: str, ref: str, path: str, source: Path | bytes, info: ObjectInfo, crc32: int | None
    ) -> None:
        """The same for what was fetched at a ref, of which it is noted what it holds if it is a commit.

        Args:
            repository: Where.
            ref: Where.
            path: Where.
            source: The content; a file that nobody changes any more.
            info: What the answer told.
            crc32: Of the content, where it is known.
        """
        copy = self.keep(repository, path, source, info.checksum or "", crc32)
        if copy and info.modified and _COMMIT.fullmatch(ref):
            self._cache.note(copy, ref, f"{info.modified.timestamp():.0f}")

    def are_of(self, repository: str, stat: Stat, source: Path | bytes) -> bool:
        """Whether there is a copy of an object, and it has the very bytes of a file, or of what is in memory.

        Args:
            repository: Where the object is.
            stat: The object, as the server describes it.
            source: What it is compared with.
        """
        if cache_folder() is None:
            return False
        copy = self._cache.find(self._key(repository, stat.path), stat.checksum)
        return copy is not None and _is_of(copy, stat) and holds(self._cache, copy, source)

    def _key(self, repository: str, path: str) -> Key:
        found = lakefs_client(self._session).configuration  # the secret as well: a commit is read without a question
        return Key(f"lakefs {self._api.host} {found.username} {found.password}", f"{repository}/{path}", _STATES)


def _is_of(copy: Copy, stat: Stat) -> bool:
    """Whether a copy is what the server describes, by all that it says."""
    kept = stat.metadata.get(CRC32_KEY)
    return copy.size == stat.size and kept in (None, f"{copy.crc32:08x}")
