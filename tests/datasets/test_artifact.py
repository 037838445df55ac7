"""What an entry promises beside its format: whole saves, few requests, errors that name it."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from kedro.io import CachedDataset, DataCatalog, DatasetError, Version

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.session import Session
from tests.datasets.conftest import Place
from tests.datasets.entries import SECRET, Failing, entry_at
from tests.servers.s3 import S3Server


@pytest.mark.parametrize(
    ("how", "error"), [("fail", DatasetError), ("interrupt", KeyboardInterrupt), ("forget", DatasetError)]
)
def test_a_save_that_breaks_off_leaves_the_old_object_whole(
    place: Place, how: str, error: type[BaseException], tmp_path: Path
) -> None:
    entry = entry_at(place, "folder/x.txt", dataset=Failing)
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
    entry = entry_at(place, "broken.json")
    entry.save(b"{ no json")
    reading = entry_at(place, "broken.json", dataset="json.JSONDataset")
    with pytest.raises(DatasetError, match=r"broken\.json.*JSONDataset failed: JSONDecodeError") as caught:
        reading.load()
    assert "statisfactory-" not in str(caught.value)
    with pytest.raises(DatasetError, match=r"broken\.json.*JSONDataset failed: TypeError"):
        reading.save(object())
    assert entry.load() == b"{ no json"


def test_an_error_of_the_format_without_a_cause_keeps_its_text(place: Place) -> None:
    entry = entry_at(place, "x.txt", dataset=Failing)
    with pytest.raises(DatasetError, match=r"Saving 'None' to a 'Dataset' is not allowed|None"):
        entry.save(None)
    plot = entry_at(place, "p.png", dataset="matplotlib.MatplotlibDataset")
    entry_at(place, "p.png").save(b"")
    with pytest.raises(DatasetError, match="MatplotlibDataset"):
        plot.load()


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


def test_threads_share_an_entry(place: Place) -> None:
    entry = entry_at(place, "x.json", dataset="json.JSONDataset")
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
