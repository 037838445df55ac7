"""A column costs a column: bytes are counted on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from kedro_statisfactory import ArtifactDataset
from tests.servers.faults import Proxy, proxy

COLUMNS, ROWS = 50, 40_000


@pytest.mark.once
@pytest.mark.parametrize("kind", ["s3", "lakefs"])
def test_one_of_fifty_columns_costs_what_it_costs_the_engine_by_itself(
    kind: str, request: pytest.FixtureRequest
) -> None:
    lake = kind == "lakefs"
    server: Any = request.getfixturevalue("lakefs_local" if lake else "seaweed")
    place = f"lakefs://{server.new_repository()}" if lake else f"s3://{request.getfixturevalue('bucket')}"
    table = pd.DataFrame(np.random.default_rng(0).random((ROWS, COLUMNS)), columns=[f"c{n}" for n in range(COLUMNS)])

    def entry(dataset: str, native: bool | None, credentials: dict[str, str], **more: Any) -> Any:
        return ArtifactDataset(
            filepath=f"{place}/x.parquet", dataset={"type": dataset, **more}, native=native, credentials=credentials
        )

    groups = {"row_group_size": ROWS // 4}
    entry("pandas.ParquetDataset", False, server.credentials, save_args=groups).save(table)
    with proxy(server.endpoint_url) as between:
        options = {
            "aws_endpoint_url": between.endpoint_url,
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
            "aws_region": "us-east-1",
            "allow_http": "true",
        }
        where = f"s3://{place.partition('://')[2]}/{'main/' * lake}x.parquet"
        by_itself = bytes_for(between, lambda: total(pl.scan_parquet(where, storage_options=options)))
        credentials = {**server.credentials, "endpoint" if lake else "endpoint_url": between.endpoint_url}
        one: dict[str, Any] = {"load_args": {"columns": ["c7"]}}
        lazy: dict[str, Any] = {"file_format": "parquet"}
        datasets = {"polars.LazyPolarsDataset": lazy, "dask.ParquetDataset": one, "pandas.ParquetDataset": one}
        for dataset, more in datasets.items():
            by_default = not dataset.startswith("pandas")  # what reads lazily goes to the data unless told otherwise
            native = entry(dataset, None if by_default else True, credentials, **more)
            by_us = bytes_for(between, lambda native=native: total(native.load()))  # type: ignore[misc]
            print(f"{kind} {dataset}: {by_us} of ours, {by_itself} by polars itself, {ROWS * COLUMNS * 8} in all")
            assert by_us <= 1.2 * by_itself
        copied = entry("polars.LazyPolarsDataset", False, credentials, file_format="parquet")
        assert bytes_for(between, lambda: total(copied.load())) > ROWS * COLUMNS * 8  # what is counted is all of it


def total(found: Any) -> float:
    """The sum of one column."""
    if isinstance(found, pl.LazyFrame):
        return float(found.select("c7").collect().sum().item())
    return float((found if isinstance(found, pd.DataFrame) else found.compute())["c7"].sum())


def bytes_for(between: Proxy, work: Callable[[], float]) -> int:
    """How many bytes come in answers to some work."""
    before = between.answered
    assert work() > 0
    return between.answered - before
