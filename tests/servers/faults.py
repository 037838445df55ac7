"""A TCP proxy that does to a real server's answers what a bad network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Fault:
    """What happens to the answers of one connection, ``at`` so many bytes after its start."""

    at: int
    flip: bool = False  # one bit; else the connection is cut
    again: bool = False  # a bit of whatever follows in the same connection, too


@dataclass
class Proxy:
    """Where the proxy listens; each new connection takes the next of ``faults``, and none when there is none left."""

    endpoint_url: str
    faults: deque[Fault] = field(default_factory=deque)
    connections: int = 0


@contextlib.contextmanager
def proxy(upstream_url: str) -> Iterator[Proxy]:
    """Pass connections on to ``upstream_url`` until the block is left."""
    upstream = urlsplit(upstream_url)
    listener = socket.create_server(("127.0.0.1", 0))
    state = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
    open_sockets: list[socket.socket] = [listener]

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
                elif fault and fault.again and passed > fault.at and not data.startswith(b"HTTP/"):
                    data = data[:-1] + bytes([data[-1] ^ 1])
                passed += len(data)
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
                threading.Thread(target=pump, args=(client, server, None), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, fault), daemon=True).start()

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
