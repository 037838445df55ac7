"""S3 credentials in both shapes, and the one client that is made of them."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSRequest

from kedro_statisfactory.backends.s3.client import _send_at_once, s3_client, s3_objects
from kedro_statisfactory.backends.s3.credentials import s3_configuration
from kedro_statisfactory.errors import InvalidCredentials, StatisfactoryError, UnknownCredential
from kedro_statisfactory.session import Session

BOTO3 = {"aws_access_key_id": "AK", "aws_secret_access_key": "SK", "endpoint_url": "http://127.0.0.1:1"}
S3FS = {"key": "AK", "secret": "SK", "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}}


def test_both_shapes_mean_the_same() -> None:
    assert s3_configuration(BOTO3) == s3_configuration(S3FS)


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_value_of_none_or_an_empty_text_counts_as_absent(nothing: str | None) -> None:
    names = ("key", "secret", "token", "endpoint_url", "profile_name", "region_name")
    assert s3_configuration(dict.fromkeys(names, nothing)) == s3_configuration({})
    assert s3_configuration({"client_kwargs": {"endpoint_url": nothing}}) == s3_configuration({})


@pytest.mark.parametrize(
    ("credentials", "error", "named"),
    [
        ({"acess_key": "hush"}, UnknownCredential, "acess_key"),
        ({"client_kwargs": {"bucket": "hush"}}, UnknownCredential, "bucket"),
        ({"aws_access_key_id": 123456, "aws_secret_access_key": "hush"}, InvalidCredentials, "between quotes"),
        ({"aws_access_key_id": "hush"}, InvalidCredentials, "one half"),
        ({"client_kwargs": "hush"}, InvalidCredentials, "client_kwargs"),
        ({**BOTO3, "endpoint_url": "http://me:hush@host"}, InvalidCredentials, "endpoint_url"),
    ],
)
def test_wrong_credentials_are_named_and_not_shown(
    credentials: dict[str, Any], error: type[StatisfactoryError], named: str
) -> None:
    with pytest.raises(error, match=named) as refused:
        s3_configuration(credentials)
    assert "hush" not in str(refused.value)


def test_unknown_arguments_of_the_client_are_named() -> None:
    with pytest.raises(UnknownCredential, match="no_such_argument"):
        _ = s3_client(Session({**BOTO3, "config_kwargs": {"no_such_argument": 1}}))


@pytest.mark.parametrize(("body", "waits"), [(b"small", False), (bytes(2 << 20), True), (iter([b"unknown"]), True)])
def test_a_body_of_a_size_that_nobody_knows_counts_as_large(body: Any, waits: bool) -> None:
    request = AWSRequest("PUT", "http://127.0.0.1:1/", {"Expect": "100-continue"}, data=body)
    _send_at_once(request, "PutObject")
    assert ("Expect" in request.headers) == waits


def test_an_unsigned_client_is_made_for_anonymous_access() -> None:
    from botocore import UNSIGNED

    config: Any = s3_client(Session({"anon": True, "client_kwargs": {"region_name": "us-east-1"}})).meta.config
    assert config.signature_version is UNSIGNED


def test_configuration_of_the_client_reaches_it() -> None:
    config: Any = s3_client(
        Session(
            {**BOTO3, "region_name": "eu-west-1", "config_kwargs": {"request_checksum_calculation": "when_required"}}
        )
    ).meta.config
    assert config.request_checksum_calculation == "when_required"
    assert config.retries == {"mode": "standard", "total_max_attempts": 5}


def test_pickles_and_copies_carry_no_connection() -> None:
    session = Session(BOTO3)
    client = s3_client(session)
    assert s3_client(pickle.loads(pickle.dumps(session))) is client, "equal credentials in one process share a client"
    assert s3_client(copy.deepcopy(session)) is client


def test_an_account_set_later_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    one = s3_client(Session())
    assert s3_client(Session()) is one
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    assert s3_client(Session()) is not one


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://MinIO.example.org:443", "minio.example.org"),
        ("http://minio.example.org:80/", "minio.example.org"),
        ("http://minio.example.org:443", "minio.example.org:443"),
    ],
)
def test_a_host_is_signed_as_a_request_names_it(url: str, host: str) -> None:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "eu-west-1"}
    lean = s3_objects(Session({**keys, "endpoint_url": url}))._lean
    assert lean
    request = lean.service.request("GetObject", {"Bucket": "bucket", "Key": "key"})
    assert request
    assert urlsplit(request.url).netloc == host
