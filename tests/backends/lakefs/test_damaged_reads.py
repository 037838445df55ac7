"""What arrives damaged from lakeFS or from the store behind it is read again, and never taken for data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import IntegrityError, InvalidCredentials
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import LARGE, files_in, on, write
from tests.servers.faults import Canned, Fault, Proxy, gateway
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


def reads_of(backend: LakeFSBackend, target: Path) -> dict[str, Callable[..., bytes]]:
    def download(**more: Any) -> bytes:
        backend.download(target=target, **more)
        return target.read_bytes()

    return {"get": backend.get, "download": download}


@pytest.mark.parametrize("read", ["get", "download"])
@pytest.mark.parametrize(
    "fault",
    [Fault(0), Fault(20), Fault(60), Fault(300), Fault(120_000), Fault(120_000, flip=True)],
    ids=lambda fault: f"{'flipped' if fault.flip else 'cut'} at {fault.at}",
)
def test_a_damaged_answer_is_read_again(
    lakefs_local: LakeFSServer,
    local: str,
    network: Proxy,
    over_network: LakeFSBackend,
    tmp_path: Path,
    fault: Fault,
    read: str,
) -> None:
    write(lakefs_local, local, "x", b"x" * 200_000)
    network.faults.append(fault)
    fetch = reads_of(over_network, tmp_path / "x")[read]
    assert fetch(fragment=parse(f"lakefs://{local}/x")) == b"x" * 200_000


@pytest.mark.parametrize("read", ["get", "download"])
@pytest.mark.parametrize("flip", [False, True], ids=["cut", "flipped"])
def test_an_answer_that_stays_damaged_is_an_error_and_never_data(
    lakefs_local: LakeFSServer,
    local: str,
    network: Proxy,
    over_network: LakeFSBackend,
    tmp_path: Path,
    flip: bool,
    read: str,
) -> None:
    on(lakefs_local, "main").put(payload=b"x" * 200_000, fragment=parse(f"lakefs://{local}/x"))
    network.faults.extend([Fault(120_000, flip, again=True)] * 50)
    with pytest.raises(IntegrityError):
        reads_of(over_network, tmp_path / "x")[read](fragment=parse(f"lakefs://{local}/x"))
    assert not (tmp_path / "x").exists()
    assert (
        network.connections <= 10
    )  # each damaged answer leaves its connection, and the server is asked to describe it


@pytest.mark.parametrize("read", ["get", "download"])
def test_an_object_of_others_that_arrives_as_other_bytes_each_time_is_an_error_and_never_data(
    lakefs_local: LakeFSServer, local: str, network: Proxy, over_network: LakeFSBackend, tmp_path: Path, read: str
) -> None:
    write(lakefs_local, local, "x", b"x" * 200_000)
    network.faults.extend([Fault(120_000 + number, flip=True, again=True) for number in range(50)])
    with pytest.raises(IntegrityError, match="other bytes each time"):
        reads_of(over_network, tmp_path / "x")[read](fragment=parse(f"lakefs://{local}/x"))
    assert not (tmp_path / "x").exists()


def test_a_checksum_that_only_looks_like_an_md5_costs_a_second_read(
    lakefs_local: LakeFSServer, local: str, requests_of: Callable[[LakeFSBackend], list[str]]
) -> None:
    write(lakefs_local, local, "x", b"x")
    backend, where = on(lakefs_local, "main"), parse(f"lakefs://{local}/y")
    found = backend.api.stat(local, "main", "x")
    imported = {"physical_address": found.address, "checksum": "0" * 32, "size_bytes": 1}
    lakefs_local.call("PUT", f"/repositories/{local}/branches/main/objects?path=y", json=imported)
    sent = requests_of(backend)
    assert backend.get(fragment=where) == b"x"
    assert sent == ["GET objects", "GET stat", "GET objects", "GET stat"]
    sent.clear()
    assert backend.get(fragment=where, verify=False) == b"x"
    assert sent == ["GET objects"]


def test_a_crc32_decides_where_the_checksum_only_looks_like_an_md5(
    lakefs_local: LakeFSServer, local: str, requests_of: Callable[[LakeFSBackend], list[str]]
) -> None:
    backend, where = on(lakefs_local, "main"), parse(f"lakefs://{local}/x")
    backend.put(payload=b"x", fragment=where)
    found = backend.api.stat(local, "main", "x")
    copied = {
        "physical_address": found.address,
        "checksum": "0" * 32,
        "size_bytes": 1,
        "metadata": dict(found.metadata),
    }
    lakefs_local.call("PUT", f"/repositories/{local}/branches/main/objects?path=x", json=copied)
    sent = requests_of(backend)
    assert backend.get(fragment=where) == b"x"
    assert sent == ["GET objects", "GET stat"]


@pytest.mark.parametrize("path", ["small", "large"])
def test_damage_of_what_this_package_stored_is_told_even_where_the_store_itself_is_damaged(
    lakefs_local: LakeFSServer, local: str, large_file: Path, path: str
) -> None:
    backend, where = on(lakefs_local, "main"), parse(f"lakefs://{local}/{path}")
    payload = large_file.read_bytes() if path == "large" else b"good"
    backend.put(payload=payload, fragment=where)
    write(lakefs_local, local, "bad", b"b" + payload[1:])
    bad, good = backend.api.stat(local, "main", "bad"), backend.api.stat(local, "main", path)
    damaged = {
        "physical_address": bad.address,
        "checksum": good.checksum,
        "size_bytes": good.size,
        "metadata": dict(good.metadata),
    }
    lakefs_local.call("PUT", f"/repositories/{local}/branches/main/objects?path={path}", json=damaged)
    with pytest.raises(IntegrityError, match=f"'{path}' did not arrive as it was stored"):
        backend.get(fragment=where)


@pytest.mark.parametrize(
    ("size", "part"),
    [(1000, 5 << 20), ((11 << 20) + 7, 5 << 20), (LARGE, 8 << 20), (LARGE, 64 << 20)],
    ids=["small in one part", "small in three parts", "large in three parts", "large in one part"],
)
def test_what_others_wrote_in_parts_through_the_s3_gateway_is_read(
    lakefs_server: LakeFSServer, repository: str, tmp_path: Path, size: int, part: int
) -> None:
    from boto3.s3.transfer import TransferConfig

    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    gateway_of_s3 = s3_client(
        Session(
            {
                "aws_access_key_id": lakefs_server.access_key,
                "aws_secret_access_key": lakefs_server.secret_key,
                "endpoint_url": lakefs_server.endpoint_url,
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            }
        )
    )
    in_parts = TransferConfig(multipart_threshold=1, multipart_chunksize=part)
    for name in ("x", "tree/x", "tree/y"):
        gateway_of_s3.upload_file(str(source), repository, f"main/{name}", Config=in_parts)
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    found = backend.api.stat(repository, "main", "x")
    assert (len(found.checksum), found.checksum != hashlib.md5(source.read_bytes()).hexdigest()) == (32, True)
    assert backend.get(fragment=parse(f"lakefs://{repository}/x")) == source.read_bytes()
    backend.download(target=tmp_path / "tree", fragment=parse(f"lakefs://{repository}/tree"))
    assert files_in(tmp_path / "tree") == dict.fromkeys(("x", "y"), source.read_bytes())


@pytest.mark.parametrize("size", [10, 0])
def test_a_page_whose_checksum_is_no_md5_counts_only_as_what_the_server_describes(
    lakefs_local: LakeFSServer, local: str, size: int
) -> None:
    page = Canned(200, b"<" * size, {"ETag": '"page"'})
    with gateway(lakefs_local.endpoint_url) as between:
        backend = LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": between.endpoint_url}))
        assert not backend._store.use.reads
        write(lakefs_local, local, "x")
        between.answers.append(page)
        assert backend.get(fragment=parse(f"lakefs://{local}/x")) == b"x", "it was read again"
        between.answers.extend([page] * 50)
        with pytest.raises(InvalidCredentials, match="no lakeFS server"):
            backend.get(fragment=parse(f"lakefs://{local}/x"))
