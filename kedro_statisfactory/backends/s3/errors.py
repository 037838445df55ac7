"""Errors of boto3 as ours, told from one another in one place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.backends.s3.answers import ForeignAnswer
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BucketNotFound,
    IntegrityError,
    InvalidCredentials,
    InvalidURL,
    MissingCredentials,
    ObjectNotFound,
    PermissionDenied,
    PreconditionFailed,
    StatisfactoryError,
    TransferError,
    UnknownOption,
)
from kedro_statisfactory.location import unparse
from kedro_statisfactory.session import Session

# Codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and the bare status codes that a
# HEAD request has instead, because its answer has no body.
_ERRORS_BY_CODE: dict[str, type[StatisfactoryError]] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion", "404"), ObjectNotFound),
    **dict.fromkeys(("NoSuchBucket", "NoSuchAccessPoint"), BucketNotFound),
    **dict.fromkeys(
        (
            "403",
            "401",
            "AccessDenied",
            "ErrWriteToProtectedBranch",  # of lakeFS's gateway
            "AllAccessDisabled",
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidToken",
            "SignatureDoesNotMatch",
            "UnauthorizedAccess",
        ),
        PermissionDenied,
    ),
    **dict.fromkeys(("412", "PreconditionFailed", "ConditionalRequestConflict"), PreconditionFailed),
    **dict.fromkeys(("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"), IntegrityError),
}


# What a HEAD cannot say, since its answer has no text.
_HEAD_400 = "It may be an expired token, or an object that is encrypted by a key of its own, which has to be named."
# For R2, B2, GCS and others that do not know the newer integrity headers.
_WITHOUT_CHECKSUMS = (
    " If it is a server that does not know S3's newer integrity headers, set `config_kwargs: "
    "{request_checksum_calculation: when_required, response_checksum_validation: when_required}` in the credentials."
)

_LONGEST_TEXT = 500  # characters of what a service says


def code_of(error: Any) -> str:
    """The code of an error that the service answered; empty where it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _details_of(error: Any) -> str:
    """What a service explains beside its message, as GCS does; boto3 keeps it, and does not show it."""
    return str(error.response.get("Error", {}).get("Details") or "")


def kind_of(code: str) -> type[StatisfactoryError]:
    """Our class for a code of the service."""
    return _ERRORS_BY_CODE.get(code, TransferError)


def broken_stream() -> tuple[type[Exception], ...]:
    """What boto3 and the library under it raise when an answer ends too early or does not match its checksum."""
    from botocore.exceptions import FlexibleChecksumError, HTTPClientError, IncompleteReadError
    from urllib3.exceptions import HTTPError

    return HTTPClientError, FlexibleChecksumError, IncompleteReadError, HTTPError


@contextlib.contextmanager
def translated(fragment: ParseResult, session: Session, redacted: Callable[[str], str]) -> Iterator[None]:
    """Errors of boto3 as ours. Neither their text nor their cause shows a secret.

    Args:
        fragment: The location that is concerned.
        session: Whose client is in use.
        redacted: Takes the secrets out of a text.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    def endpoint() -> str:
        return redacted(s3_client(session).meta.endpoint_url)

    try:
        yield
    except IntegrityError as error:
        raise IntegrityError(f"{unparse(fragment)!r} did not arrive as it was stored: {error}.") from error
    except StatisfactoryError:
        raise
    except (ForeignAnswer, ResponseParserError) as error:
        raise _foreign(redacted(str(error)), fragment, endpoint()) from None  # a parser shows what it could not read
    except (ClientError, BotoCoreError, Boto3Error, HTTPError, ValueError) as error:
        text = redacted(str(error))
        if isinstance(error, ClientError):
            is_named = _is_of_service(error)
            ours = _refused(code_of(error), text, redacted(_details_of(error)), fragment, endpoint(), is_named)
        elif _is_about_an_answer(error) and (where := _where_asked(endpoint)):
            ours = _foreign(text, fragment, where)
        else:
            ours = _failed(error, text, fragment)
        # A cause is shown as well: not one with a secret, nor one of boto3's that print the value of an option.
        shows_secret = text != str(error) or isinstance(ours, UnknownOption | InvalidURL) or _is_header_error(text)
        raise ours from (None if shows_secret else error)


def _is_of_service(error: Any) -> bool:
    """Whether an answer has headers of an S3 service."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return any(name.lower().startswith(("x-amz-", "x-goog-")) for name in headers)


def _where_asked(endpoint: Callable[[], str]) -> str:
    """The endpoint; empty where no client can be made, so that nothing has been asked."""
    try:
        return endpoint()
    except ValueError:
        return ""


def _refused(
    code: str, text: str, details: str, fragment: ParseResult, endpoint: str, is_of_service: bool
) -> StatisfactoryError:
    """Our error for what the service answered."""
    url, bucket = unparse(fragment), fragment.netloc
    kind = kind_of(code)
    if kind is TransferError and not code.strip("0123456789"):
        # Errors of S3 have names; boto3 puts the HTTP status for other pages, and for a HEAD, which has no page.
        if not is_of_service:
            return _foreign(text, fragment, endpoint)
        details = details or _HEAD_400 * (code == "400")
    told_by_service = text.rstrip(".")  # the code, the operation and the service's own words
    told: dict[type[StatisfactoryError], str] = {
        ObjectNotFound: f"there is no object {url!r}.",
        BucketNotFound: f"there is no bucket {bucket!r}, which {url!r} names: correct the URL or create it.",
        PermissionDenied: f"the service at {endpoint} refuses access to {url!r} ({told_by_service}): check the "
        "credentials of the entry, or what these credentials are allowed to do.",
        PreconditionFailed: f"another object is at {url!r} than the condition allows ({code}).",
    }
    refuses_headers = code == "NotImplemented" or ("checksum" in text.lower() and kind is TransferError)
    hint = _WITHOUT_CHECKSUMS if refuses_headers else ""
    explained = f" The service explains: {' '.join(details.split())[:_LONGEST_TEXT]}" if details else ""
    return kind(told.get(kind, f"the service failed at {url!r}: {text}{hint}") + explained)


def _foreign(text: str, fragment: ParseResult, endpoint: str) -> BackendUnreachable:
    """Our error for an answer that is none of S3."""
    what = next(iter(text.splitlines()), "")[:_LONGEST_TEXT].rstrip(".:")
    return BackendUnreachable(
        f"something else than an S3 service has answered for {unparse(fragment)!r} at {endpoint} ({what}): check "
        "endpoint_url, and proxies or sign-in pages on the way."
    )


def _is_about_an_answer(error: Exception) -> bool:
    """Whether an error is one of Python's for a number or time in an answer that cannot be one.

    boto3 has the same kind for a configuration that makes no sense, which it finds before it sends anything.
    """
    from botocore.exceptions import BotoCoreError

    text = str(error)
    is_plain = isinstance(error, ValueError) and not isinstance(error, BotoCoreError)
    return is_plain and "Invalid endpoint" not in text and not _is_header_error(text)


def _failed(error: Exception, text: str, fragment: ParseResult) -> StatisfactoryError:
    """Our error for what went wrong before the service answered, or with its answer."""
    from botocore import exceptions as sdk
    from urllib3.exceptions import HTTPError

    url, bucket = unparse(fragment), fragment.netloc
    match error:
        case sdk.NoCredentialsError() | sdk.PartialCredentialsError() | sdk.ProfileNotFound():
            return MissingCredentials(
                f"there are no usable credentials for {url!r}: {text}. Name them under `credentials` of the entry, set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile."
            )
        case sdk.ParamValidationError() if text.startswith("Parameter validation failed:\nInvalid bucket name"):
            return InvalidURL(f"{url!r} names the bucket {bucket!r}, which S3 does not allow as a name.")
        case sdk.ParamValidationError():
            # boto3 would print the value, which may be a key for encryption
            return UnknownOption(
                f"a value of `load_args` or `save_args` for {url!r} has the wrong type, or a character that S3 does "
                "not allow there."
            )
        case sdk.IncompleteReadError() | sdk.FlexibleChecksumError():
            return IntegrityError(f"{url!r} did not arrive as it was stored: {text}.")
        case _ if _is_header_error(text):
            return InvalidCredentials(
                f"a credential, or an option, for {url!r} has a line break or another character that cannot be sent: "
                "copy it again."
            )
        case sdk.HTTPClientError() | sdk.ConnectionError() | HTTPError():
            return BackendUnreachable(
                f"the service of {url!r} does not answer: {text}. Check endpoint_url and that the service runs."
            )
        case ValueError():
            scheme = " Write endpoint_url with http:// or https://." * ("Invalid endpoint" in text)
            return InvalidCredentials(f"boto3 cannot use the configuration for {url!r}: {text}.{scheme}")
    return TransferError(f"the transfer of {url!r} failed: {text}.")


def _is_header_error(text: str) -> bool:
    """Whether a header could not be sent; the text shows its value."""
    return "Invalid header value" in text
