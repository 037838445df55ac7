"""Copies are given as they were kept, or not at all."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from kedro_statisfactory.backends.cache import ContentCache, Key
from kedro_statisfactory.backends.cache.copies import LEAST
from kedro_statisfactory.session import Session

KEY = Key("s3 http://store", "bucket/key")
CONTENT = b"content!" * (LEAST // 8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContentCache:
    """A cache in a folder of its own."""
    monkeypatch.setenv("STATISFACTORY_CACHE", str(tmp_path / "cache"))
    return ContentCache(Session())


def kept(
    cache: ContentCache, folder: Path, content: bytes = CONTENT, fingerprint: str = '"abc"', key: Key = KEY
) -> Path:
    """A file that was kept."""
    source = folder / f"source-{len(os.listdir(folder))}"
    source.write_bytes(content)
    assert cache.keep(key, source, fingerprint, zlib.crc32(content))
    return source


def test_what_was_kept_is_lent_without_another_copy(cache: ContentCache, tmp_path: Path) -> None:
    source = kept(cache, tmp_path)
    copy = cache.find(KEY)
    assert copy is not None
    assert copy.fingerprint == '"abc"'
    assert cache.lend(copy, tmp_path / "lent")
    assert (tmp_path / "lent").samefile(source)
    assert cache.read(copy) == CONTENT
