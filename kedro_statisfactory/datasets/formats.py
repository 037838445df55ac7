"""The format of an entry: a dataset of kedro-datasets or of somebody else's, and what its class and arguments tell."""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kedro.io import core
from kedro.io.core import VERSIONED_FLAG_KEY, AbstractDataset, AbstractVersionedDataset, DatasetError

from kedro_statisfactory.datasets.engines import keeps_partitions
from kedro_statisfactory.datasets.modes import SaveModes
from kedro_statisfactory.datasets.signatures import definition_of, signature_of
from kedro_statisfactory.datasets.stacks import without_stack
from kedro_statisfactory.datasets.templates import Template
from kedro_statisfactory.errors import InvalidFormat
from kedro_statisfactory.hidden import HiddenDict

_Data = TypeVar("_Data")
_LOG_OF_KEDRO = logging.getLogger("kedro.io.core")

# Arguments of a format in which passwords travel: a description shows none of them.
_NOT_SHOWN = frozenset(("credentials", "fs_args", "storage_options"))
_OF_KEDRO = "kedro_datasets."
_PARTITIONS = "kedro_datasets.partitions."
_COLLECTIONS = ("PartitionedDataset", "IncrementalDataset")
# Classes whose libraries take a path for a pattern; of classes of others nobody knows either.
_TAKES_PATTERNS = tuple(f"kedro_datasets.{name}" for name in ("dask.", "ibis.", "pandas.delta", "polars.", "spark."))


@dataclass(frozen=True)
class Format:
    """What reads and writes the files of an entry.

    Attributes:
        kind: Class of the dataset.
        args: Its arguments but for the path.
        pattern: Names of the files that it writes into its folder, as Dask takes them; empty: it is given the path.
        argument: Name of the argument that is the path.
    """

    kind: type[AbstractDataset[Any, Any]]
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)  # passwords travel in them
    pattern: str = ""
    argument: str = "filepath"

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.kind.__qualname__

    def described(self) -> dict[str, Any]:
        """Type and arguments, as a catalog has them, without what may be secret in them."""
        return {"type": type_name(self.kind), **_shown(self.args)}

    @functools.cached_property
    def _template(self) -> Template:
        return Template()

    @functools.cached_property
    def modes(self) -> SaveModes:
        """How a save treats what is there, as the arguments say."""
        return SaveModes(self.args, self.kind.__module__)

    @property
    def builds_on_old(self) -> bool:
        """Whether a save needs what is there: it gets the old bytes."""
        # The folder of a Delta table is its history, whatever the mode.
        is_delta = "Delta" in self.name or self.args.get("file_format") == "delta"
        return is_delta or self.modes.adds or keeps_partitions(self.kind)

    def keeps_folder(self, data: object) -> bool:
        """Whether the format, when it saves ``data`` as a folder, may leave in place what it finds there."""
        save_args = self.args.get("save_args") or {}
        overwrite = signature_of(self.kind).parameters.get("overwrite")
        if self.args.get("overwrite", overwrite.default) if overwrite else save_args.get("overwrite"):
            return False
        if self._is_of("kedro_datasets.matplotlib."):
            return isinstance(data, list | Mapping)
        if self._is_of("kedro_datasets.ibis."):
            return "partition_by" in save_args
        return self._is_of("kedro_datasets.dask.", _PARTITIONS) or not self._is_of(_OF_KEDRO)

    @property
    def is_collection(self) -> bool:
        """Whether it is one of the stock classes whose partitions are stored one by one."""
        return self.kind.__module__.startswith(_PARTITIONS) and self.name in _COLLECTIONS

    @property
    def writes_folders(self) -> bool:
        """Whether it is known to write a folder in any case."""
        return "Delta" in self.name or self._is_of("kedro_datasets.spark.")

    @property
    def forgets_paths(self) -> bool:
        """Whether it is known to remember no path that it has read or written, so that other data may come there."""
        return self.kind.__module__.startswith(_OF_KEDRO)

    @property
    def is_of_kedro(self) -> bool:
        """Whether it is a class of kedro-datasets, or inherits from one how it saves."""
        return self._is_of(_OF_KEDRO)

    def names_files(self, name: str) -> bool:
        """Whether the last segment of a URL is a pattern for the files of a folder, as in ``days/*.csv`` of Dask."""
        return "*" in name and self._is_of("kedro_datasets.dask.csv")

    @functools.cached_property
    def takes_patterns(self) -> bool:
        """Whether the format may take a path for a pattern, and read other files than the one that is meant."""
        return not self._is_of(_OF_KEDRO) or self._is_of(*_TAKES_PATTERNS)

    def _is_of(self, *packages: str) -> bool:
        """Whether the class, or the one from which it inherits how it saves, is from one of these packages."""
        return _saved_by(self.kind).startswith(packages)

    def for_saving(self, path: Path, url: str) -> AbstractDataset[Any, Any]:
        """The dataset on a path of this machine, for a save that obeys the modes among its arguments.

        Args:
            path: Where it writes; what is there already is what it may add to.
            url: Of the entry, for errors.

        Raises:
            DatasetError: The class cannot be made with these arguments.
        """
        if not self.modes.changes_file:
            return self.on(path, url)
        args = copy.deepcopy(dict(self.args))
        is_there = path.exists()
        opening = self.modes.opening(is_there)
        if opening is not None and "fs_args" in signature_of(self.kind).parameters:
            by_default = (getattr(self.kind, "DEFAULT_FS_ARGS", {}).get("open_args_save") or {}).get("mode", "w")
            is_binary = "b" in by_default and "b" not in opening
            fs_args = args.setdefault("fs_args", {})
            fs_args.setdefault("open_args_save", {})["mode"] = opening + "b" * is_binary
        elif not is_there:
            _begin_anew(args)
        return self._made(path, url, args)

    def on(self, path: Path, url: str) -> AbstractDataset[Any, Any]:
        """The dataset on a path of this machine.

        Args:
            path: Where it reads and writes.
            url: Of the entry, for errors.

        Raises:
            DatasetError: The class cannot be made with these arguments.
        """
        make = functools.partial(self._made, path, url)
        # Other constructors may do anything: that of Delta tables opens the table, or finds that there is none yet.
        if not (self.kind.__module__.startswith(_OF_KEDRO) and issubclass(self.kind, AbstractVersionedDataset)):
            return make(copy.deepcopy(dict(self.args)))
        return self._template.on(str(path), lambda: make(copy.deepcopy(dict(self.args))))

    def at(self, path: str, more: Mapping[str, Any], url: str) -> AbstractDataset[Any, Any]:
        """The dataset at a place to which its engine goes by itself.

        Args:
            path: URL or path of that place.
            more: Arguments that say how to come in.
            url: Of the entry, for errors.

        Raises:
            DatasetError: The class cannot be made with these arguments.
        """
        return self._made(path, url, {**copy.deepcopy(dict(self.args)), **more})

    def _made(self, path: Path | str, url: str, args: dict[str, Any]) -> AbstractDataset[Any, Any]:
        make: Any = self.kind
        inner: AbstractDataset[Any, Any]
        try:
            inner = make(**{self.argument: str(path)}, **args)
        except DatasetError:
            raise
        except Exception as error:  # whatever a class of somebody else's raises
            raise DatasetError(self._said(path, url, error, error)) from error
        return inner

    def call(self, path: Path | str, url: str, work: Callable[[], _Data]) -> _Data:
        """Call a method of the dataset on ``path``; its errors name the entry's ``url`` instead.

        Raises:
            DatasetError: The method failed.
        """
        try:
            return work()
        except DatasetError as error:
            raise DatasetError(self._said(path, url, error, error.__cause__)) from error

    def load(self, inner: AbstractDataset[Any, Any], path: Path, url: str) -> Any:
        """Let the dataset on ``path`` load; errors are those of :meth:`call`."""
        return self._call_bare(inner, "load", path, url)

    def save(self, inner: AbstractDataset[Any, Any], data: Any, path: Path, url: str) -> None:
        """Let the dataset on ``path`` save; errors are those of :meth:`call`."""
        if data is None:  # which Kedro refuses
            self.call(path, url, functools.partial(inner.save, data))
        else:
            self._call_bare(inner, "save", path, url, data)

    def _call_bare(self, inner: AbstractDataset[Any, Any], name: str, path: Path, url: str, *args: Any) -> Any:
        """Call a method without the text about the dataset that Kedro makes for its log before each call."""
        bare = None if _LOG_OF_KEDRO.isEnabledFor(logging.DEBUG) else _bare(inner, name)
        if bare is None:
            return self.call(path, url, functools.partial(getattr(inner, name), *args))
        try:
            return bare(inner, *args)
        except DatasetError as error:
            raise DatasetError(self._said(path, url, error, error.__cause__)) from error
        except Exception as error:  # whatever a format raises, Kedro makes a DatasetError of it
            raise DatasetError(self._said(path, url, error, error)) from error

    def _said(self, path: Path | str, url: str, error: Exception, cause: BaseException | None) -> str:
        said = f"{self.name} failed: {type(cause).__name__}: {cause}" if cause else str(error)
        return f"{url!r}: {without_stack(said.replace(str(path), url))}"


def _bare(inner: AbstractDataset[Any, Any], name: str) -> Callable[..., Any] | None:
    """A method as its class defines it, where Kedro has put only its log and its errors around it; else ``None``.

    Around a save it puts a check of versions, too, of which a dataset in an entry has none.
    """
    kind = type(inner)
    if not (kind.__module__.startswith(_OF_KEDRO) and isinstance(inner, AbstractVersionedDataset)):
        return None
    return None if name in vars(inner) else _unwrapped(getattr(kind, name))


@functools.lru_cache(maxsize=256)
def _unwrapped(method: Callable[..., Any]) -> Callable[..., Any] | None:
    found: Any = method
    while getattr(found, "__globals__", None) is vars(core) and hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    return None if found is method else found


def argument_names(kind: type) -> Collection[str]:
    """Names of the arguments of a class."""
    return signature_of(kind).parameters.keys()


@functools.lru_cache(maxsize=256)
def _saved_by(kind: type) -> str:
    """The module of the class from which one inherits how it saves."""
    return next((each for each in kind.__mro__ if vars(each).keys() & {"save", "_save"}), kind).__module__


# Formats of kedro-datasets to which no arguments are given, by name and by the argument that takes the path. They hold
# nothing of an entry, so all entries share them.
_plain: dict[tuple[str, str], Format] = {}


def parse_format(
    dataset: str | type[AbstractDataset[Any, Any]] | Mapping[str, Any] | None, argument: str = "filepath"
) -> Format | None:
    """Resolve ``dataset`` of an entry as Kedro resolves an entry, and see that it fits.

    Args:
        dataset: A type as text or class, or a mapping of ``type`` and that dataset's own arguments; ``None``: none.
        argument: Which of its arguments is the path; a class without a ``filepath`` may have a ``path``.

    Raises:
        InvalidFormat: It takes no such argument, does not take these arguments, or has one that belongs to the entry.
    """
    if dataset is None:
        return None
    name = dataset["type"] if isinstance(dataset, Mapping) and dataset.keys() == {"type"} else dataset
    if isinstance(name, str) and (plain := _plain.get((name, argument))):
        return plain
    config = HiddenDict(dataset if isinstance(dataset, Mapping) else {"type": dataset})
    if not isinstance(config.get("type", ""), str | type):
        raise InvalidFormat(f"`dataset` is of type {type(dataset).__name__}: name a dataset of kedro-datasets as text.")
    if "type" not in config:
        raise InvalidFormat("`dataset` has no `type`: name the dataset that reads and writes the format.")
    if VERSIONED_FLAG_KEY in config or "version" in config:
        raise InvalidFormat("`versioned` belongs to the entry, not into its `dataset`: move it up.")
    if argument in config:
        raise InvalidFormat(f"`{argument}` belongs to the entry, not into its `dataset`: move it up.")
    kind, args = definition_of(config)
    asked, parameters = argument, signature_of(kind).parameters
    if argument == "filepath" and argument not in parameters and "path" in parameters:
        argument = "path"
        if argument in args:
            raise InvalidFormat("`path` belongs to the entry, as its `filepath`, not into its `dataset`: move it up.")
    if argument not in parameters:
        raise InvalidFormat(
            f"{type_name(kind)} cannot be the `dataset` of an entry: it takes no `{argument}`, so its data is no file "
            "that could be stored elsewhere."
        )
    try:
        signature_of(kind).bind(**{argument: ""}, **args)
    except TypeError as error:
        raise InvalidFormat(
            f"the arguments in `dataset` do not fit {type_name(kind)}: {str(error).rstrip('.')}."
        ) from error
    made = Format(kind, args, argument=argument)
    if isinstance(name, str) and kind.__module__.startswith(_OF_KEDRO):
        _plain[name, asked] = made
    return made


def _begin_anew(args: dict[str, Any]) -> None:
    """Let a writer that would change a file begin one, where there is none to change."""
    writer = (args.get("save_args") or {}).get("writer") or {}
    if str(writer.get("mode", "")).startswith("a"):
        writer["mode"] = "w"
        writer.pop("if_sheet_exists", None)  # which is about those that are there


def type_name(kind: type) -> str:
    """A class as a catalog writes it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _shown(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what may be secret in it."""
    return {
        key: _shown(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in _NOT_SHOWN
    }
