"""Checksums as S3 has them: CRC-32 in headers, and ETags that are MD5s."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.transfer import CHUNK

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef


def base64_crc32(crc32: int) -> str:
    """A CRC-32 as S3 writes it."""
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


def crc32_header(crc32: int) -> dict[str, Any]:
    """The argument by which the service learns the CRC-32 of what it is sent."""
    return {"ChecksumCRC32": base64_crc32(crc32)}


def crc32_of_answer(response: GetObjectOutputTypeDef) -> str | None:
    """The CRC-32 of all bytes of an object, where the service keeps one."""
    return response.get("ChecksumCRC32") if response.get("ChecksumType") != "COMPOSITE" else None


def md5_of(source: Path | bytes) -> str:
    """The ETag of an object that was stored by one request."""
    digest = hashlib.md5(usedforsecurity=False)
    for part in transfer.parts(transfer.size_of(source), CHUNK):
        digest.update(transfer.read_part(source, part))
    return digest.hexdigest()


def etag_of_parts(etags: Sequence[str]) -> str:
    """The ETag of an object that was stored in parts: the MD5 of those of its parts, and their number.

    Empty where the parts have ETags of another kind.
    """
    try:
        digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"
