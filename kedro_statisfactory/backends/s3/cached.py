"""Objects of S3 in the cache: where each of them is there, and which may not be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.backends.cache import Key
from kedro_statisfactory.backends.cache.place import cache_folder
from kedro_statisfactory.backends.md5 import md5_of
from kedro_statisfactory.backends.s3.checksums import base64_crc32, crc32_of_answer
from kedro_statisfactory.backends.s3.objects import S3Objects, is_verified_as_a_whole

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_VERSION = "VersionId"
# Arguments of a read that change nothing of what comes. Others are conditions of the user's, or keys of encryption.
_HARMLESS = frozenset((_VERSION, "ExpectedBucketOwner", "RequestPayer"))
# How the arguments begin that bring a key of the customer's: what it encrypts is kept nowhere without it.
_CUSTOMERS_KEY = "SSECustomer"
# Access points behind which a function makes what comes of what is stored: one knows nothing of the other.
_TRANSFORMING = (":s3-object-lambda:", "--ol-s3")
_NOT_MODIFIED = 304
# Of refusals that may be for a condition: a wrong one, and what services say to one that they do not know.
_OF_CONDITIONS = frozenset((_NOT_MODIFIED, 400, 405, 412, 501))


def key_to_read(objects: S3Objects, bucket: str, key: str, options: Mapping[str, Any]) -> Key | None:
    """Where the cache has an object.

    Args:
        objects: Requests to the service.
        bucket: Where the object is.
        key: Where it is.
        options: With which it is read.

    Returns:
        ``None`` where it is not to be there.
    """
    if cache_folder() is None or not options.keys() <= _HARMLESS:
        return None
    return _key(objects, bucket, key, options.get(_VERSION, ""))


def key_as_written(objects: S3Objects, bucket: str, key: str, options: Mapping[str, Any]) -> Key | None:
    """The same for an object that is written with some options."""
    if cache_folder() is None or any(name.startswith(_CUSTOMERS_KEY) for name in options):
        return None
    return _key(objects, bucket, key, "")


def _key(objects: S3Objects, bucket: str, key: str, version: str) -> Key | None:
    # What the handlers of one client make of a content is nothing for the others that ask the same service.
    if any(each in bucket for each in _TRANSFORMING) or not objects.is_untouched:
        return None
    # No name of a bucket and no version has a line of its own in it; keys may.
    return Key(f"s3 {objects.client.meta.endpoint_url}", "\n".join((bucket, version, key)))


def may_be_kept(client: S3Client, response: GetObjectOutputTypeDef, content: Path | bytes, crc32: int) -> bool:
    """Whether what has arrived is known to be what the service has sent: by a checksum, by TLS or by its MD5.

    Else it is given once, and not again and again as long as the object is the same.

    Args:
        client: Of the service.
        response: The answer by which it came.
        content: What has arrived.
        crc32: Of that.
    """
    if (expected := crc32_of_answer(response)) is not None:
        return expected == base64_crc32(crc32)
    if is_verified_as_a_whole(response["Body"]):
        return True
    return client.meta.endpoint_url.startswith("https:") or response["ETag"].strip('"') == md5_of(content)


def is_the_same(error: ClientError, etag: str) -> bool:
    """Whether a refusal says that an object is what one ETag names, which was sent as the one of a condition.

    A service that names another one has answered something else than it was asked.
    """
    named: str = error.response["ResponseMetadata"]["HTTPHeaders"].get("etag", etag)
    return _status(error) == _NOT_MODIFIED and named.removeprefix("W/") == etag


def is_about_condition(error: ClientError) -> bool:
    """Whether the same request without its condition may have another answer."""
    return _status(error) in _OF_CONDITIONS


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]
