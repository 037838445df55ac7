"""Fixtures that all tests share: real servers, one set for all processes of a run."""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import signal
import sys
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory import Backend, project, session
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head
from tests.servers.lakefs import LakeFSServer, NoServer
from tests.servers.s3 import S3Server
from tests.servers.shared import LAKEFS_BINARY, Elsewhere, Servers

_SERVERS = pytest.StashKey[Servers | Elsewhere]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the tests of histories."""
    parser.addoption("--histories", type=int, default=20, help="How many histories of branches and runs are tried.")
    parser.addoption("--changes", type=int, default=30, help="How many edits are tried, each with a run of its own.")
    parser.addoption("--histories-seed", type=int, default=0, help="Try the histories of an earlier run again.")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare this process, be it the only one, the one that shares out the tests, or a worker of it."""
    _clean_environment(config)
    os.register_at_fork(before=_look_at_the_stack)
    told = getattr(config, "workerinput", {})
    config.option.histories_seed = (
        told.get("histories_seed") or config.option.histories_seed or random.SystemRandom().randrange(1, 1 << 32)
    )
    servers = Elsewhere(told["servers"]) if told else Servers()
    config.stash[_SERVERS] = servers
    config.add_cleanup(servers.close)


def _clean_environment(config: pytest.Config) -> None:
    """A developer's own accounts must not decide, or suffer from, a test."""
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    for name in [name for name in os.environ if name.startswith(("AWS_", "LAKECTL_", "STATISFACTORY_"))]:
        patch.delenv(name)
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("LAKECTL_CONFIG_FILE", os.devnull)
    patch.setenv("DO_NOT_TRACK", "1")
    patch.setenv("STATISFACTORY_CACHE", "off")


def _look_at_the_stack() -> None:
    """Spare each new process a third of a second: coverage.py looks at the stack there, and the first look is slow."""
    if "coverage" in sys.modules and sys.modules["coverage"].Coverage.current() is not None:
        inspect.stack()


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to try the same again."""
    return f"histories: {config.option.histories} (--histories-seed={config.option.histories_seed} repeats them)"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the servers are, and the seed that all share."""
    # This process runs no test; it ends the servers also when it is asked to end by a signal.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    node.workerinput["servers"] = node.config.stash[_SERVERS].listen()
    node.workerinput["histories_seed"] = node.config.option.histories_seed


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Two workers for each processor, because the tests wait for servers and disks half of the time."""
    return None if config.option.numprocesses != "auto" else 2 * (os.cpu_count() or 1)


def _needs_lakefs(item: pytest.Item) -> bool:
    return "lakefs" in item.nodeid or any("lakefs" in name for name in getattr(item, "fixturenames", ()))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests without lakeFS come before the others, because it may have to be built; of both, those marked so."""
    items.sort(key=lambda item: (_needs_lakefs(item), item.get_closest_marker("first") is None))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have lakeFS built, if it must be, while tests run that do not need it."""
    if any(map(_needs_lakefs, session.items)) and not session.config.option.collectonly:
        session.config.stash[_SERVERS].begin(LAKEFS_BINARY)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What it takes to build lakeFS is no test's time."""
    if _needs_lakefs(item):
        with contextlib.suppress(NoServer):  # the fixtures say so
            item.config.stash[_SERVERS].get(LAKEFS_BINARY)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: what it needs has to be there."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which is an error in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers | Elsewhere:
    """The servers that all processes of this run share."""
    return pytestconfig.stash[_SERVERS]


@pytest.fixture(scope="session")
def seaweed(servers: Servers | Elsewhere) -> S3Server:
    """A real S3 server."""
    server: S3Server = servers.get("seaweed")
    return server


@pytest.fixture(scope="session")
def moto_server(servers: Servers | Elsewhere) -> S3Server:
    """An S3 server that says when a bucket is missing."""
    server: S3Server = servers.get("moto_server")
    return server


@pytest.fixture
def bucket(seaweed: S3Server) -> Iterator[str]:
    """A bucket of its own for each test; it goes afterwards, because SeaweedFS keeps volumes ready for each."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    client = s3_client(session.Session(seaweed.credentials))
    client.create_bucket(Bucket=name)
    # The first object of a bucket may have to be sent again: SeaweedFS makes volumes for it, and says 500 meanwhile.
    client.put_object(Bucket=name, Key="first", Body=b"x")
    client.delete_object(Bucket=name, Key="first")
    yield name
    for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=found["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture(autouse=True)
def search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kedro adds the sources of each project that it starts, and where modules are found counts for later tests."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers from a file that it writes is code that later tests would reach and could not know."""
    monkeypatch.setattr(Backend, "_backends", {**Backend._backends})


@pytest.fixture(autouse=True)
def on_main(tmp_path: Path) -> Iterator[Project]:
    """The git branch of whoever runs the tests must not decide where their data goes."""
    on_main = Project(tmp_path, head=Head("main", None, "a test"))
    project.announce(lambda: on_main)
    yield on_main
    project.announce(None)


@pytest.fixture(scope="session")
def lakefs_local(servers: Servers | Elsewhere) -> LakeFSServer:
    """A real lakeFS that keeps its objects in a folder: it hands out no signed URLs."""
    return _lakefs(servers, "lakefs_local")


@pytest.fixture(scope="session")
def lakefs_s3(servers: Servers | Elsewhere) -> LakeFSServer:
    """A real lakeFS that keeps its objects in SeaweedFS: it hands out signed URLs."""
    return _lakefs(servers, "lakefs_s3")


def _lakefs(servers: Servers | Elsewhere, name: str) -> LakeFSServer:
    try:
        server: LakeFSServer = servers.get(name)
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
