"""Collections with versions, and those that give what was not confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError
from kedro_datasets.partitions import IncrementalDataset

from kedro_statisfactory.errors import PermissionDenied
from tests.datasets.conftest import Place
from tests.datasets.partitions import collection, loaded
from tests.servers.lakefs import LakeFSServer

# -- versions ------------------------------------------------------------------------------------------------------


def test_partitions_have_versions_as_in_the_stock_class(folder_place: Place) -> None:
    versioned = {"type": "json.JSONDataset", "versioned": True}
    for number in (1, 2):
        collection(folder_place, dataset=versioned, filename_suffix=".json").save({"a": {"n": number}, "b/c": {"n": 0}})
    days = collection(folder_place, dataset=versioned, filename_suffix=".json")
    assert loaded(days) == {"a": {"n": 2}, "b/c": {"n": 0}}
    assert len(list(days.list_below())) == 4
    collection(folder_place, dataset=versioned, filename_suffix=".json", overwrite=True).save({"a": {"n": 3}})
    assert loaded(collection(folder_place, dataset=versioned, filename_suffix=".json")) == {"a": {"n": 3}}
    collection(folder_place).save({"c": {}})
    with pytest.raises(DatasetError, match=r"'c' in .* is not a well-formed versioned path"):
        collection(folder_place, dataset=versioned).load()
    with pytest.raises(DatasetError, match=r"E0501.*versions of a collection are those of its partitions"):
        collection(folder_place, versioned=True)


def test_on_lakefs_a_version_of_a_collection_is_a_ref(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    place = Place(f"lakefs://{repository}", lambda *_: None, lambda *_: None, lakefs_local.credentials)
    collection(place).save({"a": {"n": 1}})
    days = collection(place, versioned=True)
    assert loaded(days) == {"a": {"n": 1}}
    with pytest.raises(DatasetError, match="E0203"):
        days.save({"b": {"n": 1}})
    versioned = collection(place, dataset={"type": "json.JSONDataset", "versioned": True})
    assert loaded(versioned) == {"a": {"n": 1}}
    with pytest.raises(DatasetError, match="E0203"):
        versioned.save({"b": {"n": 1}})


# -- incremental ---------------------------------------------------------------------------------------------------


def test_an_incremental_collection_gives_what_was_not_confirmed(place: Place) -> None:
    days = collection(place, "Incremental")
    assert not days.exists()
    assert days.load() == {}
    days.confirm()
    days.save({"p1/a": {"n": 1}, "p2": {"n": 2}})
    assert days.load() == {"p1/a": {"n": 1}, "p2": {"n": 2}}
    collection(place).save({"p3": {"n": 3}})
    days.confirm()  # what was loaded, and not what has come since
    assert days.exists()
    days.release()
    assert days.load() == {"p3": {"n": 3}}
    days.confirm()
    fresh = collection(place, "Incremental")
    assert fresh.load() == {}
    assert not fresh.exists()
    assert loaded(collection(place, filename_suffix="POINT", dataset="text.TextDataset")) == {"CHECK": "p3"}


def greater(key: str, checkpoint: Any) -> bool:
    """As ``operator.gt``, and for numbers too."""
    return key > str(checkpoint)


@pytest.mark.parametrize(
    ("checkpoint", "keys"),
    [
        ("1", ["2", "3"]),
        ("", ["1", "2", "3"]),
        ({"force_checkpoint": "2"}, ["3"]),
        ({"force_checkpoint": 2, "comparison_func": f"{__name__}.greater"}, ["3"]),
        ({"force_checkpoint": "2", "comparison_func": str.__lt__}, ["1"]),
        ({"filepath": "meta/last", "type": "pickle.PickleDataset"}, ["1", "2", "3"]),
    ],
)
def test_a_checkpoint_may_be_forced_compared_otherwise_and_kept_elsewhere(
    tmp_path: Path, checkpoint: Any, keys: list[str]
) -> None:
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    collection(place).save({key: {} for key in ("1", "2", "3")})
    days = collection(place, "Incremental", checkpoint=checkpoint)
    assert list(days.load()) == keys
    days.confirm()
    path = "meta/last" if "filepath" in checkpoint else "CHECKPOINT"
    assert (tmp_path / "days" / path).is_file()


def test_the_stock_class_goes_on_from_our_checkpoint(tmp_path: Path) -> None:
    days = collection(Place(str(tmp_path), lambda *_: None, lambda *_: None), "Incremental")
    days.save({"a": {"n": 1}})
    days.confirm()
    days.save({"b": {"n": 2}})
    stock = IncrementalDataset(path=str(tmp_path / "days"), dataset="json.JSONDataset")
    assert stock.load() == {"b": {"n": 2}}
    stock.confirm()
    days.release()
    assert days.load() == {}


def test_a_checkpoint_that_cannot_be_compared_is_told(tmp_path: Path) -> None:
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    days = collection(place, "Incremental", checkpoint={"type": "json.JSONDataset"})
    days.save({"a": {}})
    (tmp_path / "days/CHECKPOINT").write_text("5")
    with pytest.raises(DatasetError, match=r"E0501.*'CHECKPOINT' holds 5, of type int.*`comparison_func`"):
        days.load()
    table = collection(place, "Incremental", checkpoint={"type": "pandas.CSVDataset"})
    with pytest.raises(DatasetError, match=r"(?s)E0501.*'CHECKPOINT' holds .*, of type DataFrame.*`comparison_func`"):
        table.load()
    forced = collection(place, "Incremental", checkpoint={"force_checkpoint": 20261126})
    with pytest.raises(DatasetError, match=r"E0501.*`force_checkpoint` is 20261126, of type int"):
        forced.load()


def test_a_checkpoint_that_cannot_be_read_is_an_error_and_not_a_new_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    days = collection(place, "Incremental", checkpoint={"type": "json.JSONDataset"})
    days.save({"a": {}})
    (tmp_path / "days/CHECKPOINT").write_text("no JSON")
    with pytest.raises(
        DatasetError, match=r"E0501.*CHECKPOINT': JSONDataset failed.*: name the `type`.*, or delete it"
    ):
        days.load()
    (tmp_path / "days/CHECKPOINT").write_text('"0"')
    monkeypatch.setattr(type(days.backend), "local_path", _denied)
    with pytest.raises(DatasetError, match=r"CHECKPOINT': \[E0302\] no$"):
        days.load()


def _denied(*_: Any, **__: Any) -> None:
    raise PermissionDenied("no")
