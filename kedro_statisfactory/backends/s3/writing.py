"""Storing objects in S3: small ones by one request, large ones in parts that become one object all at once."""

from __future__ import annotations

import contextlib
import secrets
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kedro_statisfactory.backends import crc32, transfer
from kedro_statisfactory.backends.md5 import etag_of_parts, md5_of
from kedro_statisfactory.backends.s3.answers import ForeignAnswer, echoes
from kedro_statisfactory.backends.s3.checksums import crc32_header
from kedro_statisfactory.backends.s3.errors import code_of, kind_of
from kedro_statisfactory.backends.s3.objects import S3Objects
from kedro_statisfactory.backends.s3.options import is_about_one_request, known_to
from kedro_statisfactory.backends.s3.unfinished import PartsUpload
from kedro_statisfactory.backends.transfer import Part, Stopped
from kedro_statisfactory.errors import ObjectNotFound, PermissionDenied, PreconditionFailed
from kedro_statisfactory.progress import Progress

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_Answer = TypeVar("_Answer")

_CONDITIONS = frozenset(("IfMatch", "IfNoneMatch"))
# In the metadata of an object that must not replace another: by whom it was stored.
_TOKEN = "statisfactory-saved-by"
# What the service says where two have come at once and nothing is decided.
_CONFLICTS = frozenset(("ConditionalRequestConflict", "OperationAborted"))
_ENDED = "NoSuchUpload"  # the code for an upload in parts that has become an object, or was given up
# Tries of a put whose answer does not show that the service has stored what it was sent.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Stored:
    """An object that was stored just now: what the service calls it, and the CRC-32 of its bytes if that was needed."""

    etag: str
    crc32: int | None


class S3Writer:
    """Stores objects, each with a checksum of all its bytes that the service verifies.

    Args:
        objects: Sends the requests.
        create_bucket: Makes a bucket that is missing.
    """

    def __init__(self, objects: S3Objects, create_bucket: Callable[[str], None]) -> None:
        self._objects, self._client, self._create_bucket = objects, objects.client, create_bucket

    def store(
        self, source: Path | bytes, bucket: str, key: str, options: Mapping[str, Any], create: bool
    ) -> Stored | None:
        """Store a file, or what is in memory, as one object; gives what is told of it, where an answer tells that.

        Args:
            source: The file, or the bytes.
            bucket: Where.
            key: Where.
            options: Arguments of ``put_object``.
            create: Whether to create the bucket when the service says that it is missing.
        """
        if goes_in_parts(source, options):
            return self._put_parts(source, bucket, key, options, create)
        if isinstance(source, Path) and transfer.size_of(source) <= transfer.SMALL:
            source = source.read_bytes()
        return self._put_at_once(source, bucket, key, options, create)

    def create_object(
        self, source: Path | bytes, bucket: str, key: str, options: Mapping[str, Any], create: bool
    ) -> Stored | None:
        """Store an object where the service finds none; arguments and what is given as for :meth:`store`.

        A try whose answer was lost is known by a token in the metadata of the object: another saver may bring the same
        bytes.
        """
        metadata = options.get("Metadata", {})
        if isinstance(metadata, Mapping):  # else boto3 says what is wrong with it
            metadata = {**metadata, _TOKEN: secrets.token_hex(16)}
        attempts = 0
        while True:
            attempts += 1
            try:
                return self.store(source, bucket, key, {**options, "Metadata": metadata, "IfNoneMatch": "*"}, create)
            except self._client.exceptions.ClientError as error:
                if code_of(error) not in _CONFLICTS or attempts == _ATTEMPTS:
                    raise

    def _in_bucket(self, bucket: str, create: bool, request: Callable[[], _Answer]) -> _Answer:
        """Send a write, once more after creating the bucket when that is what it lacks."""
        try:
            return request()
        except self._client.exceptions.NoSuchBucket:
            if not create or bucket.startswith("arn:"):
                raise
        self._create_bucket(bucket)
        return request()

    def _put_at_once(
        self, source: Path | bytes, bucket: str, key: str, options: Mapping[str, Any], create: bool
    ) -> Stored | None:
        """Store an object by one request."""
        crc32 = transfer.crc32_of(source) if self._sends_crc32(options) else None
        integrity = {} if crc32 is None else crc32_header(crc32)
        sent = {**options, **integrity}

        def request() -> Mapping[str, Any]:
            with transfer.opened(source) as from_start:
                return self._objects.put_object(Bucket=bucket, Key=key, Body=from_start(), **sent)

        for _ in range(_ATTEMPTS):
            try:
                answer = self._in_bucket(bucket, create, request)
            except self._client.exceptions.ClientError as error:
                if not self._is_stored(error, bucket, key, options, lambda: md5_of(source)):
                    raise
                return None
            if echoes(answer, sent) or self._has_stored(source, answer, bucket, key, options):
                return Stored(answer["ETag"], crc32)
        raise ForeignAnswer("the answer to PutObject does not show that the object is stored")

    def _has_stored(
        self, source: Path | bytes, answer: Mapping[str, Any], bucket: str, key: str, options: Mapping[str, Any]
    ) -> bool:
        """Whether an answer that has no checksum is that of a service which has stored the object.

        Where its ETag is not the MD5 of what was sent (as for encrypted objects), the object itself is looked at.
        """
        if answer["ETag"].strip('"') == md5_of(source):
            return True
        request: Any = {"Bucket": bucket, "Key": key, **known_to("HeadObject", _unconditional(options))}
        if "VersionId" in answer:  # another saver may have replaced it meanwhile
            request["VersionId"] = answer["VersionId"]
        try:
            found = self._objects.head_object(**request)
        except self._client.exceptions.ClientError as error:
            kind = kind_of(code_of(error))
            if kind not in (ObjectNotFound, PermissionDenied):
                raise
            return kind is PermissionDenied  # who may write may not always look: the answer is all there is
        return found["ETag"] == answer["ETag"] and found["ContentLength"] == transfer.size_of(source)

    def _put_parts(
        self, source: Path | bytes, bucket: str, key: str, options: Mapping[str, Any], create: bool
    ) -> Stored | None:
        """Store an object in parts; they become one all at once."""
        checked_by_crc = self._sends_crc32(options)
        algorithm: Any = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"} if checked_by_crc else {}
        upload = PartsUpload(self._client, bucket, key, options)
        done: list[tuple[Part, str, int]] = []
        is_object = is_interrupted = False
        try:
            self._in_bucket(bucket, create, lambda: upload.begin(algorithm))
            done = self._send_parts(source, upload.target, options)
            whole = crc32.combined((crc, part.length) for part, _, crc in done)
            end = known_to("CompleteMultipartUpload", options)
            if checked_by_crc:
                end |= crc32_header(whole) | {"ChecksumType": "FULL_OBJECT"}
            sent: Any = [{"PartNumber": part.number, "ETag": etag} for part, etag, _ in done]
            answer = self._client.complete_multipart_upload(**upload.target, **end, MultipartUpload={"Parts": sent})
            is_object = True
            return Stored(answer["ETag"], whole)
        except self._client.exceptions.ClientError as error:
            if not self._is_stored(error, bucket, key, options, lambda: etag_of_parts([etag for _, etag, _ in done])):
                raise
            return None
        except BaseException as error:
            is_interrupted = isinstance(error, Stopped) or not isinstance(error, Exception)
            raise
        finally:  # an interrupt, too, must not leave parts that somebody pays for
            upload.end(is_object, at_once=is_interrupted)

    def _is_stored(
        self, error: ClientError, bucket: str, key: str, options: Mapping[str, Any], etag: Callable[[], str]
    ) -> bool:
        """Whether a refusal means that the very object is there: from a try whose answer was lost."""
        if kind_of(code_of(error)) is not PreconditionFailed and code_of(error) != _ENDED:
            return False
        known = known_to("HeadObject", _unconditional(options))
        with contextlib.suppress(self._client.exceptions.ClientError):  # who may write may not always look
            found = self._objects.head_object(Bucket=bucket, Key=key, **known)
            token = options.get("Metadata", {}).get(_TOKEN)
            return found["ETag"].strip('"') == etag() if token is None else found["Metadata"].get(_TOKEN) == token
        return False

    def _send_parts(
        self, source: Path | bytes, target: Mapping[str, Any], options: Mapping[str, Any]
    ) -> list[tuple[Part, str, int]]:
        """Send the parts; gives each with its ETag and CRC-32."""
        from s3transfer.utils import ReadFileChunk

        known = known_to("UploadPart", options)

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
                integrity = crc32_header(crc32) if self._sends_crc32(options) else {}
                sent = self._objects.upload_part(**target, PartNumber=part.number, Body=body, **known, **integrity)
            progress.moved(part.length)
            return part, sent["ETag"], crc32

        size, progress = transfer.size_of(source), Progress()
        progress.begin(size)
        cut = transfer.parts(size, transfer.UPLOAD_PART)
        return transfer.in_parallel(send, cut, transfer.UPLOAD_WORKERS)

    def _sends_crc32(self, options: Mapping[str, Any]) -> bool:
        """Whether the service is told the CRC-32 of a payload, and verifies it.

        Not where the user names another checksum, or has configured an endpoint that does not know the header.
        """
        config: Any = self._client.meta.config
        needed_only = config.request_checksum_calculation == "when_required"
        return not needed_only and not any("Checksum" in option for option in options)


def goes_in_parts(source: Path | bytes, options: Mapping[str, Any]) -> bool:
    """Whether an object is large, and no option says something of the request that would carry all of it."""
    return transfer.size_of(source) > transfer.SMALL and not any(map(is_about_one_request, options))


def _unconditional(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _CONDITIONS}
