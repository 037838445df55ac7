"""Where what is being written to this machine's disk waits until it is published."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.project.root import nearest_project

#: A segment of a path as this package names what is not published, or has named it in an earlier version.
IS_STAGING = re.compile(rf"(^|/){re.escape(STAGING_NAME)}[0-9a-z_]{{8,12}}(/|$)")
#: Where a Kedro project stages what it saves: nobody takes this folder for data, or for a change of the code.
STAGING_FOLDER = ".statisfactory"

_prepared: set[str] = set()  # those that this process has seen to be whole; one may be removed since


def staging_folder_for(folder: Path) -> Path | None:
    """Where the project around ``folder`` stages what it saves; ``None`` without one, or on another file system."""
    root = nearest_project(folder)
    if root is None:
        return None
    staging = root / STAGING_FOLDER
    try:
        if (text := os.fspath(staging)) not in _prepared or not os.path.isdir(text):
            staging.mkdir(exist_ok=True)
            if not (staging / ".gitignore").exists():
                (staging / ".gitignore").write_text("*\n")
            _prepared.add(text)
        same = os.stat(text).st_dev == os.stat(folder).st_dev
    except OSError:  # the project is read-only
        return None
    return staging if same and os.access(staging, os.W_OK) else None
