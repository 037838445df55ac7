"""Credentials, and the connections that are made from them: one per process and configuration."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kedro_statisfactory.errors import InvalidCredentials, UnknownCredential

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_Connection = TypeVar("_Connection")

# The variables that select an account, a region or an endpoint. They are part of a connection's configuration: a
# notebook that sets one of them after its first load gets a new client.
_AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CA_BUNDLE",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
)

# s3fs's names (left) for what boto3 calls otherwise.
_S3FS_NAMES = {
    "key": "aws_access_key_id",
    "username": "aws_access_key_id",
    "secret": "aws_secret_access_key",
    "password": "aws_secret_access_key",
    "token": "aws_session_token",
    "profile": "profile_name",
}
_SESSION_KEYS = frozenset(
    ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region_name", "profile_name")
)
_CLIENT_KEYS = frozenset(("endpoint_url", "use_ssl", "verify", "api_version"))
_S3FS_KEYS = frozenset(("anon", "client_kwargs", "config_kwargs"))
_PUBLIC_KEYS = frozenset(("region_name", "profile_name", "profile", "endpoint_url", "api_version", "verify"))
_TEXTS = _SESSION_KEYS | {"endpoint_url", "api_version"}

# What a user of boto3 would have to ask for. Standard retries are the bounded ones that AWS recommends; the pool has
# a connection for every part of a large transfer and for every thread of a runner.
_CLIENT_DEFAULTS: Mapping[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 5},
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": 64,
    "tcp_keepalive": True,
}


class _Connections:
    """The connections of this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.made: dict[Hashable, Any] = {}


_connections = _Connections()


def _forget_connections() -> None:
    """Start afresh in a forked child: its parent's sockets carry its parent's answers, and its lock may be held."""
    global _connections
    _connections = _Connections()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_connections)


@dataclass(frozen=True)
class S3Configuration:
    """Credentials in the three places where boto3 wants them.

    Attributes:
        session: Arguments of ``boto3.session.Session``.
        client: Arguments of its ``client("s3", …)``.
        config: Arguments of ``botocore.config.Config``.
        anonymous: Whether requests are sent unsigned.
    """

    session: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client: Mapping[str, Any] = field(default_factory=dict, repr=False)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    anonymous: bool = False


def s3_configuration(credentials: Mapping[str, Any]) -> S3Configuration:
    """Read S3 credentials in boto3's names, in s3fs's shape, or in a mixture of both.

    Args:
        credentials: ``aws_access_key_id``, ``aws_secret_access_key``, ``aws_session_token``, ``region_name``,
            ``profile_name``, ``endpoint_url``, ``use_ssl``, ``verify``, ``api_version``; or s3fs's ``key``,
            ``secret``, ``token``, ``profile``, ``anon``, ``client_kwargs``, ``config_kwargs``. A value of ``None``
            counts as absent. ``config_kwargs`` are the arguments of ``botocore.config.Config``, for example
            ``request_checksum_calculation: when_required`` for a server that refuses the newer integrity headers.

    Raises:
        UnknownCredential: A key is none of these.
        InvalidCredentials: A value has the wrong type, or one half of a key pair is missing.
    """
    flat: dict[str, Any] = {}
    config: dict[str, Any] = {}
    anonymous = False
    for key, value in _present(credentials).items():
        if key == "anon":
            anonymous = bool(value)
        elif key == "config_kwargs":
            config.update(_mapping(key, value))
        elif key == "client_kwargs":
            flat.update(_present(_mapping(key, value)))
        else:
            flat[_S3FS_NAMES.get(key, key)] = value
    unknown = sorted(str(key) for key in flat if key not in _SESSION_KEYS | _CLIENT_KEYS)
    if unknown:
        known = ", ".join(sorted(_SESSION_KEYS | _CLIENT_KEYS | _S3FS_KEYS | _S3FS_NAMES.keys()))
        raise UnknownCredential(f"credentials for S3 have an unknown key: {', '.join(unknown)}. Known are: {known}.")
    for key in sorted(_TEXTS & flat.keys()):
        if not isinstance(flat[key], str):
            raise InvalidCredentials(
                f"the credential {key!r} is of type {type(flat[key]).__name__}, not text: put it between quotes."
            )
    if ("aws_access_key_id" in flat) != ("aws_secret_access_key" in flat):
        raise InvalidCredentials(
            "credentials for S3 have one half of a key pair: give both aws_access_key_id and aws_secret_access_key."
        )
    if "@" in flat.get("endpoint_url", ""):
        raise InvalidCredentials("endpoint_url carries a user or password, which would show in errors: remove it.")
    return S3Configuration(
        session={key: value for key, value in flat.items() if key in _SESSION_KEYS},
        client={key: value for key, value in flat.items() if key in _CLIENT_KEYS},
        config=config,
        anonymous=anonymous,
    )


class Session:
    """What the entries of a catalog share when they reach the same service with the same credentials.

    A session holds plain values and may be made anywhere, pickled and copied at no cost. The connections behind it
    are made on first use, once per process and configuration: all threads share them, forked and spawned processes
    make their own.

    Args:
        credentials: The resolved ``credentials`` of a catalog entry; absent or empty: what the ecosystem's own
            files and variables say.

    >>> Session({"key": "AKIAEXAMPLE", "secret": "do not tell"})
    Session(credentials=<redacted>)
    """

    def __init__(self, credentials: Mapping[str, Any] | None = None) -> None:
        self.credentials: Mapping[str, Any] = dict(credentials or {})

    def __repr__(self) -> str:
        return f"Session(credentials={'<redacted>' if self.credentials else None})"

    def redacted(self, text: str) -> str:
        """``text`` without any secret of these credentials."""
        for secret in sorted(_secrets(self.credentials), key=len, reverse=True):
            text = text.replace(secret, "<redacted>")
        return text

    def connection(self, kind: Hashable, make: Callable[[], _Connection]) -> _Connection:
        """Give the connection of ``kind`` for these credentials, made by ``make`` when this process has none yet.

        Args:
            kind: Name of the service, with all but the credentials that the connection depends on.
            make: Makes the connection; called under a lock, at most once per process and configuration.
        """
        shared = _connections
        key = (os.getpid(), kind, _frozen(self.credentials))
        with shared.lock:
            if key not in shared.made:
                shared.made[key] = make()
            made: _Connection = shared.made[key]
        return made

    @property
    def s3(self) -> S3Client:
        """The S3 client of these credentials; without any, the one of boto3's own chain."""
        return self.connection(("s3", *map(os.environ.get, _AWS_VARIABLES)), self._make_s3_client)

    def _make_s3_client(self) -> S3Client:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        configuration = s3_configuration(self.credentials)
        options = {**_CLIENT_DEFAULTS, **configuration.config}
        if configuration.anonymous:
            options["signature_version"] = UNSIGNED
        try:
            config = Config(**options)
        except TypeError as error:
            raise UnknownCredential(f"config_kwargs in the credentials for S3: {error}.") from None
        return boto3.session.Session(**configuration.session).client("s3", config=config, **configuration.client)


def _present(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def _mapping(key: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidCredentials(f"the credential {key!r} is of type {type(value).__name__}, not a mapping.")
    return value


def _secrets(credentials: Mapping[str, Any]) -> set[str]:
    """All texts in credentials but those that say where a service is."""
    found: set[str] = set()
    for key, value in credentials.items():
        if isinstance(value, Mapping):
            found |= _secrets(value)
        elif isinstance(value, str) and value and key not in _PUBLIC_KEYS:
            found.add(value)
    return found


def _frozen(value: object) -> Hashable:
    """A hashable that is equal for equal configurations."""
    if isinstance(value, Mapping):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value if isinstance(value, Hashable) else repr(value)
