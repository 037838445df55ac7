"""Kedro's versions: in the folders that kedro-datasets makes, where the service keeps none itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, DatasetError, Version
from kedro.io.core import generate_timestamp
from kedro_datasets.json import JSONDataset

from kedro_statisfactory import ArtifactDataset
from tests.datasets.conftest import Place


def _catalog(place: Place, save_version: str | None = None, load_versions: dict[str, str] | None = None) -> DataCatalog:
    config = {"x": place.entry("x.json", dataset="json.JSONDataset", versioned=True)}
    return DataCatalog.from_config(config, save_version=save_version, load_versions=load_versions)


def test_each_save_is_a_version_and_any_can_be_loaded(folder_place: Place) -> None:
    for number in (1, 2, 3):
        _catalog(folder_place, f"2026-01-0{number}").save("x", {"n": number})
    catalog = _catalog(folder_place)
    assert catalog.load("x") == {"n": 3}
    assert catalog.load("x", version="2026-01-01") == {"n": 1}
    assert _catalog(folder_place, load_versions={"x": "2026-01-02"}).load("x") == {"n": 2}
    assert catalog.exists("x")
    entry: Any = catalog.get("x")
    assert entry.list_versions(full_path=False) == ["2026-01-03", "2026-01-02", "2026-01-01"]
    assert [Path(version).parent.name for version in entry.list_versions()] == [
        "2026-01-03",
        "2026-01-02",
        "2026-01-01",
    ]


def test_a_version_is_never_overwritten(folder_place: Place) -> None:
    _catalog(folder_place, "v1").save("x", {"n": 1})
    with pytest.raises(DatasetError, match=r"version 'v1' is there already"):
        _catalog(folder_place, "v1").save("x", {"n": 2})
    assert _catalog(folder_place).load("x") == {"n": 1}


def test_there_is_nothing_before_the_first_save(place: Place) -> None:
    catalog = _catalog(place)
    assert not catalog.exists("x")
    with pytest.raises(DatasetError, match="x"):
        catalog.load("x")
    entry: Any = catalog.get("x")
    assert entry.list_versions() == []


def test_a_missing_version_is_named(folder_place: Place) -> None:
    _catalog(folder_place, "v1").save("x", {"n": 1})
    with pytest.raises(DatasetError, match="v2"):
        _catalog(folder_place).load("x", version="v2")
    assert not _catalog(folder_place, load_versions={"x": "v2"}).exists("x")


@pytest.mark.parametrize("version", ["a/b", "..", "../secret"])
def test_a_version_is_one_component_of_a_path(folder_place: Place, version: str) -> None:
    _catalog(folder_place, "v1").save("x", {"n": 1})
    with pytest.raises(DatasetError):
        _catalog(folder_place).load("x", version=version)


def test_the_stock_dataset_and_ours_read_each_others_versions(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    stock = JSONDataset(filepath=path, version=Version(None, "v1"))
    stock.save({"by": "stock"})
    ours = ArtifactDataset(filepath=path, dataset="json.JSONDataset", version=Version(None, "v2"))
    assert ours.load() == {"by": "stock"}
    ours.release()
    ours.save({"by": "ours"})
    assert JSONDataset(filepath=path, version=Version(None, None)).load() == {"by": "ours"}
    assert JSONDataset(filepath=path, version=Version("v1", None)).load() == {"by": "stock"}


def test_after_a_save_the_same_entry_loads_what_it_saved(place: Place) -> None:
    catalog = _catalog(place, generate_timestamp())
    catalog.save("x", {"n": 1})
    assert catalog.load("x") == {"n": 1}
    pinned = DataCatalog.from_config(
        {"x": place.entry("x.json", dataset="json.JSONDataset", versioned=True)},
        save_version="9999",
        load_versions={"x": "0001"},
    )
    with pytest.warns(UserWarning, match="did not match"):
        pinned.save("x", {"n": 2})


def test_folders_have_versions_too(folder_place: Place) -> None:
    import pandas as pd

    def catalog(version: str | None) -> DataCatalog:
        return DataCatalog.from_config(
            {"d": folder_place.entry("delta", dataset="pandas.DeltaTableDataset", versioned=True)},
            save_version=version,
        )

    catalog("v1").save("d", pd.DataFrame({"a": [1]}))
    catalog("v2").save("d", pd.DataFrame({"a": [2]}))
    assert catalog(None).load("d")["a"].tolist() == [2]
    assert catalog(None).load("d", version="v1")["a"].tolist() == [1]
