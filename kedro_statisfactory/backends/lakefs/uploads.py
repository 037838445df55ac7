"""The calls of the lakeFS API for large objects, which travel past the server in parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from kedro_statisfactory.backends.lakefs.model import CRC32_KEY, Stat, begun_of, mapping_of, stat_of, text_of
from kedro_statisfactory.backends.lakefs.requests import CONFIG, LakeFSRequests, api_path
from kedro_statisfactory.errors import BranchNotFound, ObjectNotFound
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.session import Session

#: What an object is, as far as anybody knows.
OCTETS = "application/octet-stream"


@contextlib.contextmanager
def branch_or_error(repository: str, branch: str) -> Iterator[None]:
    """Say of what is not there that it is the branch.

    Raises:
        BranchNotFound: It is.
    """
    try:
        yield
    except ObjectNotFound:
        raise BranchNotFound(f"the repository {repository!r} has no branch {branch!r}.") from None


class LakeFSUploads:
    """One lakeFS server, as far as it signs URLs for uploads in parts.

    Args:
        session: Credentials, and the connections made from them.
    """

    def __init__(self, session: Session) -> None:
        self._server = LakeFSRequests(session)

    def server(self) -> tuple[str, bool, str]:
        """Version of the server, whether it signs URLs of its object store, and its time as HTTP tells it."""
        time = self._server.request("GET", CONFIG).headers.get("Date", "")
        version, signs = self._server.json(
            "GET",
            CONFIG,
            lambda found: (
                text_of(found["version_config"], "version"),
                bool(found["storage_config"].get("pre_sign_support")),
            ),
        )
        return version, signs, time

    def presigns(self) -> tuple[bool, bool]:
        """Whether the server hands out signed URLs for reading, and for writing in parts."""
        storage = self._server.json("GET", CONFIG, lambda found: mapping_of(found, "storage_config"))
        return bool(storage.get("pre_sign_support")), bool(storage.get("pre_sign_multipart_upload"))

    def begin_parts(
        self, repository: str, branch: str, path: str, count: int
    ) -> tuple[str, str, Sequence[Hidden[str]]]:
        """Begin an upload in parts; gives its id, its address and a signed URL for each part.

        It is not repeated when its answer was lost: lakeFS lists no uploads, so that nobody could end the first one.

        Raises:
            BackendUnreachable: Nobody knows whether it was begun.
        """
        where = api_path("repositories", repository, "branches", branch, "staging", "pmpu")
        query = {"path": path, "parts": str(count)}
        with branch_or_error(repository, branch):
            return self._server.json("POST", where, lambda found: begun_of(found, count), query, repeatable=False)

    def sign_part(self, repository: str, branch: str, path: str, upload: tuple[str, str], number: int) -> Hidden[str]:
        """A new signed URL for a part, where the first one is too old."""
        where = api_path(
            "repositories", repository, "branches", branch, "staging", "pmpu", upload[0], "parts", str(number)
        )
        body = {"physical_address": upload[1]}
        return self._server.json(
            "PUT", where, lambda found: Hidden(text_of(found, "presigned_url")), {"path": path}, json_body=body
        )

    def complete_parts(
        self,
        repository: str,
        branch: str,
        path: str,
        upload: tuple[str, str],
        etags: Sequence[str],
        crc32: int,
        size: int,
    ) -> Stat:
        """Make the parts one object of ``size`` bytes."""
        where = api_path("repositories", repository, "branches", branch, "staging", "pmpu", upload[0])
        body = {
            "physical_address": upload[1],
            "parts": [{"part_number": number, "etag": etag} for number, etag in enumerate(etags, start=1)],
            "user_metadata": {CRC32_KEY: f"{crc32:08x}"},
            "content_type": OCTETS,
        }
        return self._server.json("PUT", where, lambda found: stat_of(found, path, size), {"path": path}, json_body=body)

    def abort_parts(self, repository: str, branch: str, path: str, upload: tuple[str, str]) -> None:
        """Drop an upload in parts."""
        where = api_path("repositories", repository, "branches", branch, "staging", "pmpu", upload[0])
        self._server.delete(where, {"path": path}, json_body={"physical_address": upload[1]})
