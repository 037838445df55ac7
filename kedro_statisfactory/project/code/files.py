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
from types import CodeType

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
        names = itertools.takewhile(lambda name: name != "logging", list(sys.modules))
        self._early = {os.path.realpath(file) for name in names if (file := getattr(sys.modules[name], "__file__", ""))}

    def read(self, file: str) -> tuple[bytes, str]:
        """The content of a file and its digest.

        Raises:
            CodeNotKnown: It is not certain that this is what was, or will be, loaded.
        """
        since = self._started if os.path.realpath(file) in self._early else self._began
        if since is None:
            raise CodeNotKnown(f"{file} was loaded before it could be watched")
        try:
            content, digest, changed = _read(file, _signature(file))
        except OSError as error:
            raise CodeNotKnown(f"{file} cannot be read ({type(error).__name__})") from None
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
    changed = max(signature[-2:])
    if file.endswith(tuple(importlib.machinery.SOURCE_SUFFIXES)) and not _is_bytecode_of(file, content, changed):
        raise CodeNotKnown(f"Python has loaded older code of {file} from its __pycache__: delete that folder")
    return content, hashlib.sha256(content).hexdigest()[:_DIGITS], changed


def _is_bytecode_of(file: str, source: bytes, changed: int) -> bool:
    """Whether the bytecode that Python keeps of a source, if it takes it, was made of it.

    Python takes bytecode by time and size of the source alone: a source that is changed twice in one second, or whose
    time was set back, may run as it was before.
    """
    try:
        cache = Path(importlib.util.cache_from_source(file))
        made = cache.stat().st_mtime_ns
        with cache.open("rb") as opened:
            flags = int.from_bytes(opened.read(16)[4:8], "little")
            if flags != _UNCHECKED and (flags or made > changed + 2 * _SECOND):
                return True
            code = marshal.loads(opened.read())
        assert isinstance(code, CodeType)
        return code == compile(source, code.co_filename, "exec", dont_inherit=True)
    except (OSError, NotImplementedError):  # there is none
        return True
    except (EOFError, ValueError, TypeError, AssertionError, SyntaxError):
        return False


_UNCHECKED = 0b01  # bytecode that is taken whatever the source says


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
