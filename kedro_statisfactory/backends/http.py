"""What the services that speak HTTP share: requests with time-outs and bounded retries, proxies, reading answers."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from kedro_statisfactory.backends import patience
from kedro_statisfactory.backends.direct import ConnectionPool, Response
from kedro_statisfactory.errors import BackendUnreachable, IntegrityError, InvalidCredentials
from kedro_statisfactory.hidden import Hidden, HiddenDict, HiddenText

if TYPE_CHECKING:
    from typing import TypeAlias

    from urllib3 import BaseHTTPResponse, PoolManager

    #: Connections without a proxy, or urllib3's by one; and what answers there.
    Pool: TypeAlias = ConnectionPool | PoolManager
    Answered: TypeAlias = Response | BaseHTTPResponse

#: Seconds for a connection and for each wait on an answer.
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 120.0
#: Seconds for a connection to a host that has not answered before and need not, because there is another way.
FIRST_CONNECT_TIMEOUT = 3.0
#: Bytes that are sent by one call.
PIECE = 1 << 18
#: Tries of a request, and the longest pause before the last of them in seconds.
ATTEMPTS, LONGEST_PAUSE = 6, 3.0
#: Connections that are kept: one for every part of a large transfer and for every thread of a runner.
POOL_SIZE = 64
#: The variables that decide how the network is reached; read by every HTTP client.
NETWORK_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")

_LOGGER = logging.getLogger(__name__)

_FRAMING = ("Content-Length", "Transfer-Encoding")  # one of them says where an answer ends
_UNKNOWN_OUTCOME = frozenset((502, 504))  # of a gateway that the server itself may have outlived
# What a handshake will say next time, too.
_TLS_FOR_GOOD = ("CERTIFICATE", "WRONG_VERSION", "WRONG VERSION")


def never(status: int, message: str) -> bool:
    """No answer at all."""
    return False


@dataclass(frozen=True)
class Peer:
    """A server that is sent requests, each again and a bounded number of times where that may help.

    Attributes:
        name: For errors.
        advice: What to do when nothing answers.
        may_soon_do_it: Whether an answer, told by its status and message, asks for another try.
        may_be_missing: Whether nobody may be there for this machine: then it is asked once, until something answers.
        waits: Seconds for which it may be away, in a run; 0: errors come after a few tries.
        is_odd: Whether an answer may be the fault of a moment, of which nobody knows whether it was done.
    """

    name: str
    advice: str
    may_soon_do_it: Callable[[int, str], bool]
    may_be_missing: bool = False
    waits: float = 0.0
    is_odd: Callable[[int, str], bool] = never

    def send(
        self,
        pool: Pool,
        method: str,
        url: Hidden[str],
        headers: Mapping[str, str],
        body: Callable[[], Any] | None = None,
        stream: bool = False,
        repeatable: bool = True,
    ) -> Answered:
        """Send a request and return the answer, whose status may be that of an error.

        Args:
            pool: Connections.
            method: Of HTTP.
            url: Where; nothing shows it, since it may be signed.
            headers: Of the request.
            body: Gives what is sent, anew for each try.
            stream: Whether the caller reads the answer as it comes.
            repeatable: Whether the request may reach the server twice.

        Raises:
            BackendUnreachable: Nothing answers, or nobody knows whether it was done.
        """
        from urllib3.exceptions import HTTPError

        attempt, connect = 0, FIRST_CONNECT_TIMEOUT if self.may_be_missing else CONNECT_TIMEOUT
        until = time.monotonic() + self.waits
        while True:
            attempt += 1
            is_last = attempt >= ATTEMPTS and time.monotonic() >= until
            try:
                response = ask_once(pool, method, url, headers, body, stream, connect)
                if response.status < 300:
                    return response
                message = message_of(response.data)
            except (HTTPError, OSError) as error:
                missing = self.may_be_missing and (_was_not_sent(error) or isinstance(_cause(error), TimeoutError))
                if is_last or missing or not _may_be_repeated(error, repeatable):
                    raise self._unreachable(error) from None
                self._tell(plain(error), attempt)
                if self._pause(attempt):
                    raise self._unreachable(error) from None
            else:
                if not self._asks_again(response.status, message, attempt, is_last, repeatable):
                    return response
                if attempt == ATTEMPTS:
                    self._tell(f"HTTP status {response.status}", attempt)
                if self._pause(attempt):
                    return response

    def _asks_again(self, status: int, message: str, attempt: int, is_last: bool, repeatable: bool) -> bool:
        """Whether an answer that is an error is followed by another try.

        Raises:
            BackendUnreachable: Nobody knows whether it was done, and it must not be done twice.
        """
        is_odd = self.is_odd(status, message)
        unknown = is_odd or status in _UNKNOWN_OUTCOME or "timeout" in message.lower()
        if unknown and status >= 500 and not repeatable:
            told = f"HTTP status {status}{message and f', {message}'}"
            raise BackendUnreachable(f"{self.name} may or may not have done what it was asked ({told}).")
        if is_odd:  # perhaps for ever: it is not waited for
            return attempt < ATTEMPTS
        return not is_last and self.may_soon_do_it(status, message)

    def _tell(self, why: str, attempt: int) -> None:
        """Say that a server is tried again; once, where it is waited for."""
        if not self.waits:
            _LOGGER.warning("%s does not answer (%s): try %d of %d follows.", self.name, why, attempt + 1, ATTEMPTS)
        elif patience.is_news(self.name):
            _LOGGER.warning("%s does not answer (%s): the run waits up to %d s for it.", self.name, why, self.waits)

    def _pause(self, attempt: int) -> bool:
        """Wait before the next try; gives whether there should be none."""
        seconds = random.uniform(0.2, 1) * min(LONGEST_PAUSE, 0.1 * 2 ** min(attempt, 10))
        if self.waits:
            return patience.pause(seconds)
        time.sleep(seconds)
        return False

    def _unreachable(self, error: Exception) -> BackendUnreachable:
        from urllib3.exceptions import SSLError

        tls = " A server that does not speak TLS has a URL with http://." * isinstance(error, SSLError)
        return BackendUnreachable(f"{self.name} does not answer ({plain(error)}): {self.advice}.{tls}")


def ask_once(
    pool: Pool,
    method: str,
    url: Hidden[str],
    headers: Mapping[str, str],
    body: Callable[[], Any] | None,
    stream: bool,
    connect: float,
    read: float | None = None,
) -> Answered:
    """Send a request without a second try; an answer that is cut within its headers is an error.

    Args:
        pool: Connections.
        method: Of HTTP.
        url: Where; nothing shows it, since it may be signed.
        headers: Of the request.
        body: Gives what is sent: bytes, or a file, whose length is among the headers.
        stream: Whether the caller reads the answer as it comes.
        connect: Seconds for a connection.
        read: Seconds for each wait on the answer; absent: as for others.

    Raises:
        urllib3.exceptions.HTTPError, OSError: There is no answer.
    """
    from urllib3.exceptions import ProtocolError

    content: Any = body() if body else None
    pieces: Iterator[Any] | None = None
    if isinstance(content, bytes):
        # All that is sent by one call has to be sent within the time-out for a connection.
        headers = HiddenDict({**headers, "Content-Length": str(len(content))})
        pieces = _pieces(content)
    elif content is not None:
        pieces = iter(lambda: content.read(PIECE), b"")
    read = READ_TIMEOUT if read is None else read
    response: Answered
    if isinstance(pool, ConnectionPool):
        response = pool.request(
            method, HiddenText(url.reveal()), headers=headers, body=pieces, connect=connect, read=read
        )
        if not stream:
            _ = response.data  # which is kept
    else:
        response = _by_urllib3(pool, method, url, headers, pieces, stream, (connect, read))
    framed = response.status == 204 or any(name in response.headers for name in _FRAMING)
    if response.status < 300 and not framed:
        response.close()
        raise ProtocolError("an answer broke off")  # within its headers: its end would not be noticed
    return response


def _by_urllib3(
    pool: PoolManager,
    method: str,
    url: Hidden[str],
    headers: Mapping[str, str],
    pieces: Iterator[Any] | None,
    stream: bool,
    time_outs: tuple[float, float],
) -> BaseHTTPResponse:
    from urllib3 import Timeout

    return pool.request(
        method,
        url.reveal(),
        body=pieces,
        headers=headers,
        preload_content=not stream,
        decode_content=False,
        redirect=False,
        retries=False,
        timeout=Timeout(connect=time_outs[0], read=time_outs[1]),
    )


def _pieces(content: bytes) -> Iterator[memoryview]:
    view = memoryview(content)  # whose pieces are no copies
    for start in range(0, len(content), PIECE):
        yield view[start : start + PIECE]


def _may_be_repeated(error: Exception, repeatable: bool) -> bool:
    """Whether another try may help after a request that was not answered, and does no harm."""
    from urllib3.exceptions import SSLError

    never = isinstance(error, SSLError) and any(each in str(error).upper() for each in _TLS_FOR_GOOD)
    return (repeatable or _was_not_sent(error)) and not never


def _was_not_sent(error: Exception) -> bool:
    """Whether there was no connection, be it to the server or to a proxy."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

    return isinstance(error, NewConnectionError | ConnectTimeoutError | ProxyError)


def read_chunks(response: Answered, length: int, size: int) -> Iterator[bytes]:
    """Yield the first ``length`` bytes of an answer as they arrive, at most ``size`` at a time.

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


def let_go(response: Answered) -> None:
    """Give the connection back when all of the answer was read; else close it."""
    response.release_conn() if response.length_remaining == 0 else response.close()


def split_url(name: str, url: Hidden[str]) -> SplitResult:
    """The parts of an HTTP server's URL.

    Args:
        name: How the user calls the setting, for the error.
        url: Its value, which the error does not show.

    Raises:
        InvalidCredentials: It is no URL of a server.
    """
    try:
        parts = Hidden(urlsplit(url.reveal()))
        if parts.reveal().scheme in ("http", "https") and parts.reveal().hostname and parts.reveal().port != 0:
            return parts.reveal()
    except ValueError:  # the port is no number, or an IPv6 address has no end
        pass
    raise InvalidCredentials(f"{name} is no URL of a server: write http://host or https://host, with a port if needed.")


def proxy_for(url: str, named: Hidden[str | None]) -> Hidden[str] | None:
    """The proxy by which a server is reached: as ``named``, where ``""`` is none, else as the environment says."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if named.reveal() is None and not proxy_bypass(parts.netloc):
        named = Hidden(getproxies().get(parts.scheme))
    return Hidden(named.reveal() or "") if named.reveal() else None


def proxy_and_headers(proxy: Hidden[str]) -> tuple[str, HiddenDict | None]:
    """The URL of a proxy without user and password, and the header that brings these."""
    from urllib3.util import make_headers

    scheme = "" if "://" in proxy.reveal() else "http://"
    parts = Hidden(split_url("`proxy`, HTTP_PROXY or HTTPS_PROXY", Hidden(f"{scheme}{proxy.reveal()}")))
    address = f"{parts.reveal().scheme}://{parts.reveal().netloc.rpartition('@')[2]}"
    if parts.reveal().username is None:
        return address, None
    user, password = (Hidden(unquote(each or "")) for each in (parts.reveal().username, parts.reveal().password))
    return address, HiddenDict(make_headers(proxy_basic_auth=f"{user.reveal()}:{password.reveal()}"))


def message_of(body: bytes) -> str:
    """The ``message`` of a JSON answer; empty where there is none, so that no page of a proxy is shown."""
    try:
        return str(json.loads(body)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return ""


def plain(error: BaseException) -> str:
    """A text for an error of a connection; it leaves out the URL, which may carry a signature."""
    cause = _cause(error)
    kind, text = type(error).__name__, getattr(cause, "strerror", None) or str(cause)
    return kind if "?" in f"{error}{text}" else f"{kind}: {text.rpartition(': ')[2].rpartition('] ')[2]}"


def _cause(error: BaseException) -> BaseException:
    """The innermost error, of which the others only tell."""
    while inner := next((each for each in (error.__cause__, *error.args) if isinstance(each, BaseException)), None):
        error = inner
    return error
