"""Credentials of S3, in boto3's names or in s3fs's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kedro_statisfactory.backends.credentials import (
    mapping_of,
    present,
    refuse_half_a_pair,
    refuse_secrets_in_url,
    refuse_unknown,
    refuse_unprintable,
)
from kedro_statisfactory.errors import InvalidCredentials, UnknownCredential
from kedro_statisfactory.hidden import HiddenDict

# s3fs's names (left) for what boto3 calls otherwise.
_S3FS_NAMES = {
    "key": "aws_access_key_id",
    "username": "aws_access_key_id",
    "secret": "aws_secret_access_key",
    "password": "aws_secret_access_key",
    "token": "aws_session_token",
    "profile": "profile_name",
}
_SESSION_KEYS = frozenset(
    ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region_name", "profile_name")
)
_CLIENT_KEYS = frozenset(("endpoint_url", "use_ssl", "verify", "api_version"))
_S3FS_KEYS = frozenset(("anon", "client_kwargs", "config_kwargs"))
_TEXTS = _SESSION_KEYS | {"endpoint_url", "api_version"}


@dataclass(frozen=True)
class S3Configuration:
    """Credentials in the three places where boto3 wants them.

    Attributes:
        session: Arguments of ``boto3.session.Session``.
        client: Arguments of its ``client("s3", …)``.
        config: Arguments of ``botocore.config.Config``.
        anonymous: Whether requests are sent unsigned.
    """

    session: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client: Mapping[str, Any] = field(default_factory=dict, repr=False)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    anonymous: bool = False


def s3_configuration(credentials: Mapping[str, Any]) -> S3Configuration:
    """Read S3 credentials in boto3's names, in s3fs's shape, or in a mixture of both.

    Args:
        credentials: ``aws_access_key_id``, ``aws_secret_access_key``, ``aws_session_token``, ``region_name``,
            ``profile_name``, ``endpoint_url``, ``use_ssl``, ``verify``, ``api_version``; or s3fs's ``key``,
            ``secret``, ``token``, ``profile``, ``anon``, ``client_kwargs``, ``config_kwargs``. A value of ``None``
            or an empty text counts as absent. ``config_kwargs`` are the arguments of ``botocore.config.Config``, for
            example ``request_checksum_calculation: when_required`` for a server that refuses the newer integrity
            headers.

    Raises:
        UnknownCredential: A key is none of these.
        InvalidCredentials: A value has the wrong type, or one half of a key pair is missing.
    """
    given = present(credentials)
    if not isinstance(given.get("anon", False), bool):
        raise InvalidCredentials("the credential 'anon' is neither true nor false.")
    config, inner = mapping_of("config_kwargs", given), present(mapping_of("client_kwargs", given))
    flat = HiddenDict({_S3FS_NAMES.get(key, key): given[key] for key in given.keys() - _S3FS_KEYS})
    flat.update(inner)
    _check(flat)
    return S3Configuration(
        session=HiddenDict({key: flat[key] for key in flat.keys() & _SESSION_KEYS}),
        client=HiddenDict({key: flat[key] for key in flat.keys() & _CLIENT_KEYS}),
        config=config,
        anonymous=given.get("anon", False),
    )


def _check(flat: Mapping[str, Any]) -> None:
    """See that credentials in boto3's names can be used."""
    if "s3_additional_kwargs" in flat:  # of s3fs
        raise UnknownCredential(
            "`s3_additional_kwargs` are no credentials: move them into `save_args` of the entry, which are those of "
            "boto3's put_object."
        )
    known = _SESSION_KEYS | _CLIENT_KEYS
    refuse_unknown("S3", flat.keys() - known, known | _S3FS_KEYS | _S3FS_NAMES.keys())
    for key in sorted(_TEXTS & flat.keys()):
        if not isinstance(flat[key], str):
            raise InvalidCredentials(
                f"the credential {key!r} is of type {type(flat[key]).__name__}, not text: put it between quotes."
            )
        refuse_unprintable(key, flat)
    refuse_half_a_pair("S3", flat, "aws_access_key_id", "aws_secret_access_key")
    refuse_secrets_in_url(flat)
