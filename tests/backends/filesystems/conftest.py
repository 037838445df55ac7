"""Places that fsspec finds in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import Backend, FsspecBackend
from kedro_statisfactory.session import Session
from tests.backends.filesystems.memories import Attic, Dav, ObjectStore, OwnMemory


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All are known to fsspec."""
    registry: Any = sys.modules["fsspec.registry"]
    monkeypatch.setitem(registry._registry, "gs", ObjectStore)
    monkeypatch.setitem(registry._registry, "attic", Attic)
    monkeypatch.setitem(registry._registry, "webdav", Dav)
    yield
    OwnMemory.store.clear()
    OwnMemory.pseudo_dirs[:] = [""]
    OwnMemory.does.clear()


@pytest.fixture
def backend() -> Backend:
    """For any of them."""
    return FsspecBackend(Session())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of three bytes."""
    (tmp_path / "source").write_bytes(b"new")
    return tmp_path / "source"
