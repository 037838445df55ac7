"""Where an upload to lakeFS arrives damaged, what was there before is there again, or it is told."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Stat
from kedro_statisfactory.backends.lakefs.putting_back import PuttingBack
from kedro_statisfactory.errors import IntegrityError, PermissionDenied
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import Pin, Project
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import commit, make_branch, make_files, on, pinned, uncommitted, write
from tests.servers.faults import Canned, Fault, Proxy, gateway
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


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
