"""Entries of Spark, with a real Spark: on this machine they work like any other, and on a cluster they are refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError

from kedro_statisfactory import ArtifactDataset
from tests.servers.s3 import S3Server

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

# The one of the two that needs no client of HDFS, nor s3fs.
SPARK = "spark.spark_dataset_v2.SparkDatasetV2"


def session(master: str) -> Any:
    from pyspark.sql import SparkSession

    quiet: dict[str, Any] = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
    }
    return SparkSession.builder.master(master).config(map=quiet).getOrCreate()


@pytest.fixture
def start() -> Iterator[Any]:
    """Starts a session; it is stopped afterwards, and its JVM ends with this process."""
    started: list[Any] = []

    def begin(master: str) -> Any:
        for each in started:
            each.stop()
        started[:] = [session(master)]
        return started[0]

    yield begin
    for each in started:
        each.stop()


def rows(entry: Any) -> list[Any]:
    return sorted(tuple(row) for row in entry.load().collect())


def test_spark_on_this_machine_and_on_a_cluster(start: Any, seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    if shutil.which("java") is None:
        pytest.skip("NOT TESTED: Spark needs Java, and there is no `java` on this machine.")
    spark = start("local[2]")
    one, two = (spark.createDataFrame([(number, f"day{number}")], ["a", "day"]) for number in (1, 2))
    for root, credentials in ((str(tmp_path), None), (f"s3://{bucket}", seaweed.credentials)):

        def entry(name: str, root: str = root, credentials: Any = credentials, **save_args: Any) -> Any:
            dataset = {"type": SPARK, "file_format": "parquet", "save_args": save_args}
            return ArtifactDataset(filepath=f"{root}/{name}", dataset=dataset, credentials=credentials)

        entry("table").save(one)
        with pytest.raises(DatasetError, match="something is there already"):
            entry("table").save(two)  # Spark's default
        entry("table", mode="ignore").save(two)
        assert rows(entry("table")) == [(1, "day1")]
        entry("table", mode="append").save(two)
        assert rows(entry("table")) == [(1, "day1"), (2, "day2")]
        entry("table", mode="overwrite").save(two)
        assert rows(entry("table")) == [(2, "day2")]
        dynamic = {"mode": "overwrite", "partitionBy": "day", "partitionOverwriteMode": "dynamic"}
        entry("days", **dynamic).save(one)
        entry("days", **dynamic).save(two)
        assert rows(entry("days")) == [(1, "day1"), (2, "day2")]
        entry("data[1].parquet").save(one)
        assert rows(entry("data[1].parquet")) == [(1, "day1")]

    cluster = start("local-cluster[1,1,1024]")
    table = ArtifactDataset(
        filepath=str(tmp_path / "table"),
        dataset={"type": SPARK, "file_format": "parquet", "save_args": {"mode": "overwrite"}},
    )
    with pytest.raises(DatasetError, match="works on the Spark master 'local-cluster"):
        table.save(cluster.createDataFrame([(3, "day3")], ["a", "day"]))
    start("local[1]")
    assert rows(table) == [(2, "day2")]
