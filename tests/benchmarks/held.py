"""What a process that is measured makes once and uses again, so that no figure has the making in it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

_catalogs: dict[str, Any] = {}
clients: dict[str, Any] = {}
_payloads: dict[int, bytes] = {}


def catalog(entries: Mapping[str, Any]) -> Any:
    """A catalog of these entries."""
    from kedro.io import DataCatalog

    key = json.dumps(entries, sort_keys=True)
    if key not in _catalogs:
        _catalogs[key] = DataCatalog.from_config(json.loads(key))
    return _catalogs[key]


def payload(size: int) -> bytes:
    """So many random bytes."""
    if size not in _payloads:
        _payloads[size] = os.urandom(size)
    return _payloads[size]


def client(credentials: Mapping[str, Any]) -> Any:
    """A client of boto3 for S3."""
    import boto3

    key = json.dumps(credentials, sort_keys=True)
    if key not in clients:
        clients[key] = boto3.client("s3", **credentials)
    return clients[key]


def quiet() -> None:
    """Kedro's progress messages cost as much as a small object, and are no part of the transport."""
    for name in ("kedro", "kedro_statisfactory"):
        logging.getLogger(name).setLevel(logging.ERROR)
