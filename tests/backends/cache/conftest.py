"""A cache of one's own, and what puts something into it."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from kedro_statisfactory.backends.cache import ContentCache, Copy, Key, place
from kedro_statisfactory.backends.cache.copies import LEAST
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.settings import Settings
from kedro_statisfactory.session import Session

KEY = Key("s3 http://store", "bucket/key")
CONTENT = b"content!" * (LEAST // 8)


def cache_of(folder: Path, size: str = "20 GiB") -> ContentCache:
    """A cache as a project has it that gives it so much room."""
    return ContentCache(Session(project=Project(folder, Settings(cache={"size": size}))))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContentCache:
    """A cache in a folder of its own, of a process that has given no warning yet."""
    monkeypatch.setenv("STATISFACTORY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(place, "_said", [])
    return cache_of(tmp_path)


@pytest.fixture
def keep(cache: ContentCache, tmp_path: Path) -> Callable[..., Copy | None]:
    """Keeps a content, as if it had just been fetched to a file."""
    numbers = itertools.count()

    def keep(content: bytes = CONTENT, fingerprint: str = '"abc"', key: Key = KEY) -> Copy | None:
        source = tmp_path / f"source-{os.getpid()}-{next(numbers)}"
        source.write_bytes(content)
        kept = cache.keep(key, source, fingerprint, zlib.crc32(content))
        source.unlink()
        return kept

    return keep
