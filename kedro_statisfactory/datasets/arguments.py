"""Arguments of an entry, some of which are said to others than the backend, or stand in a wrong place."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from kedro_statisfactory.errors import InvalidFormat, UnknownOption
from kedro_statisfactory.hidden import HiddenDict

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
# Classes of kedro-datasets whose `credentials` are those of a database.
_OF_DATABASES = tuple(f"kedro_datasets.{name}" for name in ("ibis.", "pandas.gbq", "pandas.sql", "spark.gbq"))

_Kind = TypeVar("_Kind", bound=type)


def says_where_arguments_belong(kind: _Kind) -> _Kind:
    """Let a class of entries say, of an argument that it does not have, where that belongs.

    Kedro would say that it is unexpected, and no more.
    """
    init: Any = kind.__init__  # type: ignore[misc]
    known = [name for name in inspect.signature(init).parameters if name != "self"]

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        kwargs = HiddenDict(kwargs)  # whatever fails in here may show the locals of this function
        for name in kwargs:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                meant = f"Did you mean `{near[0]}`? " if near else ""
                raise UnknownOption(
                    f"an entry has no argument `{name}`. {meant}One of the format belongs into `dataset`, beside its "
                    f"`type`. An entry knows: {', '.join(known)}."
                )
        init(self, *args, **kwargs)

    kind.__init__ = __init__  # type: ignore[misc]
    return kind


def mapping_of(name: str, value: object) -> dict[str, Any]:
    """A copy of the argument ``name``, empty when it is absent.

    Raises:
        UnknownOption: It is no mapping.
    """
    if value is not None and not isinstance(value, Mapping):
        raise UnknownOption(
            f"`{name}` of the entry is of type {type(value).__name__}: write `key: value` pairs below it."
        )
    return HiddenDict(value or {})


def connection_of(fs_args: Mapping[str, Any]) -> dict[str, Any]:
    """What ``fs_args`` say about the connection.

    Raises:
        UnknownOption: They have a key that is the format's.
    """
    for key in _OF_THE_FORMAT:
        if key in fs_args:
            raise UnknownOption(f"{key!r} in `fs_args` is for the format: move it into `fs_args` of `dataset`.")
    return HiddenDict({key: value for key, value in fs_args.items() if key not in _FSSPEC_ONLY})


def refuse_connection(kind: type, args: Mapping[str, Any]) -> None:
    """Refuse what a format would say of a connection: it works on a file of this machine, and would say it to nobody.

    Args:
        kind: Class of the format.
        args: Its arguments.

    Raises:
        InvalidFormat: Its arguments have `credentials`, or `fs_args` for another thing than to open files.
    """
    module = kind.__module__
    if not module.startswith("kedro_datasets.") or module.startswith(_OF_DATABASES):
        return
    if args.get("credentials"):
        raise InvalidFormat(
            "`credentials` belongs to the entry, not into its `dataset`, where it would be ignored: move it up."
        )
    fs_args = args.get("fs_args")
    if isinstance(fs_args, Mapping) and (told := sorted(fs_args.keys() - {*_OF_THE_FORMAT, *_FSSPEC_ONLY})):
        raise InvalidFormat(
            f"`{told[0]}` is about the connection, and `fs_args` of a `dataset` are about opening files: move it into "
            "`fs_args` of the entry, without which it would be ignored."
        )
