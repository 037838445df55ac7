"""What was read is noted as it was when it was read, in every place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pytest
from kedro.io import AbstractDataset

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import Backend, LocalFS, transfer
from kedro_statisfactory.backends.info import MOST_HASHED
from kedro_statisfactory.backends.lakefs.answer import Answer
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.runs.inputs import fingerprint
from kedro_statisfactory.session import Session
from tests.datasets.conftest import Place
from tests.servers.s3 import S3Server

_Read = dict[str, list[dict[str, str]]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., _Read]:
    """Load an entry as the input of a run; gives what is noted of it."""

    def load(entry: ArtifactDataset, times: int = 1) -> _Read:
        (tmp_path / "reads").write_text("")
        project = Project(tmp_path, head=Head("main", None, "a test"), reads=tmp_path / "reads", entry="x")
        entry.bind(project)
        for _ in range(times):
            entry.load()
        return project.read().get("x", {})

    return load


class Whole(AbstractDataset[None, dict[str, bytes]]):
    """Reads a file, or all files of a folder."""

    def __init__(self, filepath: str) -> None:
        self._path = Path(filepath)

    def _load(self) -> dict[str, bytes]:
        files = self._path.rglob("*") if self._path.is_dir() else [self._path]
        return {path.name: path.read_bytes() for path in files if path.is_file()}

    def _save(self, data: None) -> None: ...

    def _describe(self) -> dict[str, Any]:
        return {}


def _entry(place: Place, name: str, **config: Any) -> ArtifactDataset:
    config = place.entry(name, **config)
    del config["type"]
    return ArtifactDataset(**config)


def _one(read: _Read) -> dict[str, str]:
    ((found,),) = read.values()
    return found


@pytest.mark.parametrize("dataset", [None, Whole])
@pytest.mark.parametrize("size", [0, 5, transfer.SMALL + 1])
def test_checksum_size_and_time_of_what_was_read_are_noted(
    place: Place, read: Callable[..., _Read], tmp_path: Path, dataset: type[Whole] | None, size: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * size)
    place.write_file(source, "x.bin")
    entry = _entry(place, "x.bin", dataset=dataset)
    found = _one(read(entry, times=2))
    stat = entry.backend.stat(fragment=entry.location).fingerprint()
    if not place.credentials and size <= MOST_HASHED:
        stat["checksum"] = f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}"
    assert found == stat
    assert found["size"] == str(size)


def test_what_is_no_input_of_a_run_is_not_noted(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    place.write_file(source, "x.bin")
    entry = _entry(place, "x.bin", dataset=Whole)
    (tmp_path / "reads").write_text("")
    entry.bind(Project(tmp_path, head=Head("main", None, "a test")))
    entry.load()
    assert (tmp_path / "reads").read_text() == ""


def test_all_objects_of_a_folder_are_noted(place: Place, read: Callable[..., _Read], tmp_path: Path) -> None:
    for name in ("one", "deep/two"):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(name.encode())
    place.write_file(tmp_path / "source", "folder")
    found = fingerprint(read(_entry(place, "folder", dataset=Whole)))
    assert (found["objects"], found["size"]) == ("2", "11")
    assert found["checksum"].startswith("sha256:")
    assert found == fingerprint(read(_entry(place, "folder", dataset=Whole)))
    (tmp_path / "source/one").write_bytes(b"ONE")
    place.write_file(tmp_path / "source/one", "folder/one")
    assert found["checksum"] != fingerprint(read(_entry(place, "folder", dataset=Whole)))["checksum"]


def test_the_version_of_an_object_in_s3_is_noted(moto_server: S3Server, read: Callable[..., _Read]) -> None:
    client = s3_client(Session(moto_server.credentials))
    client.create_bucket(Bucket="noted-versions")
    where = {"Bucket": "noted-versions", "Key": "x"}
    client.put_object(**where, Body=b"before there were versions")  # type: ignore[arg-type]
    entry = ArtifactDataset(filepath="s3://noted-versions/x", credentials=moto_server.credentials)
    assert "version_id" not in _one(read(entry))
    client.put_bucket_versioning(Bucket="noted-versions", VersioningConfiguration={"Status": "Enabled"})
    version = client.put_object(**where, Body=b"x")["VersionId"]  # type: ignore[arg-type]
    client.put_object(**where, Body=b"y")  # type: ignore[arg-type]
    pinned = ArtifactDataset(
        filepath="s3://noted-versions/x", credentials=moto_server.credentials, load_args={"VersionId": version}
    )
    assert _one(read(pinned))["version_id"] == version


def test_a_file_that_changes_while_it_is_read_is_noted_as_it_was_before_and_after(
    read: Callable[..., _Read], tmp_path: Path
) -> None:
    path = tmp_path / "x"

    class Changing(Whole):
        def _load(self) -> dict[str, bytes]:
            path.write_bytes(b"another")
            return {}

    class Removing(Whole):
        def _load(self) -> dict[str, bytes]:
            path.unlink()
            return {}

    path.write_bytes(b"x")
    found = read(ArtifactDataset(filepath=str(path), dataset=Changing))
    assert [each["size"] for each in found[str(path)]] == ["1", "7"]
    assert not any("checksum" in each for each in found[str(path)])
    assert fingerprint(found)["changed_while_read"] == "true"
    found = read(ArtifactDataset(filepath=str(path), dataset=Removing))
    assert [each["size"] for each in found[str(path)]] == ["7"]


def test_a_large_file_is_noted_without_reading_it_once_more(read: Callable[..., _Read], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "ab":
        os.truncate(os.open(folder / name, os.O_CREAT | os.O_WRONLY), MOST_HASHED)
    found = read(ArtifactDataset(filepath=str(folder), dataset=Whole))
    assert [list(each[0]) for each in found.values()] == [["size", "modified"]] * 2
    before = fingerprint(found)["checksum"]
    os.utime(folder / "a", (0, 0))
    found = read(ArtifactDataset(filepath=str(folder), dataset=Whole))
    assert fingerprint(found)["checksum"] != before


def test_a_file_under_an_odd_name_is_noted_by_its_own_name(read: Callable[..., _Read], tmp_path: Path) -> None:
    polars.DataFrame({"a": [1]}).write_parquet(tmp_path / "data[1].parquet")
    lazy = {"type": "polars.LazyPolarsDataset", "file_format": "parquet"}
    assert list(read(ArtifactDataset(filepath=str(tmp_path / "data[1].parquet"), dataset=lazy))) == [
        str(tmp_path / "data[1].parquet")
    ]


def test_what_comes_from_a_backend_with_two_methods_is_noted(read: Callable[..., _Read]) -> None:
    class Plain(Backend, prefix="plain-of-a-test"):
        def put(self, *, payload: bytes, fragment: Any, **kwargs: Any) -> None: ...

        def get(self, *, fragment: Any, **kwargs: Any) -> bytes:
            return b"data"

    checksum = f"sha256:{hashlib.sha256(b'data').hexdigest()}"
    for dataset in (None, Whole):
        found = read(ArtifactDataset(filepath="plain-of-a-test://a/b", dataset=dataset))
        assert _one(found) == {"size": "4", "checksum": checksum}


def test_a_note_is_of_no_importance_beside_what_was_read(
    read: Callable[..., _Read], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x")

    def gone(path: Path) -> bytes:
        raise FileNotFoundError(path)

    class Reading(Whole):
        def _load(self) -> dict[str, bytes]:
            monkeypatch.setattr(Path, "read_bytes", gone)
            return {}

    assert list(_one(read(ArtifactDataset(filepath=str(tmp_path / "x"), dataset=Reading)))) == ["size", "modified"]


def test_an_answer_without_a_time_tells_none() -> None:
    class Response:
        status = 200
        headers = {"Content-Length": "1", "ETag": '"x"'}  # noqa: RUF012

    assert Answer(Response()).modified is None  # type: ignore[arg-type]
    assert fingerprint({"a": [{"size": "1", "checksum": "x"}], "b": [{"size": "1", "checksum": "y"}]}).keys() == {
        "objects",
        "size",
        "checksum",
    }


def test_only_the_entry_that_is_an_input_notes(tmp_path: Path) -> None:
    (tmp_path / "reads").touch()
    (tmp_path / "x").write_bytes(b"x")
    project = Project(tmp_path, reads=tmp_path / "reads", entry="x")
    assert LocalFS(Session(project=project)).is_noted
    assert not LocalFS(Session(project=Project(tmp_path))).is_noted
    LocalFS(Session(project=project)).get(fragment=parse(str(tmp_path / "x")))
    assert project.read().keys() == {"x"}
