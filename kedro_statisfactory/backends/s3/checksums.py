"""Checksums as S3 has them in headers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

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
