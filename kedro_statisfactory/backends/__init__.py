"""Transports: a folder for each service, each with a :class:`Backend` registered under the prefix of its URLs."""

from __future__ import annotations

from kedro_statisfactory.backends.base import Backend
from kedro_statisfactory.backends.filesystems import FsspecBackend
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.lakefs import LakeFSBackend
from kedro_statisfactory.backends.local import LocalFS
from kedro_statisfactory.backends.s3 import S3Backend

__all__ = ["Backend", "FsspecBackend", "LakeFSBackend", "LocalFS", "ObjectInfo", "S3Backend"]
