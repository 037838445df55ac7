"""Which folder is the root of a Kedro project."""

from __future__ import annotations

import os
from pathlib import Path

_known: set[str] = set()  # roots that were found; a folder that is none yet may become one


def is_kedro_project(folder: Path) -> bool:
    """Whether a folder is the root of a Kedro project, by the rule of Kedro itself."""
    return _is_root(os.fspath(folder))


def nearest_project(folder: Path) -> Path | None:
    """The root of the nearest Kedro project at or above a folder; ``None``: there is none."""
    path, above = os.fspath(folder), None
    while path != above:
        if _is_root(path):
            return Path(path)
        path, above = os.path.dirname(path), path
    return None


def _is_root(folder: str) -> bool:
    if folder not in _known:
        path = os.path.join(folder, "pyproject.toml")
        try:
            if not os.access(path, os.F_OK):  # most folders have none, and an error takes longer
                return False
            with open(path, "rb") as file:
                if b"[tool.kedro]" not in file.read():
                    return False
        except (OSError, ValueError):
            return False
        _known.add(folder)
    return True
