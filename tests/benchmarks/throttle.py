"""A TCP proxy in a process of its own that makes each connection as slow as one to a distant service.

``python -m tests.benchmarks.throttle HOST PORT MEBIBYTES_PER_SECOND SECONDS`` prints its port; it ends with its input.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
import time

_RECEIVE = 256 << 10
_IN_FLIGHT = 16  # pieces


def _pump(source: socket.socket, target: socket.socket, rate: float, delay: float) -> None:
    """Pass bytes on, each ``delay`` seconds after it came, at most ``rate`` a second (bursts of one piece)."""
    pieces: queue.Queue[tuple[float, bytes]] = queue.Queue(_IN_FLIGHT)

    def receive() -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(_RECEIVE)
            except OSError:
                data = b""
            pieces.put((time.monotonic() + delay, data))

    threading.Thread(target=receive, daemon=True).start()
    free_at = 0.0
    broken = False
    while True:
        due, data = pieces.get()
        if not data:
            break
        start = max(due, free_at)
        free_at = start + len(data) / rate
        if (left := free_at - time.monotonic()) > 0:
            time.sleep(left)
        if not broken:
            try:
                target.sendall(data)
            except OSError:
                broken = True
                with contextlib.suppress(OSError):
                    source.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _serve(client: socket.socket, upstream: tuple[str, int], rate: float, latency: float) -> None:
    time.sleep(latency)  # of the handshake
    server = socket.create_connection(upstream, timeout=60)
    server.settimeout(None)
    for each in (client, server):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    both = [
        threading.Thread(target=_pump, args=(one, other, rate, latency / 2), daemon=True)
        for one, other in ((client, server), (server, client))
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    client.close()
    server.close()


def main(arguments: list[str]) -> None:
    """Listen until the input ends."""
    upstream, rate, latency = (arguments[0], int(arguments[1])), float(arguments[2]) * (1 << 20), float(arguments[3])
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, upstream, rate, latency), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
