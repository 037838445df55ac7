"""Objects in S3: small ones in one request, large ones in parts, all of them verified."""

from __future__ import annotations

import base64
import errno
import functools
import hashlib
import json
import os
import socket
import threading
import time
import traceback
import tracemalloc
import uuid
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from kedro_statisfactory.backends import S3Backend, transfer
from kedro_statisfactory.backends.md5 import etag_of_parts
from kedro_statisfactory.backends.part_writer import PartWriter
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.backends.transfer import Part
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BucketNotFound,
    IntegrityError,
    InvalidCredentials,
    InvalidURL,
    MissingCredentials,
    ObjectNotFound,
    PermissionDenied,
    PreconditionFailed,
    TransferError,
    UnknownCredential,
    UnknownOption,
)
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Fault, Proxy, gateway, proxy
from tests.servers.s3 import S3Server

BY_BOTO3 = {"config_kwargs": {"user_agent_extra": "tests"}}  # a configuration that is not plain
LARGE = 40 * transfer.MEBIBYTE + 12_345  # three parts on the way down, six on the way up


@pytest.fixture
def backend(seaweed: S3Server) -> S3Backend:
    return S3Backend(Session(seaweed.credentials))


@pytest.fixture(scope="session")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(os.urandom(LARGE))
    return path


@pytest.fixture
def network(seaweed: S3Server) -> Iterator[Proxy]:
    with proxy(seaweed.endpoint_url) as state:
        yield state


@pytest.fixture
def over_network(seaweed: S3Server, network: Proxy) -> S3Backend:
    config = {"retries": {"mode": "standard", "total_max_attempts": 2}}
    return S3Backend(Session({**seaweed.credentials, "endpoint_url": network.endpoint_url, "config_kwargs": config}))


@pytest.fixture
def requests_of(seaweed: S3Server) -> Iterator[Callable[[], list[str]]]:
    """The operations that the shared client sent since the start of the test."""
    events: Any = s3_client(Session(seaweed.credentials)).meta.events
    sent: list[str] = []

    def record(model: Any, **_: Any) -> None:
        sent.append(model.name)

    events.register("before-call.s3", record)
    yield lambda: list(sent)
    events.unregister("before-call.s3", record)


# -- small and large ----------------------------------------------------------------------------------------------


def test_a_small_object_takes_one_request_each_way(
    backend: S3Backend, bucket: str, requests_of: Callable[[], list[str]], tmp_path: Path
) -> None:
    where = parse(f"s3://{bucket}/small")
    (tmp_path / "source").write_bytes(b"small")
    backend.upload(source=tmp_path / "source", fragment=where)
    backend.download(target=tmp_path / "target", fragment=where)
    backend.exists(fragment=where)
    assert requests_of() == ["PutObject", "GetObject", "HeadObject"]


def test_a_body_waits_for_the_service_only_where_it_might_be_large_and_refused(
    seaweed: S3Server, bucket: str, large_file: Path
) -> None:
    with gateway(seaweed.endpoint_url) as between:
        backend = S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}))
        for size in (5, 2 * transfer.MEBIBYTE):
            backend.put(payload=bytes(size), fragment=parse(f"s3://{bucket}/{size}"))
        backend.upload(source=large_file, fragment=parse(f"s3://{bucket}/large"))
    sent = [(seen.headers.get("Expect"), seen.target) for seen in between.seen if seen.method == "PUT"]
    assert sent[:2] == [(None, f"/{bucket}/5"), ("100-continue", f"/{bucket}/{2 * transfer.MEBIBYTE}")]
    assert {expect for expect, _ in sent[2:]} == {None}


@pytest.mark.parametrize("of", ["a file", "bytes"])
def test_a_large_object_travels_in_parts_and_is_one_object(
    backend: S3Backend, bucket: str, large_file: Path, tmp_path: Path, requests_of: Callable[[], list[str]], of: str
) -> None:
    where, content = parse(f"s3://{bucket}/large"), large_file.read_bytes()
    if of == "a file":
        backend.upload(source=large_file, fragment=where, StorageClass="STANDARD")
        backend.download(target=tmp_path / "large", fragment=where)
        assert (tmp_path / "large").read_bytes() == content
    else:
        backend.put(payload=content, fragment=where, StorageClass="STANDARD")
        assert backend.get(fragment=where) == content
    assert requests_of().count("UploadPart") == len(transfer.parts(LARGE, transfer.UPLOAD_PART))
    assert requests_of().count("GetObject") == 3
    assert backend.stat(fragment=where).size == LARGE


def test_a_large_object_keeps_the_checksum_of_all_its_bytes(
    backend: S3Backend, seaweed: S3Server, bucket: str, large_file: Path
) -> None:
    backend.upload(source=large_file, fragment=parse(f"s3://{bucket}/large"))
    found = s3_client(Session(seaweed.credentials)).head_object(Bucket=bucket, Key="large", ChecksumMode="ENABLED")
    expected = base64.b64encode(zlib.crc32(large_file.read_bytes()).to_bytes(4, "big")).decode()
    assert (found["ChecksumCRC32"], found["ChecksumType"]) == (expected, "FULL_OBJECT")


def test_parts_too_large_for_memory_are_streamed(
    backend: S3Backend, bucket: str, large_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(transfer, "UPLOAD_PART", 20 * transfer.MEBIBYTE)  # more than is held in memory
    backend.upload(source=large_file, fragment=parse(f"s3://{bucket}/large"))
    backend.download(target=tmp_path / "large", fragment=parse(f"s3://{bucket}/large"))
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


def test_objects_with_a_composite_checksum_or_another_algorithm_are_read(
    backend: S3Backend, seaweed: S3Server, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    client = s3_client(Session(seaweed.credentials))
    client.upload_file(str(large_file), bucket, "composite")
    client.put_object(Bucket=bucket, Key="sha", Body=large_file.read_bytes(), ChecksumAlgorithm="SHA256")
    for key in ("composite", "sha"):
        backend.download(target=tmp_path / key, fragment=parse(f"s3://{bucket}/{key}"))
        assert (tmp_path / key).read_bytes() == large_file.read_bytes()


def test_an_upload_that_breaks_off_leaves_the_old_object_and_no_parts(
    backend: S3Backend, seaweed: S3Server, bucket: str, large_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3_client(Session(seaweed.credentials))
    client.put_object(Bucket=bucket, Key="large", Body=b"old")
    calls = threading.Semaphore(2)

    def interrupt(**_: Any) -> None:
        if not calls.acquire(blocking=False):
            raise KeyboardInterrupt

    client.meta.events.register("before-call.s3.UploadPart", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            backend.upload(source=large_file, fragment=parse(f"s3://{bucket}/large"))
    finally:
        client.meta.events.unregister("before-call.s3.UploadPart", interrupt)
    assert backend.get(fragment=parse(f"s3://{bucket}/large")) == b"old"
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")


# -- a bad network ------------------------------------------------------------------------------------------------


def test_the_proxy_itself_changes_nothing(over_network: S3Backend, network: Proxy, bucket: str) -> None:
    over_network.put(payload=b"x" * 100_000, fragment=parse(f"s3://{bucket}/x"))
    assert over_network.get(fragment=parse(f"s3://{bucket}/x")) == b"x" * 100_000
    assert network.connections == 1


@pytest.mark.parametrize("flip", [False, True], ids=["cut", "flipped"])
def test_a_damaged_answer_is_read_again(
    over_network: S3Backend, backend: S3Backend, network: Proxy, bucket: str, flip: bool
) -> None:
    backend.put(payload=b"x" * 200_000, fragment=parse(f"s3://{bucket}/x"))
    network.faults.append(Fault(120_000, flip))
    assert over_network.get(fragment=parse(f"s3://{bucket}/x")) == b"x" * 200_000


@pytest.mark.parametrize(("flip", "error"), [(False, (IntegrityError, BackendUnreachable)), (True, IntegrityError)])
def test_an_answer_that_stays_damaged_is_an_error_and_never_data(
    seaweed: S3Server, backend: S3Backend, bucket: str, flip: bool, error: Any, tmp_path: Path
) -> None:
    where = parse(f"s3://{bucket}/x")
    backend.put(payload=b"x" * 200_000, fragment=where)
    for read in ("get", "download"):
        with proxy(seaweed.endpoint_url) as network:
            network.faults.extend([Fault(120_000, flip, again=True)] * 50)
            config = {"max_pool_connections": 1, "retries": {"total_max_attempts": 1}}
            credentials = {**seaweed.credentials, "endpoint_url": network.endpoint_url, "config_kwargs": config}
            damaged = S3Backend(Session(credentials))
            reads: dict[str, Callable[..., object]] = {
                "get": damaged.get,
                "download": functools.partial(damaged.download, target=tmp_path / "x"),
            }
            with pytest.raises(error):
                reads[read](fragment=where)
            assert not (tmp_path / "x").exists()


def test_a_large_read_goes_on_where_it_broke_off(
    over_network: S3Backend, backend: S3Backend, network: Proxy, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    where = parse(f"s3://{bucket}/large")
    backend.upload(source=large_file, fragment=where)
    faults = [Fault(3_000_000), Fault(5_000_000), Fault(7_000_000)]
    network.faults.extend(faults)
    over_network.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()
    network.faults.extend(faults)
    assert over_network.get(fragment=where) == large_file.read_bytes()


@pytest.mark.parametrize("way", ["up", "down"])
def test_memory_does_not_grow_with_the_object(backend: S3Backend, bucket: str, tmp_path: Path, way: str) -> None:
    size, where = 160 * transfer.MEBIBYTE, parse(f"s3://{bucket}/x")
    with (tmp_path / "x").open("wb") as file:
        file.truncate(size)
    if way == "down":
        backend.upload(source=tmp_path / "x", fragment=where)
    tracemalloc.start()
    try:
        if way == "up":
            backend.upload(source=tmp_path / "x", fragment=where)
        else:
            backend.download(target=tmp_path / "y", fragment=where)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * transfer.MEBIBYTE
    assert peak > transfer.MEBIBYTE, "the negative control: it is seen at all"


def test_large_bytes_are_held_in_memory_once(backend: S3Backend, bucket: str) -> None:
    size, where = 160 * transfer.MEBIBYTE, parse(f"s3://{bucket}/x")
    payload = bytes(size)
    tracemalloc.start()
    try:
        backend.put(payload=payload, fragment=where)
        up = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        fetched = backend.get(fragment=where)
        down = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fetched == payload
    assert up < 64 * transfer.MEBIBYTE
    assert size < down < size + 64 * transfer.MEBIBYTE


def test_a_large_read_that_was_flipped_is_read_again(
    over_network: S3Backend, backend: S3Backend, network: Proxy, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    where = parse(f"s3://{bucket}/large")
    backend.upload(source=large_file, fragment=where)
    network.faults.append(Fault(3_000_000, flip=True))
    over_network.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()
    network.faults.append(Fault(3_000_000, flip=True))
    assert over_network.get(fragment=where) == large_file.read_bytes()


def test_a_large_read_that_always_breaks_off_ends_with_an_error(
    seaweed: S3Server, backend: S3Backend, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    where = parse(f"s3://{bucket}/large")
    backend.upload(source=large_file, fragment=where)
    with proxy(seaweed.endpoint_url) as network:
        network.faults.extend([Fault(300_000)] * 500)
        lossy = S3Backend(Session({**seaweed.credentials, "endpoint_url": network.endpoint_url}))
        with pytest.raises((IntegrityError, BackendUnreachable)):
            lossy.download(target=tmp_path / "large", fragment=where)
    assert not (tmp_path / "large").exists()


def test_a_large_read_that_is_always_damaged_ends_with_an_error(
    seaweed: S3Server, backend: S3Backend, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    where = parse(f"s3://{bucket}/large")
    backend.upload(source=large_file, fragment=where)
    with proxy(seaweed.endpoint_url) as network:
        network.faults.extend([Fault(300_000, flip=True, again=True)] * 500)
        damaged = S3Backend(Session({**seaweed.credentials, "endpoint_url": network.endpoint_url}))
        with pytest.raises(IntegrityError, match="checksum"):
            damaged.download(target=tmp_path / "large", fragment=where)
    assert not (tmp_path / "large").exists()


def test_an_object_that_is_replaced_again_and_again_is_an_error(
    backend: S3Backend, seaweed: S3Server, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    backend.upload(source=large_file, fragment=parse(f"s3://{bucket}/large"))
    events: Any = s3_client(Session(seaweed.credentials)).meta.events

    def pretend(params: Any, **_: Any) -> None:
        if "Range" in params["headers"]:
            params["headers"]["If-Match"] = '"of another version"'

    events.register("before-call.s3.GetObject", pretend)
    try:
        with pytest.raises(PreconditionFailed):
            backend.download(target=tmp_path / "large", fragment=parse(f"s3://{bucket}/large"))
    finally:
        events.unregister("before-call.s3.GetObject", pretend)


def test_a_part_that_is_stopped_closes_its_answer_at_once(
    backend: S3Backend, bucket: str, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.upload(source=large_file, fragment=parse(f"s3://{bucket}/large"))
    arriving: list[Any] = []

    def stopped(self: PartWriter, part: Part, chunks: Any, stop: threading.Event) -> None:
        arriving.append(chunks)
        next(chunks)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(PartWriter, "fill", stopped)
    with pytest.raises(OSError, match="full"):
        backend.download(target=tmp_path / "large", fragment=parse(f"s3://{bucket}/large"))
    assert arriving
    assert all(each.gi_frame is None for each in arriving), "each is closed, and is not left to the garbage collector"


def test_an_answer_that_comes_when_its_part_was_stopped_is_closed(seaweed: S3Server, bucket: str) -> None:
    client = s3_client(Session(seaweed.credentials))
    client.put_object(Bucket=bucket, Key="x", Body=b"x" * 100_000)
    events: Any = client.meta.events
    answers: list[Any] = []

    def fetch(key: str, stop: threading.Event) -> None:
        def arrived(response_dict: Any, **_: Any) -> None:
            answers.append(response_dict["body"]._raw_stream)
            stop.set()

        events.register("before-parse.s3.GetObject", arrived)
        try:
            client.get_object(Bucket=bucket, Key=key)
        finally:
            events.unregister("before-parse.s3.GetObject", arrived)

    with pytest.raises(transfer.Stopped):
        transfer.in_parallel(fetch, ["x"], 1)
    assert [answer.closed for answer in answers] == [True]


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_an_object_replaced_while_it_is_read_comes_from_one_version(
    backend: S3Backend, seaweed: S3Server, bucket: str, large_file: Path, tmp_path: Path, checksums: str
) -> None:
    where = parse(f"s3://{bucket}/large")
    writer = s3_client(Session({**seaweed.credentials, "config_kwargs": {"request_checksum_calculation": checksums}}))
    writer.put_object(Bucket=bucket, Key="large", Body=large_file.read_bytes())
    replacement = bytes(LARGE)
    events: Any = s3_client(Session(seaweed.credentials)).meta.events
    once = threading.Semaphore(1)

    def replace(params: Any, **_: Any) -> None:
        if "Range" in params["headers"] and once.acquire(blocking=False):
            writer.put_object(Bucket=bucket, Key="large", Body=replacement)

    events.register("before-call.s3.GetObject", replace)
    try:
        backend.download(target=tmp_path / "large", fragment=where)
    finally:
        events.unregister("before-call.s3.GetObject", replace)
    assert not once.acquire(blocking=False), "it was replaced"
    assert (tmp_path / "large").read_bytes() in (large_file.read_bytes(), replacement)


def test_a_server_that_is_gone_is_unreachable(seaweed: S3Server) -> None:
    gone = {
        **seaweed.credentials,
        "endpoint_url": "http://127.0.0.1:9",
        "config_kwargs": {"retries": {"total_max_attempts": 1}},
    }
    with pytest.raises(BackendUnreachable, match="endpoint_url"):
        S3Backend(Session(gone)).get(fragment=parse("s3://bucket/x"))


# -- buckets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_missing_bucket_is_created_where_the_client_is(moto_server: S3Server, region: str) -> None:
    session = Session({**moto_server.credentials, "region_name": region})
    name = f"made-{uuid.uuid4().hex[:8]}"
    S3Backend(session).put(payload=b"x", fragment=parse(f"s3://{name}/x"))
    assert s3_client(session).get_bucket_location(Bucket=name).get("LocationConstraint") in (region, None)
    assert (region == "us-east-1") == (
        s3_client(session).get_bucket_location(Bucket=name).get("LocationConstraint") is None
    )
    assert S3Backend(session).get(fragment=parse(f"s3://{name}/x")) == b"x"


def test_a_bucket_that_cannot_be_created_is_an_error(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = S3Backend(Session(moto_server.credentials))

    def deny(**_: Any) -> None:
        raise backend._client.exceptions.ClientError({"Error": {"Code": "AccessDenied"}}, "CreateBucket")

    monkeypatch.setattr(backend._client, "create_bucket", deny)
    with pytest.raises(PermissionDenied):
        backend.put(payload=b"x", fragment=parse(f"s3://denied-{uuid.uuid4().hex[:8]}/x"))


def test_a_bucket_is_created_for_a_large_object(moto_server: S3Server, large_file: Path) -> None:
    backend = S3Backend(Session(moto_server.credentials))
    where = parse(f"s3://made-{uuid.uuid4().hex[:8]}/x")
    backend.upload(source=large_file, fragment=where)
    assert backend.stat(fragment=where).size == LARGE


def test_sixteen_writers_create_one_bucket(moto_server: S3Server) -> None:
    backend = S3Backend(Session({**moto_server.credentials, "region_name": "eu-west-1"}))
    name = f"made-{uuid.uuid4().hex[:8]}"
    with ThreadPoolExecutor(16) as executor:
        list(executor.map(lambda n: backend.put(payload=b"x", fragment=parse(f"s3://{name}/{n}")), range(16)))
    assert len(list(backend.list(fragment=parse(f"s3://{name}/0")))) == 0
    assert all(backend.exists(fragment=parse(f"s3://{name}/{n}")) for n in range(16))


def test_no_bucket_is_created_when_that_is_switched_off(moto_server: S3Server) -> None:
    backend = S3Backend(Session(moto_server.credentials))
    where = parse(f"s3://absent-{uuid.uuid4().hex[:8]}/x")
    with pytest.raises(BucketNotFound, match="correct the URL or create it"):
        backend.put(payload=b"x", fragment=where, create_bucket=False)
    with pytest.raises(BucketNotFound):
        backend.get(fragment=where)
    assert not backend.exists(fragment=where)
    assert list(backend.list(fragment=where)) == []
    backend.delete(fragment=where)


def test_what_is_neither_true_nor_false_creates_no_bucket(moto_server: S3Server) -> None:
    where = parse(f"s3://absent-{uuid.uuid4().hex[:8]}/x")
    with pytest.raises(UnknownOption, match="`create_bucket` is 'false': write true or false"):
        S3Backend(Session(moto_server.credentials)).put(payload=b"x", fragment=where, create_bucket="false")


def test_a_bucket_name_that_s3_refuses_is_an_error(moto_server: S3Server) -> None:
    with pytest.raises(InvalidURL, match="does not allow"):
        S3Backend(Session(moto_server.credentials)).put(payload=b"x", fragment=parse("s3://UPPER_case!/x"))


# -- folders ------------------------------------------------------------------------------------------------------


def test_what_a_new_folder_does_not_have_is_removed(backend: S3Backend, bucket: str, tmp_path: Path) -> None:
    where = parse(f"s3://{bucket}/tree")
    backend.put(payload=b"old", fragment=parse(f"s3://{bucket}/tree/old"))
    backend.put(payload=b"other", fragment=parse(f"s3://{bucket}/tree-too/x"))
    (tmp_path / "new").write_bytes(b"new")
    backend.upload(source=tmp_path, fragment=where)
    assert [info.path for info in backend.list(fragment=where)] == ["new"]
    assert backend.exists(fragment=parse(f"s3://{bucket}/tree-too/x"))


def test_a_folder_takes_the_place_of_an_object(backend: S3Backend, bucket: str, tmp_path: Path) -> None:
    where = parse(f"s3://{bucket}/x")
    backend.put(payload=b"an object", fragment=where)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/part-0").write_bytes(b"part")
    backend.upload(source=tmp_path / "source", fragment=where)
    backend.download(target=tmp_path / "x", fragment=where)
    assert (tmp_path / "x/part-0").read_bytes() == b"part"


def test_what_says_that_a_folder_is_complete_is_sent_last_and_in_order(
    backend: S3Backend, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["_log/1.json", "_log/0.json", "z", "a", "_SUCCESS"]
    for name in names:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(b"x")
    sent: list[str] = []
    upload = S3Backend._store

    def slow_at_first(self: S3Backend, source: Path, *more: Any) -> None:
        time.sleep(0.2 if not source.name.startswith("_") and "_log" not in source.parts else 0)
        upload(self, source, *more)
        sent.append(source.relative_to(tmp_path / "source").as_posix())

    monkeypatch.setattr(S3Backend, "_store", slow_at_first)
    backend.upload(source=tmp_path / "source", fragment=parse(f"s3://{bucket}/tree"))
    assert sorted(sent[:2]) == ["a", "z"]
    assert sent[2:] == ["_SUCCESS", "_log/0.json", "_log/1.json"]


def test_a_key_that_another_begins_with_does_not_exist(backend: S3Backend, seaweed: S3Server, bucket: str) -> None:
    for key in ("x.bak", "marked/", "tree/sub/", "tree/sub/x"):
        s3_client(Session(seaweed.credentials)).put_object(Bucket=bucket, Key=key, Body=b"")
    found = {name: backend.exists(fragment=parse(f"s3://{bucket}/{name}")) for name in ("x", "marked", "tree")}
    assert found == {"x": False, "marked": False, "tree": True}


def test_an_empty_folder_cannot_be_stored(backend: S3Backend, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="no files"):
        backend.upload(source=tmp_path, fragment=parse(f"s3://{bucket}/tree"))


def test_a_file_that_fails_ends_the_upload_of_a_folder(backend: S3Backend, bucket: str, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}").write_bytes(b"x")
    with pytest.raises(UnknownOption):
        backend.upload(source=tmp_path, fragment=parse(f"s3://{bucket}/tree"), Nonsense=1)
    assert not backend.exists(fragment=parse(f"s3://{bucket}/tree"))


def test_markers_of_consoles_and_of_hadoop_are_no_files(
    backend: S3Backend, seaweed: S3Server, bucket: str, tmp_path: Path
) -> None:
    backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/tree/x"))
    for marker in ("tree/sub/", "tree/sub_$folder$", "marked/sub_$folder$"):
        s3_client(Session(seaweed.credentials)).put_object(Bucket=bucket, Key=marker, Body=b"")
    s3_client(Session(seaweed.credentials)).put_object(Bucket=bucket, Key="tree/y_$folder$", Body=b"data")
    backend.download(target=tmp_path / "tree", fragment=parse(f"s3://{bucket}/tree"))
    assert sorted(path.name for path in (tmp_path / "tree").rglob("*")) == ["x", "y_$folder$"]
    assert not backend.exists(fragment=parse(f"s3://{bucket}/marked"))


def test_a_key_that_would_leave_the_folder_is_refused(moto_server: S3Server, tmp_path: Path) -> None:
    session = Session(moto_server.credentials)
    bucket = f"evil-{uuid.uuid4().hex[:8]}"
    s3_client(session).create_bucket(Bucket=bucket)
    for key in ("tree/ok", "tree/a/../../../escaped"):
        s3_client(session).put_object(Bucket=bucket, Key=key, Body=b"x")
    with pytest.raises(InvalidURL):
        S3Backend(session).download(target=tmp_path / "tree", fragment=parse(f"s3://{bucket}/tree"))
    assert not list(tmp_path.parent.glob("escaped"))


def test_a_delete_that_is_refused_is_an_error(backend: S3Backend, monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    refused = {"Errors": [{"Key": "x", "Code": "AccessDenied"}]}
    monkeypatch.setattr(backend._client, "delete_objects", lambda **_: refused)
    with pytest.raises(PermissionDenied, match="'x'"):
        backend.delete(fragment=parse(f"s3://{bucket}/x"))


# -- options and errors -------------------------------------------------------------------------------------------


def test_arguments_of_boto3_pass_through(backend: S3Backend, seaweed: S3Server, bucket: str) -> None:
    where = parse(f"s3://{bucket}/x")
    backend.put(payload=b"x", fragment=where, ContentType="text/x-test", ChecksumAlgorithm="SHA256")
    found = s3_client(Session(seaweed.credentials)).head_object(Bucket=bucket, Key="x", ChecksumMode="ENABLED")
    assert found["ContentType"] == "text/x-test"
    assert "ChecksumCRC32" not in found
    assert backend.get(fragment=where, ResponseContentType="text/plain") == b"x"
    assert backend.exists(fragment=where, ResponseContentType="text/plain")


@pytest.mark.parametrize("reserved", ["Bucket", "Key", "Body"])
def test_what_the_url_says_is_no_option(backend: S3Backend, bucket: str, reserved: str) -> None:
    with pytest.raises(UnknownOption, match=reserved):
        backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"), **{reserved: "y"})


def test_a_value_of_the_wrong_type_is_not_shown(backend: S3Backend, bucket: str) -> None:
    with pytest.raises(UnknownOption, match="wrong type") as refused:
        backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"), SSECustomerAlgorithm=["hush"])
    assert refused.value.__cause__ is None
    assert "hush" not in str(refused.value)


def test_a_condition_that_does_not_hold_is_an_error(backend: S3Backend, bucket: str) -> None:
    where = parse(f"s3://{bucket}/x")
    backend.put(payload=b"first", fragment=where, IfNoneMatch="*")
    with pytest.raises(PreconditionFailed):
        backend.put(payload=b"second", fragment=where, IfNoneMatch="*")
    with pytest.raises(PreconditionFailed):
        backend.get(fragment=where, IfMatch='"another"')
    assert backend.get(fragment=where) == b"first"


@pytest.mark.parametrize("size", [4, LARGE])
def test_a_conditional_put_whose_answer_was_lost_is_recognised(
    seaweed: S3Server, bucket: str, large_file: Path, size: int
) -> None:
    where, payload = parse(f"s3://{bucket}/x"), large_file.read_bytes()[:size]
    with gateway(seaweed.endpoint_url) as between:
        backend = S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}))
        events: Any = backend._client.meta.events
        operation = "CompleteMultipartUpload" if size == LARGE else "PutObject"
        once = threading.Semaphore(1)

        def lose(**_: Any) -> None:
            if once.acquire(blocking=False):
                between.answers.append(Canned(503, done=True))

        events.register(f"before-send.s3.{operation}", lose)
        backend.put(payload=payload, fragment=where, IfNoneMatch="*")
        assert not once.acquire(blocking=False)
    direct = S3Backend(Session(seaweed.credentials))
    assert direct.get(fragment=where) == payload
    direct.put(payload=payload, fragment=where, IfNoneMatch="*")
    if size != LARGE:  # under load SeaweedFS does not always see the condition of an upload in parts
        with pytest.raises(PreconditionFailed):
            direct.put(payload=payload[:-1] + b"?", fragment=where, IfNoneMatch="*")
    assert not s3_client(Session(seaweed.credentials)).list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_a_condition_that_fails_where_nobody_may_look_is_an_error(seaweed: S3Server, bucket: str) -> None:
    with gateway(seaweed.endpoint_url) as between:
        backend = S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}))
        between.answers.extend([Canned(412, b"<Error><Code>PreconditionFailed</Code></Error>"), Canned(403)])
        with pytest.raises(PreconditionFailed):
            backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"), IfNoneMatch="*")


def test_parts_with_etags_of_another_kind_are_not_taken_for_what_is_there() -> None:
    assert etag_of_parts(['"d41d8cd98f00b204e9800998ecf8427e"'] * 2) == "5873dd45edd01f09c1ef2e7819369e8e-2"
    assert etag_of_parts(['"of another kind"']) == ""


@pytest.mark.parametrize("of", ["a file", "bytes"])
@pytest.mark.parametrize("option", ["ContentMD5", "ChecksumCRC32", "ChecksumSHA256", "ChecksumAlgorithm"])
def test_checksums_that_a_user_names_hold_for_large_objects_too(
    backend: S3Backend, bucket: str, large_file: Path, requests_of: Callable[[], list[str]], option: str, of: str
) -> None:
    where, content = parse(f"s3://{bucket}/large"), large_file.read_bytes()
    values = {
        "ContentMD5": hashlib.md5(content).digest(),
        "ChecksumCRC32": zlib.crc32(content).to_bytes(4, "big"),
        "ChecksumSHA256": hashlib.sha256(content).digest(),
    }
    options: dict[str, Any] = {option: base64.b64encode(values[option]).decode() if option in values else "SHA256"}
    if of == "bytes":
        backend.put(payload=content, fragment=where, **options)
    else:
        backend.upload(source=large_file, fragment=where, **options)
    assert requests_of() == ["PutObject"]
    assert backend.get(fragment=where) == content


@pytest.mark.parametrize("of", ["a file", "bytes"])
def test_a_cache_that_does_not_care_for_ranges_gives_whole_objects(
    seaweed: S3Server, bucket: str, large_file: Path, tmp_path: Path, of: str
) -> None:
    plain = {"request_checksum_calculation": "when_required"}  # an object without a checksum
    backend = S3Backend(Session({**seaweed.credentials, "config_kwargs": plain}))
    backend.upload(source=large_file, fragment=parse(f"s3://{bucket}/large"))
    events: Any = backend._client.meta.events

    def forget(request: Any, **_: Any) -> None:
        del request.headers["Range"]

    events.register("before-sign.s3.GetObject", forget)
    try:
        if of == "bytes":
            assert backend.get(fragment=parse(f"s3://{bucket}/large")) == large_file.read_bytes()
        else:
            backend.download(target=tmp_path / "large", fragment=parse(f"s3://{bucket}/large"))
            assert (tmp_path / "large").read_bytes() == large_file.read_bytes()
    finally:
        events.unregister("before-sign.s3.GetObject", forget)


def test_an_endpoint_that_knows_no_integrity_headers_can_be_used(
    seaweed: S3Server, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    config = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    session = Session({**seaweed.credentials, "config_kwargs": config})
    headers: list[str] = []
    events: Any = s3_client(session).meta.events
    events.register("before-send.s3", lambda request, **_: headers.extend(request.headers))
    where = parse(f"s3://{bucket}/large")
    S3Backend(session).upload(source=large_file, fragment=where)
    S3Backend(session).put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))
    S3Backend(session).download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()
    assert not [name for name in headers if name.lower().startswith("x-amz-checksum")]


def test_every_wait_is_bounded(seaweed: S3Server) -> None:
    config: Any = s3_client(Session(seaweed.credentials)).meta.config
    assert (config.connect_timeout, config.read_timeout) == (10, 60)
    assert config.retries == {"mode": "standard", "total_max_attempts": 5}


def test_a_server_that_says_nothing_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = {"read_timeout": 0.2, "retries": {"mode": "standard", "total_max_attempts": 2}}
        credentials = {
            "key": "k",
            "secret": "s",
            "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}"},
            "config_kwargs": config,
        }
        with pytest.raises(BackendUnreachable, match="Read timeout"):
            S3Backend(Session(credentials)).get(fragment=parse("s3://bucket/x"))


@pytest.mark.parametrize("how", ["entry", "environment"])
def test_a_secret_with_a_line_break_is_not_shown(
    seaweed: S3Server, bucket: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = dict(seaweed.credentials)
    if how == "entry":
        credentials["aws_session_token"] = "hush-hush\n"
        with pytest.raises(InvalidCredentials, match="'aws_session_token' has a line break"):
            S3Backend(Session(credentials))
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials.pop("aws_access_key_id"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials.pop("aws_secret_access_key"))
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hush-hush\n")
    with pytest.raises(InvalidCredentials, match="a line break or another character that cannot be sent") as failed:
        S3Backend(Session(credentials)).get(fragment=parse(f"s3://{bucket}/x"))
    assert "hush" not in "".join(traceback.format_exception(failed.value))


def test_a_password_in_an_endpoint_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hush-hush@127.0.0.1:9")
    credentials = {"key": "k", "secret": "s", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    with pytest.raises(BackendUnreachable) as failed:
        S3Backend(Session(credentials)).get(fragment=parse("s3://bucket/x"))
    assert "hush" not in "".join(traceback.format_exception(failed.value))


def test_how_a_service_is_reached_is_no_secret() -> None:
    session = Session({"key": "k", "secret": "hush", "config_kwargs": {"s3": {"addressing_style": "path"}}})
    assert session.redacted("the path of k, and hush", ()) == "the path of k, and <redacted>"


def test_wrong_keys_are_denied_without_being_shown(seaweed: S3Server, bucket: str) -> None:
    wrong = {**seaweed.credentials, "aws_secret_access_key": "hush-hush"}
    with pytest.raises(PermissionDenied, match="check the credentials") as denied:
        S3Backend(Session(wrong)).get(fragment=parse(f"s3://{bucket}/x"))
    assert "hush" not in str(denied.value)
    with pytest.raises(PermissionDenied):
        S3Backend(Session(wrong)).exists(fragment=parse(f"s3://{bucket}/x"))


def test_temporary_credentials_are_good_with_their_session_token_only(seaweed: S3Server, bucket: str) -> None:
    admin = Session(seaweed.credentials)
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    for_all = {**policy, "Statement": [{**allow, "Principal": "*"}]}  # the rights of an admin are not passed on
    s3_client(admin).put_bucket_policy(Bucket=bucket, Policy=json.dumps(for_all))
    client: Any = boto3.client
    made = client("sts", **seaweed.credentials).get_federation_token(Name="test", Policy=json.dumps(policy))[
        "Credentials"
    ]
    where = parse(f"s3://{bucket}/x")
    rest = {"endpoint_url": seaweed.endpoint_url, "region_name": "us-east-1"}
    keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    S3Backend(Session({**keys, **rest, "aws_session_token": made["SessionToken"]})).put(payload=b"x", fragment=where)
    s3fs = {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"], "token": made["SessionToken"]}
    assert S3Backend(Session({**s3fs, "client_kwargs": rest})).get(fragment=where) == b"x"
    with pytest.raises(PermissionDenied):
        S3Backend(Session({**keys, **rest})).get(fragment=where)


def test_a_profile_brings_keys_and_endpoint(
    seaweed: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(
        f"[profile lab]\naws_access_key_id = {seaweed.access_key}\naws_secret_access_key = {seaweed.secret_key}\n"
        f"endpoint_url = {seaweed.endpoint_url}\nregion = us-east-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    backend = S3Backend(Session({"profile_name": "lab"}))
    backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))
    assert backend.get(fragment=parse(f"s3://{bucket}/x")) == b"x"


def test_a_secret_in_a_message_of_boto3_is_taken_out(seaweed: S3Server) -> None:
    odd = {**seaweed.credentials, "aws_secret_access_key": "hush", "endpoint_url": "hush:not a url"}
    with pytest.raises(InvalidCredentials) as refused:
        S3Backend(Session(odd)).get(fragment=parse("s3://bucket/x"))
    assert "hush" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_no_credentials_at_all_says_where_to_put_them() -> None:
    with pytest.raises(MissingCredentials, match="AWS_ACCESS_KEY_ID"):
        S3Backend(Session({"region_name": "us-east-1", "endpoint_url": "http://127.0.0.1:9"})).get(
            fragment=parse("s3://bucket/x")
        )
    with pytest.raises(MissingCredentials, match="nobody"):
        S3Backend(Session({"profile_name": "nobody"})).get(fragment=parse("s3://bucket/x"))


def test_unknown_credentials_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(UnknownCredential, match="acess_key"):
        S3Backend(Session({"acess_key": "x"}))


def test_a_url_without_a_bucket_is_refused(backend: S3Backend) -> None:
    with pytest.raises(InvalidURL, match="no bucket"):
        backend.get(fragment=parse("s3:///x"))


def test_another_failure_of_the_service_is_told_in_its_words(backend: S3Backend, bucket: str) -> None:
    with pytest.raises(TransferError, match="the service failed"):
        backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/{'k' * 3000}"))


def test_an_error_of_boto3_without_a_class_of_its_own_is_a_transfer_error(
    seaweed: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import BotoCoreError

    backend = S3Backend(Session({**seaweed.credentials, **BY_BOTO3}))

    def fail(**_: Any) -> None:
        raise BotoCoreError

    monkeypatch.setattr(backend._client, "get_object", fail)
    with pytest.raises(TransferError, match="failed"):
        backend.get(fragment=parse(f"s3://{bucket}/x"))


def test_a_missing_object_is_told_by_its_url(backend: S3Backend, bucket: str) -> None:
    with pytest.raises(ObjectNotFound, match=f"s3://{bucket}/x"):
        backend.get(fragment=parse(f"s3://{bucket}/x"))


def _answer(code: str, message: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def test_a_refusal_names_the_operation_and_says_what_the_service_says(seaweed: S3Server, bucket: str) -> None:
    """AWS tells which right is missing; "check the credentials" alone does not help."""
    said = "User x is not authorized to perform: s3:ListBucket"
    with gateway(seaweed.endpoint_url) as between:
        backend = S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}))
        between.answers.append(Canned(403, _answer("AccessDenied", said)))
        with pytest.raises(PermissionDenied, match=f"ListObjectsV2 operation: {said}") as caught:
            list(backend.list(fragment=parse(f"s3://{bucket}/tree")))
        assert seaweed.secret_key not in str(caught.value)
        between.answers.append(Canned(403, _answer("AccessDenied", f"the key {seaweed.secret_key} is not yours")))
        with pytest.raises(PermissionDenied, match="PutObject operation: the key <redacted> is not yours"):
            backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))


def test_damage_is_no_reason_to_do_without_checksums(seaweed: S3Server, bucket: str) -> None:
    with gateway(seaweed.endpoint_url) as between:
        backend = S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}))
        between.answers.append(Canned(400, _answer("BadDigest", "the checksum did not match")))
        with pytest.raises(IntegrityError) as caught:
            backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))
    assert "when_required" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("NotImplemented", "Header 'x-amz-checksum-crc32' not implemented"),
        ("InvalidArgument", "bad checksum algorithm"),
    ],
)
def test_a_server_that_refuses_integrity_headers_is_told_what_helps(
    seaweed: S3Server, bucket: str, code: str, message: str
) -> None:
    with gateway(seaweed.endpoint_url) as between:
        backend = S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}))
        between.answers.extend([Canned(400, _answer(code, message))] * 2)  # both ways are tried
        with pytest.raises(TransferError, match="request_checksum_calculation: when_required"):
            backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "MyCode", "NoSuchKey"])
def test_what_a_service_explains_beside_its_message_is_shown_but_no_secret(
    seaweed: S3Server, bucket: str, code: str
) -> None:
    """As GCS does."""
    details = f"<Details>The request was signed\nby {seaweed.secret_key} on Monday. {1000 * 'x'}</Details>"
    body = _answer(code, "It is wrong.").replace(b"</Error>", details.encode() + b"</Error>")
    with gateway(seaweed.endpoint_url) as between:
        backend = S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}))
        between.answers.extend([Canned(404 if code == "NoSuchKey" else 403, body)] * 2)  # both ways are tried
        with pytest.raises(
            OSError, match=r"service explains: The request was signed by <redacted> on Monday\. x"
        ) as caught:
            backend.get(fragment=parse(f"s3://{bucket}/x"))
    assert len(str(caught.value)) < 1000
    assert seaweed.secret_key not in "".join(traceback.format_exception(caught.value))
