"""Of what something is a copy, and how the names of copies say what they must be like."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

# Bytes; names of files may have 255, and what else is in them takes up to 70.
_LONGEST_FINGERPRINT = 120
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_UNKNOWN = "0"  # where nobody knows when the machine was started


@dataclass(frozen=True)
class Key:
    """A location in a service, whatever is there at the moment.

    Attributes:
        store: The service: its kind and endpoint, and whoever asks it where it is not asked each time.
        location: The object, without what tells its states apart.
        states: Of how many of its states copies are worth keeping: more than one where several can be asked for.
    """

    store: str
    location: str
    states: int = 1

    def folder(self, root: str) -> str:
        """Where its copies are; the name does not tell of what."""
        name = hashed(f"{self.store}\n{self.location}")
        return os.path.join(root, name[:2], name[2:])


@dataclass(frozen=True)
class Copy:
    """A copy that is there, as its name tells of it.

    Attributes:
        path: The file.
        fingerprint: What the service calls this content: an ETag or a checksum.
        size: Bytes that it must have.
        crc32: That it must have.
        inode: That it must have, else it was made by somebody else, by a backup perhaps.
        boot: When the machine was started under which it was made: a crash of the system may have lost its bytes.
    """

    path: str
    fingerprint: str
    size: int
    crc32: int
    inode: int
    boot: str

    @property
    def name(self) -> str:
        """What its file is called."""
        told = base64.urlsafe_b64encode(self.fingerprint.encode()).decode()
        return f"{self.size:x}.{self.crc32:08x}.{self.inode:x}.{self.boot}.{told}"


def copy_of(folder: str, name: str) -> Copy | None:
    """The copy that a file is by its name; ``None``: it is none."""
    try:
        size, crc32, inode, boot, told = name.split(".")
        fingerprint = base64.b64decode(told, altchars=b"-_", validate=True).decode()
        return Copy(os.path.join(folder, name), fingerprint, int(size, 16), int(crc32, 16), int(inode, 16), boot)
    except (ValueError, binascii.Error):
        return None


def may_be_noted(fingerprint: str) -> bool:
    """Whether a fingerprint says which content it is, and fits into a name; a weak ETag does not say it."""
    return 0 < len(fingerprint.encode()) <= _LONGEST_FINGERPRINT and not fingerprint.startswith("W/")


def hashed(text: str) -> str:
    """What stands for a text in names, and does not tell it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


@functools.cache
def this_boot() -> str:
    """What tells this start of the machine from others; the same for all of them where no file says it."""
    try:
        return hashed(_BOOT.read_text(encoding="ascii"))[:8]
    except (OSError, ValueError):
        return _UNKNOWN


def knows_boots() -> bool:
    """Whether a crash of the system shows in the names of copies."""
    return this_boot() != _UNKNOWN


def is_as_noted(copy: Copy, found: os.stat_result, modified: int) -> bool:
    """Whether a file is what its name says, without reading it.

    Args:
        copy: By its name.
        found: What the file system says.
        modified: Time of the last write, in nanoseconds, as each copy has it.
    """
    return (found.st_size, found.st_ino, found.st_mtime_ns, copy.boot) == (copy.size, copy.inode, modified, this_boot())
