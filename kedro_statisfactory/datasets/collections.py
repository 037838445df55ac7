"""What the arguments of ``PartitionedDataset`` and ``IncrementalDataset`` of kedro-datasets say about a collection."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kedro.io.core import VERSION_KEY, VERSIONED_FLAG_KEY, DatasetError, Version, generate_timestamp
from kedro.utils import load_obj

from kedro_statisfactory.backends.base import CLAIM, STAGING_NAME
from kedro_statisfactory.datasets.ahead import checked_count
from kedro_statisfactory.datasets.arguments import refuse_connection
from kedro_statisfactory.datasets.formats import Format, parse_format
from kedro_statisfactory.datasets.signatures import definition_of
from kedro_statisfactory.datasets.versioned import VersionedEntry
from kedro_statisfactory.errors import InvalidFormat, InvalidURL, StatisfactoryError
from kedro_statisfactory.location import parse

# What the others have to be: a text such as "no" would count as true otherwise, and remove partitions.
_KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "filename_suffix": (str, "a text"),
    "filepath_arg": (str, "a text"),
    "overwrite": (bool, "true or false"),
    "save_lazily": (bool, "true or false"),
    "load_args": (Mapping, "`key: value` pairs"),
    "fs_args": (Mapping, "`key: value` pairs"),
    "checkpoint": ((str, Mapping), "a text, or `key: value` pairs"),
}
_CHECKPOINT_NAME, _CHECKPOINT_TYPE = "CHECKPOINT", "kedro_datasets.text.TextDataset"


@dataclass(frozen=True)
class Checkpoint:
    """Up to where an incremental collection has been processed.

    Attributes:
        format: Reads and writes the id of the last partition that was processed.
        path: Where it is kept, below the collection.
        forced: Taken in its place; ``None``: what is kept.
        compare: Called with the id of a partition and the checkpoint: whether the partition has to be processed.
    """

    format: Format
    path: str
    forced: Any
    compare: Callable[[str, Any], bool]

    def read(self, load: Callable[[], Any]) -> Any:
        """What is kept.

        Args:
            load: Loads it.

        Raises:
            DatasetError: It cannot be had.
            InvalidFormat: It is not of its format.
        """
        try:
            return load()
        except DatasetError as error:
            if isinstance(error.__cause__, StatisfactoryError):  # nothing is wrong with what it holds
                raise
            raise InvalidFormat(
                f"the checkpoint {self.path!r} cannot be read as {self.format.name} ({str(error).rstrip('.')}): name "
                "the `type` that has written it under `checkpoint`, correct it, or delete it to begin with all of them."
            ) from error

    def is_new(self, key: str, last: Any) -> bool:
        """Whether a partition has to be processed.

        Args:
            key: Its id.
            last: The checkpoint.

        Raises:
            InvalidFormat: That cannot be told.
        """
        try:
            return bool(self.compare(key, last))
        except Exception as error:  # whatever a comparison with a table, say, or a function of somebody else's raises
            what = f"the checkpoint {self.path!r} holds" if self.forced is None else "`force_checkpoint` is"
            raise InvalidFormat(
                f"{what} {reprlib.repr(last)}, of type {type(last).__name__}, with which ids of partitions cannot be "
                f"compared ({error}): correct it, delete it, or name a `comparison_func`."
            ) from error


@dataclass(frozen=True)
class Collection:
    """A folder of partitions.

    Attributes:
        partition: Reads and writes one of them; ``None``: its bytes.
        version: Which version of each is read and written; ``None``: they have none.
        suffix: Of the names of their files, and of no other file.
        overwrite: Whether a save removes those that it does not write.
        saves_lazily: Whether what can be called is called for the data to be saved.
        depth: How many folders deep they are looked for; ``None``: all.
        checkpoint: Where it is incremental.
        read_ahead: How many partitions may be fetched before they are used.
    """

    partition: Format | None
    version: Version | None
    suffix: str
    overwrite: bool
    saves_lazily: bool
    depth: int | None
    checkpoint: Checkpoint | None
    read_ahead: int = 0

    @property
    def formats(self) -> list[Format]:
        """All formats that it uses."""
        checkpoint = self.checkpoint.format if self.checkpoint is not None else None
        return [each for each in (self.partition, checkpoint) if each is not None]

    def has(self, path: str) -> bool:
        """Whether a file below the folder is a partition."""
        is_checkpoint = self.checkpoint is not None and path == self.checkpoint.path
        is_deep = self.depth is not None and path.count("/") >= self.depth
        return path.endswith(self.suffix) and not is_checkpoint and not is_deep

    def id_of(self, path: str) -> str:
        """The id of a partition."""
        return path.removesuffix(self.suffix)

    def paths_of(self, data: object) -> dict[str, str]:
        """Where the partitions of ``data`` are saved, by their ids, in order.

        Raises:
            InvalidFormat: It is no mapping.
            InvalidURL: An id makes no path below the folder, or two of them exclude each other.
        """
        if not isinstance(data, Mapping):
            raise InvalidFormat(f"a collection is saved from a mapping of ids to data, and got {type(data).__name__}.")
        for key in data:
            self._check(key)
        if len({key.replace("\\", "/") for key in data}) < len(data):
            raise InvalidURL(
                "two ids of partitions differ in '/' and '\\' alone, which Windows and some servers take for the same: "
                "write '/' only."
            )
        paths = {key: f"{key}{self.suffix}" for key in sorted(data)}
        found = set(paths.values())
        for key, path in paths.items():
            for end in (number for number, letter in enumerate(path) if letter == "/"):
                if path[:end] in found:
                    raise InvalidURL(
                        f"the partitions {self.id_of(path[:end])!r} and {key!r} cannot both be there: one would be a "
                        "file, and the other in a folder of the same name. Rename one of them."
                    )
        return paths

    def _check(self, key: object) -> None:
        if not isinstance(key, str):
            raise InvalidURL(f"the id {key!r} of a partition is of type {type(key).__name__}: make it a text.")
        segments = key.replace("\\", "/").split("/")  # Windows takes both
        if not {"", ".", ".."}.isdisjoint(segments):
            raise InvalidURL(
                f"the id {key!r} of a partition is empty, or absolute, or has a segment that is empty, '.' or '..': "
                "write a path below the folder of the collection, as in '2026/11/26'."
            )
        parse(f"/{key}{self.suffix}")  # refuses control characters
        if any(segment.startswith((STAGING_NAME, CLAIM)) for segment in segments):
            raise InvalidURL(f"the id {key!r} of a partition begins as names do that this package uses: rename it.")
        if self.checkpoint is not None and f"{key}{self.suffix}" == self.checkpoint.path:
            raise InvalidURL(f"the partition {key!r} would be where the checkpoint is kept: rename one of them.")


def parse_collection(format_: Format, url: str, read_ahead: object) -> Collection:
    """Read the arguments of a stock class.

    Args:
        format_: With the class and its arguments.
        url: Of the folder.
        read_ahead: How many partitions may be fetched before they are used.

    Raises:
        InvalidFormat: Something in them cannot be done.
    """
    args = {name: value for name, value in format_.args.items() if value is not None or name == "dataset"}
    for name, (kind, meant) in _KINDS.items():
        if name in args and not isinstance(args[name], kind):
            raise InvalidFormat(f"`{name}` of a collection is of type {type(args[name]).__name__}: write {meant}.")
    definition, version = _definition_of(args["dataset"])
    if args.get("fs_args") and definition is not None:
        definition.setdefault("fs_args", args["fs_args"])
    argument = args.get("filepath_arg", "filepath")
    is_incremental = format_.name == "IncrementalDataset"
    if is_incremental and read_ahead:
        raise InvalidFormat("an `IncrementalDataset` loads all partitions at once: take `read_ahead` away.")
    return Collection(
        partition=_partition_of(definition, argument),
        version=version,
        suffix=args.get("filename_suffix", ""),
        overwrite=args.get("overwrite", False),
        saves_lazily=args.get("save_lazily", True),
        depth=_depth_of(args.get("load_args") or {}),
        checkpoint=_checkpoint_of(args.get("checkpoint"), argument, url) if is_incremental else None,
        read_ahead=checked_count(read_ahead),
    )


def _definition_of(dataset: Any) -> tuple[dict[str, Any] | None, Version | None]:
    """The definition of a partition's dataset, and its version; ``None``: the bytes are not looked at."""
    definition = dict(dataset) if isinstance(dataset, Mapping) else {"type": dataset}
    version = definition.pop(VERSION_KEY, None)
    if definition.pop(VERSIONED_FLAG_KEY, False):
        version = Version(None, generate_timestamp())
    if isinstance(definition.get("type"), str | type):
        kind, _ = definition_of({"type": definition["type"]})
        if issubclass(kind, VersionedEntry):  # the collection is one already
            if others := sorted(definition.keys() - {"type", "dataset", "metadata"}):
                raise InvalidFormat(
                    f"the partitions are stored as the entry says: move `{others[0]}` up to it, beside `filepath`."
                )
            return (_definition_of(definition["dataset"])[0] if definition.get("dataset") else None), version
    return definition, version


def _partition_of(definition: dict[str, Any] | None, argument: str) -> Format | None:
    found = parse_format(definition, argument)
    if found is not None and (found.is_collection or found.writes_folders):
        what = "a collection" if found.is_collection else "a folder"
        raise InvalidFormat(
            f"a partition of {found.name} would be {what}, and a listing does not tell which files make one: choose a "
            f"format that writes single files, or make {found.name} the `dataset` of an entry of its own."
        )
    if found is not None:
        refuse_connection(found.kind, found.args)
    return found


def _depth_of(load_args: Mapping[str, Any]) -> int | None:
    """How deep partitions are looked for: the one of fsspec's arguments that changes what is found."""
    if others := sorted(load_args.keys() - {"maxdepth"}):
        raise InvalidFormat(
            f"`load_args` of a collection are arguments for its listing, of which `maxdepth` is known here: take "
            f"`{others[0]}` away. Arguments of the format belong into the `dataset` within."
        )
    depth: int | None = load_args.get("maxdepth")
    if depth is not None and (not isinstance(depth, int) or depth < 1):
        raise InvalidFormat(f"`maxdepth` of a collection is {depth!r}: write a number of levels, 1 or more.")
    return depth


def _checkpoint_of(config: Any, argument: str, url: str) -> Checkpoint:
    config = {"force_checkpoint": config} if isinstance(config, str) else dict(config or {})
    for key in (VERSION_KEY, VERSIONED_FLAG_KEY, "credentials"):
        if key in config:
            raise InvalidFormat(f"`{key}` of the checkpoint is not supported: it is stored as the entry is.")
    forced, is_new = config.pop("force_checkpoint", None), config.pop("comparison_func", operator.gt)
    given = str(config.pop(argument, f"{url}/{_CHECKPOINT_NAME}"))
    path = given.removeprefix(f"{url}/")
    if "://" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise InvalidFormat(
            f"the checkpoint {given!r} is outside of the collection {url!r}: write a path below that in full, as in "
            f"'{url}/{_CHECKPOINT_NAME}'. (Kedro takes a relative one for one of the project's.)"
        )
    format_ = parse_format({"type": _CHECKPOINT_TYPE, **config}, argument)
    assert format_ is not None  # there is a type
    refuse_connection(format_.kind, format_.args)
    return Checkpoint(format_, path, forced, _function_of(is_new))


def _function_of(named: Any) -> Callable[[str, Any], bool]:
    """What compares an id and a checkpoint."""
    try:
        found = load_obj(named) if isinstance(named, str) else named
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidFormat(
            f"`comparison_func: {named}` of the checkpoint cannot be imported: {str(error).rstrip('.')}."
        ) from error
    if not callable(found):
        raise InvalidFormat(f"`comparison_func` of the checkpoint is {named!r}, which is no function: name one.")
    compare: Callable[[str, Any], bool] = found
    return compare
