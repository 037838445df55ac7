"""What a service tells of an object."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime, timezone

#: Content up to this many bytes is hashed for a record where no service has a checksum of it.
MOST_HASHED = 16 << 20


@dataclass(frozen=True)
class ObjectInfo:
    """What a service tells of one object without sending it.

    Attributes:
        path: Path of the object below the listed location, with ``/``; ``""`` for the location itself.
        size: Bytes.
        modified: Time of the last write, aware of its time zone; ``None`` where the service keeps none.
        checksum: The service's own fingerprint of the content (an ETag, say); ``None`` where it has none.
        version: By which the service gives this very state again; ``None`` where it keeps none.
    """

    path: str
    size: int
    modified: datetime | None = None
    checksum: str | None = None
    version: str | None = None

    def fingerprint(self) -> dict[str, str]:
        """All but the path, as texts for a record.

        >>> ObjectInfo("x", 3, datetime(2026, 11, 26, tzinfo=timezone.utc), '"abc"').fingerprint()
        {'size': '3', 'modified': '2026-11-26T00:00:00.000+00:00', 'checksum': 'abc'}
        """
        found = {"size": str(self.size)}
        if self.modified is not None:
            found["modified"] = self.modified.astimezone(timezone.utc).isoformat(timespec="milliseconds")
        if self.checksum is not None:
            found["checksum"] = self.checksum.strip('"')  # an ETag comes in quotes
        if self.version is not None:
            found["version_id"] = self.version
        return found


def info_of_file(path: str, status: os.stat_result, checksum: str | None = None) -> ObjectInfo:
    """What the file system tells of a file."""
    return ObjectInfo(path, status.st_size, datetime.fromtimestamp(status.st_mtime, tz=timezone.utc), checksum)


def checksum_of(payload: bytes) -> str | None:
    """A checksum of what is in memory; ``None`` where that would take long."""
    return f"sha256:{hashlib.sha256(payload).hexdigest()}" if len(payload) <= MOST_HASHED else None
