"""One connection of HTTP/1.1, on which requests are sent one after another."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from kedro_statisfactory.backends.direct.response import Response, read_headers, read_line
from kedro_statisfactory.hidden import Hidden

_BUFFER = 1 << 16  # bytes: what a small object needs with its headers comes by one call
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)( .*)?")
_MOST_PROVISIONAL = 10  # answers before an answer
_OF_URLS = "%/:?#[]@!$&'()*+,;=~"  # what has its meaning, beside letters and digits
_SENDABLE = re.compile(rf"[A-Za-z0-9_.\-{re.escape(_OF_URLS)}]+")
_WITHOUT_BODY = (204, 304)  # statuses of answers that end with their headers


class Connection:
    """A connection to a host.

    Args:
        address: Host and port.
        tls: Which certificates are trusted; ``None``: the connection is not encrypted.
        options: Of the socket.
        timeout: Seconds for a connection, and for the handshake.

    Raises:
        urllib3.exceptions.HTTPError, OSError: There is none.
    """

    def __init__(
        self,
        address: tuple[str, int],
        tls: ssl.SSLContext | None,
        options: Iterable[tuple[int, int, int]],
        timeout: float,
    ) -> None:
        self._socket = _connected(address, timeout)
        try:
            # Nothing waits for more to be sent along with it.
            for option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *options):
                self._socket.setsockopt(*option)
            if tls is not None:
                self._socket = _encrypted(self._socket, tls, address[0])
            self._file: Any = self._socket.makefile("rb", _BUFFER)
            self._is_in_step = True  # what was sent last has ended where its headers say
        except BaseException:  # an interrupt, too, must not leave a socket that nobody closes
            self._socket.close()
            raise

    def is_usable(self) -> bool:
        """Whether the host has neither closed it, nor sent what nobody has asked for."""
        from urllib3.util import wait_for_read

        if self._socket.fileno() < 0 or wait_for_read(self._socket, 0.0):
            return False
        self._socket.settimeout(0.0)
        try:
            return not self._file.peek(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:  # it broke just now
            return False

    def send(self, request: Hidden[bytes], body: Iterable[Any], length: int, timeout: float) -> None:
        """Send a request.

        Args:
            request: Its first line and its headers.
            body: What follows, piece by piece.
            length: Bytes that follow, as the headers say. With others, as of a file that grows, the connection is not
                used again: the server would take the next request for a part of this one, or this for the next.
            timeout: Seconds for each piece.

        Raises:
            urllib3.exceptions.HTTPError: The connection broke off.
        """
        self._socket.settimeout(timeout)
        self._is_in_step = False
        try:
            pieces = iter(body)
            piece = memoryview(next(pieces, b""))  # which no traceback shows
            sent = len(piece)
            self._socket.sendall(request.reveal() + piece)
            for piece in pieces:
                self._socket.sendall(piece)
                sent += len(piece)
            self._is_in_step = sent == length
        except BrokenPipeError:  # the answer may say why
            pass
        except OSError as error:
            raise _aborted(error) from error

    def receive(self, method: str, timeout: float, finish: Callable[[bool], None]) -> Response:
        """Wait for the answer.

        Args:
            method: Of the request.
            timeout: Seconds for each wait.
            finish: Called when the answer has ended, with whether the connection can be used again.

        Raises:
            urllib3.exceptions.HTTPError: There is none.
        """
        from urllib3.exceptions import ProtocolError, ReadTimeoutError

        self._socket.settimeout(timeout)
        pool: Any = None  # as urllib3's, which is shown in an error
        try:
            for _ in range(_MOST_PROVISIONAL):
                version, status = self._read_status()
                headers = read_headers(self._file)
                if status >= 200:
                    break
            else:
                raise ProtocolError("an answer does not come to its end")
        except TimeoutError as error:
            raise ReadTimeoutError(pool, "", "Read timed out.") from error
        except OSError as error:
            raise _aborted(error) from error
        # Others may be named along with it.
        stays = self._is_in_step and version == b"1" and "close" not in headers.lowered.get("connection", "").lower()
        has_body = method != "HEAD" and status not in _WITHOUT_BODY
        return Response(status, headers, has_body, self._file, lambda is_whole: finish(stays and is_whole))

    def _read_status(self) -> tuple[bytes, int]:
        from urllib3.exceptions import ProtocolError

        if not self._file.peek(1):
            raise http.client.RemoteDisconnected("Remote end closed connection without response")
        found = _STATUS.fullmatch(read_line(self._file))
        if found is None:
            raise ProtocolError("what answers does not speak HTTP/1.1")
        return found[1], int(found[2])

    def close(self) -> None:
        """Close it."""
        self._file.close()
        self._socket.close()


def head_of(method: str, target: Hidden[str], headers: Mapping[str, str]) -> Hidden[bytes]:
    """The first line and the headers of a request.

    Args:
        method: Of HTTP.
        target: Path and query.
        headers: All that are sent.

    Raises:
        ValueError: Something in it would be another line, or is no text of HTTP.
    """
    first = Hidden(f"{method} {_quoted(target).reveal()} HTTP/1.1")
    lines = Hidden((first.reveal(), *(f"{name}: {value}" for name, value in headers.items()), "", ""))
    head: Hidden[bytes] | None = None
    with contextlib.suppress(UnicodeEncodeError):  # which holds all of it, and would be the context of another error
        head = Hidden("\r\n".join(lines.reveal()).encode("latin-1"))
    if head is None:
        raise ValueError("a header has a character that none can have")
    if not head.reveal().count(b"\n") == head.reveal().count(b"\r") == len(lines.reveal()) - 1:
        raise ValueError("a header has an end of a line in it")
    return head


def _quoted(target: Hidden[str]) -> Hidden[str]:
    """A target with all quoted that none can have, as a service may have forgotten in a signed URL."""
    if _SENDABLE.fullmatch(target.reveal()):
        return target
    return Hidden(quote(target.reveal(), safe=_OF_URLS, errors="surrogatepass"))


def _connected(address: tuple[str, int], timeout: float) -> socket.socket:
    from urllib3 import exceptions

    connection: Any = f"{address[0]}:{address[1]}"  # urllib3 has an object of its own here, and shows it
    try:
        return socket.create_connection(address, timeout)
    except TimeoutError as error:
        raise exceptions.ConnectTimeoutError(f"{connection}: no connection in {timeout:g} s") from error
    except OSError as error:
        # boto3 and lakefs-client are content with urllib3 1.26, which has no error of its own for names.
        if isinstance(error, socket.gaierror) and hasattr(exceptions, "NameResolutionError"):
            raise exceptions.NameResolutionError(address[0], connection, error) from error
        told = f"Failed to establish a new connection: {error}"
        raise exceptions.NewConnectionError(connection, told) from error


def _encrypted(plain: socket.socket, tls: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    from urllib3.exceptions import ConnectTimeoutError

    try:
        return tls.wrap_socket(plain, server_hostname=name.rstrip("."))  # no certificate names the dot of a full name
    except TimeoutError as error:
        raise ConnectTimeoutError(f"{name}: no handshake") from error
    except OSError as error:
        raise _aborted(error) from error


def _aborted(error: OSError) -> Exception:
    from urllib3.exceptions import ProtocolError, SSLError

    return SSLError(error) if isinstance(error, ssl.SSLError) else ProtocolError("Connection aborted.", error)
