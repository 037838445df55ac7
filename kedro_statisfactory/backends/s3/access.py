"""How an engine comes in where boto3 does: from the same credentials, profiles, roles and variables."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.backends.s3.credentials import s3_configuration
from kedro_statisfactory.backends.s3.errors import code_of, kind_of
from kedro_statisfactory.backends.s3.plain import AWS
from kedro_statisfactory.errors import ObjectNotFound
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def s3_access(session: Session, bucket: str, key: str, url: str) -> S3Access:
    """A location, with the keys that boto3 would sign with now.

    Args:
        session: Of the entry.
        bucket: Where.
        key: Where.
        url: Of the entry, for errors.

    Raises:
        UnknownCredential, InvalidCredentials: As for
            :func:`~kedro_statisfactory.backends.s3.credentials.s3_configuration`.
        NoCredentialsError: (of botocore) There are no keys.
    """
    from botocore.credentials import RefreshableCredentials
    from botocore.exceptions import NoCredentialsError

    client: Any = s3_client(session)
    configuration = s3_configuration(session.credentials)
    region, endpoint = client.meta.region_name, client.meta.endpoint_url
    # Any other host of AWS (of a private network, say, or FIPS) was chosen by somebody, and engines would not find it.
    is_aws = bool(AWS.fullmatch(urlsplit(endpoint).netloc))
    style = (client.meta.config.s3 or {}).get("addressing_style")
    found: dict[str, Any] = {
        "bucket": bucket,
        "key": key,
        "url": url,
        "endpoint_url": None if is_aws else endpoint,
        "region": "us-east-1" if region in (None, "aws-global") else region,
        "path_style": style == "path" or (not is_aws and style != "virtual"),
        "config": configuration.config,
        "verify": configuration.client.get("verify", True),
    }
    if proxy := (configuration.config.get("proxies") or {}).get(urlsplit(endpoint).scheme):
        found["proxy"] = Hidden(proxy)
    if configuration.anonymous:
        return S3Access(**found)
    # What the client itself signs with: it renews what is lent to it.
    lent = client._request_signer._credentials
    if lent is None:
        raise NoCredentialsError
    keys = lent.get_frozen_credentials()
    if isinstance(lent, RefreshableCredentials):
        found["renew"] = functools.partial(s3_access, session, bucket, key, url)
    return S3Access(
        **found,
        access_key_id=Hidden(keys.access_key),
        secret_access_key=Hidden(keys.secret_key),
        session_token=Hidden(keys.token) if keys.token else None,
    )


def ensure_bucket(client: S3Client, bucket: str, create: Callable[[str], None]) -> None:
    """See that a bucket is there, for an engine that would not create it.

    Args:
        client: boto3's.
        bucket: Its name.
        create: Creates it.
    """
    try:
        client.head_bucket(Bucket=bucket)
    except client.exceptions.ClientError as error:
        if kind_of(code_of(error)) is not ObjectNotFound:
            raise
        create(bucket)
