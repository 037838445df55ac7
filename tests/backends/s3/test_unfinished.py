"""An upload in parts that does not become an object leaves nothing, whatever answers are lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from kedro_statisfactory.backends import S3Backend, transfer
from kedro_statisfactory.backends.s3 import unfinished
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Fault, Gateway, Proxy, gateway, proxy
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once

PAYLOAD = bytes(11 * transfer.MEBIBYTE)
LOST = Canned(503, done=True)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SMALL", 0)
    monkeypatch.setattr(unfinished, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(unfinished, "_PATIENCE", 0.0)


@pytest.fixture
def client(seaweed: S3Server) -> Any:
    return s3_client(Session(seaweed.credentials))


@pytest.fixture
def network(seaweed: S3Server) -> Iterator[Proxy]:
    with proxy(seaweed.endpoint_url) as state:
        yield state


@pytest.fixture
def between(seaweed: S3Server) -> Iterator[Gateway]:
    with gateway(seaweed.endpoint_url) as state:
        yield state


def through(way: Proxy | Gateway, seaweed: S3Server, attempts: int = 2) -> S3Backend:
    config = {"retries": {"mode": "standard", "total_max_attempts": attempts}, "max_pool_connections": 1}
    return S3Backend(Session({**seaweed.credentials, "endpoint_url": way.endpoint_url, "config_kwargs": config}))


def before(backend: S3Backend, operation: str, work: Callable[[], object], times: int = 1) -> None:
    """Do something before each of the first requests of an operation is sent."""
    left = [work] * times

    def do(**_: Any) -> None:
        if left:
            left.pop()()

    events: Any = backend._client.meta.events
    events.register(f"before-send.s3.{operation}", do)


def uploads(client: Any, bucket: str) -> list[str]:
    return [each["UploadId"] for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


def test_a_beginning_whose_answer_is_cut_off_leaves_nothing(
    seaweed: S3Server, network: Proxy, client: Any, bucket: str
) -> None:
    network.faults.append(Fault(0))
    through(network, seaweed).put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert client.head_object(Bucket=bucket, Key="x")["ContentLength"] == len(PAYLOAD)
    assert uploads(client, bucket) == []


def test_a_beginning_whose_answers_are_all_cut_off_leaves_nothing(
    seaweed: S3Server, network: Proxy, client: Any, bucket: str
) -> None:
    network.faults.extend([Fault(0), Fault(0)])
    with pytest.raises(StatisfactoryError):
        through(network, seaweed).put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert network.connections >= 3, "both tries were lost, and then it was looked for them"
    assert uploads(client, bucket) == []


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_beginning_that_a_gateway_answers_with_an_error_leaves_nothing(
    seaweed: S3Server, between: Gateway, client: Any, bucket: str, attempts: int
) -> None:
    between.answers.extend([LOST] * attempts)
    with pytest.raises(StatisfactoryError):
        through(between, seaweed, attempts).put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert uploads(client, bucket) == []


def test_a_part_and_the_abort_whose_answers_are_lost_leave_nothing(
    seaweed: S3Server, between: Gateway, client: Any, bucket: str
) -> None:
    backend = through(between, seaweed, attempts=1)
    before(backend, "UploadPart", lambda: between.answers.append(LOST))
    before(backend, "AbortMultipartUpload", lambda: between.answers.append(Canned(503)), times=3)
    with pytest.raises(StatisfactoryError):
        backend.put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert uploads(client, bucket) == []


@pytest.mark.parametrize("page", [b"", b"Sign in"])
def test_a_page_is_not_the_answer_to_an_abort(
    seaweed: S3Server, between: Gateway, client: Any, bucket: str, page: bytes
) -> None:
    backend = through(between, seaweed, attempts=1)
    before(backend, "UploadPart", lambda: between.answers.append(Canned(400)))
    before(backend, "AbortMultipartUpload", lambda: between.answers.append(Canned(200, page)))
    with pytest.raises(StatisfactoryError):
        backend.put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert uploads(client, bucket) == []


def test_an_upload_that_is_gone_needs_no_further_end(seaweed: S3Server, between: Gateway, bucket: str) -> None:
    backend = through(between, seaweed, attempts=1)
    gone = Canned(404, b"<Error><Code>NoSuchUpload</Code></Error>")
    before(backend, "UploadPart", lambda: between.answers.append(gone))
    before(backend, "AbortMultipartUpload", lambda: between.answers.append(gone))
    with pytest.raises(StatisfactoryError):
        backend.put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert [seen.method for seen in between.seen].count("DELETE") == 1


def test_an_abort_that_is_never_answered_ends_and_the_first_error_stays(
    seaweed: S3Server, between: Gateway, bucket: str
) -> None:
    backend = through(between, seaweed, attempts=1)
    before(backend, "UploadPart", lambda: between.answers.append(Canned(400, b"<Error><Code>MyCode</Code></Error>")))
    before(backend, "AbortMultipartUpload", lambda: between.answers.append(Canned(503)), times=99)
    with pytest.raises(StatisfactoryError, match="MyCode"):
        backend.put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert [seen.method for seen in between.seen].count("DELETE") == unfinished._ATTEMPTS


@pytest.mark.parametrize("server", ["seaweed", "moto_server"])
def test_an_end_whose_answer_is_lost_is_a_success(request: pytest.FixtureRequest, server: str) -> None:
    at: S3Server = request.getfixturevalue(server)
    session = Session(at.credentials)
    s3_client(session).create_bucket(Bucket="lost-end")
    with gateway(at.endpoint_url) as between:
        backend = through(between, at)
        before(backend, "CompleteMultipartUpload", lambda: between.answers.append(LOST))
        backend.put(payload=PAYLOAD, fragment=parse("s3://lost-end/x"))
    direct = S3Backend(session)
    assert direct.get(fragment=parse("s3://lost-end/x")) == PAYLOAD
    direct.delete(fragment=parse("s3://lost-end/x"))
    s3_client(session).delete_bucket(Bucket="lost-end")


# -- uploads of others --------------------------------------------------------------------------------------------


def test_an_upload_that_another_has_begun_at_the_same_time_is_left_alone(
    seaweed: S3Server, between: Gateway, client: Any, bucket: str
) -> None:
    backend, theirs = through(between, seaweed), list[str]()

    def begin() -> None:
        theirs.append(client.create_multipart_upload(Bucket=bucket, Key="x")["UploadId"])
        between.answers.append(LOST)

    before(backend, "CreateMultipartUpload", begin)
    backend.put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert {*theirs} <= {*uploads(client, bucket)}


def test_an_upload_that_lives_or_is_older_or_elsewhere_is_left_alone_and_the_lost_one_ended(
    seaweed: S3Server, between: Gateway, client: Any, bucket: str
) -> None:
    theirs = [client.create_multipart_upload(Bucket=bucket, Key="x")["UploadId"]]
    time.sleep(2.1)  # the service tells the time of a beginning in seconds
    backend = through(between, seaweed)

    def begin() -> None:
        for key in ("x", "x-too"):
            upload_id = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
            client.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=1, Body=b"x")
            theirs.append(upload_id)
        between.answers.append(LOST)

    before(backend, "CreateMultipartUpload", begin)
    backend.put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert sorted(uploads(client, bucket)) == sorted(theirs)


def test_nothing_is_asked_where_no_answer_was_lost(seaweed: S3Server, between: Gateway, bucket: str) -> None:
    through(between, seaweed).put(payload=PAYLOAD, fragment=parse(f"s3://{bucket}/x"))
    assert [seen.method for seen in between.seen] == ["POST", "PUT", "PUT", "PUT", "POST"]


# -- interrupts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["one object", "a folder"])
def test_after_an_interrupt_nothing_is_sent_or_sent_again_but_what_ends_the_upload(
    seaweed: S3Server,
    between: Gateway,
    client: Any,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    of: str,
) -> None:
    backend, events, interrupted = through(between, seaweed, attempts=5), list[str](), threading.Event()
    first = threading.Event()
    real = futures.wait
    main = threading.current_thread()

    def fail(**_: Any) -> None:
        first.set()
        interrupted.wait()  # the answer is lost when the user has interrupted, and would be asked for again
        raise ConnectionClosedError(endpoint_url="the service")

    def interrupt(of_work: Any, **how: Any) -> Any:
        if threading.current_thread() is not main:
            return real(of_work, **how)
        first.wait()
        interrupted.set()
        raise KeyboardInterrupt

    def record(event_name: str, **_: Any) -> None:
        if interrupted.is_set():
            events.append(event_name.rpartition(".")[2])

    registry: Any = backend._client.meta.events
    registry.register("before-send.s3.UploadPart", record)
    registry.register("before-send.s3.UploadPart", fail)
    registry.register("before-send.s3", record)
    monkeypatch.setattr(transfer, "wait", interrupt)
    monkeypatch.setattr(transfer, "_PATIENCE", 60.0)  # of a test on a busy machine
    monkeypatch.setattr(unfinished, "_PATIENCE_AT_ONCE", 60.0)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(PAYLOAD)
    with pytest.raises(KeyboardInterrupt):
        backend.upload(source=tmp_path / "a" if of == "one object" else tmp_path, fragment=parse(f"s3://{bucket}/x"))
    tidying = {"AbortMultipartUpload", "ListMultipartUploads", "ListParts"}
    assert {*events} - tidying <= {"UploadPart", "CreateMultipartUpload"}
    assert events.count("CreateMultipartUpload") <= 1, "that of the second file, if it was under way"
    assert events.count("UploadPart") <= (3 if of == "one object" else 6), "each part once at most: it was under way"
    assert not any(thread.name == "statisfactory" for thread in threading.enumerate())
    assert uploads(client, bucket) == []


def test_an_end_that_takes_too_long_is_given_up(
    seaweed: S3Server, between: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "_LONGEST", -1.0)
    upload = unfinished.PartsUpload(s3_client(Session(seaweed.credentials)), bucket, "x", {})
    upload.begin({})
    upload.end(is_object=False)
    assert [each["UploadId"] for each in upload._client.list_multipart_uploads(Bucket=bucket)["Uploads"]]


@pytest.mark.parametrize(("body", "lost"), [(b"<Error><Code>SlowDown</Code></Error>", 0), (b"", 1)])
def test_a_beginning_that_the_service_has_refused_by_name_is_not_looked_for(
    seaweed: S3Server, between: Gateway, bucket: str, body: bytes, lost: int
) -> None:
    between.answers.append(Canned(503, body))
    client = s3_client(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}))
    upload = unfinished.PartsUpload(client, bucket, "x", {})
    upload.begin({})
    assert upload._lost == lost
    upload._lost = 0
    upload.end(is_object=False)
