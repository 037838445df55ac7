"""What is plain: the services and requests for which nothing is needed of what boto3 knows of S3's many ways.

Access points, accelerated, FIPS and dual-stack endpoints, hosts named after buckets elsewhere than at AWS, requester
pays, keys for encryption, proxies, unsigned requests, … are not: whatever is not listed here goes by boto3.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kedro_statisfactory.backends.s3.credentials import S3Configuration
from kedro_statisfactory.hidden import HiddenDict

if TYPE_CHECKING:
    import ssl

    from mypy_boto3_s3 import S3Client

_OTHER_HOSTS = ("use_fips_endpoint", "use_dualstack_endpoint")
# Arguments of botocore's Config that mean the same for both ways.
_CONFIG = frozenset(
    (
        "retries",
        "connect_timeout",
        "read_timeout",
        "max_pool_connections",
        "tcp_keepalive",
        "request_checksum_calculation",
        "response_checksum_validation",
        "s3",
        "ignore_configured_endpoint_urls",
        *_OTHER_HOSTS,
    )
)
_ADDRESSING = (None, "auto", "path")
# How botocore calls the places where credentials come from which are got without a program of the user's.
_ORIGINS = frozenset(
    (
        "explicit",
        "env",
        "shared-credentials-file",
        "config-file",
        "iam-role",
        "container-role",
        "assume-role",
        "assume-role-with-web-identity",
        "sso",
    )
)
#: The hosts of AWS's own regions, with nothing special about them.
AWS = re.compile(r"s3(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# What the names of buckets end with that are no buckets in a region.
_SPECIAL_BUCKETS = ("--x-s3", "--ol-s3", "-s3alias", ".mrap")
_METADATA_KEY = re.compile(r"[a-z0-9][a-z0-9-]*")
#: The largest body of an object that is sent along with its headers, and by the lean way, in bytes. Parts are larger.
MOST_SENT = 1 << 20
#: The header by which the service learns the CRC-32 of what it is sent.
CRC32_HEADER = "x-amz-checksum-crc32"

_METHODS = {"GetObject": "GET", "HeadObject": "HEAD", "PutObject": "PUT", "UploadPart": "PUT"}
# Arguments that say which object, or which part of one, and how the URL says that.
_IN_URL = {"VersionId": "versionId", "PartNumber": "partNumber", "UploadId": "uploadId"}
_OF_LISTING = {"Prefix": "prefix", "MaxKeys": "max-keys", "ContinuationToken": "continuation-token"}
_CONDITIONS = {"IfMatch": "If-Match", "IfNoneMatch": "If-None-Match"}
_HEADERS: Mapping[str, Mapping[str, str]] = {
    "GetObject": _CONDITIONS,
    "HeadObject": _CONDITIONS,
    "PutObject": {**_CONDITIONS, "ContentType": "Content-Type", "ChecksumCRC32": CRC32_HEADER},
    "UploadPart": {"ChecksumCRC32": CRC32_HEADER},
}


@dataclass(frozen=True)
class Request:
    """A request that can be sent without boto3.

    Attributes:
        operation: Its name in S3's API.
        method: Of HTTP.
        url: Where.
        headers: All but those of the signature.
        body: What is sent; ``None``: nothing.
    """

    operation: str
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PlainService:
    """A service that is reached and asked in the plainest way.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Host in small letters and, where it is not the usual one, port: as a request names it.
        region: For which requests are signed.
        has_hosts: Whether each bucket has a host of its own.
        tls: Which certificates are trusted; ``None`` for http.
        config: botocore's ``Config`` of the client.
    """

    scheme: str
    host: str
    region: str
    has_hosts: bool
    tls: ssl.SSLContext | None
    config: Any

    def request(self, operation: str, arguments: Mapping[str, Any]) -> Request | None:
        """What boto3 would send for an operation; ``None``: that is for boto3 to say.

        Args:
            operation: Its name in S3's API.
            arguments: Those of boto3's method.
        """
        if operation == "ListObjectsV2":
            return self._listing(arguments)
        given = dict(arguments)
        bucket, key, body = given.pop("Bucket"), given.pop("Key"), given.pop("Body", None)
        query = {_IN_URL[name]: given.pop(name) for name in _IN_URL if name in given}
        if "partNumber" in query:
            query["partNumber"] = str(query["partNumber"])
        url, headers = self._url(bucket, key), _headers(operation, given)
        is_at_hand = body is None or isinstance(body, bytes)
        is_sent_so = is_at_hand and (operation == "UploadPart" or len(body or b"") <= MOST_SENT)
        if url is None or headers is None or not is_sent_so or not all(map(_is_text, query.values())):
            return None
        if query:
            url = f"{url}?{_query(query)}"
        if operation == "GetObject" and self.config.response_checksum_validation == "when_supported":
            headers["x-amz-checksum-mode"] = "ENABLED"
        return Request(operation, _METHODS[operation], url, headers, body)

    def _listing(self, arguments: Mapping[str, Any]) -> Request | None:
        place = self._place(arguments["Bucket"])
        given = {name: value for name, value in arguments.items() if name != "Bucket"}
        if place is None or not given.keys() <= _OF_LISTING.keys():
            return None
        query = {"list-type": "2", **{_OF_LISTING[name]: str(value) for name, value in given.items()}}
        return Request("ListObjectsV2", "GET", f"{place}?{_query({**query, 'encoding-type': 'url'})}", HiddenDict())

    def _url(self, bucket: Any, key: Any) -> str | None:
        from botocore.utils import percent_encode

        place = self._place(bucket)
        if place is None or not isinstance(key, str) or not key:
            return None
        if any(segment in (".", "..") for segment in key.split("/")):  # they would be resolved away on the way
            return None
        return f"{place.removesuffix('/')}/{percent_encode(key, safe='-._~/')}"

    def _place(self, bucket: Any) -> str | None:
        """The URL of a bucket."""
        if not (isinstance(bucket, str) and _BUCKET.fullmatch(bucket)) or bucket.endswith(_SPECIAL_BUCKETS):
            return None
        if self.has_hosts and "." not in bucket:  # a certificate holds for one name before the host
            return f"{self.scheme}://{bucket}.{self.host}/"
        return f"{self.scheme}://{self.host}/{bucket}"


def _query(values: Mapping[str, str]) -> str:
    from botocore.utils import percent_encode

    return "&".join(f"{name}={percent_encode(value)}" for name, value in values.items())


def plain_service(client: S3Client, configuration: S3Configuration, core: Any) -> PlainService | None:
    """The service of a client, if it is a plain one.

    Args:
        client: boto3's.
        configuration: What the client was made of.
        core: botocore's session, which has made it.
    """
    meta: Any = client.meta
    settings = [core.get_config_variable(name) for name in ("use_dualstack_endpoint", "use_fips_endpoint")]
    parts = urlsplit(meta.endpoint_url)
    usual_port = {"http": 80, "https": 443}.get(parts.scheme)
    if any(settings) or usual_port is None or not _has_plain_config(meta.config, configuration):
        return None
    credentials = core.get_credentials()
    if credentials is None or credentials.method not in _ORIGINS:
        return None
    is_aws = bool(AWS.fullmatch(parts.netloc)) and meta.region_name in ("us-east-1", *parts.netloc.split("."))
    is_elsewhere = "amazonaws" not in parts.netloc and ":" not in (parts.hostname or ":") and "@" not in parts.netloc
    if not (is_aws or is_elsewhere) or parts.path not in ("", "/") or parts.query or meta.region_name == "aws-global":
        return None
    if _has_proxy(meta.endpoint_url):
        return None
    try:
        tls = _tls(configuration, core) if parts.scheme == "https" else None
    except (OSError, ValueError, TypeError):  # boto3 says what is wrong with it
        return None
    has_hosts = is_aws and (meta.config.s3 or {}).get("addressing_style") != "path"
    host = parts.hostname or ""
    host = host if parts.port in (None, usual_port) else f"{host}:{parts.port}"
    return PlainService(parts.scheme, host, meta.region_name, has_hosts, tls, meta.config)


def _has_plain_config(config: Any, configuration: S3Configuration) -> bool:
    s3, retries = config.s3 or {}, config.retries or {}
    return (
        not configuration.anonymous
        and configuration.config.keys() <= _CONFIG
        and not any(map(configuration.config.get, _OTHER_HOSTS))
        and "api_version" not in configuration.client
        and configuration.client.get("verify") is not False
        and s3.keys() <= {"addressing_style"}
        and s3.get("addressing_style") in _ADDRESSING
        and config.signature_version == "s3v4"
        and not (config.proxies or config.client_cert or config.auth_scheme_preference)
        and retries.get("mode") in ("standard", "legacy")
        and retries.get("total_max_attempts", 2) > 1  # what has failed is asked again by boto3
        and all(isinstance(each, int | float) for each in (config.connect_timeout, config.read_timeout))
    )


def _has_proxy(url: str) -> bool:
    from botocore.utils import get_environ_proxies

    return urlsplit(url).scheme in get_environ_proxies(url)


def _tls(configuration: S3Configuration, core: Any) -> ssl.SSLContext:
    """What boto3 trusts.

    Raises:
        OSError, ValueError, TypeError: The named file is none of certificates.
    """
    import ssl

    from botocore.httpsession import get_cert_path

    named: Any = configuration.client.get("verify") or core.get_config_variable("ca_bundle")
    named = named or os.environ.get("REQUESTS_CA_BUNDLE", True)
    path: Any = get_cert_path(named)
    is_folder = os.path.isdir(path)
    return ssl.create_default_context(capath=path if is_folder else None, cafile=None if is_folder else path)


def _headers(operation: str, given: Mapping[str, Any]) -> HiddenDict | None:
    """The headers that say what arguments say; ``None`` where one is not plain."""
    headers = HiddenDict()
    for name, value in given.items():
        if name == "Metadata" and operation == "PutObject" and isinstance(value, Mapping):
            if not all(isinstance(key, str) and _METADATA_KEY.fullmatch(key) for key in value):
                return None
            headers.update({f"x-amz-meta-{key}": each for key, each in value.items()})
        elif name in _HEADERS[operation]:
            headers[_HEADERS[operation][name]] = value
        else:
            return None
    return headers if all(map(_is_text, headers.values())) else None


def _is_text(value: Any) -> bool:
    """Whether a value goes through a header as it is."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == " ".join(value.split()) != ""


# boto3's `upload_file` and `download_file` register handlers of this module, which look at their own requests alone.
_OF_TRANSFERS = "s3transfer.utils"


class Handlers:
    """Who is told by a boto3 client of its requests, and may change them: only boto3 and this package, or a user, too.

    Args:
        client: boto3's, as it was made.
    """

    def __init__(self, client: S3Client) -> None:
        self._events: Any = client.meta.events
        self._first = self._all()
        self._seen: object = None
        self._are_ours = False

    def are_ours(self) -> bool:
        """Whether nobody has registered or removed a handler."""
        # botocore keeps this until somebody does; where it is kept otherwise nothing is plain.
        kept = getattr(getattr(self._events, "_emitter", None), "_lookup_cache", None)
        if kept is None or self._first is None:
            return False
        if kept is not self._seen:
            self._are_ours, self._seen = self._all() == self._first and all(map(_is_ours, self._first)), kept
        return self._are_ours

    def _all(self) -> Sequence[Any] | None:
        """All handlers in their order; ``None`` where botocore keeps them otherwise."""
        try:
            nodes: list[Any] = [self._events._emitter._handlers._root]
        except AttributeError:
            return None
        found: list[Any] = []
        while nodes:
            node = nodes.pop()
            found.extend(each for group in node["values"] or () for each in group if _module_of(each) != _OF_TRANSFERS)
            nodes.extend(node["children"].values())
        return found


def _is_ours(handler: Any) -> bool:
    """Whether a handler is one of boto3 or of this package; those that stand in for the service in tests are not."""
    module = _module_of(handler)
    return module.partition(".")[0] in ("botocore", "boto3", "kedro_statisfactory") and module != "botocore.stub"


def _module_of(handler: Any) -> str:
    return str(getattr(getattr(handler, "func", handler), "__module__", ""))
