"""A web server with a certificate of its own, which says what it was asked."""

from __future__ import annotations

import contextlib
import gzip
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme


@dataclass
class WebServer:
    """Where the server listens, and what it answers.

    Attributes:
        ca_file: The certificates that a client has to trust.
        pages: Content by what is asked for, as that is written in the request.
        answers: Status and headers that come in the place of a page.
        asked: Method, path and headers of the requests.
        sizes: Whether it says how long a page is.
        cut: Whether an answer ends before its end.
    """

    ca_file: Path
    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sizes: bool = True
    cut: bool = False


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    """A server for ``https``, until the block is left."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    state = WebServer(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.asked.append((self.command, self.path, dict(self.headers)))
            page = state.pages.get(self.path)
            status, headers = state.answers.get(self.path, (200 if page is not None else 404, {}))
            page = page if page is not None and status == 200 else b""
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                page, headers = gzip.compress(page), {**headers, "Content-Encoding": "gzip"}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if state.sizes:
                self.send_header("Content-Length", str(len(page)))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(page[:-1] if state.cut else page)
            if state.cut or not state.sizes:
                self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # who does not trust it
    state.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="web", daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
