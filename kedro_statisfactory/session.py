"""Credentials, and the connections that are made from them: one per process and configuration.

A session knows no service. Each backend reads the credentials in its own way and makes its own connections, and keeps
them here.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

from kedro_statisfactory.hidden import Hidden, hidden
from kedro_statisfactory.project import Project, current_project

_Connection = TypeVar("_Connection")

_USER_OF_URL = re.compile(r"(?<=://)[^\s/\"']*@")
# Keys of credentials that say where and how a service is reached, and no secret.
_PUBLIC_KEYS = frozenset(
    "region_name profile_name profile endpoint_url api_version verify endpoint host ssl_ca_cert config_kwargs".split()
)
_SHORTEST_SECRET = 4
_NONE: Any = object()  # no connection, where None may be one


class _Connections:
    """The connections of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.locks: dict[Hashable, threading.Lock] = {}  # one each: a server that hangs must not stop the others
        self.made: dict[Hashable, Any] = {}


_connections = _Connections()


def _forget_connections() -> None:
    """Start afresh in a forked child: its parent's sockets carry its parent's answers, and its lock may be held."""
    global _connections
    _connections = _Connections()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_connections)


class Session:
    """What the entries of a catalog share when they reach the same service with the same credentials.

    A session holds plain values and may be made anywhere, pickled and copied at no cost. The connections behind it
    are made on first use, once per process and configuration: all threads share them, forked and spawned processes
    make their own.

    Args:
        credentials: The resolved ``credentials`` of a catalog entry; absent or empty: what the ecosystem's own
            files and variables say.
        project: Which project's git and settings decide about data branches; absent: the one that Kedro runs in this
            process, else the one around the working directory.

    >>> Session({"key": "AKIAEXAMPLE", "secret": "do not tell"})
    Session(credentials=<redacted>)
    """

    def __init__(self, credentials: Mapping[str, Any] | None = None, project: Project | None = None) -> None:
        self.credentials: Mapping[str, Any] = hidden(credentials)
        self._project = project
        self._as_key: Hidden[Hashable] | None = None

    @property
    def project(self) -> Project:
        """The project whose git and settings decide about data branches."""
        return self._project or current_project()

    @property
    def input_of(self) -> Project | None:
        """The project in whose run the entry of this session is an input, so that what is read is noted."""
        return self._project if self._project is not None and self._project.reads is not None else None

    @property
    def in_run(self) -> bool:
        """Whether the entry of this session works for a run, in whichever of its processes."""
        return self._project is not None and self._project.journal is not None

    def __repr__(self) -> str:
        return f"Session(credentials={'<redacted>' if self.credentials else None})"

    def redacted(self, text: str, variables: Iterable[str]) -> str:
        """``text`` without any secret of these credentials, nor of the environment.

        Args:
            text: What is going to be shown.
            variables: Names of the environment variables that hold secrets.
        """
        for secret in sorted(self.secrets(variables), key=lambda each: len(each.reveal()), reverse=True):
            text = text.replace(secret.reveal(), "<redacted>").replace(json.dumps(secret.reveal())[1:-1], "<redacted>")
        return _USER_OF_URL.sub("<redacted>@", text)

    def secrets(self, variables: Iterable[str]) -> set[Hidden[str]]:
        """All secrets of these credentials, and of the environment.

        Args:
            variables: Names of the environment variables that hold secrets.
        """
        return _secrets(self.credentials) | {Hidden(value) for name in variables if (value := os.environ.get(name))}

    def connection(self, kind: Hashable, make: Callable[[], _Connection]) -> _Connection:
        """Give the connection of ``kind`` for these credentials, made by ``make`` when this process has none yet.

        Args:
            kind: Name of the service, with all but the credentials that the connection depends on; what of that is
                secret is ``Hidden``.
            make: Makes the connection; called under a lock of its own, at most once per process and configuration.
        """
        shared, key = _connections, Hidden(self._key(kind))
        made: _Connection = shared.made.get(key, _NONE)  # looked up once: to compare keys takes a while
        if made is _NONE:
            with shared.lock:
                lock = shared.locks.setdefault(key, threading.Lock())
            with lock:
                if key not in shared.made:
                    shared.made[key] = make()
            made = shared.made[key]
        return made

    def made(self, kind: Hashable) -> Any:
        """The connection of ``kind`` for these credentials, where this process has made one; else ``None``."""
        return _connections.made.get(Hidden(self._key(kind)))

    def _key(self, kind: Hashable) -> tuple[int, Hashable, Hashable]:
        if self._as_key is None:
            self._as_key = Hidden(_frozen(self.credentials))
        return os.getpid(), kind, self._as_key


def environment(names: tuple[str, ...]) -> Hidden[Hashable]:
    """What environment variables say, for the ``kind`` of a connection that depends on them.

    It is asked for several times for each object, and ``os.environ`` takes some microseconds for each variable that is
    not set.

    Args:
        names: Of the variables.
    """
    kept = getattr(os.environ, "_data", None)  # where Python keeps them; nowhere, if it does so otherwise one day
    if isinstance(kept, dict):
        return Hidden(tuple(map(kept.get, _as_kept(names))))
    return Hidden(tuple(map(os.environ.get, names)))


@functools.cache
def _as_kept(names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(map(os.environ.encodekey, names))


def _secrets(credentials: Mapping[Any, Any]) -> set[Hidden[str]]:
    """All texts in credentials but those that say where and how a service is reached; none too short to be one."""
    found: set[Hidden[str]] = set()
    for key, value in credentials.items():
        if key in _PUBLIC_KEYS:
            continue
        if isinstance(value, Mapping):
            found |= _secrets(value)
        elif isinstance(value, list | tuple):  # a user and a password, as webdav4 takes them
            found |= _secrets(dict(enumerate(value)))
        elif isinstance(value, str) and len(value) >= _SHORTEST_SECRET:
            found.add(Hidden(value))
    return found


def _frozen(value: object) -> Hashable:
    """A hashable that is equal for equal configurations."""
    if isinstance(value, Mapping):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value if isinstance(value, Hashable) else repr(value)
