"""How the object stores of Rust, in delta-rs and others, are told of a location in S3's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.errors import InvalidFormat
from kedro_statisfactory.hidden import HiddenDict

# Arguments of botocore's Config that are told in another way, or that change nothing for who sends no such thing.
_TOLD = frozenset(
    "proxies max_pool_connections parameter_validation region_name request_checksum_calculation "
    "response_checksum_validation tcp_keepalive use_dualstack_endpoint use_fips_endpoint user_agent user_agent_appid "
    "user_agent_extra".split()
)
_WHOLE_REQUEST = 30.0  # seconds after which they give a request up that nobody has said anything about


def in_object_store(access: S3Access, _: ParseResult) -> tuple[str, Mapping[str, Any]]:
    """A location as a URL, and the options by which it is reached.

    Args:
        access: The location.
    """
    endpoint = access.endpoint_url or ""
    told = {
        "aws_access_key_id": access.access_key_id and access.access_key_id.reveal(),
        "aws_secret_access_key": access.secret_access_key and access.secret_access_key.reveal(),
        "aws_session_token": access.session_token and access.session_token.reveal(),
        "aws_region": access.region,
        "aws_endpoint_url": endpoint,
        "aws_virtual_hosted_style_request": "false" if access.path_style else "true",
        "aws_skip_signature": "" if access.access_key_id else "true",
        "allow_http": "true" if endpoint.startswith("http://") else "",
        "allow_invalid_certificates": "true" if access.verify is False else "",
        "proxy_url": access.proxy and access.proxy.reveal(),
        **of_requests(access.config, access.url),
    }
    return f"s3://{access.bucket}/{access.key}", HiddenDict({key: value for key, value in told.items() if value})


def of_requests(config: Mapping[str, Any], url: str) -> dict[str, str]:
    """Time-outs and retries in their words.

    Args:
        config: Arguments of botocore's ``Config``.
        url: Of the entry, for errors.

    Raises:
        InvalidFormat: They cannot be told one of these.
    """
    left = {key: value for key, value in config.items() if key not in _TOLD}
    found: dict[str, str] = {}
    if isinstance(left.get("connect_timeout"), int | float):
        found["connect_timeout"] = f"{round(left.pop('connect_timeout') * 1000)}ms"
    if isinstance(left.get("read_timeout"), int | float):  # between two answers; theirs is for a whole request
        found["timeout"] = f"{round(max(left.pop('read_timeout'), _WHOLE_REQUEST) * 1000)}ms"
    retries = dict(left.pop("retries", None) or {})
    if "total_max_attempts" in retries:
        found["max_retries"] = str(retries["total_max_attempts"] - 1)
    elif "max_attempts" in retries:
        found["max_retries"] = str(retries["max_attempts"])
    style = left.pop("s3", None) or {}
    untold = [*left, *(f"s3: {{{key}: …}}" for key in style if key != "addressing_style")]
    if untold:
        raise InvalidFormat(
            f"the engine of {url!r} goes to the data by itself, and cannot be told `{untold[0]}` of `config_kwargs`: "
            "take that away, or `native`."
        )
    return found
