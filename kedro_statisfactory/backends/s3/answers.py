"""What tells an answer of S3 from one of something else: boto3 takes whatever comes with status 200 for one.

A sign-in page, the empty answer of a proxy or the copy of a cache has none of what every S3 service answers. So each
kind of answer is looked at for that, asked for once more when it lacks it, and an error in the end.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# What no answer of S3 to these operations goes without.
_ALWAYS_THERE: Mapping[str, frozenset[str]] = {
    "PutObject": frozenset(("ETag",)),
    "GetObject": frozenset(("ETag", "ContentLength")),
    "HeadObject": frozenset(("ETag", "ContentLength")),
    "ListObjectsV2": frozenset(("Name", "IsTruncated")),
    "CreateMultipartUpload": frozenset(("UploadId",)),
    "UploadPart": frozenset(("ETag",)),
    "CompleteMultipartUpload": frozenset(("ETag",)),
    "ListParts": frozenset(("IsTruncated",)),
    "ListMultipartUploads": frozenset(("IsTruncated",)),
}
# … nor any object in a listing.
_OF_AN_OBJECT = frozenset(("Key", "Size"))
# boto3's own number where the user configures retries and names none.
_ATTEMPTS = 3
_FIRST_PAUSE = 0.05  # seconds; each is up to twice as long as the one before


_of_thread = threading.local()


class ForeignAnswer(Exception):
    """Something has answered that is no S3 service."""


def refuse_foreign_answers(client: S3Client) -> None:
    """Let a client raise :class:`ForeignAnswer` for what is no answer of S3, after asking as often as for others."""
    config: Any = client.meta.config
    events: Any = client.meta.events
    attempts_at_most = (config.retries or {}).get("total_max_attempts") or _ATTEMPTS

    def ask_again(response: Any, attempts: int, operation: Any, **_: Any) -> float | None:
        if response is None or attempts >= attempts_at_most or not _is_foreign(operation.name, *response):
            return None
        return random.uniform(0, 1) * _FIRST_PAUSE * float(2**attempts)

    def refuse(http_response: Any, parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
        if _is_foreign(model.name, http_response, parsed):
            raise ForeignAnswer(f"the answer to {model.name} has nothing that an answer of S3 has")

    events.register_first("needs-retry.s3", ask_again)
    events.register_first("needs-retry.s3.CreateMultipartUpload", _count_lost)
    events.register_first("after-call.s3", refuse)


def lost_answers() -> int:
    """How many answers to beginnings of uploads this thread has lost: nobody knows whether these were begun."""
    return getattr(_of_thread, "lost", 0)


def _count_lost(response: Any, **_: Any) -> None:
    """Count a try that got no answer, or one of a gateway; what S3 refuses by name was not begun."""
    if response is not None:
        http_response, parsed = response
        code = str(parsed.get("Error", {}).get("Code", ""))
        if http_response.status_code < 500 or code.strip("0123456789"):
            return
    _of_thread.lost = lost_answers() + 1


def _is_foreign(operation: str, http_response: Any, parsed: Mapping[str, Any]) -> bool:
    """Whether what came as a success is none of S3; its connection is closed then."""
    if http_response.status_code >= 300 or _is_of_s3(operation, parsed):
        return False
    http_response.raw.close()
    return True


def _is_of_s3(operation: str, parsed: Mapping[str, Any]) -> bool:
    if operation == "DeleteObjects":
        return "Deleted" in parsed or "Errors" in parsed
    if not _ALWAYS_THERE.get(operation, frozenset()) <= parsed.keys():
        return False
    return operation != "ListObjectsV2" or all(each.keys() >= _OF_AN_OBJECT for each in parsed.get("Contents", ()))


def echoes(answer: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    """Whether the answer to a put has the checksum that was sent with it.

    Args:
        answer: Of ``put_object``.
        sent: Its arguments. Where they name an algorithm only, boto3 has computed the checksum.
    """
    values = {name: value for name, value in sent.items() if name.startswith("Checksum") and name in answer}
    return any(answer[name] == value for name, value in values.items()) or (
        f"Checksum{sent.get('ChecksumAlgorithm')}" in answer
    )
