"""The file system through which fsspec's libraries reach one location, and nothing beside it."""

from __future__ import annotations

import dataclasses
import os
import pickle
from typing import Any

import fsspec
import pytest
from botocore.exceptions import NoCredentialsError

from kedro_statisfactory.backends import S3Backend, transfer
from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.backends.s3 import filesystem
from kedro_statisfactory.backends.s3.access import s3_access
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.backends.s3.credentials import s3_configuration
from kedro_statisfactory.backends.s3.files import InOrder
from kedro_statisfactory.backends.s3.filesystem import EngineFileSystem
from kedro_statisfactory.errors import BackendUnreachable, IntegrityError, NotSupported, PermissionDenied
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, gateway
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once
PRIVATE = "https://bucket.vpce-1a2b-5678.s3.eu-central-1.vpce.amazonaws.com"


@pytest.fixture
def access(seaweed: S3Server, bucket: str) -> S3Access:
    """A folder in a bucket."""
    found = S3Backend(Session(seaweed.credentials)).engine_access(fragment=parse(f"s3://{bucket}/in/x"), saving="add")
    assert isinstance(found, S3Access)
    return found


@pytest.fixture
def files(access: S3Access) -> EngineFileSystem:
    """The folder as a file system."""
    return EngineFileSystem(access=access, name="x")


def test_what_is_written_is_found_by_path_listing_and_pattern(files: EngineFileSystem) -> None:
    for name in ("a", "deep/er/b", "deep/c"):
        files.pipe_file(f"statisfactory:///x/{name}", name.encode())
    assert files.find("x") == ["x/a", "x/deep/c", "x/deep/er/b"]
    assert files.find("") == files.find("x")
    assert files.ls("x", detail=False) == ["x/a", "x/deep"]
    assert [each["type"] for each in files.ls("x")] == ["file", "directory"]
    assert files.glob("x/deep/*") == ["x/deep/c", "x/deep/er"]
    assert files.ls("x/a", detail=False) == ["x/a"]
    assert [files.isdir(path) for path in ("", "x/deep", "x/a")] == [True, True, False]
    assert not files.exists("x/none")
    assert files.cat_file("x/deep/er/b", 5, -1) == b"er/"
    assert files.modified("x/a") is not None
    with pytest.raises(FileNotFoundError):
        files.ls("x/none")
    with pytest.raises(IsADirectoryError):
        files.open("x/deep")
    files.cp_file("x/a", "x/copy")
    files.rm_file("x/a")
    files.rm("x/deep", recursive=True)
    files.makedirs("x/empty")
    files.mkdir("x/empty")
    assert files.find("x") == ["x/copy"]


def test_markers_of_folders_are_no_files(files: EngineFileSystem, access: S3Access, seaweed: S3Server) -> None:
    s3_client(Session(seaweed.credentials)).put_object(
        Bucket=access.bucket, Key=f"{access.key}/deep_$folder$", Body=b""
    )
    assert files.find("x") == []
    assert EngineFileSystem._strip_protocol(["statisfactory:///x/a"]) == ["x/a"]


def test_keys_are_those_that_boto3_would_sign_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def access(**credentials: Any) -> S3Access:
        return s3_access(Session(credentials), "b", "k", "s3://b/k")

    key = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "do not tell", "aws_session_token": "nor this"}
    found = access(**key, region_name="eu-central-1")
    assert (found.endpoint_url, found.region, found.path_style) == (None, "eu-central-1", False)
    assert found.session_token == Hidden("nor this")
    assert access(anon=True).access_key_id is None
    with pytest.raises(NoCredentialsError):
        access()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the environment")
    assert access(endpoint_url="http://127.0.0.1:1", verify="ca.pem").secret_access_key == Hidden("of the environment")
    told = dataclasses.replace(found, proxy=Hidden("http://proxy:1"), verify=False, path_style=True).credentials()
    assert told["config_kwargs"]["proxies"]["https"] == "http://proxy:1"
    assert told["verify"] is False
    assert s3_configuration(told).session["aws_session_token"] == "nor this"


@pytest.mark.parametrize(
    ("more", "endpoint"),
    [
        ({}, None),
        ({"endpoint_url": "https://s3.eu-central-1.amazonaws.com"}, None),
        ({"config_kwargs": {"s3": {"use_accelerate_endpoint": True}}}, None),
        ({"endpoint_url": PRIVATE}, PRIVATE),
        ({"endpoint_url": PRIVATE, "config_kwargs": {"s3": {"payload_signing_enabled": True}}}, PRIVATE),
        ({"config_kwargs": {"use_fips_endpoint": True}}, "https://s3-fips.eu-central-1.amazonaws.com"),
        ({"config_kwargs": {"request_checksum_calculation": "when_required", "connect_timeout": 3}}, None),
        ({"config_kwargs": {"proxies": {"https": "http://user:hidden@proxy:1"}, "client_cert": "mine.pem"}}, None),
    ],
)
def test_an_engine_goes_where_boto3_does_and_in_the_same_way(
    more: dict[str, Any], endpoint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"key": "AKIAEXAMPLE", "secret": "do not tell", "region_name": "eu-central-1", **more}
    found = s3_access(Session(given), "b", "k", "s3://b/k")
    assert found.endpoint_url == endpoint
    assert "hidden" not in repr(found)
    assert (found.proxy is not None) == ("proxies" in more.get("config_kwargs", {}))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://of-another-machine")
    there: Any = s3_client(Session(found.credentials()))
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    here: Any = s3_client(Session(given))
    assert there.meta.endpoint_url == here.meta.endpoint_url
    assert (there.meta.config.s3 or {}).items() >= (here.meta.config.s3 or {}).items()
    for name in ("request_checksum_calculation", "connect_timeout", "client_cert"):
        assert getattr(there.meta.config, name) == getattr(here.meta.config, name)
    assert (there.meta.config.proxies or {}).items() >= (here.meta.config.proxies or {}).items()


def test_nothing_beside_the_location_is_reached(files: EngineFileSystem) -> None:
    with pytest.raises(PermissionError, match="nor below it"):
        files.cat_file("y")


def test_modes_do_what_they_say(files: EngineFileSystem) -> None:
    with files.open("x/t", "wb") as file:
        file.write(b"one")
    with files.open("x/t", "ab") as file:
        file.write(b", two")
    with files.open("x/new", "ab") as file:
        file.write(b"new")
    with files.open("x/t", "r+b") as file:
        file.write(b"O")
    assert [files.cat_file(path) for path in ("x/t", "x/new")] == [b"One, two", b"new"]
    with pytest.raises(FileExistsError):
        files.open("x/t", "xb")
    files.pipe_file("x/t2", b"2", mode="create")
    with pytest.raises(NotSupported, match="mode 'w\\+b'"):
        files.open("x/t", "w+b")
    with pytest.raises(FileNotFoundError):
        files.open("x/none", "r+b")


@pytest.mark.parametrize("mode", ["wb", "w", "xt"])
def test_a_file_that_an_error_has_ended_is_not_stored(files: EngineFileSystem, mode: str) -> None:
    half: Any = b"half" if "b" in mode else "half"

    def fail() -> None:
        with files.open("x/t", mode) as file:
            file.write(half)
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail()
    left = files.open("x/t", mode)
    left.write(half)
    del left
    assert not files.exists("x/t")


def test_text_is_stored_in_its_encoding(files: EngineFileSystem) -> None:
    with files.open("x/t", "w", encoding="latin-1", newline="\r\n") as file:
        file.write("für\n")
    assert files.cat_file("x/t") == b"f\xfcr\r\n"
    with files.open("x/t", encoding="latin-1", mode="r") as file:
        assert file.read() == "für\n"
    with pytest.raises(NotSupported, match="compresses"):  # it would not be stored at all
        files.open("x/t", "wb", compression="gzip")


def test_a_file_that_was_not_removed_is_told(files: EngineFileSystem, access: S3Access) -> None:
    files.pipe_file("x/part-1", b"of before")
    refused = b"<DeleteResult><Error><Key>in/x/part-1</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    with gateway(str(access.endpoint_url)) as between:
        there = EngineFileSystem(access=dataclasses.replace(access, endpoint_url=between.endpoint_url), name="x")
        between.answers.append(Canned(200, refused))
        with pytest.raises(PermissionDenied, match=r"'in/x/part-1' .* was not deleted"):
            there.rm_file("x/part-1")


def test_large_files_travel_in_parts(files: EngineFileSystem) -> None:
    payload = os.urandom(transfer.SMALL + 3)
    files.pipe_file("x/t", payload)
    assert files.cat_file("x/t") == payload


def test_it_travels_to_other_processes_and_survives_a_fork(files: EngineFileSystem) -> None:
    files.pipe_file("x/t", b"there")
    assert pickle.loads(pickle.dumps(files)).cat_file("x/t") == b"there"
    child = os.fork()
    if child == 0:
        os._exit(0 if files.cat_file("x/t") == b"there" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fsspec.filesystem("statisfactory", **files.storage_options).cat_file("x/t") == b"there"


def test_no_text_of_it_shows_a_secret(files: EngineFileSystem, access: S3Access) -> None:
    for shown in (repr(access), repr(files), repr(access.credentials()), repr(files.storage_options)):
        assert "secret-of-the-tests" not in shown


def test_a_wrong_key_is_told(access: S3Access) -> None:
    wrong = dataclasses.replace(access, secret_access_key=Hidden("wrong-secret"), session_token=None)
    with pytest.raises(PermissionDenied) as error:
        EngineFileSystem(wrong, "x").cat_file("x")
    assert "wrong-secret" not in str(error.value)


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(files: EngineFileSystem) -> None:
    files.pipe_file("x/t", b"one" * 100_000)
    with files.open("x/t", "rb") as file:
        file.read(3)
        files.pipe_file("x/t", b"two" * 100_000)
        file.seek(200_000)
        with pytest.raises(IntegrityError, match="replaced while it was read"):
            file.read(3)


def test_what_was_replaced_since_it_was_first_seen_is_told(files: EngineFileSystem, access: S3Access) -> None:
    files.pipe_file("x/t", b"one")
    assert files.exists("x/t")
    EngineFileSystem(access=access, name="x").pipe_file("x/t", b"another")
    with pytest.raises(IntegrityError, match="replaced since it was loaded"):
        files.isfile("x/t")
    files.pipe_file("x/t", b"its own")
    assert files.cat_file("x/t") == b"its own"


def test_an_answer_that_breaks_off_is_asked_for_once_more(files: EngineFileSystem, access: S3Access) -> None:
    files.pipe_file("x/t", b"0123456789")
    etag = files.info("x/t")["ETag"]
    head = Canned(200, headers={"ETag": etag, "Content-Length": "10"})
    headers = {"ETag": etag, "Content-Length": "10", "Content-Range": "bytes 0-9/10"}
    assert access.endpoint_url
    with gateway(access.endpoint_url) as between:
        through = EngineFileSystem(dataclasses.replace(access, endpoint_url=between.endpoint_url), "x")
        between.answers.extend([head, Canned(206, b"01234", headers)])
        assert through.cat_file("x/t") == b"0123456789"
        between.answers.extend([head, *[Canned(206, b"01234", headers)] * filesystem._ATTEMPTS])
        with pytest.raises((IntegrityError, BackendUnreachable)):
            through.cat_file("x/t")
        short = {"ETag": etag, "Content-Range": "bytes 0-4/10"}
        between.answers.extend([head, *[Canned(206, b"01234", short)] * filesystem._ATTEMPTS])
        with pytest.raises(IntegrityError, match="another range"):
            through.cat_file("x/t")


def test_reads_in_order_are_fetched_ahead_and_others_are_not() -> None:
    size, asked = 100 << 20, list[tuple[int, int]]()

    def fetch(start: int, end: int) -> bytes:
        asked.append((start, end))
        return bytes(end - start)

    jumping: Any = InOrder(0, fetch, size)
    for start in (size - 8, 5_000_000, 40_000_000, 1_000_000):
        assert len(jumping._fetch(start, start + 8)) == 8
    assert sum(end - start for start, end in asked) == 32
    asked.clear()
    reading: Any = InOrder(0, fetch, size)
    for start in range(0, 32 << 20, 1 << 16):
        assert len(reading._fetch(start, start + (1 << 16))) == 1 << 16
    assert len(asked) < 16
    ends = [reading._fetch(5, 5), reading._fetch(None, 4), reading._fetch(size - 2, None)]
    assert [len(each) for each in ends] == [0, 4, 2]


def test_a_missing_bucket_is_made_before_an_engine_writes_unless_it_must_not_be(moto_server: S3Server) -> None:
    backend = S3Backend(Session(moto_server.credentials))
    where = parse("s3://made-for-an-engine/x")
    made = backend.engine_access(fragment=where, saving="replace", create_bucket=False)
    assert isinstance(made, S3Access)
    with pytest.raises(FileNotFoundError):
        backend.engine_access(fragment=where)
    with pytest.raises(FileNotFoundError):
        EngineFileSystem(made, "x").pipe_file("x", b"1")
    backend.engine_access(fragment=where, saving="replace")
    EngineFileSystem(made, "x").pipe_file("x", b"1")
    assert backend.get(fragment=where) == b"1"
    refused = dataclasses.replace(made, access_key_id=None)
    assert refused.credentials()["anon"] is True


def test_a_bucket_that_may_not_be_looked_at_is_not_made(seaweed: S3Server, bucket: str) -> None:
    wrong = S3Backend(Session({**seaweed.credentials, "aws_secret_access_key": "wrong-secret"}))
    with pytest.raises(PermissionDenied):
        wrong.engine_access(fragment=parse(f"s3://{bucket}/x"), saving="add")
