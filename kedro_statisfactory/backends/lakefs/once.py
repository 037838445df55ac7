"""Warnings that a process gives once, however many entries they concern."""

from __future__ import annotations

import logging
import threading

_said: set[str] = set()
_lock = threading.Lock()


def warn_once(logger: logging.Logger, text: str) -> None:
    """Log a warning unless this process has done so before."""
    with _lock:
        if text in _said:
            return
        _said.add(text)
    logger.warning(text)
