"""Fetching objects of S3: small ones by one request, large ones in ranges of one and the same version."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.cache import ContentCache, Copy, Key
from kedro_statisfactory.backends.cache.copies import LEAST
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.keeping import keep
from kedro_statisfactory.backends.part_writer import PartBuffer, PartFile, PartWriter
from kedro_statisfactory.backends.s3.cached import is_about_condition, is_the_same, key_to_read, may_be_kept
from kedro_statisfactory.backends.s3.checksums import base64_crc32, crc32_of_answer
from kedro_statisfactory.backends.s3.errors import broken_stream, code_of, kind_of
from kedro_statisfactory.backends.s3.objects import S3Objects, is_verified_as_a_whole
from kedro_statisfactory.backends.s3.options import known_to
from kedro_statisfactory.backends.transfer import CHUNK, Part
from kedro_statisfactory.errors import IntegrityError, PreconditionFailed
from kedro_statisfactory.progress import Progress

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_Answer = TypeVar("_Answer")

# Tries that a read has whose answer breaks off, is damaged, or changes half-way.
_ATTEMPTS = 5


class S3Reader:
    """Fetches objects, each verified by its length and, where the service keeps one, its checksum.

    What the cache has is not fetched again where the service says that it is still the same.

    Args:
        objects: Sends the requests.
        cache: Has what was fetched and sent before.
        note: Called with what was read, as the service has told it; ``None``: nobody wants to know.
    """

    def __init__(
        self, objects: S3Objects, cache: ContentCache, note: Callable[[ObjectInfo], None] | None = None
    ) -> None:
        self._objects, self._cache, self._note = objects, cache, note

    def read(self, bucket: str, key: str, options: Mapping[str, Any]) -> bytes:
        """Fetch one object into memory; arguments as for :meth:`download`."""
        request = {**options, "Bucket": bucket, "Key": key}
        place = key_to_read(self._objects, bucket, key, options)

        def take(response: GetObjectOutputTypeDef) -> bytes:
            crc32 = None
            if _comes_in_parts(response):
                buffer = PartBuffer()
                response = self._fetch_large(buffer, request, response)
                payload, crc32 = buffer.payload(), buffer.crc32()
            else:
                payload = response["Body"].read()
            self._keep(place, payload, response, crc32)
            self._tell(key, response)
            return payload

        return self._read(request, place, take, self._cache.read)

    def download(
        self,
        target: Path,
        bucket: str,
        key: str,
        options: Mapping[str, Any],
        shared: bool = False,
        etag: str | None = None,
    ) -> None:
        """Fetch one object into a new file, of one version and verified; once more if it is replaced meanwhile.

        Args:
            target: The file, which is removed again when that fails.
            bucket: Where.
            key: Where.
            options: Arguments of ``get_object``.
            shared: Whether nobody changes the file, so that it may be one with a copy in the cache.
            etag: What the service has just said that the object is.
        """
        request = {**options, "Bucket": bucket, "Key": key}
        place = key_to_read(self._objects, bucket, key, options)

        progress = Progress()

        def take(response: GetObjectOutputTypeDef) -> bool:
            if _comes_in_parts(response):
                file = PartFile(target)
                response = self._fetch_large(file, request, response)
                crc32 = file.crc32()
            else:
                crc32 = _write(response, target, progress)
            if shared:
                self._keep(place, target, response, crc32)
            self._tell(key, response)
            return True

        def reuse(copy: Copy) -> bool | None:
            return self._cache.lend(copy, target, private=not shared) or None

        if etag and place and not self._note and (copy := self._cache.find(place, etag)) and reuse(copy):
            return
        try:
            self._read(request, place, take, reuse)
        except BaseException:  # an interrupt, too, must not leave a part where the format would find it
            target.unlink(missing_ok=True)
            raise

    def _keep(
        self, place: Key | None, content: Path | bytes, response: GetObjectOutputTypeDef, crc32: int | None
    ) -> None:
        if place is None or transfer.size_of(content) < LEAST:
            return
        crc32 = transfer.crc32_of(content) if crc32 is None else crc32
        if may_be_kept(self._objects.client, response, content, crc32):
            keep(self._cache, place, content, response["ETag"], crc32)

    def _tell(self, key: str, response: Mapping[str, Any]) -> None:
        if self._note is not None:
            self._note(_info(key, response))

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

    def _read(
        self,
        request: Mapping[str, Any],
        place: Key | None,
        consume: Callable[[GetObjectOutputTypeDef], _Answer],
        reuse: Callable[[Copy], _Answer | None],
    ) -> _Answer:
        """Read an object, again and a bounded number of times when it breaks off, is damaged or replaced half-way.

        The request itself is retried by boto3. Where the cache has a copy, the object is asked for on the condition
        that it is another one.

        Args:
            request: Arguments of ``get_object``.
            place: In the cache; ``None``: it is not looked for there.
            consume: Takes it from an answer.
            reuse: Takes it from a copy; gives ``None`` where that is not good.
        """
        broken: tuple[type[Exception], ...] = (IntegrityError, *broken_stream())
        first: GetObjectOutputTypeDef | None = None
        if place and (copy := self._cache.find(place)):
            first = self._ask_if_other(request, copy)
            if first is None and (found := reuse(copy)) is not None:
                return found
        attempts = 0
        while True:
            attempts += 1
            response = first or self._objects.get_object(**request)
            first = None
            try:
                with contextlib.closing(response["Body"]):
                    return consume(response)
            except broken:
                if attempts == _ATTEMPTS:
                    raise
            except self._objects.client.exceptions.ClientError as error:
                if attempts == _ATTEMPTS or kind_of(code_of(error)) is not PreconditionFailed:
                    raise

    def _ask_if_other(self, request: Mapping[str, Any], copy: Copy) -> GetObjectOutputTypeDef | None:
        """Ask for an object on the condition that it is not what a copy is of; ``None``: it is.

        Only where the one ETag that was sent is the one that is meant: where the answer names another, and where a
        service does not take the condition, the object is asked for without it. For a record of what was read the
        answer would not tell enough: there the object is looked at.
        """
        etag = copy.fingerprint
        if self._note is not None:
            where = {name: request[name] for name in ("Bucket", "Key")}
            with contextlib.suppress(self._objects.client.exceptions.ClientError):  # the next answer says more
                found = self._objects.head_object(**where, **known_to("HeadObject", request))
                if found["ETag"] == etag:
                    self._tell(request["Key"], found)
                    return None
        else:
            try:
                return self._objects.get_object(**request, IfNoneMatch=etag)
            except self._objects.client.exceptions.ClientError as error:
                if is_the_same(error, etag):
                    return None
                if not is_about_condition(error):
                    raise
        return self._objects.get_object(**request)


def _write(response: GetObjectOutputTypeDef, target: Path, progress: Progress) -> int:
    """Write a small object to a file as it arrives; gives its CRC-32."""
    crc32 = 0
    progress.begin(response["ContentLength"])
    with target.open("wb") as file:
        while chunk := response["Body"].read(CHUNK):
            file.write(chunk)
            progress.moved(len(chunk))
            crc32 = zlib.crc32(chunk, crc32)
    return crc32


class _RangeIgnored(Exception):
    """What was asked for a part of an object has sent something else."""


def _info(key: str, response: Mapping[str, Any]) -> ObjectInfo:
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
