"""What a format of another package has read under one path is never taken for what another entry holds there."""

from __future__ import annotations

import functools
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from kedro.io import AbstractDataset, AbstractVersionedDataset

from kedro_statisfactory import ArtifactDataset


@functools.lru_cache
def _read(path: str) -> str:
    return Path(path).read_text()


class ByProcess(AbstractDataset[str, str]):
    """Remembers for the whole process what it has read."""

    def __init__(self, *, filepath: str) -> None:
        self._path = filepath

    def _load(self) -> str:
        return _read(self._path)

    def _save(self, data: str) -> None:
        Path(self._path).write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}


class ByObject(AbstractVersionedDataset[str, str]):
    """Remembers for itself what it has read."""

    def __init__(self, *, filepath: str, version: Any = None) -> None:
        super().__init__(PurePosixPath(filepath), version, lambda path: Path(path).exists())
        self._seen: dict[str, str] = {}

    def _load(self) -> str:
        path = str(self._get_load_path())
        if path not in self._seen:
            self._seen[path] = Path(path).read_text()
        return self._seen[path]

    def _save(self, data: str) -> None:
        Path(self._get_save_path()).write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("kind", [ByProcess, ByObject])
def test_entries_whose_names_end_alike_hold_what_each_was_given(kind: type, tmp_path: Path) -> None:
    place = f"memory://{tmp_path.name}"
    one, other = (ArtifactDataset(filepath=f"{place}/{name}/f.txt", dataset=kind) for name in ("one", "other"))
    one.save("one")
    other.save("other")
    assert one.load() == "one"
    one.save("one again")
    assert [one.load(), other.load()] == ["one again", "other"]


@pytest.mark.parametrize("kind", [ByProcess, ByObject])
def test_partitions_whose_names_end_alike_hold_what_each_was_given(kind: type, tmp_path: Path) -> None:
    days = ArtifactDataset(
        filepath=f"memory://{tmp_path.name}/days",
        dataset={"type": "partitions.PartitionedDataset", "dataset": {"type": kind}},
    )
    days.save({"one/f.txt": "one", "other/f.txt": "other"})
    assert {name: load() for name, load in days.load().items()} == {"one/f.txt": "one", "other/f.txt": "other"}


class WritesOn(AbstractDataset[str, str]):
    """Writes on where its last save was."""

    last = ""

    def __init__(self, *, filepath: str) -> None:
        self._path = filepath

    def _load(self) -> str:
        return Path(self._path).read_text()

    def _save(self, data: str) -> None:
        if WritesOn.last:
            Path(WritesOn.last).parent.mkdir(exist_ok=True)
            (Path(WritesOn.last).parent / "log.txt").write_text("of the last save")
        WritesOn.last = self._path
        Path(self._path).write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("place", ["memory://{name}", "{folder}"])
def test_what_a_format_writes_after_a_save_is_in_no_later_one(place: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    place = place.format(name=tmp_path.name, folder=tmp_path)
    entries = [ArtifactDataset(filepath=f"{place}/{name}/x", dataset=WritesOn) for name in ("one", "two")]
    for entry in entries:
        entry.save("x")
    assert [entry.load() for entry in entries] == ["x", "x"]
