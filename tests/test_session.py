"""Credentials in both shapes; one connection per process and configuration; no secret anywhere."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.awsrequest import AWSRequest

from kedro_statisfactory import session as session_module
from kedro_statisfactory.errors import InvalidCredentials, MissingCredentials, StatisfactoryError, UnknownCredential
from kedro_statisfactory.project import Project
from kedro_statisfactory.session import LakeFSConfiguration, Session, lakefs_configuration, s3_configuration

BOTO3 = {"aws_access_key_id": "AK", "aws_secret_access_key": "SK", "endpoint_url": "http://127.0.0.1:1"}
S3FS = {"key": "AK", "secret": "SK", "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}}
LAKEFS = {"endpoint": "http://127.0.0.1:1", "access_key_id": "AK", "secret_access_key": "SK"}


def test_both_shapes_mean_the_same() -> None:
    assert s3_configuration(BOTO3) == s3_configuration(S3FS)


def test_a_value_of_none_counts_as_absent() -> None:
    assert s3_configuration({"key": None, "secret": None, "token": None}) == s3_configuration({})


@pytest.mark.parametrize(
    ("credentials", "error", "named"),
    [
        ({"acess_key": "hush"}, UnknownCredential, "acess_key"),
        ({"client_kwargs": {"bucket": "hush"}}, UnknownCredential, "bucket"),
        ({"aws_access_key_id": 123456, "aws_secret_access_key": "hush"}, InvalidCredentials, "between quotes"),
        ({"aws_access_key_id": "hush"}, InvalidCredentials, "one half"),
        ({"client_kwargs": "hush"}, InvalidCredentials, "client_kwargs"),
        ({**BOTO3, "endpoint_url": "http://me:hush@host"}, InvalidCredentials, "endpoint_url"),
    ],
)
def test_wrong_credentials_are_named_and_not_shown(
    credentials: dict[str, Any], error: type[StatisfactoryError], named: str
) -> None:
    with pytest.raises(error, match=named) as refused:
        s3_configuration(credentials)
    assert "hush" not in str(refused.value)


def test_unknown_arguments_of_the_client_are_named() -> None:
    with pytest.raises(UnknownCredential, match="no_such_argument"):
        _ = Session({**BOTO3, "config_kwargs": {"no_such_argument": 1}}).s3


@pytest.mark.parametrize(("body", "waits"), [(b"small", False), (bytes(2 << 20), True), (iter([b"unknown"]), True)])
def test_a_body_of_a_size_that_nobody_knows_counts_as_large(body: Any, waits: bool) -> None:
    request = AWSRequest("PUT", "http://127.0.0.1:1/", {"Expect": "100-continue"}, data=body)
    session_module._send_at_once(request, "PutObject")
    assert ("Expect" in request.headers) == waits


def test_an_unsigned_client_is_made_for_anonymous_access() -> None:
    from botocore import UNSIGNED

    config: Any = Session({"anon": True, "client_kwargs": {"region_name": "us-east-1"}}).s3.meta.config
    assert config.signature_version is UNSIGNED


def test_configuration_of_the_client_reaches_it() -> None:
    config: Any = Session(
        {**BOTO3, "region_name": "eu-west-1", "config_kwargs": {"request_checksum_calculation": "when_required"}}
    ).s3.meta.config
    assert config.request_checksum_calculation == "when_required"
    assert config.retries == {"mode": "standard", "total_max_attempts": 5}


def test_threads_share_one_connection_that_is_made_once() -> None:
    made: list[object] = []
    barrier = threading.Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    def connect(_: int) -> object:
        barrier.wait(10)
        return Session({"threads": "share"}).connection("test", make)

    with ThreadPoolExecutor(8) as executor:
        assert len(set(map(id, executor.map(connect, range(8))))) == 1
    assert len(made) == 1


def test_other_credentials_have_another_connection() -> None:
    one = Session({"a": [1, {"b": {2}}]}).connection("test", object)
    assert Session({"a": [1, {"b": {2}}]}).connection("test", object) is one
    assert Session({"a": [1, {"b": {3}}]}).connection("test", object) is not one
    assert Session({"a": [1, {"b": {2}}]}).connection("another", object) is not one


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_makes_its_own_connection_even_while_the_lock_is_held() -> None:
    session = Session({"fork": "own"})
    parents = session.connection("test", object)
    locked, release = threading.Event(), threading.Event()

    def hold() -> object:
        locked.set()
        release.wait(20)
        return object()

    holder = threading.Thread(target=lambda: session.connection("held", hold))
    holder.start()
    locked.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if session.connection("test", object) is not parents else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert session.connection("test", object) is parents


def test_a_child_forgets_what_its_parent_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the fork above runs in the child, where no coverage is measured.
    monkeypatch.setattr("kedro_statisfactory.session._connections", session_module._connections)
    one = Session({"a": 1}).connection("test", object)
    session_module._forget_connections()
    assert Session({"a": 1}).connection("test", object) is not one


def test_pickles_and_copies_carry_no_connection() -> None:
    session = Session(BOTO3)
    client = session.s3
    assert pickle.loads(pickle.dumps(session)).s3 is client, "equal credentials in one process share a client"
    assert copy.deepcopy(session).s3 is client


def test_an_account_set_later_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    one = Session().s3
    assert Session().s3 is one
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    assert Session().s3 is not one


def test_no_secret_shows() -> None:
    session = Session({**S3FS, "secret": "hush-hush", "token": "hush"})
    assert "hush" not in repr(session)
    assert (
        session.redacted("a hush-hush b hush c http://127.0.0.1:1") == "a <redacted> b <redacted> c http://127.0.0.1:1"
    )
    assert repr(Session()) == "Session(credentials=None)"
    assert "hush" not in repr(s3_configuration(session.credentials))


# -- lakeFS -------------------------------------------------------------------------------------------------------


def set_variables(patch: pytest.MonkeyPatch, **values: str) -> None:
    names = {
        "endpoint": "LAKECTL_SERVER_ENDPOINT_URL",
        "key": "LAKECTL_CREDENTIALS_ACCESS_KEY_ID",
        "secret": "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY",
        "file": "LAKECTL_CONFIG_FILE",
    }
    for name, value in values.items():
        patch.setenv(names[name], value)


@pytest.fixture
def lakectl_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of ``lakectl config``."""
    file = tmp_path / "lakectl.yaml"
    file.write_text(
        "credentials:\n  access_key_id: of the file\n  secret_access_key: hush\n"
        "server:\n  endpoint_url: http://file/api/v1\n  retries: {enabled: true}\n"
    )
    set_variables(monkeypatch, file=str(file))
    return file


@pytest.mark.parametrize("endpoint", ["endpoint", "host", "endpoint_url"])
@pytest.mark.parametrize("keys", [("access_key_id", "secret_access_key"), ("username", "password")])
def test_all_spellings_of_lakefs_credentials_mean_the_same(endpoint: str, keys: tuple[str, str]) -> None:
    credentials = {endpoint: "http://127.0.0.1:1", keys[0]: "AK", keys[1]: "SK", "proxy": None}
    assert lakefs_configuration(credentials) == LakeFSConfiguration("http://127.0.0.1:1/api/v1", "AK", "SK")


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("http://host:8000", "http://host:8000/api/v1"),
        ("http://host:8000/", "http://host:8000/api/v1"),
        ("http://host:8000/api/v1", "http://host:8000/api/v1"),
        ("http://host:8000/api/v1/", "http://host:8000/api/v1"),
        ("https://host/lakefs", "https://host/lakefs/api/v1"),
        ("host", "https://host/api/v1"),
        ("host:8000", "https://host:8000/api/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/api/v1"),
    ],
)
def test_an_endpoint_may_be_written_with_and_without_the_path_of_the_api(written: str, host: str) -> None:
    assert lakefs_configuration({**LAKEFS, "endpoint": written}).host == host


@pytest.mark.parametrize("endpoint", ["", "ftp://host", "http://", "http://host:port", "http://[::1", "lakefs://repo"])
def test_an_endpoint_that_is_no_url_is_named(endpoint: str) -> None:
    with pytest.raises(InvalidCredentials, match="endpoint_url is no URL of a server"):
        lakefs_configuration({**LAKEFS, "endpoint": endpoint})


@pytest.mark.parametrize(
    ("credentials", "error", "named"),
    [
        ({"aws_access_key_id": "hush"}, UnknownCredential, "aws_access_key_id.*Known are: access_key_id, endpoint"),
        ({"access_key_id": 123456, "secret_access_key": "hush"}, InvalidCredentials, "of type int: put it between"),
        ({**LAKEFS, "verify_ssl": "hush"}, InvalidCredentials, "'verify_ssl' is of type str: write true or false"),
        ({"access_key_id": "hush"}, InvalidCredentials, "one half"),
        ({"password": "hush"}, InvalidCredentials, "one half"),
        ({**LAKEFS, "endpoint": "http://me:hush@host"}, InvalidCredentials, "endpoint_url carries"),
    ],
)
def test_wrong_lakefs_credentials_are_named_and_not_shown(
    credentials: dict[str, Any], error: type[StatisfactoryError], named: str
) -> None:
    with pytest.raises(error, match=named) as refused:
        lakefs_configuration(credentials)
    assert "hush" not in str(refused.value)


def test_an_entry_without_credentials_uses_the_variables_of_lakectl(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, endpoint="http://variable", key="AK", secret="SK")
    assert lakefs_configuration({}) == LakeFSConfiguration("http://variable/api/v1", "AK", "SK")


def test_without_these_it_uses_the_file_of_lakectl(lakectl_file: Path) -> None:
    assert lakefs_configuration({}) == LakeFSConfiguration("http://file/api/v1", "of the file", "hush")


def test_the_file_of_lakectl_is_in_the_home_folder(
    lakectl_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lakectl_file.rename(tmp_path / ".lakectl.yaml")
    monkeypatch.delenv("LAKECTL_CONFIG_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lakefs_configuration({}).access_key_id == "of the file"


def test_the_entry_goes_before_the_variables_and_these_before_the_file(
    lakectl_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, endpoint="http://variable")
    found = lakefs_configuration({})
    assert (found.host, found.access_key_id) == ("http://variable/api/v1", "of the file")
    set_variables(monkeypatch, key="of the variable", secret="hush")
    found = lakefs_configuration({"endpoint": "http://entry"})
    assert (found.host, found.access_key_id) == ("http://entry/api/v1", "of the variable")
    found = lakefs_configuration({"username": "of the entry", "password": "hush"})
    assert (found.host, found.access_key_id) == ("http://variable/api/v1", "of the entry")
    assert lakefs_configuration(LAKEFS) == LakeFSConfiguration("http://127.0.0.1:1/api/v1", "AK", "SK")


def test_a_key_of_one_source_never_goes_with_the_secret_of_another(
    lakectl_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, endpoint="http://variable", key="alone")
    found = lakefs_configuration({})
    assert (found.host, found.access_key_id) == ("http://variable/api/v1", "of the file")


@pytest.mark.parametrize(
    "content", [b"hush: [", b"- hush", b"hush", b"server: hush", b"hush: \xff\xfe", b"credentials: [hush]"]
)
def test_a_broken_file_of_lakectl_is_named_and_not_shown(lakectl_file: Path, content: bytes) -> None:
    lakectl_file.write_bytes(content)
    with pytest.raises(InvalidCredentials, match=r"lakectl\.yaml cannot be read") as refused:
        lakefs_configuration({})
    assert "hush" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_an_object_store_is_trusted_by_the_system_and_by_a_certificate_that_is_named() -> None:
    named = str(Path(botocore.__file__).with_name("cacert.pem"))
    plain = Session(LAKEFS).object_store("https://store")
    more = Session({**LAKEFS, "ssl_ca_cert": named}).object_store("https://store")
    contexts = [pool.connection_pool_kw["ssl_context"] for pool in (plain, more)]
    assert contexts[1].cert_store_stats()["x509_ca"] >= max(100, contexts[0].cert_store_stats()["x509_ca"])
    assert all(context.verify_mode == ssl.CERT_REQUIRED for context in contexts)
    with pytest.raises(InvalidCredentials, match=r"ssl_ca_cert.*cannot be read"):
        Session({**LAKEFS, "ssl_ca_cert": "/no/such/file"}).object_store("https://store")


def test_a_password_in_the_url_of_the_environment_is_refused(
    lakectl_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", "https://me:hush@host")
    with pytest.raises(InvalidCredentials, match="a user, a password or a query") as refused:
        lakefs_configuration({})
    assert "hush" not in str(refused.value)


def test_halves_of_a_key_pair_in_two_places_are_told(lakectl_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lakectl_file.write_text("server: {endpoint_url: http://file}\ncredentials: {secret_access_key: hush}\n")
    set_variables(monkeypatch, key="alone")
    with pytest.raises(MissingCredentials, match=r"The environment has one half.*Lakectl's file has one half"):
        lakefs_configuration({})


def test_a_key_with_a_line_break_is_refused_without_being_shown(lakectl_file: Path) -> None:
    for secret in ("hush\n", "h\u20acush"):
        with pytest.raises(InvalidCredentials, match="'secret_access_key' has a line break, or a character") as refused:
            lakefs_configuration({**LAKEFS, "secret_access_key": secret})
        assert "ush" not in str(refused.value).replace("pushed", "")


def test_a_file_of_lakectl_that_is_a_folder_is_named(lakectl_file: Path) -> None:
    lakectl_file.unlink()
    lakectl_file.mkdir()
    with pytest.raises(InvalidCredentials, match="IsADirectoryError"):
        lakefs_configuration({})


@pytest.mark.parametrize("content", [b"", b"server:\ncredentials:\n", None])
def test_no_credentials_for_lakefs_at_all_says_where_to_put_them(lakectl_file: Path, content: bytes | None) -> None:
    lakectl_file.unlink() if content is None else lakectl_file.write_bytes(content)
    told = "no endpoint_url and no access_key_id and no secret_access_key.*LAKECTL_SERVER_ENDPOINT_URL.*lakectl config"
    with pytest.raises(MissingCredentials, match=told):
        lakefs_configuration({})
    with pytest.raises(MissingCredentials, match="there is no endpoint_url for lakeFS"):
        lakefs_configuration({"username": "AK", "password": "SK"})


def test_a_user_without_a_home_has_no_file_of_lakectl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKECTL_CONFIG_FILE")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as it does where nobody knows the user
    with pytest.raises(MissingCredentials):
        lakefs_configuration({})


def test_threads_and_pickles_share_one_lakefs_client() -> None:
    session = Session(LAKEFS, Project(Path("/a")))
    client = session.lakefs
    with ThreadPoolExecutor(8) as executor:
        assert {id(found) for found in executor.map(lambda _: session.lakefs, range(8))} == {id(client)}
    travelled = pickle.loads(pickle.dumps(session))
    assert travelled.lakefs is client
    assert travelled.project == Project(Path("/a"))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_makes_its_own_lakefs_client() -> None:
    session = Session(LAKEFS)
    parents = session.lakefs
    child = os.fork()
    if child == 0:
        os._exit(0 if session.lakefs is not parents else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert session.lakefs is parents


def test_what_is_set_later_makes_a_new_lakefs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, endpoint="http://one", key="AK", secret="SK")
    one = Session().lakefs
    assert Session().lakefs is one
    set_variables(monkeypatch, endpoint="http://two")
    two = Session().lakefs
    assert two.configuration.host == "http://two/api/v1"
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    assert Session().lakefs is not two


def test_certificates_reach_the_lakefs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Session(LAKEFS).lakefs.configuration.verify_ssl is True
    assert Session({**LAKEFS, "verify_ssl": False}).lakefs.configuration.verify_ssl is False
    monkeypatch.setenv("SSL_CERT_FILE", "of the variable.pem")
    assert Session(LAKEFS).lakefs.configuration.ssl_ca_cert == "of the variable.pem"
    assert Session({**LAKEFS, "ssl_ca_cert": "own.pem"}).lakefs.configuration.ssl_ca_cert == "own.pem"


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_of_the_environment_reaches_the_lakefs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Session(LAKEFS).lakefs.configuration.proxy is None
    monkeypatch.setenv("HTTP_PROXY", "http://plain:1")
    monkeypatch.setenv("HTTPS_PROXY", "secure:2")  # without a scheme, as curl allows
    assert Session(LAKEFS).lakefs.configuration.proxy == "http://plain:1"
    assert Session({**LAKEFS, "host": "https://host"}).lakefs.configuration.proxy == "http://secure:2"
    assert Session({**LAKEFS, "proxy": "http://own:3"}).lakefs.configuration.proxy == "http://own:3"
    assert Session({**LAKEFS, "proxy": ""}).lakefs.configuration.proxy is None
    monkeypatch.setenv("NO_PROXY", "127.0.0.1:1")
    assert Session(LAKEFS).lakefs.configuration.proxy is None


@pytest.mark.usefixtures("no_proxies")
def test_user_and_password_of_a_proxy_go_into_a_header_and_nowhere_else() -> None:
    found = Session({**LAKEFS, "proxy": "http://me:h%3Ash@proxy:1"}).lakefs.configuration
    assert found.proxy == "http://proxy:1"
    assert found.proxy_headers == {"proxy-authorization": "Basic " + base64.b64encode(b"me:h:sh").decode()}
    without_password = Session({**LAKEFS, "proxy": "http://me@proxy:1"}).lakefs.configuration
    assert without_password.proxy_headers == {"proxy-authorization": "Basic " + base64.b64encode(b"me:").decode()}


@pytest.mark.parametrize("proxy", ["socks5://me:hush@proxy", "http://me:hush@", "http://me:hush@proxy:port"])
def test_a_proxy_that_is_no_url_is_named_and_not_shown(proxy: str) -> None:
    with pytest.raises(InvalidCredentials, match="`proxy`, HTTP_PROXY or HTTPS_PROXY") as refused:
        _ = Session({**LAKEFS, "proxy": proxy}).lakefs
    assert "hush" not in str(refused.value)
    assert refused.value.__context__ is None


def test_no_secret_of_lakefs_shows() -> None:
    credentials = {**LAKEFS, "secret_access_key": "hush-hush", "proxy": "http://me:hush@proxy"}
    session = Session(credentials)
    assert "hush" not in repr(session) + repr(lakefs_configuration(credentials)) + repr(session.lakefs.configuration)
    assert session.redacted("http://127.0.0.1:1 hush-hush") == "http://127.0.0.1:1 <redacted>"
