"""Requests say what they should and no more, and no traceback shows what they hold."""

from __future__ import annotations

import re
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from urllib3.exceptions import (
    HTTPError,
    NewConnectionError,
    ProtocolError,
)

from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.hidden import HiddenDict, HiddenText
from tests.backends.direct.conftest import OK, Script, ask


def test_a_request_says_what_it_should(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([OK] * 3)
    _ = ask(pool, script.url, headers={"X-A": "\xe9"}).data
    _ = ask(pool, script.url, "POST").data
    _ = ask(pool, script.url, "PUT", headers={"Content-Length": "3"}, body=[memoryview(b"ab"), b"c"]).data
    host = script.url.removeprefix("http://").encode()
    heads = [head.splitlines() for _, head in script.seen]
    assert [head[0] for head in heads] == [b"GET /x HTTP/1.1", b"POST /x HTTP/1.1", b"PUT /x HTTP/1.1"]
    usual = [b"Host: " + host, b"Accept-Encoding: identity", b"User-Agent: kedro-statisfactory"]
    assert all(head[1:4] == usual for head in heads)
    assert [head[4:] for head in heads] == [[b"X-A: \xe9"], [b"Content-Length: 0"], [b"Content-Length: 3"]]


def test_a_header_of_the_request_goes_before_the_usual_one(script: Script, pool: ConnectionPool) -> None:
    script.answers.append(OK)
    given = {"host": "a", "ACCEPT-ENCODING": "b", "content-length": "0", "user-agent": "c"}
    _ = ask(pool, script.url, "POST", headers=given).data
    assert script.seen[0][1].decode().splitlines()[1:] == [f"{name}: {value}" for name, value in given.items()]


@pytest.mark.parametrize("header", ["a\r\nX-B: b", "a\nb", "a\rb", "\u2026"])
def test_no_header_can_become_two(script: Script, pool: ConnectionPool, header: str) -> None:
    with pytest.raises(ValueError, match="a header has"):
        ask(pool, script.url, headers={"X-A": header})
    assert not script.seen


def test_what_no_target_can_have_is_quoted(script: Script, pool: ConnectionPool) -> None:
    script.answers.extend([OK] * 2)
    where = f"{script.url}/a b/\xe9?x=%20&y=a+b~\r\nX-A: b"
    assert pool.request("GET", where, headers={}, body=None, connect=10, read=10).data == b"ok"
    assert script.seen[0][1].startswith(b"GET /a%20b/%C3%A9?x=%20&y=a+b~%0D%0AX-A:%20b HTTP/1.1\r\n")
    where = f'{script.url}/{{a|b}}"<^>`\\\udc80%2f[!]'
    assert pool.request("GET", where, headers={}, body=None, connect=10, read=10).data == b"ok"
    assert script.seen[1][1].startswith(b"GET /%7Ba%7Cb%7D%22%3C%5E%3E%60%5C%ED%B2%80%2f[!] HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("rest", "target"),
    [("", "/"), ("?a=/b/c", "/?a=/b/c"), ("/a?b#c/d?e", "/a?b"), ("#a/b", "/"), ("/a%2Fb/../%c3", "/a%2Fb/../%c3")],
)
def test_urls_need_no_path_and_are_sent_as_they_are(
    script: Script, pool: ConnectionPool, rest: str, target: str
) -> None:
    script.answers.append(OK)
    assert pool.request("GET", script.url + rest, headers={}, body=None, connect=10, read=10).data == b"ok"
    assert script.seen[0][1].startswith(f"GET {target} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    "url",
    [
        "host/x",
        "ftp://host/x",
        "http:///x",
        "http://:80/x",
        "http://?a",
        "http://a..b/x",
        f"http://{'a' * 64}.example.org/x",
        "http://a\0b/x",
        "http://host:none/x",
        "http://host:99999/x",
        "http://[::1/x",
    ],
)
def test_what_is_no_url_of_a_server_is_an_error_as_of_one_that_is_not_there(pool: ConnectionPool, url: str) -> None:
    with pytest.raises(HTTPError, match="no URL of a server"):
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
        ("http://me:hush@host:81/x", "host:81", ("host", 81)),
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

    script.answers.extend([b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n", OK])
    assert ask(pool, script.url, "PUT", headers={"Content-Length": "1"}, body=broken()).status == 413
    assert ask(pool, script.url).data == b"ok"
    assert script.connections == [0, 1], "the server may wait for the rest of what is sent"


@pytest.mark.parametrize("headers", [{"content-length": "2"}, {"Content-Length": "4"}, {}])
def test_a_connection_is_not_used_again_where_more_or_less_was_sent_than_said(
    pool: ConnectionPool, headers: dict[str, str]
) -> None:
    """The server takes the rest of a file that has grown for the next request, and answers that, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(OK)
                connection.recv(1 << 16)

        thread = threading.Thread(target=answer)
        thread.start()
        assert ask(pool, url, "PUT", headers=headers, body=[b"ab", b"c"][: 3 - len(headers)]).data == b"ok"
        (host,) = pool._hosts.values()
        assert not host.idle
        thread.join(10)


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


@pytest.mark.parametrize("value", ["a\nb", "\u2026"])
def test_no_traceback_shows_the_other_headers_of_one_that_is_none(pool: ConnectionPool, value: str) -> None:
    headers = HiddenDict({"Authorization": "Basic " + "hush" * 2, "X-A": value})
    with pytest.raises(ValueError, match="a header has") as failed:
        pool.request("GET", "http://127.0.0.1:9/x", headers=headers, body=None, connect=10, read=10)
    assert failed.value.__context__ is None, "what holds all that is sent"
    shown = "".join(traceback.TracebackException.from_exception(failed.value, capture_locals=True).format())
    assert "head_of" in shown
    assert "hushhush" not in shown
