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

_MOST_FOLDERS = 1000  # of which a process remembers where it stages what it saves there
_found: dict[str, Path] = {}  # by folder; one may be removed since


def staging_folder_for(folder: Path) -> Path | None:
    """Where the project around ``folder`` stages what it saves; ``None`` without one, or on another file system."""
    try:
        staging = _found.get(os.fspath(folder))
        if staging is None or not os.path.isdir(staging):
            staging = _prepared(folder)
        if staging is None or os.stat(staging).st_dev != os.stat(folder).st_dev:
            return None
    except OSError:  # the project is read-only
        return None
    return staging if os.access(staging, os.W_OK) else None


def _prepared(folder: Path) -> Path | None:
    root = nearest_project(folder)
    if root is None:
        return None
    staging = root / STAGING_FOLDER
    staging.mkdir(exist_ok=True)
    if not (staging / ".gitignore").exists():
        (staging / ".gitignore").write_text("*\n")
    if len(_found) >= _MOST_FOLDERS:
        _found.clear()
    _found[os.fspath(folder)] = staging
    return staging
