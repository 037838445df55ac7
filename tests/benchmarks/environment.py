"""Virtual environments that are not ours, made once and kept in a cache folder, and the processes that live in them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.servers.process import wait_for_end

ROOT = Path(__file__).parents[2]


def _same(*names: str) -> list[str]:
    return [f"{name}=={version(name)}" for name in names]


def s3fs_requirements() -> list[str]:
    """The stock datasets with s3fs, whose pins of botocore do not go with a current boto3."""
    return [*_same("kedro", "kedro-datasets", "pandas", "pyarrow"), "s3fs>=2025.1"]


def lakefs_spec_requirements() -> list[str]:
    """The other way to lakeFS from Python."""
    return ["lakefs-spec>=0.15"]


def plain_requirements() -> list[str]:
    """All that our package needs, without it."""
    return _same("kedro", "kedro-datasets", "boto3", "GitPython", "lakefs-client")


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment in ``folder``, which is made when it has not these requirements yet."""
    python, stamp = folder / "bin" / "python", folder / "requirements.json"
    wanted = json.dumps([sys.version, *requirements])
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"making {folder} …", file=sys.stderr, flush=True)
        base = str(Path(sys.base_prefix, "bin", "python3"))
        if uv := shutil.which("uv"):
            subprocess.run([uv, "venv", "--quiet", "--python", base, str(folder)], check=True, timeout=600)
            install = [uv, "pip", "install", "--quiet", "--python", str(python)]
        else:
            subprocess.run([base, "-m", "venv", str(folder)], check=True, timeout=600)
            install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *requirements], check=True, timeout=1200)
        stamp.write_text(wanted)
    return python


def clean_variables() -> dict[str, str]:
    """Those of this process without accounts of the developer."""
    accounts = ("AWS_", "LAKECTL_", "PYTHON", "STATISFACTORY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(accounts)}
    return {
        **kept,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "LAKECTL_CONFIG_FILE": os.devnull,
        "DO_NOT_TRACK": "1",
        "STATISFACTORY_CACHE": "off",  # but for the rows that are about it
    }


class Worker:
    """A process of :mod:`tests.benchmarks.worker` that waits for commands."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def __call__(self, op: str, **arguments: Any) -> dict[str, Any]:
        """Let the process do something.

        Raises:
            RuntimeError: It failed.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError(f"{op} {arguments}: {answer['error']}\n{self._log.read_text(errors='replace')[-3000:]}")
        return answer


@contextlib.contextmanager
def worker(python: Path | str, log: Path, variables: Mapping[str, str] | None = None) -> Iterator[Worker]:
    """Run a worker until the block is left."""
    environment = {**clean_variables(), **(variables or {})}
    with (
        log.open("wb") as errors,
        _running([str(python), "-m", "tests.benchmarks.worker"], env=environment, stderr=errors) as process,
    ):
        yield Worker(process, log)


@contextlib.contextmanager
def throttled(upstream_url: str, mebibytes_per_second: float, latency: float) -> Iterator[str]:
    """A URL where a server answers as slowly as a distant one, per connection."""
    upstream = upstream_url.rpartition("/")[2].split(":")
    figures = [str(mebibytes_per_second), str(latency)]
    with _running([sys.executable, "-m", "tests.benchmarks.throttle", *upstream, *figures]) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"


@contextlib.contextmanager
def _running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process that ends with its input, until the block is left."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
    assert process.stdin
    try:
        yield process
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        wait_for_end(process)
