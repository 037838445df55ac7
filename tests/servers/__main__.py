"""Starts the servers for a person: ``python -m tests.servers``, or around one command with ``--run COMMAND …``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.lakefs import NoServer, lakefs
from tests.servers.s3 import S3Server, seaweedfs

_REPOSITORY = "STATISFACTORY_DEMO_REPOSITORY"  # conf/lakefs/globals.yml reads it


def main(arguments: list[str]) -> int:
    """Start SeaweedFS, and lakeFS on it; print what to set and wait for Ctrl-C, or run a command with it set."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="statisfactory-servers-")))
        s3 = stack.enter_context(seaweedfs(folder))
        environment, kinds = s3.environment, ["s3"]
        try:
            environment |= _lakefs(stack, folder, s3)
            kinds.append("lakefs")
        except NoServer as error:
            if os.environ.get("CI"):
                raise
            print(f"# Only S3, no lakeFS: {error}", file=sys.stderr, flush=True)
        if arguments[:1] == ["--run"]:
            return subprocess.run(arguments[1:], env={**os.environ, **environment}).returncode
        for name, value in environment.items():
            print(f"export {name}={value}")
        runs = " or ".join(f"kedro run --env {kind}" for kind in kinds)
        print(f"# Now, in another shell with these set: {runs}   (Ctrl-C here stops the servers)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


def _lakefs(stack: contextlib.ExitStack, folder: Path, s3: S3Server) -> dict[str, str]:
    """Start lakeFS with the repository of the demo; gives the variables that lead there."""
    server = stack.enter_context(lakefs(folder, s3))
    repository = server.new_repository(os.environ.get(_REPOSITORY, "demo"))
    return {**server.environment, _REPOSITORY: repository}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
