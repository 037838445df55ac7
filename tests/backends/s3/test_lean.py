"""Small objects by requests without boto3: what is plain goes so, and boto3 does what is not or is answered oddly."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.compat
import pytest
import trustme
from botocore.credentials import RefreshableCredentials
from botocore.stub import Stubber
from kedro.io import DataCatalog

from kedro_statisfactory.backends import S3Backend, http, transfer
from kedro_statisfactory.backends.s3.client import s3_client, s3_objects
from kedro_statisfactory.backends.s3.lean import LeanSender
from kedro_statisfactory.backends.s3.objects import S3Objects
from kedro_statisfactory.backends.s3.plain import MOST_SENT, Handlers
from kedro_statisfactory.errors import BackendUnreachable, IntegrityError, PreconditionFailed, StatisfactoryError
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Fault, Gateway, gateway, proxy
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once  # the contract and the connections are tried on each Python
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "a-secret", "region_name": "eu-west-1"}
HERE = {**KEYS, "endpoint_url": "http://127.0.0.1:9"}
LEAN_AND_BOTO3 = {"lean": 1, "boto3": 1}


@pytest.fixture
def between(seaweed: S3Server) -> Iterator[Gateway]:
    with gateway(seaweed.endpoint_url) as state:
        yield state


@pytest.fixture
def session(seaweed: S3Server, between: Gateway) -> Session:
    return Session({**seaweed.credentials, "endpoint_url": between.endpoint_url})


def ways(session: Session, operation: str | None = None) -> dict[str, int]:
    """How many requests went which way since this was asked last."""
    counted = s3_objects(session).ways
    found: dict[str, int] = {}
    for (name, way), times in counted.items():
        if operation in (None, name):
            found[way] = found.get(way, 0) + times
    counted.clear()
    return found


# -- what is plain ------------------------------------------------------------------------------------------------


def test_an_entry_of_a_catalog_needs_no_boto3_for_what_it_moves(seaweed: S3Server, bucket: str) -> None:
    ways(Session(seaweed.credentials))
    config = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": f"s3://{bucket}/x"}
    catalog = DataCatalog.from_config({"x": {**config, "credentials": seaweed.credentials}})
    catalog.save("x", b"content")
    assert catalog.load("x") == b"content"
    assert catalog.exists("x")
    assert s3_objects(Session(seaweed.credentials)).ways == {
        ("PutObject", "lean"): 1,
        ("GetObject", "lean"): 1,
        ("HeadObject", "lean"): 1,
    }


@pytest.mark.parametrize("key", ["a b", "a+b%2Fc", "ü/日本", "~x;?#&='()*!", "x/.hidden", "$folder$", "a//b", "/a"])
def test_odd_keys_mean_the_same_by_both_ways(seaweed: S3Server, session: Session, bucket: str, key: str) -> None:
    objects, client = s3_objects(session), s3_client(Session(seaweed.credentials))
    objects.put_object(Bucket=bucket, Key=key, Body=b"lean")
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == b"lean"
    assert objects.get_object(Bucket=bucket, Key=key)["Body"].read() == b"lean"
    assert ways(session) == {"lean": 2}


@pytest.mark.parametrize(
    "credentials",
    [
        HERE,
        {**HERE, "config_kwargs": {"s3": {"addressing_style": "path"}}},
        {**HERE, "config_kwargs": {"use_fips_endpoint": False, "ignore_configured_endpoint_urls": True}},
        {**HERE, "config_kwargs": {"response_checksum_validation": "when_required"}},
        {**HERE, "endpoint_url": "https://minio.example.org:9000/"},
        {**KEYS, "config_kwargs": {"s3": {"addressing_style": "path"}}},
        *({**KEYS, "region_name": region} for region in ("eu-west-1", "us-east-1", "cn-north-1", "us-gov-west-1")),
    ],
)
def test_what_is_sent_is_what_boto3_would_send(credentials: dict[str, Any]) -> None:
    objects, of_boto3 = s3_objects(Session(credentials)), list[Any]()
    events: Any = objects.client.meta.events

    class Caught(Exception):
        pass

    def catch(request: Any, **_: Any) -> None:
        of_boto3.append(request)
        raise Caught

    requests: list[tuple[str, dict[str, Any]]] = [
        ("GetObject", {"Key": "a b/ü+%2F~x", "IfMatch": '"etag"', "VersionId": "a/b+c"}),
        ("HeadObject", {"Key": "x/.y", "IfNoneMatch": "*"}),
        ("PutObject", {"Key": "x", "Body": b"x", "ContentType": "a/b", "Metadata": {"by-me": "a b"}}),
        ("UploadPart", {"Key": "x", "Body": bytes(MOST_SENT + 1), "UploadId": "a/b+c==", "PartNumber": 2}),
    ]
    verbs = {
        "GetObject": objects.get_object,
        "HeadObject": objects.head_object,
        "PutObject": objects.put_object,
        "UploadPart": objects.upload_part,
    }
    events.register("before-send.s3", catch)
    try:
        for bucket in ("bucket", "with.dots"):
            with pytest.raises(Caught):
                objects.list_objects_v2(Bucket=bucket, Prefix="a b/ü+/", MaxKeys=7, ContinuationToken="a/b+c==")
            assert objects._lean
            listing = {"Bucket": bucket, "Prefix": "a b/ü+/", "MaxKeys": 7, "ContinuationToken": "a/b+c=="}
            plain = objects._lean.service.request("ListObjectsV2", listing)
            assert plain
            ours, theirs = urlsplit(plain.url), urlsplit(of_boto3.pop().url)
            assert (ours._replace(query=""), parse_qs(ours.query)) == (
                theirs._replace(query=""),
                parse_qs(theirs.query),
            )
            for operation, arguments in requests:
                more = {"ChecksumCRC32": "jNxDtQ=="} if "Body" in arguments else {}
                given = {"Bucket": bucket, **arguments, **more}
                with pytest.raises(Caught):
                    verbs[operation](**given)
                assert objects._lean
                plain = objects._lean.service.request(operation, given)
                assert plain
                sent = of_boto3.pop()
                ours, theirs = urlsplit(plain.url), urlsplit(sent.url)
                assert (plain.method, ours._replace(query="")) == (sent.method, theirs._replace(query=""))
                assert parse_qs(ours.query) == parse_qs(theirs.query)
                of_theirs = {name.lower(): value for name, value in sent.headers.items()}
                for name, value in plain.headers.items():
                    assert of_theirs.pop(name.lower()) in (value, value.encode())
                assert not [name for name in of_theirs if name.startswith(("if-", "x-amz-meta", "x-amz-checksum"))]
    finally:
        events.unregister("before-send.s3", catch)


PROXY = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "localhost"}


@pytest.mark.parametrize(
    ("credentials", "variables"),
    [
        ({"anon": True, "client_kwargs": {"region_name": "eu-west-1"}}, {}),
        ({"config_kwargs": {"s3": {"addressing_style": "virtual"}}}, {}),
        ({"config_kwargs": {"s3": {"use_accelerate_endpoint": True}}, "endpoint_url": None}, {}),
        ({"config_kwargs": {"signature_version": "s3"}}, {}),
        ({"config_kwargs": {"proxies": {"http": "http://127.0.0.1:9"}}}, {}),
        ({"config_kwargs": {"retries": {"mode": "adaptive"}}}, {}),
        ({"config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 1}}}, {}),
        ({"config_kwargs": {"user_agent_extra": "me"}}, {}),
        ({"config_kwargs": {"use_fips_endpoint": True}, "endpoint_url": None}, {}),
        ({"api_version": "2006-03-01"}, {}),
        ({"endpoint_url": None, "region_name": "aws-global"}, {}),
        *(({"endpoint_url": url}, {}) for url in ("http://[::1]:9", "http://127.0.0.1:9/a/path", "ftp://127.0.0.1:9")),
        ({"endpoint_url": "https://s3-accelerate.amazonaws.com"}, {}),
        ({"endpoint_url": "https://127.0.0.1:9", "verify": False}, {}),
        ({"endpoint_url": "https://127.0.0.1:9", "verify": "/no/such/file"}, {}),
        ({"endpoint_url": "https://127.0.0.1:9"}, {"AWS_CA_BUNDLE": "/no/such/file"}),
        ({"endpoint_url": None}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}),
        ({"endpoint_url": None}, {"AWS_USE_FIPS_ENDPOINT": "true"}),
        ({}, PROXY),
    ],
)
def test_a_service_that_is_not_plain_is_boto3s(
    credentials: dict[str, Any], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    own = {} if "anon" in credentials else {**HERE, "region_name": f"eu-west-{len(variables) + 1}"}
    if variables is PROXY:  # which is no part of what tells one connection from another
        own["aws_access_key_id"] = "behind a proxy"
    assert s3_objects(Session({**own, **credentials}))._lean is None


def test_credentials_that_a_program_gives_are_boto3s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = '{"Version": 1, "AccessKeyId": "key", "SecretAccessKey": "a-secret"}'
    (tmp_path / "keys").write_text(keys)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'keys'}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert s3_objects(Session({"endpoint_url": "http://127.0.0.1:9", "region_name": "eu-west-1"}))._lean is None


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("GetObject", {"Bucket": "Upper"}),
        ("GetObject", {"Bucket": "arn:aws:s3:eu-west-1:123456789012:accesspoint/name"}),
        ("GetObject", {"Bucket": "bucket--use1-az4--x-s3"}),
        ("GetObject", {"Key": "a/../b"}),
        ("GetObject", {"Key": ""}),
        ("GetObject", {"Range": "bytes=0-1"}),
        ("GetObject", {"RequestPayer": "requester"}),
        ("GetObject", {"SSECustomerAlgorithm": "AES256"}),
        ("GetObject", {"IfMatch": "a\nb"}),
        ("GetObject", {"VersionId": "ü"}),
        ("HeadObject", {"ChecksumMode": "ENABLED"}),
        ("PutObject", {"Body": bytes((1 << 20) + 1)}),
        ("PutObject", {"Body": Path("/")}),
        ("PutObject", {"Metadata": {"Upper": "x"}}),
        ("PutObject", {"Metadata": {"x": "two  spaces"}}),
        ("PutObject", {"Metadata": "x"}),
        ("PutObject", {"ServerSideEncryption": "aws:kms"}),
        ("ListObjectsV2", {"ExpectedBucketOwner": "123456789012"}),
    ],
)
def test_a_request_that_is_not_plain_is_boto3s(operation: str, arguments: dict[str, Any]) -> None:
    lean = s3_objects(Session(HERE))._lean
    assert lean
    request = {"Bucket": "bucket", **({} if operation == "ListObjectsV2" else {"Key": "x"})}
    assert lean.service.request(operation, request), "the negative control"
    assert lean.service.request(operation, {**request, **arguments}) is None


def test_who_asks_boto3s_client_to_be_told_is_told(session: Session, bucket: str) -> None:
    objects, told = s3_objects(session), list[str]()
    events: Any = objects.client.meta.events
    events.register("before-call.s3", lambda model, **_: told.append(model.name), unique_id="told")
    objects.put_object(Bucket=bucket, Key="x", Body=b"x")
    assert (told, ways(session)) == (["PutObject"], {"boto3": 1})
    events.unregister("before-call.s3", unique_id="told")
    objects.head_object(Bucket=bucket, Key="x")
    assert (told, ways(session)) == (["PutObject"], {"lean": 1})


def test_who_stands_in_for_the_service_in_a_test_is_asked() -> None:
    client = s3_client(Session({**HERE, "region_name": "eu-central-1"}))
    with Stubber(client) as stub:
        objects = S3Objects(client, s3_objects(Session(HERE))._lean)
        stub.add_response("head_object", {"ETag": '"x"', "ContentLength": 1})
        assert objects.head_object(Bucket="bucket", Key="x")["ContentLength"] == 1


def test_a_botocore_that_keeps_handlers_in_another_way_is_asked_for_everything() -> None:
    emitter = types.SimpleNamespace(_lookup_cache={})
    for events in (types.SimpleNamespace(), types.SimpleNamespace(_emitter=emitter)):
        client: Any = types.SimpleNamespace(meta=types.SimpleNamespace(events=events))
        assert not Handlers(client).are_ours()


# -- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Canned(301, b"<Error><Code>PermanentRedirect</Code></Error>"),
        Canned(304, headers={"ETag": '"x"'}),
        Canned(307, headers={"Location": "http://127.0.0.1:9/"}),
        Canned(400, b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>"),
        Canned(403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>"),
        Canned(404, b"<html>Who are you?"),
        Canned(501, b"<Error><Code>NotImplemented</Code></Error>"),
        Canned(200, b"Who are you?"),
        Canned(200, bytes(1 << 20)),
        Canned(206, b"x", {"ETag": '"x"'}),
        Canned(200, b"x", {"ETag": '"x"', "Last-Modified": "when it was"}),
        Canned(200, b"x", {"ETag": '"x"', "Transfer-Encoding": "chunked"}),
    ],
)
def test_a_bucket_that_answers_oddly_is_boto3s_from_then_on(
    session: Session, between: Gateway, bucket: str, answer: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, came = s3_objects(session), list[Any]()
    ask_once: Callable[..., Any] = http.ask_once

    def noted(*args: Any, **how: Any) -> Any:
        came.append(ask_once(*args, **how))
        return came[-1]

    monkeypatch.setattr(http, "ask_once", noted)
    for key in "xy":
        objects.put_object(Bucket=bucket, Key=key, Body=b"content")
    ways(session)
    between.answers.append(answer)
    assert objects.get_object(Bucket=bucket, Key="x")["Body"].read() == b"content"
    assert ways(session) == LEAN_AND_BOTO3
    assert came.pop().closed, "it is not left to the garbage collection"
    assert objects.get_object(Bucket=bucket, Key="y")["Body"].read() == b"content"
    assert ways(session) == {"boto3": 1}
    with pytest.raises(objects.client.exceptions.NoSuchBucket):
        objects.get_object(Bucket=f"not-{bucket}", Key="x")
    assert ways(session) == {"lean": 1}, "of another bucket nothing is known"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_answer_of_a_moment_is_followed_by_boto3s_tries_and_means_nothing_for_later(
    session: Session, between: Gateway, bucket: str, status: int
) -> None:
    objects = s3_objects(session)
    between.answers.extend([Canned(status, b"<Error><Code>SlowDown</Code></Error>")] * 2)
    objects.put_object(Bucket=bucket, Key="x", Body=b"x")
    assert len(between.seen) == 3
    objects.put_object(Bucket=bucket, Key="x", Body=b"x")
    assert ways(session) == {"lean": 2, "boto3": 1}


def test_a_conditional_put_whose_answer_was_lost_is_no_others(session: Session, between: Gateway, bucket: str) -> None:
    backend = S3Backend(session)
    for answer in (Canned(503, done=True), Canned(200, b"", {"Content-Length": "x"}, done=True)):
        where = parse(f"s3://{bucket}/{answer.status}")
        between.answers.append(answer)
        backend.put(payload=b"mine", fragment=where, IfNoneMatch="*")
        with pytest.raises(PreconditionFailed):
            backend.put(payload=b"other", fragment=where, IfNoneMatch="*")
    assert ways(session)["lean"] > 1


def test_a_request_whose_connection_is_cut_is_sent_again(seaweed: S3Server, bucket: str) -> None:
    with proxy(seaweed.endpoint_url) as network:
        session = Session({**seaweed.credentials, "endpoint_url": network.endpoint_url})
        network.faults.append(Fault(0))
        S3Backend(session).create(source=b"x", fragment=parse(f"s3://{bucket}/x"))
        assert S3Backend(session).get(fragment=parse(f"s3://{bucket}/x")) == b"x"
    assert ways(session, "HeadObject") == LEAN_AND_BOTO3


def test_refusals_are_told_as_boto3_would(seaweed: S3Server, session: Session, bucket: str) -> None:
    by_boto3 = Session({**seaweed.credentials, "config_kwargs": {"user_agent_extra": "tests"}})
    verbs: list[Callable[[S3Backend], object]] = [
        lambda backend: backend.get(fragment=parse(f"s3://{bucket}/absent")),
        lambda backend: backend.stat(fragment=parse(f"s3://{bucket}/absent")),
        lambda backend: backend.get(fragment=parse(f"s3://not-{bucket}/x")),
        lambda backend: backend.get(fragment=parse(f"s3://{bucket}/x"), IfMatch='"another"'),
        lambda backend: backend.stat(fragment=parse(f"s3://{bucket}/x"), IfMatch='"another"'),
        lambda backend: backend.put(payload=b"y", fragment=parse(f"s3://{bucket}/x"), IfNoneMatch="*"),
    ]
    S3Backend(session).put(payload=b"x", fragment=parse(f"s3://{bucket}/x"))
    for verb in verbs:
        errors = []
        for each in (session, by_boto3):
            with pytest.raises(StatisfactoryError) as refused:
                verb(S3Backend(each))
            cause: Any = refused.value.__cause__
            errors.append((type(refused.value), str(refused.value), type(cause).__name__, str(cause)))
        assert errors[0] == errors[1]
    assert ways(session).keys() == {"lean"}


# -- listings -----------------------------------------------------------------------------------------------------


def test_a_listing_is_the_same_by_both_ways(seaweed: S3Server, bucket: str) -> None:
    sessions = [Session({**seaweed.credentials, **more}) for more in ({}, {"config_kwargs": {"user_agent_extra": "x"}})]
    keys = ["a b", "a+b%2Fc", "ü/日本", "x&<y>", "~;?#", "plain"]
    for key in keys:
        S3Backend(sessions[0]).put(payload=key.encode(), fragment=parse(f"s3://{bucket}/tree/{key}"))
    listings = []
    for session in sessions:
        ways(session)
        listings.append([*S3Backend(session)._below(bucket, "tree/", {}, at_once=4)])
        assert not [*S3Backend(session).list(fragment=parse(f"s3://{bucket}/absent"))]
        assert not [*S3Backend(session).list(fragment=parse(f"s3://not-{bucket}/x"))]
        assert not [*S3Backend(session).list(fragment=parse("s3://Not_One/x"))]
    assert listings[0] == listings[1]
    assert sorted(info.path for info in listings[0]) == sorted(keys)
    assert ways(sessions[0]) == {"lean": 4, "boto3": 1}
    assert ways(sessions[1]) == {"boto3": 5}


def _page(more: str, namespace: str = "") -> Canned:
    found = "<Contents><Key>tree/x</Key><Size>1</Size><ETag>e</ETag><LastModified>2026-01-01T00:00:00Z</LastModified>"
    text = f"<ListBucketResult{namespace}><Name>x</Name>{found}</Contents>{more}</ListBucketResult>"
    return Canned(200, text.encode())


def test_a_listing_that_never_ends_is_an_error(session: Session, between: Gateway, bucket: str) -> None:
    again = "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>"
    between.answers.extend([_page(again)] * 2)
    with pytest.raises(BackendUnreachable, match="the same page once more"):
        list(S3Backend(session).list(fragment=parse(f"s3://{bucket}/tree")))
    between.answers.append(
        _page("<IsTruncated>false</IsTruncated>", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"')
    )
    assert [info.path for info in S3Backend(session).list(fragment=parse(f"s3://{bucket}/tree"))] == ["x"]
    assert ways(session) == {"lean": 3}
    for odd in (_page(""), _page("<IsTruncated>perhaps</IsTruncated>"), Canned(200, b"<html>Who are you?")):
        s3_objects(session)._of_boto3.clear()
        between.answers.append(odd)
        assert list(S3Backend(session).list(fragment=parse(f"s3://{bucket}/tree"))) == []
        assert ways(session) == LEAN_AND_BOTO3


# -- checksums ----------------------------------------------------------------------------------------------------


def _sha256(content: bytes) -> dict[str, str]:
    return {"ETag": '"x"', "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(content).digest()).decode()}


def test_what_arrives_is_verified_by_whatever_checksum_the_service_keeps(
    session: Session, between: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, where = S3Backend(session), parse(f"s3://{bucket}/x")
    backend.put(payload=b"right", fragment=where, ChecksumAlgorithm="SHA1")
    monkeypatch.setattr(transfer, "SMALL", 3)  # what has such a checksum does not come in parts
    assert backend.get(fragment=where) == b"right"
    between.answers.append(Canned(200, b"right", _sha256(b"right")))
    assert backend.get(fragment=where) == b"right"
    between.answers.extend([Canned(200, b"wrong", _sha256(b"right"))] * 5)
    with pytest.raises(IntegrityError, match="checksum"):
        backend.get(fragment=where)
    between.answers.extend([Canned(200, b"wrong", {**_sha256(b""), "Content-Length": "7"})] * 5)
    with pytest.raises((IntegrityError, BackendUnreachable)):
        backend.get(fragment=where)
    assert ways(session, "GetObject") == {"lean": 12}


def test_a_checksum_that_boto3_alone_can_verify_is_verified_by_it(
    session: Session, between: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, where = S3Backend(session), parse(f"s3://{bucket}/x")
    backend.put(payload=b"x", fragment=where)
    other = Canned(200, b"x", {"ETag": '"x"', "x-amz-checksum-crc64nvme": "AAAAAAAAAAA="})
    monkeypatch.setattr(botocore.compat, "HAS_CRT", False)  # without which nobody can
    between.answers.append(other)
    assert backend.get(fragment=where) == b"x"
    assert ways(session, "GetObject") == {"lean": 1}
    monkeypatch.setattr(botocore.compat, "HAS_CRT", True)
    between.answers.append(other)
    assert backend.get(fragment=where) == b"x"
    assert ways(session) == LEAN_AND_BOTO3


def test_an_answer_that_is_longer_than_it_says_is_an_error(session: Session, bucket: str) -> None:
    objects = s3_objects(session)
    objects.put_object(Bucket=bucket, Key="x", Body=b"x")
    body: Any = objects.get_object(Bucket=bucket, Key="x")["Body"]
    body._length = 0
    with body, pytest.raises(IntegrityError, match="longer"):
        body.read()


# -- connections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["verify", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_certificates_are_trusted_as_by_boto3_and_a_checked_body_is_not_read_twice(
    seaweed: S3Server, bucket: str, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with gateway(seaweed.endpoint_url, context) as between:
        credentials: dict[str, Any] = {**seaweed.credentials, "endpoint_url": between.endpoint_url}
        if how == "verify":
            credentials["verify"] = str(tmp_path / "ca.pem")
        else:
            monkeypatch.setenv(how, str(tmp_path / "ca.pem"))
        backend, where = S3Backend(Session(credentials)), parse(f"s3://{bucket}/x")
        backend.put(payload=b"x", fragment=where)
        assert backend.get(fragment=where) == b"x"
        assert ways(Session(credentials)) == {"lean": 2}
        backend.put(payload=bytes(2 << 20), fragment=where)
        assert ways(Session(credentials)) == {"boto3": 1}
        for seen in (between.seen[0], between.seen[-1]):
            told = {name.lower(): value for name, value in seen.headers.items()}
            assert told["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
            assert "x-amz-checksum-crc32" in told


def test_a_transfer_of_boto3_by_the_same_client_is_in_nobodys_way(
    seaweed: S3Server, bucket: str, tmp_path: Path
) -> None:
    session = Session({**seaweed.credentials, "config_kwargs": {"max_pool_connections": 3}})
    (tmp_path / "x").write_bytes(b"x")
    s3_client(session).upload_file(str(tmp_path / "x"), bucket, "x")
    assert S3Backend(session).get(fragment=parse(f"s3://{bucket}/x")) == b"x"
    assert ways(session) == {"lean": 1}


def test_keys_that_expire_are_renewed(seaweed: S3Server, bucket: str) -> None:
    objects = s3_objects(Session(seaweed.credentials))
    soon = datetime.now(timezone.utc) + timedelta(days=1)
    made: dict[str, Any] = {"access_key": seaweed.access_key, "secret_key": seaweed.secret_key, "token": ""}
    expired: Any = RefreshableCredentials(
        "old", "old", "", soon - timedelta(days=2), lambda: {**made, "expiry_time": soon.isoformat()}, "assume-role"
    )
    assert objects._lean
    renewing = S3Objects(objects.client, LeanSender(objects.client, objects._lean.service, expired))
    renewing.put_object(Bucket=bucket, Key="x", Body=b"x")
    assert renewing.ways == {("PutObject", "lean"): 1}


def test_what_was_stopped_sends_nothing_and_reads_no_answer(
    session: Session, between: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, answers, stops = s3_objects(session), list[Any](), list[threading.Event]()
    objects.put_object(Bucket=bucket, Key="x", Body=b"x" * 10)
    original = http.ask_once

    def ask(*arguments: Any, **more: Any) -> Any:
        answers.append(original(*arguments, **more))
        stops[0].set()
        return answers[0]

    def fetch(key: str, stop: threading.Event) -> None:
        stops.append(stop)
        if key == "stopped before":
            stop.set()
        objects.get_object(Bucket=bucket, Key="x")

    monkeypatch.setattr(http, "ask_once", ask)
    for key in ("stopped before", "stopped meanwhile"):
        with pytest.raises(transfer.Stopped):
            transfer.in_parallel(fetch, [key], 1)
        stops.clear()
    assert [answer.closed for answer in answers] == [True]


def test_eight_threads_share_the_connections(session: Session, bucket: str) -> None:
    backend = S3Backend(session)
    contents = {f"s3://{bucket}/{number}": os.urandom(10_000) for number in range(32)}
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda each: backend.put(payload=each[1], fragment=parse(each[0])), contents.items()))
        assert list(executor.map(lambda url: backend.get(fragment=parse(url)), contents)) == [*contents.values()]
    assert ways(session) == {"lean": 64}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_uses_no_connection_of_its_parent(session: Session, between: Gateway, bucket: str) -> None:
    backend, where = S3Backend(session), parse(f"s3://{bucket}/x")
    backend.put(payload=b"x", fragment=where)
    objects = s3_objects(session)
    child = os.fork()
    if child == 0:
        os._exit(0 if s3_objects(session) is not objects and backend.get(fragment=where) == b"x" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert backend.get(fragment=where) == b"x"
