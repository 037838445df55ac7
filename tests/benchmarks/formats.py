"""Formats that cost nothing, so that what is measured is the transport."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from kedro.io import AbstractDataset

CHUNK = 1 << 20


class Linked(AbstractDataset[Path, int]):
    """A local file: a load opens it, a save gives it a second name; when each of them was called is written down."""

    called_at: ClassVar[float] = 0.0
    returned_at: ClassVar[float] = 0.0

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def _load(self) -> int:
        Linked.called_at = time.perf_counter()
        with self._filepath.open("rb") as file:
            return len(file.read(1))

    def _save(self, data: Path) -> None:
        try:
            os.link(data, self._filepath)
        except OSError:  # another file system
            shutil.copyfile(data, self._filepath)
        Linked.returned_at = time.perf_counter()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class Copied(Linked):
    """The same, whose saves are files of their own, as those of other formats are."""

    def _save(self, data: Path) -> None:
        shutil.copyfile(data, self._filepath)
        Linked.returned_at = time.perf_counter()


class Whole(AbstractDataset[Path, int]):
    """Through fsspec as kedro-datasets does it: a load reads all into memory, a save copies a file's bytes."""

    def __init__(
        self, filepath: str, credentials: dict[str, Any] | None = None, save_args: dict[str, Any] | None = None
    ) -> None:
        import fsspec  # type: ignore[import-untyped, unused-ignore]
        from kedro.io.core import get_protocol_and_path

        protocol, path = get_protocol_and_path(filepath)
        self._fs = fsspec.filesystem(protocol, **(credentials or {}))
        self._filepath = PurePosixPath(path)
        self._chunk = int((save_args or {}).get("chunk", CHUNK))

    def _load(self) -> int:
        with self._fs.open(str(self._filepath), "rb") as file:
            return len(file.read())

    def _save(self, data: Path) -> None:
        with self._fs.open(str(self._filepath), "wb") as file, data.open("rb") as source:
            shutil.copyfileobj(source, file, self._chunk)
        with contextlib.suppress(AttributeError):
            self._fs.invalidate_cache(str(self._filepath))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
