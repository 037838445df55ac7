"""Takes the figures and prints them as a table; ``--help`` tells how to take only some of them."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.environment import (
    Worker,
    environment,
    lakefs_spec_requirements,
    plain_requirements,
    s3fs_requirements,
    throttled,
    worker,
)
from tests.benchmarks.measure import Result, interleaved, table
from tests.benchmarks.startup import Project
from tests.servers.lakefs import LakeFSServer, lakefs
from tests.servers.s3 import S3Server, seaweedfs

KIB, MIB = 1 << 10, 1 << 20
BUCKET = "benchmarks"
PAIRS = 25  # entries that are read, and as many that are written: 50
_OURS = "kedro_statisfactory.ArtifactDataset"
_COLLECTION = {"type": "partitions.PartitionedDataset", "dataset": "pickle.PickleDataset"}
_LINKED, _WHOLE = "tests.benchmarks.formats.Linked", "tests.benchmarks.formats.Whole"


@dataclass(frozen=True)
class Lake:
    """A repository of a lakeFS server, reached in three ways."""

    server: LakeFSServer
    repository: str

    def our_entry(self, key: str, dataset: str | None = None, ref: str | None = None) -> dict[str, Any]:
        return {
            "type": _OURS,
            "filepath": f"lakefs://{self.repository}/{key}",
            "credentials": self.server.credentials,
            **({"dataset": dataset} if dataset else {}),
            **({"load_args": {"lake_ref": ref}} if ref else {}),
        }

    def gateway_entry(self, key: str, dataset: str) -> dict[str, Any]:
        """An entry on S3 that is lakeFS."""
        credentials = {
            "aws_access_key_id": self.server.access_key,
            "aws_secret_access_key": self.server.secret_key,
            "endpoint_url": self.server.endpoint_url,
            "region_name": "us-east-1",
        }
        url = f"s3://{self.repository}/main/{key}"
        return {"type": _OURS, "filepath": url, "credentials": credentials, "dataset": dataset}

    def spec(self, key: str, ref: str = "main") -> dict[str, Any]:
        """Arguments for a worker with lakefs-spec."""
        server = self.server
        storage = {"host": server.endpoint_url, "username": server.access_key, "password": server.secret_key}
        return {"storage": storage, "url": f"lakefs://{self.repository}/{ref}/{key}"}

    def bare(self, key: str, ref: str = "", size: int = 0) -> dict[str, Any]:
        """Arguments for one request: a read at ``ref`` or, without one, a write of ``size`` bytes to ``main``."""
        place = f"refs/{ref}" if ref else "branches/main"
        return {
            "verb": "GET" if ref else "POST",
            "url": f"{self.server.endpoint_url}/api/v1/repositories/{self.repository}/{place}/objects?path={key}",
            "headers": {"Authorization": self.server.basic_auth, "Content-Type": "application/octet-stream"},
            "size": 0 if ref else size,
        }

    def commit(self) -> str:
        """Commit what was written to ``main``; gives the id of the commit."""
        where = f"/repositories/{self.repository}/branches/main/commits"
        return str(self.server.call("POST", where, {"message": "a benchmark"}).json()["id"])


class Bench:
    """The servers, and a process of each side; each starts when a row asks for it."""

    def __init__(
        self, stack: contextlib.ExitStack, folder: Path, cache: Path, large: list[int], partitions: int
    ) -> None:
        self._stack, self.folder, self.cache, self.large = stack, folder, cache, large
        self.partitions = partitions

    @functools.cached_property
    def server(self) -> S3Server:
        return self._stack.enter_context(seaweedfs(self._folder("s3")))

    @functools.cached_property
    def lakes(self) -> dict[str, Lake]:
        """A repository on each block store."""
        servers = {
            "disk": self._stack.enter_context(lakefs(self._folder("lakefs-disk"))),
            "S3": self._stack.enter_context(lakefs(self._folder("lakefs-s3"), self.server)),
        }
        self.ours("pin_branch")
        return {store: Lake(server, server.new_repository("benchmarks")) for store, server in servers.items()}

    @functools.cached_property
    def ours(self) -> Worker:
        return self._stack.enter_context(worker(sys.executable, self.folder / "ours.log"))

    @functools.cached_property
    def s3fs(self) -> Worker:
        return self._peer("s3fs", s3fs_requirements())

    @functools.cached_property
    def lakefs_spec(self) -> dict[str, Worker]:
        """A process for each block store: what one server can do, the client believes of all in its process."""
        return {store: self._peer("lakefs-spec", lakefs_spec_requirements(), store) for store in self.lakes}

    def _peer(self, name: str, requirements: list[str], of: str = "") -> Worker:
        python = environment(self.cache / name, requirements)
        return self._stack.enter_context(worker(python, self.folder / f"{name}{of}.log"))

    def _folder(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    def our_entry(self, key: str, dataset: str | None = None, endpoint_url: str = "") -> dict[str, Any]:
        credentials = {**self.server.credentials, "endpoint_url": endpoint_url or self.server.endpoint_url}
        config: dict[str, Any] = {"type": _OURS, "filepath": f"s3://{BUCKET}/{key}", "credentials": credentials}
        return {**config, **({"dataset": dataset} if dataset else {})}

    def s3fs_entry(self, key: str, kind: str) -> dict[str, Any]:
        return {
            "type": kind,
            "filepath": f"s3://{BUCKET}/{key}",
            "credentials": {
                "key": self.server.access_key,
                "secret": self.server.secret_key,
                "client_kwargs": {"endpoint_url": self.server.endpoint_url},
            },
        }

    def boto3(self, verb: str, key: str, endpoint_url: str = "", **more: Any) -> Callable[[], float]:
        credentials = {**self.server.credentials, "endpoint_url": endpoint_url or self.server.endpoint_url}
        return lambda: float(
            self.ours("boto3", verb=verb, credentials=credentials, bucket=BUCKET, key=key, **more)["seconds"]
        )

    def file(self, size: int) -> Path:
        """A file of so many random bytes."""
        path = self.folder / f"source-{size}"
        if not path.exists():
            with path.open("wb") as file:
                for _ in range(0, size, MIB):
                    file.write(os.urandom(min(MIB, size)))
        return path


def _seconds(process: Worker, op: str, **arguments: Any) -> float:
    return float(process(op, **arguments)["seconds"])


def _call(process: Worker, op: str, entry: dict[str, Any], **more: Any) -> Callable[[], float]:
    return functools.partial(_seconds, process, op, entries={"entry": entry}, **more)


def _spec(bench: Bench, store: str, **arguments: Any) -> Callable[[], float]:
    return functools.partial(_seconds, bench.lakefs_spec[store], "lakefs_spec", **arguments)


def small_objects(bench: Bench, rounds: int) -> Iterator[Result]:
    """A catalog entry against one bare call of boto3."""
    for size in (KIB, 100 * KIB):
        entry = bench.our_entry(f"small-{size}")
        for work, ours, peer, target in (
            ("save", _call(bench.ours, "save", entry, size=size), bench.boto3("put", f"bare-{size}", size=size), 0.8),
            ("load", _call(bench.ours, "load", entry), bench.boto3("get", f"bare-{size}"), 0.7),
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
            name: functools.partial(_seconds, process, "pipeline", entries=entries, runner=runner, pairs=PAIRS)
            for name, process, entries in (("ours", bench.ours, ours), ("peer", bench.s3fs, theirs))
        }
        taken = interleaved(rounds * 4, peers, warm_up=2)
        yield Result(f"50 small entries, {runner}", "kedro-datasets, s3fs", taken["ours"], taken["peer"], target)


def threads(bench: Bench, rounds: int) -> Iterator[Result]:
    """A small object that is loaded by eight threads at once."""
    entry, times = bench.our_entry("small-threads"), 200
    _call(bench.ours, "save", entry, size=100 * KIB)()
    peers = {
        name: _call(bench.ours, "load_threads", entry, threads=8, times=times, **more)
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
            name: functools.partial(_seconds, process, "folder", verb=verb, path=str(path), by=by, **more)
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
    ours = {"type": _OURS, "dataset": "pickle.PickleDataset"}
    s3 = {**ours, "credentials": bench.server.credentials}
    catalogs = {
        name: {f"e{number}": {**entry, "filepath": f"{root}/{number}.pkl"} for number in range(1000)}
        for name, entry, root in (("peer", stock, "/data"), ("local", ours, "/data"), ("S3", s3, "s3://bucket"))
    }
    peers = {
        name: functools.partial(_seconds, bench.ours, "make_entries", entries=each) for name, each in catalogs.items()
    }
    taken = interleaved(rounds * 2, peers)
    for place, target in (("local", 1.3), ("S3", 1.5)):
        yield Result(f"1,000 entries made, {place}", "kedro-datasets, local", taken[place], taken["peer"], target)


def large_objects(bench: Bench, rounds: int) -> Iterator[Result]:
    """Large objects against s3fs and against boto3's own transfers."""
    for size in bench.large:
        source, fetched = str(bench.file(size)), str(bench.folder / "fetched")
        ours, theirs = bench.our_entry(f"ours-{size}", _LINKED), bench.s3fs_entry(f"theirs-{size}", _WHOLE)
        for work, peers, targets in (
            (
                "save",
                {
                    "ours": _call(bench.ours, "save", ours, path=source),
                    "kedro-datasets, s3fs": _call(bench.s3fs, "save", theirs, path=source),
                    "boto3 upload_file": bench.boto3("upload_file", f"bare-{size}", path=source),
                },
                (0.75, 1.0),
            ),
            (
                "load",
                {
                    "ours": _call(bench.ours, "load", ours),
                    "kedro-datasets, s3fs": _call(bench.s3fs, "load", theirs),
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
        entry = bench.our_entry("ours-slow", _LINKED, url)
        for work, ours, peer in (
            (
                "save",
                _call(bench.ours, "save", entry, path=source),
                bench.boto3("put_stream", "slow", url, path=source),
            ),
            ("load", _call(bench.ours, "load", entry), bench.boto3("get_stream", "slow", url, path=fetched)),
        ):
            taken = interleaved(rounds, {"ours": ours, "peer": peer})
            yield Result(f"S3 {work}, 64 MiB, slow", "one connection", taken["ours"], taken["peer"], 0.35)


def local_files(bench: Bench, rounds: int) -> Iterator[Result]:
    """Local files against kedro-datasets; without fsync, whose time is told apart."""
    for size, times in ((KIB, 30), (MIB, 10), (200_000_000, 1)):
        paths = {name: str(bench.folder / f"{name}-{size}.pkl") for name in ("ours", "stock")}
        entries = {
            "ours": {"type": _OURS, "filepath": paths["ours"], "dataset": "pickle.PickleDataset"},
            "peer": {"type": "pickle.PickleDataset", "filepath": paths["stock"]},
        }
        bench.ours("fsync", mode="off")
        for op in ("save", "load"):
            calls = {name: _call(bench.ours, op, entry, size=size) for name, entry in entries.items()}
            taken = interleaved(rounds * times, calls, warm_up=3)
            yield Result(f"local {op}, {size / 1000:.0f} kB", "kedro-datasets", taken["ours"], taken["peer"], 1.10)
        bench.ours("fsync", mode="timed")
        calls = {name: _call(bench.ours, "save", entry, size=size) for name, entry in entries.items()}
        taken = interleaved(rounds * times, calls)
        yield Result(f"local save with fsync, {size / 1000:.0f} kB", "the same", taken["ours"], taken["peer"], None)


def partitions(bench: Bench, rounds: int) -> Iterator[Result]:
    """Partitions of 10 KiB against kedro-datasets; on disk without fsync."""
    ours = {"type": _OURS, "filepath": str(bench.folder / "ours"), "dataset": _COLLECTION}
    theirs = {**_COLLECTION, "path": str(bench.folder / "theirs")}
    bench.ours("fsync", mode="off")
    yield from _partitions(bench, rounds, "local", ("kedro-datasets", 2.0), ours, _stock(bench, bench.ours, theirs))
    bench.ours("fsync", mode="timed")


def s3_partitions(bench: Bench, rounds: int) -> Iterator[Result]:
    """The same on S3."""
    ours = {**bench.our_entry("ours-partitions"), "dataset": _COLLECTION}
    stock = bench.s3fs_entry("theirs-partitions", "")
    theirs = {**_COLLECTION, "path": stock["filepath"], "credentials": stock["credentials"]}
    peer = _stock(bench, bench.s3fs, theirs)
    yield from _partitions(bench, rounds, "S3", ("kedro-datasets, s3fs", 0.35), ours, peer)


def lakefs_partitions(bench: Bench, rounds: int) -> Iterator[Result]:
    """The same on lakeFS."""
    for store, lake in bench.lakes.items():
        ours = {**lake.our_entry("ours-partitions"), "dataset": _COLLECTION}
        spec = {**lake.spec("theirs-partitions"), "count": bench.partitions, "size": 10 * KIB}
        process = functools.partial(_seconds, bench.lakefs_spec[store], "lakefs_spec_partitions", **spec)

        def peer(op: str, process: Callable[..., float] = process) -> float:
            return process(verb=op)

        yield from _partitions(bench, rounds, f"lakeFS on {store}", ("lakefs-spec", 0.35), ours, peer)


def _stock(bench: Bench, process: Worker, entry: dict[str, Any]) -> Callable[[str], float]:
    return lambda op: _call(process, f"{op}_partitions", entry, count=bench.partitions, size=10 * KIB)()


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


def memory(bench: Bench, rounds: int) -> Iterator[Result]:
    """The most that a transfer of the largest object adds to the process."""
    yield from _memory(bench, rounds, "S3", functools.partial(bench.our_entry, dataset=_LINKED))


def lakefs_memory(bench: Bench, rounds: int) -> Iterator[Result]:
    """The same on lakeFS."""
    for store, lake in bench.lakes.items():
        yield from _memory(bench, rounds, f"lakeFS on {store}", functools.partial(lake.our_entry, dataset=_LINKED))


def _memory(bench: Bench, rounds: int, place: str, entry: Callable[[str], dict[str, Any]]) -> Iterator[Result]:
    """Each time in a process of its own: one that has moved a large object may still hold memory for the next."""
    size = bench.large[-1]
    small = {"entries": {"entry": entry("memory-small")}, "path": str(bench.file(KIB))}
    large = {"entries": {"entry": entry("memory")}, "path": str(bench.file(size))}
    for op in ("save", "load"):
        taken = []
        for _ in range(max(2, rounds // 2)):
            with worker(sys.executable, bench.folder / "memory.log") as process:
                process("pin_branch")
                for warm_up in ("save", "load"):
                    process(warm_up, **small)
                taken.append(float(process("memory", do={"op": op, **large})["seconds"]))
        work = f"memory, {place} {op}, {size // MIB} MiB"
        yield Result(work, "before it", taken, [0.0] * len(taken), 64 * MIB, True, "B")


def lakefs_small_objects(bench: Bench, rounds: int) -> Iterator[Result]:
    """A catalog entry on lakeFS against lakefs-spec, and against one bare request."""
    for store, lake in bench.lakes.items():
        for size in (KIB, 100 * KIB):
            key = f"small-{size}"
            _seconds(bench.ours, "save", entries={"entry": lake.our_entry(key)}, size=size)
            commit = lake.commit()
            for work, entry, ref, more in (
                ("save", lake.our_entry(key), "", {"size": size}),
                ("load", lake.our_entry(key), "main", {}),
                ("load of a commit", lake.our_entry(key, ref=commit), commit, {}),
            ):
                op = work.partition(" ")[0]
                spec = {**lake.spec(f"spec-{key}" if op == "save" else key, ref or "main"), **more}
                peers: dict[str, Callable[[], float]] = {
                    "ours": _call(bench.ours, op, entry, **more),
                    "lakefs-spec": _spec(bench, store, verb=op, **spec),
                    "bare HTTP": functools.partial(
                        _seconds, bench.ours, "http", **lake.bare(f"bare-{key}" if op == "save" else key, ref, size)
                    ),
                }
                taken = interleaved(rounds * 30, peers, warm_up=10)
                # A commit is read so fast that what a client does for itself is a large share: no target for that.
                for peer, target in (("lakefs-spec", 0.55), ("bare HTTP", None if "commit" in work else 1.2)):
                    what = f"lakeFS on {store}, {work}, {size // KIB} KiB"
                    yield Result(what, peer, taken["ours"], taken[peer], target)


def lakefs_large_objects(bench: Bench, rounds: int) -> Iterator[Result]:
    """Large objects on lakeFS against lakefs-spec."""
    size = 64 * MIB
    source = str(bench.file(size))
    for store, lake in bench.lakes.items():
        for op, target in (("save", 0.75), ("load", 0.9)):
            spec = _spec(bench, store, verb=op, path=source, **lake.spec("spec-large"))
            peers: dict[str, Callable[[], float]] = {
                "ours": _call(bench.ours, op, lake.our_entry("large", _LINKED), path=source),
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
                    return _call(bench.ours, op, lake.our_entry(f"signed-{allowed}", _LINKED), path=source)()

                peers: dict[str, Callable[[], float]] = {
                    "raw": functools.partial(through, False),
                    "gateway": _call(bench.ours, op, lake.gateway_entry("gateway", _LINKED), path=source),
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
    memory,
    startup,
    lakefs_small_objects,
    lakefs_large_objects,
    lakefs_memory,
    lakefs_transports,
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
