"""What a backend tells the run for which it works, and what of its session goes to other hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.session import Session


class Notes:
    """What is noted for the record of a run."""

    _session: Session

    @property
    def is_noted(self) -> bool:
        """Whether the entry is an input of a run that tells in its record what it has read."""
        return self._session.input_of is not None

    def note_read(self, info: ObjectInfo) -> None:
        """Note for the record of a run what was read, as the answer or the file itself has told it.

        Args:
            info: Of the object; ``path`` is its full path.
        """
        if project := self._session.input_of:
            project.note_read(info.path, info.fingerprint())

    def note_written(self, *, fragment: ParseResult, **kwargs: Any) -> None:
        """Let the run know that an entry was saved, where no other verb of this backend has done that.

        Args:
            fragment: The parsed location of the entry.
            kwargs: Options of the backend, as for ``put``.
        """
        return

    def travelling_credentials(self) -> Mapping[str, Any]:
        """The credentials of the entry as other processes get them, with no secret that it does not have itself."""
        return self._session.credentials
