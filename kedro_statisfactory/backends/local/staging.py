"""Where what is being written to this machine's disk waits until it is published."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from kedro_statisfactory.backends.base import STAGING_NAME

#: A segment of a path as this package names what is not published, or has named it in an earlier version.
IS_STAGING = re.compile(rf"(^|/){re.escape(STAGING_NAME)}[0-9a-z_]{{8,12}}(/|$)")
#: Where a Kedro project stages what it saves: nobody takes this folder for data, or for a change of the code.
STAGING_FOLDER = ".statisfactory"


def staging_folder_for(folder: Path) -> Path | None:
    """Where the project around ``folder`` stages what it saves; ``None`` without one, or on another file system."""
    for root in (folder, *folder.parents):
        if is_kedro_project(root):
            staging = root / STAGING_FOLDER
            try:
                staging.mkdir(exist_ok=True)
                if not (staging / ".gitignore").exists():
                    (staging / ".gitignore").write_text("*\n")
                same = staging.stat().st_dev == folder.stat().st_dev
            except OSError:  # the project is read-only
                return None
            return staging if same and os.access(staging, os.W_OK) else None
    return None


@functools.lru_cache(maxsize=1024)
def is_kedro_project(folder: Path) -> bool:
    """Whether a folder is the root of a Kedro project."""
    try:
        return "[tool.kedro]" in (folder / "pyproject.toml").read_text()
    except (OSError, ValueError):
        return False
