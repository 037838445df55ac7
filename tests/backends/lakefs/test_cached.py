"""What is on this machine already does not travel from lakeFS again, and what is there is what the ref holds."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import LakeFSBackend, transfer
from kedro_statisfactory.backends.cache import place
from kedro_statisfactory.backends.cache.copies import LEAST
from kedro_statisfactory.backends.http import Peer
from kedro_statisfactory.backends.lakefs import objects
from kedro_statisfactory.errors import PermissionDenied
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import Pin, Project
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import commit, write
from tests.servers.lakefs import LakeFSServer

pytestmark = pytest.mark.once

CONTENT, OTHER = os.urandom(LEAST), os.urandom(LEAST)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv(place.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked for: ``object`` is one whose bytes travel."""
    found: list[str] = []
    send = Peer.send

    def noting(self: Peer, pool: Any, method: str, url: Any, *rest: Any, **more: Any) -> Any:
        path = url.reveal().partition("?")[0]
        found.append(
            "object" if path.endswith("/objects") and method == "GET" else f"{method} {path.rpartition('/')[2]}"
        )
        return send(self, pool, method, url, *rest, **more)

    monkeypatch.setattr(Peer, "send", noting)
    return found


@pytest.fixture
def repository(lakefs_local: LakeFSServer) -> str:
    return lakefs_local.new_repository()


@pytest.fixture
def backend(lakefs_local: LakeFSServer) -> LakeFSBackend:
    return LakeFSBackend(Session(lakefs_local.credentials, Project(head=Head("main", None, "a test"))))


def lent(backend: LakeFSBackend, folder: Path, url: str, **options: Any) -> Path:
    """Where an object is lent."""
    target = folder / f"lent-{len(os.listdir(folder))}"
    backend.lend(target=target, fragment=parse(url), **options)
    return target


def test_an_unchanged_object_costs_one_question_and_a_commit_none(
    lakefs_local: LakeFSServer, backend: LakeFSBackend, repository: str, tmp_path: Path, asked: list[str]
) -> None:
    url = f"lakefs://{repository}/x.bin"
    write(lakefs_local, repository, "x.bin", CONTENT)
    first, backend_again = commit(lakefs_local, repository), LakeFSBackend(backend._session)
    lent(backend, tmp_path, url, lake_ref=first)
    del asked[:]
    again = lent(backend_again, tmp_path, url, lake_ref=first)
    assert again.read_bytes() == backend.get(fragment=parse(url), lake_ref=first) == CONTENT
    assert backend_again.exists(fragment=parse(url), lake_ref=first)
    assert asked == []
    assert lent(backend, tmp_path, url).samefile(again), "on the branch it is the same, which is asked"
    assert "object" not in asked
    write(lakefs_local, repository, "x.bin", OTHER)
    assert lent(backend, tmp_path, url).read_bytes() == OTHER
    del asked[:]
    second = commit(lakefs_local, repository)
    for ref, content in ((second, OTHER), (first, CONTENT), (second, OTHER)):
        assert lent(backend, tmp_path, url, lake_ref=ref).read_bytes() == content
    assert asked == ["GET stat"], "the second commit holds what the branch held"


def test_who_has_another_secret_is_given_nothing_of_a_commit(
    lakefs_local: LakeFSServer, backend: LakeFSBackend, repository: str, tmp_path: Path
) -> None:
    url = f"lakefs://{repository}/x.bin"
    write(lakefs_local, repository, "x.bin", CONTENT)
    lent(backend, tmp_path, url, lake_ref=(first := commit(lakefs_local, repository)))
    wrong = {**lakefs_local.credentials, "secret_access_key": "mistyped-mistyped"}
    with pytest.raises(PermissionDenied):
        lent(LakeFSBackend(Session(wrong, backend._session.project)), tmp_path, url, lake_ref=first)


def test_what_was_saved_is_there_for_who_loads_it(
    backend: LakeFSBackend, repository: str, tmp_path: Path, asked: list[str]
) -> None:
    source = tmp_path / "staged"
    source.write_bytes(CONTENT)
    url = f"lakefs://{repository}/x.bin"
    backend.upload(source=source, fragment=parse(url), consume=True)
    assert lent(backend, tmp_path, url).samefile(source)
    backend.put(payload=OTHER, fragment=parse(url))
    assert backend.get(fragment=parse(url)) == OTHER
    assert "object" not in asked


def test_files_of_a_folder_are_known_by_its_listing(
    backend: LakeFSBackend, repository: str, tmp_path: Path, asked: list[str]
) -> None:
    source, url = tmp_path / "staged", parse(f"lakefs://{repository}/folder")
    source.mkdir()
    for name, content in (("a", CONTENT), ("b", OTHER)):
        (source / name).write_bytes(content)
    backend.upload(source=source, fragment=url, consume=True)
    del asked[:]
    backend.lend(target=tmp_path / "lent", fragment=url)
    assert {path.name: path.read_bytes() for path in (tmp_path / "lent").iterdir()} == {"a": CONTENT, "b": OTHER}
    assert [each for each in asked if "commit" not in each] == ["object", "GET ls"], "it is looked for as a file first"


def test_what_somebody_may_still_change_is_not_kept(
    backend: LakeFSBackend, repository: str, tmp_path: Path, cache: Path
) -> None:
    source, url = tmp_path / "mine", parse(f"lakefs://{repository}/x.bin")
    source.write_bytes(CONTENT)
    backend.upload(source=source, fragment=url)
    backend.download(target=tmp_path / "target", fragment=url)
    backend.lend(target=tmp_path / "unverified", fragment=url, verify=False)
    assert not cache.exists()


def test_a_damaged_copy_is_fetched_anew(
    lakefs_local: LakeFSServer, backend: LakeFSBackend, repository: str, tmp_path: Path, asked: list[str]
) -> None:
    url = f"lakefs://{repository}/x.bin"
    write(lakefs_local, repository, "x.bin", CONTENT)
    ref = commit(lakefs_local, repository)
    ways: list[Callable[[], bytes]] = [
        lambda: lent(backend, tmp_path, url, lake_ref=ref).read_bytes(),
        lambda: backend.get(fragment=parse(url)),
    ]
    for read in ways:
        file = lent(backend, tmp_path, url, lake_ref=ref)
        file.chmod(0o600)
        file.write_bytes(OTHER)
        del asked[:]
        assert read() == CONTENT
        assert "object" in asked


def test_an_object_of_another_size_or_checksum_than_its_copy_is_fetched(
    backend: LakeFSBackend, repository: str, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server says of its checksum is not all that is compared."""
    url = parse(f"lakefs://{repository}/x.bin")
    backend.put(payload=CONTENT, fragment=url)
    copies = backend._objects._copies
    key = copies._key(repository, "x.bin")
    copy = copies._cache.find(key)
    assert copy is not None
    backend.put(payload=OTHER, fragment=url)
    other = backend.stat(fragment=url).checksum
    assert other is not None
    copies._cache.keep(key, CONTENT, other, copy.crc32)
    del asked[:]
    assert backend.get(fragment=url) == OTHER
    assert "object" in asked


def test_a_large_object_is_kept_as_it_arrived(
    lakefs_s3: LakeFSServer, tmp_path: Path, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    backend = LakeFSBackend(Session(lakefs_s3.credentials, Project(head=Head("main", None, "a test"))))
    repository, content = lakefs_s3.new_repository(), os.urandom(transfer.SMALL + 1)
    url = f"lakefs://{repository}/x.bin"
    write(lakefs_s3, repository, "x.bin", content)
    first = lent(backend, tmp_path, url)
    del asked[:]
    assert lent(backend, tmp_path, url).samefile(first)
    assert asked == ["GET stat"]
    assert first.read_bytes() == content
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.fixture
def in_run(lakefs_local: LakeFSServer, repository: str) -> LakeFSBackend:
    """What it writes is hidden, as in a run."""
    pins = {(f"{lakefs_local.endpoint_url}/api/v1", repository): Pin("main", write="main")}
    return LakeFSBackend(Session(lakefs_local.credentials, Project(head=Head("main", None, "a test"), pins=pins)))


def test_what_a_run_makes_again_is_compared_with_its_copy_and_not_sent(
    in_run: LakeFSBackend, repository: str, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, content = parse(f"lakefs://{repository}/x"), os.urandom(transfer.MEBIBYTE)

    def save(content: bytes, in_memory: bool) -> list[str]:
        asked.clear()
        if in_memory:
            in_run.put(payload=content, fragment=where)
        else:
            (tmp_path / "source").unlink(missing_ok=True)
            (tmp_path / "source").write_bytes(content)
            in_run.upload(source=tmp_path / "source", fragment=where, consume=True)
        return asked

    assert "POST objects" in save(content, in_memory=True)
    with monkeypatch.context() as patch:
        patch.setattr(objects, "_has_content", None)  # nothing is hashed
        for in_memory in (True, False):
            assert save(content, in_memory) == ["GET stat"]
    for other in (content[:-1] + bytes([content[-1] ^ 1]), content + b"more"):
        for in_memory in (True, False):
            assert "POST objects" in save(other, in_memory)
            assert in_run.get(fragment=where) == other
            save(content, in_memory=True)


@pytest.mark.parametrize("change", ["written to", "off"])
def test_without_a_good_copy_what_a_run_makes_again_is_compared_by_its_checksum(
    in_run: LakeFSBackend, repository: str, cache: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    where, content = parse(f"lakefs://{repository}/x"), os.urandom(transfer.MEBIBYTE)
    in_run.put(payload=content, fragment=where)
    if change == "off":
        monkeypatch.setenv(place.VARIABLE, "off")
    else:  # by who was lent it: what it holds now is what is saved next
        (copy,) = (path for path in cache.rglob("*.*") if path.is_file())
        copy.chmod(0o600)
        copy.write_bytes(content[::-1])
    in_run.put(payload=content[::-1], fragment=where)
    assert in_run.get(fragment=where) == content[::-1]


def test_a_copy_that_goes_while_it_is_compared_is_none(
    in_run: LakeFSBackend, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, content = parse(f"lakefs://{repository}/x"), os.urandom(transfer.MEBIBYTE)
    in_run.put(payload=content, fragment=where)
    read_part = transfer.read_part

    def gone(source: Path | bytes, part: transfer.Part) -> bytes:
        if isinstance(source, Path):
            source.unlink()
        return read_part(source, part)

    monkeypatch.setattr(transfer, "read_part", gone)
    in_run.put(payload=content, fragment=where)
    assert in_run.get(fragment=where) == content
