"""An entry knows how many bytes it has, in every place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory import ArtifactDataset
from tests.datasets.conftest import Place


def _entry(place: Place, name: str, **config: Any) -> Any:
    return ArtifactDataset.from_config("x", place.entry(name, **config))


def test_the_size_is_that_of_all_files_which_are_loaded(place: Place, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _entry(place, "x").stored_bytes()
    _entry(place, "x").save(b"12345")
    assert _entry(place, "x").stored_bytes() == 5
    source = tmp_path / "folder"
    (source / "below").mkdir(parents=True)
    (source / "a").write_bytes(b"123")
    (source / "below" / "b").write_bytes(b"1234")
    place.write_file(source, "folder")
    assert _entry(place, "folder").stored_bytes() == 7
