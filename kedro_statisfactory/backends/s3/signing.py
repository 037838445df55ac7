"""botocore's signature without what it does twice, or does for each request of a day; imported with the first one."""

from __future__ import annotations

import functools
import hashlib
import hmac
from typing import Any

from botocore.auth import EMPTY_SHA256_HASH, S3SigV4Auth
from botocore.awsrequest import AWSRequest

from kedro_statisfactory.hidden import Hidden

_SIGNED_HEADERS = "signed_headers"  # in the context of a request


class Signer(S3SigV4Auth):
    """Signs requests for S3, each once; their URLs have the host as a request names it."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        """The headers of a request, with its host; they are asked for twice."""
        found = request.context.get(_SIGNED_HEADERS)
        if found is None:
            # botocore would look for the host in a URL as anybody might write it.
            request.headers["Host"] = str(request.url).split("/", 3)[2]
            found = request.context[_SIGNED_HEADERS] = super().headers_to_sign(request)
        return found

    def payload(self, request: AWSRequest) -> Any:
        """The hash of what is sent; botocore would prepare a request without a body to find that it has none."""
        signer: Any = self  # whose types do not tell all
        is_empty = not request.data and signer._should_sha256_sign_payload(request)
        return EMPTY_SHA256_HASH if is_empty else super().payload(request)

    def signature(self, string_to_sign: str, request: AWSRequest) -> str:
        """The signature, by the key of the day."""
        signer: Any = self
        key = _key_of_day(Hidden(self.credentials.secret_key), request.context["timestamp"][:8], signer._region_name)
        return hmac.new(key.reveal(), string_to_sign.encode(), hashlib.sha256).hexdigest()


@functools.lru_cache(maxsize=16)
def _key_of_day(secret: Hidden[str], day: str, region: str) -> Hidden[bytes]:
    key = Hidden(b"AWS4" + secret.reveal().encode())
    for part in (day, region, "s3", "aws4_request"):
        key = Hidden(hmac.new(key.reveal(), part.encode(), hashlib.sha256).digest())
    return key
