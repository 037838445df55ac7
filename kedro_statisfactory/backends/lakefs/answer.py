"""An object of lakeFS while it is being fetched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from kedro_statisfactory.backends.http import read_chunks
from kedro_statisfactory.errors import TransferError

if TYPE_CHECKING:
    from kedro_statisfactory.backends.http import Answered

#: HTTP status of an answer to a question for the beginning of an object that is empty.
NO_SUCH_RANGE = 416


class Answer:
    """An object, or its beginning, that is being fetched: ``length`` bytes of ``size``.

    Args:
        response: Of the server.
        most: Bytes of the beginning that was asked for; ``None``: all.
    """

    def __init__(self, response: Answered, most: int | None = None) -> None:
        self._response = response
        try:
            self.length = self.size = int(response.headers["Content-Length"])
            if response.status == NO_SUCH_RANGE and response.headers["Content-Range"] == "bytes */0":
                self.length = self.size = 0  # an empty object has no beginning
            elif response.status != 200:
                self.size = int(response.headers["Content-Range"].removeprefix(f"bytes 0-{self.length - 1}/"))
                if self.length > min(most or 0, self.size):
                    raise ValueError
            # A proxy that compresses, or could, calls a checksum weak (RFC 9110 §8.8.1).
            self.checksum = response.headers["ETag"].removeprefix("W/").strip('"')
        except (KeyError, ValueError):
            raise TransferError(
                "an object came without its length or checksum: what answers at endpoint_url is no lakeFS server, or a "
                "proxy changes its answers."
            ) from None

    @property
    def modified(self) -> datetime | None:
        """When the object was written; ``None`` where that is not told."""
        with contextlib.suppress(KeyError, ValueError):
            return parsedate_to_datetime(self._response.headers["Last-Modified"])
        return None

    def chunks(self, size: int) -> Iterator[bytes]:
        """The bytes as they come.

        Raises:
            IntegrityError: They end too early.
        """
        return read_chunks(self._response, self.length, size)
