"""What a worker does by others than Kedro: boto3, urllib3 and lakefs-spec."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Mapping
from typing import Any

from tests.benchmarks import held

CHUNK = 1 << 20


def boto3(
    verb: str, credentials: Mapping[str, Any], bucket: str, key: str, size: int = 0, path: str = "", **_: Any
) -> dict[str, float]:
    """One call of boto3's client, with its defaults."""
    client = held.client(credentials)
    target: dict[str, Any] = {"Bucket": bucket, "Key": key}
    payload = held.payload(size) if verb == "put" else b""
    start = time.perf_counter()
    if verb == "get":
        client.get_object(**target)["Body"].read()
    elif verb == "put":
        client.put_object(**target, Body=payload)
    elif verb == "download_file":
        client.download_file(bucket, key, path)
    elif verb == "upload_file":
        client.upload_file(path, bucket, key)
    elif verb == "get_stream":
        with open(path, "wb") as file:
            for chunk in client.get_object(**target)["Body"].iter_chunks(CHUNK):
                file.write(chunk)
    elif verb == "put_stream":
        with open(path, "rb") as file:
            client.put_object(**target, Body=file)
    else:
        raise ValueError(verb)
    seconds = time.perf_counter() - start
    if verb in ("download_file", "get_stream"):
        os.unlink(path)
    return {"seconds": seconds, "total": seconds}


def http(verb: str, url: str, headers: Mapping[str, str], size: int = 0, **_: Any) -> dict[str, float]:
    """One request on a connection that is kept open."""
    import urllib3

    pool = held.clients.setdefault("http", urllib3.PoolManager())
    payload = held.payload(size) if size else None
    start = time.perf_counter()
    response = pool.request(verb, url, body=payload, headers=headers)
    seconds = time.perf_counter() - start
    if response.status >= 300:
        raise RuntimeError(f"{verb} {url}: {response.status} {response.data[:200]!r}")
    return {"seconds": seconds, "total": seconds}


def lakefs_spec(
    verb: str, storage: Mapping[str, str], url: str, size: int = 0, path: str = "", **_: Any
) -> dict[str, float]:
    """Open a file of lakefs-spec, and read it whole or write ``size`` bytes or the file at ``path`` to it."""
    import lakefs_spec  # type: ignore[import-not-found, unused-ignore]

    filesystem = lakefs_spec.LakeFSFileSystem(**storage)
    payload = held.payload(size) if size else b""
    start = time.perf_counter()
    if verb == "load":
        with filesystem.open(url, "rb") as file:
            file.read()
    elif path:
        with filesystem.open(url, "wb") as file, open(path, "rb") as source:
            shutil.copyfileobj(source, file, CHUNK)
    else:
        with filesystem.open(url, "wb") as file:
            file.write(payload)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "total": seconds}


def lakefs_spec_partitions(
    verb: str, storage: Mapping[str, str], url: str, count: int, size: int = 0, **_: Any
) -> dict[str, float]:
    """What PartitionedDataset asks of lakefs-spec for ``count`` pickles of ``size`` bytes.

    Kedro itself takes the repository off the URLs of a protocol that it does not know.
    """
    import lakefs_spec  # type: ignore[import-not-found, unused-ignore]

    filesystem = lakefs_spec.LakeFSFileSystem(**storage, skip_instance_cache=True)
    start = time.perf_counter()
    found = filesystem.find(url) if verb == "load" else [f"{url}/{number:05}" for number in range(count)]
    for path in found:
        with filesystem.open(path, "rb" if verb == "load" else "wb") as file:
            pickle.load(file) if verb == "load" else pickle.dump(held.payload(size), file)
    seconds = time.perf_counter() - start
    if len(found) != count:
        raise RuntimeError(f"{len(found)} partitions instead of {count}")
    return {"seconds": seconds, "total": seconds}
