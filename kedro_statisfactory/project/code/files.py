"""Files of modules, as long as they are certainly what this process has loaded, or will load."""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.util
import itertools
import logging
import marshal
import os
import sys
import time
from pathlib import Path

from kedro_statisfactory.project.code.unknown import CodeNotKnown

_TICK = 0.011  # seconds: disks know times by the tick of a clock, and some by the second
_DIGITS = 32  # of a digest: many are kept, to tell which module has changed
_SECOND = 1_000_000_000  # nanoseconds
_OFFSET = time.time() - time.monotonic()


class Files:
    """What is in the files of modules, as long as no process that shares modules with this one changes them."""

    def __init__(self) -> None:
        self._began = _began()
        self._started = _started(self._began)
        self._seen: dict[str, tuple[bytes, str]] = {}

    def read(self, file: str) -> tuple[bytes, str]:
        """The content of a file and its digest, read once.

        Raises:
            CodeNotKnown: It is not certain that this is what was, or will be, loaded.
        """
        if file not in self._seen:
            self._seen[file] = self._read(file)
        return self._seen[file]

    def _read(self, file: str) -> tuple[bytes, str]:
        try:
            signature = _signature(file)
            content, digest, changed = _read(file, signature)
        except OSError as error:
            raise CodeNotKnown(f"{file} cannot be read ({type(error).__name__})") from None
        since = self._started if signature[:2] in _early() else self._began
        if since is None:
            raise CodeNotKnown(f"{file} was loaded before it could be watched")
        if changed / _SECOND + (_TICK if changed % _SECOND else 2.0) >= since:
            raise CodeNotKnown(f"{file} was changed after this process began, which may have loaded it before")
        return content, digest


def _signature(file: str) -> tuple[int, ...]:
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@functools.lru_cache(maxsize=4096)
def _read(file: str, signature: tuple[int, ...]) -> tuple[bytes, str, int]:
    """The content of a file, its digest, and when it was changed."""
    content = Path(file).read_bytes()
    if _signature(file) != signature:
        raise CodeNotKnown(f"{file} is being changed")
    if file.endswith(tuple(importlib.machinery.SOURCE_SUFFIXES)) and _has_other_bytecode(file, content, signature):
        raise CodeNotKnown(f"Python runs older code of {file}, from its __pycache__: delete that folder")
    return content, hashlib.sha256(content).hexdigest()[:_DIGITS], max(signature[-2:])


def _has_other_bytecode(file: str, source: bytes, signature: tuple[int, ...]) -> bool:
    """Whether Python takes bytecode of a source that was made of another one.

    It takes bytecode by time and size of the source alone: a source that was changed twice in one second, or whose time
    was set back, may run as it was before.
    """
    _, _, size, modified, changed = signature
    try:
        cache = Path(importlib.util.cache_from_source(file))
        made = cache.stat().st_mtime_ns
        with cache.open("rb") as opened:
            header = opened.read(16)
            kind, of = int.from_bytes(header[4:8], "little"), (modified // _SECOND & _BITS, size & _BITS)
            is_taken = header[8:] == b"".join(each.to_bytes(4, "little") for each in of) if not kind else kind == _BLIND
            is_certain = not kind and made > max(modified, changed) + 2 * _SECOND
            if header[:4] != importlib.util.MAGIC_NUMBER or not is_taken or is_certain:
                return False
            code = marshal.loads(opened.read())
        return bool(code != compile(source, code.co_filename, "exec", dont_inherit=True))
    except (OSError, NotImplementedError):  # there is none
        return False
    except (EOFError, ValueError, TypeError, AttributeError, SyntaxError):
        return True


_BITS = 0xFFFFFFFF
_BLIND = 0b01  # bytecode that is taken whatever the source says


@functools.cache
def _early() -> frozenset[tuple[int, ...]]:
    """Devices and inodes of the files of modules that were loaded before `logging` and are not part of Python."""
    names = itertools.takewhile(lambda name: name != "logging", list(sys.modules))
    files = (getattr(sys.modules.get(name), "__file__", None) or "" for name in names)
    own = (file for file in files if not file.startswith(os.path.dirname(os.__file__)) or "-packages" in file)
    return frozenset(_signature(file)[:2] for file in own if os.path.exists(file))


def _began() -> float:
    """When this process, or one that it was forked from, imported `logging`, by today's clock.

    What was loaded later is what its file says if that is older. Only few modules come first, such as the package whose
    ``__main__`` runs.
    """
    record = logging.makeLogRecord({})
    # A clock that was set back meanwhile gave files times that are too early.
    return record.created - record.relativeCreated / 1000 + min(0.0, time.time() - time.monotonic() - _OFFSET)


def _started(began: float) -> float | None:
    """When this process started; ``None``: nobody tells, or it was forked, and has loaded modules in another one."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        started = time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, AttributeError):
        return None
    return started if started < began else None
