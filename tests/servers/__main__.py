"""Starts the servers for a person: ``python -m tests.servers``, or around one command with ``--run COMMAND …``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.s3 import seaweedfs


def main(arguments: list[str]) -> int:
    """Start SeaweedFS; print what to set and wait for Ctrl-C, or run a command with it set."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="statisfactory-servers-")))
        s3 = stack.enter_context(seaweedfs(folder))
        if arguments[:1] == ["--run"]:
            return subprocess.run(arguments[1:], env={**os.environ, **s3.environment}).returncode
        for name, value in s3.environment.items():
            print(f"export {name}={value}")
        print("# Now, in another shell with these set: kedro run --env s3   (Ctrl-C here stops the server)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
