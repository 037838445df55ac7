"""FTP says "550" of what is not there and of what nobody may read; which it is, the folder above tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def meant(file_system: AbstractFileSystem, path: str, error: Exception) -> Exception:
    """The error that a server, or fsspec in its place, means.

    Args:
        file_system: Of fsspec; errors of others than FTP are given back.
        path: Of what was asked for.
        error: What was raised.
    """
    is_refused = type(error).__name__ == "error_perm" and str(error).startswith("550")
    if not is_refused and not isinstance(error, FileNotFoundError):
        return error
    if _is_or_may_be(file_system, path, "file"):
        return PermissionError(f"{path} may not be used: {error}")
    return FileNotFoundError(path)


def _is_or_may_be(file_system: AbstractFileSystem, path: str, kind: str) -> bool:
    """Whether something of a kind is there, or nobody can know."""
    folder, _, name = path.strip("/").rpartition("/")
    try:
        found = file_system.ls(f"/{folder}", detail=True)
    except Exception:  # fsspec has several for that
        return not folder or _is_or_may_be(file_system, folder, "directory")
    return any(each["type"] == kind and each["name"].rpartition("/")[2] == name for each in found)
