"""What is filled with the parts of an object as they arrive: a file, or memory."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from kedro_statisfactory.backends import crc32
from kedro_statisfactory.backends.transfer import SMALL, Part, Stopped, read_chunks
from kedro_statisfactory.errors import IntegrityError
from kedro_statisfactory.progress import Progress


class PartWriter(ABC):
    """What is filled with the bytes of an object, from several threads, and remembers each part's CRC-32."""

    def __init__(self) -> None:
        self._checksums: dict[int, tuple[int, int]] = {}
        self._progress = Progress()

    def begin(self, size: int) -> None:
        """Make room for so many bytes, and forget those of an attempt before this one."""
        self._checksums.clear()
        self._make_room(size)
        self._progress.begin(size)

    def fill(self, part: Part, chunks: Iterable[bytes], stop: threading.Event) -> None:
        """Write the bytes of one part as they come.

        Raises:
            Stopped: ``stop`` was set.
            IntegrityError: They are more or less than the part has.
        """
        checksum, got = 0, 0
        with self._at(part.offset) as write:
            for chunk in chunks:
                if stop.is_set():
                    raise Stopped
                got += len(chunk)
                if got > part.length:
                    break
                write(chunk)
                checksum = zlib.crc32(chunk, checksum)
                self._progress.moved(len(chunk))
        if got != part.length:
            raise IntegrityError("an answer is longer or shorter than it should be")
        self._checksums[part.number] = (checksum, got)

    def crc32(self) -> int:
        """The CRC-32 of the whole."""
        return crc32.combined(self._checksums[number] for number in sorted(self._checksums))

    @abstractmethod
    def write(self, payload: bytes) -> None:
        """Write a small object, whole."""

    @abstractmethod
    def chunks(self) -> Iterator[bytes]:
        """What was written, from its beginning."""

    @abstractmethod
    def _make_room(self, size: int) -> None: ...

    @abstractmethod
    def _at(self, offset: int) -> AbstractContextManager[Callable[[bytes], object]]:
        """What writes at an offset, and behind what it wrote before."""


class PartFile(PartWriter):
    """A file. An old one of its name is removed, not overwritten: by a hard link others may read the same bytes.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def write(self, payload: bytes) -> None:
        self._path.unlink(missing_ok=True)
        self._path.write_bytes(payload)

    def chunks(self) -> Iterator[bytes]:
        return read_chunks(self._path, Part(1, 0, self._path.stat().st_size))

    def _make_room(self, size: int) -> None:
        self._path.unlink(missing_ok=True)
        with self._path.open("wb") as file:
            file.truncate(size)
            # To get the blocks at once takes a fifth off the time of a large object, and a full disk is known before
            # anything is fetched. File systems that cannot do it do without.
            if size > SMALL and hasattr(os, "posix_fallocate"):
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                except OSError as error:
                    if error.errno == errno.ENOSPC:
                        raise

    @contextlib.contextmanager
    def _at(self, offset: int) -> Iterator[Callable[[bytes], object]]:
        with self._path.open("r+b") as file:
            file.seek(offset)
            yield file.write


class PartBuffer(PartWriter):
    """Memory."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = io.BytesIO()

    def payload(self) -> bytes:
        """All of it."""
        return self._buffer.getvalue()  # no copy, as long as nothing else is done to the buffer

    def write(self, payload: bytes) -> None:
        self._buffer = io.BytesIO(payload)

    def chunks(self) -> Iterator[bytes]:
        yield self.payload()

    def _make_room(self, size: int) -> None:
        self._buffer = io.BytesIO(bytes(size))

    @contextlib.contextmanager
    def _at(self, offset: int) -> Iterator[Callable[[bytes], object]]:
        with self._buffer.getbuffer() as view:
            position = offset

            def write(chunk: bytes) -> None:
                nonlocal position
                view[position : position + len(chunk)] = chunk
                position += len(chunk)

            yield write
