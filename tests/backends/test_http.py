"""What all services that speak HTTP share: how their errors are told."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from urllib3 import PoolManager, ProxyManager
from urllib3.exceptions import HTTPError

from kedro_statisfactory.backends import http
from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.http import plain
from kedro_statisfactory.hidden import Hidden

CLOSED = "http://127.0.0.1:9"


@contextlib.contextmanager
def server(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that does one thing with its only connection; gives its URL."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connection.recv(1000)
            answer(connection)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def break_off(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")


def told(pool: PoolManager | ConnectionPool, url: str) -> str:
    with pytest.raises((HTTPError, OSError)) as failed:
        http.ask_once(pool, "GET", Hidden(f"{url}/x?signature=hush"), {}, None, False, 5.0, 0.2)
    return plain(failed.value)


@pytest.fixture(params=[PoolManager, ConnectionPool], ids=["urllib3", "direct"])
def pool(request: pytest.FixtureRequest) -> Iterator[PoolManager | ConnectionPool]:
    """Connections, by urllib3 as behind a proxy, or our own."""
    made = request.param(4)
    yield made
    made.clear()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda _: None, "ProtocolError: Remote end closed connection without response"),
        (reset, "ProtocolError: Connection reset by peer"),
        (break_off, "ProtocolError: IncompleteRead(3 bytes read, 7 more expected)"),
        (lambda connection: connection.recv(1), "ReadTimeoutError: timed out"),
    ],
    ids=["nothing", "reset", "broken off", "silent"],
)
def test_an_error_of_a_connection_is_told_in_plain_words(
    pool: PoolManager | ConnectionPool, answer: Callable[[socket.socket], object], text: str
) -> None:
    with server(answer) as url:
        assert told(pool, url) == text


def test_a_connection_that_cannot_be_made_is_told_in_plain_words(pool: PoolManager | ConnectionPool) -> None:
    assert told(pool, CLOSED) == "NewConnectionError: Connection refused"
    by_name = told(pool, "http://there-is-none.invalid")
    assert by_name.startswith("NameResolutionError: ")
    assert by_name.count("(") == by_name.count(")")


def test_a_proxy_that_does_not_answer_is_told_in_plain_words() -> None:
    with ProxyManager(CLOSED) as pool:
        for url in ("http://example.org", "https://example.org"):
            assert told(pool, url) == "ProxyError: Connection refused"


def test_a_url_that_may_be_signed_is_not_told() -> None:
    assert plain(HTTPError("Failed at /x?signature=hush")) == "HTTPError"
    assert plain(HTTPError("Failed", ValueError("/x?signature=hush"))) == "HTTPError"
    assert plain(HTTPError("an answer broke off")) == "HTTPError: an answer broke off"


def test_an_answer_that_does_not_say_where_it_ends_is_none(pool: PoolManager | ConnectionPool) -> None:
    """It may have broken off within its headers."""
    with server(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nETag: x\r\n\r\nabc")) as url:
        assert told(pool, url) == "ProtocolError: an answer broke off"


def test_a_slow_network_may_take_longer_than_a_connection(
    pool: PoolManager | ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent at once has to be sent within the time-out for a connection: pieces are, where the whole is not."""
    payload, pause = bytes(16 << 20) + b"!", threading.Event()

    def slowly(connection: socket.socket) -> None:
        while not connection.recv(1 << 19).endswith(b"!"):
            pause.wait(0.02)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    monkeypatch.setattr(http, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    peer = http.Peer("a server", "wait", lambda *_: False)
    with server(slowly) as url:
        assert peer.send(pool, "PUT", Hidden(f"{url}/x"), {}, lambda: payload).status == 204
