"""Uploads in parts that do not become objects: they are ended, because somebody pays for what is left of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.s3.answers import lost_answers
from kedro_statisfactory.backends.s3.options import known_to

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListMultipartUploadsOutputTypeDef

# Tries of an end, each of which boto3 repeats a few times itself, and the pause before the second in seconds.
_ATTEMPTS = 5
_FIRST_PAUSE = 0.2
_LONGEST = 30.0  # seconds after which no further try is begun
# Seconds after which the first part of an upload that is alive has arrived.
_PATIENCE = 3.0
_PATIENCE_AT_ONCE = 1.0  # of a user who has interrupted
_NO_CONTENT = 204  # the HTTP status of what has been ended; a portal would answer 200

# The uploads of this process that go on.
_begun: set[str] = set()


class PartsUpload:
    """One upload in parts, from its beginning to its end.

    A beginning whose answer is lost is sent again, and then there are two uploads, of which nobody knows the first. It
    is looked for when this upload has ended, and ended as well. S3 keeps nothing by which it could be told for sure
    from one that another process has begun at the same key. So it has to have been begun within the span of the lost
    tries, by the clock of the service; no part of it may have arrived some seconds later; no upload of this process may
    be it; and there may be no more of such uploads than tries were lost. Where this leaves a doubt, all are left alone.

    Args:
        client: boto3's.
        bucket: Where.
        key: Where.
        options: Arguments of ``put_object``.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, options: Mapping[str, Any]) -> None:
        self._client, self._bucket, self._key, self._options = client, bucket, key, options
        self._id: str | None = None
        self._lost = 0
        self._since = self._until = 0.0

    @property
    def target(self) -> dict[str, Any]:
        """The arguments that all requests of the upload have."""
        return {"Bucket": self._bucket, "Key": self._key, "UploadId": self._id}

    def begin(self, more: Mapping[str, Any]) -> None:
        """Begin the upload.

        Args:
            more: Further arguments of ``create_multipart_upload``.
        """
        known: Any = known_to("CreateMultipartUpload", self._options)
        self._since, before, is_answered = time.time(), lost_answers(), False
        try:
            answer = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key, **known, **more)
            is_answered = True
        except Exception as error:
            # Else the answer is counted among those that were lost.
            is_answered = not isinstance(error, transfer.Stopped)
            raise
        finally:
            self._until = time.time()
            self._lost = lost_answers() - before + (not is_answered)
        self._id = answer["UploadId"]
        _begun.add(self._id)

    def end(self, is_object: bool, at_once: bool = False) -> None:
        """Leave nothing that is no object; an error of that is no error of the upload.

        Args:
            is_object: Whether the upload has become one.
            at_once: Whether the user has interrupted, and does not want to wait for long.
        """

        def tidy_up() -> None:
            try:
                if self._id and not is_object:
                    self._abort(self._id)
                if self._lost:
                    for each in self._found():
                        self._abort(each)
            finally:
                _begun.discard(self._id or "")

        if is_object and not self._lost:
            _begun.discard(self._id or "")
            return
        # On another thread, because this one may be one that was stopped. What can go wrong: the service tells no time,
        # does not list its uploads, may not be asked, …
        with contextlib.suppress(Exception):
            transfer.beside(tidy_up).result(_PATIENCE_AT_ONCE if at_once else None)

    def _abort(self, upload_id: str) -> None:
        """End an upload, again and a bounded number of times while nobody knows whether that was done."""
        request: Any = {"Bucket": self._bucket, "Key": self._key, "UploadId": upload_id}
        until = time.monotonic() + _LONGEST
        for attempt in range(_ATTEMPTS):
            if time.monotonic() > until:
                return
            if attempt:
                time.sleep(_FIRST_PAUSE * 2**attempt / 2)
            with contextlib.suppress(Exception):
                try:
                    answer = self._client.abort_multipart_upload(
                        **request, **known_to("AbortMultipartUpload", self._options)
                    )
                except self._client.exceptions.NoSuchUpload:
                    return
                if answer["ResponseMetadata"]["HTTPStatusCode"] == _NO_CONTENT:
                    return

    def _found(self) -> list[str]:
        """The uploads that lost tries have begun; none where others could be among them."""
        time.sleep(max(0.0, self._until + _PATIENCE - time.time()))
        before = time.time()
        listing = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._key)
        told = parsedate_to_datetime(listing["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
        # The service tells whole seconds, so its clock is only known to be between these.
        since, until = self._since + told - time.time(), self._until + told + 1 - before
        found = [
            upload_id
            for upload_id, begun in self._of_others(listing)
            if since - 1 < begun <= until and not self._has_parts(upload_id)
        ]
        return found if len(found) <= self._lost and not listing["IsTruncated"] else []

    def _of_others(self, listing: ListMultipartUploadsOutputTypeDef) -> list[tuple[str, float]]:
        """The uploads at the key that are none of those which this process knows, and when they were begun."""
        return [
            (each["UploadId"], each["Initiated"].timestamp())
            for each in listing.get("Uploads", ())
            if each["Key"] == self._key and each["UploadId"] not in _begun
        ]

    def _has_parts(self, upload_id: str) -> bool:
        request: Any = {"Bucket": self._bucket, "Key": self._key, "UploadId": upload_id}
        return bool(self._client.list_parts(**request, **known_to("ListParts", self._options), MaxParts=1).get("Parts"))
