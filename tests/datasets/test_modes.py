"""A save obeys the modes among the arguments of its format, in every spelling and every place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import AbstractDataset, DatasetError

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.datasets.modes import SaveModes
from tests.datasets.conftest import Place
from tests.servers.lakefs import LakeFSServer

ONE, TWO = pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})


class Truncating(AbstractDataset[str, str]):
    """A class of a third party that empties its file, whatever mode it is given."""

    def __init__(self, filepath: str, save_args: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> str:
        return self._filepath.read_text()

    def _save(self, data: str) -> None:
        self._filepath.write_text(data)

    def _describe(self) -> dict[str, Any]:
        return {}


class Appending(Truncating):
    """One that opens the old file."""

    def _save(self, data: str) -> None:
        with self._filepath.open("a") as file:
            file.write(data)


def entry(place: Place, name: str, dataset: dict[str, Any]) -> Any:
    return ArtifactDataset.from_config("x", place.entry(name, dataset=dataset))


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("x.csv", {"type": "pandas.CSVDataset", "save_args": {"mode": "a", "header": False}}),
        ("x.csv", {"type": "pandas.CSVDataset", "save_args": {"mode": "a+", "header": False}}),
        ("x.csv", {"type": "pandas.GenericDataset", "file_format": "csv", "save_args": {"mode": "a", "header": False}}),
    ],
)
def test_a_table_is_added_to(place: Place, name: str, dataset: dict[str, Any]) -> None:
    dataset = {**dataset, "load_args": {"names": ["a"]}}
    if "Generic" in dataset["type"]:
        dataset["save_args"] = {**dataset["save_args"], "index": False}
    for frame in (ONE, TWO, ONE):
        entry(place, name, dataset).save(frame)
    assert list(entry(place, name, dataset).load()["a"]) == [1, 2, 1]


def test_lines_of_json_are_added(place: Place) -> None:
    lines = {"orient": "records", "lines": True}
    dataset = {"type": "pandas.JSONDataset", "save_args": {**lines, "mode": "a"}, "load_args": lines}
    for frame in (ONE, TWO):
        entry(place, "x.json", dataset).save(frame)
    assert list(entry(place, "x.json", dataset).load()["a"]) == [1, 2]


def test_sheets_are_added(place: Place) -> None:
    def workbook(sheet: str, mode: str = "a") -> dict[str, Any]:
        return {
            "type": "pandas.ExcelDataset",
            "save_args": {"writer": {"mode": mode}, "sheet_name": sheet},
            "load_args": {"sheet_name": None},
        }

    for sheet, frame in (("one", ONE), ("two", TWO)):
        entry(place, "x.xlsx", workbook(sheet)).save(frame)
    found = entry(place, "x.xlsx", workbook("one")).load()
    assert {name: list(frame["a"]) for name, frame in found.items()} == {"one": [1], "two": [2]}


def test_a_class_that_opens_the_old_file_finds_it(place: Place) -> None:
    for text in ("one", "two"):
        entry(place, "x", {"type": Appending, "save_args": {"mode": "a"}}).save(text)
    assert entry(place, "x", {"type": Appending}).load() == "onetwo"


def test_a_class_that_replaces_what_it_should_add_to_is_an_error_and_replaces_nothing(place: Place) -> None:
    dataset = {"type": Truncating, "save_args": {"mode": "a"}}
    entry(place, "x", dataset).save("one")
    with pytest.raises(DatasetError, match="what Truncating has written does not begin with what was there"):
        entry(place, "x", dataset).save("two")
    assert entry(place, "x", dataset).load() == "one"


@pytest.mark.parametrize(
    "dataset",
    [
        {"type": Truncating, "save_args": {"mode": "errorifexists"}},
        {"type": Truncating, "save_args": {"mode": "error"}},
        {"type": "pandas.CSVDataset", "save_args": {"mode": "x"}},
        {"type": "text.TextDataset", "fs_args": {"open_args_save": {"mode": "x"}}},
    ],
)
def test_a_mode_that_protects_fails_where_something_is(place: Place, dataset: dict[str, Any]) -> None:
    data: list[Any] = [ONE, TWO] if "CSV" in str(dataset["type"]) else ["one", "two"]
    entry(place, "x", dataset).save(data[0])
    with pytest.raises(DatasetError, match="something is there already"):
        entry(place, "x", dataset).save(data[1])
    assert str(entry(place, "x", dataset).load()) == str(data[0])


def test_a_mode_that_ignores_keeps_what_is_there(place: Place) -> None:
    dataset = {"type": Truncating, "save_args": {"mode": "ignore"}}
    for text in ("one", "two"):
        entry(place, "x", dataset).save(text)
    assert entry(place, "x", dataset).load() == "one"


def test_a_mode_that_ignores_does_not_hide_that_a_version_is_there(folder_place: Place) -> None:
    config = folder_place.entry("x", dataset={"type": Truncating, "save_args": {"mode": "ignore"}}, versioned=True)
    ArtifactDataset.from_config("x", config, save_version="v1").save("one")
    with pytest.raises(DatasetError, match="the version 'v1' is there already"):
        ArtifactDataset.from_config("x", config, save_version="v1").save("two")


def test_the_default_of_spark_is_to_fail() -> None:
    assert SaveModes({}, "kedro_datasets.spark.spark_dataset").fails_if_exists
    assert not SaveModes({"save_args": {"mode": "overwrite"}}, "kedro_datasets.spark.spark_dataset").fails_if_exists
    assert not SaveModes({}, "kedro_datasets.pandas.csv_dataset").fails_if_exists


@pytest.mark.parametrize(
    ("args", "adds", "opening"),
    [
        ({}, False, None),
        ({"save_args": {"mode": "overwrite"}}, False, None),
        ({"save_args": {"mode": "append"}}, True, None),
        ({"save_args": {"append": True}}, True, None),
        ({"save_args": {"mode": "at"}}, True, "a"),
        ({"save_args": {"writer": {"mode": "a"}}}, True, "r+b"),
        ({"save_args": {"mode": "r+"}}, True, None),
        ({"fs_args": {"open_args_save": {"mode": "ab"}}}, True, None),
        ({"save_args": {"mode": "a"}, "fs_args": {"open_args_save": {"mode": "a"}}}, True, None),
        ({"save_args": {"mode": None}, "fs_args": None}, False, None),
    ],
)
def test_every_spelling_is_known(args: dict[str, Any], adds: bool, opening: str | None) -> None:
    assert SaveModes(args).adds == adds
    assert SaveModes(args).opening(is_there=True) == opening
    assert SaveModes(args).opening(is_there=False) is None


def test_a_mode_that_ignores_looks_at_the_branch_that_is_written(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    lakefs_local.call("POST", f"/repositories/{repository}/branches", {"name": "other", "source": "main"})

    def on(**options: Any) -> Any:
        return ArtifactDataset(
            filepath=f"lakefs://{repository}/x",
            dataset={"type": Truncating, "save_args": {"mode": "ignore"}},
            credentials=dict(lakefs_local.credentials),
            **options,
        )

    on().save("on main")
    on(save_args={"lake_ref": "other"}).save("on the other")
    assert on().load() == "on main"
    assert on(load_args={"lake_ref": "other"}).load() == "on the other"


def test_a_mode_that_ignores_does_not_look_at_the_past(
    lakefs_local: LakeFSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = lakefs_local.new_repository()
    monkeypatch.setenv("STATISFACTORY_AT", "main")
    entry = ArtifactDataset(
        filepath=f"lakefs://{repository}/x",
        dataset={"type": Truncating, "save_args": {"mode": "ignore"}},
        credentials=dict(lakefs_local.credentials),
    )
    with pytest.raises(DatasetError, match="look at the past"):
        entry.save("x")
