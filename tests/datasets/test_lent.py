"""A format reads what others read as well, and what one of them changes is not what another one gets."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import ParseResult

import pytest
from kedro.io import AbstractDataset, DatasetError

from kedro_statisfactory import ArtifactDataset, Backend
from kedro_statisfactory.datasets import copies, reading


class Text(AbstractDataset[str, str]):
    """Reads a file, and does to it before what a test wants."""

    links: ClassVar[list[int]] = []

    def __init__(self, filepath: str) -> None:
        self._path = Path(filepath)

    def _load(self) -> str:
        self.links.append(self._path.stat().st_nlink)
        return self._path.read_text()

    def _save(self, data: str) -> None:
        self._path.write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}

    def mark(self) -> str:
        """Change what is read."""
        with self._path.open("a") as file:
            file.write("!")
        return self._path.read_text()


class Marking(Text):
    """Changes what it reads."""

    def _load(self) -> str:
        self.links.append(self._path.stat().st_nlink)
        return self.mark()


class Refusing(Text):
    """Needs a file that it may change, and sees to that itself, because root may change all of them."""

    def _load(self) -> str:
        if not self._path.stat().st_mode & 0o200:
            raise PermissionError("the file is read-only")
        return super()._load()


class Late(Text):
    """Reads what the cache drops meanwhile."""

    shared: ClassVar[Path]

    def _load(self) -> str:
        self.shared.unlink()
        return super()._load()


class Removing(Text):
    """Removes what it has read."""

    def _load(self) -> str:
        try:
            return super()._load()
        finally:
            self._path.unlink()


class HandingOn(AbstractDataset[Any, Any]):
    """Gives a way to read the file, or one to change it."""

    def __init__(self, filepath: str, mode: str) -> None:
        self._path, self._mode = Path(filepath), mode

    def _load(self) -> mmap.mmap:
        with self._path.open(self._mode) as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ if self._mode == "rb" else mmap.ACCESS_WRITE)

    def _save(self, data: Any) -> None: ...

    def _describe(self) -> dict[str, Any]:
        return {}


class Broken(Text):
    """Cannot read."""

    def _load(self) -> str:
        raise ValueError("it is no text")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that a backend lends as a link."""
    monkeypatch.setattr(Backend, "_backends", dict(Backend._backends))
    file = tmp_path / "shared.txt"
    file.write_text("content")
    file.chmod(0o400)
    os.utime(file, (0, 0))

    class Lending(Backend, prefix="lending"):
        def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None:
            file.unlink()
            file.write_bytes(payload)

        def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
            return b"content"

        def lend(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
            os.link(file, target)

    Text.links.clear()
    yield file
    reading._changing.clear()
    reading._handing_on.clear()


def entry(kind: Any) -> ArtifactDataset:
    return ArtifactDataset(filepath="lending://place/x.txt", dataset=kind)


def test_a_format_reads_what_is_lent_where_it_lies(shared: Path) -> None:
    assert entry(Text).load() == "content"
    assert Text.links == [2]


def test_a_format_that_changes_what_it_reads_gets_a_copy_of_its_own(shared: Path) -> None:
    assert entry(Marking).load() == "content!"
    assert Text.links[-1] == 1
    del Text.links[:]
    assert entry(Marking).load() == "content!"
    assert Text.links == [1], "and is not lent anything any more"


def test_a_format_that_may_not_change_what_is_lent_gets_a_copy_of_its_own(shared: Path) -> None:
    assert entry(Refusing).load() == "content"
    assert Text.links == [1]
    assert shared.read_text() == "content"


def test_what_the_cache_drops_meanwhile_is_read_to_its_end(shared: Path) -> None:
    Late.shared = shared
    assert entry(Late).load() == "content"
    assert Text.links == [1], "once, and as it was lent"
    assert Late not in reading._changing


def test_a_format_that_removes_what_it_reads_gets_a_copy_of_its_own(shared: Path) -> None:
    assert entry(Removing).load() == "content"
    assert Text.links == [2, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows what is open")
@pytest.mark.parametrize(("mode", "is_shared"), [("rb", True), ("r+b", False)])
def test_what_gives_a_way_to_change_a_file_gets_a_copy_of_its_own(shared: Path, mode: str, is_shared: bool) -> None:
    for _ in range(2):
        with entry({"type": HandingOn, "mode": mode}).load() as data:
            assert data.read(7) == b"content"
            assert (shared.stat().st_nlink > 1) == is_shared
            if not is_shared:
                data[:] = b"changed"
                data.flush()
    assert shared.read_text() == "content"


def test_where_nobody_knows_what_is_open_it_may_be(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lent = ((str(shared), 0, 0),)
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(copies, "_OPEN", "/nowhere")
    assert copies.are_open_for_writing(lent)
    monkeypatch.undo()
    assert not copies._is_writable("999999", ())
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not copies.are_open_for_writing(lent)


def test_a_format_that_cannot_read_says_why(shared: Path) -> None:
    with pytest.raises(DatasetError, match="it is no text"):
        entry(Broken).load()
    assert Broken not in reading._changing


def test_what_a_format_changes_otherwise_is_stored(shared: Path) -> None:
    assert entry(Text).mark() == "content!"
    assert shared.read_text() == "content!"
