"""What the libraries behind fsspec say in their own ways is told as what it is."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import Backend, FsspecBackend
from kedro_statisfactory.errors import (
    BackendUnreachable,
    IntegrityError,
    ObjectNotFound,
    PermissionDenied,
    TransferError,
)
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.backends.filesystems.memories import Attic, ObjectStore, OwnMemory


class Share(OwnMemory):
    """As fsspec's for SMB, which is told who else may open what is read."""

    def __init__(self, host: str, share_access: str | None = None, **_: Any) -> None:
        super().__init__()
        self.does.append(f"{host} {share_access}")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        return {"host": path.split("/")[2]}


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(("given", "told"), [({}, "rwd"), ({"share_access": "r"}, "r")])
def test_several_may_read_the_same_file_of_a_share(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    registry: Any = sys.modules["fsspec.registry"]
    monkeypatch.setitem(registry._registry, "smb", Share)
    assert not FsspecBackend(Session(given)).exists(fragment=parse("smb://host/share/x"))
    assert Share.does == [f"host {told}"]


class _ByNumber(OSError):
    """As of smbprotocol, which makes none of Python's own errors of a number."""

    __module__ = "smbprotocol.exceptions"


@pytest.mark.usefixtures("places")
def test_what_is_missing_is_told_by_its_number_as_well(
    backend: Backend, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_number(method: Any) -> Any:
        def told(*arguments: Any, **options: Any) -> Any:
            try:
                return method(*arguments, **options)
            except FileNotFoundError as error:
                raise _ByNumber(errno.ENOENT, "No such file or directory") from error

        return told

    for name in ("put_file", "cat_file", "info", "ls"):
        monkeypatch.setattr(Attic, name, by_number(getattr(Attic, name)))
    where = parse("attic://shelf/new/folder/x")
    assert not backend.exists(fragment=where)
    with pytest.raises(ObjectNotFound):
        backend.get(fragment=where)
    backend.upload(source=source, fragment=where)
    assert backend.get(fragment=where) == b"new"


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("Forbidden: https://storage/b/bucket/o/x\nno"), PermissionDenied),  # gcsfs
        (_ByNumber(errno.EPERM, "used by another process"), PermissionDenied),  # smbprotocol, as the others
        (type("LogonFailure", (Exception,), {})("no"), PermissionDenied),
        (type("AccessDenied", (Exception,), {})("no"), PermissionDenied),
        (type("BadNetworkName", (Exception,), {})("no share"), ObjectNotFound),
        (type("ChecksumError", (Exception,), {})("md5"), IntegrityError),  # gcsfs
        (_ByNumber(0, "Unknown NtStatus error returned 'STATUS_ACCESS_DENIED'"), PermissionDenied),
        (ValueError("Failed to connect to '127.0.0.1:445': refused"), BackendUnreachable),
        (_ByNumber("no number"), TransferError),
    ],
)
def test_what_libraries_say_in_their_own_way_is_told_apart(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, error: Exception, told: type[Exception]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(ObjectStore, "cat_file", fail)
    with pytest.raises(told) as found:
        backend.get(fragment=parse("gs://bucket/x"))
    assert type(found.value) is told
