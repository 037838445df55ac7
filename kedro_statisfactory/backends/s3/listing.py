"""A page of a listing, read from what S3 sends: boto3 takes longer for that than the service for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError, fromstring

_URL = "url"  # how keys are encoded that XML could not have


def read_listing(body: bytes) -> Mapping[str, Any]:
    """What boto3's ``list_objects_v2`` would give for a page, as far as it is used here.

    Raises:
        ValueError, LookupError: It is none.
    """
    try:
        root = fromstring(body)
    except ParseError as error:
        raise ValueError(f"no page of a listing: {error}") from None
    namespace = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""

    def text(of: Element, name: str) -> str:
        found = of.findtext(namespace + name)
        if found is None:
            raise LookupError(name)
        return found

    decode: Callable[[str], str] = unquote_plus if root.findtext(f"{namespace}EncodingType") == _URL else str
    is_truncated = {"true": True, "false": False}[text(root, "IsTruncated")]
    page: dict[str, Any] = {"Name": text(root, "Name"), "IsTruncated": is_truncated}
    if is_truncated:
        page["NextContinuationToken"] = text(root, "NextContinuationToken")
    page["Contents"] = [
        {
            "Key": decode(text(each, "Key")),
            "Size": int(text(each, "Size")),
            "ETag": text(each, "ETag"),
            "LastModified": datetime.fromisoformat(text(each, "LastModified").replace("Z", "+00:00")),
        }
        for each in root.iterfind(f"{namespace}Contents")
    ]
    return page
