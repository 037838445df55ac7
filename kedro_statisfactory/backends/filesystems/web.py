"""Web pages: a URL as it is sent, and what a connection needs beside fsspec's own defaults."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import ParseResult, quote

from kedro_statisfactory.errors import InvalidCredentials
from kedro_statisfactory.hidden import HiddenDict
from kedro_statisfactory.location import full_path

# What may stand in a URL as it is (RFC 3986 §2.2), and what is escaped already.
_LEGAL = ":/?#[]@!$&'()*+,;=%"
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Seconds. fsspec's own default is five minutes for all of a page, however large that is.
_CONNECT, _READ = 10, 60


def address(fragment: ParseResult) -> str:
    """The URL as it is sent: only what no URL can have is escaped, so that a signature keeps its meaning.

    >>> from kedro_statisfactory.location import parse
    >>> address(parse("https://bücher.example/für dich.csv?a=b%2Fc#top"))
    'https://xn--bcher-kva.example/f%C3%BCr%20dich.csv?a=b%2Fc'
    """
    host = fragment.netloc if fragment.netloc.isascii() else fragment.netloc.encode("idna").decode()
    path = _BARE_PERCENT.sub("%25", full_path(fragment).partition("#")[0])
    return f"{fragment.scheme}://{host}{quote(path, safe=_LEGAL)}"


def arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of fsspec's file system: as given, with a name and password, certificates, proxies and time-outs.

    Args:
        given: ``username`` and ``password``; ``ssl_ca_cert``, a file of certificates; ``verify_ssl``; ``headers``,
            ``client_kwargs`` and what else fsspec takes.

    Raises:
        InvalidCredentials: The file of certificates cannot be read.
    """
    import aiohttp

    found = HiddenDict(given)
    user, password = found.pop("username", None), found.pop("password", "")
    client = HiddenDict(
        # The bytes of a redirected URL are as dear as those of the first, and proxies are named by variables.
        {"trust_env": True, "requote_redirect_url": False, **(found.pop("client_kwargs", None) or {})}
    )
    timeout = client.get("timeout", aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_READ))
    client["timeout"] = aiohttp.ClientTimeout(total=timeout) if isinstance(timeout, int | float) else timeout
    # What is stored counts, and not what a server makes of it on the way.
    headers = HiddenDict({"Accept-Encoding": "identity", **(found.pop("headers", None) or {})})
    if user is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    certificates = _certificates(found.pop("ssl_ca_cert", None), found.pop("verify_ssl", True))
    return HiddenDict({"encoded": True, "ssl": certificates, "headers": headers, "client_kwargs": client, **found})


def _certificates(file: str | None, verify: bool) -> ssl.SSLContext | bool:
    if not verify:
        return False
    try:
        return ssl.create_default_context(cafile=file)  # which looks at SSL_CERT_FILE now, and not at the first import
    except OSError as error:
        raise InvalidCredentials(f"the file of certificates {file!r} (ssl_ca_cert) cannot be read: {error}.") from error
