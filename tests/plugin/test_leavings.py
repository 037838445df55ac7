"""What killed processes have left in places that fsspec reaches is dropped, or named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.plugin.commands.leavings import clean_places
from tests.servers.ftp import PASSWORD, USER, ftp_server
from tests.servers.sftp import sftp_server


def test_what_is_old_is_dropped_and_what_may_be_at_work_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    for name in ("data/.statisfactory-old", "data/.statisfactory-new", "data/x", "data/y"):
        (tmp_path / name).write_bytes(b"1")
    os.utime(tmp_path / "data" / ".statisfactory-old", (0, 0))
    with sftp_server(tmp_path) as sftp, ftp_server(tmp_path) as ftp:
        credentials: dict[str, Any] = {"username": USER, "password": PASSWORD}
        entries = [
            *(ArtifactDataset(filepath=f"{sftp.url}/data/{name}", credentials=sftp.credentials) for name in "xy"),
            ArtifactDataset(filepath=f"{sftp.url}/none/x", credentials=sftp.credentials),
            ArtifactDataset(filepath="sftp://nobody@127.0.0.1:9/x", credentials=sftp.credentials),
            ArtifactDataset(filepath="https://example.org/x"),
            ArtifactDataset(filepath=str(tmp_path / "data" / "x")),
        ]
        clean_places(entries, grace=24, dry_run=True)
        clean_places([ArtifactDataset(filepath=f"{ftp}/data/x", credentials=credentials)], grace=24, dry_run=False)
        first = capsys.readouterr()
        assert first.out.splitlines() == [
            f"kept {sftp.url}/data/.statisfactory-new: it may be at work",
            f"would drop {sftp.url}/data/.statisfactory-old",
            *(
                f"kept {ftp}/data/.statisfactory-{age}: its age is not known; remove it when nobody writes there"
                for age in ("new", "old")
            ),
        ]
        assert "127.0.0.1:9/x is left out: [E0304]" in first.err
        clean_places(entries[:1], grace=24, dry_run=False)
        assert f"dropped {sftp.url}/data/.statisfactory-old" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [".statisfactory-new", "x", "y"]


_SAVES = """
import sys
from kedro_statisfactory import ArtifactDataset
dataset = {"type": "partitions.PartitionedDataset", "dataset": "text.TextDataset"}
days = ArtifactDataset(filepath=sys.argv[1], dataset=dataset, credentials=eval(sys.argv[2]))
days.save({"2026/11/b": "b" * 100_000_000})
"""


@pytest.mark.once
def test_what_a_killed_save_of_partitions_has_left_is_no_partition_and_is_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left: list[Path] = []
    with sftp_server(tmp_path) as sftp:
        url, credentials = f"{sftp.url}/days", sftp.credentials
        partitions = {"type": "partitions.PartitionedDataset", "dataset": "text.TextDataset"}
        days = ArtifactDataset(filepath=url, dataset=partitions, credentials=credentials)
        days.save({"2026/a": "a"})
        saver = subprocess.Popen([sys.executable, "-c", _SAVES, url, repr(credentials)])
        while saver.poll() is None and not left:
            left = [path for path in tmp_path.rglob("11/.statisfactory-*") if path.stat().st_size]
            time.sleep(0.001)
        saver.send_signal(signal.SIGKILL)
        assert saver.wait(60) == -signal.SIGKILL
        os.utime(left[0], (0, 0))
        assert list(days.load()) == ["2026/a"]
        clean_places([days], grace=24, dry_run=False)
    assert capsys.readouterr().out.splitlines() == [f"dropped {url}/2026/11/{left[0].name}"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a"]
