"""What is typed wrong in an entry is told when the catalog is read, and no secret is shown."""

from __future__ import annotations

import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, DatasetError, Version

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import S3Backend
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import InvalidFormat, PermissionDenied
from kedro_statisfactory.session import Session
from tests.datasets.conftest import Place
from tests.datasets.entries import SECRET, Failing, Rich, entry_at
from tests.servers.s3 import S3Server


class Picky(Failing):
    """A format whose constructor fails."""

    def __init__(self, filepath: str, how: str = "raw") -> None:
        raise DatasetError(f"no {filepath}") if how == "kedro" else ValueError(f"no {filepath}")


def test_a_format_that_cannot_be_made_names_the_url(place: Place) -> None:
    with pytest.raises(DatasetError, match=r"store/x.*Picky failed: ValueError: no .*store/x$") as failed:
        entry_at(place, "x", dataset=Picky).save("x")
    assert "statisfactory-" not in str(failed.value)
    with pytest.raises(DatasetError, match="no "):
        entry_at(place, "x", dataset={"type": Picky, "how": "kedro"}).save("x")


def test_a_description_shows_no_password_of_the_format() -> None:
    dataset = {"type": "pandas.CSVDataset", "load_args": {"sep": ";", "storage_options": {"key": SECRET}}}
    entry = ArtifactDataset(filepath="x", dataset={**dataset, "fs_args": {"open_args_load": {"key": SECRET}}})
    assert SECRET not in repr(entry) + str(entry._describe())
    assert entry._describe()["dataset"]["load_args"] == {"sep": ";"}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"credentials": {"key": SECRET}}, "`credentials` belongs to the entry"),
        ({"fs_args": {"client_kwargs": {"endpoint_url": SECRET}}}, "`client_kwargs` is about the connection"),
    ],
)
def test_what_a_format_would_say_of_the_connection_is_refused_and_not_ignored(args: dict[str, Any], says: str) -> None:
    dataset = {"type": "pandas.CSVDataset", **args}
    nested = {"type": "partitions.PartitionedDataset", "dataset": dataset}
    with_checkpoint = {**nested, "type": "partitions.IncrementalDataset", "dataset": "json.JSONDataset"}
    of_the_collection = {**nested, "dataset": "pandas.CSVDataset", **args}
    checkpoint = {"type": "json.JSONDataset", **args}
    refused = [dataset, nested, of_the_collection, {**with_checkpoint, "checkpoint": checkpoint}]
    for each in refused:
        with pytest.raises(InvalidFormat, match=f"E0501.*({says}|`credentials` of the checkpoint)") as error:
            ArtifactDataset(filepath="s3://b/x", dataset=each)
        assert SECRET not in str(error.value)


def test_what_a_format_says_of_a_database_or_of_fsspec_alone_is_not_refused() -> None:
    ArtifactDataset(filepath="x", dataset={"type": "ibis.FileDataset", "credentials": {"backend": "duckdb"}})
    ArtifactDataset(filepath="x", dataset={"type": "json.JSONDataset", "fs_args": {"auto_mkdir": True}})


def test_a_folder_of_versions_that_may_not_be_listed_names_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ArtifactDataset(filepath="s3://b/x", version=Version(None, None), credentials={"key": "k", "secret": "s"})

    def deny(*_: Any, **__: Any) -> None:
        raise PermissionDenied("no")

    monkeypatch.setattr(S3Backend, "list", deny)
    with pytest.raises(DatasetError, match=r"s3://b/x.*E0302"):
        entry.list_versions()


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
