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
from unittest import mock

from urllib3.connection import HTTPConnection

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.datasets.hadoop import in_hadoop
from tests.benchmarks.measure import Result, interleaved, table
from tests.servers.lakefs import lakefs
from tests.servers.s3 import seaweedfs
from tests.servers.spark import spark, without_s3fs

_TARGET = 1.15
_TURNS = {"save": 1, "load": 5}  # for each round, since a load takes so much less


@contextlib.contextmanager
def counting() -> Iterator[list[str]]:
    """All requests of this process; those of Spark are another's."""
    found: list[str] = []
    send = HTTPConnection.request

    def record(self: HTTPConnection, method: str, url: str, *more: Any, **options: Any) -> None:
        found.append(f"{method} {url.partition('?')[0]}")
        send(self, method, url, *more, **options)

    with mock.patch.object(HTTPConnection, "request", record):
        yield found


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """What measures some work."""

    def measured() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return measured


def measure(session: Any, url: str, credentials: dict[str, str], most: argparse.Namespace) -> Iterator[Result]:
    """A save and a load of a table in one place, and how many requests of ours each takes."""
    data = session.range(0, most.rows, 1, most.parts).selectExpr("id", "rand() AS a", "rand() AS b").cache()
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
    works: dict[str, dict[str, Callable[[], object]]] = {
        "save": {
            "ours": lambda: entry.save(data),
            "peer": lambda: data.write.options(**options).mode("overwrite").parquet(path),
        },
        "load": {
            "ours": lambda: entry.load().groupBy().sum("a").first(),
            "peer": lambda: session.read.options(**options).parquet(path).groupBy().sum("a").first(),
        },
    }
    place = url.partition(":")[0]
    for op, by in works.items():
        by["peer"]()  # so that there is something to replace
        with counting() as requests:
            by["ours"]()
        calls = {name: seconds(work) for name, work in by.items()}
        taken = interleaved(most.rounds * _TURNS[op], calls, warm_up=2 * _TURNS[op], within=most.seconds)
        told = f"Spark, {op}, {place} ({len(requests)} requests of ours)"
        yield Result(told, "Spark by hand", taken["ours"], taken["peer"], _TARGET)
    data.unpersist()


def main() -> int:
    """Take the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.spark", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=120.0, help="For each line; no round begins later.")
    most = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="statisfactory-benchmarks-")))
        for name in ("s3", "lakefs"):
            (folder / name).mkdir()
        s3 = stack.enter_context(seaweedfs(folder / "s3"))
        lake = stack.enter_context(lakefs(folder / "lakefs"))
        stack.enter_context(without_s3fs())
        session = stack.enter_context(spark("local[2]", folder))
        places = {"s3://benchmarks": s3.credentials, f"lakefs://{lake.new_repository()}": lake.credentials}
        print(table(()), flush=True)
        for url, credentials in places.items():
            for result in measure(session, url, credentials, most):
                print(result.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
