"""Which version of an entry is loaded and saved: in folders, in a run, or as the service itself keeps them."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import ParseResult

from kedro.io.core import AbstractVersionedDataset, DatasetError, Version, VersionNotFoundError

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.datasets.versions import at_version, newest_of_run, of_part, versions_below
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.location import basename, shown, unparse


class VersionedEntry(AbstractVersionedDataset[Any, Any]):
    """An entry that may have versions.

    Attributes:
        filepath: URL, as the catalog has it.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        has_init = "__init__" in vars(cls)
        super().__init_subclass__(**kwargs)
        if not has_init:  # Kedro wraps it once more for each class, and looks at the arguments in each wrapping
            del cls.__init__

    filepath: str
    _load_args: Mapping[str, Any]
    _save_args: Mapping[str, Any]

    # In a run these travel to all of its processes.
    _part_of: str | None = None
    _writes_version = False
    _version_at_begin: str | None = None

    @abstractmethod
    def _location(self) -> ParseResult: ...

    @abstractmethod
    def _backend(self) -> Backend: ...

    @property
    def _shown(self) -> str:
        """The URL as texts may have it."""
        return shown(self.filepath)

    def begin_run(self, is_written: bool, run_id: str | None) -> None:
        """Fix which version is read until the run ends: its own, or the one that is the newest now.

        Args:
            is_written: Whether the pipeline writes the entry.
            run_id: Of the run of several processes in which this one takes part; ``None``: it is a run of its own.

        Raises:
            DatasetError: The versions cannot be listed.
        """
        if self._version is None or self._by_service:
            return
        if run_id:
            self._version = Version(self._version.load, of_part(self.resolve_save_version() or "", run_id))
        self._part_of, self._writes_version = run_id, is_written
        if not is_written:
            with contextlib.suppress(VersionNotFoundError):  # there is none yet, which is told when it is loaded
                self._version_at_begin = self.resolve_load_version()

    def stored_bytes(self) -> int:
        """How many bytes there are of what is loaded, in all of its files.

        Raises:
            FileNotFoundError: Nothing is there.
        """
        where, options = self._load_from()
        backend = self._backend()
        path = backend.local_path(fragment=where, **options)
        if path is None or path.is_file():
            with contextlib.suppress(FileNotFoundError):  # it may be a folder, which object stores do not know
                return backend.stat(fragment=where, **options).size
        sizes = [info.size for info in backend.list(fragment=where, **options)]
        if not sizes:
            raise FileNotFoundError(f"nothing is at {self._shown!r}.")
        return sum(sizes)

    def resolve_load_version(self) -> str | None:
        """The version to load: as pinned, else the newest; ``None`` where the service gives that by itself."""
        if self._by_service and self._version:
            # Kedro compares it, after a save, with the version that was saved.
            return self._version.load or self._cached_load_version
        found: str | None = super().resolve_load_version()
        return found

    @property
    def _by_service(self) -> bool:
        """Whether the service itself keeps versions, so that they need no folders."""
        return self._version is not None and self._backend().version_options("") is not None

    def _load_from(self) -> tuple[ParseResult, Mapping[str, Any]]:
        """Where to load, and the options for that."""
        if not self._by_service:
            return self._at_version(self._version_to_load()), self._load_args
        pinned = self._version and self._version.load
        by_version = self._backend().version_options(pinned) if pinned else None
        return self._location(), {**self._load_args, **(by_version or {})}

    @property
    def _makes_version(self) -> bool:
        """Whether each save makes a folder for its version, which is written once."""
        return self._version is not None and not self._by_service

    def check_versioned_save(self) -> None:
        """Refuse a save of which the service would keep no version, where it is the service that keeps them."""
        if self._by_service:
            self._backend().check_versioned_save(**self._save_args)

    def _save_location(self) -> ParseResult:
        self.check_versioned_save()
        return self._at_version(self.resolve_save_version()) if self._makes_version else self._location()

    def _version_to_load(self) -> str | None:
        """The version to load: in a run that writes the entry its own, as soon as that is there."""
        if self._version is not None and self._version.load:  # it was named, perhaps since the run began
            return self.resolve_load_version()
        if self._version is not None and self._writes_version:
            own = self.resolve_save_version()
            if own == self._cached_load_version or self._backend().exists(fragment=self._at_version(own)):
                self._cached_load_version = own
        return self._version_at_begin or self.resolve_load_version()

    def _at_version(self, version: str | None) -> ParseResult:
        where = self._location()
        if version is None:
            return where
        self._get_versioned_path(version)  # Kedro's own check that it is one harmless path component
        return at_version(where, version)

    def _get_versions(self) -> list[str]:
        """URLs of all versions, newest first, from one listing."""
        with self._named():
            base = self._location()
            if self._by_service:
                return list(self._backend().versions(fragment=base))
            return [unparse(each) for each in versions_below(self._backend(), base)]

    def _get_version_from_path(self, path: str) -> str:
        if self._by_service:
            return path
        found: str = super()._get_version_from_path(path)
        return found

    def _fetch_latest_load_version(self) -> str:
        """The newest version; for a part of a run that of the run, if another part of it has written one."""
        if self._cached_load_version is None:
            versions = self.list_versions(full_path=False)
            of_run = newest_of_run(versions, self._part_of) if self._part_of else None
            newest: str | None = of_run or next(iter(versions), None)
            if newest is None:
                raise VersionNotFoundError(f"There is no version of {self._shown!r} yet.{self._why_none()}")
            self._cached_load_version = newest
        return self._cached_load_version

    def _why_none(self) -> str:
        """What to say where there is no version, but what was saved before the entry had some."""
        where = self._location()
        with self._named():
            if not self._backend().exists(fragment=where):
                return ""
        name = basename(where)
        return (
            f" Versions are folders, and this is a file from before: move it to {self._shown}/<version>/{name}, or "
            "take `versioned` away."
        )

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Our errors as Kedro's, which the catalog completes with the name of the entry."""
        try:
            yield
        except StatisfactoryError as error:
            raise DatasetError(f"{self._shown!r}: {error}") from error
        except (FileNotFoundError, NotADirectoryError) as error:
            # Kedro takes these, when they come out of a save, for the sign of a version where a file is.
            raise DatasetError(f"{self._shown!r}: {type(error).__name__}: {error}") from error


del VersionedEntry.__init__  # Kedro has wrapped that as well
