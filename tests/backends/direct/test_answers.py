"""An answer is read as urllib3 reads it, and what is none is an error, never data."""

from __future__ import annotations

from typing import Any

import pytest
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError, ProtocolError

from kedro_statisfactory.backends.direct import ConnectionPool
from tests.backends.direct.conftest import CLOSED, OK, Script, ask

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = {
    "a length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "nothing": HEAD + b"content-length:0\r\n\r\n",
    "no reason": b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
    "repeated headers": HEAD + b"X-A: 1\r\nx-a:  2\r\nX-B: \xe9\xa0\r\nContent-Length: 0\r\n\r\n",
    "lines without returns": b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
    "lines of both kinds": HEAD + b"X-A: 1\nContent-Length: 9\n\nx\r\n\r\ny\n\r\n",
    "lines of both kinds, the last as it should be": HEAD + b"X-A: 1\nContent-Length: 1\r\n\r\nx",
    "more headers than come at once": HEAD + 2 * (b"X-A: " + b"x" * 40_000 + b"\r\n") + b"Content-Length: 1\r\n\r\nx",
    "what looks like an end": HEAD + b"\r\nhello\n\r\n" + CLOSED,
    "chunks": CHUNKED + b"5\r\nhello\r\n1;of=somebody\r\n!\r\n0\r\n\r\n",
    "chunks and trailers": CHUNKED + b"0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
    "until the end": HEAD + b"\r\nhello" + CLOSED,
    "an old server": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello" + CLOSED,
    "something provisional": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 1\r\n\r\nx",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_is_what_urllib3_makes_of_it(script: Script, pool: ConnectionPool, name: str) -> None:
    script.answers.extend([GOOD[name]] * 2)
    with PoolManager() as peer:
        theirs = peer.request("GET", f"{script.url}/x", retries=False)
    ours = ask(pool, script.url)
    assert (ours.status, ours.data) == (theirs.status, theirs.data)
    assert dict(ours.headers) == {key.lower(): theirs.headers[key] for key in theirs.headers}
    assert [name in ours.headers for name in ("CONTENT-length", "x-none")] == ["content-length" in ours.headers, False]
    assert len(ours.headers) == len(dict(ours.headers))
    assert ours.closed
    assert ours.read() == b"", "there is no more"


def test_an_answer_to_a_question_for_headers_has_no_more(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([HEAD + b"Content-Length: 100\r\n\r\n", OK])
    assert ask(pool, script.url, "HEAD").headers["Content-Length"] == "100"
    assert ask(pool, script.url).data == b"ok"
    assert script.connections == [0, 0]


BAD = {
    "nothing": CLOSED,
    "another protocol": b"220 mail.example.org ESMTP\r\n",
    "another version": b"HTTP/2 200\r\n\r\n",
    "headers that break off": HEAD + b"Content-Length: 5\r\n" + CLOSED,
    "a header that breaks off": HEAD + b"Content-Len" + CLOSED,
    "a line that is none": HEAD + b"hello\r\nContent-Length: 0\r\n\r\n",
    "a line that goes on": HEAD + b"X-A: 1\r\n X-B: 2\r\nContent-Length: 0\r\n\r\n",
    "a name with a space": HEAD + b"Content-Length : 0\r\n\r\n",
    "too many headers": HEAD + b"X-A: 1\r\n" * 101 + b"Content-Length: 0\r\n\r\n",
    "a header too long": HEAD + b"X-A: " + b"x" * (1 << 16) + b"\r\nContent-Length: 0\r\n\r\n",
    "a status line too long": b"HTTP/1.1 200 " + b"x" * (1 << 16) + b"\r\n\r\n",
    "no end of what is provisional": b"HTTP/1.1 100 Continue\r\n\r\n" * 11,
    "two ends": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "a length and a separator": HEAD + b"Content-Length: 5\x1e\r\n\r\nhello",
    "a length with a sign": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "a length without end": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello",
    "a length of more than there can be": HEAD + b"Content-Length: 9999999999999999999\r\n\r\nhello",
    "a chunk for which there is no room": CHUNKED + b"fffffffffffffff\r\nhello" + CLOSED,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
    "fewer bytes": HEAD + b"Content-Length: 5\r\n\r\nhell" + CLOSED,
    "no chunk": CHUNKED + b"hello\r\n",
    "a chunk with a sign": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "a chunk that breaks off": CHUNKED + b"5\r\nhel" + CLOSED,
    "a chunk that goes on": CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n" + CLOSED,
    "no end of the trailers": CHUNKED + b"0\r\nX-Sum: 1\r\n" + CLOSED,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_answer_is_an_error_and_its_connection_is_closed(
    script: Script, pool: ConnectionPool, name: str
) -> None:
    script.answers.extend([BAD[name], OK])
    with pytest.raises(HTTPError):
        _ = ask(pool, script.url).data
    assert ask(pool, script.url).data == b"ok"
    assert script.connections == [0, 1]


def test_an_answer_that_breaks_off_says_how_much_has_come(script: Script, pool: ConnectionPool) -> None:
    script.answers.append(BAD["fewer bytes"])
    answer = ask(pool, script.url)
    assert answer.length_remaining == 5
    with pytest.raises(ProtocolError, match=r"IncompleteRead\(4 bytes read, 1 more expected\)"):
        answer.read()


@pytest.mark.parametrize("name", ["a length", "chunks", "until the end"])
def test_an_answer_is_read_in_pieces(script: Script, pool: ConnectionPool, name: str) -> None:
    script.answers.append(GOOD[name])
    answer = ask(pool, script.url)
    assert [answer.read(2), answer.read(2)] == [b"he", b"ll"]
    assert not answer.closed
    assert answer.read(3) == (b"o!" if name == "chunks" else b"o")
    assert answer.closed
    assert answer.read(1) == b""


def test_a_server_that_says_nothing_is_not_waited_for_without_end(script: Script, pool: ConnectionPool) -> None:
    script.answers.append(b"")
    with pytest.raises(HTTPError, match="timed out"):
        ask(pool, script.url, read=0.05)
    script.answers.append(HEAD + b"Content-Length: 5\r\n\r\nhell")
    answer = ask(pool, script.url, read=5.0)
    raw: Any = answer._file.raw
    raw._sock.settimeout(0.05)
    with pytest.raises(OSError, match="timed out"):
        answer.read()


def test_a_server_that_goes_away_without_a_word_is_told(script: Script, pool: ConnectionPool) -> None:
    script.answers.append(CLOSED)
    with pytest.raises(ProtocolError, match="closed connection without response"):
        ask(pool, script.url)
