"""Whether the bytes that arrived of an object are those that were stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

from kedro_statisfactory.backends.lakefs.answer import Answer
from kedro_statisfactory.backends.lakefs.model import CRC32_KEY, Stat
from kedro_statisfactory.errors import IntegrityError

_MD5 = re.compile(r"[0-9a-f]{32}")


class Proof:
    """Whether what arrives of one object, try after try, is what was stored.

    What lakeFS calls a checksum is the MD5 of an object that came whole. Of one that came in parts through its S3
    gateway it only looks like one, and nothing that lakeFS says tells the two apart. What this package stores has a
    CRC-32 in its user metadata, which decides. Of other objects that differ from their MD5 the same bytes have to
    arrive twice: then they were not damaged on the way.

    Args:
        path: Of the object, for errors.
        stat: Asks the server to describe it.
    """

    def __init__(self, path: str, stat: Callable[[], Stat]) -> None:
        self._path, self._stat = path, stat
        self._arrived: set[tuple[str, str]] = set()  # by checksum: the MD5s of what has arrived and differed

    def check(
        self, answer: Answer, content: Callable[[], Iterable[bytes]], crc32: Callable[[], int], found: Stat | None
    ) -> None:
        """Compare what arrived with all that is kept of it.

        Args:
            answer: By which it came.
            content: Gives what arrived.
            crc32: Gives its CRC-32.
            found: What the server says of the object, if it was asked; else it is asked where the MD5 does not decide.

        Raises:
            IntegrityError: These are other bytes, or perhaps are: another try will tell.
        """
        if self._has_crc32(answer, found, crc32):
            return
        digest = ""
        if _MD5.fullmatch(answer.checksum):
            hashed = hashlib.md5(usedforsecurity=False)
            for chunk in content():
                hashed.update(chunk)
            digest = hashed.hexdigest()
            if digest == answer.checksum:
                return
        if found is None:
            found = self._stat()
            if self._has_crc32(answer, found, crc32):
                return
        if not _is_of(answer, found):
            raise IntegrityError(f"{self._path!r} was replaced while it was read")
        arrived = answer.checksum, digest
        if digest and arrived not in self._arrived:
            self._arrived.add(arrived)
            raise IntegrityError(
                f"what arrives of {self._path!r} is not what was stored, and other bytes each time: something on the "
                "way changes it."
            )

    def _has_crc32(self, answer: Answer, found: Stat | None, crc32: Callable[[], int]) -> bool:
        """Whether a CRC-32 is kept of the object, and what arrived has it.

        Raises:
            IntegrityError: It has another one.
        """
        kept = found.metadata.get(CRC32_KEY) if found and _is_of(answer, found) else None
        if kept and f"{crc32():08x}" != kept:
            raise IntegrityError(f"{self._path!r} did not arrive as it was stored.")
        return bool(kept)


def _is_of(answer: Answer, found: Stat) -> bool:
    """Whether the server still describes what it has given."""
    return (found.checksum, found.size) == (answer.checksum, answer.size)
