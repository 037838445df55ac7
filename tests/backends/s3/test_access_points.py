"""The ARN of an access point stands for a bucket: AWS alone has them, so what is sent is caught before it goes out."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from kedro.io import DataCatalog, DatasetError

from kedro_statisfactory.backends import S3Backend
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import BucketNotFound, InvalidURL, PreconditionFailed
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session

pytestmark = pytest.mark.once

CREDENTIALS = {"aws_access_key_id": "key", "aws_secret_access_key": "a-secret", "region_name": "eu-west-1"}
ACCOUNT = "eu-west-1:123456789012"
ACCESS_POINTS = {
    f"arn:aws:s3:{ACCOUNT}:accesspoint/name": "name-123456789012.s3-accesspoint.eu-west-1.amazonaws.com",
    f"arn:aws:s3:{ACCOUNT}:accesspoint:name": "name-123456789012.s3-accesspoint.eu-west-1.amazonaws.com",
    f"arn:aws-cn:s3:{ACCOUNT.replace('eu-west', 'cn-north')}:accesspoint/name": "",
    f"arn:aws:s3-outposts:{ACCOUNT}:outpost/op-01234567890123456/accesspoint/name": (
        "name-123456789012.op-01234567890123456.s3-outposts.eu-west-1.amazonaws.com"
    ),
    f"arn:aws:s3-object-lambda:{ACCOUNT}:accesspoint/name": (
        "name-123456789012.s3-object-lambda.eu-west-1.amazonaws.com"
    ),
}
EMPTY = {"ETag": '"d41d8cd98f00b204e9800998ecf8427e"', "Content-Length": "0"}
LISTING = b"<R><Name>x</Name><IsTruncated>false</IsTruncated></R>"


class Body(io.BytesIO):
    """What urllib3 would have."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


class Service:
    """AWS, as far as it matters here; it keeps what it is sent."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.answer: tuple[int, bytes] = (200, b"")

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        self.urls.append(f"{request.method} {request.url}")
        status, body = self.answer
        if "list-type" in request.url:
            body = LISTING
        elif "?delete" in request.url:
            body = b"<R><Deleted><Key>x</Key></Deleted></R>"
        raw: Any = Body(body)
        headers: Any = EMPTY if status == 200 else {}
        return AWSResponse(request.url, status, headers, raw)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    events: Any = s3_client(Session(CREDENTIALS)).meta.events
    events.register("before-send.s3", service)
    yield service
    events.unregister("before-send.s3", service)


@pytest.mark.parametrize(("arn", "host"), [(arn, host) for arn, host in ACCESS_POINTS.items() if host])
def test_every_verb_goes_to_the_access_point(service: Service, arn: str, host: str) -> None:
    backend, where = S3Backend(Session(CREDENTIALS)), parse(f"s3://{arn}/a folder/x.csv")
    backend.put(payload=b"", fragment=where)
    backend.get(fragment=where)
    backend.exists(fragment=where)
    with pytest.raises(PreconditionFailed):  # whatever is asked for is there
        backend.create(source=b"", fragment=where)
    list(backend.list(fragment=where))
    backend.delete(fragment=where)
    key = f"https://{host}/a%20folder/x.csv"
    assert service.urls[:4] == [f"PUT {key}", f"GET {key}", f"HEAD {key}", f"HEAD {key}"]
    assert all(url.partition(" ")[2].startswith(f"https://{host}/?") for url in service.urls[4:])
    assert "prefix=a%20folder%2Fx.csv%2F" in service.urls[4]


@pytest.mark.parametrize("arn", ACCESS_POINTS)
def test_a_catalog_leaves_the_url_whole(service: Service, arn: str) -> None:
    config = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": f"s3://{arn}/x", "credentials": CREDENTIALS}
    catalog = DataCatalog.from_config({"x": {**config, "versioned": True}}, save_version="v1")
    entry: Any = catalog.get("x")
    assert entry.filepath == f"s3://{arn}/x"
    if ACCESS_POINTS[arn]:
        with pytest.raises(DatasetError, match="is there already"):  # whatever is asked for is there
            catalog.save("x", b"")
        assert service.urls == [f"HEAD https://{ACCESS_POINTS[arn]}/x/v1/x"]


def test_no_bucket_is_created_for_an_access_point(service: Service) -> None:
    where = parse(f"s3://{next(iter(ACCESS_POINTS))}/x")
    for code in ("NoSuchBucket", "NoSuchAccessPoint"):
        service.answer = (404, f"<Error><Code>{code}</Code></Error>".encode())
        with pytest.raises(BucketNotFound):
            S3Backend(Session(CREDENTIALS)).put(payload=b"", fragment=where)
    assert len(service.urls) == 2


@pytest.mark.parametrize(
    "rest", ["accesspoint/name", "accesspoint", "accesspoint:name", "bucket/x", "outpost/op-1/accesspoint/name"]
)
def test_an_arn_without_access_point_or_key_is_refused(rest: str) -> None:
    with pytest.raises(InvalidURL, match=r"write s3://arn:aws:s3:region:account:accesspoint/name/key|names no object"):
        S3Backend(Session(CREDENTIALS)).check_location(parse(f"s3://arn:aws:s3:{ACCOUNT}:{rest}"))
