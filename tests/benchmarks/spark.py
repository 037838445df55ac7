"""What it costs that Spark goes through an entry, against Spark by hand: ``python -m tests.benchmarks.spark``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.datasets.hadoop import in_hadoop
from tests.benchmarks.measure import Result, interleaved, table
from tests.servers.lakefs import lakefs
from tests.servers.s3 import seaweedfs
from tests.servers.spark import spark, without_s3fs

ROWS = 1_000_000
_TARGET = 1.15


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """What measures some work."""

    def measured() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return measured


def measure(session: Any, url: str, credentials: dict[str, str], rounds: int) -> Iterator[Result]:
    """A save and a load of a table in one place."""
    data = session.range(0, ROWS, 1, 4).selectExpr("id", "rand() AS a", "rand() AS b").cache()
    data.count()
    ref: dict[str, Any] = {"lake_ref": "main"} if url.startswith("lakefs") else {}
    entry: Any = ArtifactDataset(
        filepath=f"{url}/ours",
        dataset={"type": "spark.SparkDataset", "save_args": {"mode": "overwrite"}},
        credentials=credentials,
        load_args=ref,
        save_args=ref,
        native=True,
    )
    entry.save(data)
    path, options = in_hadoop(entry.backend.engine_access(fragment=entry.location, **ref))
    path = path.removesuffix("ours") + "peer"
    saves = {
        "ours": seconds(lambda: entry.save(data)),
        "peer": seconds(lambda: data.write.options(**options).mode("overwrite").parquet(path)),
    }
    loads = {
        "ours": seconds(lambda: entry.load().groupBy().sum("a").first()),
        "peer": seconds(lambda: session.read.options(**options).parquet(path).groupBy().sum("a").first()),
    }
    for op, calls in (("save", saves), ("load", loads)):
        taken = interleaved(rounds, calls, warm_up=2)
        yield Result(f"Spark, {op}, {url.partition(':')[0]}", "Spark by hand", taken["ours"], taken["peer"], _TARGET)


def main() -> int:
    """Take the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.spark", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="statisfactory-benchmarks-")))
        for name in ("s3", "lakefs"):
            (folder / name).mkdir()
        s3 = stack.enter_context(seaweedfs(folder / "s3"))
        lake = stack.enter_context(lakefs(folder / "lakefs"))
        stack.enter_context(without_s3fs())
        session = stack.enter_context(spark("local[2]", folder))
        places = {"s3://benchmarks": s3.credentials, f"lakefs://{lake.new_repository()}": lake.credentials}
        results = [
            result for url, credentials in places.items() for result in measure(session, url, credentials, rounds)
        ]
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
