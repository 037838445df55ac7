"""Plain requests to S3: signed by botocore, and sent without what boto3 does around them, which costs more than both.

What comes as an answer is what boto3 would give. Whatever else comes is not looked at any closer: boto3 asks again, and
has its own ways with it: another try after a pause, another region, or an error.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.backends import http, transfer
from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.s3.checksums import base64_crc32
from kedro_statisfactory.backends.s3.listing import read_listing
from kedro_statisfactory.backends.s3.plain import CRC32_HEADER, PlainService, Request
from kedro_statisfactory.errors import IntegrityError
from kedro_statisfactory.hidden import Hidden, HiddenDict

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from kedro_statisfactory.backends.http import Answered

# Refusals that say all, and would come again.
_REFUSALS = frozenset(
    (
        "AccessDenied",
        "BadDigest",
        "ConditionalRequestConflict",
        "KeyTooLongError",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchUpload",
        "NoSuchVersion",
        "OperationAborted",
        "PreconditionFailed",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    )
)
_REFUSALS_OF_HEAD = frozenset(("403", "404", "412"))
# Of a service that is overloaded, or of a moment.
_PASSING = frozenset((408, 429, 500, 502, 503, 504))
# What says that an object is still the one which a condition names.
_NOT_MODIFIED, _CONDITION = 304, "If-None-Match"
_CHECKSUM, _METADATA = "x-amz-checksum-", "x-amz-meta-"
_HEX_DIGESTS: Mapping[str, Callable[[], Any]] = {"sha256": hashlib.sha256, "sha1": hashlib.sha1}
# Headers of answers, and how boto3 calls them.
_MEMBERS = {
    "x-amz-version-id": "VersionId",
    CRC32_HEADER: "ChecksumCRC32",
    "x-amz-checksum-type": "ChecksumType",
}


class Unexpected(Exception):
    """A request has no answer that is known here.

    Attributes:
        is_passing: Whether the next request may be answered as usual.
    """

    def __init__(self, is_passing: bool) -> None:
        super().__init__()
        self.is_passing = is_passing


class LeanSender:
    """Sends plain requests, each once.

    Args:
        client: boto3's.
        service: Which it asks.
        credentials: botocore's, which are looked at for each request: they may be renewed meanwhile.
    """

    def __init__(self, client: S3Client, service: PlainService, credentials: Any) -> None:
        self._client, self.service, self._credentials = client, service, credentials
        self._pool = _pool(service)

    def send(self, request: Request) -> Mapping[str, Any]:
        """Send a request; gives what boto3's method would.

        Raises:
            botocore.exceptions.ClientError: The service refuses, as boto3 would say it.
            Unexpected: There is no answer, or another one.
        """
        from urllib3.exceptions import HTTPError

        transfer.raise_if_stopped()
        try:
            response = self._ask(request)
            try:
                transfer.raise_if_stopped()  # it came meanwhile, and nobody will read it
            except transfer.Stopped:
                response.close()
                raise
            if response.status == 200:
                try:
                    return _read(request, response)
                except BaseException:  # nobody will read it
                    response.close()
                    raise
            status, body = response.status, response.data
        except (HTTPError, OSError):
            raise Unexpected(is_passing=True) from None
        except (ValueError, TypeError, LookupError):  # of a header that cannot be sent, or says nothing
            raise Unexpected(is_passing=False) from None
        raise self._refusal(request, status, response.headers, body)

    def _ask(self, request: Request) -> Answered:
        from botocore.awsrequest import AWSRequest

        from kedro_statisfactory.backends.s3.signing import Signer

        body, config = request.body, self.service.config
        signed: Any = AWSRequest(request.method, request.url, request.headers, data=body or b"")
        signed.context.update(
            client_config=config,
            # By these the signer knows what is enough with TLS, where it need not read the body.
            has_streaming_input=body is not None,
            checksum={"request_algorithm": {"in": "header", "name": CRC32_HEADER}},
        )
        frozen = Hidden(self._credentials.get_frozen_credentials())
        Signer(frozen.reveal(), "s3", self.service.region).add_auth(signed)
        return http.ask_once(
            self._pool,
            request.method,
            Hidden(request.url),
            HiddenDict([("User-Agent", config.user_agent), *signed.headers.items()]),
            body=None if body is None else lambda: body,
            stream=request.operation == "GetObject",
            connect=config.connect_timeout,
            read=config.read_timeout,
        )

    def _refusal(self, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Exception:
        """The error for an answer that is none of success."""
        from botocore.parsers import ResponseParserError, create_parser

        if status in _PASSING:
            return Unexpected(is_passing=True)
        if status == _NOT_MODIFIED and _CONDITION not in request.headers:
            return Unexpected(is_passing=False)
        try:
            parser: Any = create_parser("rest-xml")
            parsed = parser.parse({"status_code": status, "headers": headers, "body": body}, None)
            code = str(parsed["Error"]["Code"])
        except (ResponseParserError, LookupError):
            return Unexpected(is_passing=False)
        known = _REFUSALS_OF_HEAD if request.method == "HEAD" else _REFUSALS
        if code not in known and status != _NOT_MODIFIED:
            return Unexpected(is_passing=False)
        kind: Any = self._client.exceptions.from_code(code)
        refusal: Exception = kind(parsed, request.operation)
        return refusal


def _pool(service: PlainService) -> ConnectionPool:
    keepalive = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(bool(service.config.tcp_keepalive)))
    return ConnectionPool(service.config.max_pool_connections, service.tls, [keepalive])


def _read(request: Request, response: Any) -> Mapping[str, Any]:
    """What boto3 would give for an answer of success.

    Raises:
        ValueError, TypeError, LookupError: It is none of S3, or cannot be verified here.
    """
    if request.operation == "ListObjectsV2":
        return read_listing(response.data)
    headers = response.headers.lowered
    answer: dict[str, Any] = {"ETag": headers["etag"]}
    answer |= {member: headers[name] for name, member in _MEMBERS.items() if name in headers}
    if request.method == "PUT":
        return answer
    answer["Metadata"] = {
        name[len(_METADATA) :]: value for name, value in response.headers.pairs if name.lower().startswith(_METADATA)
    }
    answer["ContentLength"] = length = int(headers["content-length"])
    if "last-modified" in headers:
        answer["LastModified"] = parsedate_to_datetime(headers["last-modified"])
    if request.method == "GET":
        checksum = _checksum_of(headers)
        # What comes in parts is verified by who puts them together.
        is_of_parts = length > transfer.SMALL and checksum and checksum[0] == "crc32"
        answer["Body"] = LeanBody(response, length, None if is_of_parts else checksum)
    return answer


def _checksum_of(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and value of the checksum by which a content is verified, as boto3 does it; ``None``: it has none.

    Args:
        headers: Of the answer, their names in small letters.

    Raises:
        LookupError: It has one that boto3 can verify, and this module cannot.
    """
    from botocore.compat import HAS_CRT

    found = {
        name.removeprefix(_CHECKSUM): value
        for name, value in headers.items()
        if name.startswith(_CHECKSUM) and "-" not in value  # of parts: it says nothing of the whole
    }
    for name in ("crc32", *_HEX_DIGESTS):
        if name in found:
            return name, found[name]
    if HAS_CRT and found.keys() - {"type"}:
        raise LookupError
    return None


class LeanBody:
    """The content of an answer as it arrives; when it has arrived it is verified by its length and checksum.

    Args:
        response: The answer.
        length: Bytes of the content.
        checksum: Name and value of the checksum; ``None``: there is none.
    """

    def __init__(self, response: Answered, length: int, checksum: tuple[str, str] | None) -> None:
        self._response, self._length, self._checksum = response, length, checksum
        self._got = self._crc32 = 0
        self._digest = _HEX_DIGESTS[checksum[0]]() if checksum and checksum[0] in _HEX_DIGESTS else None

    @property
    def verifies_all(self) -> bool:
        """Whether there is a checksum that is known to this class alone, and holds for all of the content."""
        return self._digest is not None

    def read(self, amount: int | None = None) -> bytes:
        """The next bytes, or all that are left.

        Raises:
            botocore.exceptions.HTTPClientError: The answer broke off.
            IntegrityError: What has arrived is not what the service keeps.
        """
        from botocore.exceptions import ResponseStreamingError
        from urllib3.exceptions import HTTPError

        try:
            chunk = self._response.read(amount)
        except (HTTPError, OSError) as error:
            raise ResponseStreamingError(error=error) from None
        self._got += len(chunk)
        if self._digest is not None:
            self._digest.update(chunk)
        elif self._checksum:
            self._crc32 = zlib.crc32(chunk, self._crc32)
        if amount is None or not chunk or self._got >= self._length:
            self._verify()
        return chunk

    def _verify(self) -> None:
        if self._got != self._length:
            raise IntegrityError("an answer is longer or shorter than it should be")
        if self._checksum is None:
            return
        digest = self._digest
        found = base64.b64encode(digest.digest()).decode() if digest is not None else base64_crc32(self._crc32)
        if found != self._checksum[1]:
            raise IntegrityError("its bytes do not have the checksum that the service keeps for it")

    def close(self) -> None:
        """Give the connection back where all has arrived, else close it."""
        http.let_go(self._response)

    def __enter__(self) -> LeanBody:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
