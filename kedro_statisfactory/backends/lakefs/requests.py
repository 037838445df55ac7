"""Requests to a lakeFS server: authentication, and errors as ours, which show no credentials and no signed URLs.

lakefs-client brings configuration, authentication and the connection pool. Its generated methods are not used: they
hold payloads in memory twice, refuse values that a younger server has added, set no time-outs and retry nothing.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from json import dumps, loads
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from kedro_statisfactory.backends import patience
from kedro_statisfactory.backends.http import Peer, message_of, never
from kedro_statisfactory.backends.lakefs.client import lakefs_client
from kedro_statisfactory.backends.lakefs.model import flag_of, list_of, text_of
from kedro_statisfactory.errors import (
    BackendUnreachable,
    Conflict,
    DirtyBranch,
    HookRefused,
    InvalidCredentials,
    InvalidURL,
    NoChanges,
    ObjectNotFound,
    PermissionDenied,
    PreconditionFailed,
    RepositoryNotFound,
    ServerTooOld,
    StatisfactoryError,
    TransferError,
)
from kedro_statisfactory.hidden import Hidden, HiddenDict
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from kedro_statisfactory.backends.http import Answered

_Read = TypeVar("_Read")

#: The server that the tests run against; older ones are asked for their version when they fail oddly.
NEEDED_VERSION = (1, 66)
#: The most that lakeFS gives at once, or takes.
PAGE = 1000
#: Path of the call that tells the server's version and what it offers.
CONFIG = "/config"

# What a server says that did not do what it was asked and may do it soon: overload, a lock, a lost race of commits.
_TRANSIENT = frozenset((429, 502, 503, 504))
_TRANSIENT_TEXTS = ("predicate failed", "locked", "too many requests", "try again", "slow down", "timeout")
# What lakeFS says to a call that it does not know; older ones said nothing.
_NO_SUCH_CALL = "invalid API endpoint"
# A name that no branch, tag or commit can have; lakeFS calls some of them its own error.
_ILLEGAL_REF = re.compile(r"\b(ref|branch id|tag id): invalid value")

# What a hook says, before the calls that led there.
_HOOK_ABORTED = re.compile(r"(.*\bhook aborted\b.*?)(\s*stack traceback:.*)?\s*", re.DOTALL)


class LakeFSRequests:
    """One lakeFS server, asked with the credentials of a session.

    Every request has time-outs. What the server calls transient, and what broke off and can be repeated without harm,
    is tried again a bounded number of times; in a run for a minute. There, what failed without a reason is, too.

    Args:
        session: Credentials, and the connections made from them.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def host(self) -> str:
        """URL of the API."""
        return str(lakefs_client(self._session).configuration.host)

    def pages(
        self,
        where: str,
        query: Mapping[str, str],
        read: Callable[[Any], _Read],
        amount: int | None = None,
        begin: str = "",
    ) -> Iterator[_Read]:
        """What a listing gives, page after page.

        Args:
            where: Path of the call.
            query: Its parameters.
            read: Makes one thing of its JSON, as for :meth:`json`.
            amount: How many to ask for at once; absent: as many as lakeFS gives.
            begin: What comes after this in the order of the listing is given.
        """
        after: str | None = begin

        def read_page(page: Any) -> tuple[list[_Read], str | None]:
            found, more = [read(each) for each in list_of(page, "results")], page["pagination"]
            if not flag_of(more, "has_more"):
                return found, None
            if text_of(more, "next_offset") == after:
                raise ValueError  # the same page once more, perhaps of a cache: there would be no end
            return found, more["next_offset"]

        while after is not None:
            page = {**query, "amount": str(amount or PAGE), "after": after}
            found, after = self.json("GET", where, read_page, page)
            yield from found

    def json(
        self, method: str, where: str, read: Callable[[Any], _Read], query: Mapping[str, str] | None = None, **more: Any
    ) -> _Read:
        """What the API answers as JSON; arguments as for :meth:`answer`, but that ``read`` is given the JSON."""
        return self.answer(method, where, lambda body: read(loads(body)), query, **more)

    def answer(
        self,
        method: str,
        where: str,
        read: Callable[[bytes], _Read],
        query: Mapping[str, str] | None = None,
        **more: Any,
    ) -> _Read:
        """What the API answers.

        Args:
            method: Of HTTP.
            where: Path of the call.
            read: Makes of an answer what is wanted; what it raises for one of another form becomes an error of ours.
            query: Parameters of the call.
            more: As for :meth:`request`.

        Raises:
            InvalidCredentials: That is no answer of a lakeFS server.
            BackendUnreachable: Neither is it, and nobody knows whether a call was done that must not be done twice.
        """
        response = self.request(method, where, query, **more)
        try:
            return read(response.data)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise self._no_answer_of_lakefs(done_once=not more.get("repeatable", True)) from None

    def delete(self, where: str, query: Mapping[str, str] | None = None, json_body: Any = None) -> None:
        """Delete something of which the API then says nothing."""
        if self.request("DELETE", where, query, json_body=json_body).status != 204:
            raise self._no_answer_of_lakefs()

    def _no_answer_of_lakefs(self, done_once: bool = False) -> StatisfactoryError:
        told = (
            f"what answers at {self.host} is no lakeFS server: check endpoint_url. If it is one, something on the way "
            "(a proxy, a sign-in page) gives other answers in its place."
        )
        if done_once:
            return BackendUnreachable(f"{told} What it was asked may or may not be done.")
        return InvalidCredentials(told)

    def request(
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
    ) -> Answered:
        """Ask the API.

        Args:
            method: Of HTTP.
            where: Path of the call.
            query: Its parameters.
            json_body: What is sent as JSON.
            body: Gives other bytes to send, anew for each try.
            headers: More headers.
            stream: Whether the caller reads the answer as it comes.
            repeatable: Whether the call may reach the server twice.
            accept: Statuses besides those of success that are given back.

        Raises:
            StatisfactoryError: The answer is another one.
        """
        client = lakefs_client(self._session)
        sent = HiddenDict({"Authorization": client.configuration.get_basic_auth_token(), **(headers or {})})
        if json_body is not None:
            encoded = dumps(json_body).encode()
            sent["Content-Type"] = "application/json"

            def body() -> bytes:
                return encoded

        url = f"{client.configuration.host}{where}{'?' + urlencode(query, quote_via=quote) if query else ''}"
        waits = patience.within(self._session.in_run)
        peer = Peer(
            f"the lakeFS server {client.configuration.host}",  # to find it out once more would take a while
            "check endpoint_url, and that the server runs",
            _may_soon_do_it,
            waits=waits,
            is_odd=_is_odd if waits else never,
        )
        response = peer.send(client.rest_client.pool_manager, method, Hidden(url), sent, body, stream, repeatable)
        if response.status >= 300 and response.status not in accept:
            self._raise(response, url)
        return response

    def _raise(self, response: Answered, url: str) -> NoReturn:
        status, message = response.status, message_of(response.data)
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
        elif status == 412 and (refused := _HOOK_ABORTED.fullmatch(message)):
            kind, message = HookRefused, " ".join(refused[1].split())
        elif status in (400, 500) and _ILLEGAL_REF.search(message):
            kind = ObjectNotFound
        message = message or f"HTTP status {status}"
        raise kind(f"the lakeFS server {self.host}: {message}.")

    def _refuse_stranger(self, response: Answered, url: str) -> NoReturn:
        """Say why an answer is none that a lakeFS server of today gives to what it was asked."""
        told = f"what answers at {self.host} (HTTP status {response.status})"
        if location := response.headers.get("Location"):
            to = ""
            with contextlib.suppress(ValueError):  # it is no URL
                parts = urlsplit(location)
                to = f" but {parts.scheme}://{parts.hostname}" if parts.hostname else ""
            raise InvalidCredentials(f"{told} sends elsewhere: endpoint_url is not {self.host}{to}.")
        if url != f"{self.host}{CONFIG}" and (version := self._version()):  # the one asks for the other
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
            version = self.json("GET", CONFIG, lambda config: text_of(config["version_config"], "version"))
        except StatisfactoryError:
            return None
        return version if re.match(r"\d+\.\d+\.", version) else None


def _may_soon_do_it(status: int, message: str) -> bool:
    return status in _TRANSIENT or (status >= 500 and any(each in message.lower() for each in _TRANSIENT_TEXTS))


def _is_odd(status: int, message: str) -> bool:
    """Whether an answer tells of an error that the server does not know itself."""
    return status == 500 and not _may_soon_do_it(status, message) and not _ILLEGAL_REF.search(message)


def batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    """``items`` in runs of as many as lakeFS takes at once."""
    for start in range(0, len(items), PAGE):
        yield items[start : start + PAGE]


@functools.lru_cache(maxsize=256)
def api_path(*segments: str) -> str:
    """The path of a call: ``segments`` with all characters quoted that mean something in a URL."""
    # A dot or two would be resolved away on the way.
    quoted = (quote(segment, safe="") if segment.strip(".") else segment.replace(".", "%2E") for segment in segments)
    return "".join(f"/{segment}" for segment in quoted)
