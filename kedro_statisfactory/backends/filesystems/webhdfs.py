"""HDFS by HTTP: what fsspec's own file system takes on trust there is looked at.

fsspec takes the answer that nothing was renamed for a success, and the error of a data node for what a file contains.
It reads a large file piece by piece, which may be pieces of two files where one replaces the other meanwhile, and it
waits for an answer for ever.
"""

from __future__ import annotations

import functools
from datetime import datetime, timezone
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from fsspec.implementations.webhdfs import WebHDFS
from requests import HTTPError

from kedro_statisfactory.backends.transfer import CHUNK

# Seconds to connect, and for each answer.
_TIMEOUT = (10, 60)
# What is stored counts, and not what a gateway makes of it on the way.
_HEADERS = {"Accept-Encoding": "identity", "Content-Type": "application/octet-stream"}
# By what HDFS calls them; a name node calls many an error 403 that has to do with no permission.
_ERRORS: dict[str, type[OSError]] = {
    "AccessControlException": PermissionError,
    "FileNotFoundException": FileNotFoundError,
    "ParentNotDirectoryException": NotADirectoryError,
    "SecurityException": PermissionError,
}
_BELOW_A_FILE = "(is not a directory)"  # which HDFS calls a want of permission


class HDFSByHTTP(WebHDFS):  # type: ignore[misc]  # fsspec brings no types
    """Files that are sent and fetched by one request each, and replaced in one step where the service can do that.

    Args:
        arguments: As fsspec's own.
        timeout: Seconds to connect and seconds for each answer, or one number for both.
        more: As fsspec's own.
    """

    def __init__(self, *arguments: Any, timeout: float | tuple[float, float] = _TIMEOUT, **more: Any) -> None:
        self._timeout = timeout
        super().__init__(*arguments, **more)

    def _connect(self) -> None:
        super()._connect()
        self.session.request = functools.partial(self.session.request, timeout=self._timeout)

    def _call(self, op: str, method: str = "get", path: str | None = None, redirect: bool = True, **query: Any) -> Any:
        url = self._apply_proxy(self.url + quote(path or "", safe="/="))
        query.update(self.pars, op=op.upper())
        return self._checked(
            self.session.request(method.upper(), url, params=query, allow_redirects=redirect, stream=op == "OPEN")
        )

    def _checked(self, answer: Any) -> Any:
        """An answer that is none of an error."""
        if answer.ok:
            return answer
        try:
            told = answer.json()["RemoteException"]
            kind, message = _ERRORS.get(told["exception"], OSError), str(told["message"]).partition("\n")[0]
        except (ValueError, KeyError, TypeError):
            if answer.status_code == HTTPStatus.NOT_FOUND:
                raise ConnectionError(f"what answers at {self.url} is no WebHDFS") from None
            raise HTTPError(f"{answer.status_code} {answer.reason}", response=answer) from None
        raise NotADirectoryError(message) if _BELOW_A_FILE in message else kind(message)

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        """Send a file."""
        source = Path(lpath)
        if source.stat().st_size == 0:  # of which requests would make an answer without an end
            self._create(rpath, b"")
            return
        with source.open("rb") as stream:
            self._create(rpath, stream)

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        """Send bytes."""
        self._create(path, value)

    def _create(self, path: str, data: bytes | IO[bytes]) -> None:
        where = self._call("CREATE", "put", path, redirect=False, overwrite="true").headers.get("Location")
        if where is None:
            raise ConnectionError(f"what answers at {self.url} names no data node")
        self._checked(self.session.put(self._apply_proxy(where), data=data, headers=_HEADERS))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Fetch the bytes of a file, which is fetched as a whole."""
        with self._opened(path) as answer:
            content: bytes = answer.content
        return content[start:end]

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        """Fetch a file into a file."""
        try:
            answer = self._opened(rpath)
        except FileNotFoundError:
            if self.isdir(rpath):
                raise IsADirectoryError(rpath) from None
            raise
        with answer, Path(lpath).open("wb") as target:
            for piece in answer.iter_content(CHUNK):
                target.write(piece)

    def _opened(self, path: str) -> Any:
        answer = self._call("OPEN", path=path, redirect=False)
        where = answer.headers.get("Location")
        if where is None:  # a gateway gives the content itself
            return answer
        answer.close()
        return self._checked(self.session.get(self._apply_proxy(where), headers=_HEADERS, stream=True))

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """Move a file, and replace another one.

        Raises:
            FileExistsError: There is something, and a gateway cannot replace it.
            IsADirectoryError: There is a folder.
        """
        answer = self._call("RENAME", "put", path1, destination=path2, renameoptions="OVERWRITE")
        if not answer.content:
            return
        # A gateway (HttpFS) knows no options: it replaces nothing, and moves into a folder.
        if not answer.json()["boolean"]:
            raise FileExistsError(f"{path1} cannot be renamed to {path2}")
        if self.isdir(path2):
            self.rm(f"{path2}/{path1.rpartition('/')[2]}")
            raise IsADirectoryError(f"{path2} is a folder")

    def rmdir(self, path: str) -> None:
        """Remove a folder in which nothing is."""
        self.rm(path)

    @staticmethod
    def _process_info(info: dict[str, Any]) -> dict[str, Any]:
        info["modified"] = datetime.fromtimestamp(info["modificationTime"] / 1000, timezone.utc)
        told: dict[str, Any] = WebHDFS._process_info(info)
        return told
