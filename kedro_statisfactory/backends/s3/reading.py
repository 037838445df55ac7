"""Fetching objects of S3: small ones by one request, large ones in ranges of one and the same version."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.part_writer import PartBuffer, PartFile, PartWriter
from kedro_statisfactory.backends.progress import Progress
from kedro_statisfactory.backends.s3.checksums import base64_crc32, crc32_of_answer
from kedro_statisfactory.backends.s3.errors import broken_stream, code_of, kind_of
from kedro_statisfactory.backends.s3.objects import S3Objects, is_verified_as_a_whole
from kedro_statisfactory.backends.transfer import CHUNK, Part
from kedro_statisfactory.errors import IntegrityError, PreconditionFailed

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_Answer = TypeVar("_Answer")

# Tries that a read has whose answer breaks off, is damaged, or changes half-way.
_ATTEMPTS = 5


class S3Reader:
    """Fetches objects, each verified by its length and, where the service keeps one, its checksum.

    Args:
        objects: Sends the requests.
        note: Called with what was read, as its own answer has told it.
    """

    def __init__(self, objects: S3Objects, note: Callable[[ObjectInfo], None]) -> None:
        self._objects, self._note = objects, note

    def read(self, bucket: str, key: str, options: Mapping[str, Any]) -> bytes:
        """Fetch one object into memory; arguments as for :meth:`download`."""
        request = {**options, "Bucket": bucket, "Key": key}

        def take(response: GetObjectOutputTypeDef) -> bytes:
            if not _comes_in_parts(response):
                payload = response["Body"].read()
                self._note(_info(key, response))
                return payload
            buffer = PartBuffer()
            self._note(_info(key, self._fetch_large(buffer, request, response)))
            return buffer.payload()

        return self._read(request, take)

    def download(self, target: Path, bucket: str, key: str, options: Mapping[str, Any]) -> None:
        """Fetch one object into a new file, of one version and verified; once more if it is replaced meanwhile.

        Args:
            target: The file, which is removed again when that fails.
            bucket: Where.
            key: Where.
            options: Arguments of ``get_object``.
        """
        request = {**options, "Bucket": bucket, "Key": key}

        progress = Progress()

        def take(response: GetObjectOutputTypeDef) -> None:
            if _comes_in_parts(response):
                self._note(_info(key, self._fetch_large(PartFile(target), request, response)))
                return
            progress.begin(response["ContentLength"])
            with target.open("wb") as file:
                while chunk := response["Body"].read(CHUNK):
                    file.write(chunk)
                    progress.moved(len(chunk))
            self._note(_info(key, response))

        try:
            self._read(request, take)
        except BaseException:  # an interrupt, too, must not leave a part where the format would find it
            target.unlink(missing_ok=True)
            raise

    def _fetch_large(
        self, writer: PartWriter, request: Mapping[str, Any], response: GetObjectOutputTypeDef
    ) -> GetObjectOutputTypeDef:
        """Fetch an object in parts or, where something on the way does not care for ranges, from one answer.

        Returns:
            The answer that tells of what was fetched.
        """
        try:
            self._fetch_parts(writer, {**request, "IfMatch": response["ETag"]}, response)
        except _RangeIgnored:
            response = self._objects.get_object(**request)
            with contextlib.closing(response["Body"]) as body:
                whole = Part(1, 0, response["ContentLength"])
                writer.begin(whole.length)
                writer.fill(whole, iter(lambda: body.read(CHUNK), b""), threading.Event())
        expected = crc32_of_answer(response)
        if expected is not None and base64_crc32(writer.crc32()) != expected:
            raise IntegrityError("its bytes do not have the checksum that the service keeps for it")
        return response

    def _fetch_parts(self, writer: PartWriter, request: Mapping[str, Any], response: GetObjectOutputTypeDef) -> None:
        """Fetch an object's first part from the answer that told its size, the others by requests for their range."""
        size, body = response["ContentLength"], response["Body"]

        def fetch(part: Part, stop: threading.Event) -> None:
            # One that is stopped would else keep its connection until the garbage is collected.
            with contextlib.closing(chunks(part)) as arriving:
                writer.fill(part, arriving, stop)

        def chunks(part: Part) -> Generator[bytes, None, None]:
            got, stream, attempts = 0, body, 0
            while True:
                attempts += 1
                if part.number > 1 or attempts > 1:
                    first, end = part.offset + got, part.offset + part.length - 1
                    answer = self._objects.get_object(**request, Range=f"bytes={first}-{end}")
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

        broken = broken_stream()
        from botocore.exceptions import IncompleteReadError

        writer.begin(size)
        transfer.in_parallel(fetch, transfer.parts(size, transfer.DOWNLOAD_PART), transfer.DOWNLOAD_WORKERS)

    def _read(self, request: Mapping[str, Any], consume: Callable[[GetObjectOutputTypeDef], _Answer]) -> _Answer:
        """Read an object, again and a bounded number of times when it breaks off, is damaged or replaced half-way.

        The request itself is retried by boto3.
        """
        broken: tuple[type[Exception], ...] = (IntegrityError, *broken_stream())
        attempts = 0
        while True:
            attempts += 1
            response = self._objects.get_object(**request)
            try:
                with contextlib.closing(response["Body"]):
                    return consume(response)
            except broken:
                if attempts == _ATTEMPTS:
                    raise
            except self._objects.client.exceptions.ClientError as error:
                if attempts == _ATTEMPTS or kind_of(code_of(error)) is not PreconditionFailed:
                    raise


class _RangeIgnored(Exception):
    """What was asked for a part of an object has sent something else."""


def _info(key: str, response: GetObjectOutputTypeDef) -> ObjectInfo:
    """What an answer tells of its object."""
    version = response.get("VersionId")
    return ObjectInfo(
        key,
        response["ContentLength"],
        response.get("LastModified"),
        response["ETag"],
        None if version == "null" else version,  # which is said of objects from before there were versions
    )


def _comes_in_parts(response: GetObjectOutputTypeDef) -> bool:
    """Whether to fetch an object in parts: a small one is not worth it, and others cannot be verified but as a whole.

    Checksums of other kinds are verified by the answer itself, as long as all is read from one.
    """
    return response["ContentLength"] > transfer.SMALL and not (
        crc32_of_answer(response) is None and is_verified_as_a_whole(response["Body"])
    )
