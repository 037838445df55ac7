"""Credentials of lakeFS: from a catalog entry, from lakectl's variables, from lakectl's file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedro_statisfactory.backends.credentials import (
    present,
    refuse_half_a_pair,
    refuse_secrets_in_url,
    refuse_unknown,
    refuse_unprintable,
)
from kedro_statisfactory.backends.http import NETWORK_VARIABLES, split_url
from kedro_statisfactory.errors import InvalidCredentials, MissingCredentials
from kedro_statisfactory.hidden import Hidden, HiddenDict

#: The variable that holds the secret key.
SECRET_VARIABLE = "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"

# The names of lakectl (right) for what other lakeFS clients call otherwise.
_NAMES = {
    "endpoint": "endpoint_url",
    "host": "endpoint_url",
    "endpoint_url": "endpoint_url",
    "access_key_id": "access_key_id",
    "username": "access_key_id",
    "secret_access_key": "secret_access_key",
    "password": "secret_access_key",
    "ssl_ca_cert": "ssl_ca_cert",
    "verify_ssl": "verify_ssl",
    "proxy": "proxy",
}
_LAKECTL_VARIABLES = {
    "endpoint_url": "LAKECTL_SERVER_ENDPOINT_URL",
    "access_key_id": "LAKECTL_CREDENTIALS_ACCESS_KEY_ID",
    "secret_access_key": SECRET_VARIABLE,
}
_KEY_PAIR = frozenset(("access_key_id", "secret_access_key"))
_LAKECTL_FILE = "LAKECTL_CONFIG_FILE"
#: The variables on which a connection depends.
VARIABLES = (*_LAKECTL_VARIABLES.values(), _LAKECTL_FILE, "HOME", *NETWORK_VARIABLES)
_API = "/api/v1"


@dataclass(frozen=True)
class LakeFSConfiguration:
    """Where a lakeFS server is and who asks.

    Attributes:
        host: URL of the server's API.
        access_key_id: Of the user.
        secret_access_key: Of the user.
        ssl_ca_cert: File with the certificates to trust; ``None``: those of the system.
        verify_ssl: Whether the server's certificate is checked.
        proxy: URL of an HTTP proxy; ``None``: the one that the environment names for the host.
    """

    host: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    ssl_ca_cert: str | None = None
    verify_ssl: bool = True
    proxy: str | None = field(default=None, repr=False)


def checked_lakefs_credentials(credentials: Mapping[str, Any]) -> HiddenDict:
    """The credentials of an entry in lakectl's names.

    Args:
        credentials: ``endpoint_url`` (or ``endpoint``, ``host``), with or without ``/api/v1``; ``access_key_id`` (or
            ``username``), ``secret_access_key`` (or ``password``), ``ssl_ca_cert``, ``verify_ssl``, ``proxy``. A value
            of ``None`` or an empty text counts as absent, but for ``proxy``, which is none then.

    Raises:
        UnknownCredential: A key is none of these.
        InvalidCredentials: A value has the wrong type, or one half of a key pair is missing.
    """
    given = present(credentials)
    if credentials.get("proxy") == "":  # none, whatever the environment says
        given["proxy"] = ""
    refuse_unknown("lakeFS", given.keys() - _NAMES.keys(), _NAMES)
    flat = HiddenDict({_NAMES[key]: value for key, value in given.items()})
    for key in flat:
        if not isinstance(flat[key], bool if key == "verify_ssl" else str):
            raise InvalidCredentials(
                f"the credential {key!r} is of type {type(flat[key]).__name__}: "
                f"{'write true or false' if key == 'verify_ssl' else 'put it between quotes'}."
            )
    refuse_half_a_pair("lakeFS", flat, "access_key_id", "secret_access_key")
    refuse_secrets_in_url(flat)
    return flat


def lakefs_configuration(credentials: Mapping[str, Any]) -> LakeFSConfiguration:
    """Complete the credentials of an entry by ``LAKECTL_*`` variables and these by lakectl's file.

    Raises:
        UnknownCredential, InvalidCredentials: As for :func:`checked_lakefs_credentials`; or lakectl's file is broken.
        MissingCredentials: The server or the keys are named nowhere.
    """
    flat = checked_lakefs_credentials(credentials)
    halves = ""
    for name, source in (("the environment", _lakectl_variables), ("lakectl's file", _lakectl_file)):
        if {"endpoint_url", "access_key_id"} <= flat.keys():
            break
        found = source()
        if len(_KEY_PAIR & found.keys()) == 1:
            halves += f" {name.capitalize()} has one half of a key pair, and halves of two places are not joined."
        if "access_key_id" in flat or not found.keys() >= _KEY_PAIR:
            found = HiddenDict({key: value for key, value in found.items() if key == "endpoint_url"})
        flat = HiddenDict({**found, **flat})
    missing = [key for key in _LAKECTL_VARIABLES if key not in flat]
    if missing:
        raise MissingCredentials(
            f"there is no {' and no '.join(missing)} for lakeFS: name what is missing under `credentials` of the "
            f"entry, set {', '.join(_LAKECTL_VARIABLES[key] for key in missing)}, or run `lakectl config`.{halves}"
        )
    for key in _KEY_PAIR:
        refuse_unprintable(key, flat)
    refuse_secrets_in_url(flat)
    endpoint = flat.pop("endpoint_url")
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    split_url("endpoint_url", Hidden(endpoint))
    return LakeFSConfiguration(host=endpoint.rstrip("/").removesuffix(_API) + _API, **flat)


def _lakectl_variables() -> HiddenDict:
    return HiddenDict({key: os.environ[name] for key, name in _LAKECTL_VARIABLES.items() if os.environ.get(name)})


def _lakectl_file() -> HiddenDict:
    import yaml

    # Path.expanduser fails where a user has no home.
    file = Path(os.path.expanduser(os.environ.get(_LAKECTL_FILE) or "~/.lakectl.yaml"))
    try:
        content = HiddenDict(yaml.safe_load(file.read_bytes()) or {})
        given = HiddenDict({**(content.get("server") or {}), **(content.get("credentials") or {})})
    except FileNotFoundError:
        return HiddenDict()
    except (OSError, AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        # the text of the error could show a line of the file
        raise InvalidCredentials(
            f"lakectl's file {file} cannot be read ({type(error).__name__}): correct it, or let `lakectl config` write "
            "it again."
        ) from None
    return HiddenDict({key: str(given[key]) for key in _LAKECTL_VARIABLES if given.get(key)})
