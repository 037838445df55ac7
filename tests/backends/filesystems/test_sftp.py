"""Files on an SFTP server keep the promises, too: what is written appears whole."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend, FsspecBackend
from kedro_statisfactory.errors import (
    BackendUnreachable,
    PermissionDenied,
    TransferError,
    UnknownCredential,
)
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from kedro_statisfactory.testing import BackendContract
from tests.servers.sftp import PASSWORD, USER, SFTPServer, sftp_server


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SFTPServer]:
    with sftp_server(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture
def place(sftp: SFTPServer) -> str:
    """The URL of a folder of its own for each test, which is not there yet."""
    return f"{sftp.url}/{secrets.token_hex(4)}"


@pytest.fixture
def backend(sftp: SFTPServer) -> Backend:
    return FsspecBackend(Session(sftp.credentials))


def on_disk(sftp: SFTPServer, url: str) -> Path:
    return sftp.folder / url.removeprefix(f"{sftp.url}/")


class TestSFTP(BackendContract):
    @pytest.fixture(autouse=True)
    def _place(self, sftp: SFTPServer, place: str) -> None:
        self.server, self.place = sftp, place

    def new_backend(self) -> Backend:
        return FsspecBackend(Session(self.server.credentials))

    def url(self, name: str) -> str:
        return f"{self.place}/{name}"

    def raw_write(self, url: str, payload: bytes) -> None:
        path = on_disk(self.server, url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)

    def raw_read(self, url: str) -> bytes:
        return on_disk(self.server, url).read_bytes()


def test_an_entry_of_any_format_lives_there(sftp: SFTPServer, place: str) -> None:
    config = {
        "type": "kedro_statisfactory.ArtifactDataset",
        "filepath": f"{place}/figures.json",
        "dataset": "json.JSONDataset",
        "credentials": "there",
        "versioned": True,
    }
    for figures in ({"rows": 1}, {"rows": 2}):
        entry = DataCatalog.from_config({"x": config}, credentials={"there": sftp.credentials}).get("x")
        assert entry is not None
        assert entry.exists() is (figures["rows"] == 2)
        entry.save(figures)
        assert entry.load() == figures
    assert len(list(on_disk(sftp, place).rglob("figures.json/*/figures.json"))) == 2
    assert PASSWORD not in repr(entry)


def test_host_and_port_are_among_the_credentials_or_in_the_url(sftp: SFTPServer, place: str) -> None:
    path = place.removeprefix(sftp.url)
    where = {"host": "127.0.0.1", "port": sftp.port, "username": USER}
    entry = ArtifactDataset(filepath=f"sftp://{path}/x", credentials=sftp.credentials, fs_args=where)
    entry.save(b"x")
    assert on_disk(sftp, f"{place}/x").read_bytes() == b"x"


def test_a_save_that_fails_leaves_what_was_there(
    sftp: SFTPServer, backend: Backend, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"new" * 100_000)
    backend.put(payload=b"old", fragment=parse(f"{place}/x"))
    monkeypatch.setattr("fsspec.implementations.sftp.SFTPFileSystem.mv", _broken)
    with pytest.raises(TransferError, match="broken in the middle"):
        backend.upload(source=source, fragment=parse(f"{place}/x"))
    with pytest.raises(TransferError, match="broken in the middle"):
        backend.put(payload=b"new", fragment=parse(f"{place}/y"))
    assert [path.name for path in on_disk(sftp, place).iterdir()] == ["x"]
    assert on_disk(sftp, f"{place}/x").read_bytes() == b"old"


def _broken(*_: Any) -> None:
    raise ValueError("broken in the middle")


def test_where_renames_do_not_replace_the_old_file_goes_first(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with sftp_server(tmp_path, renames_replace=False) as server:
        backend, where = FsspecBackend(Session(server.credentials)), parse(f"{server.url}/folder/x")
        for payload in (b"old", b"new"):
            backend.put(payload=payload, fragment=where)
            assert (tmp_path / "folder/x").read_bytes() == payload
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["x"]


def test_a_folder_replaces_a_file_and_what_it_does_not_have(
    sftp: SFTPServer, backend: Backend, place: str, tmp_path: Path
) -> None:
    where = parse(f"{place}/tree")
    backend.put(payload=b"a file", fragment=where)
    for names in (("a", "sub/b"), ("a", "sub/c")):
        for name in names:
            (tmp_path / names[1] / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / names[1] / name).write_bytes(name.encode())
        backend.upload(source=tmp_path / names[1], fragment=where)
        assert [info.path for info in backend.list(fragment=where)] == list(names)
    (on_disk(sftp, place) / "tree" / ".statisfactory-of-a-killed-process").touch()
    assert [info.path for info in backend.list(fragment=where)] == ["a", "sub/c"]
    backend.delete(fragment=where)
    assert list(on_disk(sftp, place).iterdir()) == []


def test_a_connection_that_the_server_has_closed_is_made_anew(sftp: SFTPServer, backend: Backend, place: str) -> None:
    backend.put(payload=b"x", fragment=parse(f"{place}/x"))
    sftp.hang_up()
    backend.put(payload=b"y", fragment=parse(f"{place}/x"))
    sftp.hang_up()
    assert backend.get(fragment=parse(f"{place}/x")) == b"y"


def test_threads_have_a_connection_each(sftp: SFTPServer, backend: Backend, place: str) -> None:
    payloads = [secrets.token_bytes(200_000) for _ in range(4)]
    for number, payload in enumerate(payloads):
        backend.put(payload=payload, fragment=parse(f"{place}/{number}"))
    found: dict[int, bytes] = {}

    def read(number: int) -> None:
        found[number] = backend.get(fragment=parse(f"{place}/{number}"))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[number] for number in range(4)] == payloads


def test_who_may_not_come_in_is_told_so_without_the_password(sftp: SFTPServer) -> None:
    backend = FsspecBackend(Session({**sftp.credentials, "password": "not-the-password"}))
    with pytest.raises(PermissionDenied, match=r"(?i)refused \(authentication failed.*credentials") as refused:
        backend.get(fragment=parse(f"{sftp.url}/x"))
    assert "not-the-password" not in str(refused.value)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with sftp_server(tmp_path) as server:
        pass
    with pytest.raises(BackendUnreachable, match=r"does not answer.*Unable to connect"):
        FsspecBackend(Session(server.credentials)).exists(fragment=parse(f"{server.url}/x"))


def test_credentials_that_the_place_does_not_know_are_told(sftp: SFTPServer) -> None:
    backend = FsspecBackend(Session({**sftp.credentials, "pasword": "hush-hush"}))
    with pytest.raises(UnknownCredential, match=r"pasword") as refused:
        backend.get(fragment=parse(f"{sftp.url}/x"))
    assert "hush-hush" not in str(refused.value)


def test_what_may_not_be_read_is_not_taken_for_missing(sftp: SFTPServer, backend: Backend, place: str) -> None:
    """Whoever runs the tests may be allowed everything, so the server says it."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("no")

    where = parse(f"{place}/x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsspec.implementations.sftp.SFTPFileSystem.info", refuse)
        patch.setattr("fsspec.implementations.sftp.SFTPFileSystem.ls", refuse)
        for verb in (backend.exists, backend.stat, backend.list):
            with pytest.raises(PermissionDenied):
                verb(fragment=where)
