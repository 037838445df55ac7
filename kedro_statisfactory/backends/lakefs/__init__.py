"""lakeFS: the backend, and the parts that it is made of."""

from __future__ import annotations

from kedro_statisfactory.backends.lakefs.backend import LakeFSBackend

__all__ = ["LakeFSBackend"]
