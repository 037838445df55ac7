"""The API of a real lakeFS, with and without a gateway that gives the answers that it cannot be made to give."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.session import Session
from tests.servers.faults import Gateway, gateway
from tests.servers.lakefs import LakeFSServer


@pytest.fixture
def api(lakefs_local: LakeFSServer) -> LakeFSAPI:
    return LakeFSAPI(Session(lakefs_local.credentials))


@pytest.fixture
def repository(lakefs_local: LakeFSServer) -> str:
    return lakefs_local.new_repository()


@pytest.fixture
def between(lakefs_local: LakeFSServer) -> Iterator[Gateway]:
    """A gateway before the real server."""
    with gateway(lakefs_local.endpoint_url) as state:
        yield state


@pytest.fixture
def through(lakefs_local: LakeFSServer, between: Gateway) -> LakeFSAPI:
    """The same server through the gateway."""
    return LakeFSAPI(Session({**lakefs_local.credentials, "endpoint": between.endpoint_url}))
