"""Formats whose engine goes to the data by itself: it gets a URL of the store, and the connection in its own words."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

from kedro.io.core import AbstractDataset, DatasetError

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.datasets import hadoop
from kedro_statisfactory.datasets.denied import said_no
from kedro_statisfactory.datasets.engines import refuse_hollow
from kedro_statisfactory.datasets.formats import Format, argument_names, type_name
from kedro_statisfactory.datasets.noting import noting_in_place
from kedro_statisfactory.datasets.object_store import in_object_store, of_requests
from kedro_statisfactory.datasets.replaced import Replaced
from kedro_statisfactory.datasets.rereading import is_of_dask, reads_from, without_reading
from kedro_statisfactory.datasets.staging import staged_path, staging_folder
from kedro_statisfactory.errors import InvalidFormat, PermissionDenied, PreconditionFailed
from kedro_statisfactory.hidden import Hidden, HiddenDict
from kedro_statisfactory.location import basename

#: The families of engines: fsspec's libraries, the object stores of Rust, and what goes by Hadoop's S3A, as Spark does.
SHAPES = ("fsspec", "object_store", "hadoop")
# Packages whose engines cannot be told here how to reach the data, and why.
_CANNOT = {
    "kedro_datasets.ibis.": "its `credentials` are those of a database, which it does not tell how to reach files",
    "kedro_datasets.spark.deltatable_dataset": (
        "it takes no options by which Spark could be told how to reach the data; spark.SparkDataset with `file_format: "
        "delta` does, and gives a data frame"
    ),
    "kedro_datasets.spark.spark_streaming_dataset": "what a streaming query writes is never whole",
}
# Classes that read lazily: a scan of them should not fetch all.
_LAZY_POLARS = "kedro_datasets.polars.lazy_polars_dataset.LazyPolarsDataset"
_SCANS = ("kedro_datasets.dask.parquet_dataset.ParquetDataset", "kedro_datasets.dask.csv_dataset.CSVDataset")
_DELTA_RS = "kedro_datasets.pandas.deltatable_dataset."
_SPARK = "kedro_datasets.spark."


@dataclass(frozen=True)
class Place:
    """Where an engine finds its data.

    Attributes:
        path: What the format is given as its path.
        args: Its further arguments, which say how to come in.
        secrets: Texts that no error may show.
    """

    path: str
    args: Mapping[str, Any]
    secrets: frozenset[Hidden[str]] = frozenset()


class NativeFormat:
    """Lets the engine of a format read and write where the data is.

    Args:
        format_: The format.
        url: Of the entry, for errors.
        shape: Its family; ``True``: that of its class.

    Raises:
        InvalidFormat: The class cannot be told how to come in.
    """

    def __init__(self, format_: Format, url: str, shape: str | bool) -> None:
        self._format, self._url = format_, url
        self._shape = shape if isinstance(shape, str) else _shape_of(format_.kind)
        if why := _why_not(format_, self._shape):
            raise InvalidFormat(f"{format_.name} cannot be `native`: {why}. Take `native` away.")
        if self._shape == "hadoop" and not format_.modes.is_of_spark:
            mode = format_.args["save_args"]["mode"]
            raise InvalidFormat(f"Spark knows no mode {mode!r}: write append, overwrite, ignore or error.")
        if (format_.args.get("save_args") or {}).get("compute") is False:
            raise InvalidFormat(
                "`compute: false` among the `save_args` of the format lets a save return before the data is there: "
                "take it away."
            )

    def check(self, backend: Backend, where: ParseResult, buckets: hadoop.Buckets) -> None:
        """Refuse what the engine could not do, as far as that is known before anything is read or written.

        Args:
            backend: Says where that would be.
            where: The location.
            buckets: Who comes into which bucket, in this process and by other entries.

        Raises:
            InvalidFormat: It lacks something, or reaches another place of that name already.
            StatisfactoryError: The engine could not come in.
        """
        access = backend.check_engine(fragment=where)
        if self._shape == "hadoop":
            hadoop.refuse_unready(self._format.name, self._format.args, access is not None)
            if access is not None:
                buckets.add(access)

    def refuse_untold(self, credentials: Mapping[str, Any]) -> None:
        """Refuse what the credentials of an entry say and its engine cannot be told.

        Args:
            credentials: Of the entry.

        Raises:
            InvalidFormat: There is something.
        """
        config = credentials.get("config_kwargs")
        if self._shape == "object_store" and isinstance(config, Mapping):
            of_requests(config, self._url)

    def load(self, backend: Backend, where: ParseResult, options: Mapping[str, Any]) -> Any:
        """Let the engine read.

        Args:
            backend: Says where that is.
            where: The location.
            options: Of the backend, for that.

        Raises:
            FileNotFoundError: Nothing is there.
            DatasetError: The engine failed.
        """
        return self.ask(backend, where, options, lambda inner: inner.load())

    def ask(
        self,
        backend: Backend,
        where: ParseResult,
        options: Mapping[str, Any],
        work: Callable[[AbstractDataset[Any, Any]], Any],
    ) -> Any:
        """Let the format do something with what is there; arguments as for :meth:`load`.

        Args:
            backend: Says where that is.
            where: The location.
            options: Of the backend, for that.
            work: Called with a dataset of the format; what it gives is given back.
        """
        access = backend.engine_access(fragment=where, **options)
        noting = noting_in_place(backend, access, ()) if isinstance(access, Path) else contextlib.nullcontext()
        with noting:
            place = self._place(access, where)
            found = self._call(place, work)
            if isinstance(access, S3Access) and access.may_change and self._shape == "hadoop":
                hadoop.forget_cached(found, place.path)
            return found

    def save(self, data: Any, replaced: Replaced) -> bool:
        """Let the engine write, in place of what is there unless its mode adds to that or protects it.

        Gives whether it has: a mode may keep what is there.

        Args:
            data: The object.
            replaced: What is there.

        Raises:
            DatasetError: The engine failed; where nothing hides it, what it has written so far is there.
            InvalidFormat: It has written nothing.
            PreconditionFailed: Something is there, and its mode is to fail then.
        """
        modes = self._format.modes
        if (modes.keeps_old or modes.fails_if_exists) and replaced.is_there():
            if modes.keeps_old:
                return False
            raise PreconditionFailed(
                f"something is there already, and the mode of {self._format.name} is to fail then: delete it first, or "
                "set `save_args: {mode: overwrite}` in `dataset`."
            )
        adds = self._format.builds_on_old
        if adds:
            replaced.refuse_the_past()
        backend, where, options = replaced.backend, replaced.where, replaced.save_args
        if self._shape == "hadoop":
            self.check(backend, where, hadoop.BUCKETS)
            if not adds:
                self._refuse_rereading(data, replaced)
        elif not adds and (parent := backend.staging_parent(fragment=where)) is not None:
            self._save_beside(data, parent, replaced)
            return True
        elif not adds:
            data = without_reading(data)
            self._refuse_rereading(data, replaced)
        access = backend.engine_access(fragment=where, saving="add" if adds else "replace", **options)
        self._call(self._place(access, where), lambda inner: inner.save(data))
        if not backend.end_engine_save(fragment=where, **options):
            raise self._nothing_written()
        if isinstance(access, Path):
            refuse_hollow(access, self._format.name)
        return True

    def _save_beside(self, data: Any, parent: Path, replaced: Replaced) -> None:
        """Let the engine write beside what is there, which is replaced in one step when all is written."""
        with staging_folder(parent) as folder:
            staged = staged_path(folder.path, basename(replaced.where))
            self._call(self._place(staged, replaced.where), lambda inner: inner.save(data))
            if not staged.exists():
                raise self._nothing_written()
            replaced.backend.upload(source=staged, fragment=replaced.where, consume=True, **replaced.save_args)

    def _nothing_written(self) -> InvalidFormat:
        return InvalidFormat(
            f"{self._format.name} has reported no error, and has written nothing at {self._url!r}: its workers may not "
            "reach that place."
        )

    def _refuse_rereading(self, data: Any, replaced: Replaced) -> None:
        """Refuse to remove what an engine is going to read for the very save that replaces it."""
        files = hadoop.files_of(data) if self._shape == "hadoop" else []
        if not files and not is_of_dask(data):
            return
        access = replaced.backend.engine_access(fragment=replaced.where, saving="add", **replaced.save_args)
        place = self._place(access, replaced.where).path
        is_read = any(f"{file}/".startswith(f"{place}/") for file in files)
        if is_read or (isinstance(access, S3Access) and reads_from(data, access)):
            raise InvalidFormat(
                f"what is saved at {self._url!r} is read, when it is written, from what it would replace: save it "
                "elsewhere first, or add to it by a mode."
            )

    def _place(self, access: S3Access | Path, where: ParseResult) -> Place:
        pattern = f"/{self._format.pattern}" if self._format.pattern else ""
        if isinstance(access, Path):
            return Place(f"{access}{pattern}", {})
        if self._shape == "hadoop":
            return self._in_hadoop(access)
        make = in_object_store if self._shape == "object_store" else _in_fsspec
        path, credentials = make(access, where)
        secrets = (access.secret_access_key, access.session_token)
        return Place(f"{path}{pattern}", {"credentials": credentials}, frozenset(each for each in secrets if each))

    def _in_hadoop(self, access: S3Access) -> Place:
        hadoop.BUCKETS.add(access)
        path, told = hadoop.in_hadoop(access)
        args = {name: HiddenDict({**told, **(self._format.args.get(name) or {})}) for name in hadoop.ARGUMENTS}
        return Place(path, args, hadoop.secrets_of(told))

    def _call(self, place: Place, work: Callable[[AbstractDataset[Any, Any]], Any]) -> Any:
        """Let the format work at a place; no error of it shows a secret, nor has one behind it that does.

        Raises:
            InvalidFormat: It has failed where its engine lacks something.
            PermissionDenied: The store has said no to the engine.
        """
        try:
            inner = self._format.at(place.path, place.args, self._url)
            return self._format.call(place.path, self._url, lambda: work(inner))
        except Exception as error:
            if self._shape == "hadoop":  # the session may have been made just now
                hadoop.refuse_unready(self._format.name, self._format.args, bool(place.args))
            texts = Hidden(_texts_of(error))
            said = said_no(texts.reveal()) if place.args else ""
            if not said and not any(secret.reveal() in text for secret in place.secrets for text in texts.reveal()):
                raise
            told = functools.reduce(_without, place.secrets, said or str(error))
        if said:
            raise PermissionDenied(
                f"{self._format.name} was refused at {self._url!r} ({told}): let the credentials of the entry read and "
                "write there (on lakeFS, in a run, on branches whose names begin with `kedro-`), or name others."
            )
        raise DatasetError(told)


def scans(format_: Format) -> bool:
    """Whether a format is known to read lazily, and to do the same wherever it reads."""
    name, args = type_name(format_.kind), format_.args
    if name == _LAZY_POLARS:  # on object stores kedro-datasets hands its `load_args` to pyarrow instead
        return args.get("file_format") == "parquet" and not args.get("load_args")
    return name in _SCANS


def scans_folders(format_: Format) -> bool:
    """Whether a format that reads lazily does the same wherever a folder is.

    On object stores kedro-datasets lets pyarrow read what polars reads elsewhere, and that finds no columns in names of
    folders.
    """
    return type_name(format_.kind) != _LAZY_POLARS


def _why_not(format_: Format, shape: str) -> str:
    """What keeps the engine of a format from the data; empty: nothing."""
    for package, why in _CANNOT.items():
        if any(each.__module__.startswith(package) for each in format_.kind.__mro__):
            return why
    if shape == "hadoop":
        if missing := [name for name in hadoop.ARGUMENTS if name not in argument_names(format_.kind)]:
            return f"it takes no `{missing[0]}`, by which Spark could be told how to reach the data"
        return ""
    if _shape_of(format_.kind) == "hadoop":
        return f"Spark does not go to the data by {shape}"
    if "credentials" not in argument_names(format_.kind):
        return "it takes no `credentials`, by which its engine could be told how to reach the data"
    return ""


def _shape_of(kind: type) -> str:
    modules = [each.__module__ for each in kind.__mro__]
    if any(name.startswith(_SPARK) for name in modules):
        return "hadoop"
    return "object_store" if any(name.startswith(_DELTA_RS[:-1]) for name in modules) else "fsspec"


def _in_fsspec(access: S3Access, where: ParseResult) -> tuple[str, Mapping[str, Any]]:
    """A location as libraries are told of it that read and write through fsspec: by a file system of ours."""
    from kedro_statisfactory.backends.s3.filesystem import PROTOCOL

    name = staged_path(Path(), basename(where)).name
    return f"{PROTOCOL}:///{name}", {"access": access, "name": name}


def _without(text: str, secret: Hidden[str]) -> str:
    return text.replace(secret.reveal(), "<redacted>")


def _texts_of(error: BaseException) -> list[str]:
    """What an error says, and all that are shown with it."""
    found, left = list[str](), [error]
    while left:
        each = left.pop()
        found.append(f"{each} {each.args!r}")
        left += [more for more in (each.__cause__, each.__context__) if more is not None]
    return found
