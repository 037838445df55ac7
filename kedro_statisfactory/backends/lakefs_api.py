"""The calls of the lakeFS API that this package makes, through the connections of lakefs-client.

lakefs-client brings configuration, authentication and the connection pool. Its generated methods are not used: they
hold payloads in memory twice, refuse values that a younger server has added, set no time-outs and retry nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from kedro_statisfactory.errors import (
    BackendUnreachable,
    BranchNotFound,
    Conflict,
    DirtyBranch,
    IntegrityError,
    InvalidCredentials,
    InvalidURL,
    MergeConflict,
    NoChanges,
    NotABranch,
    ObjectNotFound,
    PermissionDenied,
    PreconditionFailed,
    RefNotFound,
    RepositoryNotFound,
    ServerTooOld,
    StatisfactoryError,
    TransferError,
)
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

#: Seconds for a connection and for each wait on an answer.
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 120.0
#: Tries of a call, and the longest pause before the last of them in seconds.
ATTEMPTS, LONGEST_PAUSE = 6, 3.0
#: Bytes of the longest path that lakeFS allows.
LONGEST_PATH = 1024
#: The server that the tests run against; older ones are asked for their version when they fail oddly.
NEEDED_VERSION = (1, 66)

_LOGGER = logging.getLogger(__name__)

_OCTETS = "application/octet-stream"
_FRAMING = ("Content-Length", "Transfer-Encoding")  # one of them says where an answer ends
#: Name of the user metadata in which a large object keeps the CRC-32 of all its bytes, in hex.
CRC32_KEY = "crc32"
_NO_SUCH_RANGE = 416
_PAGE = 1000  # the most that lakeFS gives at once

# What a server says that did not do what it was asked and may do it soon: overload, a lock, a lost race of commits.
_TRANSIENT = frozenset((429, 502, 503, 504))
_UNKNOWN_OUTCOME = frozenset((502, 504))  # of a gateway that the server itself may have outlived
_TRANSIENT_TEXTS = ("predicate failed", "locked", "too many requests", "try again", "slow down", "timeout")
# What a handshake will say next time, too.
_TLS_FOR_GOOD = ("CERTIFICATE", "WRONG_VERSION", "WRONG VERSION")
_CONFIG = "/config"
# What lakeFS says to a call that it does not know; older ones said nothing.
_NO_SUCH_CALL = "invalid API endpoint"
# A name that no branch, tag or commit can have; lakeFS calls some of them its own error.
_ILLEGAL_REF = re.compile(r"\b(ref|branch id|tag id): invalid value")


@dataclass(frozen=True)
class Stat:
    """An object as lakeFS describes it; ``checksum`` is the MD5 of what came through the API, in hex."""

    path: str
    size: int
    checksum: str
    mtime: int
    address: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ref:
    """A branch or tag, and the commit that it points to."""

    id: str
    commit_id: str


@dataclass(frozen=True)
class Commit:
    """A commit; ``created`` in seconds since 1970."""

    id: str
    message: str
    created: int
    parents: tuple[str, ...]
    metadata: Mapping[str, str]


class LakeFSAPI:
    """One lakeFS server, asked with the credentials of a session.

    Every call has time-outs. What the server calls transient, and what broke off and can be repeated without harm, is
    tried again a bounded number of times. Errors are this package's and show no credentials and no signed URLs.

    Args:
        session: Credentials, and the connections made from them.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def host(self) -> str:
        """URL of the API."""
        return str(self._session.lakefs.configuration.host)

    # -- repositories, branches, tags ------------------------------------------------------------------------------

    def default_branch(self, repository: str) -> str:
        """The default branch of a repository."""
        return str(self._json("GET", _path("repositories", repository))["default_branch"])

    def branch(self, repository: str, branch: str) -> Ref:
        """A branch.

        Raises:
            BranchNotFound: There is none.
        """
        with _branch_or_error(repository, branch):
            found = self._json("GET", _path("repositories", repository, "branches", branch))
        return Ref(found["id"], found["commit_id"])

    def create_branch(self, repository: str, name: str, source: str, hidden: bool = False) -> str:
        """Create a branch; gives the commit that it points to.

        Raises:
            Conflict: A branch, tag or commit has the name.
            BranchNotFound: ``source`` is not there.
        """
        body = {"name": name, "source": source, "hidden": hidden}
        try:
            answer = self._request("POST", _path("repositories", repository, "branches"), json_body=body)
        except ObjectNotFound:
            raise BranchNotFound(
                f"the repository {repository!r} has no {source!r} from which to make the branch {name!r}: correct "
                "`source` of statisfactory.yml, or the default branch of the repository."
            ) from None
        return answer.data.decode("ascii", "replace").strip().strip('"')

    def ensure_branch(self, repository: str, name: str, source: str) -> bool:
        """Create a branch unless it is there; gives whether it was made.

        Raises:
            NotABranch: A tag or commit has the name.
            BranchNotFound: ``source`` is not there.
        """
        try:
            self.create_branch(repository, name, source)
        except Conflict:
            try:
                self.branch(repository, name)  # made by another process just now
            except BranchNotFound:
                raise NotABranch(
                    f"the data branch {name!r} cannot be made in {repository!r}: a tag or commit has this name. "
                    "Rename the tag, or give the git branch another data branch in `branches` of statisfactory.yml."
                ) from None
            return False
        return True

    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch; none is as good."""
        with contextlib.suppress(ObjectNotFound):
            self._request("DELETE", _path("repositories", repository, "branches", branch))

    def branches(self, repository: str, prefix: str) -> Iterator[Ref]:
        """All branches, hidden ones too, whose names begin with ``prefix``."""
        where = _path("repositories", repository, "branches")
        for found in self._pages(where, {"prefix": prefix, "show_hidden": "true"}):
            yield Ref(found["id"], found["commit_id"])

    def create_tag(self, repository: str, name: str, ref: str) -> None:
        """Create a tag.

        Raises:
            Conflict: A tag or branch has the name; perhaps it was made by a try whose answer was lost.
        """
        self._request("POST", _path("repositories", repository, "tags"), json_body={"id": name, "ref": ref})

    def tag(self, repository: str, name: str) -> Ref | None:
        """A tag; ``None`` when there is none."""
        try:
            found = self._json("GET", _path("repositories", repository, "tags", name))
        except ObjectNotFound:
            return None
        return Ref(found["id"], found["commit_id"])

    def tags(self, repository: str, prefix: str) -> Iterator[Ref]:
        """All tags whose names begin with ``prefix``, in the order of their names."""
        for found in self._pages(_path("repositories", repository, "tags"), {"prefix": prefix}):
            yield Ref(found["id"], found["commit_id"])

    # -- commits ---------------------------------------------------------------------------------------------------

    def commit(self, repository: str, ref: str) -> Commit:
        """The commit to which a branch, tag, commit id or expression points.

        Raises:
            RefNotFound: There is no such thing.
        """
        try:
            return _commit(self._json("GET", _path("repositories", repository, "commits", ref)))
        except ObjectNotFound:
            raise RefNotFound(f"the repository {repository!r} has no tag, branch or commit {ref!r}.") from None

    def create_commit(
        self, repository: str, branch: str, message: str, metadata: Mapping[str, str], allow_empty: bool = False
    ) -> str:
        """Commit what was written to a branch; gives the id of the commit.

        Raises:
            NoChanges: Nothing was written, and ``allow_empty`` is off.
        """
        body = {"message": message, "metadata": dict(metadata), "allow_empty": allow_empty}
        where = _path("repositories", repository, "branches", branch, "commits")
        return str(self._json("POST", where, json_body=body, repeatable=False)["id"])

    def merge(
        self, repository: str, source: str, target: str, message: str, metadata: Mapping[str, str], strategy: str | None
    ) -> str:
        """Merge a branch into another, as one commit even when nothing differs; gives the id of that commit.

        The commits of the branch are no parents of it: who reads the log of the target finds each merge once.

        Raises:
            MergeConflict: Both have changed the same paths.
            DirtyBranch: ``target`` has uncommitted changes.
        """
        body: dict[str, Any] = {
            "message": message,
            "metadata": dict(metadata),
            "allow_empty": True,
            "squash_merge": True,
        }
        if strategy:
            body["strategy"] = strategy
        where = _path("repositories", repository, "refs", source, "merge", target)
        try:
            return str(self._json("POST", where, json_body=body, repeatable=False)["reference"])
        except Conflict:
            raise MergeConflict(f"{source!r} and {target!r} have both changed the same paths.") from None

    def changes(self, repository: str, left: str, right: str, three_dot: bool = False) -> Iterator[tuple[str, str]]:
        """Path and kind (``added``, ``changed``, ``removed``, ``conflict``) of what differs between two refs."""
        query = {"type": "three_dot" if three_dot else "two_dot"}
        where = _path("repositories", repository, "refs", left, "diff", right)
        for found in self._pages(where, query):
            yield found["path"], found["type"]

    def has_uncommitted(self, repository: str, branch: str) -> bool:
        """Whether a branch has changes that no commit has.

        Raises:
            BranchNotFound: There is no branch.
        """
        where = _path("repositories", repository, "branches", branch, "diff")
        with _branch_or_error(repository, branch):
            return bool(self._json("GET", where, {"amount": "1"})["results"])

    def log(self, repository: str, ref: str, path: str | None = None, amount: int | None = None) -> Iterator[Commit]:
        """Commits from ``ref`` back along first parents; with ``path`` all that changed it, or what is below it."""
        # lakeFS never names a merge as a change of an object: what it brought is found behind its second parent.
        query = {"objects": path, "prefixes": f"{path}/"} if path else {"first_parent": "true"}
        for found in self._pages(_path("repositories", repository, "refs", ref, "commits"), query, amount):
            yield _commit(found)

    # -- objects ---------------------------------------------------------------------------------------------------

    def stat(self, repository: str, ref: str, path: str, presign: bool = False) -> Stat:
        """Describe an object; with ``presign`` its ``address`` is a URL from which anyone may fetch it for a while."""
        query = {"path": path, **({"presign": "true"} if presign else {})}
        return _stat(self._json("GET", _path("repositories", repository, "refs", ref, "objects", "stat"), query))

    def list(self, repository: str, ref: str, prefix: str, amount: int | None = None) -> Iterator[Stat]:
        """All objects whose path begins with ``prefix``, in order."""
        if len(prefix.encode()) > LONGEST_PATH:
            return  # the server would refuse the question
        where = _path("repositories", repository, "refs", ref, "objects", "ls")
        for found in self._pages(where, {"prefix": prefix}, amount):
            yield _stat(found)

    @contextlib.contextmanager
    def open(self, repository: str, ref: str, path: str, most: int | None = None) -> Iterator[Answer]:
        """Begin to fetch an object, or so many bytes of its beginning."""
        where = _path("repositories", repository, "refs", ref, "objects")
        begin = {"Range": f"bytes=0-{most - 1}"} if most else {}
        response = self._request("GET", where, {"path": path}, headers=begin, stream=True, accept=(_NO_SUCH_RANGE,))
        try:
            yield Answer(response, most)
        finally:
            let_go(response)

    def upload(
        self,
        repository: str,
        branch: str,
        path: str,
        body: Callable[[], bytes | IO[bytes]],
        size: int,
        crc32: int | None = None,
    ) -> Stat:
        """Store an object in one request, and compare what the server says that it has got.

        Args:
            repository: Where.
            branch: Where.
            path: Where.
            body: Gives what is sent, anew for each try.
            size: Bytes.
            crc32: Kept with the object, for who reads it.

        Raises:
            BranchNotFound: There is no branch of this name.
            IntegrityError: Something else arrived.
        """
        digest: Any = None

        def hashed() -> Any:
            nonlocal digest
            content, digest = body(), hashlib.md5(usedforsecurity=False)
            if not isinstance(content, bytes):
                return _Hashing(content, digest)
            digest.update(content)
            return content

        headers = {"Content-Type": _OCTETS, "Content-Length": str(size)}
        if crc32 is not None:
            headers[f"X-Lakefs-Meta-{CRC32_KEY}"] = f"{crc32:08x}"
        where = _path("repositories", repository, "branches", branch, "objects")
        for _ in range(ATTEMPTS):
            with _branch_or_error(repository, branch):
                stored = _stat(self._json("POST", where, {"path": path}, headers=headers, body=hashed))
            if (stored.size, stored.checksum) == (size, digest.hexdigest()):
                return stored
        raise IntegrityError(
            f"the server has stored other bytes than were sent to {path!r}, {ATTEMPTS} times: what is there now is "
            "damaged. Something on the way changes what is sent; save again by another way (https, no proxy)."
        )

    def delete(self, repository: str, branch: str, paths: Sequence[str]) -> None:
        """Remove objects from a branch; those that are not there are as good.

        lakeFS says that it has done so on a tag and where there is no branch, too, and does nothing.
        """
        where = _path("repositories", repository, "branches", branch, "objects", "delete")
        paths = [path for path in paths if len(path.encode()) <= LONGEST_PATH]  # no other can be there
        for start in range(0, len(paths), _PAGE):
            found = self._json("POST", where, json_body={"paths": paths[start : start + _PAGE]})
            for error in found.get("errors") or ():
                raise TransferError(f"the object {error.get('path')!r} was not deleted: {error.get('message')}")

    # -- large objects, which travel past the server ---------------------------------------------------------------

    def presigns(self) -> tuple[bool, bool]:
        """Whether the server hands out signed URLs for reading, and for writing in parts."""
        storage = self._json("GET", _CONFIG).get("storage_config", {})
        return bool(storage.get("pre_sign_support")), bool(storage.get("pre_sign_multipart_upload"))

    def begin_parts(self, repository: str, branch: str, path: str, count: int) -> tuple[str, str, Sequence[str]]:
        """Begin an upload in parts; gives its id, its address and a signed URL for each part."""
        where = _path("repositories", repository, "branches", branch, "staging", "pmpu")
        with _branch_or_error(repository, branch):
            found = self._json("POST", where, {"path": path, "parts": str(count)})
        return found["upload_id"], found["physical_address"], found["presigned_urls"]

    def sign_part(self, repository: str, branch: str, path: str, upload: tuple[str, str], number: int) -> str:
        """A new signed URL for a part, where the first one is too old."""
        where = _path(
            "repositories", repository, "branches", branch, "staging", "pmpu", upload[0], "parts", str(number)
        )
        return str(self._json("PUT", where, {"path": path}, json_body={"physical_address": upload[1]})["presigned_url"])

    def complete_parts(
        self, repository: str, branch: str, path: str, upload: tuple[str, str], etags: Sequence[str], crc32: int
    ) -> Stat:
        """Make the parts one object."""
        where = _path("repositories", repository, "branches", branch, "staging", "pmpu", upload[0])
        body = {
            "physical_address": upload[1],
            "parts": [{"part_number": number, "etag": etag} for number, etag in enumerate(etags, start=1)],
            "user_metadata": {CRC32_KEY: f"{crc32:08x}"},
            "content_type": _OCTETS,
        }
        return _stat(self._json("PUT", where, {"path": path}, json_body=body))

    def abort_parts(self, repository: str, branch: str, path: str, upload: tuple[str, str]) -> None:
        """Drop an upload in parts."""
        where = _path("repositories", repository, "branches", branch, "staging", "pmpu", upload[0])
        self._request("DELETE", where, {"path": path}, json_body={"physical_address": upload[1]})

    # -- requests --------------------------------------------------------------------------------------------------

    def _pages(self, where: str, query: Mapping[str, str], amount: int | None = None) -> Iterator[Any]:
        after = ""
        while True:
            page = self._json("GET", where, {**query, "amount": str(amount or _PAGE), "after": after})
            yield from page["results"]
            if not page["pagination"]["has_more"]:
                return
            after = page["pagination"]["next_offset"]

    def _json(self, method: str, where: str, query: Mapping[str, str] | None = None, **more: Any) -> Any:
        response = self._request(method, where, query, **more)
        try:
            return json.loads(response.data)
        except ValueError:
            raise InvalidCredentials(f"what answers at {self.host} is no lakeFS server: check endpoint_url.") from None

    def _request(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        *,
        json_body: Any = None,
        body: Callable[[], Any] | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        repeatable: bool = True,
        accept: Sequence[int] = (),
    ) -> BaseHTTPResponse:
        """Ask the API; the answer is a success, or has one of the statuses to ``accept``."""
        client = self._session.lakefs
        sent = {"Authorization": client.configuration.get_basic_auth_token(), **(headers or {})}
        if json_body is not None:
            encoded = json.dumps(json_body).encode()
            sent["Content-Type"] = "application/json"

            def body() -> bytes:
                return encoded

        url = f"{client.configuration.host}{where}{'?' + urlencode(query, quote_via=quote) if query else ''}"
        peer = Peer(f"the lakeFS server {self.host}", "check endpoint_url, and that the server runs", _may_soon_do_it)
        response = peer.send(client.rest_client.pool_manager, method, url, sent, body, stream, repeatable)
        if response.status >= 300 and response.status not in accept:
            self._raise(response, url)
        return response

    def _raise(self, response: BaseHTTPResponse, url: str) -> NoReturn:
        status, message = response.status, _message(response.data)
        if message in ("", _NO_SUCH_CALL) and (status < 400 or status in (404, 405, 501)):
            self._refuse_stranger(response, url)
        kinds: dict[int, type[StatisfactoryError]] = {
            401: PermissionDenied,
            403: PermissionDenied,
            404: ObjectNotFound,
            409: Conflict,
            412: PreconditionFailed,
        }
        kind = kinds.get(status, TransferError)
        if status == 404 and message == "repository not found":
            name = url.removeprefix(f"{self.host}/repositories/").partition("/")[0]
            raise RepositoryNotFound(
                f"the lakeFS server {self.host} has no repository {name!r}: create it, or correct the URL; it is the "
                "first name behind lakefs://."
            )
        if status in (401, 403) and not message:
            message = f"it answers with HTTP status {status}, and not as lakeFS does: check endpoint_url and the proxy"
        elif status == 401:
            message = "it does not know these keys: check the credentials of the entry or of lakectl"
        elif status == 403:
            message = f"these keys may not do this, or the branch is protected ({message})"
        elif status == 400 and "no changes" in message:
            kind = NoChanges
        elif status == 400 and "dirty branch" in message:
            kind = DirtyBranch
        elif status == 400 and "above maximum length" in message:
            kind = InvalidURL
        elif status in (400, 500) and _ILLEGAL_REF.search(message):
            kind = ObjectNotFound
        message = message or f"HTTP status {status}"
        raise kind(f"the lakeFS server {self.host}: {message}.")

    def _refuse_stranger(self, response: BaseHTTPResponse, url: str) -> NoReturn:
        """Say why an answer is none that a lakeFS server of today gives to what it was asked."""
        told = f"what answers at {self.host} (HTTP status {response.status})"
        if location := response.headers.get("Location"):
            to = ""
            with contextlib.suppress(ValueError):  # it is no URL
                parts = urlsplit(location)
                to = f" but {parts.scheme}://{parts.hostname}" if parts.hostname else ""
            raise InvalidCredentials(f"{told} sends elsewhere: endpoint_url is not {self.host}{to}.")
        if url != f"{self.host}{_CONFIG}" and (version := self._version()):  # the one asks for the other
            if tuple(int(part) for part in version.split(".")[:2]) < NEEDED_VERSION:
                needed = ".".join(map(str, NEEDED_VERSION))
                raise ServerTooOld(
                    f"the lakeFS server {self.host} has the version {version}; {needed} or newer is needed."
                )
            raise TransferError(
                f"the lakeFS server {self.host} {version} does not know a call (HTTP status {response.status}), or a "
                "proxy before it does not."
            )
        raise InvalidCredentials(f"{told} is no lakeFS server: check endpoint_url.")

    def _version(self) -> str | None:
        """The version of the server; ``None`` where there is none that could be compared."""
        try:
            version = str(self._json("GET", _CONFIG)["version_config"]["version"])
        except (StatisfactoryError, KeyError, TypeError):
            return None
        return version if re.match(r"\d+\.\d+\.", version) else None


@dataclass(frozen=True)
class Peer:
    """Somebody who is sent requests, again and a bounded number of times where that may help.

    Attributes:
        name: For errors.
        advice: What to do when nothing answers.
        may_soon_do_it: Whether an answer, told by its status and message, asks for another try.
    """

    name: str
    advice: str
    may_soon_do_it: Callable[[int, str], bool]

    def send(
        self,
        pool: PoolManager,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], Any] | None = None,
        stream: bool = False,
        repeatable: bool = True,
    ) -> BaseHTTPResponse:
        """Send a request; gives the answer, which may say no.

        Raises:
            BackendUnreachable: Nothing answers, or nobody knows whether it was done.
        """
        from urllib3 import Timeout
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, SSLError

        attempt = 0
        while True:
            attempt += 1
            try:
                response: BaseHTTPResponse = pool.request(
                    method,
                    url,
                    body=body() if body else None,
                    headers=headers,
                    preload_content=not stream,
                    decode_content=False,
                    redirect=False,
                    retries=False,
                    timeout=Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
                )
                if response.status < 300:
                    if response.status != 204 and not any(name in response.headers for name in _FRAMING):
                        response.close()
                        raise ProtocolError("an answer broke off")  # within its headers: its end would not be noticed
                    return response
                message = _message(response.data)
            except (HTTPError, OSError) as error:
                unsent = isinstance(error, NewConnectionError | ConnectTimeoutError)
                never = isinstance(error, SSLError) and any(each in str(error).upper() for each in _TLS_FOR_GOOD)
                if attempt == ATTEMPTS or not (repeatable or unsent) or never:
                    tls = " A server that does not speak TLS has a URL with http://." * isinstance(error, SSLError)
                    raise BackendUnreachable(
                        f"{self.name} does not answer ({plain(error)}): {self.advice}.{tls}"
                    ) from None
                _LOGGER.warning(
                    "%s does not answer (%s): try %d of %d follows.", self.name, plain(error), attempt + 1, ATTEMPTS
                )
            else:
                unknown = response.status in _UNKNOWN_OUTCOME or "timeout" in message.lower()
                if unknown and response.status >= 500 and not repeatable:
                    raise BackendUnreachable(
                        f"{self.name} may or may not have done what it was asked (HTTP status {response.status})."
                    )
                if attempt == ATTEMPTS or not self.may_soon_do_it(response.status, message):
                    return response
            time.sleep(random.uniform(0.2, 1) * min(LONGEST_PAUSE, 0.1 * 2**attempt))


def _may_soon_do_it(status: int, message: str) -> bool:
    return status in _TRANSIENT or (status >= 500 and any(each in message.lower() for each in _TRANSIENT_TEXTS))


@contextlib.contextmanager
def _branch_or_error(repository: str, branch: str) -> Iterator[None]:
    try:
        yield
    except ObjectNotFound:
        raise BranchNotFound(f"the repository {repository!r} has no branch {branch!r}.") from None


class Answer:
    """An object, or its beginning, that is being fetched: ``length`` bytes of ``size``.

    Args:
        response: Of the server.
        most: Bytes of the beginning that was asked for; ``None``: all.
    """

    def __init__(self, response: BaseHTTPResponse, most: int | None = None) -> None:
        self._response = response
        try:
            self.length = self.size = int(response.headers["Content-Length"])
            if response.status == _NO_SUCH_RANGE and response.headers["Content-Range"] == "bytes */0":
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

    def chunks(self, size: int) -> Iterator[bytes]:
        """The bytes as they come.

        Raises:
            IntegrityError: They end too early.
        """
        return read_chunks(self._response, self.length, size)


def read_chunks(response: BaseHTTPResponse, length: int, size: int) -> Iterator[bytes]:
    """So many bytes of an answer as they come.

    Raises:
        IntegrityError: They end too early.
    """
    from urllib3.exceptions import HTTPError

    got = 0
    try:
        while got < length and (chunk := response.read(min(size, length - got))):
            got += len(chunk)
            yield chunk
    except (HTTPError, OSError) as error:
        raise IntegrityError(f"an answer broke off ({plain(error)})") from None
    if got != length:
        raise IntegrityError("an answer broke off")


def let_go(response: BaseHTTPResponse) -> None:
    """Give the connection back when all of the answer was read; else close it."""
    response.release_conn() if response.length_remaining == 0 else response.close()


class _Hashing:
    """A file that is hashed while it is sent."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(max(size, 1 << 18))
        self._digest.update(chunk)
        return chunk


def _path(*segments: str) -> str:
    # A dot or two would be resolved away on the way.
    quoted = (quote(segment, safe="") if segment.strip(".") else segment.replace(".", "%2E") for segment in segments)
    return "".join(f"/{segment}" for segment in quoted)


def _message(body: bytes) -> str:
    """What the server says, without anything that a proxy's page could show."""
    try:
        return str(json.loads(body)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return ""


def plain(error: BaseException) -> str:
    """What went wrong, without the URL, which may be signed."""
    cause = getattr(error, "reason", None) or error
    text = str(cause).rpartition(": ")[2].rpartition("] ")[2]
    return type(cause).__name__ if "?" in str(cause) else f"{type(cause).__name__}: {text}"


def _stat(found: Mapping[str, Any]) -> Stat:
    return Stat(
        found["path"],
        int(found.get("size_bytes") or 0),
        found["checksum"],
        int(found["mtime"]),
        found["physical_address"],
        found.get("metadata") or {},
    )


def _commit(found: Mapping[str, Any]) -> Commit:
    return Commit(
        found["id"],
        found["message"],
        int(found["creation_date"]),
        tuple(found["parents"]),
        found.get("metadata") or {},
    )
