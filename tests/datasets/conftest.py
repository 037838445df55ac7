"""The places in which every entry has to work alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import pytest
from fsspec import AbstractFileSystem

from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.session import Session
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server


@dataclass
class Place:
    """Somewhere to keep artifacts, with an access to it that goes around the package.

    Attributes:
        root: URL, without a slash at its end.
        credentials: Of an entry there.
        write_file: Store the file or folder (first argument) below the root (second argument).
        read_file: Fetch what is below the root (first argument) into a path (second argument).
        save_args: Options that the backend knows, and that change nothing.
    """

    root: str
    write_file: Callable[[Path, str], None]
    read_file: Callable[[str, Path], None]
    credentials: dict[str, Any] | None = field(default=None, repr=False)
    save_args: dict[str, Any] = field(default_factory=dict)

    def entry(self, name: str, **config: Any) -> dict[str, Any]:
        """The configuration of an entry below the root."""
        credentials = {"credentials": self.credentials} if self.credentials else {}
        return {
            "type": "kedro_statisfactory.ArtifactDataset",
            "filepath": f"{self.root}/{name}",
            **credentials,
            **config,
        }


def _local(root: Path) -> Place:
    def copy(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)

    return Place(
        str(root), lambda source, name: copy(source, root / name), lambda name, target: copy(root / name, target)
    )


def _s3(server: S3Server, bucket: str) -> Place:
    client = s3_client(Session(server.credentials))

    def write(source: Path, name: str) -> None:
        for file in [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]:
            below = f"/{file.relative_to(source).as_posix()}" if source.is_dir() else ""
            client.put_object(Bucket=bucket, Key=f"store/{name}{below}", Body=file.read_bytes())

    def read(name: str, target: Path) -> None:
        for found in client.list_objects_v2(Bucket=bucket, Prefix=f"store/{name}")["Contents"]:
            file = Path(f"{target}{found['Key'].removeprefix(f'store/{name}')}")
            file.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, found["Key"], str(file))

    return Place(f"s3://{bucket}/store", write, read, server.credentials, {"StorageClass": "STANDARD"})


def _lakefs(server: LakeFSServer) -> Place:
    repository = server.new_repository()

    def where(kind: str, path: str) -> str:
        return f"/repositories/{repository}/{kind}/main/objects?path={quote(path, safe='')}"

    def write(source: Path, name: str) -> None:
        for file in [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]:
            below = f"/{file.relative_to(source).as_posix()}" if source.is_dir() else ""
            server.call("POST", where("branches", f"store/{name}{below}"), body=file.read_bytes())

    def read(name: str, target: Path) -> None:
        prefix = quote(f"store/{name}", safe="")
        listing = server.call("GET", f"/repositories/{repository}/refs/main/objects/ls?prefix={prefix}&amount=1000")
        for found in listing.json()["results"]:
            file = Path(f"{target}{found['path'].removeprefix(f'store/{name}')}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(server.call("GET", where("refs", found["path"])).data)

    return Place(f"lakefs://{repository}/store", write, read, server.credentials, {"lake_ref": "main"})


def _new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return _local(tmp_path / "store")
    if request.param == "s3":
        return _s3(request.getfixturevalue("seaweed"), request.getfixturevalue("bucket"))
    return _lakefs(request.getfixturevalue("lakefs_s3" if "s3" in request.param else "lakefs_local"))


ONCE = pytest.mark.once  # the contract of backends is tried in these places on each Python
PLACES = ["local", pytest.param("s3", marks=ONCE), pytest.param("lakefs", marks=ONCE), "lakefs on s3"]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of place in turn."""
    return _new_place(request, tmp_path)


@pytest.fixture(params=["local", "s3"])
def folder_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of place where versions are folders."""
    return _new_place(request, tmp_path)


@pytest.fixture
def memory_files() -> Iterator[AbstractFileSystem]:
    """fsspec's files in the memory of this process."""
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


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
