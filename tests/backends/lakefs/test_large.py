"""Large objects on lakeFS: in parts, whole or not at all, and from one version."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import LakeFSBackend, crc32, transfer
from kedro_statisfactory.backends.lakefs import api
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.client import lakefs_client
from kedro_statisfactory.backends.lakefs.store import LakeFSStore
from kedro_statisfactory.backends.part_writer import PartWriter
from kedro_statisfactory.backends.transfer import Part
from kedro_statisfactory.errors import IntegrityError, TransferError, UnknownOption
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import LARGE, on, parts_left, write
from tests.servers.faults import Canned, Fault, gateway, proxy
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


def test_a_part_that_is_stopped_closes_its_answer_at_once(
    lakefs_s3: LakeFSServer, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, where = (
        LakeFSBackend(Session(lakefs_s3.credentials)),
        parse(f"lakefs://{lakefs_s3.new_repository()}/large"),
    )
    backend.upload(source=large_file, fragment=where)
    arriving: list[Any] = []

    def stopped(self: PartWriter, part: Part, chunks: Any, stop: threading.Event) -> None:
        arriving.append(chunks)
        next(chunks)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(PartWriter, "fill", stopped)
    with pytest.raises(OSError, match="full"):
        backend.download(target=tmp_path / "large", fragment=where)
    assert arriving
    assert all(each.gi_frame is None for each in arriving), "each is closed, and is not left to the garbage collector"


@pytest.mark.parametrize("of", ["a file", "bytes"])
def test_a_large_object_travels_whole(
    lakefs_server: LakeFSServer,
    repository: str,
    large_file: Path,
    tmp_path: Path,
    requests_of: Callable[[LakeFSBackend], list[str]],
    of: str,
) -> None:
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    signs = backend._store.use.reads
    where, content = parse(f"lakefs://{repository}/large"), large_file.read_bytes()
    sent = requests_of(backend)
    if of == "a file":
        backend.upload(source=large_file, fragment=where)
    else:
        backend.put(payload=content, fragment=where)
    assert signs == ("s3" in lakefs_server.namespace)
    parts = len(transfer.parts(LARGE, transfer.UPLOAD_PART))
    if signs:
        assert (sent[0], len(sent)) == ("POST pmpu", parts + 2)
    else:
        assert sent == ["GET stat", "POST objects"]
    sent.clear()
    if of == "a file":
        backend.download(target=tmp_path / "large", fragment=where)
        assert (tmp_path / "large").read_bytes() == content
    else:
        assert backend.get(fragment=where) == content
    # Where the rest comes by signed URLs, the server gives the first part.
    assert sent == ["GET objects", "GET stat", *sent[2:]]
    assert len(sent) == 2 + (len(transfer.parts(LARGE, transfer.DOWNLOAD_PART)) - 1 if signs else 0)
    assert backend.stat(fragment=where).size == LARGE


@pytest.mark.parametrize("size", [0, transfer.SMALL - 1, transfer.SMALL])
def test_a_small_object_takes_one_request_each_way_and_a_look_before_a_write(
    lakefs_server: LakeFSServer, repository: str, requests_of: Callable[[LakeFSBackend], list[str]], size: int
) -> None:
    backend, where = LakeFSBackend(Session(lakefs_server.credentials)), parse(f"lakefs://{repository}/x")
    sent, payload = requests_of(backend), os.urandom(size)
    backend.put(payload=payload, fragment=where)
    assert backend.get(fragment=where) == payload
    assert sent == ["GET stat", "POST objects", "GET objects"]


def test_a_part_that_nobody_asked_for_is_an_error_and_no_endless_loop(lakefs_local: LakeFSServer, local: str) -> None:
    told = {"ETag": '"x"', "Content-Range": f"bytes 0-2/{LARGE}"}
    with gateway(lakefs_local.endpoint_url) as between:
        backend = LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": between.endpoint_url}))
        assert not backend._store.use.reads
        between.answers.extend([Canned(206, b"abc", told)] * 50)
        with pytest.raises(TransferError, match="a proxy"):
            backend.get(fragment=parse(f"lakefs://{local}/x"))
    assert len(between.seen) < 10


def test_verify_is_true_or_false(backend: LakeFSBackend, local: str) -> None:
    with pytest.raises(UnknownOption, match="true or false"):
        backend.get(fragment=parse(f"lakefs://{local}/x"), verify="no")


def test_a_server_that_signs_no_urls_is_asked_for_the_beginning_of_a_large_object_but_once(
    lakefs_local: LakeFSServer, local: str, large_file: Path, requests_of: Callable[[LakeFSBackend], list[str]]
) -> None:
    # The credentials are one's own: what a process has learnt of the server is kept for them.
    backend = LakeFSBackend(Session({**lakefs_local.credentials, "verify_ssl": False}))
    write(lakefs_local, local, "large", large_file.read_bytes())
    sent = requests_of(backend)
    for _ in range(2):
        assert backend.get(fragment=parse(f"lakefs://{local}/large")) == large_file.read_bytes()
    assert sent == ["GET objects", "GET config", "GET objects", "GET stat", "GET objects", "GET stat"]


def test_the_store_gives_the_rest_of_a_large_object_whose_beginning_breaks_off(
    lakefs_s3: LakeFSServer, large_file: Path
) -> None:
    where = parse(f"lakefs://{lakefs_s3.new_repository()}/large")
    LakeFSBackend(Session(lakefs_s3.credentials)).upload(source=large_file, fragment=where)
    with proxy(lakefs_s3.endpoint_url) as network:
        backend = LakeFSBackend(Session({**lakefs_s3.credentials, "endpoint": network.endpoint_url}))
        assert backend._store.use.reads
        lakefs_client(backend._session).rest_client.pool_manager.clear()
        network.faults.append(Fault(3_000_000))
        assert backend.get(fragment=where) == large_file.read_bytes()
        assert not network.faults


def test_a_large_upload_whose_first_answer_is_lost_is_sent_again_from_its_start(
    lakefs_local: LakeFSServer, local: str, large_file: Path, tmp_path: Path
) -> None:
    where = parse(f"lakefs://{local}/large")
    with proxy(lakefs_local.endpoint_url) as network:
        backend = LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": network.endpoint_url}))
        assert not backend._store.use.writes
        lakefs_client(backend._session).rest_client.pool_manager.clear()
        network.faults.extend([Fault(0)] * 2)
        backend.upload(source=large_file, fragment=where)
    on(lakefs_local, "main").download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


@pytest.mark.parametrize("call", ["_put", "complete_parts"])
@pytest.mark.parametrize("abort", [True, False], ids=["abort", "no abort"])
def test_an_upload_that_breaks_off_leaves_the_old_object_and_no_parts(
    lakefs_s3: LakeFSServer,
    seaweed: S3Server,
    large_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    abort: bool,
) -> None:
    repository = lakefs_s3.new_repository()
    write(lakefs_s3, repository, "large", b"old")
    calls = threading.Semaphore(2 if call == "_put" else 0)
    owner = LakeFSStore if call == "_put" else LakeFSAPI
    original = getattr(owner, call)

    def interrupt(self: Any, *arguments: Any) -> Any:
        if not calls.acquire(blocking=False):
            assert parts_left(seaweed, repository)
            raise KeyboardInterrupt
        return original(self, *arguments)

    def fail(*_: Any) -> None:
        raise TransferError("another error that says less")

    monkeypatch.setattr(owner, call, interrupt)
    if not abort:
        monkeypatch.setattr(LakeFSAPI, "abort_parts", fail)
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    with pytest.raises(KeyboardInterrupt):
        backend.upload(source=large_file, fragment=parse(f"lakefs://{repository}/large"))
    assert backend.get(fragment=parse(f"lakefs://{repository}/large")) == b"old"
    if abort:
        assert parts_left(seaweed, repository) == []


@pytest.mark.parametrize("verify", [True, False])
def test_a_large_object_of_others_is_verified_as_far_as_it_can_be(
    lakefs_server: LakeFSServer,
    repository: str,
    large_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verify: bool,
) -> None:
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    write(lakefs_server, repository, "whole", large_file.read_bytes())  # its checksum is an MD5
    with monkeypatch.context() as patch:
        patch.setattr(api, "CRC32_KEY", "another")
        backend.upload(source=large_file, fragment=parse(f"lakefs://{repository}/parts"))  # in parts, it is none
    for name in ("whole", "parts"):
        where = parse(f"lakefs://{repository}/{name}")
        backend.download(target=tmp_path / name, fragment=where, verify=verify)
        assert (tmp_path / name).read_bytes() == large_file.read_bytes()


def test_a_large_object_that_is_not_what_was_stored_is_an_error_and_no_file(
    lakefs_server: LakeFSServer, repository: str, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    where = parse(f"lakefs://{repository}/large")
    with monkeypatch.context() as patch:
        patch.setattr(crc32, "combined", lambda _: 0)
        patch.setattr(transfer, "crc32_of", lambda _: 0)
        backend.upload(source=large_file, fragment=where)
    with pytest.raises(IntegrityError, match="'large' did not arrive as it was stored"):
        backend.download(target=tmp_path / "large", fragment=where)
    assert not (tmp_path / "large").exists()
    backend.download(target=tmp_path / "large", fragment=where, verify=False)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


def test_a_large_object_replaced_while_it_is_read_comes_from_one_version(
    lakefs_local: LakeFSServer, local: str, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = LakeFSBackend(Session(lakefs_local.credentials))
    where = parse(f"lakefs://{local}/large")
    backend.upload(source=large_file, fragment=where)
    stat = LakeFSAPI.stat

    def replace(self: LakeFSAPI, *arguments: Any) -> Any:
        write(lakefs_local, local, "large", bytes(LARGE))
        return stat(self, *arguments)

    monkeypatch.setattr(LakeFSAPI, "stat", replace)
    backend.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()
