"""Connections to hosts, which are kept for the next requests."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
import warnings
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from kedro_statisfactory.backends.direct.connection import Connection, head_of
from kedro_statisfactory.backends.direct.response import Response
from kedro_statisfactory.hidden import Hidden, HiddenDict

_PORTS = {"http": 80, "https": 443}
_USER_AGENT = "kedro-statisfactory"  # firewalls of web applications refuse who does not say that
_END = re.compile("[/?#]")  # of the host in a URL
_NAME = re.compile(r"[!-~]+")
_WITHOUT_LENGTH = ("GET", "HEAD", "DELETE")  # methods whose requests need not say that nothing is sent with them


@dataclass(frozen=True)
class _Host:
    """Where requests go.

    Attributes:
        name: As requests say it.
        address: Host and port.
        tls: Which certificates are trusted; ``None``: connections are not encrypted.
        idle: Connections that wait for a request; the last one was used last.
    """

    name: str
    address: tuple[str, int]
    tls: ssl.SSLContext | None
    idle: list[Connection] = field(default_factory=list)

    def take(self) -> Connection | None:
        """A connection that waits; ``None``: there is none."""
        try:
            return self.idle.pop()
        except IndexError:
            return None


class ConnectionPool:
    """Connections to hosts that are reached without a proxy; all threads of a process share them.

    A request is sent once. What it raises and what it gives is what urllib3 would raise and give, as far as that is
    used here: this class does the same at a third of the CPU, which is most of what a small object costs.

    Args:
        most: Connections to one host that are kept; there may be more while they are used.
        tls: Which certificates are trusted; absent: those that the system trusts.
        options: Of sockets.

    Attributes:
        tls: Which certificates are trusted; ``None``: those that the system trusts.
    """

    def __init__(
        self, most: int, tls: ssl.SSLContext | None = None, options: Iterable[tuple[int, int, int]] = ()
    ) -> None:
        self._most, self.tls, self._options = most, tls and _for_http(tls), tuple(options)
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._hosts)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Iterable[Any] | None,
        connect: float,
        read: float,
    ) -> Response:
        """Send a request and wait for the beginning of its answer.

        Args:
            method: Of HTTP.
            url: Where; a :class:`~kedro_statisfactory.hidden.HiddenText` if it is signed.
            headers: Of the request, with the length of what is sent.
            body: Pieces of what is sent; ``None``: nothing is.
            connect: Seconds for a connection, and for each piece that is sent.
            read: Seconds for each wait on the answer.

        Raises:
            urllib3.exceptions.HTTPError, OSError: There is no answer, or the URL is none.
            ValueError: A header is none.
        """
        origin, target = _origin_and_target(url)
        host = self._hosts.get(origin) or self._host(origin)
        usual = {"Host": host.name, "Accept-Encoding": "identity", "User-Agent": _USER_AGENT}
        if body is None and method not in _WITHOUT_LENGTH:
            usual["Content-Length"] = "0"
        for name in headers:  # as a signed one may name another host
            usual.pop(name.title(), None)
        head = head_of(method, target, HiddenDict({**usual, **headers}))
        length = 0 if body is None else _length_of(headers)
        connection = self._connection(host, connect)
        try:
            connection.send(head, body or (), length, connect)
            return connection.receive(method, read, lambda is_usable: self._take_back(host, connection, is_usable))
        except BaseException:  # an interrupt, too
            connection.close()
            raise

    def clear(self) -> None:
        """Close the connections that wait for a request."""
        _close_all(self._hosts)

    def _host(self, origin: str) -> _Host:
        scheme, name, port = _parts(origin)
        shown = (f"[{name}]" if ":" in name else name) + (f":{port}" if port != _PORTS[scheme] else "")
        with self._lock:
            tls = (self.tls or _for_http(ssl.create_default_context())) if scheme == "https" else None
            if tls is not None and tls.verify_mode == ssl.CERT_NONE:
                _warn(name)
            return self._hosts.setdefault(origin, _Host(shown, (name, port), tls))

    def _connection(self, host: _Host, timeout: float) -> Connection:
        while connection := host.take():
            if connection.is_usable():
                return connection
            connection.close()
        return Connection(host.address, host.tls, self._options, timeout)

    def _take_back(self, host: _Host, connection: Connection, is_usable: bool) -> None:
        if is_usable and len(host.idle) < self._most:
            host.idle.append(connection)
        else:
            connection.close()


def _origin_and_target(url: str) -> tuple[str, Hidden[str]]:
    """Scheme and host of a URL, and what is asked there."""
    found = _END.search(url, url.find("://") + 3)
    end = found.start() if found else len(url)
    target = Hidden(str(url)[end:].partition("#")[0])
    return str(url)[:end], target if target.reveal().startswith("/") else Hidden(f"/{target.reveal()}")


def _parts(origin: str) -> tuple[str, str, int]:
    """Scheme, name and port of a host.

    Raises:
        urllib3.exceptions.LocationValueError: There is none.
    """
    from urllib3.exceptions import LocationValueError

    with contextlib.suppress(ValueError):
        parts = urlsplit(origin)
        name = (parts.hostname or "").encode("idna").decode()
        if parts.scheme in _PORTS and _NAME.fullmatch(name):
            return parts.scheme, name, parts.port or _PORTS[parts.scheme]
    raise LocationValueError("that is no URL of a server")


def _for_http(tls: ssl.SSLContext) -> ssl.SSLContext:
    """The same, with what follows the handshake; else a server may choose something else."""
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def _warn(name: str) -> None:
    """Say what urllib3 says, and as it does, so that who does not want to read it needs no other filter."""
    from urllib3.exceptions import InsecureRequestWarning

    told = f"Unverified HTTPS request is being made to host {name!r}: nobody knows whose it is."
    warnings.warn(told, InsecureRequestWarning, stacklevel=2)


def _length_of(headers: Mapping[str, str]) -> int:
    return next((int(value) for name, value in headers.items() if name.lower() == "content-length"), 0)


def _close_all(hosts: Mapping[str, _Host]) -> None:
    for host in list(hosts.values()):
        while connection := host.take():
            connection.close()
