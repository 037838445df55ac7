"""Fixtures that all tests share: real servers, started once and stopped by their own process id."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from kedro_statisfactory import project, session
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head
from tests.servers.lakefs import LakeFSServer, NoServer, lakefs
from tests.servers.s3 import S3Server, moto, seaweedfs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the tests of histories."""
    parser.addoption("--histories", type=int, default=200, help="How many histories of branches and runs are tried.")
    parser.addoption("--histories-seed", type=int, default=0, help="Try the histories of an earlier run again.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: what it needs has to be there."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which is an error in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """A developer's own accounts must not decide, or suffer from, a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "LAKECTL_", "STATISFACTORY_"))]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("LAKECTL_CONFIG_FILE", os.devnull)
        patch.setenv("DO_NOT_TRACK", "1")
        yield


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that says when a bucket is missing."""
    with moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def bucket(seaweed: S3Server) -> Iterator[str]:
    """A bucket of its own for each test; it goes afterwards, because SeaweedFS keeps volumes ready for each."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    client = s3_client(session.Session(seaweed.credentials))
    client.create_bucket(Bucket=name)
    yield name
    for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=found["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture(autouse=True)
def on_main(tmp_path: Path) -> Iterator[Project]:
    """The git branch of whoever runs the tests must not decide where their data goes."""
    on_main = Project(tmp_path, head=Head("main", None, "a test"))
    project.announce(lambda: on_main)
    yield on_main
    project.announce(None)


@pytest.fixture(scope="session")
def lakefs_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFSServer]:
    """A real lakeFS that keeps its objects in a folder: it hands out no signed URLs."""
    try:
        with lakefs(tmp_path_factory.mktemp("lakefs")) as server:
            yield server
    except NoServer as error:
        pytest.skip(f"NOT TESTED: {error}")


@pytest.fixture(scope="session")
def lakefs_s3(tmp_path_factory: pytest.TempPathFactory, seaweed: S3Server) -> Iterator[LakeFSServer]:
    """A real lakeFS that keeps its objects in SeaweedFS: it hands out signed URLs."""
    try:
        with lakefs(tmp_path_factory.mktemp("lakefs"), seaweed) as server:
            yield server
    except NoServer as error:
        pytest.skip(f"NOT TESTED: {error}")


@pytest.fixture(params=["local", "s3"])
def lakefs_server(request: pytest.FixtureRequest) -> LakeFSServer:
    """Each of the two lakeFS servers in turn."""
    server: LakeFSServer = request.getfixturevalue(f"lakefs_{request.param}")
    return server


@pytest.fixture
def repository(lakefs_server: LakeFSServer) -> str:
    """A repository of its own for each test, with the branch ``main``."""
    return lakefs_server.new_repository()
