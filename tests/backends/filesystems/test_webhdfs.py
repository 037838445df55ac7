"""HDFS by HTTP: a save that is told to have happened has, and no error is taken for what a file contains."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend, FsspecBackend
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BucketNotFound,
    IntegrityError,
    PermissionDenied,
    TransferError,
    UnknownCredential,
)
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from kedro_statisfactory.testing import BackendContract
from tests.servers.webhdfs import WebHDFSServer, webhdfs_server

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=[False, True], ids=["webhdfs", "httpfs"])
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[WebHDFSServer]:
    with webhdfs_server(tmp_path_factory.mktemp("hdfs"), is_gateway=request.param) as server:
        yield server


@pytest.fixture
def hdfs(running: WebHDFSServer) -> WebHDFSServer:
    running.answers.clear()
    running.says_more_than_it_sends = False
    return running


@pytest.fixture
def backend() -> Backend:
    return FsspecBackend(Session({}))


@pytest.fixture
def place(hdfs: WebHDFSServer) -> str:
    return f"{hdfs.url}/{secrets.token_hex(4)}"


def on_disk(hdfs: WebHDFSServer, url: str) -> Path:
    return hdfs.folder / url.removeprefix(f"{hdfs.url}/")


class TestWebHDFS(BackendContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> Iterator[None]:
        with webhdfs_server(tmp_path) as self.server:
            yield

    def new_backend(self) -> Backend:
        return FsspecBackend(Session({}))

    def url(self, name: str) -> str:
        return f"{self.server.url}/place/{name}"

    def raw_write(self, url: str, payload: bytes) -> None:
        path = on_disk(self.server, url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)

    def raw_read(self, url: str) -> bytes:
        return on_disk(self.server, url).read_bytes()


def test_a_file_that_is_there_is_replaced(hdfs: WebHDFSServer, backend: Backend, place: str, tmp_path: Path) -> None:
    """HDFS answers a rename to where something is with 200 and `false`."""
    for payload in (b"old", b"", b"new"):
        (tmp_path / "source").write_bytes(payload)
        backend.upload(source=tmp_path / "source", fragment=parse(f"{place}/100%41 #?ü"))
        assert on_disk(hdfs, f"{place}/100%41 #?ü").read_bytes() == payload
        assert backend.get(fragment=parse(f"{place}/100%41 #?ü")) == payload
    assert [path.name for path in on_disk(hdfs, place).iterdir()] == ["100%41 #?ü"]


def test_a_folder_in_the_way_swallows_no_file(hdfs: WebHDFSServer, backend: Backend, place: str) -> None:
    backend.put(payload=b"x", fragment=parse(f"{place}/folder/x"))
    with pytest.raises(TransferError, match="folder"):
        backend.put(payload=b"y", fragment=parse(f"{place}/folder"))
    assert sorted(path.name for path in on_disk(hdfs, place).rglob("*")) == ["folder", "x"]


def test_a_file_in_the_way_of_a_folder_is_no_want_of_permission(backend: Backend, place: str) -> None:
    backend.put(payload=b"x", fragment=parse(f"{place}/x"))
    assert not backend.exists(fragment=parse(f"{place}/x/y"))
    with pytest.raises(BucketNotFound, match=r"is not a directory\)\.$"):
        backend.put(payload=b"y", fragment=parse(f"{place}/x/y"))


def test_a_folder_is_deleted_and_a_file_has_its_time(hdfs: WebHDFSServer, backend: Backend, place: str) -> None:
    backend.put(payload=b"x", fragment=parse(f"{place}/tree/sub/x"))
    told = backend.stat(fragment=parse(f"{place}/tree/sub/x")).modified
    assert told is not None
    assert abs((datetime.now(timezone.utc) - told).total_seconds()) < 3600
    backend.delete(fragment=parse(f"{place}/tree"))
    assert list(on_disk(hdfs, place).iterdir()) == []


def test_the_error_of_a_data_node_is_not_taken_for_content(
    hdfs: WebHDFSServer, backend: Backend, place: str, tmp_path: Path
) -> None:
    backend.put(payload=b"x", fragment=parse(f"{place}/x"))
    hdfs.answers["OPEN" if hdfs.is_gateway else "OPEN-DATA"] = (500, "gone")
    for read in (
        lambda: backend.get(fragment=parse(f"{place}/x")),
        lambda: backend.download(target=tmp_path / "x", fragment=parse(f"{place}/x")),
    ):
        with pytest.raises(TransferError, match=r"E0300.*500 Internal Server Error"):
            read()
    assert not (tmp_path / "x").exists()


def test_what_ends_too_early_is_an_error(hdfs: WebHDFSServer, backend: Backend, place: str, tmp_path: Path) -> None:
    backend.put(payload=b"text" * 1000, fragment=parse(f"{place}/x"))
    hdfs.answers.update({} if hdfs.is_gateway else {"GETFILESTATUS": (403, "no second look is needed")})
    hdfs.says_more_than_it_sends = True
    with pytest.raises(IntegrityError):
        backend.get(fragment=parse(f"{place}/x"))
    with pytest.raises(IntegrityError):
        backend.download(target=tmp_path / "x", fragment=parse(f"{place}/x"))
    assert not (tmp_path / "x").exists()


def test_what_answers_is_perhaps_no_hdfs(hdfs: WebHDFSServer, backend: Backend, place: str) -> None:
    """As the port at which Hadoop's own clients ask, which answers 404 to whatever is asked by HTTP."""
    hdfs.answers.update({name: (404, "not here") for name in ("GETFILESTATUS", "OPEN")}, CREATE=(200, "welcome"))
    for verb in (backend.exists, backend.get):
        with pytest.raises(BackendUnreachable, match="is no WebHDFS"):
            verb(fragment=parse(f"{place}/x"))
    with pytest.raises(BackendUnreachable, match="names no data node"):
        backend.put(payload=b"x", fragment=parse(f"{place}/x"))


def test_what_hdfs_refuses_is_told(hdfs: WebHDFSServer, backend: Backend, place: str) -> None:
    with pytest.raises(TransferError, match=r"Invalid path name [^\n]*a:b\.$"):
        backend.get(fragment=parse(f"{place}/a:b"))
    hdfs.answers["GETFILESTATUS"] = (
        403,
        '{"RemoteException": {"exception": "AccessControlException", "message": "no"}}',
    )
    with pytest.raises(PermissionDenied, match=r"refused \(no\)"):
        backend.exists(fragment=parse(f"{place}/x"))


@pytest.mark.parametrize("prefix", ["webhdfs", "ftp", "memory"])
def test_an_argument_that_nobody_would_look_at_is_refused(prefix: str) -> None:
    """fsspec's classes take it, and leave it unused."""
    backend = FsspecBackend(Session({"usr": "hush-hush"}))
    with pytest.raises(UnknownCredential, match="no argument 'usr'") as refused:
        backend.exists(fragment=parse(f"{prefix}://127.0.0.1:9/x"))
    assert "hush-hush" not in str(refused.value)
    FsspecBackend(Session({"use_listings_cache": False})).exists(fragment=parse("memory://127.0.0.1:9/x"))


def test_a_format_lives_there(place: str) -> None:
    entry = ArtifactDataset(filepath=f"{place}/x.json", dataset="json.JSONDataset", credentials={"timeout": 20})
    entry.save({"rows": 1})
    assert entry.load() == {"rows": 1}
