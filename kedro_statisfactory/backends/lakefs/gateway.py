"""lakeFS's S3 gateway: engines write to a branch and read at a ref as if a repository was a bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from urllib.parse import ParseResult, urlsplit

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.backends.http import ask_once, proxy_for
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.client import object_store
from kedro_statisfactory.backends.lakefs.credentials import lakefs_configuration
from kedro_statisfactory.backends.lakefs.folders import mark_folder
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, Stat, info_of
from kedro_statisfactory.errors import ObjectNotFound
from kedro_statisfactory.hidden import Hidden, HiddenDict
from kedro_statisfactory.location import unparse
from kedro_statisfactory.session import Session

_EMPTY = hashlib.sha256().hexdigest()
_PATIENCE = 5.0  # seconds in which the gateway has to answer, or engines do without it


class LakeFSGateway:
    """What it takes that an engine goes to the gateway by itself.

    Args:
        session: Credentials; its project has the settings, and keeps the journal of what a run writes.
        api: The server.
        note: Called with what is going to be read.
    """

    def __init__(self, session: Session, api: LakeFSAPI, note: Callable[[ObjectInfo], None]) -> None:
        self._session, self._api, self._note = session, api, note

    def access(self, fragment: ParseResult, repository: str, ref: str, path: str) -> S3Access:
        """A location at the gateway, which listens where the server does unless the settings name another host.

        Args:
            fragment: The location of the entry, for errors.
            repository: Where.
            ref: Where: a branch to write to.
            path: Where.
        """
        found, endpoint = lakefs_configuration(self._session.credentials), self._endpoint
        return S3Access(
            bucket=repository,
            key=f"{ref}/{path}",
            url=unparse(fragment),
            endpoint_url=endpoint,
            access_key_id=Hidden(found.access_key_id),
            secret_access_key=Hidden(found.secret_access_key),
            path_style=True,
            verify=(found.ssl_ca_cert or True) if found.verify_ssl else False,
            proxy=proxy_for(endpoint, Hidden(found.proxy)),
        )

    def is_open(self, repository: str) -> bool:
        """Whether somebody who answers at the gateway knows these credentials; asked once per process.

        What is between this machine and the server may let its API through and not the gateway, whose requests are
        signed with the name of the host.

        Args:
            repository: One that is there.
        """
        return self._session.connection(("lakefs gateway", self._endpoint), lambda: self._is_open(repository))

    def answers(self, repository: str) -> bool:
        """The same, for who needs it: where it did not, the server may have been away for a moment.

        Args:
            repository: To which engines go.

        Raises:
            RepositoryNotFound, BackendUnreachable: Engines would not be the only ones that fail.
        """
        if self.is_open(repository):
            return True
        self._api.default_branch(repository)  # which waits for the server
        return self._is_open(repository)

    def _is_open(self, repository: str) -> bool:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from urllib3.exceptions import HTTPError

        found = lakefs_configuration(self._session.credentials)
        # GET, not HEAD, because its 403 says why: a user who may not look at the repository may yet read its objects.
        where = f"{self._endpoint}/{repository}?location="
        request = AWSRequest("GET", where, headers={"x-amz-content-sha256": _EMPTY})
        keys = Credentials(found.access_key_id, found.secret_access_key)
        S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
        pool = object_store(self._session, self._endpoint)
        try:
            headers = HiddenDict(request.headers.items())
            answer = ask_once(pool, "GET", Hidden(where), headers, None, False, _PATIENCE, _PATIENCE)
        except (HTTPError, OSError):
            return False
        if answer.status == 403:
            return b"<Code>AccessDenied</Code>" in answer.data
        return answer.status == 200 and b"<LocationConstraint" in answer.data

    @property
    def _endpoint(self) -> str:
        parts = urlsplit(self._api.host)
        return self._session.project.settings.gateway or f"{parts.scheme}://{parts.netloc}"

    def look(self, repository: str, ref: str, path: str) -> str:
        """See that there is something to be read, and note what it is where that is asked for; gives the ref.

        Raises:
            ObjectNotFound: There is nothing.
        """
        try:
            found = [self._api.stat(repository, ref, path)]
        except ObjectNotFound:
            most = None if self._session.input_of else 10
            listed = self._api.list(repository, ref, f"{path}/", amount=most)
            found = [stat for stat in listed if not transfer.is_folder_marker(stat.path, stat.size)]
            if not found:
                raise
        for stat in found:
            self._note(info_of(stat.path, stat))
        return ref

    def clear(self, repository: str, branch: str, path: str) -> None:
        """Remove what is at a path of a branch, and below it."""
        if found := [stat.path for stat in self._at(repository, branch, path)]:
            self._api.delete(repository, branch, [*found, FOLDER_MARK + path])

    def end(self, repository: str, branch: str, path: str) -> list[Stat]:
        """Drop the markers of folders, mark what is a folder, and let the run know of all; gives what there is.

        Markers would differ between two runs, which would conflict by them.
        """
        listed = self._at(repository, branch, path)
        markers = [stat.path for stat in listed if transfer.is_folder_marker(stat.path, stat.size)]
        if markers:
            self._api.delete(repository, branch, markers)
        found = [stat for stat in listed if stat.path not in markers]
        for stat in found:
            self._session.project.note_written(self._api.host, repository, stat.path, stat.checksum)
        if any(stat.path != path for stat in found):
            mark_folder(self._api, repository, branch, path, found)
        return found

    def _at(self, repository: str, branch: str, path: str) -> list[Stat]:
        try:
            listed = list(self._api.list(repository, branch, path))
        except ObjectNotFound:
            self._api.branch(repository, branch)  # which is gone
            raise
        return [stat for stat in listed if stat.path == path or stat.path.startswith(f"{path}/")]
