"""Proxies and certificates between this machine and lakeFS."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import BackendUnreachable, InvalidCredentials
from kedro_statisfactory.session import Session
from tests.backends.lakefs.api.traffic import put, recorded
from tests.servers.faults import Gateway, gateway
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_requests_go_through_the_proxy_of_the_environment(
    lakefs_local: LakeFSServer, between: Gateway, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", between.endpoint_url.replace("//", "//me:hush@"))
    api = LakeFSAPI(Session(lakefs_local.credentials))
    put(api, repository, "main", "x")
    (seen,) = between.seen
    assert seen.target.startswith(f"{lakefs_local.endpoint_url}/api/v1/repositories/{repository}/")
    assert seen.headers["proxy-authorization"].startswith("Basic ")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert api.stat(repository, "main", "x").size == 1
    assert len(between.seen) == 1


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_that_is_gone_is_told_without_its_password(lakefs_local: LakeFSServer, repository: str) -> None:
    session = Session({**lakefs_local.credentials, "proxy": "http://me:hush@127.0.0.1:9"})
    with pytest.raises(BackendUnreachable) as unreachable:
        LakeFSAPI(session).branch(repository, "main")
    assert "hush" not in "".join(traceback.format_exception(unreachable.value))


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody knows, with its key in the same file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        # All that strict verifiers ask for.
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(*kinds) + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def over_tls(lakefs_local: LakeFSServer, tmp_path: Path) -> Iterator[tuple[dict[str, Any], Gateway, str]]:
    """Credentials for the same server behind TLS, its gateway, and the certificate."""
    file = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with gateway(lakefs_local.endpoint_url, context) as state:
        yield {**lakefs_local.credentials, "endpoint": state.endpoint_url}, state, str(file)


@pytest.mark.usefixtures("no_proxies")
def test_a_server_with_a_certificate_of_its_own_is_trusted_when_that_is_named(
    over_tls: tuple[dict[str, Any], Gateway, str], repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, _, certificate = over_tls
    named = LakeFSAPI(Session({**credentials, "ssl_ca_cert": certificate}))
    assert named.branch(repository, "main").id == "main"
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert LakeFSAPI(Session(credentials)).branch(repository, "main").id == "main"


@pytest.mark.usefixtures("no_proxies")
def test_a_server_with_an_unknown_certificate_gets_nothing(
    over_tls: tuple[dict[str, Any], Gateway, str], repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, between, certificate = over_tls
    tried = recorded(monkeypatch)
    with pytest.raises(BackendUnreachable, match="SSL"):
        LakeFSAPI(Session(credentials)).branch(repository, "main")
    assert (len(tried), between.seen) == (1, [])
    with pytest.raises(InvalidCredentials, match=r"`ssl_ca_cert` names, cannot be read.*No such file"):
        LakeFSAPI(Session({**credentials, "ssl_ca_cert": f"{certificate}.missing"})).branch(repository, "main")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_certificates_are_not_checked_when_that_is_switched_off(
    over_tls: tuple[dict[str, Any], Gateway, str], repository: str
) -> None:
    api = LakeFSAPI(Session({**over_tls[0], "verify_ssl": False}))
    assert api.branch(repository, "main").id == "main"
