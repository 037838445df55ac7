"""An FTP server, which says "550" of what is not there, of what may not be read, and of what has no folder yet."""

from __future__ import annotations

from ftplib import error_perm
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kedro_statisfactory.backends import FsspecBackend
from kedro_statisfactory.backends.filesystems import ftp
from kedro_statisfactory.errors import BucketNotFound, ObjectNotFound, PermissionDenied
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.servers.ftp import PASSWORD, USER, ftp_server


def _backend() -> FsspecBackend:
    return FsspecBackend(Session({"username": USER, "password": PASSWORD}))


def test_folders_are_made_and_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with ftp_server(tmp_path) as url:
        backend = _backend()
        for name in ("missing", "no/such/folder"):
            assert not backend.exists(fragment=parse(f"{url}/{name}"))
            with pytest.raises(ObjectNotFound):
                backend.get(fragment=parse(f"{url}/{name}"))
        for payload in (b"old", b"new"):
            backend.put(payload=payload, fragment=parse(f"{url}/a/b/c.csv"))
            assert backend.get(fragment=parse(f"{url}/a/b/c.csv")) == payload
        assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["c.csv"]


def test_what_may_not_be_read_is_not_taken_for_missing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    with ftp_server(tmp_path, is_readable=False) as url, pytest.raises(PermissionDenied):
        _backend().get(fragment=parse(f"{url}/x"))


def test_where_no_folder_can_be_listed_nothing_is_taken_for_missing() -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error_perm("550 no")

    closed: Any = SimpleNamespace(ls=refuse)
    assert isinstance(ftp.meant(closed, "a/b", error_perm("550 no")), PermissionError)
    for error in (error_perm("530 no"), OSError("550")):
        assert ftp.meant(closed, "a/b", error) is error


def test_a_folder_travels_both_ways(tmp_path: Path) -> None:
    (tmp_path / "source" / "below").mkdir(parents=True)
    (tmp_path / "source" / "below" / "x").write_bytes(b"1")
    (tmp_path / "root").mkdir()
    with ftp_server(tmp_path / "root") as url:
        _backend().upload(source=tmp_path / "source", fragment=parse(f"{url}/a/tree"))
        _backend().download(target=tmp_path / "target", fragment=parse(f"{url}/a/tree"))
        with pytest.raises(BucketNotFound):  # a file is in the way of a folder
            _backend().put(payload=b"", fragment=parse(f"{url}/a/tree/below/x/y"))
    assert (tmp_path / "target" / "below" / "x").read_bytes() == b"1"
