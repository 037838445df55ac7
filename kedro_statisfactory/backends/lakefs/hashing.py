"""Hashing what is sent while it is sent."""

from __future__ import annotations

from typing import IO, Any


class Hashing:
    """A file that is hashed while it is sent.

    Args:
        file: What is sent.
        digest: Is given all that is read.
    """

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        """Read a chunk, larger ones than asked for where that is little."""
        chunk = self._file.read(max(size, 1 << 18))
        self._digest.update(chunk)
        return chunk
