"""Collections of partitions, and a format, that their tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from kedro_statisfactory import ArtifactDataset
from tests.datasets.conftest import Place


def collection(place: Place, kind: str = "Partitioned", name: str = "days", **args: Any) -> ArtifactDataset:
    """An entry that is a collection of JSON files."""
    more: dict[str, Any] = {
        key: args.pop(key) for key in ("load_args", "versioned", "save_args", "read_ahead") if key in args
    }
    format_ = {"type": f"partitions.{kind}Dataset", "dataset": "json.JSONDataset", **args}
    config = place.entry(name, dataset=format_)
    entry: Any = ArtifactDataset.from_config("days", {**config, **more})
    assert isinstance(entry, ArtifactDataset)
    return entry


def loaded(entry: ArtifactDataset) -> dict[str, Any]:
    """All partitions, loaded."""
    return {key: load() for key, load in entry.load().items()}


class Named(AbstractDataset[str, str]):
    """A class that calls its path otherwise, and has a folder or file there."""

    def __init__(self, path: str, where: str = "") -> None:
        self._path = Path(where or path)

    def _load(self) -> str:
        return self._path.read_text()

    def _save(self, data: str) -> None:
        self._path.write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}
