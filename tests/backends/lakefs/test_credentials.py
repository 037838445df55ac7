"""lakeFS credentials from an entry, from lakectl's variables, from lakectl's file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs.credentials import LakeFSConfiguration, lakefs_configuration
from kedro_statisfactory.errors import InvalidCredentials, MissingCredentials, StatisfactoryError, UnknownCredential

LAKEFS = {"endpoint": "http://127.0.0.1:1", "access_key_id": "AK", "secret_access_key": "SK"}


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


def test_an_empty_text_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, endpoint="http://variable/api/v1", key="AK", secret="SK")
    names = ("endpoint", "access_key_id", "secret_access_key", "ssl_ca_cert")
    assert lakefs_configuration(dict.fromkeys(names, "")) == lakefs_configuration({})
    assert lakefs_configuration({"proxy": ""}).proxy == "", "no proxy, whatever the environment says"


@pytest.mark.parametrize("endpoint", ["ftp://host", "http://", "http://host:port", "http://[::1", "lakefs://repo"])
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
