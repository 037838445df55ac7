"""Which folder the cache is in, and whether it is to be trusted."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import stat
import sys
from collections.abc import Hashable, Iterator

from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.session import environment

#: Variable that names the folder of the cache, or is ``off``.
VARIABLE = "STATISFACTORY_CACHE"
# The variables that say where it is.
_VARIABLES = (VARIABLE, "XDG_CACHE_HOME", "HOME", "LOCALAPPDATA", "USERPROFILE")
#: The folder in it which all is in. Another layout will have another name, so that two versions of this package do not
#: take each other's files for their own.
LAYOUT = "v1"

_LOGGER = logging.getLogger(__name__)
_OURS = "kedro-statisfactory"
_said: list[str] = []


class Untrusted(OSError):
    """Another user could have put something into the folder."""


def cache_folder() -> str | None:
    """The folder of the cache, which need not exist; ``None``: the cache is off, or the user has no home."""
    return _cache_folder(environment(_VARIABLES))


@functools.lru_cache(maxsize=8)  # it is asked for with each object
def _cache_folder(_: Hidden[Hashable]) -> str | None:
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() == "off":
        return None
    folder = os.path.expanduser(named or os.path.join(_folder_of_user(os.environ.get("XDG_CACHE_HOME", "")), _OURS))
    return None if folder.startswith("~") else os.path.abspath(folder)


def _folder_of_user(named: str) -> str:
    """Where a system has the caches of its user."""
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.join("~", "AppData", "Local")
    if sys.platform == "darwin":
        return "~/Library/Caches"
    return named if os.path.isabs(named) else "~/.cache"  # XDG's own rule


def trusted(folder: str, make: bool = False) -> str | None:
    """The folder with all copies, in the folder of the cache; ``None``: there is none.

    Args:
        folder: Of the cache.
        make: Whether to make it.

    Raises:
        Untrusted: It belongs to somebody else, or others may write or look into it.
        OSError: It cannot be made, or is no folder.
    """
    inside = os.path.join(folder, LAYOUT)
    try:
        _check(inside, 0o077)
    except FileNotFoundError:
        if not make:
            return None
        os.makedirs(folder, mode=0o700, exist_ok=True)
        _check(folder, 0o022)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.mkdir(inside, mode=0o700)
        _check(inside, 0o077)
    return inside


def _check(folder: str, denied: int) -> None:
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", folder)
    if sys.platform != "win32" and (found.st_uid != os.geteuid() or found.st_mode & denied):
        raise Untrusted(errno.EACCES, "it belongs to another user, or others may write to it or look into it", folder)


@contextlib.contextmanager
def as_one_warning(folder: str) -> Iterator[None]:
    """Let a fault of the cache be no error, but a warning, of which each process gives one."""
    try:
        yield
    except OSError as error:
        if not _said:
            _said.append(str(error))
            _LOGGER.warning(
                "The cache in %r cannot be used as it should be, and bytes may travel that are here already: %s. Set "
                "the environment variable %s to another folder, or to `off`.",
                folder,
                error.strerror or error,
                VARIABLE,
            )
