"""The local file system: the backend, and how it publishes what it writes."""

from __future__ import annotations

from kedro_statisfactory.backends.local.backend import LocalFS

__all__ = ["LocalFS"]
