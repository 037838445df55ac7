"""Errors of fsspec, and of what it goes through, as ours, told from one another in one place."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable, Iterator
from urllib.parse import ParseResult

from kedro_statisfactory.backends.transfer import Stopped
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BucketNotFound,
    IntegrityError,
    NotSupported,
    ObjectNotFound,
    PermissionDenied,
    StatisfactoryError,
    TransferError,
    UnknownCredential,
)
from kedro_statisfactory.location import WEB, shown, unparse

# By their names, since each place has a library of its own, which need not be installed.
_REFUSED = frozenset(
    (
        "AccessDenied",
        "AuthenticationException",
        "ClientAuthenticationError",
        "DefaultCredentialsError",
        "LogonFailure",
        "PermissionError",
        "RefreshError",
        "SMBAuthenticationError",
    )
)
_NOT_FOUND = frozenset(("BadNetworkName", "FileNotFoundError", "NotADirectoryError", "ResourceNotFoundError"))
_UNREACHABLE = frozenset(
    (
        "ClientConnectionError",
        "ConnectionError",
        "EOFError",
        "NoValidConnectionsError",
        "RequestException",
        "SSHException",
        "SSLError",
        "ServiceRequestError",
        "TimeoutError",
        "TransportError",
        "gaierror",
    )
)
_DAMAGED = frozenset(("ChecksumError", "ChunkedEncodingError", "ClientPayloadError"))
# What gcsfs, smbprotocol and pyarrow (for Hadoop's client) say in errors that stand for anything.
_SAYS_REFUSED = re.compile(r"^Forbidden: |\bSTATUS_ACCESS_DENIED\b")
_SAY_UNREACHABLE = ("Failed to connect to ", "HDFS connection failed")
_UNTOLD = 255  # Hadoop's number for all that has none of its own
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_QUERY = re.compile(r"(?<=\w)\?[^\s'\"]*")
_LONGEST_TEXT = 500  # characters of what a service says


@contextlib.contextmanager
def translated(fragment: ParseResult, redacted: Callable[[str], str], is_write: bool = False) -> Iterator[None]:
    """Errors of fsspec as ours. Neither their text nor their cause shows a secret.

    Args:
        fragment: The location that is concerned.
        redacted: Takes the secrets out of a text.
        is_write: Whether something is stored.
    """
    try:
        yield
    except (StatisfactoryError, Stopped):
        raise
    except Exception as error:  # each library of fsspec has errors of its own
        if isinstance(error, OSError) and error.errno in _DISK_FULL and not is_write:
            raise  # of the disk to which it was fetched: who has named that says more
        # Of a web page fsspec says for whatever fails that it is not found.
        is_hidden = fragment.scheme in WEB and isinstance(error, FileNotFoundError)
        cause = error.__cause__ if is_hidden and isinstance(error.__cause__, Exception) else error
        plain = _said(cause)
        text = _QUERY.sub("?<redacted>", redacted(plain))[:_LONGEST_TEXT].rstrip(".")
        # A cause is shown as well: not one with a secret, nor with a URL's query.
        raise _ours(cause, fragment, text, is_write) from (error if text == str(error).rstrip(".") else None)


def _said(error: Exception) -> str:
    """What an error tells. aiohttp's would show the URL with its query."""
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    return f"{status} {message}" if status is not None and message is not None else str(error) or type(error).__name__


def _ours(error: Exception, fragment: ParseResult, text: str, is_write: bool) -> StatisfactoryError:
    url, names = shown(unparse(fragment)), _names(error)
    status = status_of(error)
    if status in (401, 403, 407) or names & _REFUSED or _SAYS_REFUSED.search(text):
        return PermissionDenied(
            f"access to {url!r} is refused ({text}): check the `credentials` of the entry, or what they are allowed."
        )
    if status in (404, 410) or names & _NOT_FOUND:
        if is_write:
            return BucketNotFound(f"there is no place for {url!r}, as for a bucket or host that is missing: {text}.")
        return ObjectNotFound(f"there is nothing at {url!r}.")
    if names & _DAMAGED or "size mismatch" in text:
        return IntegrityError(f"{url!r} did not arrive as it was stored: {text}.")
    if (names & _UNREACHABLE and status is None) or text.startswith(_SAY_UNREACHABLE):
        return BackendUnreachable(f"the service of {url!r} does not answer: {text}.")
    if isinstance(error, NotImplementedError):
        return NotSupported(f"fsspec cannot do that at {url!r}{': ' * bool(str(error))}{str(error) and text}.")
    if isinstance(error, TypeError) and "argument" in text:
        return UnknownCredential(f"`credentials` or `fs_args` for {url!r} do not fit {fragment.scheme}://: {text}.")
    if getattr(error, "errno", None) == _UNTOLD:
        text = f"{text}; Hadoop's client has written to the standard error why"
    return TransferError(f"the transfer of {url!r} failed: {text}.")


def is_missing(error: BaseException) -> bool:
    """Whether a file system says that a file, or a folder above it, is not there."""
    return "FileNotFoundError" in _names(error)


def _names(error: BaseException) -> set[str]:
    """The names of an error's classes, and of Python's own for its number where its library tells only that."""
    kinds = [type(error)]
    # Others have numbers of their own: those of TLS mean something else.
    if isinstance(error, OSError) and error.errno and type(error).__module__.startswith("smbprotocol."):
        kinds.append(type(OSError(error.errno, "")))
    return {each.__name__ for kind in kinds for each in kind.__mro__}


def status_of(error: BaseException | None) -> int | None:
    """The status of an answer by HTTP, which each library calls otherwise."""
    answers = (error, getattr(error, "response", None))
    found = (getattr(answer, name, None) for answer in answers for name in ("status", "status_code", "code"))
    return next((status for status in found if isinstance(status, int)), None)
