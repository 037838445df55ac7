"""Owner, mode, access control lists and extended attributes: as if the file had been written where it stands.

A file that is made elsewhere and moved has none of what its folder gives to new files, and nothing of the file that it
replaces. ``open(path, "w")`` would have given it both.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from kedro_statisfactory.backends.temporary import new_file, new_folder

_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"  # acl(5), as Linux shows them
_KEPT = ("user.", "security.selinux")
# What file systems say that have no such thing, or do not let it be set.
_CANNOT_KEEP = frozenset(
    (
        errno.EINVAL,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.ENOSYS,
        errno.EPERM,
        errno.EACCES,
        errno.E2BIG,
        errno.ENOSPC,
        getattr(errno, "ENODATA", errno.EINVAL),
    )
)


@contextlib.contextmanager
def as_far_as_possible() -> Iterator[None]:
    """To keep owner, group and mode is a wish, and no condition for a save.

    Only root may give files away; an id that a container does not map is EINVAL; some mounts know no owners or modes.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_KEEP:
            raise


def take_over(path: Path, old: Path, status: os.stat_result) -> None:
    """Give a file or folder what the one has that it replaces.

    Args:
        path: The new one.
        old: The one that is replaced.
        status: Of the old one.
    """
    new, names = os.stat(path), _names(old)
    if hasattr(os, "chown") and (status.st_uid, status.st_gid) != (new.st_uid, new.st_gid):
        with as_far_as_possible():
            os.chown(path, status.st_uid, status.st_gid)
        new = path.stat()
    if _set_lists(path, _lists_of(old, names)):
        new = path.stat()
    if status.st_mode != new.st_mode:
        with as_far_as_possible():
            path.chmod(stat.S_IMODE(status.st_mode))
    for name in names:
        if name.startswith(_KEPT):
            with as_far_as_possible():
                os.setxattr(path, name, os.getxattr(old, name, follow_symlinks=False), follow_symlinks=False)


def inherit(path: Path, folder: Path) -> None:
    """Give a file or folder the access control lists that a new one gets in ``folder``; most folders give none."""
    if _DEFAULT not in _names(folder) and _ACCESS not in _names(path):
        return
    with as_far_as_possible():
        probe = new_folder(folder, mode=0o777) if path.is_dir() else new_file(folder)
        try:
            _set_lists(path, _lists_of(probe.path, _names(probe.path)))
            path.chmod(stat.S_IMODE(probe.path.stat().st_mode))
        finally:
            probe.remove()


def pass_on(folder: Path, replaced: Path | None) -> None:
    """Give all that is in a new folder what it would have if it had been written there.

    Args:
        folder: The new folder, which has what it needs itself.
        replaced: The folder that it replaces; ``None``: there is none.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            continue
        old = replaced / path.relative_to(folder) if replaced else None
        if old is not None and not old.is_symlink() and old.exists() and old.is_dir() == path.is_dir():
            take_over(path, old, old.stat())
        else:
            inherit(path, path.parent)


def _names(path: Path) -> list[str]:
    """The names of a file's extended attributes, its access control lists among them."""
    if hasattr(os, "listxattr"):
        with as_far_as_possible():
            return os.listxattr(path, follow_symlinks=False)
    return []


def _lists_of(path: Path, names: Iterable[str]) -> Mapping[str, bytes]:
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names if name in (_ACCESS, _DEFAULT)}


def _set_lists(path: Path, wanted: Mapping[str, bytes]) -> bool:
    """Give a file these access control lists and no others; gives whether there was something to do."""
    unwanted = [name for name in _names(path) if name in (_ACCESS, _DEFAULT) and name not in wanted]
    for name in unwanted:
        with as_far_as_possible():
            os.removexattr(path, name, follow_symlinks=False)
    for name, value in wanted.items():
        with as_far_as_possible():
            os.setxattr(path, name, value, follow_symlinks=False)
    return bool(unwanted or wanted)
