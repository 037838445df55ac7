"""Connections are used again as long as nothing is wrong with them."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)

from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.direct.connection import Connection
from tests.backends.direct.conftest import CLOSED, OK, Script, ask
from tests.servers.faults import gateway

CLOSING = b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok"
AND_MORE = CLOSING.replace(b"Close", b"TE, close")


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
    [
        CLOSING,
        AND_MORE,
        CLOSING.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + CLOSED,
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n",
    ],
    ids=["it says so", "it says so and more", "it is old", "it is gone", "it has said too much"],
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


def test_a_connection_that_breaks_while_it_is_looked_at_is_not_used(
    script: Script, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.answers.extend([OK, OK])
    _ = ask(pool, script.url).data
    (host,) = pool._hosts.values()
    (idle,) = host.idle

    class Broken:
        def peek(self, _: int) -> None:
            raise ConnectionResetError

        def close(self) -> None: ...

    idle._file.close()
    monkeypatch.setattr(idle, "_file", Broken())
    assert ask(pool, script.url).data == b"ok"
    assert script.connections == [0, 1]


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


# -- connecting ------------------------------------------------------------------------------------------------------


def test_nobody_there_is_an_error(pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NewConnectionError, match="refused"):
        ask(pool, "http://127.0.0.1:9")
    with pytest.raises(NameResolutionError):
        ask(pool, "http://there-is-none.invalid")

    with monkeypatch.context() as patch:
        patch.delattr("urllib3.exceptions.NameResolutionError")  # as in urllib3 1.26, which boto3 takes, too
        with pytest.raises(NewConnectionError, match="Failed to establish"):
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
        verify_mode = ssl.CERT_REQUIRED

        def set_alpn_protocols(self, _: list[str]) -> None: ...

        def wrap_socket(self, *_: Any, **__: Any) -> None:
            raise error

    failing: Any = Failing()
    with pytest.raises(told):
        ask(ConnectionPool(1, failing), script.url.replace("http:", "https:"))


def test_tls_says_which_protocol_follows_and_names_no_dot(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, server, trusting = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(trusting)
    server.set_alpn_protocols(["h2", "http/1.1"])
    really = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda where, most: really((where[0].rstrip("."), where[1]), most))
    script.answers.append(OK)
    with gateway(script.url, server) as state:
        pool, url = ConnectionPool(1, trusting), state.endpoint_url.replace("127.0.0.1", "localhost.")
        assert ask(pool, url).data == b"ok"
        (host,) = pool._hosts.values()
        found: Any = host.idle[0]._socket
        assert found.selected_alpn_protocol() == "http/1.1"
        pool.clear()


def test_who_checks_no_certificate_is_warned_once(script: Script) -> None:
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    trustme.CA().issue_cert("another.example.org").configure_cert(server)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    script.answers.extend([OK] * 2)
    with gateway(script.url, server) as state:
        pool, url = ConnectionPool(1, trusting), state.endpoint_url.replace("http:", "https:")
        with pytest.warns(InsecureRequestWarning, match="Unverified HTTPS request is being made to host '127.0.0.1'"):
            assert ask(pool, url).data == b"ok"
        assert ask(pool, url).data == b"ok"
        pool.clear()


@pytest.mark.parametrize("how", ["send", "receive"])
def test_what_tls_says_later_is_told_as_an_error_of_tls(
    script: Script, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A server of TLS 1.3 that asks for a certificate of the client refuses it behind the handshake."""

    def refuse(*_: Any) -> None:
        raise ssl.SSLError("TLSV13_ALERT_CERTIFICATE_REQUIRED")

    def body() -> Iterator[bytes]:
        refuse()
        yield b""

    if how == "receive":
        script.answers.append(OK)
        monkeypatch.setattr(Connection, "_read_status", refuse)
    with pytest.raises(SSLError, match="CERTIFICATE_REQUIRED"):
        ask(pool, script.url, body=body() if how == "send" else None)


def test_hosts_are_known_once(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([OK] * 16)
    ready = threading.Barrier(16)

    def first(_: int) -> bytes:
        ready.wait()
        return ask(pool, script.url).data

    with ThreadPoolExecutor(16) as executor:
        assert list(executor.map(first, range(16))) == [b"ok"] * 16
    assert len(pool._hosts) == 1
