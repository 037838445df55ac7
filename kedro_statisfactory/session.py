"""Credentials, and the connections that are made from them: one per process and configuration."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from kedro_statisfactory.errors import InvalidCredentials, MissingCredentials, UnknownCredential
from kedro_statisfactory.project import Project, current_project

if TYPE_CHECKING:
    from lakefs_client import ApiClient
    from mypy_boto3_s3 import S3Client
    from urllib3 import PoolManager

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

_SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY")
_USER_OF_URL = re.compile(r"(?<=://)[^\s/\"']*@")

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
_PUBLIC_KEYS = frozenset(
    "region_name profile_name profile endpoint_url api_version verify endpoint host ssl_ca_cert config_kwargs".split()
)
_SHORTEST_SECRET = 4
_TEXTS = _SESSION_KEYS | {"endpoint_url", "api_version"}

# The names of lakectl (right) for what other lakeFS clients call otherwise.
_LAKEFS_NAMES = {
    "endpoint": "endpoint_url",
    "host": "endpoint_url",
    "endpoint_url": "endpoint_url",
    "access_key_id": "access_key_id",
    "username": "access_key_id",
    "secret_access_key": "secret_access_key",
    "password": "secret_access_key",
    "ssl_ca_cert": "ssl_ca_cert",
    "verify_ssl": "verify_ssl",
    "proxy": "proxy",
}
_LAKECTL_VARIABLES = {
    "endpoint_url": "LAKECTL_SERVER_ENDPOINT_URL",
    "access_key_id": "LAKECTL_CREDENTIALS_ACCESS_KEY_ID",
    "secret_access_key": "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY",
}
_KEY_PAIR = frozenset(("access_key_id", "secret_access_key"))
_LAKECTL_FILE = "LAKECTL_CONFIG_FILE"
# What decides how the network is reached; read by every HTTP client.
_NETWORK_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")
_LAKEFS_VARIABLES = (*_LAKECTL_VARIABLES.values(), _LAKECTL_FILE, "HOME", *_NETWORK_VARIABLES)
_LAKEFS_API = "/api/v1"

# Connections that are kept: one for every part of a large transfer and for every thread of a runner.
_POOL_SIZE = 64

# Bytes of a body that is sent to S3 before the service asks for it, as curl does.
_SENT_AT_ONCE = 1 << 20

# What a user of boto3 would have to ask for. Standard retries are the bounded ones that AWS recommends.
_CLIENT_DEFAULTS: Mapping[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 5},
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": _POOL_SIZE,
    "tcp_keepalive": True,
}


class _Connections:
    """The connections of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.locks: dict[Hashable, threading.Lock] = {}  # one each: a server that hangs must not stop the others
        self.made: dict[Hashable, Any] = {}
        self.making_client = threading.Lock()  # botocore loads its models without one of its own


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
            if not isinstance(value, bool):
                raise InvalidCredentials("the credential 'anon' is neither true nor false.")
            anonymous = value
        elif key == "config_kwargs":
            config.update(_mapping(key, value))
        elif key == "client_kwargs":
            flat.update(_present(_mapping(key, value)))
        else:
            flat[_S3FS_NAMES.get(key, key)] = value
    known = _SESSION_KEYS | _CLIENT_KEYS
    _refuse_unknown("S3", flat.keys() - known, known | _S3FS_KEYS | _S3FS_NAMES.keys())
    for key in sorted(_TEXTS & flat.keys()):
        if not isinstance(flat[key], str):
            raise InvalidCredentials(
                f"the credential {key!r} is of type {type(flat[key]).__name__}, not text: put it between quotes."
            )
        _refuse_unprintable(key, flat[key])
    if ("aws_access_key_id" in flat) != ("aws_secret_access_key" in flat):
        raise InvalidCredentials(
            "credentials for S3 have one half of a key pair: give both aws_access_key_id and aws_secret_access_key."
        )
    _refuse_secrets_in_url(flat.get("endpoint_url", ""))
    return S3Configuration(
        session={key: value for key, value in flat.items() if key in _SESSION_KEYS},
        client={key: value for key, value in flat.items() if key in _CLIENT_KEYS},
        config=config,
        anonymous=anonymous,
    )


@dataclass(frozen=True)
class LakeFSConfiguration:
    """Where a lakeFS server is and who asks.

    Attributes:
        host: URL of the server's API.
        access_key_id: Of the user.
        secret_access_key: Of the user.
        ssl_ca_cert: File with the certificates to trust; ``None``: those of the system.
        verify_ssl: Whether the server's certificate is checked.
        proxy: URL of an HTTP proxy; ``None``: the one that the environment names for the host.
    """

    host: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    ssl_ca_cert: str | None = None
    verify_ssl: bool = True
    proxy: str | None = field(default=None, repr=False)


def checked_lakefs_credentials(credentials: Mapping[str, Any]) -> dict[str, Any]:
    """The credentials of an entry in lakectl's names.

    Args:
        credentials: ``endpoint_url`` (or ``endpoint``, ``host``), with or without ``/api/v1``; ``access_key_id`` (or
            ``username``), ``secret_access_key`` (or ``password``), ``ssl_ca_cert``, ``verify_ssl``, ``proxy``. A value
            of ``None`` counts as absent.

    Raises:
        UnknownCredential: A key is none of these.
        InvalidCredentials: A value has the wrong type, or one half of a key pair is missing.
    """
    given = _present(credentials)
    _refuse_unknown("lakeFS", given.keys() - _LAKEFS_NAMES.keys(), _LAKEFS_NAMES)
    flat = {_LAKEFS_NAMES[key]: value for key, value in given.items()}
    for key, value in flat.items():
        if not isinstance(value, bool if key == "verify_ssl" else str):
            raise InvalidCredentials(
                f"the credential {key!r} is of type {type(value).__name__}: "
                f"{'write true or false' if key == 'verify_ssl' else 'put it between quotes'}."
            )
    if ("access_key_id" in flat) != ("secret_access_key" in flat):
        raise InvalidCredentials(
            "credentials for lakeFS have one half of a key pair: give both access_key_id and secret_access_key."
        )
    _refuse_secrets_in_url(flat.get("endpoint_url", ""))
    return flat


def lakefs_configuration(credentials: Mapping[str, Any]) -> LakeFSConfiguration:
    """Complete the credentials of an entry by ``LAKECTL_*`` variables and these by lakectl's file.

    Raises:
        UnknownCredential, InvalidCredentials: As for :func:`checked_lakefs_credentials`; or lakectl's file is broken.
        MissingCredentials: The server or the keys are named nowhere.
    """
    flat = checked_lakefs_credentials(credentials)
    halves = ""
    for name, source in (("the environment", _lakectl_variables), ("lakectl's file", _lakectl_file)):
        if {"endpoint_url", "access_key_id"} <= flat.keys():
            break
        found = source()
        if len(_KEY_PAIR & found.keys()) == 1:
            halves += f" {name.capitalize()} has one half of a key pair, and halves of two places are not joined."
        if "access_key_id" in flat or not found.keys() >= _KEY_PAIR:
            found = {key: value for key, value in found.items() if key == "endpoint_url"}
        flat = {**found, **flat}
    missing = [key for key in _LAKECTL_VARIABLES if key not in flat]
    if missing:
        raise MissingCredentials(
            f"there is no {' and no '.join(missing)} for lakeFS: name what is missing under `credentials` of the "
            f"entry, set {', '.join(_LAKECTL_VARIABLES[key] for key in missing)}, or run `lakectl config`.{halves}"
        )
    for key in _KEY_PAIR:
        _refuse_unprintable(key, flat[key])
    endpoint = flat.pop("endpoint_url")
    _refuse_secrets_in_url(endpoint)
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    _split_url("endpoint_url", endpoint)
    return LakeFSConfiguration(host=endpoint.rstrip("/").removesuffix(_LAKEFS_API) + _LAKEFS_API, **flat)


def _split_url(name: str, url: str) -> SplitResult:
    """The parts of an HTTP server's URL."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # the port is no number, or an IPv6 address has no end
        pass
    raise InvalidCredentials(f"{name} is no URL of a server: write http://host or https://host, with a port if needed.")


def _proxy_for(url: str, named: str | None) -> str | None:
    """The proxy by which a server is reached: as ``named``, where ``""`` is none, else as the environment says."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if named is None and not proxy_bypass(parts.netloc):
        named = getproxies().get(parts.scheme)
    return named or None


def _proxy(url: str) -> tuple[str, dict[str, str] | None]:
    """The URL of a proxy without user and password, and the header that brings these."""
    from urllib3.util import make_headers

    parts = _split_url("`proxy`, HTTP_PROXY or HTTPS_PROXY", url if "://" in url else f"http://{url}")
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.username is None:
        return address, None
    return address, make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")


def _refuse_unprintable(key: str, value: str) -> None:
    if not (value.isascii() and value.isprintable()):
        raise InvalidCredentials(
            f"the credential {key!r} has a line break, or a character that none of its kind has: copy it again."
        )


def _refuse_secrets_in_url(url: str) -> None:
    if "@" in url or "?" in url:
        raise InvalidCredentials(
            "endpoint_url carries a user, a password or a query, which would show in errors: remove it."
        )


def _refuse_unknown(service: str, unknown: Iterable[object], known: Iterable[str]) -> None:
    if names := sorted(map(str, unknown)):
        raise UnknownCredential(
            f"credentials for {service} (`credentials` and `fs_args` of the entry) have an unknown key: "
            f"{', '.join(names)}. Known are: {', '.join(sorted(known))}."
        )


def _lakectl_variables() -> dict[str, str]:
    return {key: os.environ[name] for key, name in _LAKECTL_VARIABLES.items() if os.environ.get(name)}


def _lakectl_file() -> dict[str, str]:
    import yaml

    # Path.expanduser fails where a user has no home.
    file = Path(os.path.expanduser(os.environ.get(_LAKECTL_FILE) or "~/.lakectl.yaml"))
    try:
        content = yaml.safe_load(file.read_bytes()) or {}
        given = {**(content.get("server") or {}), **(content.get("credentials") or {})}
    except FileNotFoundError:
        return {}
    except (OSError, AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        # the text of the error could show a line of the file
        raise InvalidCredentials(
            f"lakectl's file {file} cannot be read ({type(error).__name__}): correct it, or let `lakectl config` write "
            "it again."
        ) from None
    return {key: str(given[key]) for key in _LAKECTL_VARIABLES if given.get(key)}


class Session:
    """What the entries of a catalog share when they reach the same service with the same credentials.

    A session holds plain values and may be made anywhere, pickled and copied at no cost. The connections behind it
    are made on first use, once per process and configuration: all threads share them, forked and spawned processes
    make their own.

    Args:
        credentials: The resolved ``credentials`` of a catalog entry; absent or empty: what the ecosystem's own
            files and variables say.
        project: Which project's git and settings decide about data branches; absent: the one that Kedro runs in this
            process, else the working directory's.

    >>> Session({"key": "AKIAEXAMPLE", "secret": "do not tell"})
    Session(credentials=<redacted>)
    """

    def __init__(self, credentials: Mapping[str, Any] | None = None, project: Project | None = None) -> None:
        self.credentials: Mapping[str, Any] = dict(credentials or {})
        self._project = project

    @property
    def project(self) -> Project:
        """The project whose git and settings decide about data branches."""
        return self._project or current_project()

    def __repr__(self) -> str:
        return f"Session(credentials={'<redacted>' if self.credentials else None})"

    def redacted(self, text: str) -> str:
        """``text`` without any secret of these credentials, or of those that the environment gives."""
        ambient = {value for name in _SECRET_VARIABLES if (value := os.environ.get(name))}
        for secret in sorted(_secrets(self.credentials) | ambient, key=len, reverse=True):
            text = text.replace(secret, "<redacted>").replace(json.dumps(secret)[1:-1], "<redacted>")
        return _USER_OF_URL.sub("<redacted>@", text)

    def connection(self, kind: Hashable, make: Callable[[], _Connection]) -> _Connection:
        """Give the connection of ``kind`` for these credentials, made by ``make`` when this process has none yet.

        Args:
            kind: Name of the service, with all but the credentials that the connection depends on.
            make: Makes the connection; called under a lock of its own, at most once per process and configuration.
        """
        shared, key = _connections, self._key(kind)
        if key not in shared.made:
            with shared.lock:
                lock = shared.locks.setdefault(key, threading.Lock())
            with lock:
                if key not in shared.made:
                    shared.made[key] = make()
        made: _Connection = shared.made[key]
        return made

    def made(self, kind: Hashable) -> Any:
        """The connection of ``kind`` for these credentials, where this process has made one; else ``None``."""
        return _connections.made.get(self._key(kind))

    def _key(self, kind: Hashable) -> tuple[int, Hashable, Hashable]:
        return os.getpid(), kind, _frozen(self.credentials)

    @property
    def s3(self) -> S3Client:
        """The S3 client of these credentials; without any, the one of boto3's own chain."""
        return self.connection(("s3", *map(os.environ.get, _AWS_VARIABLES)), self._make_s3_client)

    @property
    def lakefs(self) -> ApiClient:
        """The lakeFS client of these credentials."""
        return self.connection(("lakefs", *map(os.environ.get, _LAKEFS_VARIABLES)), self._make_lakefs_client)

    def object_store(self, origin: str) -> PoolManager:
        """Connections to the object store behind a lakeFS server: another host, with another proxy or none.

        Certificates are trusted that the system trusts, and those of ``ssl_ca_cert``.

        Args:
            origin: Scheme and host of its URLs.
        """
        kind = ("lakefs object store", origin, *map(os.environ.get, _LAKEFS_VARIABLES))
        return self.connection(kind, lambda: self._make_object_store_pool(origin))

    def _make_object_store_pool(self, origin: str) -> PoolManager:
        import ssl

        from urllib3 import PoolManager, ProxyManager

        found = lakefs_configuration(self.credentials)
        context = ssl.create_default_context()
        if found.ssl_ca_cert:
            try:
                context.load_verify_locations(found.ssl_ca_cert)
            except OSError as error:
                raise InvalidCredentials(
                    f"the file {found.ssl_ca_cert!r}, which `ssl_ca_cert` names, cannot be read: {error}."
                ) from error
        if not found.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        proxy = _proxy_for(origin, found.proxy)
        if proxy is None:
            return PoolManager(maxsize=_POOL_SIZE, ssl_context=context)
        address, headers = _proxy(proxy)
        return ProxyManager(address, proxy_headers=headers, maxsize=_POOL_SIZE, ssl_context=context)

    def _make_lakefs_client(self) -> ApiClient:
        from lakefs_client import ApiClient, Configuration

        found = lakefs_configuration(self.credentials)
        proxy = _proxy_for(found.host, found.proxy)
        configuration = Configuration(
            host=found.host,
            username=found.access_key_id,
            password=found.secret_access_key,
            ssl_ca_cert=found.ssl_ca_cert or os.environ.get("SSL_CERT_FILE"),
        )
        configuration.verify_ssl = found.verify_ssl
        if proxy:
            configuration.proxy, configuration.proxy_headers = _proxy(proxy)
        configuration.connection_pool_maxsize = _POOL_SIZE
        return ApiClient(configuration)

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
        with _connections.making_client:
            client: S3Client = boto3.session.Session(**configuration.session).client(
                "s3", config=config, **configuration.client
            )
        for operation in ("PutObject", "UploadPart"):
            client.meta.events.register(f"before-sign.s3.{operation}", _send_at_once)
        return client


def _send_at_once(request: Any, operation_name: str, **_: Any) -> None:
    """Send a body along with its headers, where boto3 would wait for the service to ask for it.

    That costs a round trip. It pays where a large body would be refused; whether parts are taken is known by then.
    """
    from botocore.utils import determine_content_length

    size = determine_content_length(request.data)  # None: nobody knows
    if operation_name == "UploadPart" or (size is not None and size <= _SENT_AT_ONCE):
        del request.headers["Expect"]


def _present(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def _mapping(key: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidCredentials(f"the credential {key!r} is of type {type(value).__name__}, not a mapping.")
    return value


def _secrets(credentials: Mapping[str, Any]) -> set[str]:
    """All texts in credentials but those that say where and how a service is reached; none too short to be one."""
    found: set[str] = set()
    for key, value in credentials.items():
        if key in _PUBLIC_KEYS:
            continue
        if isinstance(value, Mapping):
            found |= _secrets(value)
        elif isinstance(value, str) and len(value) >= _SHORTEST_SECRET:
            found.add(value)
    return found


def _frozen(value: object) -> Hashable:
    """A hashable that is equal for equal configurations."""
    if isinstance(value, Mapping):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value if isinstance(value, Hashable) else repr(value)
