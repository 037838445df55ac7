"""What is refused before a pipeline runs, because it would be noticed when the work is done, or never."""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError
from kedro.pipeline import Pipeline

from kedro_statisfactory.errors import ChunkedSave, InvalidSettings, NotSupported, StatisfactoryError

if TYPE_CHECKING:
    from kedro_statisfactory.datasets import ArtifactDataset

# Arguments of a stock collection in which secrets travel: they are the entry's.
_OF_ENTRIES = ("credentials", "fs_args", "storage_options")


def refuse_collections(catalog: Any, names: Iterable[str]) -> None:
    """Refuse stock collections on lakeFS, which list through fsspec; before they are made, which may fail as well.

    Args:
        catalog: With the configurations of its entries.
        names: Of the entries of the pipeline.

    Raises:
        DatasetError: One is such a collection; the text shows what to write instead.
    """
    resolver = catalog.config_resolver
    for name in names:
        config = resolver.config.get(name)
        if config is None and resolver.match_dataset_pattern(name):
            config = resolver.resolve_pattern(name)
        if (found := _collection_in(config)) is not None:
            error = NotSupported(
                f"{_text_of(found['type'])} lists {found['path']!r} through fsspec, past the runs on lakeFS. Make it "
                f"the `dataset` of an entry:\n\n{_rewritten(name, found)}"
            )
            raise DatasetError(f"catalog entry {name!r}: {error}")


def _collection_in(config: Any) -> Mapping[str, Any] | None:
    """The stock collection on lakeFS that the configuration of an entry is, or that another dataset has in it."""
    if not isinstance(config, Mapping):
        return None
    if str(config.get("path", "")).startswith("lakefs:") and "dataset" in config:
        return config
    return _collection_in(config.get("dataset"))


def _rewritten(name: str, config: Mapping[str, Any]) -> str:
    """The lines of a catalog by which a stock collection becomes an entry of ours."""
    import yaml

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, Mapping):
            return _text_of(value)
        kept = {key: plain(item) for key, item in value.items() if key not in _OF_ENTRIES}
        fs_args: Any = value.get("fs_args") or {}
        opening = {key: plain(fs_args[key]) for key in fs_args if str(key).startswith("open_args_")}
        return {**kept, "fs_args": opening} if opening else kept

    partition = config["dataset"]
    entry: dict[str, Any] = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": str(config["path"])}
    if config.get("credentials") or (isinstance(partition, Mapping) and partition.get("credentials")):
        entry["credentials"] = "(its name, as before)"
    of_entry = ("path", "metadata", "versioned")
    entry["dataset"] = plain({key: value for key, value in config.items() if key not in of_entry})
    if config.get("metadata"):
        entry["metadata"] = plain(config["metadata"])
    return str(yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True))


def _text_of(value: Any) -> Any:
    """A class as a catalog writes it; other values as they are."""
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else value


def refuse_unknown_options(ours: Mapping[str, list[ArtifactDataset]]) -> None:
    """Refuse options that a backend does not know: else they are noticed when an hour's result is to be saved.

    Raises:
        DatasetError: The backend of an entry does not know one of its options.
    """
    for name, found in ours.items():
        for each in found:
            try:
                each.check_options()
            except StatisfactoryError as error:
                raise DatasetError(f"catalog entry {name!r}: {error}") from error


def refuse_unusable_places(ours: Mapping[str, list[ArtifactDataset]], written: Container[str]) -> None:
    """Refuse to write where things can only be read, and places for which a package is missing.

    Args:
        ours: The entries of the pipeline.
        written: Names of those that it writes.

    Raises:
        DatasetError: An entry is in such a place.
    """
    for name, found in ours.items():
        for each in found:
            try:
                each.check_place(is_written=name in written)
            except StatisfactoryError as error:
                raise DatasetError(f"catalog entry {name!r}: {error}") from error


def refuse_unfit_formats(ours: Mapping[str, list[ArtifactDataset]], written: Container[str]) -> None:
    """Refuse formats that cannot work as the catalog says, before a run has computed what they are for.

    Args:
        ours: The entries of the pipeline.
        written: Names of those that it writes.

    Raises:
        DatasetError: A class refuses its arguments, or its engine works where the data is not, or could not go there.
    """
    _refuse_unready_engines(ours)
    for name, found in ours.items():
        for each in found:
            try:
                each.check_format(is_written=name in written)
            except (StatisfactoryError, DatasetError) as error:
                raise DatasetError(f"catalog entry {name!r}: {error}") from error


def _refuse_unready_engines(ours: Mapping[str, list[ArtifactDataset]]) -> None:
    """Refuse engines that could not go to the data by themselves, or would come into one bucket in two ways.

    Raises:
        DatasetError: That is so for an entry.
    """
    from kedro_statisfactory.datasets.hadoop import BUCKETS

    buckets = BUCKETS.copy()
    for name, found in ours.items():
        for each in found:
            try:
                each.check_engine(buckets)
            except StatisfactoryError as error:
                raise DatasetError(f"catalog entry {name!r}: {error}") from error


def refuse_lost_versions(run_params: Mapping[str, Any], follow: Mapping[str, list[ArtifactDataset]]) -> None:
    """Refuse a version that Kedro would not pass on to its entry, so that it is not ignored in silence.

    Raises:
        DatasetError: ``--load-versions`` names an entry that is not ``versioned``.
    """
    for name in run_params.get("load_versions") or ():
        if any(each.load_pin is None for each in follow.get(name, ())):
            error = InvalidSettings(
                "--load-versions names it, and Kedro passes that on to entries with `versioned: true` only: add that "
                "(on lakeFS it makes no folders), or pin it by `load_args: {lake_ref: …}`."
            )
            raise DatasetError(f"catalog entry {name!r}: {error}") from error


def refuse_unkept_versions(outputs: Iterable[str], ours: Mapping[str, list[ArtifactDataset]]) -> None:
    """Refuse to run a pipeline that writes versions which would not be kept.

    Args:
        outputs: Names of the entries that the pipeline writes.
        ours: Our entries, bound to the run that has begun.

    Raises:
        DatasetError: An entry could not be loaded again by its version.
    """
    for name in sorted(outputs):
        for each in ours.get(name, ()):
            try:
                each.check_versioned_save()
            except StatisfactoryError as error:
                raise DatasetError(f"catalog entry {name!r}: {error}") from error


def refuse_lost_chunks(pipeline: Pipeline, ours: Mapping[str, list[ArtifactDataset]]) -> None:
    """Refuse a generator node that saves chunks of which only the last one would stay.

    Raises:
        DatasetError: The format of an entry that such a node writes does not add to what is there.
    """
    for node in pipeline.nodes:
        if inspect.isgeneratorfunction(node.func):
            for name in node.outputs:
                if not all(each.keeps_chunks for each in ours.get(name, ())):
                    error = ChunkedSave(
                        f"the node {node.name!r} saves in chunks, and each would replace the one before. Let the "
                        "format append, without `versioned` (a text: `fs_args: {open_args_save: {mode: a}}` in "
                        "`dataset`; Delta: `save_args: {mode: append}`), or let the node return its data whole."
                    )
                    raise DatasetError(f"catalog entry {name!r}: {error}") from error
