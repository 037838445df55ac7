"""Of several who create one object or folder in S3, one succeeds, whatever answers are lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import S3Backend, transfer
from kedro_statisfactory.backends.base import CLAIM
from kedro_statisfactory.backends.s3 import backend as s3_backend
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import PreconditionFailed, StatisfactoryError, TransferError, UnknownOption
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Fault, Gateway, gateway, proxy
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once

LOST = Canned(503, done=True)
NOT_IMPLEMENTED = Canned(501, b"<Error><Code>NotImplemented</Code><Message>If-None-Match</Message></Error>")


@pytest.fixture
def backend(seaweed: S3Server) -> S3Backend:
    return S3Backend(Session(seaweed.credentials))


@pytest.fixture
def between(seaweed: S3Server) -> Iterator[Gateway]:
    with gateway(seaweed.endpoint_url) as state:
        yield state


def through(between: Gateway, seaweed: S3Server, attempts: int = 3) -> S3Backend:
    config = {"retries": {"mode": "standard", "total_max_attempts": attempts}}
    return S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url, "config_kwargs": config}))


def folder_of(tmp_path: Path, name: str, files: int = 3) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    for number in range(files):
        (folder / f"{name}-{number}").write_bytes(name.encode())
    return folder


def keys(seaweed: S3Server, bucket: str) -> list[str]:
    listing = s3_client(Session(seaweed.credentials)).list_objects_v2(Bucket=bucket)
    return [each["Key"] for each in listing.get("Contents", ())]


def _all_at_once(savers: list[Callable[[], None]]) -> list[bool]:
    """Which of the savers succeed when all of them save at once; the others find something."""
    ready = threading.Barrier(len(savers))

    def save(saver: Callable[[], None]) -> bool:
        ready.wait()
        try:
            saver()
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(len(savers)) as executor:
        return list(executor.map(save, savers))


@pytest.mark.parametrize("in_parts", [False, True])
def test_one_of_sixteen_creates_an_object(
    backend: S3Backend, bucket: str, in_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 64)  # a claim has less
    where = parse(f"s3://{bucket}/x")
    contents = [f"by {number:{100 if in_parts else 1}}".encode() for number in range(16)]
    succeeded = _all_at_once([lambda each=each: backend.create(source=each, fragment=where) for each in contents])  # type: ignore[misc]
    assert succeeded.count(True) == 1
    assert backend.get(fragment=where) == contents[succeeded.index(True)]
    assert not s3_client(backend._session).list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_one_of_sixteen_with_the_same_bytes_succeeds_although_answers_are_lost(
    seaweed: S3Server, bucket: str, backend: S3Backend
) -> None:
    where = parse(f"s3://{bucket}/x")
    with proxy(seaweed.endpoint_url) as network:
        network.faults.extend([Fault(0)] * 12)
        config = {"retries": {"mode": "standard", "total_max_attempts": 13}, "max_pool_connections": 1}
        credentials = {**seaweed.credentials, "endpoint_url": network.endpoint_url, "config_kwargs": config}
        lossy = S3Backend(Session(credentials))
        succeeded = _all_at_once([lambda: lossy.create(source=b"same", fragment=where)] * 16)
    assert succeeded.count(True) == 1
    assert backend.get(fragment=where) == b"same"


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_try_whose_answer_was_lost_is_known_and_anothers_of_the_same_bytes_is_not(
    seaweed: S3Server, between: Gateway, bucket: str, in_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 64)
    same = bytes(100 if in_parts else 1)
    mine, theirs = through(between, seaweed), S3Backend(Session(seaweed.credentials))
    events: Any = mine._client.meta.events
    once = threading.Semaphore(1)

    def lose(**_: Any) -> None:
        if once.acquire(blocking=False):
            between.answers.append(LOST)

    events.register(f"before-send.s3.{'CompleteMultipartUpload' if in_parts else 'PutObject'}", lose)
    mine.create(source=same, fragment=parse(f"s3://{bucket}/x"), Metadata={"of": "a user"})
    theirs.create(source=same, fragment=parse(f"s3://{bucket}/y"))
    with pytest.raises(PreconditionFailed, match=f"something is at 's3://{bucket}/y' already"):
        mine.create(source=same, fragment=parse(f"s3://{bucket}/y"))
    kept = s3_client(Session(seaweed.credentials)).head_object(Bucket=bucket, Key="x")["Metadata"]
    assert kept["of"] == "a user"


def test_an_object_is_created_after_a_look_and_a_large_one_with_a_claim(
    seaweed: S3Server, between: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    through(between, seaweed).create(source=b"x", fragment=parse(f"s3://{bucket}/x"))
    assert [seen.method for seen in between.seen] == ["HEAD", "GET", "PUT"]
    monkeypatch.setattr(transfer, "SMALL", 64)
    through(between, seaweed).create(source=bytes(65), fragment=parse(f"s3://{bucket}/y"), StorageClass="STANDARD")
    assert [seen.method for seen in between.seen[3:]] == ["HEAD", "GET", "PUT", "POST", "PUT", "POST", "POST"]
    assert keys(seaweed, bucket) == ["x", "y"]


def test_metadata_of_the_wrong_type_is_an_error(backend: S3Backend, bucket: str) -> None:
    with pytest.raises(UnknownOption, match="wrong type"):
        backend.create(source=b"x", fragment=parse(f"s3://{bucket}/x"), Metadata="x")


@pytest.mark.parametrize("size", [1, 100])
def test_a_service_that_does_not_care_for_the_condition_replaces_nothing(
    seaweed: S3Server, between: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 64)
    backend, where = through(between, seaweed), parse(f"s3://{bucket}/x")
    events: Any = backend._client.meta.events

    def ignore(request: Any, **_: Any) -> None:
        del request.headers["If-None-Match"]

    events.register("before-sign.s3", ignore)
    try:
        backend.create(source=b"1" * size, fragment=where)
        with pytest.raises(PreconditionFailed):
            backend.create(source=b"2" * size, fragment=where)
    finally:
        events.unregister("before-sign.s3", ignore)
    assert backend.get(fragment=where) == b"1" * size


def test_who_may_write_and_not_look_creates_by_the_condition(seaweed: S3Server, between: Gateway, bucket: str) -> None:
    denied = Canned(403, headers={"x-amz-request-id": "1"})
    for is_first in (True, False):
        between.answers.append(denied)
        if is_first:
            through(between, seaweed).create(source=b"x", fragment=parse(f"s3://{bucket}/x"))
        else:
            with pytest.raises(PreconditionFailed):
                through(between, seaweed).create(source=b"y", fragment=parse(f"s3://{bucket}/x"))


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
def test_a_conflict_of_two_at_once_is_decided_by_the_next_try(
    seaweed: S3Server, between: Gateway, bucket: str, code: str
) -> None:
    backend, conflict = through(between, seaweed), Canned(409, f"<Error><Code>{code}</Code></Error>".encode())
    between.answers.extend([None, None, *[conflict] * 2])  # it looks what is there first
    backend.create(source=b"x", fragment=parse(f"s3://{bucket}/x"))
    between.answers.extend([None, None, *[conflict] * 99])
    with pytest.raises(StatisfactoryError):
        backend.create(source=b"x", fragment=parse(f"s3://{bucket}/y"))


@pytest.mark.parametrize("what", ["an object", "a large object", "the end of a large object", "a folder"])
def test_a_service_that_does_not_know_the_condition_is_asked_before(
    seaweed: S3Server, between: Gateway, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 64)
    backend, where = through(between, seaweed), parse(f"s3://{bucket}/x")
    source = folder_of(tmp_path, "new", 1) if what == "a folder" else bytes(100 if "large" in what else 1)
    events: Any = backend._client.meta.events

    def refuse(request: Any, **_: Any) -> None:
        if "If-None-Match" in request.headers:
            between.answers.append(NOT_IMPLEMENTED)

    operation = "CompleteMultipartUpload" if "end" in what else "PutObject"
    events.register(f"before-send.s3.{operation}", refuse)
    backend.create(source=source, fragment=where)
    assert keys(seaweed, bucket) == (["x/new-0"] if what == "a folder" else ["x"])
    with pytest.raises(PreconditionFailed):
        backend.create(source=source, fragment=where)


def test_what_the_service_refuses_for_another_reason_is_told(seaweed: S3Server, between: Gateway, bucket: str) -> None:
    between.answers.extend([None, None, *[Canned(400, b"<Error><Code>MyCode</Code></Error>")] * 2])
    with pytest.raises(TransferError, match="MyCode"):
        through(between, seaweed).create(source=b"x", fragment=parse(f"s3://{bucket}/x"))


# -- folders ------------------------------------------------------------------------------------------------------


def test_one_of_sixteen_creates_a_folder(backend: S3Backend, seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    where = parse(f"s3://{bucket}/x")
    folders = [folder_of(tmp_path, f"by-{number}") for number in range(16)]
    succeeded = _all_at_once([lambda each=each: backend.create(source=each, fragment=where) for each in folders])  # type: ignore[misc]
    assert succeeded.count(True) == 1
    name = folders[succeeded.index(True)].name
    assert keys(seaweed, bucket) == [f"x/{name}-{number}" for number in range(3)]


def test_one_of_sixteen_creates_a_folder_although_answers_are_lost(
    seaweed: S3Server, bucket: str, tmp_path: Path
) -> None:
    where = parse(f"s3://{bucket}/x")
    folders = [folder_of(tmp_path, f"by-{number}") for number in range(16)]
    with proxy(seaweed.endpoint_url) as network:
        network.faults.extend([Fault(0)] * 12)
        config = {"retries": {"mode": "standard", "total_max_attempts": 13}}
        credentials = {**seaweed.credentials, "endpoint_url": network.endpoint_url, "config_kwargs": config}
        lossy = S3Backend(Session(credentials))
        succeeded = _all_at_once([lambda each=each: lossy.create(source=each, fragment=where) for each in folders])  # type: ignore[misc]
    assert succeeded.count(True) == 1
    name = folders[succeeded.index(True)].name
    assert keys(seaweed, bucket) == [f"x/{name}-{number}" for number in range(3)]


def test_a_folder_that_is_being_created_is_nothing_yet_and_is_not_created_by_another(
    backend: S3Backend, seaweed: S3Server, bucket: str, tmp_path: Path
) -> None:
    where = parse(f"s3://{bucket}/x")
    s3_client(Session(seaweed.credentials)).put_object(Bucket=bucket, Key=f"{CLAIM}x", Body=b"of another")
    assert not backend.exists(fragment=where)
    with pytest.raises(PreconditionFailed, match=CLAIM):
        backend.create(source=folder_of(tmp_path, "new"), fragment=where)
    assert keys(seaweed, bucket) == [f"{CLAIM}x"], "the claim of another stays"
    backend.delete(fragment=where)
    assert keys(seaweed, bucket) == []
    s3_client(Session(seaweed.credentials)).put_object(Bucket=bucket, Key=f"tree/v1/{CLAIM}x", Body=b"of another")
    backend.delete(fragment=parse(f"s3://{bucket}/tree"))
    assert keys(seaweed, bucket) == []


@pytest.mark.parametrize("there", ["x", "x/old"])
def test_a_folder_is_not_created_where_something_is(
    backend: S3Backend, seaweed: S3Server, bucket: str, tmp_path: Path, there: str
) -> None:
    backend.put(payload=b"old", fragment=parse(f"s3://{bucket}/{there}"))
    with pytest.raises(PreconditionFailed):
        backend.create(source=folder_of(tmp_path, "new"), fragment=parse(f"s3://{bucket}/x"))
    assert keys(seaweed, bucket) == [there]


@pytest.mark.parametrize("how", [KeyboardInterrupt, TransferError("no more")])
def test_a_folder_that_cannot_be_completed_leaves_nothing(
    backend: S3Backend,
    seaweed: S3Server,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: Any,
) -> None:
    folder = folder_of(tmp_path, "new")
    (folder / "_SUCCESS").touch()
    store = S3Backend._store

    def fail(self: S3Backend, source: Path, *more: Any) -> None:
        if source.name == "_SUCCESS":
            raise how
        store(self, source, *more)

    monkeypatch.setattr(s3_backend, "_PATIENCE_AT_ONCE", 60.0)
    monkeypatch.setattr(S3Backend, "_store", fail)
    with pytest.raises((KeyboardInterrupt, TransferError)):
        backend.create(source=folder, fragment=parse(f"s3://{bucket}/x"))
    assert keys(seaweed, bucket) == []


def test_a_claim_whose_answers_were_all_lost_is_taken_away(
    seaweed: S3Server, between: Gateway, bucket: str, tmp_path: Path
) -> None:
    backend = through(between, seaweed, attempts=1)
    between.answers.append(LOST)
    with pytest.raises(StatisfactoryError):
        backend.create(source=folder_of(tmp_path, "new"), fragment=parse(f"s3://{bucket}/x"))
    assert keys(seaweed, bucket) == []


def test_a_claim_that_is_gone_meanwhile_needs_nobody_to_take_it_away(
    seaweed: S3Server, between: Gateway, bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    between.answers.extend([Canned(403)] * 2)  # by both ways: the claim never came to be
    with pytest.raises(StatisfactoryError):
        through(between, seaweed, attempts=1).create(
            source=folder_of(tmp_path, "new"), fragment=parse(f"s3://{bucket}/x")
        )
    assert keys(seaweed, bucket) == []
    assert "may be left" not in caplog.text


def test_a_folder_that_comes_between_the_look_and_the_claim_is_not_replaced(
    seaweed: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, looks = S3Backend(Session(seaweed.credentials)), iter([False, True])
    monkeypatch.setattr(S3Backend, "exists", lambda *_, **__: next(looks))
    with pytest.raises(PreconditionFailed):
        backend.create(source=folder_of(tmp_path, "new"), fragment=parse(f"s3://{bucket}/x"))
    assert keys(seaweed, bucket) == []


def test_a_claim_that_cannot_be_taken_away_is_named_and_the_folder_is_there(
    seaweed: S3Server, between: Gateway, bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = through(between, seaweed, attempts=1)
    events: Any = backend._client.meta.events
    events.register("before-send.s3.DeleteObjects", lambda **_: between.answers.append(Canned(503)))
    with caplog.at_level(logging.WARNING):
        backend.create(source=folder_of(tmp_path, "new"), fragment=parse(f"s3://{bucket}/x"))
    assert f"'s3://{bucket}/{CLAIM}x' may be left" in caplog.text
    assert backend.exists(fragment=parse(f"s3://{bucket}/x"))
