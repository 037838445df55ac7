"""An answer of HTTP/1.1, and the bytes that come with it."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedReader

# What http.client takes, too.
_LONGEST_LINE, _MOST_HEADERS = 1 << 16, 100
_HEADER = re.compile(r"^([!-9;-~]+):[ \t]*([^\r\n]*)\r?\n", re.MULTILINE)
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_PIECE = 1 << 20  # bytes: there is room for that, whatever a chunk calls its size


class Headers(Mapping[str, str]):
    """Headers by their names, in any case; the values of one that came several times are joined by a comma.

    Args:
        pairs: Names and values as they came.

    Attributes:
        pairs: The same.
        lowered: Values by the names in small letters.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = list(pairs)
        self.lowered: dict[str, str] = {}
        for name, value in self.pairs:
            key, before = name.lower(), self.lowered.get(name.lower())
            self.lowered[key] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self.lowered[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.lowered)

    def __len__(self) -> int:
        return len(self.lowered)


class Response:
    """An answer. When its last byte was read its connection is free for the next request.

    It has what is used here of urllib3's, which answers where there is a proxy.

    Args:
        status: Of HTTP.
        headers: Of the answer.
        has_body: Whether bytes follow, as far as method and status say.
        file: Where they come from.
        finish: Called once, with whether the connection can be used again.

    Attributes:
        status: Of HTTP.
        headers: Of the answer.
        length_remaining: Bytes that are still to come; ``None``: nobody knows.

    Raises:
        urllib3.exceptions.ProtocolError: The headers do not say where the answer ends, or say it twice.
    """

    def __init__(
        self, status: int, headers: Headers, has_body: bool, file: BufferedReader, finish: Callable[[bool], None]
    ) -> None:
        self.status, self.headers, self._file = status, headers, file
        self._finish: Callable[[bool], None] | None = finish
        self._is_chunked = False
        self._of_chunk = 0  # bytes of the present chunk that are still to come
        self.length_remaining: int | None = 0
        if has_body:
            self._find_end(headers.lowered)
        if self.length_remaining == 0:
            self._end()

    @property
    def closed(self) -> bool:
        """Whether it has given its connection back, or closed it."""
        return self._finish is None

    @functools.cached_property
    def data(self) -> bytes:
        """All that has not been read yet."""
        return self.read()

    def read(self, amount: int | None = None) -> bytes:
        """The next bytes, or all that are left; fewer than ``amount`` only at the end.

        Raises:
            urllib3.exceptions.HTTPError, OSError: The answer broke off, or is none.
        """
        if self._finish is None:
            return b""
        try:
            content = self._read_chunked(amount) if self._is_chunked else self._read_plain(amount)
        except BaseException:  # an interrupt, too: nobody knows what comes next
            self.close()
            raise
        if self.length_remaining == 0:
            self._end()
        return content

    def close(self) -> None:
        """Close the connection, unless all was read."""
        if self._finish is not None:
            self._end(is_whole=False)

    def release_conn(self) -> None:
        """The same, by the name that it has in urllib3."""
        self.close()

    def _end(self, is_whole: bool = True) -> None:
        assert self._finish is not None
        finish, self._finish = self._finish, None
        finish(is_whole)

    def _find_end(self, headers: Mapping[str, str]) -> None:
        from urllib3.exceptions import ProtocolError

        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise ProtocolError("an answer does not say clearly where it ends")
            self._is_chunked, self.length_remaining = True, None
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise ProtocolError("an answer does not say clearly where it ends")
            self.length_remaining = int(length)
        else:
            self.length_remaining = None  # it ends with the connection

    def _read_plain(self, amount: int | None) -> bytes:
        from urllib3.exceptions import IncompleteRead, ProtocolError

        left = self.length_remaining
        if left is None:
            content = self._file.read(-1 if amount is None else amount)
            if amount is None or len(content) < amount:
                self._end(is_whole=False)
            return content
        wanted = left if amount is None else min(amount, left)
        content = self._file.read(wanted)
        self.length_remaining = left - len(content)
        if len(content) < wanted:
            error = IncompleteRead(len(content), self.length_remaining)
            raise ProtocolError(f"Connection broken: {error!r}", error)
        return content

    def _read_chunked(self, amount: int | None) -> bytes:
        pieces, left = list[bytes](), sys.maxsize if amount is None else amount
        while left and self._has_more():
            piece = self._file.read(min(left, self._of_chunk, _PIECE))
            if not piece:
                raise _broken_off()
            pieces.append(piece)
            left -= len(piece)
            self._of_chunk -= len(piece)
            if not self._of_chunk and read_line(self._file):
                raise _broken_off()
        return b"".join(pieces)

    def _has_more(self) -> bool:
        """Whether there are more bytes of a chunk, or another chunk."""
        if self._of_chunk:
            return True
        size = read_line(self._file).partition(b";")[0].strip()
        if not _SIZE.fullmatch(size):
            raise _broken_off()
        self._of_chunk = int(size, 16)
        if not self._of_chunk:
            read_headers(self._file)  # they may follow
            self.length_remaining = 0
        return self._of_chunk > 0


def read_line(file: BufferedReader) -> bytes:
    """A line, without its end.

    Raises:
        urllib3.exceptions.ProtocolError: It has no end, or is longer than any of HTTP should be.
    """
    line = file.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise _broken_off()
    return line.rstrip(b"\r\n")


def read_headers(file: BufferedReader) -> Headers:
    """Headers up to the empty line behind them.

    Raises:
        urllib3.exceptions.ProtocolError: They break off, or are none.
    """
    head = _head_at_hand(file) or _head_by_lines(file)
    pairs = _HEADER.findall(head.decode("latin-1"))
    if len(pairs) != head.count(b"\n") or len(pairs) > _MOST_HEADERS:
        raise _broken_off()
    return Headers((name, value.rstrip(" \t")) for name, value in pairs)  # no more of what str calls a space


def _head_at_hand(file: BufferedReader) -> bytes:
    """The lines of all headers, where they have come already and end as they should; else nothing."""
    there = file.peek(1)
    end = there.find(b"\n\r\n") + 1
    if not end or there[:1] in b"\r\n" or b"\n\n" in there[:end]:
        return b""
    return file.read(end + 2)[:-2]


def _head_by_lines(file: BufferedReader) -> bytes:
    lines = list[bytes]()
    while (line := file.readline(_LONGEST_LINE)) not in (b"\r\n", b"\n"):
        if not line.endswith(b"\n") or len(lines) == _MOST_HEADERS:
            raise _broken_off()
        lines.append(line)
    return b"".join(lines)


def _broken_off() -> Exception:
    from urllib3.exceptions import ProtocolError

    return ProtocolError("an answer broke off, or is none of HTTP")
