"""Fixtures that all tests share: real servers, started once for all workers and stopped by their own process id."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory import project, session
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head
from tests.servers.lakefs import LakeFSServer, NoServer
from tests.servers.s3 import S3Server
from tests.servers.shared import LAKEFS_LOCAL, LAKEFS_S3, MOTO, SEAWEEDFS, Address, Servers, ask, offered

_servers = pytest.StashKey[Servers]()
_offered = pytest.StashKey[contextlib.ExitStack]()
_address = pytest.StashKey[Address]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the tests of histories."""
    parser.addoption("--histories", type=int, default=16, help="How many histories of branches and runs are tried.")
    parser.addoption("--histories-seed", type=int, default=0, help="Try the histories of an earlier run again.")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the servers where pytest was started, for its workers too; let all workers try histories of one seed."""
    if not hasattr(config, "workerinput"):
        config.stash[_servers] = Servers()
        config.option.histories_seed = config.option.histories_seed or random.SystemRandom().randrange(1 << 32)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers."""
    if _offered in config.stash:
        config.stash[_offered].close()
    if _servers in config.stash:
        config.stash[_servers].close()


def pytest_report_header(config: pytest.Config) -> str:
    """Say how the histories of this run can be had again."""
    count, seed = config.getoption("--histories"), config.getoption("--histories-seed")
    return f"histories: {count} from the seed {seed} (--histories-seed={seed} repeats them)"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where to ask for servers."""
    stash = node.config.stash
    if _offered not in stash:
        stash[_offered] = contextlib.ExitStack()
        stash[_address] = stash[_offered].enter_context(offered(stash[_servers]))
    node.workerinput["servers"] = stash[_address]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what needs lakeFS come last: on a new machine the server is built meanwhile."""
    items.sort(key=lambda item: _needs_lakefs(item))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to build the lakeFS server, where there is none yet, as soon as it is known that it will be needed."""
    if any(map(_needs_lakefs, session.items)):
        threading.Thread(target=_prepare, args=(session.config,), daemon=True).start()


def _needs_lakefs(item: pytest.Item) -> bool:
    return any("lakefs" in name for name in getattr(item, "fixturenames", ())) or "lakefs" in item.name


def _prepare(config: pytest.Config) -> None:
    with contextlib.suppress(Exception):  # told to the test that needs it
        _server(config, LAKEFS_LOCAL)


def _server(config: pytest.Config, name: str) -> Any:
    """A server by its name, as the process that owns it gives it."""
    if hasattr(config, "workerinput"):
        return ask(config.workerinput["servers"], name)
    return config.stash[_servers].get(name)


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
def seaweed(pytestconfig: pytest.Config) -> S3Server:
    """A real S3 server."""
    server: S3Server = _server(pytestconfig, SEAWEEDFS)
    return server


@pytest.fixture(scope="session")
def moto_server(pytestconfig: pytest.Config) -> S3Server:
    """An S3 server that says when a bucket is missing."""
    server: S3Server = _server(pytestconfig, MOTO)
    return server


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
def lakefs_local(pytestconfig: pytest.Config) -> LakeFSServer:
    """A real lakeFS that keeps its objects in a folder: it hands out no signed URLs."""
    return _lakefs(pytestconfig, LAKEFS_LOCAL)


@pytest.fixture(scope="session")
def lakefs_s3(pytestconfig: pytest.Config) -> LakeFSServer:
    """A real lakeFS that keeps its objects in SeaweedFS: it hands out signed URLs."""
    return _lakefs(pytestconfig, LAKEFS_S3)


def _lakefs(config: pytest.Config, name: str) -> LakeFSServer:
    try:
        server: LakeFSServer = _server(config, name)
    except NoServer as error:
        pytest.skip(f"NOT TESTED: {error}")
    return server


@pytest.fixture(params=["local", "s3"])
def lakefs_server(request: pytest.FixtureRequest) -> LakeFSServer:
    """Each of the two lakeFS servers in turn."""
    server: LakeFSServer = request.getfixturevalue(f"lakefs_{request.param}")
    return server


@pytest.fixture
def repository(lakefs_server: LakeFSServer) -> str:
    """A repository of its own for each test, with the branch ``main``."""
    return lakefs_server.new_repository()
