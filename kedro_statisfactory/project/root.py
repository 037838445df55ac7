"""Which folder is the root of a Kedro project."""

from __future__ import annotations

from pathlib import Path

_known: set[Path] = set()  # roots that were found; a folder that is none yet may become one


def is_kedro_project(folder: Path) -> bool:
    """Whether a folder is the root of a Kedro project, by the rule of Kedro itself."""
    if folder not in _known:
        try:
            if b"[tool.kedro]" not in (folder / "pyproject.toml").read_bytes():
                return False
        except (OSError, ValueError):
            return False
        _known.add(folder)
    return True


def nearest_project(folder: Path) -> Path | None:
    """The root of the nearest Kedro project at or above a folder; ``None``: there is none."""
    return next((root for root in (folder, *folder.parents) if is_kedro_project(root)), None)
