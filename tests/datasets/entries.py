"""Entries and formats that tests of entries share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from kedro_statisfactory import ArtifactDataset
from tests.datasets.conftest import Place

SECRET = "a-very-secret-value"


class Failing(AbstractDataset[str, str]):
    """A format that breaks off half-way through a save."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> str:
        return self._filepath.read_text()

    def _save(self, data: str) -> None:
        self._filepath.write_text(data[: len(data) // 2])
        if data.startswith("interrupt"):
            raise KeyboardInterrupt
        if data.startswith("fail"):
            raise OSError("the disk of the format is full")
        if data.startswith("forget"):
            self._filepath.unlink()

    def _describe(self) -> dict[str, Any]:
        return {}


class Rich(AbstractDataset[str, str]):
    """A format with everything that Kedro may ask for."""

    _EPHEMERAL = True
    _SINGLE_PROCESS = True
    confirmed: list[str] = []  # noqa: RUF012
    released: list[str] = []  # noqa: RUF012

    def __init__(self, filepath: str, credentials: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> str:
        return self._filepath.read_text()

    def _save(self, data: str) -> None:
        self._filepath.write_text(data)

    def _release(self) -> None:
        self.released.append(self._filepath.name)

    def _describe(self) -> dict[str, Any]:
        return {}

    def confirm(self) -> None:
        self.confirmed.append(self._filepath.name)

    def preview(self, nrows: int = 3) -> str:
        """The first characters."""
        if nrows < 0:
            raise DatasetError(f"there is no negative number of rows in {self._filepath}")
        return self._filepath.read_text()[:nrows]


def entry_at(place: Place, name: str, **config: Any) -> ArtifactDataset:
    entry = ArtifactDataset.from_config("my_entry", place.entry(name, **config))
    assert isinstance(entry, ArtifactDataset)
    return entry
