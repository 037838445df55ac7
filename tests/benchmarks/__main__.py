"""Takes the figures and prints them as a table; ``--help`` tells how to take only some of them."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import cached
from tests.benchmarks.bench import (
    BUCKET,
    COLLECTION,
    KIB,
    LINKED,
    MIB,
    OURS,
    PAIRS,
    WHOLE,
    Bench,
    Lake,
    by_lakefs_spec,
    call,
    seconds_of,
)
from tests.benchmarks.environment import (
    Worker,
    environment,
    plain_requirements,
    throttled,
)
from tests.benchmarks.measure import Result, interleaved, table
from tests.benchmarks.startup import Project


def small_objects(bench: Bench, rounds: int) -> Iterator[Result]:
    """A catalog entry against one bare call of boto3."""
    for size in (KIB, 100 * KIB):
        entry = bench.our_entry(f"small-{size}")
        for work, ours, peer, target in (
            ("save", call(bench.ours, "save", entry, size=size), bench.boto3("put", f"bare-{size}", size=size), 0.8),
            ("load", call(bench.ours, "load", entry), bench.boto3("get", f"bare-{size}"), 0.7),
        ):
            taken = interleaved(rounds * 30, {"ours": ours, "peer": peer}, warm_up=10)
            yield Result(f"S3 {work}, {size // KIB} KiB", "bare boto3", taken["ours"], taken["peer"], target)


def many_entries(bench: Bench, rounds: int) -> Iterator[Result]:
    """A pipeline over 50 small entries against the same catalog with kedro-datasets and s3fs."""

    def catalog(entry: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        return {name: entry(name) for number in range(PAIRS) for name in (f"in_{number}", f"out_{number}")}

    ours = catalog(lambda name: bench.our_entry(f"ours/{name}", "pickle.PickleDataset"))
    theirs = catalog(lambda name: bench.s3fs_entry(f"theirs/{name}", "pickle.PickleDataset"))
    for number in range(PAIRS):
        bench.ours("save", entries=ours, name=f"in_{number}", size=KIB)
        bench.s3fs("save", entries=theirs, name=f"in_{number}", size=KIB)
    for runner, target in (("SequentialRunner", 0.55), ("ThreadRunner", 0.45)):
        peers = {
            name: functools.partial(seconds_of, process, "pipeline", entries=entries, runner=runner, pairs=PAIRS)
            for name, process, entries in (("ours", bench.ours, ours), ("peer", bench.s3fs, theirs))
        }
        taken = interleaved(rounds * 4, peers, warm_up=2)
        yield Result(f"50 small entries, {runner}", "kedro-datasets, s3fs", taken["ours"], taken["peer"], target)


def threads(bench: Bench, rounds: int) -> Iterator[Result]:
    """A small object that is loaded by eight threads at once."""
    entry, times = bench.our_entry("small-threads"), 200
    call(bench.ours, "save", entry, size=100 * KIB)()
    peers = {
        name: call(bench.ours, "load_threads", entry, threads=8, times=times, **more)
        for name, more in (("ours", {}), ("peer", {"bucket": BUCKET, "key": "small-threads"}))
    }
    taken = interleaved(rounds * 2, peers)
    yield Result("S3 load, 100 KiB, 8 threads", "bare boto3", taken["ours"], taken["peer"], 0.45)


def s3_folder(bench: Bench, rounds: int) -> Iterator[Result]:
    """A folder of 1,000 files of 10 KiB against s3fs's own put and get."""
    source, fetched = bench.folder / "many", bench.folder / "many-fetched"
    source.mkdir()
    for number in range(1000):
        (source / f"{number:04}").write_bytes(os.urandom(10 * KIB))
    theirs = bench.s3fs_entry("theirs-many", "")
    for verb, path in (("save", source), ("load", fetched)):
        of_ours: dict[str, Any] = {"url": f"s3://{BUCKET}/ours-many", "credentials": bench.server.credentials}
        of_theirs: dict[str, Any] = {"url": theirs["filepath"], "credentials": theirs["credentials"]}
        peers = {
            name: functools.partial(seconds_of, process, "folder", verb=verb, path=str(path), by=by, **more)
            for name, process, by, more in (
                ("ours", bench.ours, "ours", of_ours),
                ("peer", bench.s3fs, "s3fs", of_theirs),
            )
        }
        taken = interleaved(rounds, peers)
        yield Result(f"S3 {verb} of a folder, 1,000 files", "s3fs", taken["ours"], taken["peer"], 0.5)


def entries(bench: Bench, rounds: int) -> Iterator[Result]:
    """1,000 entries that are made and not used, against those of kedro-datasets."""
    stock = {"type": "pickle.PickleDataset"}
    ours = {"type": OURS, "dataset": "pickle.PickleDataset"}
    s3 = {**ours, "credentials": bench.server.credentials}
    catalogs = {
        name: {f"e{number}": {**entry, "filepath": f"{root}/{number}.pkl"} for number in range(1000)}
        for name, entry, root in (("peer", stock, "/data"), ("local", ours, "/data"), ("S3", s3, "s3://bucket"))
    }
    peers = {
        name: functools.partial(seconds_of, bench.ours, "make_entries", entries=each) for name, each in catalogs.items()
    }
    taken = interleaved(rounds * 2, peers)
    for place, target in (("local", 1.3), ("S3", 1.5)):
        yield Result(f"1,000 entries made, {place}", "kedro-datasets, local", taken[place], taken["peer"], target)


def large_objects(bench: Bench, rounds: int) -> Iterator[Result]:
    """Large objects against s3fs and against boto3's own transfers."""
    for size in bench.large:
        source, fetched = str(bench.file(size)), str(bench.folder / "fetched")
        ours, theirs = bench.our_entry(f"ours-{size}", LINKED), bench.s3fs_entry(f"theirs-{size}", WHOLE)
        for work, peers, targets in (
            (
                "save",
                {
                    "ours": call(bench.ours, "save", ours, path=source),
                    "kedro-datasets, s3fs": call(bench.s3fs, "save", theirs, path=source),
                    "boto3 upload_file": bench.boto3("upload_file", f"bare-{size}", path=source),
                },
                (0.75, 1.0),
            ),
            (
                "load",
                {
                    "ours": call(bench.ours, "load", ours),
                    "kedro-datasets, s3fs": call(bench.s3fs, "load", theirs),
                    "boto3 download_file": bench.boto3("download_file", f"bare-{size}", path=fetched),
                },
                (0.35, 0.5),
            ),
        ):
            taken = interleaved(rounds if size > 256 * MIB else 2 * rounds, peers)
            for peer, target in zip(list(peers)[1:], targets, strict=True):
                yield Result(f"S3 {work}, {size // MIB} MiB", peer, taken["ours"], taken[peer], target)


def slow_connections(bench: Bench, rounds: int) -> Iterator[Result]:
    """Connections of 50 MiB/s with 20 ms added, against one such connection."""
    size = 64 * MIB
    source, fetched = str(bench.file(size)), str(bench.folder / "fetched")
    with throttled(bench.server.endpoint_url, 50, 0.02) as url:
        entry = bench.our_entry("ours-slow", LINKED, url)
        for work, ours, peer in (
            (
                "save",
                call(bench.ours, "save", entry, path=source),
                bench.boto3("put_stream", "slow", url, path=source),
            ),
            ("load", call(bench.ours, "load", entry), bench.boto3("get_stream", "slow", url, path=fetched)),
        ):
            taken = interleaved(rounds, {"ours": ours, "peer": peer})
            yield Result(f"S3 {work}, 64 MiB, slow", "one connection", taken["ours"], taken["peer"], 0.35)


def local_files(bench: Bench, rounds: int) -> Iterator[Result]:
    """Local files of a Kedro project against kedro-datasets; without fsync, whose time is told apart."""
    to_reach = {("save", KIB): 2.0, ("load", KIB): 1.3, ("save", MIB): 1.4, ("load", MIB): 1.15}
    for size, times in ((KIB, 30), (MIB, 10), (200_000_000, 1)):
        paths = {name: str(bench.folder / f"{name}-{size}.pkl") for name in ("ours", "stock")}
        entries = {
            "ours": {"type": OURS, "filepath": paths["ours"], "dataset": "pickle.PickleDataset"},
            "peer": {"type": "pickle.PickleDataset", "filepath": paths["stock"]},
        }
        bench.ours("fsync", mode="off")
        for op in ("save", "load"):
            calls = {name: call(bench.ours, op, entry, size=size) for name, entry in entries.items()}
            taken = interleaved(rounds * times, calls, warm_up=3)
            yield Result(
                f"local {op}, {size / 1000:.0f} kB",
                "kedro-datasets",
                taken["ours"],
                taken["peer"],
                to_reach.get((op, size), 1.10),
            )
        bench.ours("fsync", mode="timed")
        calls = {name: call(bench.ours, "save", entry, size=size) for name, entry in entries.items()}
        taken = interleaved(rounds * times, calls)
        yield Result(f"local save with fsync, {size / 1000:.0f} kB", "the same", taken["ours"], taken["peer"], None)


def partitions(bench: Bench, rounds: int) -> Iterator[Result]:
    """Partitions of 10 KiB against kedro-datasets; on disk without fsync."""
    ours = {"type": OURS, "filepath": str(bench.folder / "ours"), "dataset": COLLECTION}
    theirs = {**COLLECTION, "path": str(bench.folder / "theirs")}
    bench.ours("fsync", mode="off")
    yield from _partitions(bench, rounds, "local", ("kedro-datasets", 2.0), ours, _stock(bench, bench.ours, theirs))
    bench.ours("fsync", mode="timed")


def s3_partitions(bench: Bench, rounds: int) -> Iterator[Result]:
    """The same on S3."""
    ours = {**bench.our_entry("ours-partitions"), "dataset": COLLECTION}
    stock = bench.s3fs_entry("theirs-partitions", "")
    theirs = {**COLLECTION, "path": stock["filepath"], "credentials": stock["credentials"]}
    peer = _stock(bench, bench.s3fs, theirs)
    yield from _partitions(bench, rounds, "S3", ("kedro-datasets, s3fs", 0.35), ours, peer)
    ahead = functools.partial(_stock(bench, bench.ours, {**ours, "read_ahead": 8}), "load")
    taken = interleaved(rounds, {"ours": ahead, "peer": functools.partial(peer, "load")})
    what = f"S3, load of {bench.partitions} partitions, read_ahead: 8"
    yield Result(what, "kedro-datasets, s3fs", taken["ours"], taken["peer"], 0.35)


def lakefs_partitions(bench: Bench, rounds: int) -> Iterator[Result]:
    """The same on lakeFS."""
    for store, lake in bench.lakes.items():
        ours = {**lake.our_entry("ours-partitions"), "dataset": COLLECTION}
        spec = {**lake.spec("theirs-partitions"), "count": bench.partitions, "size": 10 * KIB}
        process = functools.partial(seconds_of, bench.lakefs_spec[store], "lakefs_spec_partitions", **spec)

        def peer(op: str, process: Callable[..., float] = process) -> float:
            return process(verb=op)

        yield from _partitions(bench, rounds, f"lakeFS on {store}", ("lakefs-spec", 0.35), ours, peer)


def _stock(bench: Bench, process: Worker, entry: dict[str, Any]) -> Callable[[str], float]:
    return lambda op: call(process, f"{op}_partitions", entry, count=bench.partitions, size=10 * KIB)()


def _partitions(
    bench: Bench,
    rounds: int,
    place: str,
    target: tuple[str, float],
    ours: dict[str, Any],
    peer: Callable[[str], float],
) -> Iterator[Result]:
    mine = _stock(bench, bench.ours, ours)
    for op in ("save", "load"):
        taken = interleaved(rounds, {"ours": functools.partial(mine, op), "peer": functools.partial(peer, op)})
        what = f"{place}, {op} of {bench.partitions} partitions"
        yield Result(what, target[0], taken["ours"], taken["peer"], target[1])


def lakefs_small_objects(bench: Bench, rounds: int) -> Iterator[Result]:
    """A catalog entry on lakeFS against lakefs-spec, and against one bare request."""
    for store, lake in bench.lakes.items():
        for size in (KIB, 100 * KIB):
            key = f"small-{size}"
            seconds_of(bench.ours, "save", entries={"entry": lake.our_entry(key)}, size=size)
            commit = lake.commit()
            for work, entry, ref, more in (
                ("save", lake.our_entry(key), "", {"size": size}),
                ("load", lake.our_entry(key), "main", {}),
                ("load of a commit", lake.our_entry(key, ref=commit), commit, {}),
            ):
                op = work.partition(" ")[0]
                spec = {**lake.spec(f"spec-{key}" if op == "save" else key, ref or "main"), **more}
                peers: dict[str, Callable[[], float]] = {
                    "ours": call(bench.ours, op, entry, **more),
                    "lakefs-spec": by_lakefs_spec(bench, store, verb=op, **spec),
                    "bare HTTP": functools.partial(
                        seconds_of, bench.ours, "http", **lake.bare(f"bare-{key}" if op == "save" else key, ref, size)
                    ),
                }
                taken = interleaved(rounds * 30, peers, warm_up=10)
                for peer, target in (("lakefs-spec", 0.55), ("bare HTTP", 1.15 if "commit" in work else 1.2)):
                    what = f"lakeFS on {store}, {work}, {size // KIB} KiB"
                    yield Result(what, peer, taken["ours"], taken[peer], target)


def lakefs_large_objects(bench: Bench, rounds: int) -> Iterator[Result]:
    """Large objects on lakeFS against lakefs-spec."""
    size = 64 * MIB
    source = str(bench.file(size))
    for store, lake in bench.lakes.items():
        for op, target in (("save", 0.75), ("load", 0.9)):
            spec = by_lakefs_spec(bench, store, verb=op, path=source, **lake.spec("spec-large"))
            peers: dict[str, Callable[[], float]] = {
                "ours": call(bench.ours, op, lake.our_entry("large", LINKED), path=source),
                "peer": spec,
            }
            taken = interleaved(2 * rounds, peers)
            what = f"lakeFS on {store}, {op}, {size // MIB} MiB"
            yield Result(what, "lakefs-spec", taken["ours"], taken["peer"], target)


def lakefs_transports(bench: Bench, rounds: int) -> Iterator[Result]:
    """The ways of a large object to lakeFS and back, each against a request to lakeFS that carries all of it."""
    for store, lake in bench.lakes.items():
        for size in (64 * MIB, 256 * MIB):
            source = str(bench.file(size))
            for op in ("save", "load"):

                def through(allowed: bool, op: str = op, lake: Lake = lake, source: str = source) -> float:
                    bench.ours("sign", allowed=allowed)
                    return call(bench.ours, op, lake.our_entry(f"signed-{allowed}", LINKED), path=source)()

                peers: dict[str, Callable[[], float]] = {
                    "raw": functools.partial(through, False),
                    "gateway": call(bench.ours, op, lake.gateway_entry("gateway", LINKED), path=source),
                    **({"signed": functools.partial(through, True)} if store == "S3" else {}),
                }
                taken = interleaved(2 * rounds, peers)
                for way in list(peers)[1:]:
                    what = f"lakeFS on {store}, {op} by {way}, {size // MIB} MiB"
                    yield Result(what, "raw body", taken[way], taken["raw"], None)
    bench.ours("sign", allowed=None)


def startup(bench: Bench, rounds: int) -> Iterator[Result]:
    """A run without remote entries, with the package installed and without it."""
    import kedro

    python = environment(bench.cache / "plain", plain_requirements())
    project = Project(bench.folder / "startup", python, kedro.__version__)
    taken = interleaved(rounds * 3, {"ours": lambda: project.run(True)[1], "peer": lambda: project.run(False)[1]})
    yield Result("kedro run, processor", "without the package", taken["ours"], taken["peer"], 0.02, True)


ROWS = (
    small_objects,
    many_entries,
    threads,
    s3_folder,
    entries,
    large_objects,
    slow_connections,
    local_files,
    partitions,
    s3_partitions,
    lakefs_partitions,
    startup,
    lakefs_small_objects,
    lakefs_large_objects,
    lakefs_transports,
    *cached.ROWS,
)


def main() -> int:
    """Take the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"which: {', '.join(row.__name__ for row in ROWS)}; all when absent")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, nargs="+", default=[64, 1024], metavar="MIB")
    parser.add_argument("--partitions", type=int, default=1000)
    arguments = parser.parse_args()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "kedro-statisfactory", "benchmarks")
    cache.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="statisfactory-benchmarks-")))
        bench = Bench(stack, folder, cache, [size * MIB for size in arguments.large], arguments.partitions)
        for row in ROWS:
            if not arguments.rows or row.__name__ in arguments.rows:
                for result in row(bench, arguments.rounds):
                    results.append(result)
                    print(result.line(), file=sys.stderr, flush=True)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
