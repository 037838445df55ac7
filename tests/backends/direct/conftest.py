"""A server that says, byte for byte, what a test has written down."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from kedro_statisfactory.backends.direct import ConnectionPool, Response

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Script:
    """What is answered, one request after another; with nothing left a connection is closed.

    Attributes:
        url: Of the server.
        answers: As they are sent; a connection is closed behind those that end with :data:`CLOSED`.
        seen: Heads of requests, with the number of the connection that each came by.
    """

    url: str
    answers: deque[bytes] = field(default_factory=deque)
    seen: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def connections(self) -> list[int]:
        """By which connections requests came."""
        return [number for number, _ in self.seen]


CLOSED = b"<the connection is closed>"


@pytest.fixture
def script() -> Iterator[Script]:
    """A server that says what a test tells it to."""
    open_sockets: list[socket.socket] = []
    numbers = itertools.count()

    def serve(connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, IndexError), connection.makefile("rb") as file:
            lines = iter(file.readline, b"")
            while head := b"".join([*itertools.takewhile(lambda line: line.strip(), lines)]):
                lengths = [int(line[15:]) for line in head.splitlines() if line.startswith(b"Content-Length:")]
                file.read(sum(lengths))
                state.seen.append((number, head))
                answer = state.answers.popleft()
                connection.sendall(answer.removesuffix(CLOSED))
                if answer.endswith(CLOSED):
                    break
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_sockets.append(connection)
                threading.Thread(target=serve, args=(connection, next(numbers)), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        state = Script(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield state
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for each in open_sockets:
            each.close()


@pytest.fixture
def pool() -> Iterator[ConnectionPool]:
    made = ConnectionPool(4)
    yield made
    made.clear()


def ask(pool: ConnectionPool, url: str, method: str = "GET", **more: Any) -> Response:
    """Send a request with time-outs that no test should reach."""
    return pool.request(method, f"{url}/x", **{"headers": {}, "body": None, "connect": 10.0, "read": 10.0, **more})
