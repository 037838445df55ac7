"""Objects on the branch that follows git, on real lakeFS servers: stored, found again, noted, sent once."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from kedro_statisfactory.backends import LakeFSBackend, transfer
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Stat
from kedro_statisfactory.errors import InvalidURL, PermissionDenied, StatisfactoryError
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import Pin
from kedro_statisfactory.project.settings import Settings
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import LARGE, commit, make_branch, on, pinned, uncommitted, write
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


# -- put and get --------------------------------------------------------------------------------------------------


def test_bytes_go_to_the_data_branch_and_come_back(lakefs_server: LakeFSServer, repository: str) -> None:
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    where = parse(f"lakefs://{repository}/02_clean/x.csv")
    backend.put(payload=b"new", fragment=where)
    assert backend.get(fragment=where) == b"new"
    assert uncommitted(lakefs_server, repository) == ["02_clean/x.csv"]


def test_a_ref_can_be_given(lakefs_local: LakeFSServer, local: str, backend: LakeFSBackend) -> None:
    where = parse(f"lakefs://{local}/x")
    make_branch(lakefs_local, local, "other")
    backend.put(payload=b"other", fragment=where, lake_ref="other")
    assert backend.get(fragment=where, lake_ref="other") == b"other"
    assert not backend.exists(fragment=where)
    backend.delete(fragment=where, lake_ref="other")
    assert not backend.exists(fragment=where, lake_ref="other")


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("in_a_run", [True, False], ids=["in a run", "outside of runs"])
def test_a_warm_entry_takes_one_request_each_way_and_outside_of_runs_a_look_before_a_write(
    lakefs_local: LakeFSServer,
    local: str,
    requests_of: Callable[[LakeFSBackend], list[str]],
    tmp_path: Path,
    verify: bool,
    in_a_run: bool,
) -> None:
    backend = pinned(lakefs_local, local, Pin("main", "main")) if in_a_run else on(lakefs_local, "main")
    write_requests = ["POST objects"] if in_a_run else ["GET stat", "POST objects"]
    where = parse(f"lakefs://{local}/folder/x")
    backend.put(payload=b"x", fragment=where)
    sent = requests_of(backend)
    backend.put(payload=b"y", fragment=where)
    backend.get(fragment=where, verify=verify)
    backend.exists(fragment=where)
    assert sent == [*write_requests, "GET objects", "GET stat"]
    sent.clear()
    (tmp_path / "source").write_bytes(b"z")
    backend.upload(source=tmp_path / "source", fragment=where)
    backend.download(target=tmp_path / "target", fragment=where, verify=verify)
    assert sent == [*write_requests, "GET objects"]


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "überall/数据.csv",
        "100%41",
        "what?x=1&y",
        "a#b",
        "a+b",
        "a;b=c,d@e:f",
        "~tilde",
        "'quotes\"",
        "back\\slash",
        "x" * 1024,
        "ü" * 512,
    ],
    ids=ascii,
)
def test_names_reach_the_server_as_they_are(lakefs_local: LakeFSServer, local: str, name: str) -> None:
    backend = LakeFSBackend(Session(lakefs_local.credentials))
    where = parse(f"lakefs://{local}/{name}")
    backend.put(payload=b"1", fragment=where)
    assert uncommitted(lakefs_local, local) == [name]
    write(lakefs_local, local, name, b"2")
    assert backend.get(fragment=where) == b"2"
    assert backend.exists(fragment=where)
    assert backend.stat(fragment=where).size == 1
    backend.delete(fragment=where)
    assert not backend.exists(fragment=where)


@pytest.mark.parametrize("name", ["x" * 1025, "ü" * 512 + "x"])
def test_a_path_that_lakefs_does_not_allow_is_refused_in_both_directions(
    backend: LakeFSBackend, local: str, name: str
) -> None:
    with pytest.raises(InvalidURL, match="1025 bytes, and lakeFS allows 1024: shorten it"):
        backend.put(payload=b"", fragment=parse(f"lakefs://{local}/{name}"))
    with pytest.raises(InvalidURL, match="1025 bytes"):
        backend.exists(fragment=parse(f"lakefs://{local}/{name}"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("lakefs:///x", "names no repository"),
        ("lakefs://UPPER/x", "does not allow as a name"),
        ("lakefs://../x", "does not allow as a name"),
        ("lakefs://a/x", "does not allow as a name"),
    ],
)
def test_a_url_without_a_repository_that_can_be_is_refused(backend: LakeFSBackend, url: str, told: str) -> None:
    with pytest.raises(InvalidURL, match=told):
        backend.get(fragment=parse(url))


def test_the_same_bytes_saved_again_are_no_change(
    lakefs_server: LakeFSServer, repository: str, large_file: Path, tmp_path: Path
) -> None:
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    (tmp_path / "small").write_bytes(b"small")

    def save() -> None:
        backend.put(payload=b"x", fragment=parse(f"lakefs://{repository}/x"))
        backend.upload(source=tmp_path / "small", fragment=parse(f"lakefs://{repository}/small"))
        backend.upload(source=large_file, fragment=parse(f"lakefs://{repository}/large"))

    save()
    assert uncommitted(lakefs_server, repository) == ["large", "small", "x"]
    commit(lakefs_server, repository)
    save()
    assert uncommitted(lakefs_server, repository) == []


def test_what_a_run_writes_is_noted(lakefs_server: LakeFSServer, repository: str, tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    backend = on(lakefs_server, "main", journal=tmp_path / "journal")
    backend.put(payload=b"x", fragment=parse(f"lakefs://{repository}/x"))
    source = tmp_path / "large"
    source.write_bytes(bytes(LARGE))
    backend.upload(source=source, fragment=parse(f"lakefs://{repository}/large"))
    assert backend.project.written() == {
        (f"{lakefs_server.endpoint_url}/api/v1", repository): {
            name: backend.stat(fragment=parse(f"lakefs://{repository}/{name}")).checksum for name in ("x", "large")
        }
    }


def _in_run(server: LakeFSServer, repository: str, journal: Path) -> LakeFSBackend:
    """A backend that works on the hidden branch ``run``, as in a run."""
    host = f"{server.endpoint_url}/api/v1"
    LakeFSAPI(Session(server.credentials)).create_branch(repository, "run", "main")
    journal.touch()
    return on(server, "main", pins={(host, repository): Pin("run", "run")}, journal=journal)


def _address(backend: LakeFSBackend, repository: str, path: str) -> str:
    return backend.api.stat(repository, "run", path).address


@pytest.mark.parametrize("size", [transfer.MEBIBYTE, transfer.SMALL + 1])
def test_what_the_branch_of_a_run_has_already_is_not_sent_again(
    lakefs_server: LakeFSServer, repository: str, tmp_path: Path, size: int
) -> None:
    where, source = parse(f"lakefs://{repository}/x"), tmp_path / "x"
    source.write_bytes(os.urandom(size))
    on(lakefs_server, "main").upload(source=source, fragment=where)
    commit(lakefs_server, repository)
    backend = _in_run(lakefs_server, repository, tmp_path / "journal")
    address = _address(backend, repository, "x")
    backend.upload(source=source, fragment=where)
    assert _address(backend, repository, "x") == address
    key = backend.api.host, repository
    assert backend.project.written()[key] == {"x": backend.stat(fragment=where).checksum}, "it is written all the same"
    backend.put(payload=source.read_bytes()[::-1], fragment=where)
    assert _address(backend, repository, "x") != address
    assert backend.get(fragment=where) == source.read_bytes()[::-1]
    assert backend.project.written()[key] == {"x": backend.stat(fragment=where).checksum}
    address = _address(backend, repository, "x")
    backend.put(payload=source.read_bytes()[::-1] + b"x", fragment=where)
    assert _address(backend, repository, "x") != address


def test_what_another_tool_has_stored_is_not_sent_again(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = os.urandom(transfer.MEBIBYTE)
    write(lakefs_local, local, "x", payload)
    commit(lakefs_local, local)
    backend, where = _in_run(lakefs_local, local, tmp_path / "journal"), parse(f"lakefs://{local}/x")
    address = _address(backend, local, "x")
    backend.put(payload=payload, fragment=where)
    assert _address(backend, local, "x") == address
    backend.put(payload=payload[::-1], fragment=where)
    assert _address(backend, local, "x") != address

    def refuse(*_: object, **__: object) -> Stat:
        raise PermissionDenied("who may write need not be allowed to read")

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "stat", refuse)
        backend.put(payload=payload, fragment=where)
    assert backend.get(fragment=where) == payload


def test_small_objects_are_sent_without_a_look_and_so_are_all_outside_of_a_run(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, where = _in_run(lakefs_local, local, tmp_path / "journal"), parse(f"lakefs://{local}/x")
    large, small = bytes(transfer.MEBIBYTE), bytes(transfer.MEBIBYTE - 1)
    on(lakefs_local, "main").put(payload=large, fragment=where)
    address = backend.api.stat(local, "main", "x").address
    on(lakefs_local, "main").put(payload=large, fragment=where)
    assert backend.api.stat(local, "main", "x").address != address
    monkeypatch.delattr(LakeFSAPI, "stat")
    backend.put(payload=small, fragment=where)


def test_one_look_tells_of_all_files_of_a_folder_what_the_branch_has_already(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, folder = parse(f"lakefs://{local}/tree"), tmp_path / "tree"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(os.urandom(transfer.MEBIBYTE))
    on(lakefs_local, "main").upload(source=folder, fragment=where)
    commit(lakefs_local, local)
    backend = _in_run(lakefs_local, local, tmp_path / "journal")
    before = {name: _address(backend, local, f"tree/{name}") for name in "abc"}
    (folder / "b").write_bytes(os.urandom(transfer.MEBIBYTE))
    with monkeypatch.context() as patch:
        patch.delattr(LakeFSAPI, "stat")
        backend.upload(source=folder, fragment=where)
    after = {name: _address(backend, local, f"tree/{name}") for name in "abc"}
    assert [name for name in "abc" if after[name] != before[name]] == ["b"]
    assert backend.project.written()[backend.api.host, local].keys() == {"tree/a", "tree/b", "tree/c"}


# -- processes ----------------------------------------------------------------------------------------------------


def test_a_backend_travels_with_its_project(lakefs_local: LakeFSServer, local: str) -> None:
    backend = on(lakefs_local, "feature", settings=Settings(source="main"))
    backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))
    travelled = pickle.loads(pickle.dumps(backend))
    assert travelled.get(fragment=parse(f"lakefs://{local}/x")) == b"x"
    assert travelled._get_current_branch_name() == "feature"
    assert lakefs_local.secret_key not in repr(travelled)


def test_errors_show_no_secrets(lakefs_local: LakeFSServer, local: str) -> None:
    backend = LakeFSBackend(Session({**lakefs_local.credentials, "secret_access_key": "hush-hush"}))
    calls: list[Callable[..., object]] = [
        backend.get,
        backend.exists,
        backend.delete,
        lambda **more: backend.put(payload=b"x", **more),
    ]
    for call in calls:
        with pytest.raises(StatisfactoryError) as failed:
            call(fragment=parse(f"lakefs://{local}/x"))
        assert "hush" not in "".join(traceback.format_exception(failed.value))


def test_a_subclass_may_name_and_make_data_branches_its_own_way(
    lakefs_local: LakeFSServer, local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    create = LakeFSBackend._create_branch

    def create_and_note(self: LakeFSBackend, name: str, *, repository: str) -> None:
        made.append(name)
        create(self, name, repository=repository)

    backend = LakeFSBackend(Session(lakefs_local.credentials))
    monkeypatch.setattr(LakeFSBackend, "_get_current_branch_name", lambda _: "of-my-own")
    monkeypatch.setattr(LakeFSBackend, "_create_branch", create_and_note)
    where = parse(f"lakefs://{local}/x")
    backend.put(payload=b"x", fragment=where)
    assert made == ["of-my-own"]
    assert backend.get(fragment=where) == b"x"
    assert backend.get(fragment=where, lake_ref="of-my-own") == b"x"
