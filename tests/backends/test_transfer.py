"""What large transfers are made of: parts that fill a file or memory, and work on other threads."""

from __future__ import annotations

import errno
import os
import threading
import zlib
from pathlib import Path

import pytest

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.part_writer import PartBuffer, PartFile, PartWriter
from kedro_statisfactory.backends.transfer import Part
from kedro_statisfactory.errors import IntegrityError

GO_ON = threading.Event()


@pytest.fixture(params=["a file", "memory"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> PartWriter:
    return PartFile(tmp_path / "x") if request.param == "a file" else PartBuffer()


def test_parts_may_come_in_any_order(writer: PartWriter) -> None:
    writer.begin(9)
    writer.fill(Part(2, 5, 4), [b"fg", b"", b"hi"], GO_ON)
    writer.fill(Part(1, 0, 5), [b"abcde"], GO_ON)
    assert b"".join(writer.chunks()) == b"abcdefghi"
    assert writer.crc32() == zlib.crc32(b"abcdefghi")


def test_nothing_is_left_of_an_attempt_before(writer: PartWriter) -> None:
    for content in (b"a long one", b"short"):
        writer.begin(len(content))
        writer.fill(Part(1, 0, len(content)), [content], GO_ON)
    assert b"".join(writer.chunks()) == b"short"
    assert writer.crc32() == zlib.crc32(b"short")


@pytest.mark.parametrize("chunks", [[b"ab", b"c"], [b"abcd", b"e"], []], ids=["shorter", "longer", "nothing"])
def test_a_part_of_another_length_is_an_error_and_touches_no_other_part(
    writer: PartWriter, chunks: list[bytes]
) -> None:
    writer.begin(8)
    writer.fill(Part(2, 4, 4), [b"efgh"], GO_ON)
    with pytest.raises(IntegrityError, match="longer or shorter"):
        writer.fill(Part(1, 0, 4), chunks, GO_ON)
    assert b"".join(writer.chunks())[4:] == b"efgh"


def test_a_full_disk_is_known_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left"):
        PartFile(tmp_path / "x").begin(transfer.SMALL + 1)
    PartFile(tmp_path / "small").begin(transfer.SMALL)  # costs nothing to try


@pytest.mark.parametrize("how", ["by this file system", "by this system"])
def test_a_file_whose_blocks_cannot_be_got_at_once_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    if how == "by this system":
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    file, size = PartFile(tmp_path / "x"), transfer.SMALL + 1
    file.begin(size)
    file.fill(Part(1, 0, size), [bytes(size)], GO_ON)
    assert (tmp_path / "x").read_bytes() == bytes(size)


def test_work_beside_gives_its_result_or_its_error_to_who_asks_and_is_waited_for_by_nobody_else() -> None:
    hold = threading.Event()

    def fail() -> None:
        raise KeyError("x")

    assert transfer.beside(lambda: 5).result() == 5
    with pytest.raises(KeyError):
        transfer.beside(fail).result()
    running = transfer.beside(hold.wait)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "statisfactory")
    assert not running.done()
    hold.set()
    assert running.result()
