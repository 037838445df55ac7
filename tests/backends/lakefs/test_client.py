"""Connections to lakeFS and to the store behind it: shared, apart after a fork, through the right proxy."""

from __future__ import annotations

import base64
import os
import pickle
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore
import pytest
import trustme

from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.lakefs.client import lakefs_client, object_store
from kedro_statisfactory.backends.lakefs.credentials import lakefs_configuration
from kedro_statisfactory.errors import InvalidCredentials
from kedro_statisfactory.project import Project
from kedro_statisfactory.session import Session
from tests.backends.lakefs.test_credentials import set_variables

LAKEFS = {"endpoint": "http://127.0.0.1:1", "access_key_id": "AK", "secret_access_key": "SK"}


def test_an_object_store_is_trusted_by_the_system_and_by_a_certificate_that_is_named() -> None:
    named = str(Path(botocore.__file__).with_name("cacert.pem"))
    plain = object_store(Session(LAKEFS), "https://store")
    more = object_store(Session({**LAKEFS, "ssl_ca_cert": named}), "https://store")
    contexts = [pool.tls for pool in (plain, more) if isinstance(pool, ConnectionPool) and pool.tls]
    assert contexts[1].cert_store_stats()["x509_ca"] >= max(100, contexts[0].cert_store_stats()["x509_ca"])
    assert all(context.verify_mode == ssl.CERT_REQUIRED for context in contexts)
    with pytest.raises(InvalidCredentials, match=r"ssl_ca_cert.*cannot be read"):
        object_store(Session({**LAKEFS, "ssl_ca_cert": "/no/such/file"}), "https://store")


def test_threads_and_pickles_share_one_lakefs_client() -> None:
    session = Session(LAKEFS, Project(Path("/a")))
    client = lakefs_client(session)
    with ThreadPoolExecutor(8) as executor:
        assert {id(found) for found in executor.map(lambda _: lakefs_client(session), range(8))} == {id(client)}
    travelled = pickle.loads(pickle.dumps(session))
    assert lakefs_client(travelled) is client
    assert travelled.project == Project(Path("/a"))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_makes_its_own_lakefs_client() -> None:
    session = Session(LAKEFS)
    parents = lakefs_client(session)
    child = os.fork()
    if child == 0:
        os._exit(0 if lakefs_client(session) is not parents else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert lakefs_client(session) is parents


def test_what_is_set_later_makes_a_new_lakefs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, endpoint="http://one", key="AK", secret="SK")
    one = lakefs_client(Session())
    assert lakefs_client(Session()) is one
    set_variables(monkeypatch, endpoint="http://two")
    two = lakefs_client(Session())
    assert two.configuration.host == "http://two/api/v1"
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    assert lakefs_client(Session()) is not two


def test_certificates_reach_the_lakefs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lakefs_client(Session(LAKEFS)).configuration.verify_ssl is True
    assert lakefs_client(Session({**LAKEFS, "verify_ssl": False})).configuration.verify_ssl is False
    monkeypatch.setenv("SSL_CERT_FILE", "of the variable.pem")
    assert lakefs_client(Session(LAKEFS)).configuration.ssl_ca_cert == "of the variable.pem"
    assert lakefs_client(Session({**LAKEFS, "ssl_ca_cert": "own.pem"})).configuration.ssl_ca_cert == "own.pem"


def test_only_the_certificates_of_the_variable_are_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OpenSSL takes the variable for one place of two, and does without a file that is not there."""
    over_tls, file = {**LAKEFS, "host": "https://host", "proxy": ""}, tmp_path / "of the variable.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(InvalidCredentials, match=r"which SSL_CERT_FILE names, cannot be read: .*No such file"):
        lakefs_client(Session(over_tls))
    trustme.CA().cert_pem.write_to_path(file)
    asked: list[str | None] = []
    really = ssl.create_default_context

    def create(cafile: str | None) -> ssl.SSLContext:
        asked.append(cafile)
        return really(cafile=cafile)

    monkeypatch.setattr(ssl, "create_default_context", create)
    lakefs_client(Session(over_tls))
    lakefs_client(Session({**over_tls, "ssl_ca_cert": str(file)}))
    monkeypatch.delenv("SSL_CERT_FILE")
    lakefs_client(Session(over_tls))
    assert asked == [str(file), str(file), None]


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_of_the_environment_reaches_the_lakefs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lakefs_client(Session(LAKEFS)).configuration.proxy is None
    monkeypatch.setenv("HTTP_PROXY", "http://plain:1")
    monkeypatch.setenv("HTTPS_PROXY", "secure:2")  # without a scheme, as curl allows
    assert lakefs_client(Session(LAKEFS)).configuration.proxy == "http://plain:1"
    assert lakefs_client(Session({**LAKEFS, "host": "https://host"})).configuration.proxy == "http://secure:2"
    assert lakefs_client(Session({**LAKEFS, "proxy": "http://own:3"})).configuration.proxy == "http://own:3"
    assert lakefs_client(Session({**LAKEFS, "proxy": ""})).configuration.proxy is None
    monkeypatch.setenv("NO_PROXY", "127.0.0.1:1")
    assert lakefs_client(Session(LAKEFS)).configuration.proxy is None


@pytest.mark.usefixtures("no_proxies")
def test_user_and_password_of_a_proxy_go_into_a_header_and_nowhere_else() -> None:
    found = lakefs_client(Session({**LAKEFS, "proxy": "http://me:h%3Ash@proxy:1"})).configuration
    assert found.proxy == "http://proxy:1"
    assert found.proxy_headers == {"proxy-authorization": "Basic " + base64.b64encode(b"me:h:sh").decode()}
    without_password = lakefs_client(Session({**LAKEFS, "proxy": "http://me@proxy:1"})).configuration
    assert without_password.proxy_headers == {"proxy-authorization": "Basic " + base64.b64encode(b"me:").decode()}


@pytest.mark.parametrize("proxy", ["socks5://me:hush@proxy", "http://me:hush@", "http://me:hush@proxy:port"])
def test_a_proxy_that_is_no_url_is_named_and_not_shown(proxy: str) -> None:
    with pytest.raises(InvalidCredentials, match="`proxy`, HTTP_PROXY or HTTPS_PROXY") as refused:
        _ = lakefs_client(Session({**LAKEFS, "proxy": proxy}))
    assert "hush" not in str(refused.value)
    assert refused.value.__context__ is None


def test_no_secret_of_lakefs_shows() -> None:
    credentials = {**LAKEFS, "secret_access_key": "hush-hush", "proxy": "http://me:hush@proxy"}
    session = Session(credentials)
    assert "hush" not in repr(session) + repr(lakefs_configuration(credentials)) + repr(
        lakefs_client(session).configuration
    )
    assert session.redacted("http://127.0.0.1:1 hush-hush", ()) == "http://127.0.0.1:1 <redacted>"
