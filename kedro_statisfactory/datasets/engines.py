"""Engines that work on several machines: what they would write to, or read from, a folder of this one only."""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path
from typing import Any

from kedro_statisfactory.errors import InvalidFormat

# `local`, `local[4]`, `local[*,2]`; a `local-cluster[…]` has processes of its own.
_LOCAL = re.compile(r"local(\[[^]]*\])?")
_SPARK = "kedro_datasets.spark."
_DASK = "kedro_datasets.dask."
_HANDLES = frozenset((f"{_SPARK}deltatable_dataset.DeltaTableDataset",))


def refuse_cluster(kind: type, data: object = None) -> None:
    """Refuse a format whose engine works on other machines, as far as that is known by now.

    They do not see the folder in which a copy is staged: they would write their parts somewhere else, and a folder
    without any would be published.

    Args:
        kind: Class of the format.
        data: What is going to be saved, if that is there already.

    Raises:
        InvalidFormat: The engine's workers may be on other machines.
    """
    where = None
    if _engine_of(kind) == _SPARK:
        where = _spark_cluster(data)
    elif _engine_of(kind) == _DASK:
        where = _dask_cluster()
    if where:
        raise InvalidFormat(
            f"{kind.__qualname__} works on {where}, whose workers may not see the folders of this machine, in which "
            "an entry is staged: set `native: true`, by which the engine goes to the data itself, or let the engine "
            "run on this machine."
        )


@functools.lru_cache(maxsize=256)
def _engine_of(kind: type) -> str:
    """The package of an engine's classes, where a class is one of these; else nothing."""
    names = [each.__module__ for each in kind.__mro__]
    return next((engine for engine in (_SPARK, _DASK) if any(name.startswith(engine) for name in names)), "")


def refuse_handle(kind: type) -> None:
    """Refuse a format that gives a handle on the data, whose changes would stay on a copy.

    Raises:
        InvalidFormat: It is such a format.
    """
    if _gives_handle(kind):
        raise InvalidFormat(
            f"{kind.__qualname__} gives a handle by which a table is changed where it is, and here it would be a copy "
            "that is changed: use spark.SparkDataset with `file_format: delta`, or keep the entry on disk."
        )


@functools.lru_cache(maxsize=256)
def _gives_handle(kind: type) -> bool:
    return any(f"{each.__module__}.{each.__qualname__}" in _HANDLES for each in kind.__mro__)


def keeps_partitions(kind: type) -> bool:
    """Whether the Spark session in use lets partitions stay that an overwriting save does not write."""
    if not kind.__module__.startswith(_SPARK) or (session := active_spark()) is None:
        return False
    return str(session.conf.get("spark.sql.sources.partitionOverwriteMode", "static")).lower() == "dynamic"


def active_spark() -> Any:
    """The Spark session in use; ``None`` where there is none."""
    if "pyspark.sql" not in sys.modules:
        return None
    from pyspark.sql import SparkSession

    try:
        return SparkSession.active()  # that of another thread, too
    except Exception:  # there is none, which each release says by another error
        return None


def _spark_cluster(data: object) -> str | None:
    """The master of the Spark session in use, where it is not this machine."""
    session: Any = getattr(data, "sparkSession", None) or active_spark()
    if session is None:
        return None
    try:
        master = str(session.sparkContext.master)
    except Exception:  # a session of Spark Connect has none, and says so by an error of its own
        return "a Spark Connect server"
    return None if _LOCAL.fullmatch(master) else f"the Spark master {master!r}"


def _dask_cluster() -> str | None:
    """The scheduler of the Dask client in use, where its workers may be on other machines."""
    distributed: Any = sys.modules.get("distributed")
    try:
        client = distributed.default_client() if distributed else None
    except ValueError:  # there is none
        return None
    if client is None or isinstance(client.cluster, distributed.LocalCluster):
        return None
    return f"the Dask scheduler {client.scheduler.address!r}"


def refuse_hollow(path: Path, name: str) -> None:
    """Refuse to publish a folder that holds none of what its format promised.

    Args:
        path: What the format has written.
        name: Of the format.

    Raises:
        InvalidFormat: It says that all is there, and the parts are not.
    """
    if not path.is_dir():
        return
    missing = [each for each in _files_of_delta(path) if not (path / each).is_file()]
    data = (each for each in path.rglob("*") if each.is_file() and not each.name.startswith((".", "_")))
    if missing or ((path / "_SUCCESS").is_file() and next(data, None) is None):
        what = f"the files that its log names, for example {missing[0]!r}" if missing else "any file beside `_SUCCESS`"
        raise InvalidFormat(
            f"{name} has written a folder without {what}: its workers may not see the folders of this machine, in "
            "which an entry is staged."
        )


def _files_of_delta(path: Path) -> list[str]:
    """The files of a Delta table that the newest commit of its log has added, relative to the table."""
    from urllib.parse import unquote

    found: list[str] = []
    for commit in sorted((path / "_delta_log").glob("*.json"))[-1:]:
        actions = map(json.loads, commit.read_text().splitlines())
        found += [unquote(action["add"]["path"]) for action in actions if "add" in action]
    return [name for name in found if "://" not in name and not name.startswith("/")]
