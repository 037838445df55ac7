"""Kedro catalog entries that live where their URL says: on disk, in S3, in lakeFS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_statisfactory.backends import Backend, LocalFS, S3Backend
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from kedro_statisfactory.datasets import ArtifactDataset

__all__ = ["ArtifactDataset", "Backend", "LocalFS", "S3Backend", "Session"]


def __getattr__(name: str) -> object:
    """Import the dataset when it is asked for: a hook that finds no entry of ours then never loads it."""
    if name == "ArtifactDataset":
        from kedro_statisfactory.datasets import ArtifactDataset

        return ArtifactDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
