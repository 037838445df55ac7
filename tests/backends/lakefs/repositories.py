"""What tests of lakeFS do to a repository past the package, and the backends that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from kedro_statisfactory.backends import LakeFSBackend, transfer
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.project import Pin, Project
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.session import Session
from tests.servers.lakefs import LakeFSServer
from tests.servers.s3 import S3Server

SHA = "0123456789abcdef0123456789abcdef01234567"
LARGE = transfer.SMALL + 123_457  # four parts where there are parts


def on(server: LakeFSServer, branch: str | None, commit: str | None = None, **project: Any) -> LakeFSBackend:
    """A backend of a project on a git branch, or on none."""
    head = Head(branch, commit, "a test" if branch else "the HEAD is detached")
    return LakeFSBackend(Session(server.credentials, Project(head=head, **project)))


def write(server: LakeFSServer, repository: str, path: str, payload: bytes = b"x", branch: str = "main") -> None:
    """Store an object past the package."""
    where = f"/repositories/{repository}/branches/{branch}/objects?path={quote(path, safe='')}"
    server.call("POST", where, body=payload)


def commit(server: LakeFSServer, repository: str, branch: str = "main", **metadata: str) -> str:
    """Commit past the package; gives the id."""
    where = f"/repositories/{repository}/branches/{branch}/commits"
    return str(server.call("POST", where, json={"message": "by a test", "metadata": metadata}).json()["id"])


def tag(server: LakeFSServer, repository: str, name: str, ref: str = "main") -> None:
    server.call("POST", f"/repositories/{repository}/tags", json={"id": name, "ref": ref})


def make_branch(server: LakeFSServer, repository: str, name: str, source: str = "main") -> None:
    server.call("POST", f"/repositories/{repository}/branches", json={"name": name, "source": source})


def branches(server: LakeFSServer, repository: str) -> list[str]:
    found = server.call("GET", f"/repositories/{repository}/branches").json()["results"]
    return [each["id"] for each in found]


def uncommitted(server: LakeFSServer, repository: str, branch: str = "main") -> list[str]:
    found = server.call("GET", f"/repositories/{repository}/branches/{branch}/diff").json()["results"]
    return [each["path"] for each in found]


def pinned(server: LakeFSServer, repository: str, pin: Pin) -> LakeFSBackend:
    return on(server, "main", pins={(f"{server.endpoint_url}/api/v1", repository): pin})


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def parts_left(seaweed: S3Server, repository: str) -> list[str]:
    client = s3_client(Session(seaweed.credentials))
    found = client.list_multipart_uploads(Bucket="lakefs-blocks", Prefix=f"{repository}/").get("Uploads", [])
    return [upload["Key"] for upload in found]
