"""S3 and what speaks its protocol, through boto3's client."""

from __future__ import annotations

import base64
import builtins
import contextlib
import functools
import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import ParseResult

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.base import Backend, ObjectInfo
from kedro_statisfactory.backends.transfer import CHUNK, Part, PartBuffer, PartFile, PartWriter
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BucketNotFound,
    IntegrityError,
    InvalidCredentials,
    InvalidURL,
    MissingCredentials,
    ObjectNotFound,
    PermissionDenied,
    PreconditionFailed,
    StatisfactoryError,
    TransferError,
    UnknownOption,
)
from kedro_statisfactory.location import checked, full_path, join, unparse
from kedro_statisfactory.session import Session, s3_configuration

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_Answer = TypeVar("_Answer")

# Tries that a read has whose answer breaks off, is damaged, or changes half-way.
_ATTEMPTS = 5

# What the backend itself says in a request.
_OWN_ARGUMENTS = frozenset(
    ("Bucket", "Key", "Body", "Range", "PartNumber", "ChecksumMode", "UploadId", "MultipartUpload", "ContentLength")
)
_CREATE_BUCKET = "create_bucket"
_CONDITIONS = frozenset(("IfMatch", "IfNoneMatch"))

# Codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and the bare status codes that a
# HEAD request has instead, because its answer has no body.
_ERRORS_BY_CODE: dict[str, type[StatisfactoryError]] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion", "404"), ObjectNotFound),
    **dict.fromkeys(("NoSuchBucket",), BucketNotFound),
    **dict.fromkeys(
        (
            "403",
            "401",
            "AccessDenied",
            "AllAccessDisabled",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidToken",
            "SignatureDoesNotMatch",
            "UnauthorizedAccess",
        ),
        PermissionDenied,
    ),
    **dict.fromkeys(("412", "PreconditionFailed", "ConditionalRequestConflict"), PreconditionFailed),
    **dict.fromkeys(("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"), IntegrityError),
}
_BUCKET_IS_THERE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists", "OperationAborted")


class S3Backend(Backend, prefix="s3", aliases=("s3a", "s3n")):
    """Objects in S3 buckets.

    ``save_args`` of an entry are arguments of boto3's ``put_object`` (``ServerSideEncryption``, ``StorageClass``,
    …) and ``create_bucket: false``, which makes a missing bucket an error. ``load_args`` are those of ``get_object``
    (``VersionId``, …). A folder is stored as one object per file below the key; each of them is whole at any time, the
    folder as such is not atomic.

    Small objects take one request. Large ones are fetched in ranges of one and the same version, and sent in parts, on
    several connections; with checksums of one's own among the ``save_args`` they are sent by one request, for which
    those hold. Every other object carries a CRC-32 of all its bytes, which the service verifies when it is written and
    this class when it is read.

    Raises:
        UnknownCredential: The session's credentials have a key that S3 does not know.
    """

    def __init__(self, session: Session, logger_name: str = __name__) -> None:
        super().__init__(session, logger_name)
        s3_configuration(session.credentials)

    def check_options(self, *, load_args: Mapping[str, Any], save_args: Mapping[str, Any]) -> None:
        """Refuse options that boto3 does not know; whether their values fit is seen when they are used."""
        self._read_options(load_args)
        self._write_options(save_args)

    def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None:
        """Store ``payload`` as one object; the bucket is created when the service says that it is missing.

        Raises:
            BucketNotFound: There is no bucket, and ``create_bucket`` is off.
            PreconditionFailed: A condition of the options (``IfNoneMatch``, ``IfMatch``) does not hold.
        """
        self._store(payload, fragment, kwargs)

    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        """Fetch one object, its length and, where the service keeps one, its checksum verified."""
        bucket, key = _bucket_and_key(fragment)
        with self._translated(fragment):
            request = {**self._read_options(kwargs), "Bucket": bucket, "Key": key}

            def read(response: GetObjectOutputTypeDef) -> bytes:
                if not _comes_in_parts(response):
                    return response["Body"].read()
                buffer = PartBuffer()
                self._fetch_large(buffer, request, response)
                return buffer.payload()

            return self._read(request, read)

    def upload(self, *, source: Path, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store a file as an object, or each file of a folder as an object below the key.

        Files of a folder go in parallel, those below a name that begins with ``_`` last and in order: formats keep
        there what says that the rest is complete. Then objects are removed that the folder does not have, and one at
        the key itself, which would be found before the folder.
        """
        if not source.is_dir():
            self._store(source, fragment, kwargs)
            return
        first, last = transfer.files_of(source)

        def upload(path: Path, _: threading.Event) -> None:
            self._store(source / path, join(fragment, *path.parts), kwargs)

        transfer.in_parallel(upload, first, transfer.UPLOAD_WORKERS)
        for path in last:
            upload(path, threading.Event())
        bucket, key = _bucket_and_key(fragment)
        kept = {path.as_posix() for path in (*first, *last)}
        with self._translated(fragment):
            stale = [info.path for info in self._list(bucket, f"{key}/", {}) if info.path not in kept]
            self._delete_keys(bucket, [key, *(f"{key}/{path}" for path in stale)])

    def download(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
        """Fetch an object into a file or, where there is none, all objects below the key into a folder."""
        bucket, key = _bucket_and_key(fragment)
        with self._translated(fragment):
            options = self._read_options(kwargs)
            try:
                self._download_file(target, bucket, key, options)
                return
            except self._client.exceptions.NoSuchKey:
                paths = [info.path for info in self._list(bucket, f"{key}/", options)]
                if not paths:
                    raise

            def download(path: str, _: threading.Event) -> None:
                file = target / checked(fragment._replace(path=f"/{path}")).path.removeprefix("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                self._download_file(file, bucket, f"{key}/{path}", options)

            transfer.in_parallel(download, paths, transfer.DOWNLOAD_WORKERS)

    def exists(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether there is an object, or one below the key.

        Raises:
            PermissionDenied: The service does not tell. Without the right to list a bucket S3 answers so for
                whatever is missing.
        """
        bucket, key = _bucket_and_key(fragment)
        try:
            self.stat(fragment=fragment, **kwargs)
        except (ObjectNotFound, BucketNotFound):
            with self._translated(fragment):
                options = self._known("ListObjectsV2", self._read_options(kwargs))
                try:
                    return any(True for _ in self._list(bucket, f"{key}/", options, at_once=10))
                except self._client.exceptions.NoSuchBucket:
                    return False
        return True

    def stat(self, *, fragment: ParseResult, **kwargs: Any) -> ObjectInfo:
        """Size, time and ETag of one object."""
        bucket, key = _bucket_and_key(fragment)
        with self._translated(fragment):
            options = self._known("HeadObject", self._read_options(kwargs))
            found = self._client.head_object(Bucket=bucket, Key=key, **options)
            return ObjectInfo("", found["ContentLength"], found["LastModified"], found["ETag"])

    def list(self, *, fragment: ParseResult, **kwargs: Any) -> Iterator[ObjectInfo]:
        """All objects below a key; a request for every 1,000 of them."""
        bucket, key = _bucket_and_key(fragment)
        with self._translated(fragment):
            try:
                yield from self._list(bucket, f"{key}/", self._read_options(kwargs))
            except self._client.exceptions.NoSuchBucket:
                return

    def delete(self, *, fragment: ParseResult, **kwargs: Any) -> None:
        """Remove an object and all objects below its key."""
        bucket, key = _bucket_and_key(fragment)
        self._refuse_unknown(kwargs)
        with self._translated(fragment), contextlib.suppress(self._client.exceptions.NoSuchBucket):
            below = [f"{key}/{info.path}" for info in self._list(bucket, f"{key}/", {})]
            self._delete_keys(bucket, [key, *below])

    @property
    def _client(self) -> S3Client:
        return self._session.s3

    def _create_bucket(self, bucket: str) -> None:
        """Create a bucket in the client's region; one that is there already, or just being made, is as good.

        Args:
            bucket: The name of the bucket.
        """
        region: Any = self._client.meta.region_name
        # us-east-1 is the one region that must not be named; endpoints of other makers may have none.
        abroad = region not in (None, "us-east-1", "aws-global")
        constraint: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}} if abroad else {}
        try:
            self._client.create_bucket(Bucket=bucket, **constraint)
        except self._client.exceptions.ClientError as error:
            if _code(error) not in _BUCKET_IS_THERE:
                raise
        self._logger.info("Created the bucket %r.", bucket)

    def _in_bucket(self, bucket: str, create: bool, request: Callable[[], _Answer]) -> _Answer:
        """Send a write, once more after creating the bucket when that is what it lacks."""
        try:
            return request()
        except self._client.exceptions.NoSuchBucket:
            if not create:
                raise
        self._create_bucket(bucket)
        return request()

    def _store(self, source: Path | bytes, fragment: ParseResult, kwargs: Mapping[str, Any]) -> None:
        """Store a file, or what is in memory, as one object."""
        bucket, key = _bucket_and_key(fragment)
        size = transfer.size_of(source)
        with self._translated(fragment):
            options, create_bucket = self._write_options(kwargs)
            if size > transfer.SMALL and not any(map(_is_about_one_request, options)):
                self._put_parts(source, bucket, key, options, create_bucket)
                return
            if isinstance(source, Path) and size <= transfer.SMALL:
                source = source.read_bytes()
            self._put_at_once(source, bucket, key, options, create_bucket)

    def _put_at_once(
        self, source: Path | bytes, bucket: str, key: str, options: Mapping[str, Any], create_bucket: bool
    ) -> None:
        """Store an object by one request."""
        integrity = _crc32_header(transfer.crc32_of(source)) if self._sends_crc32(options) else {}

        def request() -> None:
            with transfer.opened(source) as from_start:
                self._client.put_object(Bucket=bucket, Key=key, Body=from_start(), **options, **integrity)

        try:
            self._in_bucket(bucket, create_bucket, request)
        except self._client.exceptions.ClientError as error:
            if not self._is_stored(error, bucket, key, options, lambda: _md5_of(source)):
                raise

    def _put_parts(
        self, source: Path | bytes, bucket: str, key: str, options: Mapping[str, Any], create_bucket: bool
    ) -> None:
        """Store an object in parts; they become one all at once."""
        checked_by_crc = self._sends_crc32(options)
        algorithm: Any = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"} if checked_by_crc else {}
        begin = self._known("CreateMultipartUpload", options) | algorithm
        upload_id = self._in_bucket(
            bucket,
            create_bucket,
            lambda: self._client.create_multipart_upload(Bucket=bucket, Key=key, **begin)["UploadId"],
        )
        target: Any = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        done: builtins.list[tuple[Part, str, int]] = []
        try:
            done = self._send_parts(source, target, options)
            whole = transfer.combined_crc32((crc, part.length) for part, _, crc in done)
            end = self._known("CompleteMultipartUpload", options)
            if checked_by_crc:
                end |= _crc32_header(whole) | {"ChecksumType": "FULL_OBJECT"}
            sent: Any = [{"PartNumber": part.number, "ETag": etag} for part, etag, _ in done]
            self._client.complete_multipart_upload(**target, **end, MultipartUpload={"Parts": sent})
        except BaseException as error:  # an interrupt, too, must not leave parts that somebody pays for
            with contextlib.suppress(Exception):  # the error that is on its way says more than this one would
                self._client.abort_multipart_upload(**target, **self._known("AbortMultipartUpload", options))
            if not self._is_stored(error, bucket, key, options, lambda: _etag_of_parts([etag for _, etag, _ in done])):
                raise

    def _is_stored(
        self, error: BaseException, bucket: str, key: str, options: Mapping[str, Any], etag: Callable[[], str]
    ) -> bool:
        """Whether a condition has failed because the very object is there: from a try whose answer was lost."""
        is_refusal = isinstance(error, self._client.exceptions.ClientError)
        if not is_refusal or _ERRORS_BY_CODE.get(_code(error)) is not PreconditionFailed:
            return False
        unconditional = {name: value for name, value in options.items() if name not in _CONDITIONS}
        with contextlib.suppress(self._client.exceptions.ClientError):  # who may write may not always look
            found = self._client.head_object(Bucket=bucket, Key=key, **self._known("HeadObject", unconditional))
            return found["ETag"].strip('"') == etag()
        return False

    def _send_parts(
        self, source: Path | bytes, target: Mapping[str, Any], options: Mapping[str, Any]
    ) -> builtins.list[tuple[Part, str, int]]:
        """Send the parts; gives each with its ETag and CRC-32."""
        from s3transfer.utils import ReadFileChunk

        known = self._known("UploadPart", options)

        def send(part: Part, _: threading.Event) -> tuple[Part, str, int]:
            crc32 = 0
            with contextlib.ExitStack() as stack:
                body: Any
                if not isinstance(source, Path) or part.length <= transfer.SMALL:
                    body = transfer.read_part(source, part)
                    crc32 = zlib.crc32(body)
                else:  # an object of more than 160 GB: its parts are too large to be held in memory
                    for chunk in transfer.read_chunks(source, part):
                        crc32 = zlib.crc32(chunk, crc32)
                    body = stack.enter_context(ReadFileChunk.from_filename(str(source), part.offset, part.length))
                integrity = _crc32_header(crc32) if self._sends_crc32(options) else {}
                sent = self._client.upload_part(**target, PartNumber=part.number, Body=body, **known, **integrity)
            return part, sent["ETag"], crc32

        cut = transfer.parts(transfer.size_of(source), transfer.UPLOAD_PART)
        return transfer.in_parallel(send, cut, transfer.UPLOAD_WORKERS)

    def _download_file(self, target: Path, bucket: str, key: str, options: Mapping[str, Any]) -> None:
        """Fetch one object into a new file, of one version and verified; once more if it is replaced meanwhile."""
        request = {**options, "Bucket": bucket, "Key": key}

        def download(response: GetObjectOutputTypeDef) -> None:
            if _comes_in_parts(response):
                self._fetch_large(PartFile(target), request, response)
                return
            with target.open("wb") as file:
                while chunk := response["Body"].read(CHUNK):
                    file.write(chunk)

        try:
            self._read(request, download)
        except BaseException:  # an interrupt, too, must not leave a part where the format would find it
            target.unlink(missing_ok=True)
            raise

    def _fetch_large(self, writer: PartWriter, request: Mapping[str, Any], response: GetObjectOutputTypeDef) -> None:
        """Fetch an object in parts or, where something on the way does not care for ranges, from one answer."""
        try:
            self._fetch_parts(writer, {**request, "IfMatch": response["ETag"]}, response)
        except _RangeIgnored:
            response = self._client.get_object(**request)
            with contextlib.closing(response["Body"]) as body:
                whole = Part(1, 0, response["ContentLength"])
                writer.begin(whole.length)
                writer.fill(whole, iter(lambda: body.read(CHUNK), b""), threading.Event())
        expected = _crc32_of(response)
        if expected is not None and _base64_crc32(writer.crc32()) != expected:
            raise IntegrityError("its bytes do not have the checksum that the service keeps for it")

    def _fetch_parts(self, writer: PartWriter, request: Mapping[str, Any], response: GetObjectOutputTypeDef) -> None:
        """Fetch an object's first part from the answer that told its size, the others by requests for their range."""
        size, body = response["ContentLength"], response["Body"]

        def fetch(part: Part, stop: threading.Event) -> None:
            writer.fill(part, chunks(part), stop)

        def chunks(part: Part) -> Iterator[bytes]:
            got, stream, attempts = 0, body, 0
            while True:
                attempts += 1
                if part.number > 1 or attempts > 1:
                    first, end = part.offset + got, part.offset + part.length - 1
                    answer = self._client.get_object(**request, Range=f"bytes={first}-{end}")
                    stream = answer["Body"]
                    if not answer.get("ContentRange", "").startswith(f"bytes {first}-{end}/"):
                        stream.close()
                        raise _RangeIgnored
                try:
                    with stream as raw:
                        while got < part.length:
                            chunk = raw.read(min(CHUNK, part.length - got))
                            if not chunk:
                                raise IncompleteReadError(actual_bytes=got, expected_bytes=part.length)
                            got += len(chunk)
                            yield chunk
                        if part.number > 1:
                            raw.read()  # reaches the end of the answer, so that its connection can be used again
                    return
                except broken:
                    if attempts == _ATTEMPTS:
                        raise

        broken = _broken_stream()
        from botocore.exceptions import IncompleteReadError

        writer.begin(size)
        transfer.in_parallel(fetch, transfer.parts(size, transfer.DOWNLOAD_PART), transfer.DOWNLOAD_WORKERS)

    def _read(self, request: Mapping[str, Any], consume: Callable[[GetObjectOutputTypeDef], _Answer]) -> _Answer:
        """Read an object, again and a bounded number of times when it breaks off, is damaged or replaced half-way.

        The request itself is retried by boto3.
        """
        broken: tuple[type[Exception], ...] = (IntegrityError, *_broken_stream())
        attempts = 0
        while True:
            attempts += 1
            response = self._client.get_object(**request)
            try:
                with contextlib.closing(response["Body"]):
                    return consume(response)
            except broken:
                if attempts == _ATTEMPTS:
                    raise
            except self._client.exceptions.ClientError as error:
                if attempts == _ATTEMPTS or _ERRORS_BY_CODE.get(_code(error)) is not PreconditionFailed:
                    raise

    def _list(self, bucket: str, prefix: str, options: Mapping[str, Any], at_once: int = 1000) -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket,
            Prefix=prefix,
            PaginationConfig={"PageSize": at_once},
            **self._known("ListObjectsV2", options),
        )
        for page in pages:
            for found in page.get("Contents", ()):
                if not found["Key"].endswith("/"):  # a marker that consoles make for an empty folder
                    path = found["Key"].removeprefix(prefix)
                    yield ObjectInfo(path, found["Size"], found["LastModified"], found["ETag"])

    def _delete_keys(self, bucket: str, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), 1000):  # the most that one request may name
            objects: Any = [{"Key": key} for key in keys[start : start + 1000]]
            answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise _ERRORS_BY_CODE.get(error.get("Code", ""), TransferError)(
                    f"the object {error.get('Key')!r} in the bucket {bucket!r} was not deleted: {error.get('Code')}."
                )

    def _known(self, operation: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those options that an operation has, too."""
        members = _members(operation) if options else frozenset()
        return {name: value for name, value in options.items() if name in members}

    def _read_options(self, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        if kwargs:
            self._refuse_unknown(kwargs, _members("GetObject"))
        return kwargs

    def _write_options(self, kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        options = dict(kwargs)
        create_bucket = options.pop(_CREATE_BUCKET, True)
        if not isinstance(create_bucket, bool):
            raise UnknownOption(f"`{_CREATE_BUCKET}` is {create_bucket!r}: write true or false.")
        if options:
            self._refuse_unknown(options, _members("PutObject") | {_CREATE_BUCKET})
        return options, create_bucket

    def _sends_crc32(self, options: Mapping[str, Any]) -> bool:
        """Whether the service is told the CRC-32 of a payload, and verifies it.

        Not where the user names another checksum, or has configured an endpoint that does not know the header.
        """
        config: Any = self._client.meta.config
        needed_only = config.request_checksum_calculation == "when_required"
        return not needed_only and not any("Checksum" in option for option in options)

    @contextlib.contextmanager
    def _translated(self, fragment: ParseResult) -> Iterator[None]:
        """Errors of boto3 as ours. Neither their text nor their cause shows a secret of the session."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except IntegrityError as error:
            raise IntegrityError(f"{unparse(fragment)!r} did not arrive as it was stored: {error}.") from error
        except StatisfactoryError:
            raise
        except (ClientError, BotoCoreError, Boto3Error, HTTPError, ValueError) as error:
            _raise_as_ours(error, fragment, self._session)


def _raise_as_ours(error: Exception, fragment: ParseResult, session: Session) -> NoReturn:
    from botocore import exceptions as sdk
    from urllib3.exceptions import HTTPError

    url, bucket = unparse(fragment), fragment.netloc
    text = session.redacted(str(error))
    cause = error if text == str(error) and not isinstance(error, sdk.ParamValidationError) else None
    match error:
        case sdk.ClientError():
            code = _code(error)
            kind: type[StatisfactoryError] = _ERRORS_BY_CODE.get(code, TransferError)
            told: dict[type[StatisfactoryError], str] = {
                ObjectNotFound: f"there is no object {url!r}.",
                BucketNotFound: f"there is no bucket {bucket!r}, which {url!r} names: correct the URL or create it.",
                PermissionDenied: f"the service at {session.redacted(session.s3.meta.endpoint_url)} refuses access to "
                f"{url!r} ({code}): check the credentials of the entry, or what these credentials are allowed to do.",
                PreconditionFailed: f"another object is at {url!r} than the condition allows ({code}).",
            }
            raise kind(told.get(kind, f"the service failed at {url!r}: {text}")) from cause
        case sdk.NoCredentialsError() | sdk.PartialCredentialsError() | sdk.ProfileNotFound():
            raise MissingCredentials(
                f"there are no usable credentials for {url!r}: {text}. Name them under `credentials` of the entry, set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile."
            ) from cause
        case sdk.ParamValidationError() if str(error).startswith("Parameter validation failed:\nInvalid bucket name"):
            raise InvalidURL(f"{url!r} names the bucket {bucket!r}, which S3 does not allow as a name.") from None
        case sdk.ParamValidationError():
            # boto3 would print the value, which may be a key for encryption
            raise UnknownOption(
                f"a value of `load_args` or `save_args` for {url!r} has the wrong type, or a character that S3 does "
                "not allow there."
            ) from None
        case sdk.IncompleteReadError() | sdk.FlexibleChecksumError():
            raise IntegrityError(f"{url!r} did not arrive as it was stored: {text}.") from cause
        case _ if "Invalid header value" in text:  # which it would show
            raise InvalidCredentials(
                f"a credential, or an option, for {url!r} has a line break or another character that cannot be sent: "
                "copy it again."
            ) from None
        case sdk.HTTPClientError() | sdk.ConnectionError() | HTTPError():
            raise BackendUnreachable(
                f"the service of {url!r} does not answer: {text}. Check endpoint_url and that the service runs."
            ) from cause
        case ValueError():
            scheme = " Write endpoint_url with http:// or https://." * ("Invalid endpoint" in text)
            raise InvalidCredentials(f"boto3 cannot use the configuration for {url!r}: {text}.{scheme}") from cause
    raise TransferError(f"the transfer of {url!r} failed: {text}.") from cause


@functools.cache
def _service() -> Any:
    """botocore's own description of S3, for which neither a client nor any configuration is needed."""
    from botocore.loaders import create_loader
    from botocore.model import ServiceModel

    return ServiceModel(create_loader().load_service_model("s3", "service-2"), "s3")


def _members(operation: str) -> frozenset[str]:
    """The arguments of an operation that a user may set."""
    return frozenset(_service().operation_model(operation).input_shape.members) - _OWN_ARGUMENTS


def _broken_stream() -> tuple[type[Exception], ...]:
    """What boto3 and the library under it raise when an answer ends too early or does not match its checksum."""
    from botocore.exceptions import FlexibleChecksumError, HTTPClientError, IncompleteReadError
    from urllib3.exceptions import HTTPError

    return HTTPClientError, FlexibleChecksumError, IncompleteReadError, HTTPError


def _bucket_and_key(fragment: ParseResult) -> tuple[str, str]:
    checked(fragment)
    if not fragment.netloc:
        raise InvalidURL(f"the URL {unparse(fragment)!r} names no bucket: write {fragment.scheme}://bucket/key.")
    return fragment.netloc, full_path(fragment).removeprefix("/")


def _crc32_header(crc32: int) -> dict[str, Any]:
    return {"ChecksumCRC32": _base64_crc32(crc32)}


def _md5_of(source: Path | bytes) -> str:
    """The ETag of an object that was stored by one request."""
    digest = hashlib.md5(usedforsecurity=False)
    for part in transfer.parts(transfer.size_of(source), CHUNK):
        digest.update(transfer.read_part(source, part))
    return digest.hexdigest()


class _RangeIgnored(Exception):
    """What was asked for a part of an object has sent something else."""


def _is_about_one_request(option: str) -> bool:
    """Whether an option holds for the request that carries all of an object, and for no part of it."""
    return "Checksum" in option or option in ("ContentMD5", "WriteOffsetBytes")


def _etag_of_parts(etags: Sequence[str]) -> str:
    """The ETag of an object that was stored in parts: the MD5 of those of its parts, and their number.

    Empty where the parts have ETags of another kind.
    """
    try:
        digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"


def _crc32_of(response: GetObjectOutputTypeDef) -> str | None:
    """The CRC-32 of all bytes of an object, where the service keeps one."""
    return response.get("ChecksumCRC32") if response.get("ChecksumType") != "COMPOSITE" else None


def _comes_in_parts(response: GetObjectOutputTypeDef) -> bool:
    """Whether to fetch an object in parts: a small one is not worth it, and others cannot be verified but as a whole.

    boto3 verifies by itself the checksums that it knows, as long as all is read from one answer.
    """
    from botocore.response import StreamingBody

    verified_by_sdk = _crc32_of(response) is None and type(response["Body"]) is not StreamingBody
    return response["ContentLength"] > transfer.SMALL and not verified_by_sdk


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _base64_crc32(crc32: int) -> str:
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()
