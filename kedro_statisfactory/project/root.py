"""Which folder is the root of a Kedro project."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.lru_cache(maxsize=1024)
def is_kedro_project(folder: Path) -> bool:
    """Whether a folder is the root of a Kedro project, by the rule of Kedro itself."""
    try:
        return b"[tool.kedro]" in (folder / "pyproject.toml").read_bytes()
    except (OSError, ValueError):
        return False


def nearest_project(folder: Path) -> Path | None:
    """The root of the nearest Kedro project at or above a folder; ``None``: there is none."""
    return next((root for root in (folder, *folder.parents) if is_kedro_project(root)), None)
