"""Arguments of an entry that are mappings, some of which are said to others than the backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedro_statisfactory.errors import UnknownOption

# What PartitionedDataset's `fs_args` say to fsspec about its own caches and folders: nothing that a backend would do
# otherwise.
_FSSPEC_ONLY = frozenset(
    (
        "asynchronous",
        "auto_mkdir",
        "cache_regions",
        "default_block_size",
        "default_cache_type",
        "default_fill_cache",
        "dircache",
        "listings_expiry_time",
        "max_concurrency",
        "max_paths",
        "skip_instance_cache",
        "use_listings_cache",
    )
)
_OF_THE_FORMAT = ("open_args_load", "open_args_save")


def mapping_of(name: str, value: object) -> dict[str, Any]:
    """A copy of the argument ``name``, empty when it is absent.

    Raises:
        UnknownOption: It is no mapping.
    """
    if value is not None and not isinstance(value, Mapping):
        raise UnknownOption(
            f"`{name}` of the entry is of type {type(value).__name__}: write `key: value` pairs below it."
        )
    return dict(value or {})


def connection_of(fs_args: Mapping[str, Any]) -> dict[str, Any]:
    """What ``fs_args`` say about the connection.

    Raises:
        UnknownOption: They have a key that is the format's.
    """
    for key in _OF_THE_FORMAT:
        if key in fs_args:
            raise UnknownOption(f"{key!r} in `fs_args` is for the format: move it into `fs_args` of `dataset`.")
    return {key: value for key, value in fs_args.items() if key not in _FSSPEC_ONLY}
