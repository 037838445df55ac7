"""Connections are used again as long as nothing is wrong with them, and requests say what they should and no more."""

from __future__ import annotations

import gc
import re
import socket
import ssl
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)

from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.direct.connection import Connection
from kedro_statisfactory.hidden import HiddenDict, HiddenText
from tests.backends.direct.conftest import CLOSED, OK, Script, ask
from tests.servers.faults import gateway

CLOSING = b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok"


# -- connections -----------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([OK] * 3)
    assert [ask(pool, script.url).data for _ in range(3)] == [b"ok"] * 3
    assert script.connections == [0, 0, 0]


@pytest.mark.parametrize("is_kept_alive", [False, True])
def test_sockets_send_at_once_and_have_the_options_that_are_asked_for(script: Script, is_kept_alive: bool) -> None:
    keepalive, pool = (socket.SOL_SOCKET, socket.SO_KEEPALIVE), ConnectionPool(1, options=[])
    if is_kept_alive:
        pool = ConnectionPool(1, options=[(*keepalive, 1)])
    script.answers.append(OK)
    _ = ask(pool, script.url).data
    (host,) = pool._hosts.values()
    found = host.idle[0]._socket
    assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert bool(found.getsockopt(*keepalive)) == is_kept_alive


@pytest.mark.parametrize(
    "first",
    [CLOSING, CLOSING.replace(b"HTTP/1.1", b"HTTP/1.0"), OK + CLOSED, OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"],
    ids=["it says so", "it is old", "it is gone", "it has said too much"],
)
def test_a_connection_that_may_be_at_its_end_is_not_used_again(
    script: Script, pool: ConnectionPool, first: bytes
) -> None:
    script.answers.extend([first, OK])
    answer = ask(pool, script.url)
    assert answer.data == b"ok"
    for idle in [each for host in pool._hosts.values() for each in host.idle]:
        idle._socket.settimeout(10)
        if first.endswith(CLOSED):
            idle._socket.recv(1, socket.MSG_PEEK)  # it is gone by now
    assert ask(pool, script.url).data == b"ok"
    assert script.connections == [0, 1]


def test_a_connection_is_closed_with_an_answer_that_is_not_read(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([OK, OK])
    answer = ask(pool, script.url)
    answer.release_conn()
    answer.close()
    assert answer.read() == b""
    assert ask(pool, script.url).data == b"ok"
    assert script.connections == [0, 1]


def test_threads_share_connections_and_get_their_own_answers(script: Script) -> None:
    pool = ConnectionPool(2)
    script.answers.extend([OK] * 80)
    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(lambda _: ask(pool, script.url).data, range(80))) == [b"ok"] * 80
    (host,) = pool._hosts.values()
    assert 1 <= len(host.idle) <= 2
    pool.clear()
    assert not host.idle


def test_more_connections_than_are_kept_may_be_used(script: Script) -> None:
    pool = ConnectionPool(1)
    script.answers.extend([OK, OK, OK])
    answers = [ask(pool, script.url) for _ in range(2)]
    assert [answer.data for answer in answers] == [b"ok", b"ok"]
    assert ask(pool, script.url).data == b"ok"
    assert script.connections == [0, 1, 0]
    del pool, answers
    gc.collect()  # the connection is closed: a warning, which is an error here, says where one is not


def test_a_connection_that_somebody_has_closed_is_not_used(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([OK, OK])
    _ = ask(pool, script.url).data
    (host,) = pool._hosts.values()
    host.idle[0].close()
    assert ask(pool, script.url).data == b"ok"


@pytest.mark.parametrize("how", ["send", "receive"])
def test_an_interrupt_closes_the_connection(
    script: Script, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Connection, how, interrupt)
        with pytest.raises(KeyboardInterrupt):
            ask(pool, script.url)
    (host,) = pool._hosts.values()
    assert not host.idle
    script.answers.extend([OK, OK])  # the first request may have arrived
    assert ask(pool, script.url).data == b"ok"


# -- requests --------------------------------------------------------------------------------------------------------


def test_a_request_says_what_it_should(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([OK] * 3)
    _ = ask(pool, script.url, headers={"X-A": "\xe9"}).data
    _ = ask(pool, script.url, "POST").data
    _ = ask(pool, script.url, "PUT", headers={"Content-Length": "3"}, body=[memoryview(b"ab"), b"c"]).data
    host = script.url.removeprefix("http://").encode()
    heads = [head.splitlines() for _, head in script.seen]
    assert [head[0] for head in heads] == [b"GET /x HTTP/1.1", b"POST /x HTTP/1.1", b"PUT /x HTTP/1.1"]
    assert all(head[1:3] == [b"Host: " + host, b"Accept-Encoding: identity"] for head in heads)
    assert [head[3:] for head in heads] == [[b"X-A: \xe9"], [b"Content-Length: 0"], [b"Content-Length: 3"]]


def test_a_header_of_the_request_goes_before_the_usual_one(script: Script, pool: ConnectionPool) -> None:
    script.answers.append(OK)
    _ = ask(pool, script.url, "POST", headers={"host": "a", "ACCEPT-ENCODING": "b", "content-length": "0"}).data
    assert script.seen[0][1].splitlines()[1:] == [b"host: a", b"ACCEPT-ENCODING: b", b"content-length: 0"]


@pytest.mark.parametrize("header", ["a\r\nX-B: b", "a\nb", "a\rb", "\u2026"])
def test_no_header_can_become_two(script: Script, pool: ConnectionPool, header: str) -> None:
    with pytest.raises(ValueError, match="a header has"):
        ask(pool, script.url, headers={"X-A": header})
    assert not script.seen


def test_what_no_target_can_have_is_quoted(script: Script, pool: ConnectionPool) -> None:
    script.answers.append(OK)
    where = f"{script.url}/a b/\xe9?x=%20&y=a+b~\r\nX-A: b"
    assert pool.request("GET", where, headers={}, body=None, connect=10, read=10).data == b"ok"
    assert script.seen[0][1].startswith(b"GET /a%20b/%C3%A9?x=%20&y=a+b~%0D%0AX-A:%20b HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://host/x", "no URL of a server"),
        ("http:///x", "no URL of a server"),
        ("http://:80/x", "no URL of a server"),
        ("http://a..b/x", "label empty"),
        ("http://host:none/x", "Port could not be cast"),
    ],
)
def test_what_is_no_url_of_a_server_is_refused(pool: ConnectionPool, url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        pool.request("GET", url, headers={}, body=None, connect=10, read=10)


@pytest.mark.parametrize(
    ("url", "name", "address"),
    [
        ("http://Host:80/x", "host", ("host", 80)),
        ("https://host:443/x", "host", ("host", 443)),
        ("https://host:80/x", "host:80", ("host", 80)),
        ("http://[::1]/x", "[::1]", ("::1", 80)),
        ("http://[::1]:81/x", "[::1]:81", ("::1", 81)),
        ("http://b\xfccher/x", "xn--bcher-kva", ("xn--bcher-kva", 80)),
    ],
)
def test_hosts_are_named_as_services_expect_them(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch, url: str, name: str, address: tuple[str, int]
) -> None:
    def refuse(*_: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(NewConnectionError, match=re.escape(f"{address[0]}:{address[1]}")):
        pool.request("GET", url, headers={}, body=None, connect=10, read=10)
    (host,) = pool._hosts.values()
    assert (host.name, host.address) == (name, address)
    assert (host.tls is None) == url.startswith("http:")


def test_an_answer_that_comes_before_all_was_sent_is_read(
    script: Script, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a"
        raise BrokenPipeError

    script.answers.append(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n")
    assert ask(pool, script.url, "PUT", headers={"Content-Length": "1"}, body=broken()).status == 413


def test_a_connection_that_breaks_while_something_is_sent_is_an_error(script: Script, pool: ConnectionPool) -> None:
    def reset() -> Iterator[bytes]:
        yield b"a"
        raise ConnectionResetError

    with pytest.raises(ProtocolError, match="aborted"):
        ask(pool, script.url, "PUT", headers={"Content-Length": "2"}, body=reset())


def test_no_traceback_shows_a_signature(script: Script, pool: ConnectionPool) -> None:
    script.answers.append(b"nothing of HTTP\r\n")
    secret = "hush-hush"
    url, headers = HiddenText(f"{script.url}/x?signature={secret}"), HiddenDict({"Authorization": secret})
    with pytest.raises(ProtocolError) as failed:
        pool.request("GET", url, headers=headers, body=None, connect=10, read=10)
    shown = "".join(traceback.TracebackException.from_exception(failed.value, capture_locals=True).format())
    assert "_read_status" in shown
    shown = "\n".join(line for line in shown.splitlines() if not line.strip().startswith(("secret = ", "script = ")))
    assert secret not in shown


# -- connecting ------------------------------------------------------------------------------------------------------


def test_nobody_there_is_an_error(pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NewConnectionError, match="refused"):
        ask(pool, "http://127.0.0.1:9")
    with pytest.raises(NameResolutionError):
        ask(pool, "http://there-is-none.invalid")

    def wait(*_: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", wait)
    with pytest.raises(ConnectTimeoutError, match=r"no connection in 10 s"):
        ask(pool, "http://127.0.0.1:9")


def test_tls_trusts_what_it_is_told_to_trust(script: Script) -> None:
    authority, server, trusting = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    script.answers.extend([OK, OK])
    with gateway(script.url, server) as state:
        url = state.endpoint_url.replace("http:", "https:")
        good, other = ConnectionPool(1, trusting), ConnectionPool(1)
        assert [ask(good, url).data for _ in range(2)] == [b"ok", b"ok"]
        with pytest.raises(SSLError, match="certificate verify failed"):
            ask(other, url)
        good.clear()


@pytest.mark.parametrize(("error", "told"), [(TimeoutError(), ConnectTimeoutError), (OSError(), ProtocolError)])
def test_a_handshake_that_does_not_come_to_an_end_is_an_error(
    script: Script, monkeypatch: pytest.MonkeyPatch, error: Exception, told: type[HTTPError]
) -> None:
    class Failing:
        def wrap_socket(self, *_: Any, **__: Any) -> None:
            raise error

    failing: Any = Failing()
    with pytest.raises(told):
        ask(ConnectionPool(1, failing), script.url.replace("http:", "https:"))


def test_hosts_are_known_once(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([OK] * 16)
    ready = threading.Barrier(16)

    def first(_: int) -> bytes:
        ready.wait()
        return ask(pool, script.url).data

    with ThreadPoolExecutor(16) as executor:
        assert list(executor.map(first, range(16))) == [b"ok"] * 16
    assert len(pool._hosts) == 1
