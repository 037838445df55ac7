"""Bucket and key of an object, as a URL names them."""

from __future__ import annotations

import re
from urllib.parse import ParseResult

from kedro_statisfactory.backends.base import CLAIM
from kedro_statisfactory.errors import InvalidURL
from kedro_statisfactory.location import checked, full_path, refuse_placeholder, unparse

# The ARN of an access point, of S3, of an Outpost or of Object Lambda, stands for a bucket; a key follows.
_ACCESS_POINT = re.compile(r"(arn(?::[^:/]*){4}:(?:outpost[:/][^:/]+[:/])?accesspoint[:/][^:/]+)/(.+)", re.DOTALL)


def claim_of(fragment: ParseResult) -> ParseResult:
    """Where somebody claims a location: beside it, because some services have no object below another one."""
    folder, _, name = full_path(fragment).rpartition("/")
    return fragment._replace(path=f"{folder}/{CLAIM}{name}", params="", query="", fragment="")


def bucket_and_key(fragment: ParseResult) -> tuple[str, str]:
    """Bucket and key of an object, or the ARN of an access point and the key.

    Raises:
        InvalidURL: It names no place in S3.
    """
    checked(fragment)
    if not fragment.netloc:
        raise InvalidURL(f"the URL {unparse(fragment)!r} names no bucket: write {fragment.scheme}://bucket/key.")
    refuse_placeholder(fragment)
    bucket, key = fragment.netloc, full_path(fragment).removeprefix("/")
    if not bucket.startswith("arn:"):
        return bucket, key
    found = _ACCESS_POINT.fullmatch(f"{bucket}/{key}")
    if found is None:
        raise InvalidURL(
            f"the URL {unparse(fragment)!r} names no access point and key: write "
            f"{fragment.scheme}://arn:aws:s3:region:account:accesspoint/name/key."
        )
    return found[1], found[2]
