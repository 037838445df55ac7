"""The backend of this machine's disks, and what it must not leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedro_statisfactory.backends import LocalFS
from kedro_statisfactory.session import Session


@pytest.fixture
def backend() -> LocalFS:
    return LocalFS(Session({"credentials": "are not needed"}))


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".statisfactory-")]
