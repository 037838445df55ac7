"""HTTP to hosts that are reached without a proxy, at a third of the CPU that urllib3 takes for a request."""

from __future__ import annotations

from kedro_statisfactory.backends.direct.pool import ConnectionPool
from kedro_statisfactory.backends.direct.response import Response

__all__ = ["ConnectionPool", "Response"]
