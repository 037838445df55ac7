"""Connections to S3: one per process and configuration, made as the objects of a pipeline need it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.backends.http import POOL_SIZE
from kedro_statisfactory.backends.s3.answers import refuse_foreign_answers
from kedro_statisfactory.backends.s3.credentials import s3_configuration
from kedro_statisfactory.backends.s3.lean import LeanSender
from kedro_statisfactory.backends.s3.objects import S3Objects
from kedro_statisfactory.backends.s3.plain import CRC32_HEADER, MOST_SENT, plain_service
from kedro_statisfactory.backends.transfer import Stopped, raise_if_stopped
from kedro_statisfactory.errors import UnknownCredential
from kedro_statisfactory.hidden import HiddenDict
from kedro_statisfactory.session import Session, environment

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: The variables that hold secrets.
SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

# The variables that select an account, a region or an endpoint. They are part of a connection's configuration: a
# notebook that sets one of them after its first load gets a new client.
_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CA_BUNDLE",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
)

# What a user of boto3 would have to ask for. Standard retries are the bounded ones that AWS recommends.
_DEFAULTS: Mapping[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 5},
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": POOL_SIZE,
    "tcp_keepalive": True,
}


def s3_client(session: Session) -> S3Client:
    """The S3 client of a session's credentials; without any, the one of boto3's own chain.

    Raises:
        UnknownCredential, InvalidCredentials: As for
            :func:`~kedro_statisfactory.backends.s3.credentials.s3_configuration`.
    """
    return s3_objects(session).client


def s3_objects(session: Session) -> S3Objects:
    """Requests for single objects, of which most need no boto3; credentials and errors as for :func:`s3_client`."""
    return session.connection(("s3", environment(_VARIABLES)), lambda: _make(session.credentials))


def _make(credentials: Mapping[str, Any]) -> S3Objects:
    import boto3
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config

    configuration = s3_configuration(credentials)
    options = HiddenDict({**_DEFAULTS, **configuration.config})
    if configuration.anonymous:
        options["signature_version"] = UNSIGNED
    try:
        config = Config(**options)
    except TypeError as error:
        raise UnknownCredential(f"config_kwargs in the credentials for S3: {error}.") from None
    # botocore loads its models without a lock of its own: one for all credentials of the process.
    with Session().connection("loading botocore's models", threading.Lock):
        core = botocore.session.get_session()
        made = boto3.session.Session(**configuration.session, botocore_session=core)
        client: S3Client = made.client("s3", config=config, **configuration.client)
        service = plain_service(client, configuration, core)
    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register(f"before-sign.s3.{operation}", _send_at_once)
        client.meta.events.register(f"before-sign.s3.{operation}", _name_checksum)
    refuse_foreign_answers(client)
    for event in ("before-send", "needs-retry"):
        client.meta.events.register_first(f"{event}.s3", _stop)
    return S3Objects(client, LeanSender(client, service, core.get_credentials()) if service else None)


def _stop(response: Any = None, **_: Any) -> None:
    """Send nothing any more, and nothing again, on a thread whose work was interrupted."""
    try:
        raise_if_stopped()
    except Stopped:
        if response is not None:  # it came meanwhile, and nobody will read it
            response[0].raw.close()
        raise


def _send_at_once(request: Any, operation_name: str, **_: Any) -> None:
    """Send a body along with its headers, where boto3 would wait for the service to ask for it.

    That costs a round trip. It pays where a large body would be refused; whether parts are taken is known by then.
    """
    from botocore.utils import determine_content_length

    size = determine_content_length(request.data)  # None: nobody knows
    if operation_name == "UploadPart" or (size is not None and size <= MOST_SENT):
        del request.headers["Expect"]


def _name_checksum(request: Any, **_: Any) -> None:
    """Tell the signer of a checksum that boto3 has not computed itself: with TLS it need not read the body then."""
    if CRC32_HEADER in request.headers:
        known = request.context.setdefault("checksum", {})
        known.setdefault("request_algorithm", {"in": "header", "name": CRC32_HEADER})
