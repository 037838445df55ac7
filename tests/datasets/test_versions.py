"""Kedro's versions: in the folders that kedro-datasets makes, where the service keeps none itself."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset, DataCatalog, DatasetError, Version
from kedro.io.core import generate_timestamp
from kedro_datasets.json import JSONDataset

from kedro_statisfactory import ArtifactDataset
from tests.datasets.conftest import Place
from tests.servers.faults import Fault, gateway, proxy
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.once


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


def _save_at_once(entry: ArtifactDataset, number: int, ready: Any) -> bool:
    """Whether this saver is the one who saves the version."""
    ready.wait()
    try:
        entry.save(bytes([number]) * 100 if entry._format is None else number)
    except DatasetError as error:
        if "the version 'v1' is there already, and versions are never overwritten" not in str(error):
            raise
        return False
    return True


def _entry(place: Place, dataset: Any) -> ArtifactDataset:
    config = place.entry("x", dataset=dataset, version=Version(None, "v1"))
    del config["type"]
    return ArtifactDataset(**config)


class AsText(AbstractDataset[int, set[int]]):
    """A format that writes one number."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> set[int]:
        return {int(self._filepath.read_text())}

    def _save(self, data: int) -> None:
        self._filepath.write_text(str(data))

    def _describe(self) -> dict[str, Any]:
        return {}


class InTwoFiles(AsText):
    """A format that writes a folder."""

    def _load(self) -> set[int]:
        return {int(path.read_text()) for path in self._filepath.iterdir()}

    def _save(self, data: int) -> None:
        self._filepath.mkdir()
        for name in "ab":
            (self._filepath / name).write_text(str(data))


@pytest.mark.parametrize("dataset", [None, AsText, InTwoFiles])
def test_one_of_sixteen_threads_saves_a_version(folder_place: Place, dataset: Any) -> None:
    ready = threading.Barrier(16)
    with ThreadPoolExecutor(16) as executor:
        saved = list(executor.map(lambda n: _save_at_once(_entry(folder_place, dataset), n, ready), range(16)))
    assert saved.count(True) == 1
    assert set(_entry(folder_place, dataset).load()) == {saved.index(True)}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("dataset", [None, AsText, InTwoFiles])
def test_one_of_eight_processes_saves_a_version(folder_place: Place, dataset: Any) -> None:
    context = multiprocessing.get_context("fork")
    ready, answers = context.Barrier(8), context.Queue()

    def save(number: int) -> None:
        answers.put((_save_at_once(_entry(folder_place, dataset), number, ready), number))

    processes = [context.Process(target=save, args=(number,), daemon=True) for number in range(8)]
    for process in processes:
        process.start()
    saved = [number for done, number in (answers.get(timeout=60) for _ in processes) if done]
    for process in processes:
        process.join(60)
    assert len(saved) == 1
    assert set(_entry(folder_place, dataset).load()) == {*saved}


@pytest.mark.parametrize("dataset", [None, AsText, InTwoFiles])
def test_one_of_sixteen_saves_a_version_although_answers_are_lost(seaweed: S3Server, bucket: str, dataset: Any) -> None:
    with proxy(seaweed.endpoint_url) as network:
        network.faults.extend([Fault(0)] * 12)
        config = {"retries": {"mode": "standard", "total_max_attempts": 13}}  # nobody loses all of them
        credentials = {**seaweed.credentials, "endpoint_url": network.endpoint_url, "config_kwargs": config}
        lossy = Place(f"s3://{bucket}/store", _nothing, _nothing, credentials)
        test_one_of_sixteen_threads_saves_a_version(lossy, dataset)


def _nothing(*_: Any) -> None:
    """No access around the package is needed."""


def test_a_save_of_a_version_looks_and_then_takes_one_request(seaweed: S3Server, bucket: str) -> None:
    with gateway(seaweed.endpoint_url) as between:
        credentials = {**seaweed.credentials, "endpoint_url": between.endpoint_url}
        _entry(Place(f"s3://{bucket}/store", _nothing, _nothing, credentials), None).save(b"x")
    assert [seen.method for seen in between.seen] == ["HEAD", "GET", "PUT"]


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


def test_after_a_save_the_same_entry_loads_what_it_saved(folder_place: Place) -> None:
    catalog = _catalog(folder_place, generate_timestamp())
    catalog.save("x", {"n": 1})
    assert catalog.load("x") == {"n": 1}
    pinned = DataCatalog.from_config(
        {"x": folder_place.entry("x.json", dataset="json.JSONDataset", versioned=True)},
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
