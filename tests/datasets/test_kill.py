"""Kill -9 at any moment of a save: the old object or the new one, never a part."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import transfer
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

PIECES, PIECE = 8, 64 * 1024


class InPieces(AbstractDataset[int, set[int]]):
    """A format that writes one number all over, a piece at a time, and reads which numbers there are."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> set[int]:
        data = self._filepath.read_bytes()
        return set(data) if len(data) == PIECES * PIECE else {-1}

    def _save(self, data: int) -> None:
        with self._filepath.open("wb", buffering=0) as file:
            for _ in range(PIECES):
                file.write(bytes([data]) * PIECE)

    def _describe(self) -> dict[str, Any]:
        return {}


class InFiles(AbstractDataset[int, set[int]]):
    """The same in the files of a folder, each named after what is in it."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> set[int]:
        numbers = {int(file.name.partition("-")[0]) for file in self._filepath.iterdir()}
        whole = len(os.listdir(self._filepath)) == PIECES and all(
            set(file.read_bytes()) <= numbers and file.stat().st_size == PIECE for file in self._filepath.iterdir()
        )
        return numbers if whole else {-1}

    def _save(self, data: int) -> None:
        self._filepath.mkdir(exist_ok=True)
        for file in self._filepath.iterdir():
            file.unlink()
        for piece in range(PIECES):
            (self._filepath / f"{data}-{piece}").write_bytes(bytes([data]) * PIECE)

    def _describe(self) -> dict[str, Any]:
        return {}


def _save_for_ever(save: Callable[[int], None], started: Any) -> None:
    save(0)
    started.set()
    number = 0
    while True:
        number = (number + 1) % 256
        save(number)


def _torn(
    save: Callable[[int], None], load: Callable[[], set[int]], kills: int, longest: float, seed: int = 20261124
) -> int:
    """How many of so many killed savers left something that is no whole object."""
    context = multiprocessing.get_context("fork")
    moments = random.Random(seed)
    torn = 0
    for _ in range(kills):
        started = context.Event()
        process = context.Process(target=_save_for_ever, args=(save, started), daemon=True)
        process.start()
        assert started.wait(60)
        time.sleep(moments.uniform(0, longest))
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        process.close()
        torn += len(load()) != 1 or load() == {-1}
    return torn


pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.once,  # what a kill leaves is up to the system and the servers
    pytest.mark.first,  # a process forks the more slowly the more modules it has imported
]


@pytest.fixture(autouse=True)
def _staging_that_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is killed leaves his copy of what he was sending: not in the system's folder, where it would stay."""
    (tmp_path / "staging").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "staging"))


@pytest.mark.parametrize("seed", range(5))
def test_two_hundred_kills_tear_nothing(tmp_path: Path, seed: int) -> None:
    """Forty each, so that several processes can do it side by side."""
    entry = ArtifactDataset(filepath=str(tmp_path / "x"), dataset=InPieces)
    assert _torn(entry.save, entry.load, 40, 0.02, seed) == 0


def test_kills_of_a_writer_in_place_tear(tmp_path: Path) -> None:
    """The negative control."""
    stock = InPieces(str(tmp_path / "x"))  # type: ignore[abstract]
    assert _torn(stock.save, stock.load, 60, 0.02) > 0


def test_kills_tear_no_folder(tmp_path: Path) -> None:
    entry = ArtifactDataset(filepath=str(tmp_path / "x"), dataset=InFiles)
    assert _torn(entry.save, entry.load, 60, 0.05) == 0


def test_kills_of_a_writer_of_folders_in_place_tear(tmp_path: Path) -> None:
    """The negative control."""
    stock = InFiles(str(tmp_path / "x"))  # type: ignore[abstract]
    assert _torn(stock.save, stock.load, 10, 0.05) > 0


@pytest.mark.parametrize("in_one_request", [True, False])
def test_kills_tear_nothing_in_s3(
    seaweed: S3Server, bucket: str, in_one_request: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_one_request:
        monkeypatch.setattr(transfer, "SMALL", 0)
    entry = ArtifactDataset(filepath=f"s3://{bucket}/x", dataset=InPieces, credentials=seaweed.credentials)
    assert _torn(entry.save, entry.load, 25, 0.1) == 0


@pytest.mark.parametrize("in_one_request", [True, False])
def test_kills_tear_nothing_in_lakefs(
    lakefs_server: LakeFSServer, repository: str, in_one_request: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_one_request:
        monkeypatch.setattr(transfer, "SMALL", 0)
    entry = ArtifactDataset(
        filepath=f"lakefs://{repository}/x", dataset=InPieces, credentials=lakefs_server.credentials
    )
    assert _torn(entry.save, entry.load, 15, 0.1) == 0
