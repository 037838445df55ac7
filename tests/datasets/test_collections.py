"""Partitions are saved, loaded and listed as in the stock class, wherever they are."""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fsspec import AbstractFileSystem
from kedro.io import DatasetError
from kedro_datasets.partitions import PartitionedDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.lakefs.client import lakefs_client
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.backends.temporary import Temporary, new_folder
from kedro_statisfactory.datasets import staging
from kedro_statisfactory.session import Session
from tests.datasets.conftest import Place
from tests.datasets.partitions import Named, collection, loaded
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

# -- partitions ----------------------------------------------------------------------------------------------------


def test_partitions_are_saved_and_loaded_and_those_that_are_not_saved_stay(place: Place) -> None:
    days = collection(place, filename_suffix=".json")
    assert not days.exists()
    with pytest.raises(DatasetError, match="No partitions found in"):
        days.load()
    days.save({"2026/11/26": {"n": 1}, "ü b": {"n": 2}})
    days.save({"c": {"n": 3}, "ü b": {"n": 4}})
    assert days.exists()
    assert loaded(days) == {"2026/11/26": {"n": 1}, "c": {"n": 3}, "ü b": {"n": 4}}
    days.release()
    assert not collection(place, filename_suffix=".csv").exists()
    assert list(collection(place, load_args=None, filename_suffix="6.json").load()) == ["2026/11/2"]


def test_what_the_stock_class_has_written_is_read_and_the_other_way_round(tmp_path: Path) -> None:
    stock = PartitionedDataset(path=str(tmp_path / "days"), dataset="json.JSONDataset", filename_suffix=".json")
    stock.save({"a/b": {"n": 1}})
    days = collection(Place(str(tmp_path), lambda *_: None, lambda *_: None), filename_suffix=".json")
    assert loaded(days) == {"a/b": {"n": 1}}
    days.save({"a/c": {"n": 2}})
    assert {key: load() for key, load in stock.load().items()} == {"a/b": {"n": 1}, "a/c": {"n": 2}}


def test_overwrite_removes_what_is_not_saved(place: Place) -> None:
    collection(place).save({"a": {"n": 1}, "b/c": {"n": 2}, "b/d": {"n": 3}})
    days = collection(place, overwrite=True)
    assert not days.keeps_chunks
    assert collection(place).keeps_chunks
    days.save({"b/d": {"n": 4}})
    assert loaded(days) == {"b/d": {"n": 4}}


def test_overwrite_replaces_a_partition_by_others_below_its_name(place: Place) -> None:
    collection(place).save({"a": {"n": 1}, "c": {"n": 1}})
    collection(place, overwrite=True).save({"a/b": {"n": 2}})
    assert loaded(collection(place)) == {"a/b": {"n": 2}}


def test_overwrite_replaces_the_partitions_below_a_name_by_one_of_that_name(place: Place) -> None:
    collection(place).save({"a/b": {"n": 1}, "a/c/d": {"n": 1}, "e": {"n": 1}})
    collection(place, overwrite=True).save({"a": {"n": 2}})
    assert loaded(collection(place)) == {"a": {"n": 2}}


def test_a_partition_may_be_made_of_those_that_are_in_its_way(place: Place) -> None:
    collection(place).save({"a": {"n": 1}, "b/c": {"n": 2}, "b/d": {"n": 3}})
    days = collection(place, overwrite=True)
    old, seen = days.load(), list[str]()

    def fail() -> None:
        seen.extend(days.load())
        raise ValueError("no such day")

    with pytest.raises(DatasetError, match=r"/days/z': the function that gives it failed: ValueError: no such day"):
        days.save({"a/x": old["a"], "a/y": old["a"], "z": fail})
    assert seen == ["a", "b/c", "b/d"]
    with pytest.raises(DatasetError, match=r"/days/z': JSONDataset failed: TypeError"):
        days.save({"a/x": old["a"], "z": {"n": object()}})
    assert loaded(days) == {"a": {"n": 1}, "b/c": {"n": 2}, "b/d": {"n": 3}}, "nothing was removed for nothing"
    days.save({"a/x": old["a"], "a/y": old["a"], "b": old["b/d"]})
    assert loaded(days) == {"a/x": {"n": 1}, "a/y": {"n": 1}, "b": {"n": 3}}


def test_what_is_appended_to_may_be_made_of_what_was_there(tmp_path: Path) -> None:
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    text = {"type": "text.TextDataset", "fs_args": {"open_args_save": {"mode": "a"}}}
    collection(place, dataset=text).save({"a": "1", "b": "2", "c": "3"})
    days = collection(place, dataset=text, overwrite=True)
    old = days.load()
    days.save({"a": lambda: old["a"]() + "!", "b": lambda: old["b"]() + old["c"]()})
    assert loaded(days) == {"a": "1!", "b": "23"}


def test_an_argument_that_is_left_empty_is_as_if_it_was_not_there(tmp_path: Path) -> None:
    days = collection(Place(str(tmp_path), lambda *_: None, lambda *_: None), filename_suffix=None, overwrite=None)
    days.save({"a": {"n": 1}})
    assert loaded(days) == {"a": {"n": 1}}


def test_overwrite_keeps_what_is_below_the_name_of_a_partition_that_goes(memory_files: AbstractFileSystem) -> None:
    days = collection(Place("memory://box", lambda *_: None, lambda *_: None), overwrite=True)
    for _ in range(2):
        days.save({"a/b": {"n": 1}})
        memory_files.pipe_file("/box/days/a", b"{}")
    days.end_changes(["a"])
    assert loaded(days) == {"a/b": {"n": 1}}


def test_overwrite_lets_a_format_that_appends_begin_anew(tmp_path: Path) -> None:
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    text = {"type": "text.TextDataset", "fs_args": {"open_args_save": {"mode": "a"}}}
    for overwrite, content in ((False, "one"), (False, "oneone"), (True, "one")):
        days = collection(place, dataset=text, overwrite=overwrite)
        days.save({"a": "one"})
        assert loaded(days) == {"a": content}


def test_what_gives_data_is_called_one_by_one_in_order_and_only_if_asked_for(place: Place) -> None:
    called: list[str] = []

    def give(key: str) -> Callable[[], dict[str, str]]:
        def call() -> dict[str, str]:
            called.append(f"{key} {threading.current_thread() is threading.main_thread()}")
            return {"key": key}

        return call

    keys = [f"{number:02}" for number in range(2 * transfer.UPLOAD_WORKERS)]
    collection(place).save({key: give(key) for key in reversed(keys)})
    assert called == [f"{key} True" for key in keys]
    assert loaded(collection(place)) == {key: {"key": key} for key in keys}
    collection(place, dataset="pickle.PickleDataset", save_lazily=False, name="functions").save({"a": len})
    assert loaded(collection(place, dataset="pickle.PickleDataset", name="functions")) == {"a": len}


def test_a_partition_that_fails_to_be_made_ends_the_save_and_names_itself(place: Place) -> None:
    with pytest.raises(DatasetError, match=r"/days/b': JSONDataset failed: TypeError"):
        collection(place).save({"a": {"n": 1}, "b": {"n": object()}, "c": {"n": 3}})
    assert list(collection(place).load()) == ["a"]


def test_a_function_that_fails_to_give_a_partition_is_told_with_its_name(tmp_path: Path) -> None:
    days = collection(Place(str(tmp_path), lambda *_: None, lambda *_: None), filename_suffix=".json")
    with pytest.raises(DatasetError, match=r"/days/b\.json': the function that gives it failed: TypeError"):
        days.save({"a": dict, "b": {"n": 1}.__getitem__})
    assert list(days.load()) == ["a"]


def test_no_more_is_begun_when_an_upload_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    days = collection(Place(str(tmp_path), lambda *_: None, lambda *_: None))

    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(type(days.backend), "upload", fail)
    begun: list[int] = []

    def begin() -> dict[str, int]:
        begun.append(1)
        return {}

    with pytest.raises(DatasetError, match="no"):
        days.save({f"{number:02}": begin for number in range(50)})
    assert 0 < len(begun) < 50


def test_the_partitions_of_a_save_are_staged_in_few_folders_of_which_none_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Path | None] = []

    def make(parent: Path | None, path: Path | None) -> Temporary:
        made.append(parent)
        return new_folder(parent, path=path)

    monkeypatch.setattr(staging, "new_folder", make)
    collection(Place(str(tmp_path), lambda *_: None, lambda *_: None)).save(
        {f"{number:02}": {} for number in range(99)}
    )
    assert 0 < len(made) <= transfer.UPLOAD_WORKERS + 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == [*(f"{number:02}" for number in range(99)), "days"]


def test_a_folder_in_which_partitions_are_staged_is_used_again_only_if_it_is_there_and_plain(tmp_path: Path) -> None:
    folders = staging.StagingFolders()
    with folders.folder(tmp_path) as first:
        (first.path / "rest").mkdir()
    with folders.folder(tmp_path) as removed:
        removed.path.rmdir()
    with folders.folder(tmp_path) as kept:
        (kept.path / "a copy of what was sent").touch()
    with folders.folder(tmp_path / ".."), folders.folder(tmp_path) as again:  # of another place is another one
        assert len({first.path, removed.path, kept.path}) == 3
        assert again.path == kept.path
        assert list(again.path.iterdir()) == []
        folders._free[0, str(tmp_path)] = []  # of the process that this one was forked from
        folders.close()
        assert kept.path.exists()
    assert list(tmp_path.iterdir()) == []
    with folders.folder(tmp_path) as taken:
        taken.stays = True
    assert taken.path.exists(), "who has taken it over removes it"
    taken.temporary.remove()


def test_partitions_are_loaded_from_threads_and_from_pickles_at_any_time(place: Place) -> None:
    collection(place).save({str(number): {"n": number} for number in range(9)})
    parts = collection(place).load()
    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(lambda load: load(), parts.values()))
    assert found == [{"n": number} for number in range(9)]
    assert pickle.loads(pickle.dumps(parts))["3"]() == {"n": 3}


def test_a_partition_that_has_vanished_since_the_listing_is_named(place: Place) -> None:
    days = collection(place)
    days.save({"a": {"n": 1}, "b": {"n": 2}})
    parts = days.load()
    days.backend.end_changes(fragment=days.location, remove=["b"])
    with pytest.raises(DatasetError, match=r"/days/b'.*E0301"):
        parts["b"]()
    assert parts["a"]() == {"n": 1}


def test_a_file_of_another_depth_is_no_partition(place: Place) -> None:
    collection(place).save({"a": {}, "b/c": {}, "b/d/e": {}})
    format_ = {"type": "partitions.PartitionedDataset", "dataset": "json.JSONDataset", "load_args": {"maxdepth": 2}}
    days: Any = ArtifactDataset.from_config("days", place.entry("days", dataset=format_))
    assert list(days.load()) == ["a", "b/c"]


def test_a_collection_may_be_of_our_entries_as_it_was_within_the_stock_class(place: Place) -> None:
    inner = {"type": "kedro_statisfactory.ArtifactDataset", "dataset": "json.JSONDataset"}
    collection(place, dataset=inner).save({"a": {"n": 1}})
    assert loaded(collection(place)) == {"a": {"n": 1}}
    collection(place, dataset=ArtifactDataset, name="bytes").save({"a": b"1"})
    assert loaded(collection(place, dataset=ArtifactDataset, name="bytes")) == {"a": b"1"}


def test_arguments_for_files_reach_the_format_unless_it_has_its_own(tmp_path: Path) -> None:
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    appends = {"open_args_save": {"mode": "a"}}
    for _ in range(2):
        collection(place, dataset="text.TextDataset", fs_args=appends).save({"a": "x"})
    assert loaded(collection(place, dataset="text.TextDataset")) == {"a": "xx"}


class OfWhere(Named):
    """One that has another name for it still."""

    def __init__(self, where: str) -> None:
        super().__init__(where)


@pytest.mark.parametrize(("kind", "argument"), [(Named, "path"), (OfWhere, "where")])
def test_a_format_may_call_its_path_otherwise(tmp_path: Path, kind: type, argument: str) -> None:
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    days = collection(place, dataset=kind, filepath_arg=argument)
    days.save({"a": "text"})
    assert loaded(days) == {"a": "text"}


class MyPartitions(PartitionedDataset):  # type: ignore[misc]
    """A class of somebody else's with a ``path``."""


def test_another_class_with_a_path_is_handed_a_folder(place: Place) -> None:
    format_ = {"type": MyPartitions, "dataset": "json.JSONDataset"}
    entry: Any = ArtifactDataset.from_config("days", place.entry("days", dataset=format_))
    entry.save({"a": {"n": 1}})
    entry.save({"b/c": {"n": 2}})
    assert loaded(entry) == {"a": {"n": 1}, "b/c": {"n": 2}}


def test_a_mode_that_keeps_what_is_there_keeps_a_partition(tmp_path: Path) -> None:
    dataset = {"type": "json.JSONDataset", "save_args": {"mode": "ignore"}}
    place = Place(str(tmp_path), lambda *_: None, lambda *_: None)
    collection(place).save({"a": {"n": 1}})
    collection(place, dataset=dataset).save({"a": {"n": 2}})
    assert loaded(collection(place)) == {"a": {"n": 1}}


# -- requests ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def sent_to_s3(server: S3Server) -> Iterator[list[str]]:
    """Operations that the one client of the server's credentials sends."""
    sent: list[str] = []
    events = s3_client(Session(server.credentials)).meta.events

    def note(model: Any, **_: Any) -> None:
        sent.append(model.name)

    events.register("before-call", note)
    yield sent
    events.unregister("before-call", note)


def test_on_s3_a_partition_is_one_request_and_so_is_a_thousand_of_the_listing(seaweed: S3Server, bucket: str) -> None:
    place = Place(f"s3://{bucket}", lambda *_: None, lambda *_: None, seaweed.credentials)
    days = collection(place)
    days.save({"a": {}})
    with sent_to_s3(seaweed) as sent:
        days.save({"a": {}, "b": {}})
        assert sent == ["PutObject", "PutObject"]
        sent.clear()
        days.load()["a"]()
        assert sent == ["ListObjectsV2", "GetObject"]
        sent.clear()
        assert days.exists()
        assert sent == ["ListObjectsV2"]


def test_on_lakefs_a_partition_is_one_request_and_so_is_a_thousand_of_the_listing(
    lakefs_local: LakeFSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(f"lakefs://{lakefs_local.new_repository()}", lambda *_: None, lambda *_: None)
    place.credentials = lakefs_local.credentials
    days = collection(place)
    days.save({"a": {}})
    pool = lakefs_client(Session(lakefs_local.credentials)).rest_client.pool_manager
    sent, request = [], pool.request

    def note(method: str, url: str, **more: Any) -> Any:
        sent.append(f"{method} {urlsplit(url).path.rpartition('/')[2]}")
        return request(method, url, **more)

    monkeypatch.setattr(pool, "request", note)
    days.load()["a"]()
    assert sent == ["GET ls", "GET objects"]


@pytest.mark.once
def test_a_hundred_thousand_partitions_are_listed_and_none_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kedro_statisfactory.backends import ObjectInfo

    days = collection(Place(str(tmp_path), lambda *_: None, lambda *_: None))
    found = [ObjectInfo(f"{number:06}", 1) for number in range(100_000)]
    monkeypatch.setattr(type(days.backend), "list", lambda *_, **__: iter(found))
    assert list(days.load()) == [info.path for info in found]
