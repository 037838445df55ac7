"""Connections to a lakeFS server and to the object store behind it: one per process and configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.http import POOL_SIZE, proxy_and_headers, proxy_for
from kedro_statisfactory.backends.lakefs.credentials import (
    VARIABLES,
    LakeFSConfiguration,
    checked_lakefs_credentials,
    lakefs_configuration,
)
from kedro_statisfactory.errors import InvalidCredentials
from kedro_statisfactory.hidden import Hidden, HiddenDict
from kedro_statisfactory.session import Session, environment

if TYPE_CHECKING:
    import ssl

    from lakefs_client import ApiClient

    from kedro_statisfactory.backends.http import Pool


def lakefs_client(session: Session) -> ApiClient:
    """The lakeFS client of a session's credentials.

    Raises:
        MissingCredentials, UnknownCredential, InvalidCredentials: As for
            :func:`~kedro_statisfactory.backends.lakefs.credentials.lakefs_configuration`.
    """
    return session.connection(("lakefs", environment(VARIABLES)), lambda: _make_client(session))


def with_address(session: Session) -> Mapping[str, Any]:
    """The credentials of a session with the address of the server, where this process has found it somewhere else.

    What a run has pinned is known by that address, which the variables of another host may not name, or name otherwise.
    """
    made = session.made(("lakefs", environment(VARIABLES))) if session.in_run else None
    if made is None or "endpoint_url" in checked_lakefs_credentials(session.credentials):
        return session.credentials
    return HiddenDict({**session.credentials, "endpoint_url": made.configuration.host})


def object_store(session: Session, origin: str) -> Pool:
    """Connections to the object store behind a lakeFS server: another host, with another proxy or none.

    Certificates are trusted that the system trusts, and those of ``ssl_ca_cert``.

    Args:
        session: Credentials of the lakeFS server.
        origin: Scheme and host of the object store's URLs.

    Raises:
        InvalidCredentials: The file of ``ssl_ca_cert`` cannot be read.
    """
    kind = ("lakefs object store", origin, environment(VARIABLES))
    return session.connection(kind, lambda: _make_pool(session, origin))


def _make_client(session: Session) -> ApiClient:
    from lakefs_client import ApiClient, Configuration

    found = lakefs_configuration(session.credentials)
    proxy = proxy_for(found.host, Hidden(found.proxy))
    configuration = Configuration(
        host=found.host,
        username=found.access_key_id,
        password=found.secret_access_key,
        ssl_ca_cert=found.ssl_ca_cert or os.environ.get("SSL_CERT_FILE"),
    )
    configuration.verify_ssl = found.verify_ssl
    if proxy:
        configuration.proxy, configuration.proxy_headers = proxy_and_headers(proxy)
    configuration.connection_pool_maxsize = POOL_SIZE
    client = ApiClient(configuration)
    if not proxy:
        client.rest_client.pool_manager = ConnectionPool(POOL_SIZE, _tls(found, found.host, with_systems=False))
    return client


def _make_pool(session: Session, origin: str) -> Pool:
    from urllib3 import ProxyManager

    found = lakefs_configuration(session.credentials)
    context = _tls(found, origin, with_systems=True)
    proxy = proxy_for(origin, Hidden(found.proxy))
    if proxy is None:
        return ConnectionPool(POOL_SIZE, context)
    address, headers = proxy_and_headers(proxy)
    return ProxyManager(address, proxy_headers=headers, maxsize=POOL_SIZE, ssl_context=context)


def _tls(found: LakeFSConfiguration, url: str, with_systems: bool) -> ssl.SSLContext | None:
    """Which certificates are trusted: those of the system, and those of ``ssl_ca_cert``; ``None``: none are needed.

    Args:
        found: The configuration.
        url: Where they are needed.
        with_systems: Whether those of the system are trusted also where others are named.

    Raises:
        InvalidCredentials: The file of ``ssl_ca_cert`` cannot be read.
    """
    import ssl

    if not url.startswith("https://"):
        return None
    variable = None if with_systems else os.environ.get("SSL_CERT_FILE")  # what the system trusts takes it into account
    named = found.ssl_ca_cert or variable
    try:
        context = ssl.create_default_context(cafile=None if with_systems else named)
        if named:
            context.load_verify_locations(named)
    except OSError as error:
        by = "`ssl_ca_cert`" if found.ssl_ca_cert else "SSL_CERT_FILE"
        raise InvalidCredentials(f"the file {named!r}, which {by} names, cannot be read: {error}.") from error
    if not found.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
