"""Datasets that are copied, and called without Kedro's text for its log, do as those that are made and called."""

from __future__ import annotations

import functools
import gc
import logging
import pickle
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from kedro.io import DatasetError
from kedro_datasets.pandas import CSVDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends.local.backend import LocalFS
from kedro_statisfactory.datasets import templates
from kedro_statisfactory.datasets.formats import Format, parse_format
from kedro_statisfactory.datasets.templates import Template

pytestmark = pytest.mark.once


class Made:
    """A dataset with some attributes."""

    def __init__(self, path: str, **attributes: Any) -> None:
        self.path, self.as_path = path, PurePosixPath(path)
        vars(self).update(attributes)


def made_on(paths: str, attributes: list[dict[str, Any]]) -> list[str]:
    """For which paths of a template a dataset is made."""
    template, made = Template(), []

    def make(path: str, number: int) -> Made:
        made.append(path)
        return Made(path, **attributes[min(number, len(attributes) - 1)])

    for number, path in enumerate(paths.split()):
        found = template.on(path, functools.partial(make, path, number))
        assert (found.path, found.as_path) == (path, PurePosixPath(path))
    return made


def test_datasets_of_a_class_are_copies_from_the_third_on_that_share_nothing_that_changes(tmp_path: Path) -> None:
    format_ = parse_format({"type": "pandas.CSVDataset", "load_args": {"names": ["a", "b"]}})
    assert format_ is not None
    third, fourth = [format_.on(tmp_path / f"{number}.csv", "") for number in range(5)][3:]
    assert isinstance(third, CSVDataset)
    assert isinstance(fourth, CSVDataset)
    assert vars(fourth) == vars(CSVDataset(filepath=str(tmp_path / "4.csv"), load_args={"names": ["a", "b"]}))
    assert third._load_args["names"] is not fourth._load_args["names"]
    assert Format(CSVDataset, format_.args) == pickle.loads(pickle.dumps(format_))


def test_what_other_threads_copy_meanwhile_shares_nothing_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    template, copies = Template(), list[Made]()

    def make() -> Made:
        return Made("a", options={"mode": "w"})

    def varies(value: Any, path: str) -> bool:  # in the middle of the first copy
        if not copies:
            copies.append(make())
            copies.extend(template.on("a", make) for _ in range(3))
        return look(value, path)

    look = templates._varies
    monkeypatch.setattr(templates, "_varies", varies)
    template.on("a", make)
    options = [vars(each)["options"] for each in copies]
    assert len(set(map(id, options))) == len(options)


def test_one_value_in_two_places_is_one_in_a_copy() -> None:
    template = Template()
    for path in "xyz":
        again = {"a": [1]}
        found = vars(template.on(path, functools.partial(Made, path, one=again, other=again)))
    assert found["one"] is found["other"]
    assert found["one"] == again
    assert found["one"] is not again


@pytest.mark.parametrize(
    ("paths", "attributes", "made"),
    [
        ("a b c d", [{"args": {"n": [1.5, None]}, "method": "".join}], "a b c d"),  # a method of another object each
        ("a b c d", [{"args": {"n": [1.5, None]}, "method": int}], "a b"),
        ("a a b c", [{}], "a a b"),
        ("a.csv b.csv c.txt d.csv", [{}], "a.csv b.csv c.txt"),
        ("a b c", [{"args": [1]}, {"args": [2]}], "a b c"),
        ("a b c", [{"args": [1]}, {"args": [1, 2]}], "a b c"),
        ("a b c", [{"args": {"x": 1}}, {"args": {"y": 1}}], "a b c"),
        ("a b c", [{"args": 1}, {"args": True}], "a b c"),
        ("a b c", [{"lock": object()}, {"lock": object()}], "a b c"),
    ],
)
def test_a_class_is_copied_only_where_the_second_is_what_a_copy_would_be(
    paths: str, attributes: list[dict[str, Any]], made: str
) -> None:
    if "method" in attributes[0] and attributes[0]["method"] is not int:
        attributes = [{**attributes[0], "method": [].append} for _ in paths]
    assert made_on(paths, attributes) == made.split()


def test_what_was_seen_of_one_path_tells_nothing_about_others() -> None:
    template, made = Template(), []

    def make(path: str) -> Made:
        made.append(path)
        return Made(path, stem=f"{path} without its suffix")

    found = [template.on(path, functools.partial(make, path)) for path in "a a a b b c".split()]
    assert made == "a a b b c".split()
    assert vars(found[2]) == vars(found[0])
    assert found[2] is not found[0]


def test_a_file_that_is_saved_again_needs_no_new_dataset(
    monkeypatch: pytest.MonkeyPatch, memory_files: AbstractFileSystem
) -> None:
    made, really = [], Format._made

    def make(self: Format, path: Path | str, url: str, args: dict[str, Any]) -> Any:
        made.append(path)
        return really(self, path, url, args)

    monkeypatch.setattr(Format, "_made", make)
    dataset = {"type": "json.JSONDataset", "save_args": {"indent": 1}}
    entry = ArtifactDataset(filepath="memory://templates/x.json", dataset=dataset)
    for number in range(9):
        entry.save(number)
    assert len(made) == 2


def test_kedro_still_tells_of_a_format_where_somebody_reads_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ArtifactDataset(filepath=tmp_path / "x.json", dataset="json.JSONDataset")
    days = ArtifactDataset(
        filepath=tmp_path / "days", dataset={"type": "partitions.PartitionedDataset", "dataset": "json.JSONDataset"}
    )
    told = []
    for level in (logging.INFO, logging.DEBUG):
        caplog.clear()
        with caplog.at_level(level, "kedro.io.core"):
            entry.save([1])
            days.save({"a": 1})
            assert (entry.load(), days.load()["a"]()) == ([1], 1)
        told.append(sum("JSONDataset(filepath=" in each.getMessage() for each in caplog.records))
    assert told[0] == 0
    assert told[1] == 4


def test_what_a_partition_fails_with_is_an_error_of_kedro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = ArtifactDataset(
        filepath=tmp_path, dataset={"type": "partitions.PartitionedDataset", "dataset": "json.JSONDataset"}
    )
    days.save({"a": 1})
    load = days.load()["a"]

    def fail(*_: Any, **__: Any) -> Path:
        raise RuntimeError("out of order")

    monkeypatch.setattr(LocalFS, "local_path", fail)
    with pytest.raises(DatasetError, match=r"(?s)Failed while loading.*filepath=.*out of order"):
        load()


def test_the_loads_of_a_collection_share_a_folder_that_goes_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_files: AbstractFileSystem
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    days = ArtifactDataset(
        filepath="memory://templates/days",
        dataset={"type": "partitions.PartitionedDataset", "dataset": "json.JSONDataset"},
    )
    days.save({str(number): number for number in range(9)})
    parts = days.load()
    assert [parts[key]() for key in sorted(parts)] == list(range(9))
    (folder,) = tmp_path.iterdir()
    assert list(folder.iterdir()) == []
    folder.rmdir()  # as one does who tidies up
    assert parts["3"]() == 3
    (other,) = tmp_path.iterdir()
    assert other != folder
    del parts
    gc.collect()
    assert list(tmp_path.iterdir()) == []
