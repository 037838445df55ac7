"""What is missing, refused or out of reach on lakeFS is told for what it is, by every verb."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BranchNotFound,
    InvalidCredentials,
    NoDataBranch,
    ObjectNotFound,
    PermissionDenied,
    RefNotFound,
    RepositoryNotFound,
    UnknownCredential,
    UnknownOption,
)
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import on, write
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


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
