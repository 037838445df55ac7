"""What was at a path before an upload, and its return when the upload came damaged."""

from __future__ import annotations

from collections.abc import Callable

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Stat
from kedro_statisfactory.errors import IntegrityError, ObjectNotFound, PermissionDenied, StatisfactoryError


class PuttingBack:
    """Puts back what was at a path where an upload came damaged.

    lakeFS shows an object as soon as it has arrived, and cannot be told beforehand what should arrive. It never changes
    or removes the bytes of an object that is replaced, so that a description is all that has to be kept.

    Args:
        api: The server.
        repository: Where.
        branch: Where.
        hidden: Whether nobody reads what is written there before it is whole, so that nothing has to be put back.
    """

    def __init__(self, api: LakeFSAPI, repository: str, branch: str, hidden: bool) -> None:
        self._api, self.repository, self.branch, self.hidden = api, repository, branch, hidden

    def look(self, path: str) -> Stat | None:
        """What is at a path; ``None`` when there is nothing, or no branch.

        Raises:
            PermissionDenied: The server does not tell.
        """
        try:
            return self._api.stat(self.repository, self.branch, path)
        except ObjectNotFound:
            return None

    def look_below(self, path: str) -> dict[str, Stat]:
        """What is below a path, by its own path."""
        try:
            return {stat.path: stat for stat in self._api.list(self.repository, self.branch, f"{path}/")}
        except ObjectNotFound:
            return {}

    def there(self, look: Callable[[], Stat | None]) -> Stat | None:
        """What is at a path of the branch of a run, where nobody else writes; ``None`` elsewhere, without a look.

        Args:
            look: Tells what there is.
        """
        try:
            return look() if self.hidden else None
        except PermissionDenied:  # who may write need not be allowed to read
            return None

    def after(self, look: Callable[[], Stat | None]) -> Callable[[Stat], None] | None:
        """What puts back what there is now, given what arrived in its place; ``None`` where that need not or cannot be.

        Args:
            look: Tells what there is.
        """
        if self.hidden:
            return None
        try:
            before = look()
        except PermissionDenied:  # who may write need not be allowed to read
            return None

        def put_back(damaged: Stat) -> None:
            nonlocal before
            try:
                there = self.look(damaged.path)
                if there is None or there.address != damaged.address:
                    before = there  # another one's, who came later, and what the next try replaces
                    return
                if before is None:
                    self._api.delete(self.repository, self.branch, [damaged.path])
                else:
                    self._api.stage(self.repository, self.branch, before)
            except StatisfactoryError as error:
                raise IntegrityError(
                    f"{damaged.path!r} arrived damaged on the branch {self.branch!r} of {self.repository!r}, and "
                    f"what was there before could not be put back ({error}): save it again."
                ) from None

        return put_back
