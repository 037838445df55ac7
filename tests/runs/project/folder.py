"""A format that writes a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset


class FolderDataset(AbstractDataset[dict[str, int], dict[str, int]]):
    """Two files: the data, and a word that it is complete."""

    def __init__(self, filepath: str) -> None:
        self._path = Path(filepath)

    def _load(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self._path / "data.json").read_text())
        return found

    def _save(self, data: dict[str, int]) -> None:
        self._path.mkdir(exist_ok=True)
        (self._path / "data.json").write_text(json.dumps(data))
        (self._path / "_SUCCESS").write_text(json.dumps(data))

    def _describe(self) -> dict[str, Any]:
        return {}


class Parts(AbstractDataset[dict[str, int], dict[str, int]]):
    """One file for each number, named after it, as engines do that write tables in parts."""

    def __init__(self, filepath: str) -> None:
        self._path = Path(filepath)

    def _load(self) -> dict[str, int]:
        return {"n": sum(int(part.stem) for part in self._path.glob("*.part"))}

    def _save(self, data: dict[str, int]) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir()
        (self._path / f"{data['n']}.part").touch()
        (self._path / "_SUCCESS").touch()

    def _describe(self) -> dict[str, Any]:
        return {}
