"""WebDAV: each character of a name is sent as such, and no server stores a file under another name."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
import weakref
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree.ElementTree import ParseError

from kedro_statisfactory.backends.base import STAGING_NAME
from kedro_statisfactory.backends.filesystems.errors import status_of
from kedro_statisfactory.errors import NotSupported

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_Result = TypeVar("_Result")

#: The prefix of such places.
WEBDAV = "webdav"

# The client takes these for parts of a URL, or for what is escaped already; and so do some servers, of the name to
# which something is moved, which they may take apart when they have undone its escapes.
_ODD = re.compile("[%;?#]")

_WAITS = (0.02, 0.05, 0.1, 0.2, 0.5, 1)  # seconds

# The odd characters of which it is known that they stay, by file system.
_kept: weakref.WeakKeyDictionary[AbstractFileSystem, set[str]] = weakref.WeakKeyDictionary()


def send_names_as_they_are(file_system: AbstractFileSystem) -> None:
    """Let the client of a file system escape what is odd in a name."""
    client: Any = file_system.client

    def join_url(path: str, add_trailing_slash: bool = False) -> Any:
        from webdav4.urls import join_url as joined

        escaped = _ODD.sub(lambda found: f"%{ord(found[0]):02X}", path)
        return joined(client.base_url, escaped, add_trailing_slash)

    client.join_url = join_url


def patiently(work: Callable[[], _Result]) -> _Result:
    """Do something that may be done again, and once more where a server has just locked something, or says half of it.

    Several tell that a request is done just before they let go of what it has locked, and put an error behind the XML
    that they have begun where what they list is replaced meanwhile.
    """
    for seconds in _WAITS:
        try:
            return work()
        except Exception as error:  # the client and fsspec each wrap what a server says in errors of their own
            is_locked = HTTPStatus.LOCKED in (status_of(error), status_of(error.__cause__))
            if not is_locked and not isinstance(error, ParseError):
                raise
        time.sleep(seconds)
    return work()


def move(file_system: AbstractFileSystem, source: str, target: str) -> None:
    """Move a file to a place where there may be one: fsspec's way is to copy and to remove, and replaces nothing."""
    file_system.client.move(source, target, overwrite=True)


def refuse_changed_names(file_system: AbstractFileSystem, path: str) -> None:
    """See that a server moves nothing to another name than that of a path; once for each odd character.

    It is tried in the folder above all that is odd: what is moved elsewhere could replace what is there.

    Raises:
        NotSupported: It does, or would.
    """
    kept = _kept.setdefault(file_system, set())
    odd = set(_ODD.findall(path)) - kept
    if not odd:
        return
    plain = _ODD.split(path, maxsplit=1)[0].rpartition("/")[0]
    file_system.makedirs(plain or "/", exist_ok=True)
    first, second = (f"{plain}/{STAGING_NAME}{secrets.token_hex(5)}" for _ in range(2))
    # What looks like an escape would be taken for one.
    target = f"{second}{''.join(sorted(odd)).replace('%', '%41')}x"
    try:
        file_system.pipe_file(first, b"")
        move(file_system, first, target)
        if not file_system.exists(target):
            raise NotSupported(
                f"this server of WebDAV stores what is called {target.rpartition('/')[2]!r} under another name: choose "
                f"names without {' '.join(sorted(odd))}."
            )
    finally:
        _remove_all(file_system, plain, (first, second))
    kept |= odd


def _remove_all(file_system: AbstractFileSystem, folder: str, beginnings: tuple[str, ...]) -> None:
    """Remove what names begin so, whatever a server has made of their ends."""
    with contextlib.suppress(Exception):  # they are hidden, and `clean` drops them
        for name in file_system.ls(folder or "/", detail=False):
            if name.strip("/").startswith(tuple(each.strip("/") for each in beginnings)):
                file_system.rm_file(name)
