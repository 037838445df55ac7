"""Engines that go to the data by themselves: what they read and write is where the entry says, in every place."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pandas as pd
import polars as pl
import pytest
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets.text import TextDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.datasets import saving
from kedro_statisfactory.datasets.hadoop import Buckets
from kedro_statisfactory.datasets.object_store import of_requests
from kedro_statisfactory.errors import BackendUnreachable, BranchNotFound, ObjectNotFound
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.project.settings import Settings
from kedro_statisfactory.session import Session
from tests.datasets.conftest import Place, _new_place
from tests.servers.faults import Canned
from tests.servers.faults import gateway as between

pytestmark = pytest.mark.once

LAZY = {"type": "polars.LazyPolarsDataset", "file_format": "parquet"}
EAGER = {"type": "polars.EagerPolarsDataset", "file_format": "parquet"}
DELTA = "pandas.DeltaTableDataset"
ONE, TWO = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}), pl.DataFrame({"a": [3], "b": ["z"]})


@pytest.fixture(params=["local", "s3", "lakefs", "lakefs on s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of place in turn."""
    return _new_place(request, tmp_path)


@pytest.fixture(autouse=True)
def _never_staged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever saves by way of this machine's disk is found out."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("this was staged")

    with monkeypatch.context() as patch:
        patch.setattr(saving.StagedSave, "begin", refuse)
        yield


def entry(place: Place, name: str, dataset: Any, **more: Any) -> Any:
    """An entry that is native."""
    return ArtifactDataset.from_config("x", place.entry(name, dataset=dataset, **{"native": True, **more}))


def plain(frame: Any) -> list[tuple[Any, ...]]:
    """The rows of any kind of table."""
    found = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    return sorted(found.rows() if isinstance(found, pl.DataFrame) else found.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("data[1].parquet", LAZY),
        ("x.csv", {"type": "polars.LazyPolarsDataset", "file_format": "csv"}),
        ("x.parquet", EAGER),
        ("x.json", {"type": "polars.EagerPolarsDataset", "file_format": "json"}),
    ],
)
def test_polars_reads_and_writes_where_the_data_is(place: Place, name: str, dataset: Any) -> None:
    if place.root.startswith("/"):
        name = name.replace("[1]", "")
    table = entry(place, name, dataset)
    with pytest.raises(DatasetError, match="there is no"):
        table.load()
    table.save(ONE)
    table.save(TWO)
    table.save(table.load())  # which reads what it replaces
    assert plain(table.load()) == plain(TWO)
    assert table.exists()
    copied = entry(place, name, dataset, native=False)
    assert plain(copied.load()) == plain(TWO)
    assert [info.path for info in table.backend.list(fragment=table.location)] == []


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_pandas_reads_and_writes_through_fsspec(place: Place, name: str) -> None:
    kind = "pandas.CSVDataset" if name.endswith("csv") else "pandas.ParquetDataset"
    table = entry(place, name, {"type": kind, "save_args": {"index": False}})
    table.save(ONE.to_pandas(use_pyarrow_extension_array=False))
    assert plain(table.load()) == plain(ONE)


def test_delta_keeps_its_history_where_the_table_is(place: Place) -> None:
    one, two = (pd.DataFrame({"a": [number]}) for number in (1, 2))
    table = entry(place, "table", DELTA)
    table.save(one)
    entry(place, "table", {"type": DELTA, "save_args": {"mode": "append"}}).save(two)
    assert plain(table.load()) == [(1,), (2,)]
    table.save(two)
    assert plain(table.load()) == [(2,)]
    assert len(table.history) == 3
    assert plain(entry(place, "table", DELTA, native=False).load()) == [(2,)]


def _entry_with(seaweed: Any, bucket: str, config: dict[str, Any]) -> dict[str, Any]:
    credentials = {**seaweed.credentials, "config_kwargs": config}
    entry = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": f"s3://{bucket}/x", "dataset": DELTA}
    return {**entry, "credentials": credentials, "native": True}


def test_nothing_written_is_an_error_and_so_is_what_an_engine_cannot_be_told(place: Place) -> None:
    class Idle(AbstractDataset[Any, Any]):
        def __init__(self, filepath: str, credentials: Any = None) -> None:
            self._given = filepath

        def _load(self) -> Any: ...

        def _save(self, data: Any) -> None: ...

        def _describe(self) -> dict[str, Any]:
            return {}

    with pytest.raises(DatasetError, match=r"Idle has reported no error, and has written nothing at"):
        entry(place, "x", Idle).save(1)
    if place.root.startswith("s3"):
        with pytest.raises(DatasetError, match=r"does not tell an engine of StorageClass"):
            entry(place, "x.parquet", EAGER, save_args={"StorageClass": "STANDARD"}).save(ONE)


def test_a_mode_that_protects_what_is_there_is_obeyed(place: Place) -> None:
    class Text(AbstractDataset[str, str]):
        def __init__(self, filepath: str, credentials: Any = None, save_args: Any = None) -> None:
            self._inner = TextDataset(filepath=filepath, credentials=credentials)

        def _load(self) -> str:
            return str(self._inner.load())

        def _save(self, data: str) -> None:
            self._inner.save(data)

        def _describe(self) -> dict[str, Any]:
            return {}

    def text(mode: str) -> Any:
        return entry(place, "x.txt", {"type": Text, "save_args": {"mode": mode}})

    text("error").save("old")
    text("ignore").save("new")
    with pytest.raises(DatasetError, match="something is there already"):
        text("error").save("new")
    assert text("overwrite").load() == "old"
    text("overwrite").save("new")
    assert text("overwrite").load() == "new"


def test_an_engine_that_fails_tells_no_secret_by_its_error_or_those_behind_it(place: Place) -> None:
    class Chatty(AbstractDataset[Any, Any]):
        def __init__(self, filepath: str, credentials: Any = None) -> None:
            self._given = (filepath, credentials)

        def _load(self) -> Any:
            access = self._given[1]
            raise RuntimeError(f"cannot read with {access['access'].secret_access_key.reveal() if access else '-'}")

        def _save(self, data: Any) -> None:
            raise NotImplementedError

        def _describe(self) -> dict[str, Any]:
            return {}

    entry(place, "x.csv", EAGER).save(ONE)
    with pytest.raises(DatasetError, match="cannot read with") as error:
        entry(place, "x.csv", Chatty).load()
    seen: BaseException | None = error.value
    while seen is not None:
        assert "secret-of-the-tests" not in str(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


@pytest.mark.parametrize("name", ["x.parquet", "table"])
def test_what_an_engine_is_going_to_read_is_noted_for_the_record_of_a_run(
    place: Place, name: str, tmp_path: Path
) -> None:
    is_folder = name == "table"
    table = entry(place, name, DELTA if is_folder else EAGER)
    table.save(ONE.to_pandas(use_pyarrow_extension_array=False) if is_folder else ONE)
    reads = tmp_path / "reads"
    reads.touch()
    noting = Project(tmp_path, head=Head("main", None, "a test"), reads=reads, entry="x")
    table.bind(noting)
    table.load()
    paths = sorted(noting.read()["x"])
    listed = [info.path for info in table.backend.list(fragment=table.location)]
    assert [path.rpartition(name)[2].lstrip("/") for path in paths] == (sorted(listed) if is_folder else [""])
    assert all(each["checksum"] for found in noting.read()["x"].values() for each in found)


def test_a_scan_reads_what_it_was_made_for_or_fails(place: Place) -> None:
    """Only where the data is on this machine anyway is nothing promised."""
    if place.root.startswith("/"):
        return
    table = entry(place, "x.parquet", LAZY)
    table.save(ONE)
    scan = table.load()
    table.save(TWO)
    with pytest.raises(Exception, match="replaced since it was loaded"):
        scan.collect()
    assert plain(table.load()) == plain(TWO)


def test_an_engine_that_fails_on_disk_leaves_what_was_there(tmp_path: Path) -> None:
    class Torn(AbstractDataset[Any, Any]):
        def __init__(self, filepath: str, credentials: Any = None) -> None:
            self._given = Path(filepath)

        def _load(self) -> Any:
            return self._given.read_text()

        def _save(self, data: Any) -> None:
            self._given.write_text(data[:1])
            if data == "torn":
                raise RuntimeError("the engine fails")
            self._given.write_text(data)

        def _describe(self) -> dict[str, Any]:
            return {}

    table = ArtifactDataset(filepath=str(tmp_path / "x.txt"), dataset=Torn, native=True)
    table.save("whole")
    with pytest.raises(DatasetError, match="the engine fails"):
        table.save("torn")
    assert table.load() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_keys_that_are_lent_for_a_time_are_lent_anew_while_a_scan_goes_on(
    seaweed: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys.json"

    def lend(secret: str) -> None:
        end = (datetime.now(timezone.utc) + timedelta(minutes=5)).isoformat()  # so soon that the next use asks again
        lent = {"Version": 1, "AccessKeyId": seaweed.access_key, "SecretAccessKey": secret, "Expiration": end}
        keys.write_text(json.dumps(lent))

    (tmp_path / "config").write_text(f"[profile lent]\ncredential_process = cat {keys}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    credentials = {"profile_name": "lent", "endpoint_url": seaweed.endpoint_url, "region_name": "us-east-1"}
    table = ArtifactDataset(filepath=f"s3://{bucket}/x.parquet", dataset=LAZY, credentials=credentials, native=True)
    lend(seaweed.secret_key)
    table.save(ONE)
    scan = table.load()
    sent = pickle.dumps(table.backend.engine_access(fragment=table.location))
    lend("not the one")
    with pytest.raises(Exception, match=r"(?i)signature|403"):
        scan.collect()
    lend(seaweed.secret_key)
    assert plain(scan) == plain(ONE)
    assert pickle.loads(sent).secret_access_key.reveal() == seaweed.secret_key
    assert pickle.loads(sent).renew is None


def test_what_delta_cannot_be_told_of_requests_is_refused(seaweed: Any, bucket: str) -> None:
    def table(**config: Any) -> Any:
        credentials = {**seaweed.credentials, "config_kwargs": config}
        return ArtifactDataset(filepath=f"s3://{bucket}/x", dataset=DELTA, credentials=credentials, native=True)

    patient = {"connect_timeout": 5, "read_timeout": 0.5, "retries": {"max_attempts": 2}, "max_pool_connections": 4}
    table(**patient).save(pd.DataFrame({"a": [1]}))
    assert plain(table(retries={"total_max_attempts": 3}, s3={"addressing_style": "path"}).load()) == [(1,)]
    told = {"connect_timeout": "5000ms", "timeout": "30000ms", "max_retries": "2"}
    assert of_requests(patient, "x") == told
    for config in ({"signature_version": "s3"}, {"s3": {"use_accelerate_endpoint": True}}, {"connect_timeout": "5"}):
        with pytest.raises(DatasetError, match=rf"cannot be told `{next(iter(config))}"):
            ArtifactDataset.from_config("x", _entry_with(seaweed, bucket, config))


def test_two_key_pairs_for_one_bucket_are_two(seaweed: Any, bucket: str) -> None:
    wrong = {**seaweed.credentials, "aws_secret_access_key": "not the one"}
    for name, dataset in {"x": DELTA, "y.parquet": EAGER}.items():
        url, kind = f"s3://{bucket}/{name}", cast(Any, {"dataset": dataset, "native": True})
        right = ArtifactDataset(filepath=url, credentials=seaweed.credentials, **kind)
        right.save(pd.DataFrame({"a": [1]}) if dataset is DELTA else ONE)
        with pytest.raises(DatasetError, match=r"(?i)signature|403|denied"):
            ArtifactDataset(filepath=url, credentials=wrong, **kind).load()
        assert len(right.load())


def test_a_folder_is_scanned_lazily_with_the_columns_in_its_names(place: Place, tmp_path: Path) -> None:
    for year in (2023, 2024):
        (tmp_path / f"table/year={year}").mkdir(parents=True)
        pl.DataFrame({"a": [year]}).write_parquet(tmp_path / f"table/year={year}/part-0.parquet")
    table = entry(place, "table", LAZY, native=None)
    table.backend.upload(source=tmp_path / "table", fragment=table.location)
    assert plain(table.load()) == [(2023, 2023), (2024, 2024)]
    if not place.root.startswith("/"):
        assert plain(entry(place, "table", LAZY).load()) == [(2023,), (2024,)], "kedro-datasets lets pyarrow do that"


def test_formats_that_read_lazily_do_without_the_gateway_where_it_is_off(
    lakefs_local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(f"lakefs://{lakefs_local.new_repository()}", lambda *_: None, lambda *_: None)
    place.credentials = lakefs_local.credentials
    entry(place, "x.parquet", LAZY).save(ONE)
    table = entry(place, "x.parquet", LAZY, native=None)
    assert table._reads_by_itself(table.location, {}) is not None
    for gateway in ("http://127.0.0.1:1", f"{lakefs_local.endpoint_url}/api/v1/healthcheck"):
        table.bind(Project(head=Head("main", None, "a test"), settings=Settings(gateway=gateway)))
        assert table._reads_by_itself(table.location, {}) is None
        assert plain(table.load()) == plain(ONE)
        explicit = entry(place, "x.parquet", LAZY)
        explicit.bind(table.backend.project)
        with pytest.raises(BackendUnreachable, match="S3 gateway does not answer"):
            explicit.check_engine(Buckets())
    gateway = entry(place, "x.parquet", LAZY).backend._gateway
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "is_open", lambda _: False)  # as it was when it was asked
        assert gateway.answers(place.root.rpartition("/")[2])
    with between(lakefs_local.endpoint_url) as proxy:
        table.bind(Project(head=Head("main", None, "a test"), settings=Settings(gateway=proxy.endpoint_url)))
        for code, is_open in {"SignatureDoesNotMatch": False, "AccessDenied": True}.items():
            proxy.answers.append(Canned(403, f"<Error><Code>{code}</Code></Error>".encode()))
            assert table.backend._gateway._is_open(place.root.rpartition("/")[2]) is is_open
        assert plain(table.load()) == plain(ONE)
    other = entry(place, "x.parquet", {**LAZY, "load_args": {"n_rows": 1}}, native=None)
    assert plain(other.load()) == plain(ONE)[:1], "what is only said to polars itself is obeyed"


def test_a_ref_is_read_at_the_gateway_too(lakefs_local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = lakefs_local.new_repository()
    place = Place(f"lakefs://{repository}", lambda *_: None, lambda *_: None, lakefs_local.credentials)
    table = entry(place, "x.parquet", LAZY)
    table.save(ONE)
    api = LakeFSBackend(Session(lakefs_local.credentials)).api
    first = api.create_commit(repository, "main", "one", {})
    table.save(TWO)
    assert plain(table.load()) == plain(TWO)
    assert plain(entry(place, "x.parquet", LAZY, load_args={"lake_ref": first}).load()) == plain(ONE)
    gateway = table.backend._gateway

    def not_found(*_: Any) -> Any:
        raise ObjectNotFound("there is none.")

    with pytest.raises(BranchNotFound):
        gateway.clear(repository, "gone", "x")
    with monkeypatch.context() as patch:
        patch.setattr(gateway._api, "list", not_found)
        with pytest.raises(ObjectNotFound):
            gateway.clear(repository, "main", "x")
    elsewhere = Project(settings=Settings(gateway="https://s3.lakefs.example.org"))
    table.bind(elsewhere)
    assert table.backend._gateway.access(table.location, "r", "main", "x").endpoint_url == elsewhere.settings.gateway


def test_who_may_not_write_is_told_so_in_one_line(lakefs_local: Any) -> None:
    place = Place(f"lakefs://{lakefs_local.new_repository()}", lambda *_: None, lambda *_: None)
    place.credentials = lakefs_local.credentials
    rules = f"/repositories/{place.root.rpartition('/')[2]}/settings/branch_protection"
    lakefs_local.call("PUT", rules, [{"pattern": "main"}])
    for name, dataset in {"x": "pandas.DeltaTableDataset", "x.parquet": "pandas.ParquetDataset"}.items():
        with pytest.raises(DatasetError, match=r"E0302.* refuse.*Attempted to write to a protected branch\)") as told:
            entry(place, name, dataset).save(pd.DataFrame({"n": [1]}))
        assert "\n" not in str(told.value)
