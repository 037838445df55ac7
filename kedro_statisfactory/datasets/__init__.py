"""Kedro datasets over the backends."""

from __future__ import annotations

from kedro_statisfactory.datasets.artifact import ArtifactDataset

__all__ = ["ArtifactDataset"]
