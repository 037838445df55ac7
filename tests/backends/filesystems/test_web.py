"""Pages of the web are read as they are written, and nothing of their secrets is told."""

from __future__ import annotations

import gc
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import node, pipeline

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend, FsspecBackend
from kedro_statisfactory.backends.filesystems import connection
from kedro_statisfactory.errors import (
    BackendUnreachable,
    IntegrityError,
    InvalidCredentials,
    NotSupported,
    ObjectNotFound,
    PermissionDenied,
    StatisfactoryError,
    TransferError,
    UnknownCredential,
)
from kedro_statisfactory.location import parse
from kedro_statisfactory.plugin.hooks import hooks
from kedro_statisfactory.session import Session
from kedro_statisfactory.testing import ReadOnlyContract
from tests.servers.web import WebServer, web_server

SECRET = "hush-hush"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with web_server(tmp_path_factory.mktemp("web")) as server:
        yield server


@pytest.fixture
def web(server: WebServer) -> WebServer:
    """The server with nothing on it."""
    server.pages.clear()
    server.answers.clear()
    server.asked.clear()
    server.sizes, server.cut = True, False
    return server


@pytest.fixture
def backend(web: WebServer) -> Backend:
    return FsspecBackend(Session({"ssl_ca_cert": str(web.ca_file)}))


class TestHTTPS(ReadOnlyContract):
    @pytest.fixture(autouse=True)
    def _place(self, web: WebServer) -> None:
        self.web = web

    def new_backend(self) -> Backend:
        return FsspecBackend(Session({"ssl_ca_cert": str(self.web.ca_file)}))

    def url(self, name: str) -> str:
        return f"{self.web.url}/{quote(name)}"

    def raw_write(self, url: str, payload: bytes) -> None:
        self.web.pages[url.removeprefix(self.web.url)] = payload

    def test_unsafe_locations_are_refused(self) -> None:
        for url in (f"{self.web.url}/../x", f"{self.web.url}/a\x00b", f"{self.web.url}/", self.web.url):
            with pytest.raises(StatisfactoryError):
                parse(url)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/x.csv?a=b%2Fc&sig=a+b%3D#top", "/x.csv?a=b%2Fc&sig=a+b%3D"),
        ("/x.csv?from=https://other/y", "/x.csv?from=https://other/y"),
        ("/für dich/100%.csv", "/f%C3%BCr%20dich/100%25.csv"),
        ("/api//days/", "/api//days/"),
        ("?all=1", "/?all=1"),
        ("/?all=1", "/?all=1"),
    ],
)
def test_a_url_reaches_the_server_as_written(web: WebServer, backend: Backend, written: str, sent: str) -> None:
    web.pages[sent] = b"there"
    assert backend.get(fragment=parse(web.url + written)) == b"there"
    assert [path for _, path, _ in web.asked] == [sent]


def test_a_format_reads_a_page_by_the_name_in_its_path(web: WebServer) -> None:
    web.pages[f"/days/monday.csv?sig={SECRET}"] = b"a,b\n1,2\n"
    entry = ArtifactDataset(
        filepath=f"{web.url}/days/monday.csv?sig={SECRET}",
        dataset="pandas.CSVDataset",
        credentials={"ssl_ca_cert": str(web.ca_file)},
    )
    assert entry.load().to_dict("list") == {"a": [1], "b": [2]}
    assert len(web.asked) == 1
    assert pickle.loads(pickle.dumps(entry)).exists()
    assert SECRET not in repr(entry) + str(entry._describe()) + str(entry._filepath)


def test_the_bytes_are_those_that_are_stored(web: WebServer, backend: Backend, tmp_path: Path) -> None:
    """A server would compress them, and a client that decompresses could not tell that from a file of that kind."""
    web.pages["/x.csv"] = b"text" * 1000
    backend.download(target=tmp_path / "x", fragment=parse(f"{web.url}/x.csv"))
    assert (tmp_path / "x").read_bytes() == web.pages["/x.csv"]
    assert web.asked[0][2]["Accept-Encoding"] == "identity"


def test_a_page_of_unknown_length_has_one(web: WebServer, backend: Backend) -> None:
    web.sizes, web.pages["/x"] = False, b"12345"
    assert backend.stat(fragment=parse(f"{web.url}/x")).size == 5


def test_a_redirect_keeps_its_signature(web: WebServer, backend: Backend) -> None:
    web.answers["/x"] = (302, {"Location": f"{web.url}/y?sig=a%2Fb"})
    web.pages["/y?sig=a%2Fb"] = b"there"
    assert backend.get(fragment=parse(f"{web.url}/x")) == b"there"


@pytest.mark.parametrize(
    ("credentials", "sent"),
    [
        ({"username": "me", "password": SECRET}, "Basic bWU6aHVzaC1odXNo"),
        ({"headers": {"Authorization": f"Bearer {SECRET}"}}, f"Bearer {SECRET}"),
        ({"client_kwargs": {"headers": {"Authorization": f"Bearer {SECRET}"}, "timeout": 20}}, f"Bearer {SECRET}"),
    ],
)
def test_who_has_a_key_says_so(web: WebServer, credentials: dict[str, Any], sent: str) -> None:
    web.pages["/x"] = b"there"
    backend = FsspecBackend(Session({**credentials, "ssl_ca_cert": str(web.ca_file)}))
    assert backend.get(fragment=parse(f"{web.url}/x")) == b"there"
    assert web.asked[0][2]["Authorization"] == sent


def test_certificates_are_checked_by_those_that_the_environment_names(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.pages["/x"] = b"there"
    where = parse(f"{web.url}/x")
    with pytest.raises(BackendUnreachable, match="certificate"):
        FsspecBackend(Session({"headers": {"X-Case": "1"}})).get(fragment=where)
    monkeypatch.setenv("SSL_CERT_FILE", str(web.ca_file))
    assert FsspecBackend(Session({"headers": {"X-Case": "2"}})).get(fragment=where) == b"there"
    monkeypatch.delenv("SSL_CERT_FILE")
    assert FsspecBackend(Session({"verify_ssl": False})).get(fragment=where) == b"there"
    with pytest.raises(InvalidCredentials, match=r"E0403.*/no/such/file.*ssl_ca_cert.*cannot be read"):
        FsspecBackend(Session({"ssl_ca_cert": "/no/such/file"})).get(fragment=where)


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, PermissionDenied, "401 Unauthorized"),
        (403, PermissionDenied, "403 Forbidden"),
        (500, TransferError, "500 Internal Server Error"),
        (503, TransferError, "503 Service Unavailable"),
    ],
)
def test_what_fails_is_not_taken_for_missing_and_shows_no_signature(
    web: WebServer, backend: Backend, tmp_path: Path, status: int, kind: type[Exception], says: str
) -> None:
    web.answers[f"/x?sig={SECRET}"] = (status, {})
    where = parse(f"{web.url}/x?sig={SECRET}")
    verbs: list[Callable[[], Any]] = [
        lambda: backend.get(fragment=where),
        lambda: backend.exists(fragment=where),
        lambda: backend.stat(fragment=where),
        lambda: backend.download(target=tmp_path / "x", fragment=where),
    ]
    for verb in verbs:
        with pytest.raises(kind, match=f"/x.<redacted>.*{says}") as raised:
            verb()
        assert SECRET not in "".join(traceback.format_exception(raised.value)).replace(f'"{SECRET}"', "")


def test_what_is_gone_is_not_there(web: WebServer, backend: Backend) -> None:
    web.answers["/x"] = (410, {})
    with pytest.raises(ObjectNotFound):
        backend.get(fragment=parse(f"{web.url}/x"))


# Python 3.10's asyncio does not close the TLS layer of a connection that the server has cut off.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
def test_an_answer_that_ends_too_early_is_an_error(web: WebServer, backend: Backend, tmp_path: Path) -> None:
    web.cut, web.pages["/x"] = True, b"text" * 1000
    with pytest.raises(IntegrityError):
        backend.get(fragment=parse(f"{web.url}/x"))
    with pytest.raises(IntegrityError):
        backend.download(target=tmp_path / "x", fragment=parse(f"{web.url}/x"))
    assert not (tmp_path / "x").exists()
    gc.collect()  # here, where the warning is expected


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with web_server(tmp_path) as server:
        pass
    with pytest.raises(BackendUnreachable, match="does not answer"):
        FsspecBackend(Session()).exists(fragment=parse(f"{server.url}/x"))


def test_credentials_that_a_web_page_does_not_know_are_told(web: WebServer) -> None:
    backend = FsspecBackend(Session({"tokn": SECRET, "ssl_ca_cert": str(web.ca_file)}))
    with pytest.raises(UnknownCredential, match="tokn") as refused:
        backend.get(fragment=parse(f"{web.url}/x"))
    assert SECRET not in str(refused.value)


def test_a_web_page_lists_nothing_and_has_no_versions(web: WebServer, backend: Backend) -> None:
    with pytest.raises(NotSupported, match="list"):
        backend.list(fragment=parse(f"{web.url}/x"))
    days = ArtifactDataset(
        filepath=f"{web.url}/days?sig={SECRET}",
        dataset={"type": "partitions.PartitionedDataset", "dataset": "text.TextDataset"},
        credentials={"ssl_ca_cert": str(web.ca_file)},
    )
    with pytest.raises(
        DatasetError, match=r"E0203.*/days.<redacted>' cannot be a collection.*each page an entry"
    ) as told:
        days.load()
    assert SECRET not in str(told.value)


def test_a_page_that_a_node_would_write_is_told_before_anything_runs() -> None:
    config = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": "https://example.org/x?sig=hush-hush"}
    catalog = DataCatalog.from_config({"page": config})
    manager = _create_hook_manager()
    manager.register(hooks)

    def begin(**of_node: Any) -> None:
        nodes = pipeline([node(lambda *_: b"x", **of_node)])
        manager.hook.before_pipeline_run(run_params={}, pipeline=nodes, catalog=catalog)

    begin(inputs="page", outputs="memory")
    with pytest.raises(DatasetError, match=r"entry 'page'.*E0203.*https:// is read only") as refused:
        begin(inputs=None, outputs="page")
    assert SECRET not in str(refused.value)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_makes_its_own_connection_and_leaves_that_of_its_parent_alone(web: WebServer, backend: Backend) -> None:
    web.pages["/x"] = b"there"
    where = parse(f"{web.url}/x")
    assert backend.get(fragment=where) == b"there"
    gc.collect()
    of_parent = len(connection._made)
    child = os.fork()
    if child == 0:
        found = b""
        try:
            gc.collect()  # nothing of the parent may be closed in the child
            found = backend.get(fragment=where) + backend.get(fragment=where)
        finally:
            os._exit(0 if found == b"therethere" and len(connection._made) == of_parent + 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert backend.get(fragment=where) == b"there"
