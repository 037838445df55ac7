"""An entry that refuses, before a run, what would fail when the work is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.datasets.arguments import refuse_connection
from kedro_statisfactory.datasets.collected import CollectedEntry
from kedro_statisfactory.datasets.engines import refuse_cluster, refuse_handle
from kedro_statisfactory.datasets.formats import Format
from kedro_statisfactory.datasets.hadoop import Buckets
from kedro_statisfactory.datasets.native import SHAPES, NativeFormat, scans, scans_folders
from kedro_statisfactory.datasets.staging import staged_path, staging_folder
from kedro_statisfactory.errors import InvalidFormat, NotSupported, ObjectNotFound
from kedro_statisfactory.location import basename


class CheckedEntry(CollectedEntry):
    """An entry whose options, place and format can be checked."""

    _format: Format | None
    _credentials: Mapping[str, Any]
    _native: NativeFormat | None = None
    _scanner: NativeFormat | None = None  # of a format that reads lazily, where nobody has decided

    def _parsed_native(self, native: object) -> NativeFormat | None:
        """How the format's engine goes to the data, where it does that by itself.

        Raises:
            InvalidFormat: It cannot, or does not and says of the connection what would be ignored.
        """
        if native not in (True, False, None, *SHAPES):
            raise InvalidFormat(f"`native` is {native!r}: write true or false, or one of {', '.join(SHAPES)}.")
        if native is None and self._format is not None and self._collection is None and scans(self._format):
            self._scanner = NativeFormat(self._format, self._shown, True)
        if native in (False, None):
            if self._format is not None:
                refuse_connection(self._format.kind, self._format.args)
            return None
        if self._format is None or self._collection is not None:
            raise InvalidFormat(
                "an entry without a format of its own, or of partitions, cannot be `native`: it has no engine that "
                "could go to the data by itself. Take `native` away."
            )
        if self._makes_version:
            raise InvalidFormat(
                "an entry cannot be `native` and have versions in folders: a version is written once, which no engine "
                "promises. Take one of the two away, or keep the entry in lakeFS, where each run is a version."
            )
        made = NativeFormat(self._format, self._shown, native)
        made.refuse_untold(self._credentials)
        return made

    def _reads_by_itself(self, where: ParseResult, options: Mapping[str, Any]) -> NativeFormat | None:
        """What lets the engine read where the data is; ``None``: it reads a file of this machine."""
        if self._scanner is None or self._format is None:
            return self._native
        backend = self._backend()
        if not backend.serves_scans(fragment=where, **options):
            return None
        if not scans_folders(self._format):
            try:
                backend.stat(fragment=where, **options)
            except ObjectNotFound:  # a folder, or nothing
                return None
        return self._scanner

    def check_options(self) -> None:
        """Refuse options that the backend does not know; a constructor that did it would have to load SDKs.

        Raises:
            UnknownOption: One of ``load_args`` or ``save_args`` could not be used.
        """
        self._backend().check_options(load_args=self._load_args, save_args=self._save_args)

    def check_place(self, is_written: bool) -> None:
        """Refuse a place that cannot be used, before a run has computed what is to be stored there.

        Args:
            is_written: Whether the run writes it.

        Raises:
            NotSupported: Nothing can be written there, or its engine cannot go there by itself.
            UnknownPrefix: A package is missing.
        """
        backend = self._backend()
        if self._native is not None and type(backend).engine_access is Backend.engine_access:
            raise NotSupported(
                f"{type(backend).__name__} cannot let engines in, so that {self._shown!r} cannot be `native`: take "
                "that away."
            )
        backend.check_use(self._location(), is_written)

    def check_engine(self, buckets: Buckets) -> None:
        """Refuse an engine that could not come in, or not beside others, before a run has computed anything for it.

        Args:
            buckets: Who comes into which bucket, in this process and by other entries.

        Raises:
            StatisfactoryError: It could not.
        """
        if self._native is not None:
            self._native.check(self._backend(), self._location(), buckets)

    def check_format(self, is_written: bool) -> None:
        """Refuse a format that cannot work, as far as that is known before it does.

        Args:
            is_written: Whether it is going to save.

        Raises:
            DatasetError: Its class refuses its arguments.
            InvalidFormat: Its engine works on other machines, or it would change a copy.
        """
        if self._format is None:
            return
        formats = self._collection.formats if self._collection else [self._format]
        for each in formats:
            if each.is_of_kedro:  # a class of somebody else's may need its file to be made
                with staging_folder(None) as folder:
                    each.on(staged_path(folder.path, basename(self._location())), self._shown)
        if self._native is not None:
            return
        try:
            is_copied = self._backend().local_path(fragment=self._location(), **self._load_args) is None
        except FileNotFoundError:  # where there is nothing yet
            is_copied = False
        if self._scanner is not None:  # where it cannot go to the data after all, it is refused when it reads
            is_copied = False
        for each in formats:
            if is_copied or is_written:
                refuse_cluster(each.kind)
            if is_copied:
                refuse_handle(each.kind)
