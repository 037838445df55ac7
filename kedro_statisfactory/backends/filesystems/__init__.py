"""All other places that fsspec reaches: web pages, SFTP, Google and Azure's stores, …"""

from __future__ import annotations

from kedro_statisfactory.backends.filesystems.backend import FsspecBackend

__all__ = ["FsspecBackend"]
