"""S3: the backend, and the parts that it is made of. It shows how a backend of one's own can be built."""

from __future__ import annotations

from kedro_statisfactory.backends.s3.backend import S3Backend

__all__ = ["S3Backend"]
