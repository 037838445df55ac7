"""The Kedro dataset that stores any format in any backend."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import operator
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import ParseResult

from kedro.io.core import (
    AbstractDataset,
    Version,
)

from kedro_statisfactory import progress
from kedro_statisfactory.backends import Backend
from kedro_statisfactory.datasets.arguments import connection_of, mapping_of, says_where_arguments_belong
from kedro_statisfactory.datasets.formats import Format, parse_format, type_name
from kedro_statisfactory.datasets.in_run import EntryOfRun
from kedro_statisfactory.datasets.members import has_member, member_of
from kedro_statisfactory.datasets.native import NativeFormat
from kedro_statisfactory.datasets.noting import note_payload
from kedro_statisfactory.datasets.reading import FormatReader
from kedro_statisfactory.datasets.replaced import Replaced
from kedro_statisfactory.datasets.saving import StagedSave
from kedro_statisfactory.datasets.signatures import remember_signature
from kedro_statisfactory.datasets.versions import never_overwritten
from kedro_statisfactory.errors import InvalidFormat, InvalidURL
from kedro_statisfactory.hidden import HiddenDict, hidden
from kedro_statisfactory.location import parse, shown, unparse
from kedro_statisfactory.project import Project, current_project
from kedro_statisfactory.session import Session

_Data = TypeVar("_Data")


@says_where_arguments_belong
class ArtifactDataset(EntryOfRun):
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
        native: Whether the format's engine goes to the data by itself, past this machine's disk; a text names the
            family of an engine that is not known here: ``fsspec``, ``object_store`` or ``hadoop``. Absent: loads of
            formats that read lazily are.
        read_ahead: How many partitions of a ``PartitionedDataset`` are fetched, at most, before they are used: where
            they are used one after the other, the next ones are on their way meanwhile. Partitions over 16 MiB are not.
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

    _transport: Backend | None = None  # made when it is needed, as the next one is; both stay in their process
    _reader: FormatReader | None = None
    _module: str | None = None  # which defines the backend
    _as_text: tuple[tuple[object, ...], str] | None = None  # the attributes of which the text was made, and the text

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
        native: bool | str | None = None,
        read_ahead: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        # Whatever fails below may show its locals.
        credentials, fs_args, dataset = _hidden(credentials), _hidden(fs_args), _hidden(dataset)
        if not isinstance(filepath, str | os.PathLike):
            raise InvalidURL(f"`filepath` of the entry is of type {type(filepath).__name__}: name a URL or path.")
        self.filepath = os.fspath(filepath)
        self.metadata = metadata
        self._load_args = mapping_of("load_args", load_args)
        self._save_args = mapping_of("save_args", save_args)
        connection = hidden(connection_of(mapping_of("fs_args", fs_args)))
        self._credentials = hidden({**connection, **mapping_of("credentials", credentials)})
        self._format = parse_format(dataset)
        if self._format and self._format.names_files(name := self.filepath.rpartition("/")[2]):
            self._format = dataclasses.replace(self._format, pattern=name)
        kind = self._format and self._format.kind
        self._EPHEMERAL = bool(getattr(kind, "_EPHEMERAL", False))
        self._SINGLE_PROCESS = bool(getattr(kind, "_SINGLE_PROCESS", False))

        # PartitionedDataset makes one without a path to print itself.
        parsed = self._location() if self.filepath else None
        # Kedro's messages and kedro-viz show this one; what is read and written is `filepath`.
        path = shown(unparse(parsed)).removeprefix(f"{parsed.scheme}://") if parsed else ""
        super().__init__(filepath=PurePosixPath(path), version=version)
        if parsed:
            self._backend().check_location(parsed)
            self._collection = self._parsed_collection(self._format, read_ahead)
        self._native = self._parsed_native(native)

    if TYPE_CHECKING:  # Kedro makes these of the two below, which type checkers cannot know

        def load(self) -> Any: ...

        def save(self, data: Any) -> None: ...

    def _load(self) -> Any:
        with self._named(), progress.told_as(f"Loading {self._filepath.name}"):
            if self._collection is not None:
                return self._partitions().load()
            backend = self._backend()
            where, options = self._load_from()
            if self._format is None:
                payload = backend.get(fragment=where, **options) if self._fetched is None else self._fetched
                note_payload(backend, payload)
                return payload
            reader = self._reads_by_itself(where, options) or self._format_reader()
            return reader.load(backend, where, options)

    def _save(self, data: Any) -> None:
        if self._collection is None:
            self.begin_save(data)()
            # Where a mode keeps what is there, only a change tells that something was written.
            if self._format is None or not self._format.modes.keeps_old:
                with self._named():
                    self.note_written()
            return
        with self._named(), progress.told_as(f"Saving {self._filepath.name}"):
            self.check_versioned_save()
            self._partitions().save(data)

    def begin_save(self, data: Any) -> Callable[[], None]:
        """Do all of a save but to publish it; gives what does that, on any thread.

        Args:
            data: The object.
        """
        if not self.is_saved():
            return self.note_kept
        with self._named():
            where = self._save_location()
            publish = functools.partial(self._publish, where)
            begun: Callable[[], None]
            if self._format is None:
                if not isinstance(data, bytes | bytearray | memoryview):
                    raise InvalidFormat(
                        f"an entry without `dataset` stores bytes, and got {type(data).__name__}: name the format."
                    )
                begun = functools.partial(publish, bytes(data))
            elif self._native is not None:
                begun = functools.partial(self._save_natively, self._native, data, self._replaced(where))
            else:
                replaced = self._replaced(where)
                begun = StagedSave(self._format, self._shown, replaced, publish, self._folders).begin(data)

        def end() -> None:
            with self._named(), progress.told_as(f"Saving {self._filepath.name}"):
                begun()
                if self._version and not self._version.load:
                    # What was just written is the newest: Kedro's check after a save needs no listing for that.
                    self._cached_load_version = self.resolve_save_version()

        return end

    def _replaced(self, where: ParseResult) -> Replaced:
        """What a save to ``where`` replaces; a version nothing."""
        never = never_overwritten(self._shown, self.resolve_save_version()) if self._makes_version else None
        return Replaced(self._backend(), where, self._load_args, self._save_args, never)

    def _publish(self, where: ParseResult, source: Path | bytes) -> None:
        """Store bytes, or what was staged; a version only where there is none."""
        if self._makes_version:
            with never_overwritten(self._shown, self.resolve_save_version()):
                self._backend().create(source=source, fragment=where, consume=True, **self._save_args)
        elif isinstance(source, Path):
            self._backend().upload(source=source, fragment=where, consume=True, **self._save_args)
        else:
            self._backend().put(payload=source, fragment=where, **self._save_args)
        self.note_saved(where)

    def _save_natively(self, native: NativeFormat, data: Any, replaced: Replaced) -> None:
        if native.save(data, replaced):
            self.note_saved(replaced.where)

    def _exists(self) -> bool:
        if self._answer is not None:
            return self._answer
        with self._named():
            if self._collection is not None:
                return self._partitions().exists()
            where, options = self._load_from()
            return self._backend().exists(fragment=where, **options)

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._shown,
            "dataset": self._format and self._format.described(),
            "version": self._version,
        }

    def __repr__(self) -> str:
        if type(self) is not ArtifactDataset:  # a class of somebody else's may describe itself by what changes
            return super().__repr__()
        # Kedro asks for it before each load and save, for a message that is seldom shown.
        of = (self.filepath, self._format, self._version)
        if self._as_text is None or not all(map(operator.is_, self._as_text[0], of)):
            self._as_text = of, super().__repr__()
        return self._as_text[1]

    def _release(self) -> None:
        super()._release()
        self._parts = None
        if self._reader is not None:
            self._reader.release()

    def bind(self, project: Project) -> None:
        """Make the entry work in ``project``: on its branches, in the run that it pins."""
        self._project, self._transport, self._parts = project, None, None
        self.forget_run()

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
        if self._collection is not None:
            return not self._collection.overwrite
        once = self._version is not None and not self._by_service  # a version is written once
        return self._format is not None and self._format.modes.adds_in_chunks and not once

    def __getattr__(self, name: str) -> Any:
        # Called only for what is not found otherwise: `hasattr` has to tell what the format can do.
        format_: Format | None = self.__dict__.get("_format")
        if format_ is None or not has_member(format_.kind, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return member_of(format_.kind, name, functools.partial(self._ask_format, name == "confirm"))

    def _ask_format(self, of_last: bool, work: Callable[[Any], Any]) -> Any:
        """Let the format do something else than to load and save, and store what it changes by that.

        Args:
            of_last: Whether it is about what was loaded last.
            work: Called with a dataset of the format.
        """
        with self._named():
            where, options = self._load_from()
            if self._collection is not None:
                self._refuse_pinned(where)
                return work(self._partitions())
            with self.noting_changes(where, options):
                if self._native is not None:
                    return self._native.ask(self._backend(), where, options, work)
                store = functools.partial(self._store, where)
                return self._format_reader().ask(self._backend(), where, options, work, of_last, store)

    def _format_reader(self) -> FormatReader:
        assert self._format is not None
        if self._reader is None:
            self._reader = FormatReader(self._format, self._shown, self._folders, self._fetched)
        return self._reader

    def _store(self, where: ParseResult, changed: Path) -> None:
        """Store a copy that the format has changed."""
        self._refuse_pinned(where)
        self._backend().upload(source=changed, fragment=where, **self._save_args)
        self.note_written()
        self.note_saved(where)

    def _refuse_pinned(self, where: ParseResult) -> None:
        """Refuse to change what was read, where that was not read as it is now."""
        self._replaced(where).refuse_the_past()
        if self.load_pin is not None and self.save_pin is None:
            raise InvalidFormat(
                f"the format changes what it has read, and the entry is pinned to {self.load_pin!r}: take that away."
            )

    def __getstate__(self) -> dict[str, Any]:
        # Connections stay in their process, and so does whatever a format has opened. Which project it is must
        # travel: a process that was spawned has announced none.
        travels = self.filepath and (self._backend().follows_git or self._backend().keeps_copies)
        project = self._project or (current_project() if travels else None)
        stays = {"_transport": None, "_reader": None, "_parts": None, "_answer": None, "_keeps": False}
        state = {**self.__dict__, **stays, "_project": project}
        return {**state, "_credentials": self._backend().travelling_credentials()} if travels else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_format_args" in state:  # a pickle from before there was a class for formats
            kind, args = state["_format"], state["_format_args"]
            state = {**state, "_format": kind and Format(kind, args)}
            del state["_format_args"]
        self.__dict__.update({"_native": None, **state})
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

    def _location(self) -> ParseResult:
        if not self.filepath:
            raise InvalidURL("the entry has no filepath: name one.")
        pattern = self._format.pattern if self._format else ""
        return parse(self.filepath.removesuffix(f"/{pattern}") if pattern else self.filepath)

    def _backend(self) -> Backend:
        if self._transport is None:
            kind = Backend.registered(self._location().scheme)
            self._transport, self._module = kind(Session(self._credentials, self._project)), kind.__module__
        return self._transport


remember_signature(ArtifactDataset)


def _hidden(value: Any) -> Any:
    """An argument that may hold secrets, shown without its content; one of a wrong type is refused later."""
    return HiddenDict(value) if isinstance(value, dict) else value
