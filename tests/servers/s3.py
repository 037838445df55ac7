"""S3 servers: SeaweedFS, which is real storage, and moto's, which answers as AWS does where SeaweedFS does not."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import free_ports, running


@dataclass(frozen=True)
class S3Server:
    """Where an S3 server listens, and who may come in."""

    endpoint_url: str
    access_key: str
    secret_key: str
    pid: int
    webdav_url: str = ""  # of SeaweedFS: where it shows its files by WebDAV

    @property
    def credentials(self) -> dict[str, str]:
        """The ``credentials`` of a catalog entry."""
        return {
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "endpoint_url": self.endpoint_url,
            "region_name": "us-east-1",
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same for the chain that boto3 reads by itself."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS in one process, with its data in ``folder``."""
    names = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
    names.append("webdav.port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    key, secret = "statisfactory", "a-secret-of-the-tests"
    command = [
        str(Path(sys.executable).with_name("weed")),
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-admin.ui=false",
        f"-webdav.cacheDir={folder}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    url = f"http://127.0.0.1:{ports['s3.port']}"
    with running(command, environment, folder / "weed.log", url) as pid:
        yield S3Server(url, key, secret, pid, f"http://127.0.0.1:{ports['webdav.port']}")


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    """moto's server, whose answer to a put into a missing bucket is the one of AWS."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(command, os.environ, folder / "moto.log", url) as pid:
        yield S3Server(url, "anyone", "anything", pid)
