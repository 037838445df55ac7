"""Uploads past the lakeFS server whose beginning or end has no good answer leave no parts, or it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import TransferError
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Gateway, gateway
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


def uploads_left(seaweed: S3Server, repository: str) -> list[tuple[str, int]]:
    """Unfinished uploads to the store behind lakeFS, with the count of their parts."""
    client = s3_client(Session(seaweed.credentials))
    found = client.list_multipart_uploads(Bucket="lakefs-blocks", Prefix=f"{repository}/").get("Uploads", [])
    return [
        (
            each["Key"],
            len(client.list_parts(Bucket="lakefs-blocks", Key=each["Key"], UploadId=each["UploadId"]).get("Parts", ())),
        )
        for each in found
    ]


@pytest.fixture
def before_lakefs(lakefs_s3: LakeFSServer) -> Iterator[Gateway]:
    with gateway(lakefs_s3.endpoint_url) as state:
        yield state


@pytest.fixture
def through(lakefs_s3: LakeFSServer, before_lakefs: Gateway) -> LakeFSBackend:
    """The server through the gateway; it was asked already what it offers."""
    backend = LakeFSBackend(Session({**lakefs_s3.credentials, "endpoint": before_lakefs.endpoint_url}))
    assert backend._store.use.writes
    before_lakefs.seen.clear()
    return backend


BUG = Canned(500, {"message": "a bug"})


def test_an_upload_whose_beginning_has_no_answer_is_begun_once_and_goes_through_the_server(
    lakefs_s3: LakeFSServer,
    seaweed: S3Server,
    large_file: Path,
    tmp_path: Path,
    through: LakeFSBackend,
    before_lakefs: Gateway,
) -> None:
    repository = lakefs_s3.new_repository()
    before_lakefs.answers.append(Canned(502, done=True))
    through.upload(source=large_file, fragment=parse(f"lakefs://{repository}/large"))
    assert [urlsplit(seen.target).path.rpartition("/")[2] for seen in before_lakefs.seen] == ["pmpu", "stat", "objects"]
    assert [parts for _, parts in uploads_left(seaweed, repository)] == [0], "nobody can find it, but it holds no bytes"
    through.download(target=tmp_path / "large", fragment=parse(f"lakefs://{repository}/large"))
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()
    assert through._store.use.writes, "the next one is tried again"


@pytest.mark.parametrize(
    "answers",
    [[Canned(502, done=True)], [Canned(502)] * 2, [BUG], [BUG, Canned(502, done=True), BUG]],
    ids=["lost", "not done", "refused", "all of that"],
)
def test_an_abort_that_fails_is_tried_again_and_leaves_no_parts(
    lakefs_s3: LakeFSServer,
    seaweed: S3Server,
    large_file: Path,
    through: LakeFSBackend,
    before_lakefs: Gateway,
    answers: list[Canned],
    caplog: pytest.LogCaptureFixture,
) -> None:
    repository = lakefs_s3.new_repository()
    where = parse(f"lakefs://{repository}/large")
    through.put(payload=b"old", fragment=where)
    before_lakefs.answers.extend([None, BUG, None, *answers])  # the completion fails, and the old object is looked at
    with pytest.raises(TransferError, match="a bug"):
        through.upload(source=large_file, fragment=where)
    assert not before_lakefs.answers
    assert uploads_left(seaweed, repository) == []
    assert through.get(fragment=where) == b"old"
    assert "unfinished" not in caplog.text


def test_an_upload_that_is_gone_needs_no_end(
    large_file: Path,
    through: LakeFSBackend,
    before_lakefs: Gateway,
    lakefs_s3: LakeFSServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone = Canned(404, {"message": "no such upload"})
    before_lakefs.answers.extend([None, BUG, None, gone])
    with pytest.raises(TransferError, match="a bug"):
        through.upload(source=large_file, fragment=parse(f"lakefs://{lakefs_s3.new_repository()}/large"))
    assert [seen.method for seen in before_lakefs.seen] == ["POST", "PUT", "GET", "DELETE"]
    assert "unfinished" not in caplog.text


def test_parts_that_cannot_be_removed_are_told(
    lakefs_s3: LakeFSServer,
    seaweed: S3Server,
    large_file: Path,
    through: LakeFSBackend,
    before_lakefs: Gateway,
    caplog: pytest.LogCaptureFixture,
) -> None:
    repository = lakefs_s3.new_repository()
    before_lakefs.answers.extend([None, *[BUG] * 50])
    with pytest.raises(TransferError, match="a bug"):
        through.upload(source=large_file, fragment=parse(f"lakefs://{repository}/large"))
    ((key, parts),) = uploads_left(seaweed, repository)
    assert parts > 1
    assert f"unfinished upload to s3://lakefs-blocks/{key} could not be ended" in caplog.text
    assert len(before_lakefs.seen) < 10


@pytest.mark.parametrize(
    "answer",
    [
        Canned(502, done=True),
        Canned(500, {"message": "no such upload"}, done=True),
        Canned(
            200,
            {"path": "large", "size_bytes": 1, "checksum": "0", "mtime": 1, "physical_address": "a"},
            done=True,
        ),
    ],
    ids=["lost", "an error of a second try", "of another size"],
)
def test_an_upload_whose_completion_has_no_good_answer_is_there_and_leaves_nothing(
    lakefs_s3: LakeFSServer,
    seaweed: S3Server,
    large_file: Path,
    through: LakeFSBackend,
    before_lakefs: Gateway,
    answer: Canned,
) -> None:
    repository = lakefs_s3.new_repository()
    before_lakefs.answers.extend([None, answer])
    through.upload(source=large_file, fragment=parse(f"lakefs://{repository}/large"))
    assert uploads_left(seaweed, repository) == []
    assert through.get(fragment=parse(f"lakefs://{repository}/large")) == large_file.read_bytes()
