"""Large objects over a bad network to the store behind lakeFS."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.client import lakefs_client, object_store
from kedro_statisfactory.backends.lakefs.store import LakeFSStore
from kedro_statisfactory.errors import IntegrityError, StoreFailed
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import parts_left, write
from tests.servers.faults import Fault, Proxy, proxy
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


@pytest.fixture
def store_network(seaweed: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A bad network between us and the store behind lakeFS, which leaves lakeFS itself alone."""
    ask_at = LakeFSStore._ask_at

    def divert(self: LakeFSStore, url: Hidden[str], method: str, headers: Mapping[str, str], *more: Any) -> Any:
        parts = urlsplit(url.reveal())
        headers = {**headers, "Host": parts.netloc}  # which is signed
        diverted = parts._replace(netloc=urlsplit(state.endpoint_url).netloc).geturl()
        return ask_at(self, Hidden(diverted), method, headers, *more)

    with proxy(seaweed.endpoint_url) as state:
        monkeypatch.setattr(LakeFSStore, "_ask_at", divert)
        yield state


def hang_up(backend: LakeFSBackend, network: Proxy) -> None:
    """Let the next requests to the store have connections of their own, which take the next faults."""
    object_store(backend._session, network.endpoint_url).clear()


def test_a_large_read_that_is_cut_goes_on(
    lakefs_s3: LakeFSServer, store_network: Proxy, large_file: Path, tmp_path: Path
) -> None:
    repository = lakefs_s3.new_repository()
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    where = parse(f"lakefs://{repository}/large")
    store_network.faults.extend([Fault(0), Fault(20)])
    backend.upload(source=large_file, fragment=where)
    hang_up(backend, store_network)
    store_network.faults.extend([Fault(30_000), Fault(100), Fault(20_000)])
    backend.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()
    assert not store_network.faults


def test_a_large_read_that_is_flipped_is_an_error_and_never_data(
    lakefs_s3: LakeFSServer, store_network: Proxy, large_file: Path, tmp_path: Path
) -> None:
    repository = lakefs_s3.new_repository()
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    where = parse(f"lakefs://{repository}/large")
    backend.upload(source=large_file, fragment=where)
    write(lakefs_s3, repository, "whole", large_file.read_bytes())
    for name in ("large", "whole"):
        hang_up(backend, store_network)
        store_network.faults.extend([Fault(100_000 + number, flip=True, again=True) for number in range(50)])
        with pytest.raises(IntegrityError):
            backend.download(target=tmp_path / name, fragment=parse(f"lakefs://{repository}/{name}"))
        assert not (tmp_path / name).exists()


def test_the_bytes_of_an_object_in_parts_are_verified_too(
    lakefs_s3: LakeFSServer, large_file: Path, tmp_path: Path
) -> None:
    where = parse(f"lakefs://{lakefs_s3.new_repository()}/large")
    LakeFSBackend(Session(lakefs_s3.credentials)).upload(source=large_file, fragment=where)
    with proxy(lakefs_s3.endpoint_url) as network:
        backend = LakeFSBackend(Session({**lakefs_s3.credentials, "endpoint": network.endpoint_url}))
        assert "-" in backend.api.stat(where.netloc, "main", "large").checksum, "it is no MD5"
        for faults, whole in ((1, True), (20, False)):
            lakefs_client(backend._session).rest_client.pool_manager.clear()
            network.faults.clear()
            network.faults.extend([Fault(5_000_000, flip=True, again=not whole)] * faults)
            if whole:
                assert backend.get(fragment=where) == large_file.read_bytes()
            else:
                with pytest.raises(IntegrityError, match="did not arrive"):
                    backend.get(fragment=where)


def test_a_part_that_is_damaged_on_its_way_never_becomes_an_object(
    lakefs_s3: LakeFSServer, seaweed: S3Server, large_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = lakefs_s3.new_repository()
    ask_at, refused = LakeFSStore._ask_at, list[int]()
    damaged = threading.Semaphore(1)

    def damage(self: LakeFSStore, url: Hidden[str], method: str, headers: Any, payload: bytes | None) -> Any:
        if payload and damaged.acquire(blocking=False):
            payload = payload[:-1] + bytes([payload[-1] ^ 1])
        try:
            return ask_at(self, url, method, headers, payload)
        except StoreFailed as error:
            refused.append(error.status)
            raise

    monkeypatch.setattr(LakeFSStore, "_ask_at", damage)
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    backend.upload(source=large_file, fragment=parse(f"lakefs://{repository}/large"))
    assert refused == [400], "and it is sent again"
    assert backend.get(fragment=parse(f"lakefs://{repository}/large")) == large_file.read_bytes()
    assert parts_left(seaweed, repository) == []
