"""Credentials in both shapes; one connection per process and configuration; no secret anywhere."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kedro_statisfactory import session as session_module
from kedro_statisfactory.errors import InvalidCredentials, StatisfactoryError, UnknownCredential
from kedro_statisfactory.session import Session, s3_configuration

BOTO3 = {"aws_access_key_id": "AK", "aws_secret_access_key": "SK", "endpoint_url": "http://127.0.0.1:1"}
S3FS = {"key": "AK", "secret": "SK", "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}}


def test_both_shapes_mean_the_same() -> None:
    assert s3_configuration(BOTO3) == s3_configuration(S3FS)


def test_a_value_of_none_counts_as_absent() -> None:
    assert s3_configuration({"key": None, "secret": None, "token": None}) == s3_configuration({})


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
        _ = Session({**BOTO3, "config_kwargs": {"no_such_argument": 1}}).s3


def test_an_unsigned_client_is_made_for_anonymous_access() -> None:
    from botocore import UNSIGNED

    config: Any = Session({"anon": True, "client_kwargs": {"region_name": "us-east-1"}}).s3.meta.config
    assert config.signature_version is UNSIGNED


def test_configuration_of_the_client_reaches_it() -> None:
    config: Any = Session(
        {**BOTO3, "region_name": "eu-west-1", "config_kwargs": {"request_checksum_calculation": "when_required"}}
    ).s3.meta.config
    assert config.request_checksum_calculation == "when_required"
    assert config.retries == {"mode": "standard", "total_max_attempts": 5}


def test_threads_share_one_connection_that_is_made_once() -> None:
    made: list[object] = []
    barrier = threading.Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    def connect(_: int) -> object:
        barrier.wait(10)
        return Session({"threads": "share"}).connection("test", make)

    with ThreadPoolExecutor(8) as executor:
        assert len(set(map(id, executor.map(connect, range(8))))) == 1
    assert len(made) == 1


def test_other_credentials_have_another_connection() -> None:
    one = Session({"a": [1, {"b": {2}}]}).connection("test", object)
    assert Session({"a": [1, {"b": {2}}]}).connection("test", object) is one
    assert Session({"a": [1, {"b": {3}}]}).connection("test", object) is not one
    assert Session({"a": [1, {"b": {2}}]}).connection("another", object) is not one


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_makes_its_own_connection_even_while_the_lock_is_held() -> None:
    session = Session({"fork": "own"})
    parents = session.connection("test", object)
    locked, release = threading.Event(), threading.Event()

    def hold() -> object:
        locked.set()
        release.wait(20)
        return object()

    holder = threading.Thread(target=lambda: session.connection("held", hold))
    holder.start()
    locked.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if session.connection("test", object) is not parents else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert session.connection("test", object) is parents


def test_a_child_forgets_what_its_parent_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the fork above runs in the child, where no coverage is measured.
    monkeypatch.setattr("kedro_statisfactory.session._connections", session_module._connections)
    one = Session({"a": 1}).connection("test", object)
    session_module._forget_connections()
    assert Session({"a": 1}).connection("test", object) is not one


def test_pickles_and_copies_carry_no_connection() -> None:
    session = Session(BOTO3)
    client = session.s3
    assert pickle.loads(pickle.dumps(session)).s3 is client, "equal credentials in one process share a client"
    assert copy.deepcopy(session).s3 is client


def test_an_account_set_later_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    one = Session().s3
    assert Session().s3 is one
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    assert Session().s3 is not one


def test_no_secret_shows() -> None:
    session = Session({**S3FS, "secret": "hush-hush", "token": "hush"})
    assert "hush" not in repr(session)
    assert (
        session.redacted("a hush-hush b hush c http://127.0.0.1:1") == "a <redacted> b <redacted> c http://127.0.0.1:1"
    )
    assert repr(Session()) == "Session(credentials=None)"
    assert "hush" not in repr(s3_configuration(session.credentials))
