"""Kedro catalog entries that live where their URL says: on disk, in S3, in lakeFS."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedro_statisfactory.backends import Backend, LakeFSBackend, LocalFS, S3Backend
    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.session import Session

__all__ = ["ArtifactDataset", "Backend", "LakeFSBackend", "LocalFS", "S3Backend", "Session"]

_MODULES = {"ArtifactDataset": "datasets", "Session": "session"}


def __getattr__(name: str) -> object:
    """Import a public class when it is asked for: a run of Kedro that has no entry of ours then loads none of them."""
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'backends')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
