"""All objects below a key, page after page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.base import CLAIM
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.s3.answers import ForeignAnswer
from kedro_statisfactory.backends.s3.objects import S3Objects
from kedro_statisfactory.backends.s3.options import known_to


def objects_below(
    objects: S3Objects,
    bucket: str,
    prefix: str,
    options: Mapping[str, Any],
    at_once: int = 1000,
    with_claims: bool = False,
) -> Iterator[ObjectInfo]:
    """The objects whose keys begin with a prefix, without what stands for folders.

    Args:
        objects: Sends the requests.
        bucket: Where.
        prefix: Ends with ``/``; paths are told without it.
        options: Of the user's; those are sent that a listing knows.
        at_once: How many a page has at most.
        with_claims: Whether to give those, too, by which a saver claims a location.

    Raises:
        ForeignAnswer: The same page comes again, so that there would be no end.
    """
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": at_once}
    request |= known_to("ListObjectsV2", options)
    while True:
        page = objects.list_objects_v2(**request)
        for found in page.get("Contents", ()):
            path = found["Key"].removeprefix(prefix)
            is_claim = path.rpartition("/")[2].startswith(CLAIM)
            if (with_claims or not is_claim) and not transfer.is_folder_marker(found["Key"], found["Size"]):
                yield ObjectInfo(path, found["Size"], found.get("LastModified"), found.get("ETag"))
        following = page.get("NextContinuationToken") if page["IsTruncated"] else None
        if following is None:
            return
        if following == request.get("ContinuationToken"):
            raise ForeignAnswer("the answer to ListObjectsV2 is the same page once more")
        request["ContinuationToken"] = following
