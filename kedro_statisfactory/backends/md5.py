"""The MD5s by which object stores name what they have stored: of an object, and of one that came in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.transfer import CHUNK


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
