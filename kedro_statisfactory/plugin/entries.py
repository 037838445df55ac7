"""The entries of a pipeline that are this package's, and how the pipeline uses all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError
from kedro.pipeline import Pipeline

from kedro_statisfactory.location import shown
from kedro_statisfactory.project import RUN_ID

if TYPE_CHECKING:
    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.runs import Use


def artifacts(entry: object, ours: type[ArtifactDataset]) -> Iterator[ArtifactDataset]:
    """The entry itself or, when it wraps others as CachedDataset does, those of ours within it."""
    if isinstance(entry, ours):
        yield entry
    elif isinstance(entry, AbstractDataset):
        for value in vars(entry).values():
            if isinstance(value, AbstractDataset):
                yield from artifacts(value, ours)


def fix_versions(pipeline: Pipeline, ours: Mapping[str, list[ArtifactDataset]]) -> None:
    """Fix which versions a run reads, in all of its processes: its own, and else those that are the newest now.

    Raises:
        DatasetError: The versions of an entry cannot be listed.
    """
    # Entries that differ behind the "@" alone are one to Kedro: what is saved by one is read by the other.
    written = {_without_transcoding(name) for name in pipeline.all_outputs()}
    for name, found in ours.items():
        for each in found:
            try:
                each.begin_run(_without_transcoding(name) in written, os.environ.get(RUN_ID))
            except DatasetError as error:
                raise DatasetError(f"catalog entry {name!r}: {error}") from error


def _without_transcoding(name: str) -> str:
    return name.partition("@")[0]


def uses_of(pipeline: Pipeline, entries: Mapping[str, Any], ours: Mapping[str, list[ArtifactDataset]]) -> Iterator[Use]:
    """How the pipeline uses its entries, those of other packages included."""
    from kedro_statisfactory.runs import Use
    from kedro_statisfactory.runs.provenance import public_url

    # To confirm an entry is to write it.
    outputs = pipeline.all_outputs().union(*(node.confirms for node in pipeline.nodes))
    inputs = pipeline.inputs()
    for name, entry in entries.items():
        for each in ours.get(name, ()):
            yield Use(
                name,
                shown(each.filepath),
                each.backend,
                each.location,
                written=name in outputs and each.save_pin is None,
                is_input=name in inputs,
                version=each.load_pin or (_version_now(each) if name in inputs else None),
            )
        path = getattr(entry, "_filepath", None)
        if name not in ours and name in inputs and path is not None:
            protocol = str(getattr(entry, "_protocol", ""))
            file = Path(str(path)) if protocol in ("", "file") else None
            yield Use(name, public_url(protocol, str(path)), is_input=True, file=file)


def _version_now(entry: ArtifactDataset) -> str | None:
    """The version in folders that the run is going to read; the entry remembers it."""
    try:
        return entry.resolve_load_version()
    except DatasetError:  # there is none yet, which is told when the entry is loaded
        return None
