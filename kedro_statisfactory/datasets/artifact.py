"""The Kedro dataset that stores any format in any backend."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import ParseResult

from kedro.io.core import (
    AbstractDataset,
    AbstractVersionedDataset,
    DatasetError,
    Version,
)

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.datasets.arguments import connection_of, mapping_of
from kedro_statisfactory.datasets.formats import Format, parse_format, type_name
from kedro_statisfactory.datasets.saving import StagedSave
from kedro_statisfactory.datasets.staging import keep_for_lazy, named_when_full, staged_path, staging_folder
from kedro_statisfactory.datasets.versions import at_version, versions_below
from kedro_statisfactory.errors import InvalidFormat, InvalidURL, ObjectNotFound, StatisfactoryError
from kedro_statisfactory.location import basename, parse, unparse
from kedro_statisfactory.project import Project, announced_project
from kedro_statisfactory.session import Session

_Data = TypeVar("_Data")

_NOWHERE = Path()  # the path of a format's dataset that is not used again

# Methods that exist on the entry when, and only when, its format has them.
_FOLLOWED = ("confirm", "preview")


class ArtifactDataset(AbstractVersionedDataset[Any, Any]):
    """A catalog entry whose bytes live where its URL says, in the format of any dataset of kedro-datasets.

    The backend registered under the URL's prefix moves the bytes; ``dataset`` turns them into objects, on a private
    copy. A save is published only when the format has written all of it: a reader, a failing node or a killed process
    leaves the old object or the new one, never a part.

    Args:
        filepath: URL or local path; relative paths in a catalog are the project's.
        dataset: The format: the type of a dataset that takes a ``filepath``, as text or class, or a mapping of
            ``type`` and that dataset's own arguments. Absent: the object's bytes themselves.
        load_args: Options of the backend for reading, for example ``VersionId`` on S3.
        save_args: Options of the backend for writing, for example ``StorageClass`` on S3.
        credentials: For the backend, in the names that ``backends.s3.credentials`` and
            ``backends.lakefs.credentials`` list.
        fs_args: What ``PartitionedDataset`` hands down: further configuration of the connection in s3fs's shape.
        version: Set by Kedro for ``versioned: true``; versions are folders as kedro-datasets makes them.
        metadata: Ignored here, for the use of others.

    Raises:
        InvalidURL: ``filepath`` is unsafe or names nothing.
        UnknownPrefix: No backend serves the URL.
        InvalidFormat: ``dataset`` takes no ``filepath``, or has an argument that belongs to the entry.

    Examples:
        .. code-block:: yaml

            model:
              type: kedro_statisfactory.ArtifactDataset
              filepath: s3://models/churn/model.pkl
              dataset: {type: pickle.PickleDataset, backend: joblib}
              credentials: object_store
              versioned: true

        >>> folder = getfixture("tmp_path")
        >>> entry = ArtifactDataset(filepath=f"{folder}/figures.json", dataset="json.JSONDataset")
        >>> entry.save({"rows": 344})
        >>> entry.load()
        {'rows': 344}
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        dataset: str | type[AbstractDataset[Any, Any]] | dict[str, Any] | None = None,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(filepath, str | os.PathLike):
            raise InvalidURL(f"`filepath` of the entry is of type {type(filepath).__name__}: name a URL or path.")
        self.filepath = os.fspath(filepath)
        self.metadata = metadata
        self._load_args = mapping_of("load_args", load_args)
        self._save_args = mapping_of("save_args", save_args)
        self._credentials = {
            **connection_of(mapping_of("fs_args", fs_args)),
            **mapping_of("credentials", credentials),
        }
        self._format = parse_format(dataset)
        kind = self._format and self._format.kind
        self._EPHEMERAL = bool(getattr(kind, "_EPHEMERAL", False))
        self._SINGLE_PROCESS = bool(getattr(kind, "_SINGLE_PROCESS", False))
        self._transport: Backend | None = None
        self._project: Project | None = None
        self._last: tuple[Path, AbstractDataset[Any, Any]] | None = None
        self._module: str | None = None  # which defines the backend

        # PartitionedDataset makes one without a path to print itself.
        parsed = parse(self.filepath) if self.filepath else None
        # Kedro's messages and kedro-viz show this one; what is read and written is `filepath`.
        super().__init__(filepath=PurePosixPath(f"{parsed.netloc}{parsed.path}" if parsed else ""), version=version)
        if parsed:
            self._backend().check_location(parsed)

    if TYPE_CHECKING:  # Kedro makes these of the two below, which type checkers cannot know

        def load(self) -> Any: ...

        def save(self, data: Any) -> None: ...

    def _load(self) -> Any:
        with self._named():
            backend = self._backend()
            where, options = self._load_from()
            if self._format is None:
                return backend.get(fragment=where, **options)
            with self._local_copy(backend, where, options) as (path, folder):
                # A dataset on the same local file can be used again, unless it remembers what it has read; to make one
                # costs more than to read a small file.
                last = self._last
                inner = last[1] if last and last[0] == path else self._format.on(path, self.filepath)
                before = dict(vars(inner))
                data = self._format.call(path, self.filepath, inner.load)
                self._last = (path if _is_as_before(inner, before) else _NOWHERE, inner)
                if folder is not None:
                    keep_for_lazy(folder, data, inner)
                return data

    def _save(self, data: Any) -> None:
        with self._named():
            where = self._save_location()
            if self._format is None:
                if not isinstance(data, bytes | bytearray | memoryview):
                    raise InvalidFormat(
                        f"an entry without `dataset` stores bytes, and got {type(data).__name__}: name the format."
                    )
                self._backend().put(payload=bytes(data), fragment=where, **self._save_args)
            else:
                old = functools.partial(self._is_there, where), functools.partial(self._stage_old, where)
                StagedSave(self._format, self.filepath, self._backend(), self._save_args, *old).save(data, where)
            if self._version and not self._version.load:
                # What was just written is the newest: Kedro's check after a save needs no listing for that.
                self._cached_load_version = self.resolve_save_version()

    def _stage_old(self, where: ParseResult, staged: Path) -> None:
        """Fetch what is there, where there is something, for a format that adds to it."""
        self._refuse_the_past(where)
        with contextlib.suppress(ObjectNotFound, FileNotFoundError):
            self._backend().download(target=staged, fragment=where, **self._old_options())

    def _is_there(self, where: ParseResult) -> bool:
        """Whether something is where the entry is going to be saved."""
        self._refuse_the_past(where)
        return self._backend().exists(fragment=where, **self._old_options())

    def _refuse_the_past(self, where: ParseResult) -> None:
        """See that a save which depends on what is there does not look at another time than it writes to."""
        if self._backend().reads_the_past(where) and "lake_ref" not in {*self._load_args, *self._save_args}:
            raise InvalidFormat(
                "the format adds to what is there, or keeps it, and STATISFACTORY_AT or `at` of statisfactory.yml "
                "would have it look at the past: unset that, or pin the entry by `load_args`."
            )

    def _exists(self) -> bool:
        with self._named():
            where, options = self._load_from()
            return self._backend().exists(fragment=where, **options)

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self.filepath,
            "dataset": self._format and self._format.described(),
            "version": self._version,
        }

    def _release(self) -> None:
        super()._release()
        if self._last is not None:
            self._last[1].release()
            self._last = None

    def bind(self, project: Project) -> None:
        """Make the entry work in ``project``: on its branches, in the run that it pins."""
        self._project, self._transport = project, None

    def check_options(self) -> None:
        """Refuse options that the backend does not know; a constructor that did it would have to load SDKs.

        Raises:
            UnknownOption: One of ``load_args`` or ``save_args`` could not be used.
        """
        self._backend().check_options(load_args=self._load_args, save_args=self._save_args)

    @property
    def backend(self) -> Backend:
        """The backend that moves the bytes."""
        return self._backend()

    @property
    def location(self) -> ParseResult:
        """The parsed ``filepath``."""
        return self._location()

    @property
    def load_pin(self) -> str | None:
        """The version, or ref of a service that keeps versions, at which the entry is always read."""
        pin: str | None = (self._version and self._version.load) or self._load_args.get("lake_ref")
        return pin

    @property
    def save_pin(self) -> str | None:
        """The branch to which the entry is always written, whatever git says."""
        pin: str | None = self._save_args.get("lake_ref")
        return pin

    @property
    def keeps_chunks(self) -> bool:
        """Whether saves one after the other add up: what a generator node yields can be loaded again as a whole."""
        once = self._version is not None and not self._by_service  # a version is written once
        return self._format is not None and self._format.modes.adds_in_chunks and not once

    def __getattr__(self, name: str) -> Any:
        # Called only for what is not found otherwise: `hasattr` has to tell what the format can do.
        format_: Format | None = self.__dict__.get("_format")
        if name not in _FOLLOWED or format_ is None or not hasattr(format_.kind, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        method = getattr(format_.kind, name)

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._named():
                if name == "confirm" and self._last is not None:
                    return getattr(self._last[1], name)()
                with self._local_copy(self._backend(), *self._load_from()) as (path, _):
                    inner = format_.on(path, self.filepath)
                    work = functools.partial(getattr(inner, name), *args, **kwargs)
                    return format_.call(path, self.filepath, work)

        signature = inspect.signature(method)
        call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
        return call

    def __getstate__(self) -> dict[str, Any]:
        # Connections stay in their process, and so does whatever a format has opened. Which project it is must
        # travel: a process that was spawned has announced none.
        travels = self.filepath and self._backend().follows_git
        project = self._project or (announced_project() if travels else None)
        return {**self.__dict__, "_transport": None, "_last": None, "_project": project}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_format_args" in state:  # a pickle from before there was a class for formats
            kind, args = state["_format"], state["_format_args"]
            state = {**state, "_format": kind and Format(kind, args)}
            del state["_format_args"]
        self.__dict__.update(state)
        if self._module:
            # A process that was spawned has not imported what registers the backend of a third party.
            with contextlib.suppress(ImportError):
                importlib.import_module(self._module)

    def _init_config(self) -> dict[str, Any]:
        """The entry as a catalog would have it, in plain values."""
        config: dict[str, Any] = super()._init_config()
        config["filepath"] = self.filepath
        dataset = config.get("dataset")
        if isinstance(dataset, type):
            config["dataset"] = type_name(dataset)
        elif isinstance(dataset, Mapping) and isinstance(dataset["type"], type):
            config["dataset"] = {**dataset, "type": type_name(dataset["type"])}
        return config

    def _get_versions(self) -> list[str]:
        """URLs of all versions, newest first, from one listing."""
        with self._named():
            return self._find_versions()

    def _find_versions(self) -> list[str]:
        base = self._location()
        if self._by_service:
            return list(self._backend().versions(fragment=base))
        return [unparse(each) for each in versions_below(self._backend(), base)]

    def _get_version_from_path(self, path: str) -> str:
        if self._by_service:
            return path
        found: str = super()._get_version_from_path(path)
        return found

    def _location(self) -> ParseResult:
        if not self.filepath:
            raise InvalidURL("the entry has no filepath: name one.")
        return parse(self.filepath)

    @property
    def _by_service(self) -> bool:
        """Whether the service itself keeps versions, so that they need no folders."""
        return self._version is not None and self._backend().version_options("") is not None

    def resolve_load_version(self) -> str | None:
        """The version to load: as pinned, else the newest; ``None`` where the service gives that by itself."""
        if self._by_service and self._version:
            # Kedro compares it, after a save, with the version that was saved.
            return self._version.load or self._cached_load_version
        found: str | None = super().resolve_load_version()
        return found

    def _load_from(self) -> tuple[ParseResult, Mapping[str, Any]]:
        """Where to load, and the options for that."""
        if not self._by_service:
            return self._at_version(self.resolve_load_version()), self._load_args
        pinned = self._version and self._version.load
        by_version = self._backend().version_options(pinned) if pinned else None
        return self._location(), {**self._load_args, **(by_version or {})}

    def _old_options(self) -> Mapping[str, Any]:
        """Options to read what a save builds on: from where it is going to be written."""
        if "lake_ref" in self._save_args or "lake_ref" in self._load_args:
            kept = {key: value for key, value in self._load_args.items() if key != "lake_ref"}
            return {**kept, **{key: value for key, value in self._save_args.items() if key == "lake_ref"}}
        return self._load_args

    def _save_location(self) -> ParseResult:
        if self._by_service:
            return self._location()
        where = self._at_version(self.resolve_save_version())
        if self._version and self._backend().exists(fragment=where):
            raise DatasetError(
                f"{self.filepath!r}: the version {self.resolve_save_version()!r} is there already, and versions are "
                "never overwritten: save under another one."
            )
        return where

    def _at_version(self, version: str | None) -> ParseResult:
        where = self._location()
        if version is None:
            return where
        self._get_versioned_path(version)  # Kedro's own check that it is one harmless path component
        return at_version(where, version)

    def _backend(self) -> Backend:
        if self._transport is None:
            kind = Backend.registered(self._location().scheme)
            self._transport, self._module = kind(Session(self._credentials, self._project)), kind.__module__
        return self._transport

    @contextlib.contextmanager
    def _local_copy(
        self, backend: Backend, where: ParseResult, options: Mapping[str, Any]
    ) -> Iterator[tuple[Path, Path | None]]:
        """A path where the format can read, and the folder that goes with it when it is a copy."""
        path = backend.local_path(fragment=where, **options)
        if path is not None:
            yield path, None
            return
        with staging_folder(None) as folder:
            path = staged_path(folder, basename(where))
            with named_when_full(folder):
                backend.download(target=path, fragment=where, **options)
            yield path, folder

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Our errors as Kedro's, which the catalog completes with the name of the entry."""
        try:
            yield
        except StatisfactoryError as error:
            raise DatasetError(f"{self.filepath!r}: {error}") from error
        except (FileNotFoundError, NotADirectoryError) as error:
            # Kedro takes these, when they come out of a save, for the sign of a version where a file is.
            raise DatasetError(f"{self.filepath!r}: {type(error).__name__}: {error}") from error


def _is_as_before(inner: AbstractDataset[Any, Any], before: Mapping[str, Any]) -> bool:
    """Whether a dataset of a file has kept nothing of what it has loaded; one of another kind may have all along."""
    after = vars(inner)
    return (
        isinstance(inner, AbstractVersionedDataset)
        and after.keys() == before.keys()
        and all(value is before[name] for name, value in after.items())
    )
