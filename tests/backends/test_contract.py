"""One contract for every backend: ours, and one that a third party writes with two methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import ParseResult, quote

import fsspec
import pytest

from kedro_statisfactory.backends import Backend, FsspecBackend, LakeFSBackend, LocalFS, S3Backend
from kedro_statisfactory.backends.s3.client import s3_client, s3_objects
from kedro_statisfactory.session import Session
from kedro_statisfactory.testing import BackendContract
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server


class TestLocalFS(BackendContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.root = tmp_path / "store"

    def new_backend(self) -> Backend:
        return LocalFS(Session())

    def url(self, name: str) -> str:
        return f"{self.root}/{name}"

    def raw_write(self, url: str, payload: bytes) -> None:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        Path(url).write_bytes(payload)

    def raw_read(self, url: str) -> bytes:
        return Path(url).read_bytes()


class TestFileURL(TestLocalFS):
    def url(self, name: str) -> str:
        return f"file://{self.root}/{name}"

    def raw_write(self, url: str, payload: bytes) -> None:
        super().raw_write(url.removeprefix("file://"), payload)

    def raw_read(self, url: str) -> bytes:
        return super().raw_read(url.removeprefix("file://"))


class TestS3(BackendContract):
    """By requests without boto3."""

    way: ClassVar = "lean"
    config: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _place(self, seaweed: S3Server, bucket: str) -> Iterator[None]:
        self.server, self.bucket = seaweed, bucket
        self.client = s3_client(Session(seaweed.credentials))
        ways = s3_objects(self.session).ways
        ways.clear()
        yield
        assert {way for _, way in ways} <= {self.way}

    @property
    def session(self) -> Session:
        return Session({**self.server.credentials, **self.config})

    def new_backend(self) -> Backend:
        return S3Backend(self.session)

    def url(self, name: str) -> str:
        return f"s3://{self.bucket}/{name}"

    def raw_write(self, url: str, payload: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=url.removeprefix(f"s3://{self.bucket}/"), Body=payload)

    def raw_read(self, url: str) -> bytes:
        key = url.removeprefix(f"s3://{self.bucket}/")
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()


class TestS3ByBoto3(TestS3):
    """By boto3 alone, as with any configuration that is not plain."""

    way: ClassVar = "boto3"
    config: ClassVar[dict[str, Any]] = {"config_kwargs": {"user_agent_extra": "tests"}}


class TestLakeFS(BackendContract):
    @pytest.fixture(autouse=True)
    def _place(self, lakefs_server: LakeFSServer, repository: str) -> None:
        self.server, self.repository = lakefs_server, repository

    def new_backend(self) -> Backend:
        return LakeFSBackend(Session(self.server.credentials))

    def url(self, name: str) -> str:
        return f"lakefs://{self.repository}/{name}"

    def _where(self, kind: str, url: str) -> str:
        path = url.removeprefix(f"lakefs://{self.repository}/")
        return f"/repositories/{self.repository}/{kind}/main/objects?path={quote(path, safe='')}"

    def raw_write(self, url: str, payload: bytes) -> None:
        self.server.call("POST", self._where("branches", url), body=payload)

    def raw_read(self, url: str) -> bytes:
        return self.server.call("GET", self._where("refs", url)).data


class TestMemory(BackendContract):
    """fsspec's files in the memory of a process."""

    @pytest.fixture(autouse=True)
    def _empty(self) -> Iterator[None]:
        self.files = fsspec.filesystem("memory")
        yield
        self.files.store.clear()
        self.files.pseudo_dirs[:] = [""]

    def new_backend(self) -> Backend:
        return FsspecBackend(Session())

    def url(self, name: str) -> str:
        return f"memory://box/{name}"

    def raw_write(self, url: str, payload: bytes) -> None:
        self.files.pipe_file(url.removeprefix("memory:/"), payload)

    def raw_read(self, url: str) -> bytes:
        content: bytes = self.files.cat_file(url.removeprefix("memory:/"))
        return content


class Shelf(Backend, prefix="shelf"):
    """What a third party writes."""

    objects: ClassVar[dict[str, bytes]] = {}

    def put(self, *, payload: bytes, fragment: ParseResult) -> None:  # type: ignore[override]
        self.objects[fragment.netloc + fragment.path] = payload

    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        if kwargs:
            raise TypeError(f"unknown: {', '.join(kwargs)}")
        if fragment.netloc + fragment.path not in self.objects:
            raise FileNotFoundError(fragment.path)
        return self.objects[fragment.netloc + fragment.path]


class TestThirdParty(BackendContract):
    @pytest.fixture(autouse=True)
    def _empty(self) -> None:
        Shelf.objects.clear()

    def new_backend(self) -> Backend:
        return Shelf(Session())

    def url(self, name: str) -> str:
        return f"shelf://upper/{name}"

    def raw_write(self, url: str, payload: bytes) -> None:
        Shelf.objects[url.removeprefix("shelf://")] = payload

    def raw_read(self, url: str) -> bytes:
        return Shelf.objects[url.removeprefix("shelf://")]
