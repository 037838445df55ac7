"""What is in the cache does not travel from S3 again, by either way, and never where it is something else."""

from __future__ import annotations

import base64
import io
import os
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from botocore.response import StreamingBody
from mypy_boto3_s3 import S3Client

from kedro_statisfactory.backends import S3Backend, transfer
from kedro_statisfactory.backends.cache.copies import LEAST
from kedro_statisfactory.backends.s3.cached import key_as_written, key_to_read, may_be_kept
from kedro_statisfactory.backends.s3.client import s3_client, s3_objects
from kedro_statisfactory.errors import ObjectNotFound, TransferError
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import Project
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Gateway, gateway
from tests.servers.s3 import S3Server

CONTENT = os.urandom(LEAST)
LARGE = os.urandom(transfer.SMALL + 1)
OTHER = {"config_kwargs": {"user_agent_extra": "tests"}}  # a configuration that is not plain


@pytest.fixture
def between(seaweed: S3Server) -> Iterator[Gateway]:
    with gateway(seaweed.endpoint_url) as state:
        yield state


@pytest.fixture(params=["lean", "boto3"])
def session(request: pytest.FixtureRequest, seaweed: S3Server, between: Gateway, cache: Path) -> Session:
    """By each of the ways, with a cache."""
    more = OTHER if request.param == "boto3" else {}
    return Session({**seaweed.credentials, "endpoint_url": between.endpoint_url, **more})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATISFACTORY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def client(seaweed: S3Server) -> S3Client:
    """Past the gateway."""
    return s3_client(Session(seaweed.credentials))


def asked(between: Gateway) -> list[str]:
    """The methods of the requests that came since this was asked last, with ``?`` where they had a condition."""
    found = [seen.method + "?" * ("If-None-Match" in seen.headers) for seen in between.seen]
    between.seen.clear()
    return found


def lent(backend: S3Backend, url: str, target: Path) -> bytes:
    backend.lend(target=target, fragment=parse(url))
    return target.read_bytes()


def copies(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*.*") if path.is_file()]


@pytest.mark.parametrize("content", [CONTENT, LARGE])
def test_what_was_loaded_comes_once(
    session: Session, between: Gateway, client: S3Client, bucket: str, tmp_path: Path, content: bytes
) -> None:
    backend, url = S3Backend(session), f"s3://{bucket}/x"
    client.put_object(Bucket=bucket, Key="x", Body=content)
    assert lent(backend, url, tmp_path / "first") == content
    assert asked(between)[0] == "GET"
    assert lent(backend, url, tmp_path / "second") == content
    assert (tmp_path / "second").samefile(tmp_path / "first")
    assert backend.get(fragment=parse(url)) == content
    backend.download(target=tmp_path / "own", fragment=parse(url))
    assert not (tmp_path / "own").samefile(tmp_path / "first")
    assert (tmp_path / "own").read_bytes() == content
    assert asked(between) == ["GET?"] * 3


@pytest.mark.parametrize("content", [CONTENT, LARGE])
def test_what_was_saved_comes_not_at_all(
    session: Session, between: Gateway, bucket: str, tmp_path: Path, content: bytes
) -> None:
    backend, url = S3Backend(session), f"s3://{bucket}/x"
    (tmp_path / "source").write_bytes(content)
    backend.upload(source=tmp_path / "source", fragment=parse(url), consume=True)
    asked(between)
    assert lent(backend, url, tmp_path / "lent") == content
    assert asked(between) == ["GET?"]
    backend.put(payload=content[::-1], fragment=parse(url))
    assert backend.get(fragment=parse(url)) == content[::-1]
    assert asked(between)[-1] == "GET?"


def test_a_file_that_may_be_changed_is_not_kept(session: Session, bucket: str, tmp_path: Path, cache: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    S3Backend(session).upload(source=source, fragment=parse(f"s3://{bucket}/x"))
    assert not copies(cache)
    # A format may have given a user's own file another name, by a link of either kind.
    os.link(source, tmp_path / "link")
    (tmp_path / "symlink").symlink_to(source)
    for name in ("link", "symlink"):
        S3Backend(session).upload(source=tmp_path / name, fragment=parse(f"s3://{bucket}/x"), consume=True)
    assert not copies(cache)
    assert os.access(source, os.W_OK)


def test_another_content_is_fetched(
    session: Session, between: Gateway, client: S3Client, bucket: str, tmp_path: Path
) -> None:
    backend, url = S3Backend(session), f"s3://{bucket}/x"
    backend.put(payload=CONTENT, fragment=parse(url))
    client.put_object(Bucket=bucket, Key="x", Body=CONTENT[::-1])
    assert lent(backend, url, tmp_path / "lent") == CONTENT[::-1]
    client.delete_object(Bucket=bucket, Key="x")
    with pytest.raises(ObjectNotFound):
        backend.get(fragment=parse(url))


def test_what_names_another_etag_or_knows_no_condition_is_asked_without_one(
    session: Session, between: Gateway, client: S3Client, bucket: str
) -> None:
    backend, where = S3Backend(session), parse(f"s3://{bucket}/x")
    backend.put(payload=CONTENT, fragment=where)
    client.put_object(Bucket=bucket, Key="x", Body=CONTENT[::-1])
    refused = b"<Error><Code>NotImplemented</Code><Message>no</Message></Error>"
    for canned in (Canned(304, headers={"ETag": '"another"'}), Canned(501, refused)):
        asked(between)
        is_lean = "config_kwargs" not in session.credentials
        # Then boto3 asks once more before it is believed that this is not implemented.
        between.answers.extend([canned] * (2 if canned.status == 501 and is_lean else 1))
        backend.get(fragment=where)
        assert not between.answers
        assert asked(between)[-1] == "GET"
        backend.put(payload=CONTENT, fragment=where)


def test_a_copy_that_is_damaged_is_fetched_again(
    session: Session, between: Gateway, bucket: str, tmp_path: Path, cache: Path
) -> None:
    backend, url = S3Backend(session), f"s3://{bucket}/x"
    backend.put(payload=CONTENT, fragment=parse(url))
    (copy,) = copies(cache)
    copy.chmod(0o600)
    copy.write_bytes(b"damaged")
    asked(between)
    assert lent(backend, url, tmp_path / "lent") == CONTENT
    assert asked(between) == ["GET?", "GET"]
    assert lent(backend, url, tmp_path / "again") == CONTENT
    assert asked(between) == ["GET?"]


def test_a_folder_is_listed_and_its_files_come_once(
    session: Session, between: Gateway, bucket: str, tmp_path: Path
) -> None:
    backend, where = S3Backend(session), parse(f"s3://{bucket}/tree")
    (tmp_path / "tree/below").mkdir(parents=True)
    for name in ("a", "below/b"):
        (tmp_path / "tree" / name).write_bytes(CONTENT + name.encode())
    backend.upload(source=tmp_path / "tree", fragment=where, consume=True)
    asked(between)
    backend.lend(target=tmp_path / "lent", fragment=where)
    assert (tmp_path / "lent/below/b").read_bytes() == CONTENT + b"below/b"
    assert asked(between) == ["GET", "GET"]  # of the object that is not there, and of the listing


def test_a_record_of_a_run_has_all_that_it_would_have_without_the_cache(
    seaweed: S3Server, between: Gateway, bucket: str, tmp_path: Path, cache: Path, client: S3Client
) -> None:
    (tmp_path / "reads").touch()
    project = Project(reads=tmp_path / "reads", entry="x")
    backend = S3Backend(Session({**seaweed.credentials, "endpoint_url": between.endpoint_url}, project))
    where = parse(f"s3://{bucket}/x")
    for content in (CONTENT, CONTENT[::-1]):
        client.put_object(Bucket=bucket, Key="x", Body=content)
        backend.get(fragment=where)
        (told,) = project.read()["x"]["x"][-1:]
        asked(between)
        assert backend.get(fragment=where) == content
        assert asked(between) == ["HEAD"]
        assert project.read()["x"]["x"][-1] == told
        assert told.keys() >= {"size", "modified", "checksum"}
    client.delete_object(Bucket=bucket, Key="x")
    client.put_object(Bucket=bucket, Key="x/y", Body=CONTENT)
    backend.lend(target=tmp_path / "folder", fragment=where)
    assert (tmp_path / "folder/y").read_bytes() == CONTENT


def test_what_nobody_can_verify_is_kept_only_where_it_came_over_tls(
    session: Session, client: S3Client, bucket: str, cache: Path
) -> None:
    upload: Any = {"Bucket": bucket, "Key": "x"}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    # A checksum of the parts' checksums, or none at all, as other tools leave it.
    etag = client.upload_part(**upload, PartNumber=1, Body=CONTENT)["ETag"]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    backend = S3Backend(session)
    assert backend.get(fragment=parse(f"s3://{bucket}/x")) == CONTENT
    assert not copies(cache)
    found = client.get_object(Bucket=bucket, Key="x")
    secure = s3_client(Session({**session.credentials, "endpoint_url": "https://127.0.0.1"}))
    assert not may_be_kept(client, found, CONTENT, zlib.crc32(CONTENT))
    assert may_be_kept(secure, found, CONTENT, zlib.crc32(CONTENT))
    assert not may_be_kept(secure, {**found, "ChecksumCRC32": "AAAAAA=="}, CONTENT, zlib.crc32(CONTENT))
    client.put_object(
        Bucket=bucket, Key="x", Body=CONTENT, ChecksumSHA256=base64.b64encode(sha256(CONTENT).digest()).decode()
    )
    assert backend.get(fragment=parse(f"s3://{bucket}/x")) == CONTENT
    assert copies(cache)


@pytest.mark.once
def test_what_has_a_key_of_the_customers_or_a_condition_of_the_users_is_not_in_the_cache(
    seaweed: S3Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = s3_objects(Session(seaweed.credentials))
    plain: dict[str, Any] = {"ExpectedBucketOwner": "me"}
    secret: dict[str, Any] = {"SSECustomerKey": "secret", "SSECustomerAlgorithm": "AES256"}
    assert key_to_read(objects, "b", "k", plain) == key_as_written(objects, "b", "k", {"StorageClass": "STANDARD"})
    assert key_to_read(objects, "b", "k", plain) != key_to_read(objects, "b", "k", {"VersionId": "1"})
    assert key_to_read(objects, "b", "k", secret) is None
    assert key_as_written(objects, "b", "k", secret) is None
    assert key_to_read(objects, "b", "k", {"IfNoneMatch": "etag"}) is None
    for transforming in ("arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/a", "a-b--ol-s3"):
        assert key_to_read(objects, transforming, "k", {}) is None
        assert key_as_written(objects, transforming, "k", {}) is None
    monkeypatch.setenv("STATISFACTORY_CACHE", "off")
    assert key_to_read(objects, "b", "k", plain) is None
    assert key_as_written(objects, "b", "k", {}) is None


def test_what_a_handler_of_the_users_may_have_changed_is_not_in_the_cache(
    session: Session, between: Gateway, client: S3Client, bucket: str, cache: Path
) -> None:
    backend, where = S3Backend(session), parse(f"s3://{bucket}/x")
    client.put_object(Bucket=bucket, Key="x", Body=CONTENT)
    assert backend.get(fragment=where) == CONTENT
    (kept,) = copies(cache)
    events: Any = s3_client(session).meta.events

    def turn_round(parsed: dict[str, Any], **_: Any) -> None:
        content = parsed["Body"].read()[::-1]
        parsed["Body"] = StreamingBody(io.BytesIO(content), len(content))

    events.register("after-call.s3.GetObject", turn_round)
    try:
        assert backend.get(fragment=where) == CONTENT[::-1]
        backend.put(payload=CONTENT[::-1], fragment=parse(f"s3://{bucket}/y"))
        assert copies(cache) == [kept]
    finally:
        events.unregister("after-call.s3.GetObject", turn_round)
    asked(between)
    assert backend.get(fragment=where) == CONTENT
    assert asked(between) == ["GET?"]


def test_a_condition_of_the_users_is_answered_as_it_was(session: Session, bucket: str) -> None:
    backend, where = S3Backend(session), parse(f"s3://{bucket}/x")
    backend.put(payload=CONTENT, fragment=where)
    etag = backend.stat(fragment=where).checksum
    with pytest.raises(TransferError, match="Not Modified"):
        backend.get(fragment=where, IfNoneMatch=etag)
