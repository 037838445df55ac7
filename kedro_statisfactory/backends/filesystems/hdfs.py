"""HDFS by Hadoop's own client: where pyarrow takes a guess, what is there is looked at."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any

from fsspec.implementations.arrow import HadoopFileSystem
from pyarrow.fs import FileSelector, FileType

from kedro_statisfactory.errors import NotSupported

_used_by: int | None = None  # the process in which Hadoop's client was first used


class HDFS(HadoopFileSystem):  # type: ignore[misc]  # fsspec brings no types
    """Files that are missing only where Hadoop says so, and that no other one is lost for.

    pyarrow says of whatever fails that it is not there: a file that may not be read, or any where no server answers.
    It moves a file into a folder of that name, and removes a file before it moves another one to its place.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        global _used_by  # there is one client in a process
        if _used_by not in (None, os.getpid()):
            raise NotSupported(
                "Hadoop's client does not survive a fork, and this process is the fork of one that has used it: let "
                "workers be spawned, run in threads, or write webhdfs:// in place of hdfs://."
            )
        _used_by = os.getpid()
        super().__init__(*arguments, **more)

    def info(self, path: str, **more: Any) -> dict[str, Any]:
        """What is known of a file or folder.

        Raises:
            FileNotFoundError: There is none.
            OSError: Nobody can know.
        """
        try:
            found: dict[str, Any] = super().info(path, **more)
        except FileNotFoundError:
            self._see_that_it_is_missing(path)
            raise
        return found

    def _see_that_it_is_missing(self, path: str) -> None:
        try:
            self.fs.get_file_info(FileSelector(path))
        except PermissionError:
            # Hadoop says that, too, of what would be below a file.
            above = self.fs.get_file_info([str(folder) for folder in PurePosixPath(path).parents])
            if not any(info.type is FileType.File for info in above):
                raise

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """Move a file to a place where nothing is.

        Raises:
            FileExistsError: There is something.
        """
        if self.exists(path2):
            raise FileExistsError(f"there is something at {path2}")
        super().mv(path1, path2)
