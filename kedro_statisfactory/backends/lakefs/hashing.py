"""Hashing what is sent while it is sent."""

from __future__ import annotations

import io
from typing import IO, Any

from kedro_statisfactory.backends.transfer import SMALL
from kedro_statisfactory.progress import Progress


class Hashing:
    """A file that is hashed while it is sent.

    Args:
        file: What is sent.
        digest: Is given all that is read.
        progress: Is told how much was read.
    """

    def __init__(self, file: IO[bytes], digest: Any, progress: Progress) -> None:
        self._file, self._digest, self._progress = file, digest, progress

    def read(self, size: int = -1) -> bytes:
        """Read a chunk, larger ones than asked for where that is little."""
        chunk = self._file.read(max(size, 1 << 18))
        self._digest.update(chunk)
        self._progress.moved(len(chunk))
        return chunk


def hashing(content: bytes | IO[bytes], size: int, digest: Any, progress: Progress) -> Hashing | bytes:
    """What is sent in place of a content, so that it is hashed meanwhile; what is small is hashed at once."""
    if isinstance(content, bytes):
        if size <= SMALL:
            digest.update(content)
            return content
        content = io.BytesIO(content)
    progress.begin(size)
    return Hashing(content, digest, progress)
