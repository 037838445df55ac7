"""Objects on the branch that follows git, on real lakeFS servers: found, missing, pinned, large, damaged."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import hashlib
import logging
import multiprocessing
import os
import pickle
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from urllib3 import PoolManager

from kedro_statisfactory.backends import LakeFSBackend, crc32, http, transfer
from kedro_statisfactory.backends.lakefs import api, requests
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.client import lakefs_client, object_store
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, LONGEST_PATH, Stat
from kedro_statisfactory.backends.lakefs.putting_back import PuttingBack
from kedro_statisfactory.backends.lakefs.store import LakeFSStore
from kedro_statisfactory.backends.part_writer import PartWriter
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.backends.transfer import Part
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BranchNotFound,
    Conflict,
    IntegrityError,
    InvalidCredentials,
    InvalidURL,
    NoDataBranch,
    NotABranch,
    ObjectNotFound,
    PermissionDenied,
    RefInPath,
    RefNotFound,
    RepositoryNotFound,
    StatisfactoryError,
    StoreFailed,
    TransferError,
    UnknownCredential,
    UnknownOption,
)
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import AT, Pin, Project, announce
from kedro_statisfactory.project.branches import git_tag, run_tag
from kedro_statisfactory.project.git import Head, ancestors
from kedro_statisfactory.project.settings import Settings
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Fault, Proxy, gateway, proxy
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once

SHA = "0123456789abcdef0123456789abcdef01234567"
LARGE = transfer.SMALL + 123_457  # four parts where there are parts


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.0)


@pytest.fixture
def local(lakefs_local: LakeFSServer) -> str:
    """A repository on the server with the local store, for tests in which the store plays no part."""
    return lakefs_local.new_repository()


@pytest.fixture
def backend(lakefs_local: LakeFSServer) -> LakeFSBackend:
    """On the git branch ``main``, as announced."""
    return LakeFSBackend(Session(lakefs_local.credentials))


@pytest.fixture(scope="session")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(os.urandom(LARGE))
    return path


def on(server: LakeFSServer, branch: str | None, commit: str | None = None, **project: Any) -> LakeFSBackend:
    """A backend of a project on a git branch, or on none."""
    head = Head(branch, commit, "a test" if branch else "the HEAD is detached")
    return LakeFSBackend(Session(server.credentials, Project(head=head, **project)))


def write(server: LakeFSServer, repository: str, path: str, payload: bytes = b"x", branch: str = "main") -> None:
    """Store an object past the package."""
    where = f"/repositories/{repository}/branches/{branch}/objects?path={quote(path, safe='')}"
    server.call("POST", where, body=payload)


def commit(server: LakeFSServer, repository: str, branch: str = "main", **metadata: str) -> str:
    """Commit past the package; gives the id."""
    where = f"/repositories/{repository}/branches/{branch}/commits"
    return str(server.call("POST", where, json={"message": "by a test", "metadata": metadata}).json()["id"])


def tag(server: LakeFSServer, repository: str, name: str, ref: str = "main") -> None:
    server.call("POST", f"/repositories/{repository}/tags", json={"id": name, "ref": ref})


def make_branch(server: LakeFSServer, repository: str, name: str, source: str = "main") -> None:
    server.call("POST", f"/repositories/{repository}/branches", json={"name": name, "source": source})


def branches(server: LakeFSServer, repository: str) -> list[str]:
    found = server.call("GET", f"/repositories/{repository}/branches").json()["results"]
    return [each["id"] for each in found]


def uncommitted(server: LakeFSServer, repository: str, branch: str = "main") -> list[str]:
    found = server.call("GET", f"/repositories/{repository}/branches/{branch}/diff").json()["results"]
    return [each["path"] for each in found]


@pytest.fixture
def requests_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[LakeFSBackend], list[str]]:
    """Begins to record the requests that a backend sends, to lakeFS and to the store behind it."""

    def begin(backend: LakeFSBackend) -> list[str]:
        original, sent = PoolManager.request, list[str]()

        def request(self: PoolManager, method: str, url: str, **arguments: Any) -> Any:
            sent.append(f"{method} {urlsplit(url).path.rpartition('/')[2]}")
            return original(self, method, url, **arguments)

        monkeypatch.setattr(PoolManager, "request", request)
        return sent

    return begin


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


# -- what is missing ----------------------------------------------------------------------------------------------


def test_four_things_that_are_missing_are_four_errors(backend: LakeFSBackend, local: str) -> None:
    where = parse(f"lakefs://{local}/x")
    with pytest.raises(RepositoryNotFound, match="has no repository"):
        backend.get(fragment=parse("lakefs://there-is-none/x"))
    with pytest.raises(RefNotFound, match=r"no branch, tag or commit 'none', no run.*git commit"):
        backend.get(fragment=where, lake_ref="none")
    with pytest.raises(BranchNotFound, match="no branch 'none'"):
        backend.put(payload=b"", fragment=where, lake_ref="none")
    with pytest.raises(ObjectNotFound, match=f"no 'x' in '{local}' at 'main'"):
        backend.get(fragment=where)
    with pytest.raises(ObjectNotFound, match=r"no 'x' in .* at 'main~0'"):
        backend.get(fragment=where, lake_ref="main~0")


def test_each_of_them_is_told_by_every_verb(backend: LakeFSBackend, local: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    reads: list[Callable[..., object]] = [
        backend.get,
        backend.stat,
        backend.exists,
        lambda **more: list(backend.list(**more)),
        lambda **more: backend.download(target=tmp_path / "target", **more),
    ]
    writes: list[Callable[..., object]] = [
        lambda **more: backend.put(payload=b"", **more),
        lambda **more: backend.upload(source=tmp_path / "source", **more),
        backend.delete,
    ]
    for call in (*reads, *writes, lambda **more: list(backend.versions(**more))):
        with pytest.raises(RepositoryNotFound):
            call(fragment=parse("lakefs://there-is-none/x"))
    for call in reads:
        with pytest.raises(RefNotFound):
            call(fragment=parse(f"lakefs://{local}/x"), lake_ref="none")
    for call in writes:
        with pytest.raises(BranchNotFound):
            call(fragment=parse(f"lakefs://{local}/x"), lake_ref="none")


@pytest.mark.parametrize("ref", ["a b", "x/y", "..", "main~x", "main@{1}", "~", "2026-11-23T15.44.00.000Z", "HEAD"])
def test_a_name_that_nothing_can_have_is_not_there(backend: LakeFSBackend, local: str, ref: str) -> None:
    with pytest.raises(RefNotFound):
        backend.get(fragment=parse(f"lakefs://{local}/x"), lake_ref=ref)
    with pytest.raises(RefNotFound):
        backend.exists(fragment=parse(f"lakefs://{local}/x"), lake_ref=ref)
    with pytest.raises(BranchNotFound):
        backend.put(payload=b"", fragment=parse(f"lakefs://{local}/x"), lake_ref=ref)


@pytest.mark.parametrize("ref", ["", 20261123, ["main"]])
def test_a_ref_that_is_no_text_is_refused(backend: LakeFSBackend, local: str, ref: Any) -> None:
    with pytest.raises(UnknownOption, match=r"`lake_ref` is .*, no text"):
        backend.get(fragment=parse(f"lakefs://{local}/x"), lake_ref=ref)
    with pytest.raises(UnknownOption, match=r"`lake_ref` is .*, no text"):
        backend.put(payload=b"", fragment=parse(f"lakefs://{local}/x"), lake_ref=ref)


def test_exists_says_no_for_what_is_not_there_and_nothing_else(
    lakefs_local: LakeFSServer, local: str, backend: LakeFSBackend
) -> None:
    where = parse(f"lakefs://{local}/tree")
    assert not backend.exists(fragment=where)
    write(lakefs_local, local, "tree-too")
    assert not backend.exists(fragment=where)
    write(lakefs_local, local, "tree/x")
    assert backend.exists(fragment=where)
    wrong = LakeFSBackend(Session({**lakefs_local.credentials, "secret_access_key": "hush"}))
    with pytest.raises(PermissionDenied, match="check the credentials"):
        wrong.exists(fragment=where)
    with pytest.raises(RepositoryNotFound):
        backend.exists(fragment=parse("lakefs://there-is-none/x"))
    with pytest.raises(NoDataBranch):
        on(lakefs_local, None).exists(fragment=where)


def test_a_branch_that_is_protected_says_so(lakefs_local: LakeFSServer, local: str, backend: LakeFSBackend) -> None:
    rules = [{"pattern": "main"}]
    lakefs_local.call("PUT", f"/repositories/{local}/settings/branch_protection", json=rules)
    with pytest.raises(PermissionDenied, match="protected"):
        backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))


def test_a_server_that_is_gone_is_unreachable(lakefs_local: LakeFSServer, local: str) -> None:
    gone = LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": "http://127.0.0.1:9"}))
    with pytest.raises(BackendUnreachable, match="check endpoint_url"):
        gone.get(fragment=parse(f"lakefs://{local}/x"))


def test_wrong_credentials_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(UnknownCredential, match="acess_key"):
        LakeFSBackend(Session({"acess_key": "x"}))
    with pytest.raises(InvalidCredentials, match="one half"):
        LakeFSBackend(Session({"access_key_id": "x"}))


def test_unknown_options_are_refused(backend: LakeFSBackend, local: str) -> None:
    where = parse(f"lakefs://{local}/x")
    with pytest.raises(UnknownOption, match=r"verfy here. Known are: lake_ref, verify"):
        backend.get(fragment=where, verfy=False)
    with pytest.raises(UnknownOption, match=r"verify here. Known are: lake_ref"):
        backend.put(payload=b"", fragment=where, verify=False)


# -- the branch that follows git ----------------------------------------------------------------------------------


def test_data_follows_git(lakefs_server: LakeFSServer, repository: str) -> None:
    where = parse(f"lakefs://{repository}/x")
    project = Project(head=Head("main", None, "a test"))
    announce(lambda: project)
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    backend.put(payload=b"of main", fragment=where)
    commit(lakefs_server, repository)
    project = Project(head=Head("feature/x", None, "a test"))
    assert backend._get_current_branch_name() == "feature--x"
    backend.put(payload=b"of x", fragment=where)
    assert backend.get(fragment=where) == b"of x"
    project = Project(head=Head("main", None, "a test"))
    assert backend.get(fragment=where) == b"of main"


def test_a_branch_is_created_on_the_first_write_and_not_on_a_read(
    lakefs_local: LakeFSServer, local: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write(lakefs_local, local, "x", b"of main")
    commit(lakefs_local, local)
    feature = on(lakefs_local, "feature")
    where = parse(f"lakefs://{local}/x")
    for _ in range(2):
        assert feature.get(fragment=where) == b"of main"
        assert feature.exists(fragment=where)
        assert [info.path for info in feature.list(fragment=parse(f"lakefs://{local}/y"))] == []
    assert branches(lakefs_local, local) == ["main"]
    said = f"The branch 'feature' of '{local}' does not exist yet: reading from 'main'"
    assert caplog.text.count(said) == 1
    with pytest.raises(ObjectNotFound, match=r"no 'none' in .* at 'main'"):
        feature.get(fragment=parse(f"lakefs://{local}/none"))
    feature.put(payload=b"of feature", fragment=where)
    assert branches(lakefs_local, local) == ["feature", "main"]
    assert caplog.text.count(f"Created the branch 'feature' of '{local}' from 'main'") == 1
    assert (feature.get(fragment=where), on(lakefs_local, "main").get(fragment=where)) == (b"of feature", b"of main")


@pytest.mark.parametrize("kind", ["branch", "tag", "commit"])
def test_a_branch_is_created_from_the_configured_source(lakefs_local: LakeFSServer, local: str, kind: str) -> None:
    write(lakefs_local, local, "x", b"old")
    old = commit(lakefs_local, local)
    make_branch(lakefs_local, local, "source")
    tag(lakefs_local, local, "v1.0", old)
    write(lakefs_local, local, "x", b"new")
    source = {"branch": "source", "tag": "v1.0", "commit": old}[kind]
    feature = on(lakefs_local, "feature", settings=Settings(source=source))
    assert feature.get(fragment=parse(f"lakefs://{local}/x")) == b"old"
    feature.put(payload=b"", fragment=parse(f"lakefs://{local}/y"))
    assert feature.get(fragment=parse(f"lakefs://{local}/x")) == b"old"


def test_a_source_that_is_not_there_is_an_error(lakefs_local: LakeFSServer, local: str) -> None:
    where = parse(f"lakefs://{local}/x")
    feature = on(lakefs_local, "feature", settings=Settings(source="none"))
    with pytest.raises(RefNotFound, match="'none'"):
        feature.get(fragment=where)
    with pytest.raises(BranchNotFound, match="no 'none' from which to make the branch 'feature'"):
        feature.put(payload=b"", fragment=where)


def test_a_delete_on_a_new_branch_leaves_the_source_as_it_is(lakefs_local: LakeFSServer, local: str) -> None:
    write(lakefs_local, local, "x")
    commit(lakefs_local, local)
    feature = on(lakefs_local, "feature")
    feature.delete(fragment=parse(f"lakefs://{local}/x"))
    assert not feature.exists(fragment=parse(f"lakefs://{local}/x"))
    assert on(lakefs_local, "main").exists(fragment=parse(f"lakefs://{local}/x"))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_many_processes_at_once_write_first_to_a_new_branch(lakefs_local: LakeFSServer, local: str) -> None:
    backend = on(lakefs_local, "feature")
    assert not backend.exists(fragment=parse(f"lakefs://{local}/x"))  # a connection that no child may use
    context = multiprocessing.get_context("fork")
    together = context.Barrier(32)

    def first(number: int) -> None:
        together.wait(60)
        backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/tree/{number}"))

    processes = [context.Process(target=first, args=(number,)) for number in range(32)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 32
    assert len(list(backend.list(fragment=parse(f"lakefs://{local}/tree")))) == 32


def test_a_tag_with_the_name_of_the_data_branch_is_no_branch(lakefs_local: LakeFSServer, local: str) -> None:
    tag(lakefs_local, local, "feature")
    with pytest.raises(NotABranch, match=r"'feature' cannot be made.*Rename the tag, or give.*`branches`"):
        on(lakefs_local, "feature").put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))


@pytest.mark.parametrize("kind", ["tag", "tag with dots", "commit", "prefix", "expression"])
def test_only_branches_are_written_to(
    lakefs_local: LakeFSServer, local: str, backend: LakeFSBackend, tmp_path: Path, kind: str
) -> None:
    write(lakefs_local, local, "x", b"old")
    write(lakefs_local, local, "tree/x", b"old")
    made = commit(lakefs_local, local)
    tag(lakefs_local, local, "v1")
    tag(lakefs_local, local, "2026-11-23T15.44.00.000Z")
    refs = {"tag": "v1", "tag with dots": "2026-11-23T15.44.00.000Z", "commit": made, "prefix": made[:12]}
    ref = refs.get(kind, "main~0")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/y").touch()
    (tmp_path / "file").write_bytes(bytes(LARGE))
    calls: list[Callable[..., object]] = [
        lambda **more: backend.put(payload=b"new", **more),
        lambda **more: backend.upload(source=tmp_path / "source", **more),
        lambda **more: backend.upload(source=tmp_path / "file", **more),
        backend.delete,
    ]
    for call in calls:
        with pytest.raises(NotABranch, match=r"is a tag or commit of .*: write to a branch"):
            call(fragment=parse(f"lakefs://{local}/x"), lake_ref=ref)
    assert backend.get(fragment=parse(f"lakefs://{local}/x"), lake_ref=ref) == b"old"
    assert uncommitted(lakefs_local, local) == []


def test_a_large_first_write_creates_the_branch(
    lakefs_server: LakeFSServer, repository: str, large_file: Path, tmp_path: Path
) -> None:
    feature = on(lakefs_server, "feature")
    where = parse(f"lakefs://{repository}/large")
    feature.upload(source=large_file, fragment=where)
    feature.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


# -- without a branch ---------------------------------------------------------------------------------------------


def test_without_a_branch_nothing_is_written(lakefs_local: LakeFSServer, local: str) -> None:
    for head in (on(lakefs_local, None, SHA), on(lakefs_local, None)):
        with pytest.raises(NoDataBranch, match=r"the HEAD is detached.*switch to a branch, or set `branch`"):
            head.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))
        with pytest.raises(NoDataBranch):
            head.get(fragment=parse(f"lakefs://{local}/x"))
    assert branches(lakefs_local, local) == ["main"]


def test_without_a_git_branch_the_one_of_the_settings_is_used(lakefs_local: LakeFSServer, local: str) -> None:
    backend = on(lakefs_local, None, SHA, settings=Settings(branch="production"))
    backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))
    assert backend.get(fragment=parse(f"lakefs://{local}/x")) == b"x"
    assert branches(lakefs_local, local) == ["main", "production"]


def test_a_detached_head_reads_what_the_newest_run_at_this_commit_made(
    lakefs_local: LakeFSServer, local: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number, run in enumerate(("z-first", "a--second", "m-of-another"), start=1):
        write(lakefs_local, local, "x", run.encode())
        made = commit(lakefs_local, local)
        tag(lakefs_local, local, git_tag(SHA if number < 3 else "f" * 40, number, run), made)
    tag(lakefs_local, local, f"kedro-git-{SHA}")  # somebody's own
    detached = on(lakefs_local, None, SHA)
    for _ in range(2):
        assert detached.get(fragment=parse(f"lakefs://{local}/x")) == b"a--second"
    assert caplog.text.count(f"Reading '{local}' as the run 'a--second' left it") == 1
    with pytest.raises(ObjectNotFound):
        detached.get(fragment=parse(f"lakefs://{local}/none"))
    assert not detached.exists(fragment=parse(f"lakefs://{local}/none"))
    with pytest.raises(NoDataBranch):
        detached.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))


def test_a_run_with_uncommitted_code_is_named_as_such(
    lakefs_local: LakeFSServer, local: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(lakefs_local, local, "x", b"dirty")
    tag(lakefs_local, local, git_tag(SHA, 2, "dirty", dirty=True), commit(lakefs_local, local))
    assert on(lakefs_local, None, SHA).get(fragment=parse(f"lakefs://{local}/x")) == b"dirty"
    assert f"as the run 'dirty' left it, which was made at the git commit {SHA}, with uncommitted" in caplog.text
    write(lakefs_local, local, "x", b"clean")
    tag(lakefs_local, local, git_tag(SHA, 1, "clean"), commit(lakefs_local, local))
    assert on(lakefs_local, None, SHA).get(fragment=parse(f"lakefs://{local}/x")) == b"clean"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs git in a repository of its own, apart from the developer's configuration and the CI job."""
    services = "GITHUB_ACTIONS GITLAB_CI BITBUCKET_BUILD_NUMBER TF_BUILD JENKINS_URL BUILDKITE CIRCLECI".split()
    for name in [*services, *(name for name in os.environ if name.startswith("GIT_"))]:
        monkeypatch.delenv(name, raising=False)
    identity = {
        f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    for name, value in {**identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/pyproject.toml").write_text("[tool.kedro]\n")

    def run(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=tmp_path / "project", capture_output=True, check=True, text=True, timeout=60)
        return done.stdout.strip()

    run("init", "--quiet", "--initial-branch=main")
    return run


def test_a_detached_head_without_a_run_is_told_the_nearest_one(
    lakefs_local: LakeFSServer, local: str, checkout: Callable[..., str], tmp_path: Path
) -> None:
    shas = []
    for number in range(4):
        checkout("commit", "--quiet", "--allow-empty", f"--message={number}")
        shas.append(checkout("rev-parse", "HEAD"))
    write(lakefs_local, local, "x", b"old")
    made = commit(lakefs_local, local)
    for number in (0, 1):
        tag(lakefs_local, local, git_tag(shas[number], number, f"run-{number}"), made)
    checkout("checkout", "--quiet", "--detach")
    detached = LakeFSBackend(Session(lakefs_local.credentials, Project(tmp_path / "project")))
    where = parse(f"lakefs://{local}/x")
    told = f"no run was made at the git commit {shas[3]}.*nearest ancestor with a run is {shas[1]}: STATISFACTORY_AT"
    with pytest.raises(NoDataBranch, match=told):
        detached.get(fragment=where)
    checkout("checkout", "--quiet", shas[1])
    assert detached.get(fragment=where) == b"old"


def test_ancestors_are_told_newest_first_as_far_as_git_tells(
    checkout: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shas: list[str] = []
    for number in range(3):
        checkout("commit", "--quiet", "--allow-empty", f"--message={number}")
        shas.insert(0, checkout("rev-parse", "HEAD"))
    assert ancestors(project, shas[0]) == shas
    assert ancestors(project, shas[0], most=2) == shas[:2]
    assert ancestors(project, SHA) == []
    assert ancestors(tmp_path, shas[0]) == []
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert ancestors(project, shas[0]) == []


# -- pinned refs --------------------------------------------------------------------------------------------------


@pytest.fixture
def history(lakefs_local: LakeFSServer, local: str) -> Mapping[str, str]:
    """Refs of all kinds for the state in which ``x`` is ``old``; on ``main`` it is ``new``."""
    write(lakefs_local, local, "x", b"old")
    made = commit(lakefs_local, local)
    make_branch(lakefs_local, local, "past")
    tag(lakefs_local, local, "v1.0")
    for run in ("2026-11-23T15.44.00.000Z", "my run"):
        tag(lakefs_local, local, run_tag(run))
    tag(lakefs_local, local, git_tag(SHA, 1, "an-older-run"), "main~1")
    tag(lakefs_local, local, git_tag(SHA, 2, "2026-11-23T15.44.00.000Z"))
    write(lakefs_local, local, "x", b"new")
    commit(lakefs_local, local)
    return {
        "branch": "past",
        "tag": "v1.0",
        "commit": made,
        "commit prefix": made[:10],
        "expression": "main~1",
        "run id": "2026-11-23T15.44.00.000Z",
        "odd run id": "my run",
        "tag of a run": "kedro-2026-11-23T15.44.00.000Z",
        "git SHA": SHA,
        "short git SHA": SHA[:7],
    }


KINDS = (
    "branch",
    "tag",
    "commit",
    "commit prefix",
    "expression",
    "run id",
    "odd run id",
    "tag of a run",
    "git SHA",
    "short git SHA",
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_can_be_pinned_to(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    where, ref = parse(f"lakefs://{local}/x"), history[kind]
    backend = on(lakefs_local, "main")
    assert backend.get(fragment=where) == b"new"
    for _ in range(2):
        assert backend.get(fragment=where, lake_ref=ref) == b"old"
    assert not backend.exists(fragment=parse(f"lakefs://{local}/none"), lake_ref=ref)
    assert backend.refs.resolved(local, ref).at("x") == history["commit"]
    assert backend.version_options(ref) == {"lake_ref": ref}
    assert on(lakefs_local, "main", settings=Settings(at=ref)).get(fragment=where) == b"old"
    assert on(lakefs_local, None, settings=Settings(at=ref)).get(fragment=where) == b"old"
    monkeypatch.setenv(AT, ref)
    assert backend.get(fragment=where) == b"old"
    assert backend.get(fragment=where, lake_ref="main") == b"new"


def test_what_all_is_read_at_changes_nothing_about_writes(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str]
) -> None:
    backend = on(lakefs_local, "main", settings=Settings(at="v1.0"))
    backend.put(payload=b"newest", fragment=parse(f"lakefs://{local}/x"))
    assert on(lakefs_local, "main").get(fragment=parse(f"lakefs://{local}/x")) == b"newest"
    assert backend.get(fragment=parse(f"lakefs://{local}/x")) == b"old"


@pytest.mark.parametrize("ref", ["none", SHA[:6], "f" * 40, "2026-11-23T15.44.00.001Z"])
def test_what_means_nothing_is_an_error(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str], ref: str
) -> None:
    backend = on(lakefs_local, "main", settings=Settings(at=ref))
    with pytest.raises(RefNotFound, match=f"no branch, tag or commit '{ref}', no run"):
        backend.get(fragment=parse(f"lakefs://{local}/x"))
    with pytest.raises(RefNotFound):
        backend.refs.resolved(local, ref)


def test_a_run_once_found_takes_one_request(
    lakefs_local: LakeFSServer,
    local: str,
    history: Mapping[str, str],
    requests_of: Callable[[LakeFSBackend], list[str]],
) -> None:
    backend = on(lakefs_local, "main")
    where, run = parse(f"lakefs://{local}/x"), history["run id"]
    backend.get(fragment=where, lake_ref=run)
    sent = requests_of(backend)
    backend.get(fragment=where, lake_ref=run)
    assert sent == ["GET objects"]
    with pytest.raises(ObjectNotFound, match="there is no 'none'"):
        backend.get(fragment=parse(f"lakefs://{local}/none"), lake_ref=run)


def test_the_newest_run_at_a_git_commit_is_looked_for_each_time(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str]
) -> None:
    where = parse(f"lakefs://{local}/x")
    backends = on(lakefs_local, "main", settings=Settings(at=SHA)), on(lakefs_local, None, SHA)
    assert [backend.get(fragment=where) for backend in backends] == [b"old"] * 2
    tag(lakefs_local, local, git_tag(SHA, 3, "a-newer-run"))
    assert [backend.get(fragment=where) for backend in backends] == [b"new"] * 2


def test_a_short_git_sha_of_several_commits_is_refused(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str]
) -> None:
    tag(lakefs_local, local, git_tag(SHA[:-1] + "0", 3, "of-another-commit"))
    backend = on(lakefs_local, "main")
    with pytest.raises(RefNotFound, match="'0123456' is short for several git commits with runs"):
        backend.get(fragment=parse(f"lakefs://{local}/x"), lake_ref=SHA[:7])
    assert backend.get(fragment=parse(f"lakefs://{local}/x"), lake_ref=SHA) == b"old"


def pinned(server: LakeFSServer, repository: str, pin: Pin) -> LakeFSBackend:
    return on(server, "main", pins={(f"{server.endpoint_url}/api/v1", repository): pin})


def test_a_run_reads_and_writes_where_it_is_pinned(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_branch(lakefs_local, local, "run")
    write(lakefs_local, local, "x", b"of the run", "run")
    monkeypatch.setenv(AT, "v1.0")  # the run has looked at it when it began
    where = parse(f"lakefs://{local}/x")
    outputs, inputs = pinned(lakefs_local, local, Pin("run", "run")), pinned(lakefs_local, local, Pin("past"))
    assert (outputs.get(fragment=where), inputs.get(fragment=where)) == (b"of the run", b"old")
    outputs.put(payload=b"once more", fragment=where)
    assert outputs.get(fragment=where) == b"once more"
    assert outputs.get(fragment=where, lake_ref="main") == b"new"
    monkeypatch.delenv(AT)
    assert on(lakefs_local, "main").get(fragment=where) == b"new"
    other = lakefs_local.new_repository()
    outputs.put(payload=b"x", fragment=parse(f"lakefs://{other}/x"))
    assert uncommitted(lakefs_local, other) == ["x"]


def test_what_a_run_did_not_announce_is_written_to_the_data_branch(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str]
) -> None:
    pinned(lakefs_local, local, Pin("past")).put(payload=b"stray", fragment=parse(f"lakefs://{local}/x"))
    assert on(lakefs_local, "main").get(fragment=parse(f"lakefs://{local}/x")) == b"stray"


def test_a_run_whose_branch_is_gone_does_not_make_it_again(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path
) -> None:
    backend = pinned(lakefs_local, local, Pin("run", "run"))
    where = parse(f"lakefs://{local}/x")
    with pytest.raises(BranchNotFound, match="the branch of the run is gone from"):
        backend.put(payload=b"x", fragment=where)
    with pytest.raises(BranchNotFound, match="the branch of the run is gone from"):
        backend.delete(fragment=where)
    for read in (backend.get, backend.exists, backend.stat):
        with pytest.raises(RefNotFound, match="'run'"):
            read(fragment=where)
    assert branches(lakefs_local, local) == ["main"]


def test_a_run_is_told_what_its_branch_does_not_have(lakefs_local: LakeFSServer, local: str) -> None:
    make_branch(lakefs_local, local, "run")
    backend = pinned(lakefs_local, local, Pin("run", "run"))
    with pytest.raises(ObjectNotFound, match="at 'run'"):
        backend.get(fragment=parse(f"lakefs://{local}/x"))
    assert not backend.exists(fragment=parse(f"lakefs://{local}/x"))


# -- a ref in the path --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["main", "v1.0"])
def test_a_ref_in_the_path_is_refused_on_a_write_and_explained_on_a_read(
    lakefs_local: LakeFSServer, local: str, first: str, tmp_path: Path
) -> None:
    tag(lakefs_local, local, "v1.0")
    where = parse(f"lakefs://{local}/{first}/a/x.csv")
    for branch in ("main", "feature"):  # on feature, before it is there
        backend = on(lakefs_local, branch)
        told = rf"'{first}' is a branch or tag.*write lakefs://{local}/a/x\.csv\..*save_args: {{lake_ref: {first}}}"
        with pytest.raises(RefInPath, match=told):
            backend.put(payload=b"x", fragment=where)
        with pytest.raises(RefInPath):
            backend.delete(fragment=where)
        told = rf"'{first}' is a branch or tag there: write lakefs://{local}/a/x\.csv, and `load_args: {{lake_ref: "
        with pytest.raises(ObjectNotFound, match=told):
            backend.get(fragment=where)
    assert branches(lakefs_local, local) == ["main"]
    assert uncommitted(lakefs_local, local) == []


def test_a_folder_in_use_may_have_the_name_of_a_ref(
    lakefs_local: LakeFSServer, local: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(lakefs_local, local, "main/old")
    backend = on(lakefs_local, "main")
    for name in ("x", "y"):
        backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/main/{name}"))
        assert backend.get(fragment=parse(f"lakefs://{local}/main/{name}")) == b"x"
    assert caplog.text.count("'main' is a folder on the branch 'main'") == 1


@pytest.mark.parametrize("folder", ["02_clean", "data", "über all", "-x"])
def test_the_first_segment_is_looked_at_once(
    lakefs_local: LakeFSServer, local: str, requests_of: Callable[[LakeFSBackend], list[str]], folder: str
) -> None:
    backend = on(lakefs_local, "main")
    sent = requests_of(backend)
    for name in ("x", "y"):
        backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/{folder}/{name}"))
    looks = ["GET " + folder] if folder in ("02_clean", "data") else []
    assert sent == [*looks, *["GET stat", "POST objects"] * 2]


def test_a_folder_whose_name_begins_a_commit_is_no_ref(lakefs_local: LakeFSServer, local: str) -> None:
    write(lakefs_local, local, "x")
    folder = commit(lakefs_local, local)[:6]
    on(lakefs_local, "main").put(payload=b"x", fragment=parse(f"lakefs://{local}/{folder}/x"))
    assert uncommitted(lakefs_local, local) == [f"{folder}/x"]


def test_a_path_of_one_segment_may_be_the_name_of_a_ref(lakefs_local: LakeFSServer, local: str) -> None:
    on(lakefs_local, "main").put(payload=b"x", fragment=parse(f"lakefs://{local}/main"))
    assert uncommitted(lakefs_local, local) == ["main"]


def test_a_pinned_write_does_not_name_its_branch_twice(lakefs_local: LakeFSServer, local: str) -> None:
    with pytest.raises(RefInPath, match=rf"write lakefs://{local}/x\.$"):
        on(lakefs_local, "main").put(payload=b"x", fragment=parse(f"lakefs://{local}/main/x"), lake_ref="main")
    assert uncommitted(lakefs_local, local) == []


def test_the_branch_that_a_write_would_make_is_no_folder(lakefs_local: LakeFSServer, local: str) -> None:
    backend, where = on(lakefs_local, "feature/x"), parse(f"lakefs://{local}/feature--x/x.csv")
    with pytest.raises(RefInPath, match=rf"write lakefs://{local}/x\.csv\."):
        backend.put(payload=b"x", fragment=where)
    assert not backend.exists(fragment=where)


def test_a_commit_and_an_expression_are_no_folders(lakefs_local: LakeFSServer, local: str) -> None:
    write(lakefs_local, local, "x.csv")
    for ref in (commit(lakefs_local, local), "main~1", "main@"):
        with pytest.raises(RefInPath):
            on(lakefs_local, "main").put(payload=b"x", fragment=parse(f"lakefs://{local}/{ref}/x.csv"))
        with pytest.raises(ObjectNotFound, match=r"write lakefs://\S+/x\.csv, and"):
            on(lakefs_local, "main").get(fragment=parse(f"lakefs://{local}/{ref}/x.csv"))


# -- folders ------------------------------------------------------------------------------------------------------


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_goes_up_and_down_whole(lakefs_server: LakeFSServer, repository: str, tmp_path: Path) -> None:
    names = [*(f"part-{number}" for number in range(8)), "deep/er/ü ?#%", "_log/0.json"]
    source = make_files(tmp_path / "source", *names)
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    where = parse(f"lakefs://{repository}/tree")
    backend.upload(source=source, fragment=where)
    backend.download(target=tmp_path / "target", fragment=where)
    assert files_in(tmp_path / "target") == files_in(source)
    assert sorted(info.path for info in backend.list(fragment=where)) == sorted(names)


def test_files_that_say_that_the_rest_is_complete_go_last(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    upload = LakeFSAPI.upload

    def record(self: LakeFSAPI, repository: str, branch: str, path: str, *more: Any) -> Any:
        sent.append(path)
        return upload(self, repository, branch, path, *more)

    monkeypatch.setattr(LakeFSAPI, "upload", record)
    source = make_files(tmp_path / "source", "_delta_log/1.json", "_delta_log/0.json", "z", "a", "_SUCCESS")
    on(lakefs_local, "main").upload(source=source, fragment=parse(f"lakefs://{local}/tree"))
    assert sorted(sent[:2]) == ["tree/a", "tree/z"]
    assert sent[2:5] == ["tree/_SUCCESS", "tree/_delta_log/0.json", "tree/_delta_log/1.json"]
    assert sent[5:] == [FOLDER_MARK + "tree"]


def test_what_a_new_folder_does_not_have_is_removed(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    for name in ("tree/old", "tree/deep/old", "tree/kept", "tree-too/x"):
        write(lakefs_local, local, name)
    source = make_files(tmp_path / "source", "new", "kept")
    backend = on(lakefs_local, "main")
    backend.upload(source=source, fragment=parse(f"lakefs://{local}/tree"))
    assert [info.path for info in backend.list(fragment=parse(f"lakefs://{local}/tree"))] == ["kept", "new"]
    assert backend.exists(fragment=parse(f"lakefs://{local}/tree-too/x"))


def test_a_folder_on_a_new_branch_has_nothing_of_the_source(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path
) -> None:
    write(lakefs_local, local, "tree/old")
    commit(lakefs_local, local)
    feature = on(lakefs_local, "feature")
    feature.upload(source=make_files(tmp_path / "source", "a", "b"), fragment=parse(f"lakefs://{local}/tree"))
    assert [info.path for info in feature.list(fragment=parse(f"lakefs://{local}/tree"))] == ["a", "b"]
    assert on(lakefs_local, "main").exists(fragment=parse(f"lakefs://{local}/tree/old"))


def test_a_folder_leaves_a_mark_that_changes_when_anything_in_it_does(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path
) -> None:
    backend = on(lakefs_local, "main")
    where, mark = parse(f"lakefs://{local}/tree"), f"{FOLDER_MARK}tree"
    marks = []
    for names in (("a",), ("a", "b"), ("a", "b", "b2"), ("a", "b", "b2")):
        backend.upload(source=make_files(tmp_path / "source", *names), fragment=where)
        marks.append(backend.api.stat(local, "main", mark).checksum)
    assert len(set(marks)) == 3
    assert marks[2] == marks[3], "the same files are no change"
    assert all("statisfactory" not in info.path for info in backend.list(fragment=where))
    backend.delete(fragment=where)
    with pytest.raises(ObjectNotFound):
        backend.api.stat(local, "main", mark)


def test_where_marks_are_kept_there_are_no_entries(lakefs_local: LakeFSServer, local: str) -> None:
    for path in (".statisfactory", ".statisfactory/x"):
        with pytest.raises(InvalidURL, match="which this package uses: choose another"):
            on(lakefs_local, "main").put(payload=b"", fragment=parse(f"lakefs://{local}/{path}"))
    on(lakefs_local, "main").put(payload=b"", fragment=parse(f"lakefs://{local}/.statisfactory-of-mine"))


def test_an_empty_folder_cannot_be_stored(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    (tmp_path / "source/empty").mkdir(parents=True)
    with pytest.raises(TransferError, match="no files"):
        on(lakefs_local, "main").upload(source=tmp_path / "source", fragment=parse(f"lakefs://{local}/tree"))


def test_a_long_path_within_a_folder_is_refused(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    source = make_files(tmp_path / "source", "x" * 200)
    for path in ("y" * 1000, "y" * (LONGEST_PATH - len(FOLDER_MARK) + 1)):
        with pytest.raises(InvalidURL, match=f"bytes, and lakeFS allows {LONGEST_PATH}: shorten it"):
            on(lakefs_local, "main").upload(source=source, fragment=parse(f"lakefs://{local}/{path}"))
    assert uncommitted(lakefs_local, local) == []


def test_a_folder_takes_the_place_of_an_object(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    backend, where = on(lakefs_local, "main"), parse(f"lakefs://{local}/x")
    backend.put(payload=b"an object", fragment=where)
    backend.upload(source=make_files(tmp_path / "source", "part-0"), fragment=where)
    backend.download(target=tmp_path / "x", fragment=where)
    assert list(files_in(tmp_path / "x")) == ["part-0"]


def test_what_is_read_while_its_branch_is_made_is_there(
    lakefs_local: LakeFSServer, local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lakefs_local, local, "x")
    commit(lakefs_local, local)
    backend, branch = on(lakefs_local, "new"), LakeFSAPI.branch

    def made_just_now(self: LakeFSAPI, repository: str, name: str) -> Any:
        with contextlib.suppress(Conflict):
            self.create_branch(repository, name, "main")
        return branch(self, repository, name)

    monkeypatch.setattr(LakeFSAPI, "branch", made_just_now)
    assert backend.get(fragment=parse(f"lakefs://{local}/x")) == b"x"
    assert not backend.exists(fragment=parse(f"lakefs://{local}/y"))
    with pytest.raises(ObjectNotFound, match="at 'new'"):
        backend.get(fragment=parse(f"lakefs://{local}/y"))


def test_markers_of_other_tools_are_no_files(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    write(lakefs_local, local, "tree/x")
    for marker in ("tree/sub/", "tree/sub_$folder$", "marked/"):
        write(lakefs_local, local, marker, b"")
    backend = on(lakefs_local, "main")
    where = parse(f"lakefs://{local}/tree")
    backend.download(target=tmp_path / "tree", fragment=where)
    assert list(files_in(tmp_path / "tree")) == ["x"]
    assert [info.path for info in backend.list(fragment=where)] == ["x"]
    with pytest.raises(ObjectNotFound):
        backend.download(target=tmp_path / "marked", fragment=parse(f"lakefs://{local}/marked"))
    backend.delete(fragment=where)
    assert sorted(uncommitted(lakefs_local, local)) == ["marked/"]


def test_a_path_that_would_leave_the_folder_is_refused(lakefs_local: LakeFSServer, local: str, tmp_path: Path) -> None:
    for name in ("tree/ok", "tree/a/../../../escaped"):
        write(lakefs_local, local, name)
    with pytest.raises(InvalidURL):
        on(lakefs_local, "main").download(target=tmp_path / "tree", fragment=parse(f"lakefs://{local}/tree"))
    assert not list(tmp_path.parent.glob("escaped"))


def test_many_objects_are_listed_and_deleted_page_by_page(
    lakefs_local: LakeFSServer, local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = on(lakefs_local, "main")
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda number: write(lakefs_local, local, f"tree/{number:02}"), range(25)))
    monkeypatch.setattr(requests, "PAGE", 10)
    where = parse(f"lakefs://{local}/tree")
    assert [info.path for info in backend.list(fragment=where)] == [f"{number:02}" for number in range(25)]
    backend.delete(fragment=where)
    assert not backend.exists(fragment=where)


def test_stat_tells_size_time_and_checksum(lakefs_local: LakeFSServer, local: str) -> None:
    write(lakefs_local, local, "x", b"12345")
    info = on(lakefs_local, "main").stat(fragment=parse(f"lakefs://{local}/x"))
    assert (info.path, info.size, info.checksum) == ("", 5, hashlib.md5(b"12345").hexdigest())
    assert info.modified is not None
    assert info.modified.tzinfo is not None
    with pytest.raises(ObjectNotFound):
        on(lakefs_local, "main").stat(fragment=parse(f"lakefs://{local}/none"))


def test_versions_are_the_runs_and_commits_that_changed_an_entry(lakefs_local: LakeFSServer, local: str) -> None:
    made = []
    for number, path in enumerate(("x", "tree/a", "x", "tree/b")):
        write(lakefs_local, local, path, str(number).encode())
        made.append(commit(lakefs_local, local, **({"kedro_run_id": f"run-{number}"} if number else {})))
    for branch in ("main", "feature"):
        backend = on(lakefs_local, branch)
        assert list(backend.versions(fragment=parse(f"lakefs://{local}/x"))) == ["run-2", made[0]]
        assert list(backend.versions(fragment=parse(f"lakefs://{local}/tree"))) == ["run-3", "run-1"]
        assert list(backend.versions(fragment=parse(f"lakefs://{local}/none"))) == []


# -- large objects ------------------------------------------------------------------------------------------------


def test_a_part_that_is_stopped_closes_its_answer_at_once(
    lakefs_s3: LakeFSServer, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, where = (
        LakeFSBackend(Session(lakefs_s3.credentials)),
        parse(f"lakefs://{lakefs_s3.new_repository()}/large"),
    )
    backend.upload(source=large_file, fragment=where)
    arriving: list[Any] = []

    def stopped(self: PartWriter, part: Part, chunks: Any, stop: threading.Event) -> None:
        arriving.append(chunks)
        next(chunks)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(PartWriter, "fill", stopped)
    with pytest.raises(OSError, match="full"):
        backend.download(target=tmp_path / "large", fragment=where)
    assert arriving
    assert all(each.gi_frame is None for each in arriving), "each is closed, and is not left to the garbage collector"


@pytest.mark.parametrize("of", ["a file", "bytes"])
def test_a_large_object_travels_whole(
    lakefs_server: LakeFSServer,
    repository: str,
    large_file: Path,
    tmp_path: Path,
    requests_of: Callable[[LakeFSBackend], list[str]],
    of: str,
) -> None:
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    signs = backend._store.use.reads
    where, content = parse(f"lakefs://{repository}/large"), large_file.read_bytes()
    sent = requests_of(backend)
    if of == "a file":
        backend.upload(source=large_file, fragment=where)
    else:
        backend.put(payload=content, fragment=where)
    assert signs == ("s3" in lakefs_server.namespace)
    parts = len(transfer.parts(LARGE, transfer.UPLOAD_PART))
    if signs:
        assert (sent[0], len(sent)) == ("POST pmpu", parts + 2)
    else:
        assert sent == ["GET stat", "POST objects"]
    sent.clear()
    if of == "a file":
        backend.download(target=tmp_path / "large", fragment=where)
        assert (tmp_path / "large").read_bytes() == content
    else:
        assert backend.get(fragment=where) == content
    # Where the rest comes by signed URLs, the server gives the first part.
    assert sent == ["GET objects", "GET stat", *sent[2:]]
    assert len(sent) == 2 + (len(transfer.parts(LARGE, transfer.DOWNLOAD_PART)) - 1 if signs else 0)
    assert backend.stat(fragment=where).size == LARGE


@pytest.mark.parametrize("size", [0, transfer.SMALL - 1, transfer.SMALL])
def test_a_small_object_takes_one_request_each_way_and_a_look_before_a_write(
    lakefs_server: LakeFSServer, repository: str, requests_of: Callable[[LakeFSBackend], list[str]], size: int
) -> None:
    backend, where = LakeFSBackend(Session(lakefs_server.credentials)), parse(f"lakefs://{repository}/x")
    sent, payload = requests_of(backend), os.urandom(size)
    backend.put(payload=payload, fragment=where)
    assert backend.get(fragment=where) == payload
    assert sent == ["GET stat", "POST objects", "GET objects"]


def test_a_part_that_nobody_asked_for_is_an_error_and_no_endless_loop(lakefs_local: LakeFSServer, local: str) -> None:
    told = {"ETag": '"x"', "Content-Range": f"bytes 0-2/{LARGE}"}
    with gateway(lakefs_local.endpoint_url) as between:
        backend = LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": between.endpoint_url}))
        assert not backend._store.use.reads
        between.answers.extend([Canned(206, b"abc", told)] * 50)
        with pytest.raises(TransferError, match="a proxy"):
            backend.get(fragment=parse(f"lakefs://{local}/x"))
    assert len(between.seen) < 10


def test_verify_is_true_or_false(backend: LakeFSBackend, local: str) -> None:
    with pytest.raises(UnknownOption, match="true or false"):
        backend.get(fragment=parse(f"lakefs://{local}/x"), verify="no")


def test_a_server_that_signs_no_urls_is_asked_for_the_beginning_of_a_large_object_but_once(
    lakefs_local: LakeFSServer, local: str, large_file: Path, requests_of: Callable[[LakeFSBackend], list[str]]
) -> None:
    # The credentials are one's own: what a process has learnt of the server is kept for them.
    backend = LakeFSBackend(Session({**lakefs_local.credentials, "verify_ssl": False}))
    write(lakefs_local, local, "large", large_file.read_bytes())
    sent = requests_of(backend)
    for _ in range(2):
        assert backend.get(fragment=parse(f"lakefs://{local}/large")) == large_file.read_bytes()
    assert sent == ["GET objects", "GET config", "GET objects", "GET stat", "GET objects", "GET stat"]


def test_the_store_gives_the_rest_of_a_large_object_whose_beginning_breaks_off(
    lakefs_s3: LakeFSServer, large_file: Path
) -> None:
    where = parse(f"lakefs://{lakefs_s3.new_repository()}/large")
    LakeFSBackend(Session(lakefs_s3.credentials)).upload(source=large_file, fragment=where)
    with proxy(lakefs_s3.endpoint_url) as network:
        backend = LakeFSBackend(Session({**lakefs_s3.credentials, "endpoint": network.endpoint_url}))
        assert backend._store.use.reads
        lakefs_client(backend._session).rest_client.pool_manager.clear()
        network.faults.append(Fault(3_000_000))
        assert backend.get(fragment=where) == large_file.read_bytes()
        assert not network.faults


def test_a_large_upload_whose_first_answer_is_lost_is_sent_again_from_its_start(
    lakefs_local: LakeFSServer, local: str, large_file: Path, tmp_path: Path
) -> None:
    where = parse(f"lakefs://{local}/large")
    with proxy(lakefs_local.endpoint_url) as network:
        backend = LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": network.endpoint_url}))
        assert not backend._store.use.writes
        lakefs_client(backend._session).rest_client.pool_manager.clear()
        network.faults.extend([Fault(0)] * 2)
        backend.upload(source=large_file, fragment=where)
    on(lakefs_local, "main").download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


def parts_left(seaweed: S3Server, repository: str) -> list[str]:
    client = s3_client(Session(seaweed.credentials))
    found = client.list_multipart_uploads(Bucket="lakefs-blocks", Prefix=f"{repository}/").get("Uploads", [])
    return [upload["Key"] for upload in found]


@pytest.mark.parametrize("call", ["_put", "complete_parts"])
@pytest.mark.parametrize("abort", [True, False], ids=["abort", "no abort"])
def test_an_upload_that_breaks_off_leaves_the_old_object_and_no_parts(
    lakefs_s3: LakeFSServer,
    seaweed: S3Server,
    large_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    abort: bool,
) -> None:
    repository = lakefs_s3.new_repository()
    write(lakefs_s3, repository, "large", b"old")
    calls = threading.Semaphore(2 if call == "_put" else 0)
    owner = LakeFSStore if call == "_put" else LakeFSAPI
    original = getattr(owner, call)

    def interrupt(self: Any, *arguments: Any) -> Any:
        if not calls.acquire(blocking=False):
            assert parts_left(seaweed, repository)
            raise KeyboardInterrupt
        return original(self, *arguments)

    def fail(*_: Any) -> None:
        raise TransferError("another error that says less")

    monkeypatch.setattr(owner, call, interrupt)
    if not abort:
        monkeypatch.setattr(LakeFSAPI, "abort_parts", fail)
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    with pytest.raises(KeyboardInterrupt):
        backend.upload(source=large_file, fragment=parse(f"lakefs://{repository}/large"))
    assert backend.get(fragment=parse(f"lakefs://{repository}/large")) == b"old"
    if abort:
        assert parts_left(seaweed, repository) == []


@pytest.mark.parametrize("verify", [True, False])
def test_a_large_object_of_others_is_verified_as_far_as_it_can_be(
    lakefs_server: LakeFSServer,
    repository: str,
    large_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verify: bool,
) -> None:
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    write(lakefs_server, repository, "whole", large_file.read_bytes())  # its checksum is an MD5
    with monkeypatch.context() as patch:
        patch.setattr(api, "CRC32_KEY", "another")
        backend.upload(source=large_file, fragment=parse(f"lakefs://{repository}/parts"))  # in parts, it is none
    for name in ("whole", "parts"):
        where = parse(f"lakefs://{repository}/{name}")
        backend.download(target=tmp_path / name, fragment=where, verify=verify)
        assert (tmp_path / name).read_bytes() == large_file.read_bytes()


def test_a_large_object_that_is_not_what_was_stored_is_an_error_and_no_file(
    lakefs_server: LakeFSServer, repository: str, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    where = parse(f"lakefs://{repository}/large")
    with monkeypatch.context() as patch:
        patch.setattr(crc32, "combined", lambda _: 0)
        patch.setattr(transfer, "crc32_of", lambda _: 0)
        backend.upload(source=large_file, fragment=where)
    with pytest.raises(IntegrityError, match="'large' did not arrive as it was stored"):
        backend.download(target=tmp_path / "large", fragment=where)
    assert not (tmp_path / "large").exists()
    backend.download(target=tmp_path / "large", fragment=where, verify=False)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


def test_a_large_object_replaced_while_it_is_read_comes_from_one_version(
    lakefs_local: LakeFSServer, local: str, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = LakeFSBackend(Session(lakefs_local.credentials))
    where = parse(f"lakefs://{local}/large")
    backend.upload(source=large_file, fragment=where)
    stat = LakeFSAPI.stat

    def replace(self: LakeFSAPI, *arguments: Any) -> Any:
        write(lakefs_local, local, "large", bytes(LARGE))
        return stat(self, *arguments)

    monkeypatch.setattr(LakeFSAPI, "stat", replace)
    backend.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


# -- a bad network ------------------------------------------------------------------------------------------------


@pytest.fixture
def network(lakefs_local: LakeFSServer) -> Iterator[Proxy]:
    with proxy(lakefs_local.endpoint_url) as state:
        yield state


@pytest.fixture
def over_network(lakefs_local: LakeFSServer, network: Proxy) -> LakeFSBackend:
    return LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": network.endpoint_url}))


def reads_of(backend: LakeFSBackend, target: Path) -> dict[str, Callable[..., bytes]]:
    def download(**more: Any) -> bytes:
        backend.download(target=target, **more)
        return target.read_bytes()

    return {"get": backend.get, "download": download}


@pytest.mark.parametrize("read", ["get", "download"])
@pytest.mark.parametrize(
    "fault",
    [Fault(0), Fault(20), Fault(60), Fault(300), Fault(120_000), Fault(120_000, flip=True)],
    ids=lambda fault: f"{'flipped' if fault.flip else 'cut'} at {fault.at}",
)
def test_a_damaged_answer_is_read_again(
    lakefs_local: LakeFSServer,
    local: str,
    network: Proxy,
    over_network: LakeFSBackend,
    tmp_path: Path,
    fault: Fault,
    read: str,
) -> None:
    write(lakefs_local, local, "x", b"x" * 200_000)
    network.faults.append(fault)
    fetch = reads_of(over_network, tmp_path / "x")[read]
    assert fetch(fragment=parse(f"lakefs://{local}/x")) == b"x" * 200_000


@pytest.mark.parametrize("read", ["get", "download"])
@pytest.mark.parametrize("flip", [False, True], ids=["cut", "flipped"])
def test_an_answer_that_stays_damaged_is_an_error_and_never_data(
    lakefs_local: LakeFSServer,
    local: str,
    network: Proxy,
    over_network: LakeFSBackend,
    tmp_path: Path,
    flip: bool,
    read: str,
) -> None:
    on(lakefs_local, "main").put(payload=b"x" * 200_000, fragment=parse(f"lakefs://{local}/x"))
    network.faults.extend([Fault(120_000, flip, again=True)] * 50)
    with pytest.raises(IntegrityError):
        reads_of(over_network, tmp_path / "x")[read](fragment=parse(f"lakefs://{local}/x"))
    assert not (tmp_path / "x").exists()
    assert (
        network.connections <= 10
    )  # each damaged answer leaves its connection, and the server is asked to describe it


@pytest.mark.parametrize("read", ["get", "download"])
def test_an_object_of_others_that_arrives_as_other_bytes_each_time_is_an_error_and_never_data(
    lakefs_local: LakeFSServer, local: str, network: Proxy, over_network: LakeFSBackend, tmp_path: Path, read: str
) -> None:
    write(lakefs_local, local, "x", b"x" * 200_000)
    network.faults.extend([Fault(120_000 + number, flip=True, again=True) for number in range(50)])
    with pytest.raises(IntegrityError, match="other bytes each time"):
        reads_of(over_network, tmp_path / "x")[read](fragment=parse(f"lakefs://{local}/x"))
    assert not (tmp_path / "x").exists()


def test_a_checksum_that_only_looks_like_an_md5_costs_a_second_read(
    lakefs_local: LakeFSServer, local: str, requests_of: Callable[[LakeFSBackend], list[str]]
) -> None:
    write(lakefs_local, local, "x", b"x")
    backend, where = on(lakefs_local, "main"), parse(f"lakefs://{local}/y")
    found = backend.api.stat(local, "main", "x")
    imported = {"physical_address": found.address, "checksum": "0" * 32, "size_bytes": 1}
    lakefs_local.call("PUT", f"/repositories/{local}/branches/main/objects?path=y", json=imported)
    sent = requests_of(backend)
    assert backend.get(fragment=where) == b"x"
    assert sent == ["GET objects", "GET stat", "GET objects", "GET stat"]
    sent.clear()
    assert backend.get(fragment=where, verify=False) == b"x"
    assert sent == ["GET objects"]


def test_a_crc32_decides_where_the_checksum_only_looks_like_an_md5(
    lakefs_local: LakeFSServer, local: str, requests_of: Callable[[LakeFSBackend], list[str]]
) -> None:
    backend, where = on(lakefs_local, "main"), parse(f"lakefs://{local}/x")
    backend.put(payload=b"x", fragment=where)
    found = backend.api.stat(local, "main", "x")
    copied = {
        "physical_address": found.address,
        "checksum": "0" * 32,
        "size_bytes": 1,
        "metadata": dict(found.metadata),
    }
    lakefs_local.call("PUT", f"/repositories/{local}/branches/main/objects?path=x", json=copied)
    sent = requests_of(backend)
    assert backend.get(fragment=where) == b"x"
    assert sent == ["GET objects", "GET stat"]


@pytest.mark.parametrize("path", ["small", "large"])
def test_damage_of_what_this_package_stored_is_told_even_where_the_store_itself_is_damaged(
    lakefs_local: LakeFSServer, local: str, large_file: Path, path: str
) -> None:
    backend, where = on(lakefs_local, "main"), parse(f"lakefs://{local}/{path}")
    payload = large_file.read_bytes() if path == "large" else b"good"
    backend.put(payload=payload, fragment=where)
    write(lakefs_local, local, "bad", b"b" + payload[1:])
    bad, good = backend.api.stat(local, "main", "bad"), backend.api.stat(local, "main", path)
    damaged = {
        "physical_address": bad.address,
        "checksum": good.checksum,
        "size_bytes": good.size,
        "metadata": dict(good.metadata),
    }
    lakefs_local.call("PUT", f"/repositories/{local}/branches/main/objects?path={path}", json=damaged)
    with pytest.raises(IntegrityError, match=f"'{path}' did not arrive as it was stored"):
        backend.get(fragment=where)


@pytest.mark.parametrize(
    ("size", "part"),
    [(1000, 5 << 20), ((11 << 20) + 7, 5 << 20), (LARGE, 8 << 20), (LARGE, 64 << 20)],
    ids=["small in one part", "small in three parts", "large in three parts", "large in one part"],
)
def test_what_others_wrote_in_parts_through_the_s3_gateway_is_read(
    lakefs_server: LakeFSServer, repository: str, tmp_path: Path, size: int, part: int
) -> None:
    from boto3.s3.transfer import TransferConfig

    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    gateway_of_s3 = s3_client(
        Session(
            {
                "aws_access_key_id": lakefs_server.access_key,
                "aws_secret_access_key": lakefs_server.secret_key,
                "endpoint_url": lakefs_server.endpoint_url,
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            }
        )
    )
    in_parts = TransferConfig(multipart_threshold=1, multipart_chunksize=part)
    for name in ("x", "tree/x", "tree/y"):
        gateway_of_s3.upload_file(str(source), repository, f"main/{name}", Config=in_parts)
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    found = backend.api.stat(repository, "main", "x")
    assert (len(found.checksum), found.checksum != hashlib.md5(source.read_bytes()).hexdigest()) == (32, True)
    assert backend.get(fragment=parse(f"lakefs://{repository}/x")) == source.read_bytes()
    backend.download(target=tmp_path / "tree", fragment=parse(f"lakefs://{repository}/tree"))
    assert files_in(tmp_path / "tree") == dict.fromkeys(("x", "y"), source.read_bytes())


@pytest.mark.parametrize("size", [10, 0])
def test_a_page_whose_checksum_is_no_md5_counts_only_as_what_the_server_describes(
    lakefs_local: LakeFSServer, local: str, size: int
) -> None:
    page = Canned(200, b"<" * size, {"ETag": '"page"'})
    with gateway(lakefs_local.endpoint_url) as between:
        backend = LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": between.endpoint_url}))
        assert not backend._store.use.reads
        write(lakefs_local, local, "x")
        between.answers.append(page)
        assert backend.get(fragment=parse(f"lakefs://{local}/x")) == b"x", "it was read again"
        between.answers.extend([page] * 50)
        with pytest.raises(InvalidCredentials, match="no lakeFS server"):
            backend.get(fragment=parse(f"lakefs://{local}/x"))


# Of a client's connection: beyond the headers of a request, within what is uploaded.
DAMAGED_UPLOADS = [Fault(120_000, flip=True, of_requests=True, again=True)] * 50


@pytest.mark.parametrize("of", ["bytes", "a file", "a folder"])
@pytest.mark.parametrize("before", ["committed", "uncommitted", "both", "nothing"])
def test_where_an_upload_arrives_damaged_what_was_there_before_is_there_again(
    lakefs_local: LakeFSServer,
    local: str,
    network: Proxy,
    over_network: LakeFSBackend,
    tmp_path: Path,
    before: str,
    of: str,
) -> None:
    path = "tree/x" if of == "a folder" else "x"
    where = parse(f"lakefs://{local}/{path}")
    direct = on(lakefs_local, "main")

    def described() -> list[Stat]:
        # A server with a local store tells another address for what it was told itself.
        return [dataclasses.replace(stat, address="") for stat in direct.api.list(local, "main", "")]

    direct.put(payload=b"neighbour", fragment=parse(f"lakefs://{local}/xy"))
    if before in ("committed", "both"):
        direct.put(payload=b"committed", fragment=where)
    commit(lakefs_local, local)
    if before in ("uncommitted", "both"):
        direct.put(payload=b"uncommitted", fragment=where)
    found, changed = described(), uncommitted(lakefs_local, local)
    make_files(tmp_path / "source", "x")
    (tmp_path / "source/x").write_bytes(b"x" * 200_000)
    saves: dict[str, Callable[[], None]] = {
        "bytes": lambda: over_network.put(payload=b"x" * 200_000, fragment=where),
        "a file": lambda: over_network.upload(source=tmp_path / "source/x", fragment=where),
        "a folder": lambda: over_network.upload(source=tmp_path / "source", fragment=parse(f"lakefs://{local}/tree")),
    }
    network.faults.extend(DAMAGED_UPLOADS)
    for _ in range(2):
        with pytest.raises(IntegrityError, match=f"other bytes than were sent to '{path}'.*before is there again"):
            saves[of]()
    assert described() == found
    assert uncommitted(lakefs_local, local) == changed
    if before == "nothing":
        assert not direct.exists(fragment=where)
    else:
        assert direct.get(fragment=where) == (b"committed" if before == "committed" else b"uncommitted")


def test_an_object_is_put_back_as_it_was_described(lakefs_s3: LakeFSServer) -> None:
    repository, backend = lakefs_s3.new_repository(), on(lakefs_s3, "main")
    imported = {"physical_address": "s3://elsewhere/x", "checksum": "0", "size_bytes": 8, "metadata": {"a": "b"}}
    lakefs_s3.call("PUT", f"/repositories/{repository}/branches/main/objects?path=imported", json=imported)
    backend.put(payload=b"old", fragment=parse(f"lakefs://{repository}/ours"))
    for path in ("imported", "ours"):
        back, before = (
            PuttingBack(backend.api, repository, "main", hidden=False),
            backend.api.stat(repository, "main", path),
        )
        put_back = back.after(functools.partial(back.look, path))
        assert put_back is not None
        write(lakefs_s3, repository, path, b"damaged")
        put_back(backend.api.stat(repository, "main", path))
        assert backend.api.stat(repository, "main", path) == before


def test_an_upload_that_arrives_damaged_once_is_sent_again(
    lakefs_local: LakeFSServer, local: str, network: Proxy, over_network: LakeFSBackend
) -> None:
    where = parse(f"lakefs://{local}/x")
    network.faults.append(Fault(120_000, flip=True, of_requests=True))
    over_network.put(payload=b"x" * 200_000, fragment=where)
    assert on(lakefs_local, "main").get(fragment=where) == b"x" * 200_000


def test_in_a_run_a_damaged_upload_is_told_and_stays_hidden(
    lakefs_local: LakeFSServer, local: str, network: Proxy
) -> None:
    make_branch(lakefs_local, local, "run")
    over_network = LakeFSBackend(
        Session(
            {**lakefs_local.credentials, "endpoint": network.endpoint_url},
            Project(
                head=Head("main", None, "a test"),
                pins={(f"{network.endpoint_url}/api/v1", local): Pin("run", "run")},
            ),
        )
    )
    network.faults.extend(DAMAGED_UPLOADS)
    with pytest.raises(IntegrityError, match="what is there now is damaged"):
        over_network.put(payload=b"x" * 200_000, fragment=parse(f"lakefs://{local}/x"))
    assert uncommitted(lakefs_local, local) == []


def test_in_a_run_nothing_is_looked_at_before_a_folder_is_sent(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path, requests_of: Callable[[LakeFSBackend], list[str]]
) -> None:
    make_branch(lakefs_local, local, "run")
    backend = pinned(lakefs_local, local, Pin("run", "run"))
    sent = requests_of(backend)
    backend.upload(source=make_files(tmp_path / "source", "a"), fragment=parse(f"lakefs://{local}/tree"))
    assert sent == ["POST objects", "GET ls", "POST delete", "POST objects"]
    sent.clear()
    on(lakefs_local, "main").upload(source=tmp_path / "source", fragment=parse(f"lakefs://{local}/tree"))
    assert sent == ["GET ls", "POST objects", "GET ls", "POST delete", "POST objects"]


def test_what_another_one_wrote_after_a_damaged_upload_stays(
    lakefs_local: LakeFSServer, local: str, network: Proxy, over_network: LakeFSBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, look = parse(f"lakefs://{local}/x"), PuttingBack.look
    looks = iter(range(100))

    def overtaken(self: PuttingBack, path: str) -> Stat | None:
        if next(looks):  # before anything is sent nobody else is there
            write(lakefs_local, local, "x", b"of another one")
        return look(self, path)

    monkeypatch.setattr(PuttingBack, "look", overtaken)
    network.faults.extend(DAMAGED_UPLOADS)
    with pytest.raises(IntegrityError, match="other bytes than were sent"):
        over_network.put(payload=b"x" * 200_000, fragment=where)
    assert on(lakefs_local, "main").get(fragment=where) == b"of another one"


def test_what_cannot_be_put_back_is_told(
    lakefs_local: LakeFSServer, local: str, network: Proxy, over_network: LakeFSBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise PermissionDenied("hands off.")

    monkeypatch.setattr(LakeFSAPI, "delete", fail)
    network.faults.extend(DAMAGED_UPLOADS)
    with pytest.raises(IntegrityError, match=r"'x' arrived damaged on the branch 'main'.*not be put back.*hands off"):
        over_network.put(payload=b"x" * 200_000, fragment=parse(f"lakefs://{local}/x"))


def test_who_may_write_need_not_be_allowed_to_read(lakefs_local: LakeFSServer, local: str) -> None:
    with gateway(lakefs_local.endpoint_url) as between:
        backend = LakeFSBackend(Session({**lakefs_local.credentials, "endpoint": between.endpoint_url}))
        between.answers.append(Canned(403, {"message": "no"}))
        backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))
    assert on(lakefs_local, "main").get(fragment=parse(f"lakefs://{local}/x")) == b"x"


@pytest.fixture
def store_network(seaweed: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A bad network between us and the store behind lakeFS, which leaves lakeFS itself alone."""
    ask_at = LakeFSStore._ask_at

    def divert(self: LakeFSStore, url: Hidden[str], method: str, headers: Mapping[str, str], *more: Any) -> Any:
        parts = urlsplit(url.reveal())
        headers = {**headers, "Host": parts.netloc}  # which is signed
        diverted = parts._replace(netloc=urlsplit(state.endpoint_url).netloc).geturl()
        return ask_at(self, Hidden(diverted), method, headers, *more)

    with proxy(seaweed.endpoint_url) as state:
        monkeypatch.setattr(LakeFSStore, "_ask_at", divert)
        yield state


def hang_up(backend: LakeFSBackend, network: Proxy) -> None:
    """Let the next requests to the store have connections of their own, which take the next faults."""
    object_store(backend._session, network.endpoint_url).clear()


def test_a_large_read_that_is_cut_goes_on(
    lakefs_s3: LakeFSServer, store_network: Proxy, large_file: Path, tmp_path: Path
) -> None:
    repository = lakefs_s3.new_repository()
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    where = parse(f"lakefs://{repository}/large")
    store_network.faults.extend([Fault(0), Fault(20)])
    backend.upload(source=large_file, fragment=where)
    hang_up(backend, store_network)
    store_network.faults.extend([Fault(30_000), Fault(100), Fault(20_000)])
    backend.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()
    assert not store_network.faults


def test_a_large_read_that_is_flipped_is_an_error_and_never_data(
    lakefs_s3: LakeFSServer, store_network: Proxy, large_file: Path, tmp_path: Path
) -> None:
    repository = lakefs_s3.new_repository()
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    where = parse(f"lakefs://{repository}/large")
    backend.upload(source=large_file, fragment=where)
    write(lakefs_s3, repository, "whole", large_file.read_bytes())
    for name in ("large", "whole"):
        hang_up(backend, store_network)
        store_network.faults.extend([Fault(100_000 + number, flip=True, again=True) for number in range(50)])
        with pytest.raises(IntegrityError):
            backend.download(target=tmp_path / name, fragment=parse(f"lakefs://{repository}/{name}"))
        assert not (tmp_path / name).exists()


def test_the_bytes_of_an_object_in_parts_are_verified_too(
    lakefs_s3: LakeFSServer, large_file: Path, tmp_path: Path
) -> None:
    where = parse(f"lakefs://{lakefs_s3.new_repository()}/large")
    LakeFSBackend(Session(lakefs_s3.credentials)).upload(source=large_file, fragment=where)
    with proxy(lakefs_s3.endpoint_url) as network:
        backend = LakeFSBackend(Session({**lakefs_s3.credentials, "endpoint": network.endpoint_url}))
        assert "-" in backend.api.stat(where.netloc, "main", "large").checksum, "it is no MD5"
        for faults, whole in ((1, True), (20, False)):
            lakefs_client(backend._session).rest_client.pool_manager.clear()
            network.faults.clear()
            network.faults.extend([Fault(5_000_000, flip=True, again=not whole)] * faults)
            if whole:
                assert backend.get(fragment=where) == large_file.read_bytes()
            else:
                with pytest.raises(IntegrityError, match="did not arrive"):
                    backend.get(fragment=where)


def test_a_part_that_is_damaged_on_its_way_never_becomes_an_object(
    lakefs_s3: LakeFSServer, seaweed: S3Server, large_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = lakefs_s3.new_repository()
    ask_at, refused = LakeFSStore._ask_at, list[int]()
    damaged = threading.Semaphore(1)

    def damage(self: LakeFSStore, url: Hidden[str], method: str, headers: Any, payload: bytes | None) -> Any:
        if payload and damaged.acquire(blocking=False):
            payload = payload[:-1] + bytes([payload[-1] ^ 1])
        try:
            return ask_at(self, url, method, headers, payload)
        except StoreFailed as error:
            refused.append(error.status)
            raise

    monkeypatch.setattr(LakeFSStore, "_ask_at", damage)
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    backend.upload(source=large_file, fragment=parse(f"lakefs://{repository}/large"))
    assert refused == [400], "and it is sent again"
    assert backend.get(fragment=parse(f"lakefs://{repository}/large")) == large_file.read_bytes()
    assert parts_left(seaweed, repository) == []


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
