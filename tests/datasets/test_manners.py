"""An entry has the manners of a Kedro dataset, in a catalog, in other classes and in other processes."""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner
from kedro_datasets.partitions import PartitionedDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend
from tests.datasets.conftest import Place
from tests.datasets.entries import SECRET, Failing, Rich, entry_at
from tests.servers.s3 import S3Server


def test_a_format_follows_what_kedro_asks_of_it(place: Place) -> None:
    entry = entry_at(place, "x.txt", dataset={"type": Rich, "credentials": {"a": SECRET}})
    assert entry._EPHEMERAL
    assert entry._SINGLE_PROCESS
    entry.save("abcdef")
    assert entry.preview() == "abc"
    assert entry.preview(nrows=2) == "ab"
    assert list(inspect.signature(entry.preview).parameters) == ["nrows"]
    assert inspect.signature(entry.preview).return_annotation in (str, "str")
    Rich.confirmed.clear()
    Rich.released.clear()
    entry.confirm()
    entry.load()
    entry.confirm()
    assert Rich.confirmed == ["x.txt", "x.txt"]
    entry.release()
    entry.release()
    assert Rich.released == ["x.txt"]


def test_a_preview_that_fails_says_of_what(place: Place) -> None:
    entry = entry_at(place, "x.txt", dataset=Rich)
    entry.save("abc")
    with pytest.raises(DatasetError, match=r"no negative number of rows.*x\.txt"):
        entry.preview(nrows=-1)


def test_a_release_lets_the_format_forget(place: Place) -> None:
    entry = entry_at(place, "x.txt", dataset=Rich)
    entry.release()
    entry.save("abc")
    entry.load()
    entry.release()
    assert entry.load() == "abc"


def test_an_entry_has_only_the_methods_of_its_format(place: Place) -> None:
    plain = entry_at(place, "x.txt", dataset="text.TextDataset")
    assert not hasattr(plain, "confirm")
    assert not hasattr(plain, "preview")
    assert not hasattr(entry_at(place, "x"), "preview")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plain.nothing  # noqa: B018
    assert not plain._EPHEMERAL
    assert not plain._SINGLE_PROCESS


def test_the_filepath_is_public_and_whole(place: Place) -> None:
    entry = entry_at(place, "a b?c#d.txt", dataset="text.TextDataset", metadata={"kedro-viz": {"layer": "raw"}})
    assert entry.filepath == f"{place.root}/a b?c#d.txt"
    assert entry.metadata == {"kedro-viz": {"layer": "raw"}}
    assert entry._describe()["filepath"] == entry.filepath
    entry.save("text")
    assert entry.load() == "text"


def test_a_path_may_be_a_path(tmp_path: Path) -> None:
    entry = ArtifactDataset(filepath=tmp_path / "x", dataset="text.TextDataset")
    entry.save("text")
    assert (tmp_path / "x").read_text() == "text"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) & 0o600 == 0o600


def test_to_config_round_trips(place: Place) -> None:
    versioned = "lake_ref" not in place.save_args  # versions on lakeFS are made by runs only
    config = place.entry(
        "x.json",
        dataset={"type": "json.JSONDataset", "save_args": {"indent": 1}},
        save_args=place.save_args,
        metadata={"owner": "me"},
        versioned=versioned,
    )
    catalog = DataCatalog.from_config({"x": copy.deepcopy(config)})
    shown, credentials, _, _ = catalog.to_config()
    assert shown["x"]["dataset"] == config["dataset"]
    assert shown["x"]["filepath"] == config["filepath"]
    assert shown["x"].get("versioned", False) == versioned
    again = DataCatalog.from_config(shown, credentials=credentials)
    again.save("x", {"a": 1})
    assert again.load("x") == {"a": 1}


def test_to_config_has_plain_values_only(tmp_path: Path) -> None:
    for dataset, shown in (
        (Failing, f"{Failing.__module__}.Failing"),
        ({"type": Failing}, {"type": f"{Failing.__module__}.Failing"}),
        ({"type": "text.TextDataset"}, {"type": "text.TextDataset"}),
    ):
        catalog = DataCatalog({"x": ArtifactDataset(filepath=tmp_path / "x", dataset=dataset)})
        config, *_ = catalog.to_config()
        assert yaml.safe_load(yaml.safe_dump(config))["x"]["filepath"] == str(tmp_path / "x")
        assert config["x"]["dataset"] == shown


def test_an_entry_brings_its_backend_to_a_process_that_does_not_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "third_party_of_a_test.py").write_text(
        "from kedro_statisfactory import Backend\n"
        "class Third(Backend, prefix='third-of-a-test'):\n"
        "    def put(self, *, payload, fragment): ...\n"
        "    def get(self, *, fragment): return b'third'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("third_party_of_a_test")
    travels = pickle.dumps(ArtifactDataset(filepath="third-of-a-test://b/x"))
    code = f"import pickle; print(pickle.loads({travels!r}).load())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "b'third'\n", done.stderr


def test_an_entry_whose_backend_is_gone_says_so(tmp_path: Path) -> None:
    entry = ArtifactDataset(filepath=str(tmp_path / "x"))
    entry._module = "no_such_module"
    assert pickle.loads(pickle.dumps(entry)).filepath == entry.filepath


def test_a_file_that_a_third_party_misses_is_no_trouble_with_versions() -> None:
    class Lost(Backend, prefix="lost-of-a-test"):
        def put(self, *, payload: bytes, fragment: Any) -> None:  # type: ignore[override]
            raise FileNotFoundError("the tape is not there")

        def get(self, *, fragment: Any) -> bytes:  # type: ignore[override]
            raise AssertionError

    with pytest.raises(DatasetError, match=r"lost-of-a-test://b/x.*the tape is not there") as failed:
        ArtifactDataset(filepath="lost-of-a-test://b/x").save(b"")
    assert "version" not in str(failed.value)


def test_entries_travel_to_other_processes(place: Place) -> None:
    entry = entry_at(place, "x.json", dataset="json.JSONDataset")
    entry.save({"a": 1})
    entry.load()
    assert pickle.loads(pickle.dumps(entry)).load() == {"a": 1}
    assert copy.deepcopy(entry).load() == {"a": 1}


def test_a_backend_with_two_methods_serves_a_catalog() -> None:
    class Two(Backend, prefix="two-methods"):
        objects: dict[str, bytes] = {}  # noqa: RUF012

        def put(self, *, payload: bytes, fragment: Any) -> None:  # type: ignore[override]
            self.objects[fragment.path] = payload

        def get(self, *, fragment: Any) -> bytes:  # type: ignore[override]
            if fragment.path not in self.objects:
                raise FileNotFoundError(fragment.path)
            return self.objects[fragment.path]

    catalog = DataCatalog.from_config(
        {
            "raw": {"type": "kedro_statisfactory.ArtifactDataset", "filepath": "two-methods://b/raw"},
            "table": {
                "type": "kedro_statisfactory.ArtifactDataset",
                "filepath": "two-methods://b/t.csv",
                "dataset": {"type": "pandas.CSVDataset", "save_args": {"index": False}},
            },
        }
    )
    catalog.save("raw", b"a\n1\n")

    def parse(raw: bytes) -> Any:
        import io

        import pandas as pd

        return pd.read_csv(io.BytesIO(raw))

    SequentialRunner().run(pipeline([node(parse, "raw", "table")]), catalog)
    assert catalog.load("table").to_dict("list") == {"a": [1]}
    assert catalog.exists("table")
    with pytest.raises(DatasetError, match="missing"):
        ArtifactDataset(filepath="two-methods://b/missing").load()


def test_factories_and_transcoding(place: Place) -> None:
    catalog = DataCatalog.from_config(
        {
            "{name}_table@pandas": place.entry("{name}.parquet", dataset="pandas.ParquetDataset"),
            "{name}_table@polars": place.entry(
                "{name}.parquet", dataset={"type": "polars.EagerPolarsDataset", "file_format": "parquet"}
            ),
        }
    )

    def make() -> Any:
        import pandas as pd

        return pd.DataFrame({"a": [1, 2]})

    def total(frame: Any) -> int:
        return int(frame["a"].sum())

    nodes = pipeline([node(make, None, "my_table@pandas"), node(total, "my_table@polars", "total")])
    assert SequentialRunner().run(nodes, catalog)["total"].load() == 3


def test_as_the_dataset_of_a_partitioned_dataset(tmp_path: Path) -> None:
    catalog = DataCatalog.from_config(
        {
            "parts": {
                "type": "partitions.PartitionedDataset",
                "path": str(tmp_path / "parts"),
                "filename_suffix": ".json",
                "dataset": {"type": "kedro_statisfactory.ArtifactDataset", "dataset": "json.JSONDataset"},
                "fs_args": {"auto_mkdir": True},
            }
        }
    )
    catalog.save("parts", {"a": {"n": 1}, "sub/b": {"n": 2}})
    loaded = catalog.load("parts")
    assert {name: load() for name, load in loaded.items()} == {"a": {"n": 1}, "sub/b": {"n": 2}}
    assert "ArtifactDataset" in repr(catalog.get("parts"))


@pytest.fixture
def listed_s3() -> Iterator[None]:
    """An fsspec that knows S3, by which PartitionedDataset lists; s3fs needs an older boto3 than the tests have."""
    import obstore.fsspec

    obstore.fsspec.register("s3")
    yield
    sys.modules["fsspec.registry"]._registry.pop("s3")


@pytest.mark.usefixtures("listed_s3")
@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_as_the_dataset_of_a_partitioned_dataset_on_s3(seaweed: S3Server, bucket: str, scheme: str) -> None:
    session = {
        "access_key_id": seaweed.access_key,
        "secret_access_key": seaweed.secret_key,
        "endpoint": seaweed.endpoint_url,
        "virtual_hosted_style_request": False,
    }
    config: dict[str, Any] = {
        "type": "partitions.PartitionedDataset",
        "path": f"{scheme}://{bucket}/parts",
        "filename_suffix": ".json",
        "overwrite": True,
        "credentials": {"config": session, "client_options": {"allow_http": True}},
        "dataset": {
            "type": "kedro_statisfactory.ArtifactDataset",
            "dataset": "json.JSONDataset",
            "credentials": seaweed.credentials,
        },
    }
    catalog = DataCatalog.from_config({"parts": config})
    for parts in ({"a": {"n": 1}, "sub/ü b": {"n": 2}}, {"c": {"n": 3}}):
        catalog.save("parts", parts)
        assert {name: load() for name, load in catalog.load("parts").items()} == parts


def test_what_is_being_written_is_no_partition(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    seen: list[list[str]] = []

    class Looking(Failing):
        def __init__(self, filepath: str) -> None:
            super().__init__(filepath)

        def _save(self, data: str) -> None:
            super()._save(data)
            seen.append(sorted(parts._list_partitions()))
            parts.release()

    parts = PartitionedDataset(path=str(tmp_path / "data/parts"), dataset={"type": ArtifactDataset, "dataset": Looking})
    parts.save({"a": "text", "sub/b": "text"})
    parts.save({"a": "text"})
    found = [[Path(each).relative_to(tmp_path / "data/parts").as_posix() for each in listing] for listing in seen]
    assert found == [[], ["a"], ["a", "sub/b"]]
