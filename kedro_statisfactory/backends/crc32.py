"""The CRC-32 of a whole from those of its parts."""

from __future__ import annotations

import functools
from collections.abc import Iterable

_CRC32_POLYNOMIAL = 0xEDB88320  # the one of zlib and of S3, bits in reverse
_ONE = 1 << 31  # the polynomial 1, bits in reverse


def combined(checksums: Iterable[tuple[int, int]]) -> int:
    """The CRC-32 of a whole from those of its parts.

    A CRC is a remainder of polynomials over GF(2): to append n bytes is to multiply by x^8n and add. Python's zlib
    does not offer this, and to read a gigabyte again for it costs as much as a third of its transfer.

    Args:
        checksums: CRC-32 and length in bytes of each part, in order.

    >>> import zlib
    >>> combined([(zlib.crc32(b"half"), 4), (zlib.crc32(b" and half"), 9)]) == zlib.crc32(b"half and half")
    True
    """
    whole = 0
    for checksum, length in checksums:
        whole = _product(whole, _power_of_x(8 * length)) ^ checksum
    return whole


def _product(a: int, b: int) -> int:
    """The product of two polynomials modulo that of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (_CRC32_POLYNOMIAL if b & 1 else 0)
    return product


@functools.lru_cache(maxsize=64)
def _power_of_x(exponent: int) -> int:
    """x^exponent modulo the polynomial of CRC-32, by repeated squaring."""
    power, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            power = _product(power, square)
        square = _product(square, square)
        exponent >>= 1
    return power
