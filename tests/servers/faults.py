"""What comes between a client and a real server: a bad network, or a gateway with answers of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from urllib3 import request


@dataclass(frozen=True)
class Fault:
    """What happens to the answers of one connection, or to its requests, ``at`` so many bytes after its start."""

    at: int
    flip: bool = False  # one bit; else the connection is cut
    of_requests: bool = False  # it happens to what is sent, not to the answers
    again: bool = False  # a bit of whatever follows in the same connection, too, but for headers; never the same


_OF_A_BODY = 8192  # bytes that come at once; headers are fewer


@dataclass
class Proxy:
    """Where the proxy listens; each new connection takes the next of ``faults``, and none when there is none left."""

    endpoint_url: str
    faults: deque[Fault] = field(default_factory=deque)
    connections: int = 0
    answered: int = 0  # bytes


@contextlib.contextmanager
def proxy(upstream_url: str) -> Iterator[Proxy]:
    """Pass connections on to ``upstream_url`` until the block is left."""
    upstream = urlsplit(upstream_url)
    listener = socket.create_server(("127.0.0.1", 0))
    state = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
    open_sockets: list[socket.socket] = [listener]
    asking: set[socket.socket] = set()
    positions = itertools.count()

    def pump(source: socket.socket, target: socket.socket, fault: Fault | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if fault and passed <= fault.at < passed + len(data):
                    here = fault.at - passed
                    if not fault.flip:
                        target.sendall(data[:here])
                        break
                    data = data[:here] + bytes([data[here] ^ 1]) + data[here + 1 :]
                elif fault and fault.again and passed > fault.at and len(data) >= _OF_A_BODY:
                    there = len(data) - 1 - next(positions) % (_OF_A_BODY // 2)
                    data = data[:there] + bytes([data[there] ^ 1]) + data[there + 1 :]
                passed += len(data)
                state.answered += len(data) if source not in asking else 0
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                state.connections += 1
                fault = state.faults.popleft() if state.faults else None
                server = socket.create_connection((upstream.hostname, upstream.port), timeout=60)
                open_sockets.extend((client, server))
                asking.add(client)
                threading.Thread(
                    target=pump, args=(client, server, fault if fault and fault.of_requests else None), daemon=True
                ).start()
                threading.Thread(
                    target=pump, args=(server, client, None if fault and fault.of_requests else fault), daemon=True
                ).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        for each in open_sockets:
            each.close()
        thread.join(10)


# What a gateway says itself.
_OF_A_HOP = ("Connection", "Content-Length", "Date", "Transfer-Encoding")


@dataclass(frozen=True)
class Canned:
    """An answer that the real server cannot be made to give.

    Attributes:
        status: HTTP status.
        body: Content; a ``dict`` goes as JSON.
        headers: More headers; with a ``Content-Length`` or ``Transfer-Encoding`` among them the body goes as it is, and
            the connection is closed.
        done: The real server is asked first, and its answer lost.
    """

    status: int
    body: bytes | dict[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    done: bool = False


@dataclass(frozen=True)
class Seen:
    """A request as it came in; ``target`` is a whole URL when the sender takes the gateway for its proxy."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass
class Gateway:
    """Where the gateway listens; each request takes the next of ``answers``; ``None`` or none: the real one."""

    endpoint_url: str
    answers: deque[Canned | None] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)


@contextlib.contextmanager
def gateway(upstream_url: str, tls: ssl.SSLContext | None = None) -> Iterator[Gateway]:
    """Pass HTTP requests on to ``upstream_url``, or to where they say themselves, until the block is left."""
    open_sockets: list[socket.socket] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            open_sockets.append(self.connection)

        def log_message(self, *_: object) -> None:
            pass

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.seen.append(Seen(self.command, self.path, dict(self.headers)))
            canned = state.answers.popleft() if state.answers else None
            if canned is None or canned.done:
                url = self.path if "://" in self.path else upstream_url + self.path
                sent = {name: value for name, value in self.headers.items() if name != "Proxy-Authorization"}
                real = request(self.command, url, body=body, headers=sent, redirect=False, retries=False)
                kept = {name: value for name, value in real.headers.items() if name not in _OF_A_HOP}
                if self.command == "HEAD":  # the size of what is not sent
                    kept |= {name: value for name, value in real.headers.items() if name == "Content-Length"}
                canned = canned or Canned(real.status, real.data, kept)
            payload = canned.body if isinstance(canned.body, bytes) else json.dumps(canned.body).encode()
            headers = dict(canned.headers)
            if {"Content-Length", "Transfer-Encoding"} & headers.keys():
                headers["Connection"] = "close"
            else:
                headers["Content-Length"] = str(len(payload))
            self.send_response(canned.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(payload)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: object) -> None:
            """A client that goes away in the middle is no news here."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        state = Gateway(f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join(10)
            for each in open_sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
