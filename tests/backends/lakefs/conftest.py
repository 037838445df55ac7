"""Backends on the lakeFS servers that the tests of this folder share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from kedro_statisfactory.backends import LakeFSBackend, http
from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import LARGE
from tests.servers.faults import Proxy, proxy
from tests.servers.lakefs import LakeFSServer


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.0)


@pytest.fixture
def local(lakefs_local: LakeFSServer) -> str:
    """A repository on the server with the local store, for tests in which the store plays no part."""
    return lakefs_local.new_repository()


@pytest.fixture
def backend(lakefs_local: LakeFSServer) -> LakeFSBackend:
    """On the git branch ``main``, as announced."""
    return LakeFSBackend(Session(lakefs_local.credentials))


@pytest.fixture(scope="session")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(os.urandom(LARGE))
    return path


@pytest.fixture
def requests_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[LakeFSBackend], list[str]]:
    """Begins to record the requests that a backend sends, to lakeFS and to the store behind it."""

    def begin(backend: LakeFSBackend) -> list[str]:
        original, sent = ConnectionPool.request, list[str]()

        def request(self: ConnectionPool, method: str, url: str, **arguments: Any) -> Any:
            sent.append(f"{method} {urlsplit(url).path.rpartition('/')[2]}")
            return original(self, method, url, **arguments)

        monkeypatch.setattr(ConnectionPool, "request", request)
        return sent

    return begin


@pytest.fixture
def network(lakefs_local: LakeFSServer) -> Iterator[Proxy]:
    with proxy(lakefs_local.endpoint_url) as state:
        yield state


@pytest.fixture
def over_network(lakefs_local: LakeFSServer, network: Proxy) -> LakeFSBackend:
    return LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": network.endpoint_url}))
