"""Which folder the cache is in, and whether it is to be trusted."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Variable that names the folder of the cache, or is ``off``.
VARIABLE = "STATISFACTORY_CACHE"
#: The folder in it which all is in. Another layout will have another name, so that two versions of this package do not
#: take each other's files for their own.
LAYOUT = "v1"

_LOGGER = logging.getLogger(__name__)
_OURS = "kedro-statisfactory"
_said: list[str] = []


class Untrusted(OSError):
    """Another user could have put something into the folder."""


def cache_folder() -> Path | None:
    """The folder of the cache, which need not exist; ``None``: the cache is off."""
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() == "off":
        return None
    return Path(named).expanduser().absolute() if named else _folder_of_user() / _OURS


def _folder_of_user() -> Path:
    """Where a system has the caches of its user."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named) if os.path.isabs(named) else Path.home() / ".cache"  # the rule of XDG says so


def trusted(folder: Path, make: bool = False) -> Path | None:
    """The folder with all copies, in the folder of the cache; ``None``: there is none.

    Args:
        folder: Of the cache.
        make: Whether to make it.

    Raises:
        Untrusted: It belongs to somebody else, or others may write or look into it.
        OSError: It cannot be made, or is no folder.
    """
    inside = folder / LAYOUT
    try:
        _check(inside, 0o077)
    except FileNotFoundError:
        if not make:
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(folder, 0o022)
        inside.mkdir(mode=0o700, exist_ok=True)
        _check(inside, 0o077)
    return inside


def _check(folder: Path, denied: int) -> None:
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(None, "it is no folder", str(folder))
    if sys.platform != "win32" and (found.st_uid != os.geteuid() or found.st_mode & denied):
        raise Untrusted(None, "it belongs to another user, or others may write to it or look into it", str(folder))


@contextmanager
def as_one_warning(folder: Path) -> Iterator[None]:
    """Let a fault of the cache be no error, but a warning, of which each process gives one."""
    try:
        yield
    except OSError as error:
        if not _said:
            _said.append(str(error))
            _LOGGER.warning(
                "The cache in %r cannot be used as it should be, and bytes may travel that are here already: %s. Set "
                "the environment variable %s to another folder, or to `off`.",
                str(folder),
                error.strerror or error,
                VARIABLE,
            )
