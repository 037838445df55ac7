"""What a format writes as several files is one entry, and what it leaves in its folder stays there."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset, DataCatalog, DatasetError

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend
from tests.datasets.conftest import Place

Model = tuple[str, str | None]


class WithWeights(AbstractDataset[Model, Model]):
    """A model and, where it was trained, its weights in a file beside it."""

    def __init__(self, filepath: str, save_args: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)

    @property
    def _weights(self) -> Path:
        return Path(f"{self._filepath}.ckpt")

    def _load(self) -> Model:
        return self._filepath.read_text(), self._weights.read_text() if self._weights.exists() else None

    def _save(self, data: Model) -> None:
        model, weights = data
        with self._filepath.open("a") as file:
            file.write(model)
        if weights is not None:
            self._weights.write_text(weights)

    def _describe(self) -> dict[str, Any]:
        return {}


class DartsTorchModelDataset(WithWeights):
    """Of the name that the class of kedro-datasets has, which needs a gigabyte of libraries."""


class Shapes(AbstractDataset[str, str]):
    """Geometry with a table of its attributes, as a shapefile has them."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> str:
        return self._filepath.read_text() + self._filepath.with_suffix(".dbf").read_text()

    def _save(self, data: str) -> None:
        self._filepath.write_text(data)
        self._filepath.with_suffix(".dbf").write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}


class Beside(AbstractDataset[str, str]):
    """One that adds a suffix of its own, as NumPy does."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> str:
        return ""

    def _save(self, data: str) -> None:
        Path(f"{self._filepath}.npz").write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}


class Parts(AbstractDataset[list[str], list[str]]):
    """A folder in which each save leaves what it finds."""

    def __init__(self, filepath: str, overwrite: bool | None = None) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> list[str]:
        return sorted(path.name for path in self._filepath.iterdir())

    def _save(self, data: list[str]) -> None:
        self._filepath.mkdir(exist_ok=True)
        for name in data:
            (self._filepath / name).write_text(name)

    def _describe(self) -> dict[str, Any]:
        return {}


def entry(place: Place, name: str, dataset: Any, **config: Any) -> Any:
    return ArtifactDataset.from_config("x", place.entry(name, dataset=dataset, **config))


# -- sets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.pt", "model", "a[1].pt", "_model.pt", f"{'m' * 300}.pt"])
def test_all_files_of_a_set_come_back(place: Place, name: str) -> None:
    if len(name) > 255 and place.root.startswith("/"):
        return  # no file system has such names
    entry(place, name, WithWeights).save(("model", "weights"))
    assert entry(place, name, WithWeights).load() == ("model", "weights")
    assert entry(place, name, WithWeights).exists()


def test_a_set_of_files_that_share_a_stem_comes_back(place: Place) -> None:
    entry(place, "areas.shp", Shapes).save("one")
    assert entry(place, "areas.shp", Shapes).load() == "oneone"


def test_a_set_is_replaced_as_a_whole(place: Place) -> None:
    entry(place, "model.pt", WithWeights).save(("old", "weights"))
    entry(place, "model.pt", WithWeights).save(("untrained", None))
    assert entry(place, "model.pt", WithWeights).load() == ("untrained", None)
    entry(place, "model.pt", WithWeights).save(("new", "new weights"))
    assert entry(place, "model.pt", WithWeights).load() == ("new", "new weights")


def test_a_set_is_deleted_as_a_whole(place: Place) -> None:
    model = entry(place, "model.pt", WithWeights)
    model.save(("model", "weights"))
    model.backend.delete(fragment=model.location)
    assert not model.exists()
    assert list(model.backend.list(fragment=model.location)) == []


def test_sets_have_versions(folder_place: Place) -> None:
    def catalog(version: str | None = None) -> DataCatalog:
        config = folder_place.entry("model.pt", dataset=WithWeights, versioned=True)
        return DataCatalog.from_config({"model": config}, save_version=version)

    for version in ("v1", "v2"):
        catalog(version).save("model", (version, f"weights of {version}"))
    assert catalog().load("model") == ("v2", "weights of v2")
    assert catalog().load("model", version="v1") == ("v1", "weights of v1")


def test_a_mode_that_adds_to_a_set_gets_all_of_it(place: Place) -> None:
    adding = {"type": WithWeights, "save_args": {"mode": "append"}}
    entry(place, "model.pt", adding).save(("one", "weights"))
    entry(place, "model.pt", adding).save(("two", None))
    assert entry(place, "model.pt", adding).load() == ("onetwo", "weights")


@pytest.mark.parametrize(
    ("kind", "names"), [(Shapes, ["areas.shp", "areas.dbf"]), (DartsTorchModelDataset, ["m", "m.ckpt"])]
)
def test_a_set_that_another_tool_has_stored_side_by_side_is_read(
    place: Place, tmp_path: Path, kind: type, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).write_text(name)
        place.write_file(tmp_path / name, name)
    loaded = entry(place, names[0], kind).load()
    assert "".join(loaded) == "".join(names)


def test_a_file_is_not_saved_beside_the_rest_of_a_set_of_another_tool(place: Place, tmp_path: Path) -> None:
    for name in ("m", "m.ckpt"):
        (tmp_path / name).write_text("old")
        place.write_file(tmp_path / name, name)
    with pytest.raises(DatasetError, match=r"E0501.*m\.ckpt would stay beside what is saved"):
        entry(place, "m", DartsTorchModelDataset).save(("new", None))
    assert entry(place, "m", DartsTorchModelDataset).load() == ("old", "old")


def test_a_set_does_not_mix_with_what_another_tool_has_stored(place: Place, tmp_path: Path) -> None:
    for name in ("areas.shp", "areas.dbf"):
        (tmp_path / name).write_text("old")
        place.write_file(tmp_path / name, name)
    if place.root.startswith("/"):  # on disk a folder does not replace a file
        with pytest.raises(DatasetError, match="is no folder: move it away"):
            entry(place, "areas.shp", Shapes).save("new")
        assert entry(place, "areas.shp", Shapes).load() == "oldold"
    else:
        entry(place, "areas.shp", Shapes).save("new")
        assert entry(place, "areas.shp", Shapes).load() == "newnew"


class Odd(AbstractDataset[str, str]):
    """A folder with files beside it that are called otherwise."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> str:
        beside = [self._filepath.with_name("config.json"), self._filepath.with_name(".x.crc")]
        return "".join(path.read_text() for path in (self._filepath / "part", *beside))

    def _save(self, data: str) -> None:
        self._filepath.mkdir(exist_ok=True)
        for path in (self._filepath / "part", self._filepath.with_name("config.json")):
            path.write_text(data)
        self._filepath.with_name(".x.crc").write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}


def test_a_set_may_be_a_folder_with_files_of_any_name_beside_it(place: Place) -> None:
    for text in ("a", "b"):
        entry(place, "x", Odd).save(text)
        assert entry(place, "x", Odd).load() == 3 * text


def test_a_folder_with_a_file_of_its_own_name_is_no_set(place: Place) -> None:
    entry(place, "table", Parts).save(["table", "table_2"])
    assert entry(place, "table", Parts).load() == ["table", "table_2"]
    entry(place, "table", Parts).save(["other"])
    assert entry(place, "table", Parts).load() == ["other", "table", "table_2"]


def test_a_format_that_writes_elsewhere_is_told_where(place: Place) -> None:
    with pytest.raises(DatasetError, match=r"did not write to the path that it was given but, in its place, x\.npz"):
        entry(place, "x", Beside).save("data")


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["parts", "p[a]rts"])
def test_what_a_format_leaves_in_its_folder_stays(place: Place, folder: str) -> None:
    entry(place, folder, Parts).save(["a", "b"])
    entry(place, folder, Parts).save(["c"])
    assert entry(place, folder, Parts).load() == ["a", "b", "c"]


def test_a_format_that_is_told_to_overwrite_finds_nothing(place: Place) -> None:
    overwriting = {"type": Parts, "overwrite": True}
    entry(place, "parts", Parts).save(["a", "b"])
    entry(place, "parts", overwriting).save(["c"])
    assert entry(place, "parts", Parts).load() == ["c"]


def test_a_format_finds_no_folder_where_a_file_was(place: Place) -> None:
    entry(place, "x", "text.TextDataset").save("a file")
    if place.root.startswith("/"):
        with pytest.raises(DatasetError, match="move it away"):
            entry(place, "x", Parts).save(["a"])
    else:
        entry(place, "x", Parts).save(["a"])
        assert entry(place, "x", Parts).load() == ["a"]


def test_a_file_in_the_place_of_a_folder_is_not_handed_to_the_format(place: Place, tmp_path: Path) -> None:
    if place.root.startswith("/"):
        return  # a disk has one thing under a name
    entry(place, "x", Parts).save(["a"])
    (tmp_path / "file").write_text("a file")
    place.write_file(tmp_path / "file", "x")
    entry(place, "x", Parts).save(["b"])
    assert entry(place, "x", Parts).load() == ["b"]


def test_a_set_in_a_folder_of_an_odd_name_is_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "[1]").mkdir()
    for name in ("m", "m.ckpt", "other"):
        (tmp_path / "[1]" / name).write_text(name)
    found = ArtifactDataset(filepath=str(tmp_path / "[1]" / "m"), dataset=WithWeights)
    assert found.load() == ("m", "m.ckpt")


@pytest.mark.once
def test_dask_leaves_the_files_of_before_unless_it_is_told_to_overwrite(place: Place) -> None:
    dask: Any = importlib.import_module("dask.dataframe")
    import pandas as pd

    def saved(name: str, parts: int, **save_args: Any) -> list[str]:
        table = entry(place, name, {"type": "dask.ParquetDataset", "save_args": save_args})
        table.save(dask.from_pandas(pd.DataFrame({"a": range(4)}), npartitions=parts))
        return [info.path for info in table.backend.list(fragment=table.location) if "part" in info.path]

    assert len(saved("kept", 3)) == 3
    assert len(saved("kept", 1)) == 3
    assert len(saved("replaced", 3)) == 3
    assert len(saved("replaced", 1, overwrite=True)) == 1


def test_dask_names_the_files_of_a_folder_by_a_pattern(place: Place, tmp_path: Path) -> None:
    dask: Any = importlib.import_module("dask.dataframe")
    import pandas as pd

    days = {"type": "dask.CSVDataset", "save_args": {"index": False}}
    entry(place, "days/*.csv", days).save(dask.from_pandas(pd.DataFrame({"a": range(4)}), npartitions=2))
    place.read_file("days/0.csv", tmp_path / "0.csv")
    assert (tmp_path / "0.csv").read_text() == "a\n0\n1\n"
    again = entry(place, "days/*.csv", days)
    assert again.exists()
    assert list(again.load().compute()["a"]) == [0, 1, 2, 3]


def test_a_backend_without_listings_is_asked_for_no_folder() -> None:
    class Flat(Backend, prefix="flat-of-a-test"):
        objects: dict[str, bytes] = {}  # noqa: RUF012

        def put(self, *, payload: bytes, fragment: Any, **kwargs: Any) -> None:
            self.objects[fragment.path] = payload

        def get(self, *, fragment: Any, **kwargs: Any) -> bytes:
            if fragment.path not in self.objects:
                raise FileNotFoundError(fragment.path)
            return self.objects[fragment.path]

    flat = ArtifactDataset(filepath="flat-of-a-test://x/y", dataset=WithWeights)
    flat.save(("model", None))
    assert flat.load() == ("model", None)
    with pytest.raises(DatasetError, match="does not store folders"):
        flat.save(("model", "weights"))
    assert flat.load() == ("model", None)
