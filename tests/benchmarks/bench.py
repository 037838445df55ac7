"""What rows of the table need: the servers, a process of each side, and entries for them."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.environment import Worker, environment, lakefs_spec_requirements, s3fs_requirements, worker
from tests.servers.lakefs import LakeFSServer, lakefs
from tests.servers.s3 import S3Server, seaweedfs

KIB, MIB = 1 << 10, 1 << 20
BUCKET = "benchmarks"
PAIRS = 25  # entries that are read, and as many that are written: 50
OURS = "kedro_statisfactory.ArtifactDataset"
COLLECTION = {"type": "partitions.PartitionedDataset", "dataset": "pickle.PickleDataset"}
COPIED = "tests.benchmarks.formats.Copied"
LINKED, WHOLE = "tests.benchmarks.formats.Linked", "tests.benchmarks.formats.Whole"


@dataclass(frozen=True)
class Lake:
    """A repository of a lakeFS server, reached in three ways."""

    server: LakeFSServer
    repository: str

    def our_entry(self, key: str, dataset: str | None = None, ref: str | None = None) -> dict[str, Any]:
        return {
            "type": OURS,
            "filepath": f"lakefs://{self.repository}/{key}",
            "credentials": self.server.credentials,
            **({"dataset": dataset} if dataset else {}),
            **({"load_args": {"lake_ref": ref}} if ref else {}),
        }

    def gateway_entry(self, key: str, dataset: str) -> dict[str, Any]:
        """An entry on S3 that is lakeFS."""
        credentials = {
            "aws_access_key_id": self.server.access_key,
            "aws_secret_access_key": self.server.secret_key,
            "endpoint_url": self.server.endpoint_url,
            "region_name": "us-east-1",
        }
        url = f"s3://{self.repository}/main/{key}"
        return {"type": OURS, "filepath": url, "credentials": credentials, "dataset": dataset}

    def spec(self, key: str, ref: str = "main") -> dict[str, Any]:
        """Arguments for a worker with lakefs-spec."""
        server = self.server
        storage = {"host": server.endpoint_url, "username": server.access_key, "password": server.secret_key}
        return {"storage": storage, "url": f"lakefs://{self.repository}/{ref}/{key}"}

    def bare(self, key: str, ref: str = "", size: int = 0) -> dict[str, Any]:
        """Arguments for one request: a read at ``ref`` or, without one, a write of ``size`` bytes to ``main``."""
        place = f"refs/{ref}" if ref else "branches/main"
        return {
            "verb": "GET" if ref else "POST",
            "url": f"{self.server.endpoint_url}/api/v1/repositories/{self.repository}/{place}/objects?path={key}",
            "headers": {"Authorization": self.server.basic_auth, "Content-Type": "application/octet-stream"},
            "size": 0 if ref else size,
        }

    def commit(self) -> str:
        """Commit what was written to ``main``; gives the id of the commit."""
        where = f"/repositories/{self.repository}/branches/main/commits"
        return str(self.server.call("POST", where, {"message": "a benchmark", "allow_empty": True}).json()["id"])


class Bench:
    """The servers, and a process of each side; each starts when a row asks for it."""

    def __init__(
        self, stack: contextlib.ExitStack, folder: Path, cache: Path, large: list[int], partitions: int
    ) -> None:
        self._stack, self.folder, self.cache, self.large = stack, folder, cache, large
        (folder / "pyproject.toml").write_text("[tool.kedro]\n")  # files are saved within a project, as a rule
        self.partitions = partitions

    @functools.cached_property
    def server(self) -> S3Server:
        return self._stack.enter_context(seaweedfs(self._folder("s3")))

    @functools.cached_property
    def lakes(self) -> dict[str, Lake]:
        """A repository on each block store."""
        servers = {
            "disk": self._stack.enter_context(lakefs(self._folder("lakefs-disk"))),
            "S3": self._stack.enter_context(lakefs(self._folder("lakefs-s3"), self.server)),
        }
        self.ours("pin_branch")
        return {store: Lake(server, server.new_repository("benchmarks")) for store, server in servers.items()}

    @functools.cached_property
    def ours(self) -> Worker:
        return self._stack.enter_context(worker(sys.executable, self.folder / "ours.log"))

    @functools.cached_property
    def s3fs(self) -> Worker:
        return self._peer("s3fs", s3fs_requirements())

    @functools.cached_property
    def lakefs_spec(self) -> dict[str, Worker]:
        """A process for each block store: what one server can do, the client believes of all in its process."""
        return {store: self._peer("lakefs-spec", lakefs_spec_requirements(), store) for store in self.lakes}

    def _peer(self, name: str, requirements: list[str], of: str = "") -> Worker:
        python = environment(self.cache / name, requirements)
        return self._stack.enter_context(worker(python, self.folder / f"{name}{of}.log"))

    def _folder(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    def our_entry(self, key: str, dataset: str | None = None, endpoint_url: str = "") -> dict[str, Any]:
        credentials = {**self.server.credentials, "endpoint_url": endpoint_url or self.server.endpoint_url}
        config: dict[str, Any] = {"type": OURS, "filepath": f"s3://{BUCKET}/{key}", "credentials": credentials}
        return {**config, **({"dataset": dataset} if dataset else {})}

    def s3fs_entry(self, key: str, kind: str) -> dict[str, Any]:
        return {
            "type": kind,
            "filepath": f"s3://{BUCKET}/{key}",
            "credentials": {
                "key": self.server.access_key,
                "secret": self.server.secret_key,
                "client_kwargs": {"endpoint_url": self.server.endpoint_url},
            },
        }

    def boto3(self, verb: str, key: str, endpoint_url: str = "", **more: Any) -> Callable[[], float]:
        credentials = {**self.server.credentials, "endpoint_url": endpoint_url or self.server.endpoint_url}
        return lambda: float(
            self.ours("boto3", verb=verb, credentials=credentials, bucket=BUCKET, key=key, **more)["seconds"]
        )

    def file(self, size: int) -> Path:
        """A file of so many random bytes."""
        path = self.folder / f"source-{size}"
        if not path.exists():
            with path.open("wb") as file:
                for _ in range(0, size, MIB):
                    file.write(os.urandom(min(MIB, size)))
        return path


def seconds_of(process: Worker, op: str, **arguments: Any) -> float:
    return float(process(op, **arguments)["seconds"])


def call(process: Worker, op: str, entry: dict[str, Any], **more: Any) -> Callable[[], float]:
    return functools.partial(seconds_of, process, op, entries={"entry": entry}, **more)


def by_lakefs_spec(bench: Bench, store: str, **arguments: Any) -> Callable[[], float]:
    return functools.partial(seconds_of, bench.lakefs_spec[store], "lakefs_spec", **arguments)
