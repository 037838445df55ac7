"""A server that lets everybody in and says nothing ends no process: loads and saves end within the time-out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from kedro.io import DatasetError

from kedro_statisfactory import ArtifactDataset


@pytest.fixture
def silent() -> Iterator[str]:
    """Host and port of one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("prefix", "credentials", "verbs"),
    [
        ("http", {"client_kwargs": {"timeout": 0.2}}, "l"),
        ("https", {"client_kwargs": {"timeout": 0.2}}, "l"),
        ("ftp", {"timeout": 0.2}, "ls"),
        ("webhdfs", {"timeout": 0.2}, "ls"),
        ("sftp", {"timeout": 0.2, "banner_timeout": 0.2, "username": "x", "password": "hush"}, "ls"),
    ],
)
def test_a_server_that_never_answers_is_told(silent: str, prefix: str, credentials: dict[str, Any], verbs: str) -> None:
    entry = ArtifactDataset(filepath=f"{prefix}://{silent}/x", credentials=credentials)
    for verb in verbs:
        with pytest.raises(DatasetError, match=r"E0304.*does not answer") as error:
            entry.load() if verb == "l" else entry.save(b"")
        assert "hush" not in str(error.value)
