"""What tests of the calls do: store an object, note what is sent, word an answer as lakeFS does."""

from __future__ import annotations

from typing import Any

import pytest

from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Stat
from tests.servers.faults import Canned


def put(api: LakeFSAPI, repository: str, branch: str, path: str, payload: bytes = b"x") -> Stat:
    return api.upload(repository, branch, path, lambda: payload, len(payload))


def told(status: int, message: str) -> Canned:
    return Canned(status, {"message": message}, {"Content-Type": "application/json"})


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each request that is sent from now on."""
    sent: list[dict[str, Any]] = []
    original = ConnectionPool.request

    def request(self: ConnectionPool, method: str, url: str, **arguments: Any) -> Any:
        sent.append({"method": method, "url": url, **arguments})
        return original(self, method, url, **arguments)

    monkeypatch.setattr(ConnectionPool, "request", request)
    return sent
