"""What HDFS answers by HTTP, as Hadoop 3.4 was seen to do; its own server is 100 MB of Java."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_ROOT = "/webhdfs/v1"


class WebHDFSServer(ThreadingHTTPServer):
    """One server for names and data.

    Args:
        folder: What it shows.
        is_gateway: Whether it is as HttpFS: it replaces nothing by a rename, and gives content without a data node.
    """

    daemon_threads = True

    def __init__(self, folder: Path, is_gateway: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.is_gateway = folder, is_gateway
        self.answers: dict[str, tuple[int, str]] = {}  # status and text, by operation, in place of what is true
        self.says_more_than_it_sends = False

    @property
    def url(self) -> str:
        """Where it is, as an entry has it."""
        return f"webhdfs://somebody@127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def webhdfs_server(folder: Path, is_gateway: bool = False) -> Iterator[WebHDFSServer]:
    """A server, until the block is left."""
    with WebHDFSServer(folder, is_gateway) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(20)


class _Told(Exception):
    """An error of HDFS: status, class and message."""


class _Handler(BaseHTTPRequestHandler):
    server: WebHDFSServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = query["op"] + "-DATA" * ("data" in query)
        if operation in self.server.answers:
            self._send(self.server.answers[operation][0], self.server.answers[operation][1].encode())
            return
        try:
            getattr(self, f"_{operation.lower().replace('-', '_')}")(self._at(unquote(url.path)), query, body)
        except _Told as told:
            status, kind, message = told.args
            self._send_json({"RemoteException": {"exception": kind, "message": f"{message}\n\tat java"}}, status)

    do_GET = do_PUT = do_DELETE = _answer  # as the base class calls them

    def _at(self, path: str) -> Path:
        found = self.server.folder / path.removeprefix(_ROOT).lstrip("/")
        if ":" in path:
            raise _Told(403, "InvalidPathException", f"Invalid path name {path}")
        if any(folder.is_file() for folder in found.parents):
            raise _Told(403, "AccessControlException", f"{found.parent} (is not a directory)")
        return found

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        missing = self.server.says_more_than_it_sends and status == 200
        self.send_header("Content-Length", str(len(body) + missing))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection |= missing

    def _send_json(self, told: Any, status: int = 200) -> None:
        self._send(status, json.dumps(told).encode())

    def _redirect(self) -> None:
        self._send(307, Location=f"http://127.0.0.1:{self.server.server_address[1]}{self.path}&data=true")

    def _there(self, path: Path) -> None:
        if not path.exists():
            raise _Told(404, "FileNotFoundException", f"File does not exist: {path}")

    def _create(self, *_: Any) -> None:
        self._redirect()

    def _create_data(self, path: Path, _: Any, body: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        self._send(201)

    def _open(self, path: Path, *_: Any) -> None:
        self._there(path)
        if path.is_dir():
            raise _Told(404, "FileNotFoundException", f"Path is not a file: {path}")
        if self.server.is_gateway:
            self._open_data(path)
        else:
            self._redirect()

    def _open_data(self, path: Path, *_: Any) -> None:
        self._send(200, path.read_bytes())

    def _mkdirs(self, path: Path, *_: Any) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._send_json({"boolean": True})

    def _rename(self, path: Path, query: dict[str, str], _: bytes) -> None:
        target = self.server.folder / query["destination"].lstrip("/")
        if query.get("renameoptions") == "OVERWRITE" and not self.server.is_gateway:
            if target.is_dir():
                raise _Told(403, "IOException", f"Source {path} and destination {target} must both be directories")
            path.replace(target)
            self._send(200)
            return
        is_done = path.exists() and not target.is_file()
        if is_done:
            path.rename(target / path.name if target.is_dir() else target)
        self._send_json({"boolean": is_done})

    def _delete(self, path: Path, *_: Any) -> None:
        if path.is_dir() and any(path.iterdir()):
            raise _Told(403, "PathIsNotEmptyDirectoryException", f"{path} is non empty")
        is_there = path.exists()
        if is_there:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._send_json({"boolean": is_there})

    def _described(self, path: Path, suffix: str) -> dict[str, Any]:
        about = path.stat()
        kind, size = ("DIRECTORY", 0) if path.is_dir() else ("FILE", about.st_size)
        return {"pathSuffix": suffix, "type": kind, "length": size, "modificationTime": int(about.st_mtime * 1000)}

    def _getfilestatus(self, path: Path, *_: Any) -> None:
        self._there(path)
        self._send_json({"FileStatus": self._described(path, "")})

    def _liststatus(self, path: Path, *_: Any) -> None:
        self._there(path)
        found = [(each, each.name) for each in path.iterdir()] if path.is_dir() else [(path, "")]
        self._send_json({"FileStatuses": {"FileStatus": [self._described(*each) for each in found]}})
