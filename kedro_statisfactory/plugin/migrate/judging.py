"""Which entries can move, what becomes of them, and why others stay."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro.io.core import parse_dataset_definition

from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.plugin.migrate.document import OF_THE_ENTRY
from kedro_statisfactory.plugin.migrate.editing import OURS

#: Stands for parameters of a run that have no default.
PARAMETER = "parameter-of-a-run-"

_PLACEHOLDER = re.compile(r"\{.*?\}|" + PARAMETER)
_ALREADY = "it is an ArtifactDataset already"
# Classes of kedro-datasets whose `filepath` is not where their data is.
_ELSEWHERE = {
    "GBQQueryDataset": "its `filepath` is that of a query, and its data is in a database",
    "SQLQueryDataset": "its `filepath` is that of a query, and its data is in a database",
    "SparkStreamingDataset": "a stream has no end, after which it could be stored",
}


class Stays(Exception):
    """An entry cannot move; the text says why."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of an entry that can move.

    Attributes:
        config: The entry, as it shall be when all is resolved.
        is_moved: Whether its format becomes its ``dataset``; else only its place changes.
        is_relocated: Whether its place changes.
        why_there: Why it does not, though a root was given; empty: no reason.
        unchecked: Why it could not be made here, to see whether it works; empty: it works.
    """

    config: dict[str, Any]
    is_moved: bool
    is_relocated: bool = False
    why_there: str = ""
    unchecked: str = ""


def judge(config: Any, root: str) -> Verdict:
    """Say what becomes of an entry, and see that it would work.

    Args:
        config: The entry, resolved.
        root: Where it shall live; empty: where it is.

    Raises:
        Stays: It cannot move, or has nothing to do.
    """
    verdict = moved(config, root)
    if not verdict.unchecked:
        _check(verdict.config)
    return verdict


def moved(config: Any, root: str) -> Verdict:
    """Say what becomes of an entry.

    Args:
        config: The entry, resolved.
        root: Where it shall live; empty: where it is.

    Raises:
        Stays: It cannot move, or has nothing to do.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("type"), str):
        raise Stays("it has no `type`")
    kind, missing = _kind_of(config["type"])
    is_ours = kind is not None and _is_ours(kind)
    if is_ours and not root:
        raise Stays(_ALREADY)
    entry = dict(config) if is_ours else _with_dataset(config, kind)
    path, why_there = _relocated(entry.get("filepath"), root)
    if path != entry.get("filepath") and (within := next(_paths_in(entry.get("dataset"), root), "")):
        path = entry["filepath"]
        why_there = f"it stays at {path!r}, because {within!r} in its arguments is a path as well: move both by hand"
    is_relocated = path != entry.get("filepath")
    if is_ours and not is_relocated:
        raise Stays(why_there or _ALREADY)
    return Verdict({**entry, "filepath": path}, not is_ours, is_relocated, why_there, missing)


def _is_ours(kind: type) -> bool:
    from kedro_statisfactory.datasets.artifact import ArtifactDataset

    return issubclass(kind, ArtifactDataset)


@functools.lru_cache(maxsize=256)
def _kind_of(name: str) -> tuple[type[AbstractDataset[Any, Any]] | None, str]:
    """The class of a type; where a package is missing that it needs, why there is none."""
    if _PLACEHOLDER.search(name):
        raise Stays("its `type` is filled in later")
    try:
        return parse_dataset_definition({"type": name})[0], ""
    except Exception as error:  # a class of kedro-datasets fails in its own way where its library is missing
        if _is_of_kedro_datasets(name):
            return None, f"{name} cannot be imported here"
        raise Stays(f"its class is not known here: {error}") from error


def _is_of_kedro_datasets(name: str) -> bool:
    module, _, kind = name.removeprefix("kedro_datasets.").rpartition(".")
    if not module.isidentifier():
        return False
    try:
        return kind in importlib.import_module(f"kedro_datasets.{module}").__all__
    except (ImportError, AttributeError):
        return False


def _with_dataset(config: Mapping[str, Any], kind: type[AbstractDataset[Any, Any]] | None) -> dict[str, Any]:
    """The entry with all that belongs to its format below ``dataset``."""
    name = config["type"].rpartition(".")[2]
    if name in _ELSEWHERE:
        raise Stays(_ELSEWHERE[name])
    argument = "filepath" if "filepath" in config else "path"
    if argument not in config or (kind is not None and argument not in inspect.signature(kind).parameters):
        raise Stays(f"{config['type']} takes no `filepath`, so its data is no file that could be stored elsewhere")
    if not isinstance(config[argument], str):
        raise Stays(f"its `{argument}` is no text")
    if "ibis." in config["type"] and config.get("credentials"):
        raise Stays("its `credentials` are those of a database: move them into `dataset` by hand")
    path = config[argument]
    entry = {"type": OURS, "filepath": path.removesuffix("/") if argument == "path" else path}
    dataset: dict[str, Any] = {}
    for key, value in config.items():
        if key == "layer":
            if "metadata" in config:
                raise Stays("it has `layer` and `metadata`: write `metadata: {kedro-viz: {layer: …}}` first")
            entry["metadata"] = {"kedro-viz": {"layer": value}}
        elif key == "fs_args":
            (dataset if _is_for_opening(value) else entry)[key] = value
        elif key != argument:
            (entry if key in OF_THE_ENTRY else dataset)[key] = value
    return {**entry, "type": OURS, "dataset": dataset}


def _is_for_opening(fs_args: Any) -> bool:
    """Whether ``fs_args`` are for the format, and not for the connection."""
    names = list(fs_args) if isinstance(fs_args, Mapping) else []
    opening = [name.startswith("open_args_") for name in names]
    if any(opening) and not all(opening):
        raise Stays("its `fs_args` are for the connection and for opening files: move `open_args_…` by hand")
    return any(opening)


def _relocated(path: Any, root: str) -> tuple[Any, str]:
    """Where an entry is going to live; and why that is where it is now, if it is not below the root."""
    if not root or not isinstance(path, str) or path.startswith(f"{root}/"):
        return path, ""
    if path.startswith(("/", "~", "\\")) or ":" in path.partition("/")[0]:
        return path, f"it stays at {path!r}, which is no path of the project"
    if not {"", ".", ".."}.isdisjoint(path.split("/")):
        return path, f"it stays at {path!r}: write that without '.', '..' and '//' first"
    return f"{root}/{path}", ""


def _paths_in(value: Any, root: str) -> Iterator[str]:
    """Paths among the arguments of a format that Kedro takes for those of the project, such as that of a checkpoint."""
    for key, item in value.items() if isinstance(value, Mapping) else ():
        if key in ("filepath", "filename", "path") and _relocated(item, root)[0] != item:
            yield item
        yield from _paths_in(item, root)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a configuration."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _check(config: Mapping[str, Any]) -> None:
    """See whether an entry can be made as it shall be.

    Raises:
        Stays: It cannot.
    """
    from kedro_statisfactory.datasets.artifact import ArtifactDataset

    given = {key: config[key] for key in ("filepath", "dataset", "fs_args", "load_args", "save_args") if key in config}
    try:
        entry = ArtifactDataset(**given)
        entry.check_options()
        if not any(map(_PLACEHOLDER.search, _texts(given))):
            entry.check_format(is_written=False)
    except (StatisfactoryError, DatasetError) as error:
        raise Stays(f"as an ArtifactDataset it would not work: {error}") from error
