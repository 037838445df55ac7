"""Which arguments of boto3 a user may set, by botocore's own description of S3."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

# What the backend itself says in a request.
_OWN_ARGUMENTS = frozenset(
    ("Bucket", "Key", "Body", "Range", "PartNumber", "ChecksumMode", "UploadId", "MultipartUpload", "ContentLength")
)


@functools.cache
def _service() -> Any:
    """botocore's own description of S3, for which neither a client nor any configuration is needed."""
    from botocore.loaders import create_loader
    from botocore.model import ServiceModel

    return ServiceModel(create_loader().load_service_model("s3", "service-2"), "s3")


def members(operation: str) -> frozenset[str]:
    """The arguments of an operation that a user may set."""
    return frozenset(_service().operation_model(operation).input_shape.members) - _OWN_ARGUMENTS


def known_to(operation: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options that an operation has, too."""
    known = members(operation) if options else frozenset()
    return {name: value for name, value in options.items() if name in known}


def is_about_one_request(option: str) -> bool:
    """Whether an option holds for the request that carries all of an object, and for no part of it."""
    return "Checksum" in option or option in ("ContentMD5", "WriteOffsetBytes")
