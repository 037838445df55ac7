"""Kedro datasets over the backends."""

from __future__ import annotations

import sys

from kedro_statisfactory.datasets.artifact import ArtifactDataset

__all__ = ["ArtifactDataset"]

# Kedro looks for the class of each entry in these two packages first, and to find that they have no module of our name
# takes longer than to make the entry. An import of what is `None` fails at once, in the same way.
for _package in ("kedro.io", "kedro_datasets"):
    sys.modules.setdefault(f"{_package}.{__name__.partition('.')[0]}", None)  # type: ignore[arg-type]
