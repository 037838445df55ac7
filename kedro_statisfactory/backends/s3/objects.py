"""Storing, fetching, looking at and listing objects: by a lean way what is plain, else by boto3."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kedro_statisfactory.backends.s3.lean import LeanBody, LeanSender, Unexpected
from kedro_statisfactory.backends.s3.plain import Handlers

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        GetObjectOutputTypeDef,
        HeadObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
        PutObjectOutputTypeDef,
        UploadPartOutputTypeDef,
    )

_Answer = TypeVar("_Answer")

#: How the two ways are called where requests are counted.
LEAN, BOTO3 = "lean", "boto3"


class S3Objects:
    """The requests for small objects and for parts of large ones, with arguments, answers and errors of boto3's client.

    A request that is plain is sent once without boto3. Where it is not answered as expected boto3 sends it again, which
    repeats it as often as for any other, with pauses. A bucket that has answered in a way that only boto3 may know (a
    redirect, a signature or a header that it refuses, a page that is none of S3) is boto3's from then on.

    Args:
        client: boto3's, just made.
        lean: Sends without it; ``None``: nothing is plain at this service.

    Attributes:
        client: boto3's, for everything else.
        ways: How many requests were sent by each way, by their operation and ``"lean"`` or ``"boto3"``; repetitions by
            boto3 do not count.
    """

    def __init__(self, client: S3Client, lean: LeanSender | None) -> None:
        self.client, self._lean = client, lean
        self._handlers, self._lock = Handlers(client), threading.Lock()
        self._of_boto3: set[str] = set()  # buckets
        self.ways: Counter[tuple[str, str]] = Counter()

    @property
    def is_untouched(self) -> bool:
        """Whether no user has registered handlers at the client's events: these may change what is sent or comes."""
        return self._handlers.are_ours()

    def get_object(self, **request: Any) -> GetObjectOutputTypeDef:
        """As boto3's; the ``Body`` verifies itself when it is read to its end."""
        return self._ask("GetObject", request, self.client.get_object)

    def head_object(self, **request: Any) -> HeadObjectOutputTypeDef:
        """As boto3's."""
        return self._ask("HeadObject", request, self.client.head_object)

    def put_object(self, **request: Any) -> PutObjectOutputTypeDef:
        """As boto3's."""
        return self._ask("PutObject", request, self.client.put_object)

    def upload_part(self, **request: Any) -> UploadPartOutputTypeDef:
        """As boto3's."""
        return self._ask("UploadPart", request, self.client.upload_part)

    def list_objects_v2(self, **request: Any) -> ListObjectsV2OutputTypeDef:
        """As boto3's."""
        return self._ask("ListObjectsV2", request, self.client.list_objects_v2)

    def _ask(self, operation: str, request: Mapping[str, Any], by_boto3: Callable[..., _Answer]) -> _Answer:
        lean, bucket = self._lean, request["Bucket"]
        if lean is not None and bucket not in self._of_boto3 and self.is_untouched:
            plain = lean.service.request(operation, request)
            if plain is not None:
                self._count(operation, LEAN)
                try:
                    return cast("_Answer", lean.send(plain))  # what boto3 would give
                except Unexpected as error:
                    if not error.is_passing:
                        self._of_boto3.add(bucket)
        self._count(operation, BOTO3)
        return by_boto3(**request)

    def _count(self, operation: str, way: str) -> None:
        with self._lock:
            self.ways[operation, way] += 1


def is_verified_as_a_whole(body: Any) -> bool:
    """Whether the content of an answer to ``get_object`` is verified when all of it was read from that answer."""
    from botocore.response import StreamingBody

    return body.verifies_all if isinstance(body, LeanBody) else type(body) is not StreamingBody
