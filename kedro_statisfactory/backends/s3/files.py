"""Open files of :class:`~kedro_statisfactory.backends.s3.filesystem.EngineFileSystem`."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsspec.caching import BaseCache, register_cache
from fsspec.spec import AbstractBufferedFile

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.temporary import new_folder
from kedro_statisfactory.backends.transfer import Part

# Bytes that are fetched ahead when reads follow one another: at first, and at most.
_AHEAD, _MOST_AHEAD = 1 << 17, 1 << 23


class InOrder(BaseCache):  # type: ignore[misc]  # fsspec brings no types
    """Fetches what is asked for and nothing else, but more and more ahead as long as reads follow one another.

    A reader of one column jumps from piece to piece: what is fetched beside them is lost. A reader of lines asks for a
    little again and again: each question is a request.
    """

    name = "in-order"

    def __init__(self, blocksize: int, fetcher: Callable[[int, int], bytes], size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._start = self._read_to = self._ahead = 0
        self._held = b""

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start, stop = start or 0, self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        if not self._start <= start <= stop <= self._start + len(self._held):
            is_next = start == self._read_to and start > 0
            self._ahead = min(max(_AHEAD, 2 * self._ahead), _MOST_AHEAD) if is_next else 0
            kept = self._held[start - self._start :] if self._start <= start else b""
            end = min(stop + self._ahead, self.size)
            self._held, self._start = kept + self.fetcher(start + len(kept), end), start
        self._read_to = stop
        return self._held[start - self._start : stop - self._start]


register_cache(InOrder, clobber=True)


class ReadFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is read, of one and the same version of its object.

    Args:
        fs: Its file system.
        path: Its path there.
        fetch: Gives a run of bytes, by its beginning and end.
        size: Bytes.
        more: What fsspec says about buffers.
    """

    def __init__(self, fs: Any, path: str, fetch: Callable[[int, int], bytes], size: int, **more: Any) -> None:
        self._get = fetch
        super().__init__(fs, path, "rb", size=size, **more)

    def _fetch_range(self, start: int, end: int) -> bytes:
        cut = transfer.parts(end - start, transfer.DOWNLOAD_PART)

        def get(part: Part, _: threading.Event) -> bytes:
            return self._get(start + part.offset, start + part.offset + part.length)

        if len(cut) == 1:
            return self._get(start, end)
        return b"".join(transfer.in_parallel(get, cut, transfer.DOWNLOAD_WORKERS))


class WrittenFile(io.BufferedRandom):
    """A file that is written on this machine, and becomes an object when it is closed.

    Args:
        before: What it holds at first.
        store: Called with the file when it is closed, unless an error has ended the block in which it was open.
    """

    def __init__(self, before: bytes, store: Callable[[Path], None]) -> None:
        self._temporary, self._store = new_folder(), store
        super().__init__(io.FileIO(self._path, "w+b"))
        self.write(before)

    @property
    def _path(self) -> Path:
        return self._temporary.path / "file"

    def close(self) -> None:
        """Let it become an object."""
        if self.closed:
            return
        try:
            super().close()
            self._store(self._path)
        finally:
            self._temporary.remove()

    def discard(self) -> None:
        """Forget it: there is no object, or the one from before."""
        self._store = _nothing
        self.close()

    def __exit__(self, kind: object, *_: object) -> None:
        self.discard() if kind else self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # nobody has closed it, and nobody knows whether it is whole
            self.discard()


class WrittenText(io.TextIOWrapper):
    """Text that is written to a :class:`WrittenFile`, which is not stored either when an error has ended it."""

    buffer: WrittenFile

    def __exit__(self, kind: object, *_: object) -> None:
        self.buffer.discard() if kind else self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # as for the file itself
            self.buffer.discard()


def _nothing(_: Path) -> None:
    """What becomes of a file that is forgotten."""
