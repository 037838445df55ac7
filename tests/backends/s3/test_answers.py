"""An answer counts when it proves to be the service's: portals, proxies and caches answer, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import S3Backend, transfer
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.backends.s3.deleting import delete_keys
from kedro_statisfactory.errors import BackendUnreachable, InvalidCredentials, TransferError
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Gateway, gateway
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once

PAGES = {
    "a sign-in page": b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Who are you?<br></body></html>",
    "an XML document": b"<?xml version='1.0'?><html><head/><body><p>Who are you?</p></body></html>",
    "nothing": b"",
}
IN_PARTS = 6 * transfer.MEBIBYTE


@pytest.fixture
def between(seaweed: S3Server) -> Iterator[Gateway]:
    with gateway(seaweed.endpoint_url) as state:
        yield state


@pytest.fixture
def direct(seaweed: S3Server) -> S3Backend:
    return S3Backend(Session(seaweed.credentials))


def through(between: Gateway, seaweed: S3Server, attempts: int = 2, **config: Any) -> S3Backend:
    config = {"retries": {"mode": "standard", "total_max_attempts": attempts}, **config}
    return S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url, "config_kwargs": config}))


@pytest.mark.parametrize("status", [200, 302, 307])
@pytest.mark.parametrize("page", PAGES)
def test_what_is_no_answer_of_s3_is_an_error_and_never_a_success_or_data(
    seaweed: S3Server,
    between: Gateway,
    direct: S3Backend,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    status: int,
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 5 * transfer.MEBIBYTE)
    where, folder, target = parse(f"s3://{bucket}/x"), tmp_path / "folder", tmp_path / "target"
    folder.mkdir()
    (folder / "part-0").write_bytes(b"new")
    direct.put(payload=b"old", fragment=where)
    backend = through(between, seaweed, attempts=1)
    verbs: dict[str, Callable[[], object]] = {
        "put": lambda: backend.put(payload=b"new", fragment=where),
        "put in parts": lambda: backend.put(payload=bytes(IN_PARTS), fragment=where),
        "upload a folder": lambda: backend.upload(source=folder, fragment=where),
        "get": lambda: backend.get(fragment=where),
        "download": lambda: backend.download(target=target, fragment=where),
        "exists": lambda: backend.exists(fragment=where),
        "stat": lambda: backend.stat(fragment=where),
        "list": lambda: list(backend.list(fragment=where)),
        "delete": lambda: backend.delete(fragment=where),
        "delete what was listed": lambda: delete_keys(backend._client, bucket, ["x"]),
    }
    headers = {"Location": "http://127.0.0.1:9/sign-in"} if status != 200 else {}
    for name, verb in verbs.items():
        between.answers.extend([Canned(status, PAGES[page], headers)] * 40)
        if name == "delete what was listed":
            with pytest.raises(BackendUnreachable), backend._translated(where):
                verb()
        else:
            with pytest.raises(BackendUnreachable, match="something else than an S3 service has answered") as caught:
                verb()
            assert between.endpoint_url in str(caught.value)
            assert "check endpoint_url, and proxies" in str(caught.value)
        between.answers.clear()
    assert not target.exists()
    assert direct.get(fragment=where) == b"old"


@pytest.mark.parametrize("verb", ["a part", "the end"])
def test_an_upload_in_parts_that_a_portal_breaks_into_is_an_error(
    seaweed: S3Server, between: Gateway, direct: S3Backend, bucket: str, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 0)
    monkeypatch.setattr(transfer, "UPLOAD_WORKERS", 1)
    where = parse(f"s3://{bucket}/x")
    backend = through(between, seaweed)
    events: Any = backend._client.meta.events

    def portal(**_: Any) -> None:
        between.answers.append(Canned(200, PAGES["an XML document"]))

    operation = "UploadPart" if verb == "a part" else "CompleteMultipartUpload"
    events.register(f"before-send.s3.{operation}", portal)
    with pytest.raises(BackendUnreachable, match="something else"):
        backend.put(payload=b"new", fragment=where)
    assert not direct.exists(fragment=where)
    assert not s3_client(Session(seaweed.credentials)).list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_what_is_no_answer_of_s3_is_asked_for_once_more(seaweed: S3Server, between: Gateway, bucket: str) -> None:
    backend, where = through(between, seaweed), parse(f"s3://{bucket}/x")
    between.answers.append(Canned(200, done=True))
    backend.put(payload=b"x", fragment=where)
    between.answers.append(Canned(200, PAGES["an XML document"]))
    assert backend.get(fragment=where) == b"x"


def test_retries_that_a_user_configures_without_a_number_are_boto3s(
    seaweed: S3Server, between: Gateway, bucket: str
) -> None:
    backend = through(between, seaweed, retries={"mode": "standard"})
    between.answers.append(Canned(200))
    backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
@pytest.mark.parametrize("server", ["seaweed", "moto_server"])
def test_a_service_proves_itself_without_another_request(
    request: pytest.FixtureRequest, server: str, checksums: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SMALL", 5 * transfer.MEBIBYTE)
    config = {"request_checksum_calculation": checksums}
    session = Session({**request.getfixturevalue(server).credentials, "config_kwargs": config})
    backend, bucket, sent = S3Backend(session), f"made-{os.urandom(4).hex()}", list[str]()
    s3_client(session).create_bucket(Bucket=bucket)
    events: Any = s3_client(session).meta.events
    events.register("before-call.s3", lambda model, **_: sent.append(model.name), unique_id="counted")
    try:
        backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))
        backend.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"), ChecksumAlgorithm="SHA256")
        backend.get(fragment=parse(f"s3://{bucket}/x"))
        backend.exists(fragment=parse(f"s3://{bucket}/x"))
        assert sent == ["PutObject", "PutObject", "GetObject", "HeadObject"]
        sent.clear()
        backend.put(payload=bytes(IN_PARTS), fragment=parse(f"s3://{bucket}/x"))
        assert sent == ["CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload"]
    finally:
        events.unregister("before-call.s3", unique_id="counted")
    backend.delete(fragment=parse(f"s3://{bucket}/x"))
    s3_client(session).delete_bucket(Bucket=bucket)


def test_the_md5_is_not_computed_where_the_checksum_comes_back(
    direct: S3Backend, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("kedro_statisfactory.backends.s3.writing.md5_of")
    direct.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))
    direct.put(payload=b"x", fragment=parse(f"s3://{bucket}/x"), ChecksumAlgorithm="SHA256")


# -- ETags that are no MD5 and nothing else: of encrypted objects, or of makers that give nothing back ---------------

ETAG = '"0123456789abcdef0123456789abcdef"'
STORED = Canned(200, headers={"ETag": ETAG})


def found(length: int = 3, etag: str = ETAG) -> Canned:
    return Canned(200, headers={"ETag": etag, "Content-Length": str(length)})


def test_an_etag_that_is_no_md5_is_looked_up_once(seaweed: S3Server, between: Gateway, bucket: str) -> None:
    between.answers.extend([Canned(200, headers={"ETag": ETAG, "x-amz-version-id": "v7"}), found()])
    through(between, seaweed).put(payload=b"new", fragment=parse(f"s3://{bucket}/x"))
    assert [seen.method for seen in between.seen] == ["PUT", "HEAD"]
    assert between.seen[1].target.endswith("?versionId=v7")


@pytest.mark.parametrize("looked_up", [found(length=4), found(etag='"another"'), Canned(404)])
def test_what_is_not_found_again_is_sent_again_and_an_error_in_the_end(
    seaweed: S3Server, between: Gateway, bucket: str, looked_up: Canned
) -> None:
    backend, where = through(between, seaweed), parse(f"s3://{bucket}/x")
    between.answers.extend([STORED, looked_up])
    backend.put(payload=b"new", fragment=where)
    assert backend.get(fragment=where) == b"new"
    between.answers.extend([STORED, looked_up] * 10)
    with pytest.raises(BackendUnreachable, match="does not show that the object is stored"):
        backend.put(payload=b"newer", fragment=where)


def test_who_may_write_and_not_look_has_stored(seaweed: S3Server, between: Gateway, bucket: str) -> None:
    between.answers.extend([STORED, Canned(403)])
    through(between, seaweed).put(payload=b"new", fragment=parse(f"s3://{bucket}/x"))
    between.answers.extend([STORED, *[Canned(400, headers={"x-amz-request-id": "1"})] * 9])
    with pytest.raises(TransferError, match="It may be an expired token"):
        through(between, seaweed).put(payload=b"new", fragment=parse(f"s3://{bucket}/x"))
    between.answers.clear()


def test_a_configuration_that_makes_no_sense_is_told(seaweed: S3Server) -> None:
    credentials = {**seaweed.credentials, "config_kwargs": {"read_timeout": "long"}}
    with pytest.raises(InvalidCredentials, match="boto3 cannot use the configuration"):
        S3Backend(Session(credentials)).get(fragment=parse("s3://bucket/x"))


# -- damage -------------------------------------------------------------------------------------------------------


def test_a_time_that_is_none_is_an_answer_of_something_else(seaweed: S3Server, between: Gateway, bucket: str) -> None:
    odd = {"ETag": ETAG, "Content-Length": "3", "Last-Modified": "when it was"}
    between.answers.extend([Canned(200, headers=odd)] * 2)  # both ways are tried
    with pytest.raises(BackendUnreachable, match="something else than an S3 service"):
        through(between, seaweed).stat(fragment=parse(f"s3://{bucket}/x"))


def test_a_listing_of_something_without_a_name_is_an_answer_of_something_else(
    seaweed: S3Server, between: Gateway, bucket: str
) -> None:
    listing = b"<R><Name>x</Name><IsTruncated>false</IsTruncated><Contents><Size>1</Size></Contents></R>"
    between.answers.extend([Canned(200, listing)] * 9)
    with pytest.raises(BackendUnreachable, match="something else than an S3 service"):
        list(through(between, seaweed).list(fragment=parse(f"s3://{bucket}/x")))


def test_what_boto3_cannot_parse_is_not_shown(
    seaweed: S3Server, between: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.parsers import ResponseParserError

    direct = through(between, seaweed, user_agent_extra="tests")  # which is not plain

    def fail(**_: Any) -> None:
        raise ResponseParserError("invalid XML received:\n<html>hush</html>")

    monkeypatch.setattr(direct._client, "head_object", fail)
    with pytest.raises(BackendUnreachable, match=r"\(invalid XML received\)") as caught:
        direct.stat(fragment=parse(f"s3://{bucket}/x"))
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("code", "is_there"), [("BucketAlreadyOwnedByYou", True), ("AccessDenied", False)])
def test_a_bucket_that_another_has_just_made_is_as_good(
    direct: S3Backend, bucket: str, monkeypatch: pytest.MonkeyPatch, code: str, is_there: bool
) -> None:
    def refuse(**_: Any) -> None:
        raise direct._client.exceptions.ClientError({"Error": {"Code": code}}, "CreateBucket")

    monkeypatch.setattr(direct._client, "create_bucket", refuse)
    try:
        direct._create_bucket(bucket)
    except direct._client.exceptions.ClientError:
        assert not is_there
    else:
        assert is_there
