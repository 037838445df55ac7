"""Removing objects, as many by one request as S3 allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.backends.s3.errors import kind_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MOST = 1000  # that one request may name


def delete_keys(client: S3Client, bucket: str, keys: Sequence[str]) -> None:
    """Remove objects; those that are not there are none the less removed.

    Args:
        client: boto3's.
        bucket: Where.
        keys: Of the objects.

    Raises:
        BackendError: One of them was not removed, which the service says in an answer of success.
    """
    for start in range(0, len(keys), _MOST):
        objects: Any = [{"Key": key} for key in keys[start : start + _MOST]]
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": objects})
        for error in answer.get("Errors", ()):
            raise kind_of(error.get("Code", ""))(
                f"the object {error.get('Key')!r} in the bucket {bucket!r} was not deleted: {error.get('Code')}."
            )
