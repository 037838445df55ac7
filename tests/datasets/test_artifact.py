"""What an entry promises beside its format: whole saves, few requests, and manners of a Kedro dataset."""

from __future__ import annotations

import asyncio
import copy
import errno
import importlib
import inspect
import logging
import os
import pickle
import re
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.io import AbstractDataset, CachedDataset, DataCatalog, DatasetError, Version
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner
from kedro_datasets.partitions import PartitionedDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend, S3Backend
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import PermissionDenied
from kedro_statisfactory.session import Session
from tests.datasets.conftest import Place
from tests.servers.s3 import S3Server

SECRET = "a-very-secret-value"


class Failing(AbstractDataset[str, str]):
    """A format that breaks off half-way through a save."""

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> str:
        return self._filepath.read_text()

    def _save(self, data: str) -> None:
        self._filepath.write_text(data[: len(data) // 2])
        if data.startswith("interrupt"):
            raise KeyboardInterrupt
        if data.startswith("fail"):
            raise OSError("the disk of the format is full")
        if data.startswith("forget"):
            self._filepath.unlink()

    def _describe(self) -> dict[str, Any]:
        return {}


class Rich(AbstractDataset[str, str]):
    """A format with everything that Kedro may ask for."""

    _EPHEMERAL = True
    _SINGLE_PROCESS = True
    confirmed: list[str] = []  # noqa: RUF012
    released: list[str] = []  # noqa: RUF012

    def __init__(self, filepath: str, credentials: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> str:
        return self._filepath.read_text()

    def _save(self, data: str) -> None:
        self._filepath.write_text(data)

    def _release(self) -> None:
        self.released.append(self._filepath.name)

    def _describe(self) -> dict[str, Any]:
        return {}

    def confirm(self) -> None:
        self.confirmed.append(self._filepath.name)

    def preview(self, nrows: int = 3) -> str:
        """The first characters."""
        return self._filepath.read_text()[:nrows]


@pytest.fixture
def requests_sent(seaweed: S3Server) -> Iterator[list[str]]:
    """The operations that the one client of the server's credentials sends."""
    sent: list[str] = []

    def note(model: Any, **_: Any) -> None:
        sent.append(model.name)

    events = s3_client(Session(seaweed.credentials)).meta.events
    events.register("before-call.s3", note)
    yield sent
    events.unregister("before-call.s3", note)


def _entry(place: Place, name: str, **config: Any) -> ArtifactDataset:
    entry = ArtifactDataset.from_config("my_entry", place.entry(name, **config))
    assert isinstance(entry, ArtifactDataset)
    return entry


@pytest.mark.parametrize(
    ("how", "error"), [("fail", DatasetError), ("interrupt", KeyboardInterrupt), ("forget", DatasetError)]
)
def test_a_save_that_breaks_off_leaves_the_old_object_whole(
    place: Place, how: str, error: type[BaseException], tmp_path: Path
) -> None:
    entry = _entry(place, "folder/x.txt", dataset=Failing)
    entry.save("the old text")
    old = entry.load()
    with pytest.raises(error):
        entry.save(f"{how} in the middle of this text")
    assert entry.load() == old
    if place.credentials is None:
        assert os.listdir(Path(place.root, "folder")) == ["x.txt"], "nothing half-written is left beside it"


def test_writing_in_place_would_tear_in_that_case(tmp_path: Path) -> None:
    """The negative control of the test above."""
    stock = Failing(str(tmp_path / "x.txt"))  # type: ignore[abstract]
    stock.save("the old text")
    with pytest.raises(DatasetError):
        stock.save("fail in the middle of this text")
    assert stock.load() == "fail in the mid"


def test_warm_each_load_save_and_exists_is_one_request(
    seaweed: S3Server, bucket: str, requests_sent: list[str]
) -> None:
    entry = ArtifactDataset(
        filepath=f"s3://{bucket}/x.json", dataset="json.JSONDataset", credentials=seaweed.credentials
    )
    entry.save({"a": 1})
    assert requests_sent == ["PutObject"]
    requests_sent.clear()
    assert entry.load() == {"a": 1}
    assert requests_sent == ["GetObject"]
    requests_sent.clear()
    assert entry.exists()
    assert requests_sent == ["HeadObject"]


def test_the_count_of_requests_sees_one_too_many(seaweed: S3Server, bucket: str, requests_sent: list[str]) -> None:
    """The negative control of the test above: another client with these credentials would not be seen."""
    client = s3_client(Session(dict(seaweed.credentials)))
    client.put_object(Bucket=bucket, Key="x", Body=b"")
    client.list_objects_v2(Bucket=bucket)
    assert requests_sent == ["PutObject", "ListObjectsV2"]


def test_constructors_touch_neither_network_nor_sdk() -> None:
    code = (
        "import sys; from kedro_statisfactory import ArtifactDataset\n"
        "entry = ArtifactDataset(filepath='s3://b/x', credentials={'key': 'k', 'secret': 's', "
        "'client_kwargs': {'endpoint_url': 'http://127.0.0.1:1'}})\n"
        "repr(entry)\n"
        "assert not {'boto3', 'botocore', 'lakefs_client', 'git', 'pandas'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_exists_is_false_only_for_what_is_not_there(moto_server: S3Server, seaweed: S3Server, bucket: str) -> None:
    wrong = {**seaweed.credentials, "aws_secret_access_key": SECRET}
    entry = ArtifactDataset(filepath=f"s3://{bucket}/x", credentials=wrong)
    with pytest.raises(DatasetError, match="E0302"):
        entry.exists()
    missing_bucket = ArtifactDataset(filepath="s3://no-such-bucket/x", credentials=moto_server.credentials)
    assert not missing_bucket.exists()


def test_what_is_missing_is_named_with_its_entry(place: Place) -> None:
    catalog = DataCatalog.from_config({"my_entry": place.entry("missing.json", dataset="json.JSONDataset")})
    with pytest.raises(DatasetError, match=r"(?s)my_entry.*missing\.json.*E0301.*there is no"):
        catalog.load("my_entry")


def test_errors_of_the_format_name_the_url_and_no_private_path(place: Place) -> None:
    entry = _entry(place, "broken.json")
    entry.save(b"{ no json")
    reading = _entry(place, "broken.json", dataset="json.JSONDataset")
    with pytest.raises(DatasetError, match=r"broken\.json.*JSONDataset failed: JSONDecodeError") as caught:
        reading.load()
    assert "statisfactory-" not in str(caught.value)
    with pytest.raises(DatasetError, match=r"broken\.json.*JSONDataset failed: TypeError"):
        reading.save(object())
    assert entry.load() == b"{ no json"


def test_an_error_of_the_format_without_a_cause_keeps_its_text(place: Place) -> None:
    entry = _entry(place, "x.txt", dataset=Failing)
    with pytest.raises(DatasetError, match=r"Saving 'None' to a 'Dataset' is not allowed|None"):
        entry.save(None)
    plot = _entry(place, "p.png", dataset="matplotlib.MatplotlibDataset")
    _entry(place, "p.png").save(b"")
    with pytest.raises(DatasetError, match="MatplotlibDataset"):
        plot.load()


def test_a_format_follows_what_kedro_asks_of_it(place: Place) -> None:
    entry = _entry(place, "x.txt", dataset={"type": Rich, "credentials": {"a": SECRET}})
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


def test_a_release_lets_the_format_forget(place: Place) -> None:
    entry = _entry(place, "x.txt", dataset=Rich)
    entry.release()
    entry.save("abc")
    entry.load()
    entry.release()
    assert entry.load() == "abc"


def test_an_entry_has_only_the_methods_of_its_format(place: Place) -> None:
    plain = _entry(place, "x.txt", dataset="text.TextDataset")
    assert not hasattr(plain, "confirm")
    assert not hasattr(plain, "preview")
    assert not hasattr(_entry(place, "x"), "preview")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plain.nothing  # noqa: B018
    assert not plain._EPHEMERAL
    assert not plain._SINGLE_PROCESS


def test_the_filepath_is_public_and_whole(place: Place) -> None:
    entry = _entry(place, "a b?c#d.txt", dataset="text.TextDataset", metadata={"kedro-viz": {"layer": "raw"}})
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


@pytest.mark.parametrize("where", ["s3", "disk"])
def test_where_nothing_can_be_staged_is_told(
    seaweed: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "s3":
        monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
        entry = ArtifactDataset(filepath=f"s3://{bucket}/x", dataset=Failing, credentials=seaweed.credentials)
        with pytest.raises(DatasetError, match=r"E0300.*temporary files \(TMPDIR\): No such file"):
            entry.save("x")
        return

    def deny(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", deny)
    with pytest.raises(DatasetError, match=rf"E0302.*nothing can be written to the folder '{tmp_path}'"):
        ArtifactDataset(filepath=str(tmp_path / "x"), dataset=Failing).save("x")


def test_a_file_that_a_third_party_misses_is_no_trouble_with_versions() -> None:
    class Lost(Backend, prefix="lost-of-a-test"):
        def put(self, *, payload: bytes, fragment: Any) -> None:  # type: ignore[override]
            raise FileNotFoundError("the tape is not there")

        def get(self, *, fragment: Any) -> bytes:  # type: ignore[override]
            raise AssertionError

    with pytest.raises(DatasetError, match=r"lost-of-a-test://b/x.*the tape is not there") as failed:
        ArtifactDataset(filepath="lost-of-a-test://b/x").save(b"")
    assert "version" not in str(failed.value)


class Picky(Failing):
    """A format whose constructor fails."""

    def __init__(self, filepath: str, how: str = "raw") -> None:
        raise DatasetError(f"no {filepath}") if how == "kedro" else ValueError(f"no {filepath}")


def test_a_format_that_cannot_be_made_names_the_url(place: Place) -> None:
    with pytest.raises(DatasetError, match=r"store/x.*Picky failed: ValueError: no .*store/x$") as failed:
        _entry(place, "x", dataset=Picky).save("x")
    assert "statisfactory-" not in str(failed.value)
    with pytest.raises(DatasetError, match="no "):
        _entry(place, "x", dataset={"type": Picky, "how": "kedro"}).save("x")


def test_a_description_shows_no_password_of_the_format() -> None:
    shown = {"storage_options": {"key": SECRET}, "fs_args": {"password": SECRET}}
    dataset = {"type": "pandas.CSVDataset", "load_args": {"sep": ";", "storage_options": {"key": SECRET}}}
    entry = ArtifactDataset(filepath="x", dataset={**dataset, "fs_args": shown["fs_args"]})
    assert SECRET not in repr(entry) + str(entry._describe())
    assert entry._describe()["dataset"]["load_args"] == {"sep": ";"}


def test_a_folder_of_versions_that_may_not_be_listed_names_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ArtifactDataset(filepath="s3://b/x", version=Version(None, None), credentials={"key": "k", "secret": "s"})

    def deny(*_: Any, **__: Any) -> None:
        raise PermissionDenied("no")

    monkeypatch.setattr(S3Backend, "list", deny)
    with pytest.raises(DatasetError, match=r"s3://b/x.*E0302"):
        entry.list_versions()


def test_entries_travel_to_other_processes(place: Place) -> None:
    entry = _entry(place, "x.json", dataset="json.JSONDataset")
    entry.save({"a": 1})
    entry.load()
    assert pickle.loads(pickle.dumps(entry)).load() == {"a": 1}
    assert copy.deepcopy(entry).load() == {"a": 1}


def test_no_secret_is_shown(
    seaweed: S3Server, bucket: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="kedro_statisfactory")
    caplog.set_level(logging.DEBUG, logger="kedro")
    wrong = {**seaweed.credentials, "aws_secret_access_key": SECRET}
    entry = ArtifactDataset(
        filepath=f"s3://{bucket}/x", credentials=wrong, dataset={"type": Rich, "credentials": {"password": SECRET}}
    )
    shown = [repr(entry), str(entry), str(entry._describe()), repr(entry._backend()), repr(entry._backend()._session)]
    for call in (entry.load, lambda: entry.save("x"), entry.exists):
        with pytest.raises(DatasetError) as caught:
            call()
        shown.append("".join(traceback.format_exception(caught.value)))
    shown += [caplog.text, *capsys.readouterr()]
    assert all(shown[:5])
    assert not [text for text in shown if SECRET in text]
    assert SECRET in str(entry.__dict__), "the negative control: it is there to be shown"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"filepath": "nope://b/x"}, r"E0202.*prefix 'nope'.*s3://"),
        ({"filepath": "s3://bucket"}, "E0101.*names no object"),
        ({"filepath": "s3://b/../x"}, "E0101.*segment"),
        ({"filepath": "s3://user:pw@b/x"}, "E0101.*credentials"),
        ({"filepath": "s3://b/x", "credentials": {"acces_key": SECRET}}, "E0401.*acces_key"),
        ({"filepath": "s3://b/x", "fs_args": {"open_args_load": {"mode": "r"}}}, "E0204.*for the format"),
        ({"filepath": "s3://b/x", "no_such": 1}, "E0204.*no argument `no_such`.*into `dataset`"),
        ({"filepath": "s3://b/x", "load_arg": {}}, "E0204.*Did you mean `load_args`"),
        ({"filepath": "s3://b/x", "credentials": {"s3_additional_kwargs": {}}}, "E0401.*move them into `save_args`"),
        ({"filepath": "abfs://b/x"}, "E0202.*abfs:// goes through fsspec, which needs a package for it: .*adlfs"),
        ({"filepath": "zip://x/y"}, "E0202.*zip:// is no place of its own"),
        ({"filepath": "simplecache::https://h/x"}, "E0101.*a chain of places"),
        ({"filepath": "sftp://me:hush@h/x"}, "E0101.*credentials"),
        ({"filepath": "https://me@h/x"}, "E0101.*credentials"),
        ({"filepath": "https://{host}/x"}, "E0101.*a placeholder"),
        ({"filepath": None}, "E0101.*`filepath` of the entry is of type NoneType"),
        ({"filepath": "s3:/b/x"}, "E0101.*one slash where a URL has two: write s3://b/x"),
        ({"filepath": "file:/b/x"}, "E0101.*one slash where a URL has two: write file:///b/x"),
        ({"filepath": Path("lakefs://r/x")}, "E0101.*write lakefs://r/x, as text, not as a Path"),
        ({"filepath": "s_3://b/x"}, "E0202.*prefix 's_3'"),
        ({"filepath": "s3://b/x", "load_args": "sep=;"}, "E0204.*`load_args` of the entry is of type str"),
        ({"filepath": "s3://b/x", "save_args": 5}, "E0204.*`save_args` of the entry is of type int"),
        ({"filepath": "s3://b/x", "fs_args": "x"}, "E0204.*`fs_args` of the entry is of type str"),
        ({"filepath": "s3://b/x", "fs_args": {"requester_pays": True}}, "E0401.*`fs_args`.*requester_pays"),
        ({"filepath": "s3://b/x", "credentials": {"anon": "false"}}, "E0403.*'anon' is neither true nor false"),
        ({"filepath": "s3://b/x", "credentials": {"endpoint_url": "http://h/?k=v"}}, "E0403.*a query"),
    ],
)
def test_what_is_typed_wrong_is_said_when_the_catalog_is_read(config: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetError, match=f"(?s){says}.*my_entry") as caught:
        DataCatalog.from_config({"my_entry": {"type": "kedro_statisfactory.ArtifactDataset", **config}}).get("my_entry")
    assert SECRET not in str(caught.value)
    assert "user:pw" not in str(caught.value)


def test_unknown_options_are_errors_that_name_the_known_ones(place: Place) -> None:
    catalog = DataCatalog.from_config(
        {
            "reads": place.entry("x", load_args={"sep": ";"}),
            "writes": place.entry("x", save_args={"index": False}),
        }
    )
    with pytest.raises(DatasetError, match=r"(?s)writes.*E0204.*index.*Arguments of the format belong into `dataset`"):
        catalog.save("writes", b"x")
    with pytest.raises(DatasetError, match=r"(?s)reads.*E0204.*sep"):
        catalog.load("reads")


def test_options_reach_the_service(seaweed: S3Server, bucket: str) -> None:
    entry = ArtifactDataset(
        filepath=f"s3://{bucket}/x.json",
        dataset="json.JSONDataset",
        save_args={"Metadata": {"owner": "me"}},
        load_args={"Range": "bytes=0-1"},
        credentials=seaweed.credentials,
    )
    entry.save({"a": 1})
    head = s3_client(Session(seaweed.credentials)).head_object(Bucket=bucket, Key="x.json")
    assert head["Metadata"] == {"owner": "me"}
    with pytest.raises(DatasetError, match=r"E0204.*Range"):
        entry.load()


def test_an_entry_without_a_path_can_be_shown_and_not_used() -> None:
    entry = pickle.loads(pickle.dumps(ArtifactDataset(filepath="", dataset="text.TextDataset")))
    assert "ArtifactDataset" in repr(entry)
    with pytest.raises(DatasetError, match=r"E0101.*no filepath"):
        entry.load()


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


def test_a_cached_entry_loads_once(seaweed: S3Server, bucket: str, requests_sent: list[str]) -> None:
    config = {
        "type": "kedro_statisfactory.ArtifactDataset",
        "filepath": f"s3://{bucket}/x.json",
        "dataset": "json.JSONDataset",
        "credentials": seaweed.credentials,
    }
    for versioned in (False, True):
        cached = CachedDataset(
            dataset={**config, "filepath": f"s3://{bucket}/{versioned}.json"},
            version=Version(None, None) if versioned else None,
        )
        cached.save({"a": 1})
        requests_sent.clear()
        assert cached.load() == {"a": 1}
        assert requests_sent == []
        cached.release()
        assert cached.load() == {"a": 1}
        assert "GetObject" in requests_sent


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


def test_threads_share_an_entry(place: Place) -> None:
    entry = _entry(place, "x.json", dataset="json.JSONDataset")
    entry.save({"a": 1})

    async def load_all() -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(entry.load) for _ in range(16)))

    assert asyncio.run(load_all()) == [{"a": 1}] * 16


def test_a_full_folder_for_temporary_files_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    if not place.root.startswith(("s3:", "lakefs:")):
        return  # a file is read where it is
    entry = ArtifactDataset.from_config("x", place.entry("x.json", dataset="json.JSONDataset"))
    entry.save({"a": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for target in ("open", "write_bytes"):
        monkeypatch.setattr(Path, target, full)
    with pytest.raises(DatasetError, match=rf"{re.escape(tempfile.gettempdir())}' is full.*TMPDIR"):
        entry.load()


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("s3:///x.csv", "names no bucket"),
        ("s3://{bucket}/x.csv", "placeholder that nobody has filled in"),
        ("lakefs:///x.csv", "names no repository"),
        ("lakefs://{repository}/x.csv", "placeholder that nobody has filled in"),
        ("lakefs://Not_Allowed/x.csv", "does not allow as a name"),
        ("lakefs://repository/" + "p" * 1025, "1025 bytes, and lakeFS allows 1024: shorten it"),
        ("file://host/x.csv", "three slashes"),
        ("/somewhere/~/x.csv", "a folder '~'"),
    ],
)
def test_a_location_that_could_never_be_right_is_refused_when_the_entry_is_made(url: str, cause: str) -> None:
    with pytest.raises(DatasetError, match=f"(?s){cause}"):
        DataCatalog.from_config({"x": {"type": "kedro_statisfactory.ArtifactDataset", "filepath": url}}).get("x")
