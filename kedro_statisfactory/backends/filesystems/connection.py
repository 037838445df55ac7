"""File systems of fsspec: made as an entry needs them, kept in their process, shared by threads where that is safe."""

from __future__ import annotations

import inspect
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import ParseResult

from kedro_statisfactory.backends.filesystems import dav, web
from kedro_statisfactory.backends.filesystems.known import class_of
from kedro_statisfactory.hidden import HiddenDict
from kedro_statisfactory.location import WEB, full_path
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_Result = TypeVar("_Result")

_SSH = frozenset(("sftp", "ssh"))
# Seconds that a server may take to let somebody in, and for each answer.
_CONNECT, _ANSWER = 10, 60
# With these a server, or fsspec, has answered: the connection itself is sound.
_ANSWERS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)

# Classes that take any argument, and those that fsspec's base class looks for among them.
_SWALLOWING = ("fsspec.implementations.", "kedro_statisfactory.")
_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_OF_EVERY_CLASS = frozenset(
    "asynchronous batch_size default_block_size listings_expiry_time loop max_paths skip_instance_cache "
    "use_listings_cache".split()
)

_made: weakref.WeakSet[AbstractFileSystem] = weakref.WeakSet()
_of_the_parent: list[AbstractFileSystem] = []


def _keep() -> None:
    """Let a forked child keep its parent's file systems, unused, for good.

    To let go of one closes its connections, and would take them from the parent as well, which shares what waits for
    their answers.
    """
    _of_the_parent.extend(_made)


if sys.platform != "win32":
    os.register_at_fork(before=_keep, after_in_parent=_of_the_parent.clear)


class FileSystems:
    """File systems of one place, as many as threads use at once.

    Args:
        make: Makes one, which connects.
    """

    def __init__(self, make: Callable[[], AbstractFileSystem]) -> None:
        self._make = make
        self._idle: deque[AbstractFileSystem] = deque()

    def use(self, work: Callable[[AbstractFileSystem], _Result]) -> _Result:
        """Do something that may be done again.

        Where a connection from before fails, it is tried once more by a new one: servers close those that nobody has
        used for a while, as while a node computes.

        Args:
            work: Called with a file system that nobody else uses, or that may be shared; what it gives is given back.
        """
        try:
            found = self._idle.pop()
        except IndexError:
            return self._use(self._make(), work)
        try:
            return self._use(found, work)
        except _ANSWERS:
            raise
        except Exception:  # each library has errors of its own for a connection that is gone
            if found.async_impl:  # which opens connections anew by itself
                raise
            return self._use(self._make(), work)

    def _use(self, file_system: AbstractFileSystem, work: Callable[[AbstractFileSystem], _Result]) -> _Result:
        file_system.invalidate_cache()  # others may have written since
        if file_system.async_impl:  # threads may share it
            self._idle.append(file_system)
            return work(file_system)
        try:
            result = work(file_system)
        except _ANSWERS:
            self._idle.append(file_system)
            raise
        self._idle.append(file_system)
        return result


def file_systems(session: Session, fragment: ParseResult) -> FileSystems:
    """The file systems of the place of a location, for the credentials of a session."""
    prefix, netloc = fragment.scheme, fragment.netloc
    return session.connection(
        ("fsspec", prefix, netloc),
        lambda: FileSystems(lambda: _new(prefix, netloc, session.credentials)),
    )


def path_of(fragment: ParseResult) -> str:
    """What a file system calls a location.

    Its class is asked with a plain name: several would take a piece of an odd one for a query.
    """
    if fragment.scheme in WEB:
        return web.address(fragment)
    plain: str = class_of(fragment.scheme)._strip_protocol(f"{fragment.scheme}://{fragment.netloc}/x")
    return plain.removesuffix("/x") + full_path(fragment)


def _kind(prefix: str) -> type[AbstractFileSystem]:
    """The class for a prefix: ours, where fsspec's takes too much on trust and nobody has registered another one."""
    kind = class_of(prefix)
    if kind.__module__ == "fsspec.implementations.webhdfs":
        from kedro_statisfactory.backends.filesystems.webhdfs import HDFSByHTTP

        return HDFSByHTTP
    if kind.__module__ == "fsspec.implementations.arrow":
        from kedro_statisfactory.backends.filesystems.hdfs import HDFS

        return HDFS
    return kind


def _refuse_unknown(kind: type[AbstractFileSystem], options: Mapping[str, Any]) -> None:
    """Refuse what a class would take and leave unused, as a mistyped name.

    Raises:
        TypeError: There is such an argument.
    """
    taken = [
        each
        for base in kind.__mro__
        for each in inspect.signature(vars(base).get("__init__", object)).parameters.values()
    ]
    known = dict.fromkeys(each.name for each in taken if each.kind not in _ANY_NUMBER and each.name != "self")
    for name in options:
        if name not in {*known, *_OF_EVERY_CLASS}:
            raise TypeError(f"there is no argument {name!r}; known are {', '.join(known)}")


def _new(prefix: str, netloc: str, credentials: Mapping[str, Any]) -> AbstractFileSystem:
    kind = _kind(prefix)
    options = HiddenDict({**kind._get_kwargs_from_urls(f"{prefix}://{netloc}/x"), **credentials})
    if kind.__module__.startswith(_SWALLOWING) and prefix not in WEB | _SSH:  # which hand on what they do not know
        _refuse_unknown(kind, options)
    if prefix in WEB:
        options = HiddenDict(web.arguments(options))
    elif prefix in _SSH:
        options = HiddenDict({"timeout": _CONNECT, **options})
    elif prefix == "smb":  # where fsspec lets nobody else open what it reads, another thread included
        options = HiddenDict({"share_access": "rwd", **options})
    made = kind(skip_instance_cache=True, **options)
    made.dircache.use_listings_cache = False  # others may write meanwhile
    if prefix in _SSH:
        made.ftp.get_channel().settimeout(_ANSWER)
    if prefix == dav.WEBDAV:
        dav.send_names_as_they_are(made)
    _made.add(made)
    return made
