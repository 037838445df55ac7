"""Rows about the cache: what does not travel again, and what it costs to keep that."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from tests.benchmarks.bench import COPIED, KIB, LINKED, MIB, Bench, call, seconds_of
from tests.benchmarks.environment import throttled, worker
from tests.benchmarks.measure import Result, interleaved

_CHAIN, _HANDED_ON = 10, 64 * MIB


def _folder(bench: Bench) -> str:
    return str(bench.folder / "cache")


def second_loads(bench: Bench, rounds: int) -> Iterator[Result]:
    """An object that has not changed since it was loaded, against its first load."""
    for size in bench.large:
        for place, entry in (
            ("S3", bench.our_entry(f"again-{size}", LINKED)),
            *((f"lakeFS on {store}", lake.our_entry(f"again-{size}", LINKED)) for store, lake in bench.lakes.items()),
        ):
            yield _second_load(bench, rounds, f"{place}, second load, {size // MIB} MiB", entry, size, 0.15)


def slow_second_loads(bench: Bench, rounds: int) -> Iterator[Result]:
    """The same where each connection brings 50 MiB/s, after 20 ms."""
    lake = bench.lakes["disk"]  # which gives everything itself
    for size in bench.large:
        with throttled(bench.server.endpoint_url, 50, 0.02) as url:
            entry = bench.our_entry(f"again-{size}", LINKED, url)
            yield _second_load(bench, rounds, f"S3, second load, {size // MIB} MiB, slow", entry, size, 0.05)
        with throttled(lake.server.endpoint_url, 50, 0.02) as url:
            entry = lake.our_entry(f"again-{size}", LINKED)
            entry["credentials"] = {**entry["credentials"], "endpoint_url": url}
            yield _second_load(bench, rounds, f"lakeFS, second load, {size // MIB} MiB, slow", entry, size, 0.05)


def _second_load(bench: Bench, rounds: int, work: str, entry: dict[str, Any], size: int, target: float) -> Result:
    bench.ours("cache", folder="off")
    call(bench.ours, "save", entry, path=str(bench.file(size)))()
    load, samples = call(bench.ours, "load", entry), dict[str, list[float]](first=[], second=[])
    for _ in range(rounds):
        bench.ours("cache", folder=_folder(bench), empty=True)
        for each in samples.values():
            each.append(load())
    bench.ours("cache", folder="off")
    return Result(work, "its first load", samples["second"], samples["first"], target)


def filling(bench: Bench, rounds: int) -> Iterator[Result]:
    """A load that fills the cache, against one that keeps nothing."""
    size = bench.large[-1]
    for place, entry in (
        ("S3", bench.our_entry("filling", LINKED)),
        *((f"lakeFS on {store}", lake.our_entry("filling", LINKED)) for store, lake in bench.lakes.items()),
    ):
        call(bench.ours, "save", entry, path=str(bench.file(size)))()
        load = call(bench.ours, "load", entry)

        def with_cache(folder: str, load: Callable[[], float] = load) -> float:
            bench.ours("cache", folder=folder, empty=folder != "off")
            return load()

        peers = {
            name: functools.partial(with_cache, folder) for name, folder in (("ours", _folder(bench)), ("peer", "off"))
        }
        taken = interleaved(2 * rounds, peers)
        bench.ours("cache", folder="off")
        yield Result(
            f"{place}, load with the cache, {size // MIB} MiB", "without it", taken["ours"], taken["peer"], 1.05
        )


def handing_on(bench: Bench, rounds: int) -> Iterator[Result]:
    """A run whose nodes hand an object on, against the same without the cache."""
    entries = {f"e{number}": bench.our_entry(f"chain/e{number}", "pickle.PickleDataset") for number in range(_CHAIN)}

    def run(folder: str) -> float:
        bench.ours("cache", folder=folder, empty=folder != "off")
        return seconds_of(bench.ours, "chain", entries=entries, nodes=_CHAIN, size=_HANDED_ON)

    taken = interleaved(rounds, {"ours": lambda: run(_folder(bench)), "peer": lambda: run("off")})
    bench.ours("cache", folder="off")
    what = f"S3, run of {_CHAIN} nodes that hand on {_HANDED_ON // MIB} MiB"
    yield Result(what, "without the cache", taken["ours"], taken["peer"], 0.6)


def reproduced(bench: Bench, rounds: int) -> Iterator[Result]:
    """A run on lakeFS that saves once more what another has saved, against that."""
    size = bench.large[-1]
    for store, lake in bench.lakes.items():
        where = f"/repositories/{lake.repository}/branches"
        samples = dict[str, list[float]](first=[], again=[])
        for round_ in range(rounds):
            entry = lake.our_entry(f"reproduced-{round_}", COPIED)
            bench.ours("cache", folder=_folder(bench), empty=True)
            for name, each in samples.items():
                branch, source = f"run-{name}-{round_}", str(bench.file(size))
                lake.server.call("POST", where, {"name": branch, "source": "main"})
                more = {"host": f"{lake.server.endpoint_url}/api/v1", "repository": lake.repository, "branch": branch}
                each.append(seconds_of(bench.ours, "reproduce", entries={"entry": entry}, path=source, **more))
                if name == "first":
                    lake.commit()  # of what other rows have left on main
                    lake.server.call("POST", f"{where}/{branch}/commits", {"message": "a benchmark"})
                    lake.server.call("POST", f"/repositories/{lake.repository}/refs/{branch}/merge/main", {})
        bench.ours("cache", folder="off")
        what = f"lakeFS on {store}, save of a run that reproduces {size // MIB} MiB"
        yield Result(what, "the first such run", samples["again"], samples["first"], 0.3)


def memory(bench: Bench, rounds: int) -> Iterator[Result]:
    """The most that a transfer of the largest object adds to the process, without the cache and with it."""
    for folder in ("off", _folder(bench)):
        yield from _memory(bench, rounds, "S3", functools.partial(bench.our_entry, dataset=COPIED), folder)


def lakefs_memory(bench: Bench, rounds: int) -> Iterator[Result]:
    """The same on lakeFS."""
    for store, lake in bench.lakes.items():
        for folder in ("off", _folder(bench)):
            entry = functools.partial(lake.our_entry, dataset=COPIED)
            yield from _memory(bench, rounds, f"lakeFS on {store}", entry, folder)


def _memory(
    bench: Bench, rounds: int, place: str, entry: Callable[[str], dict[str, Any]], folder: str
) -> Iterator[Result]:
    """Each time in a process of its own: one that has moved a large object may still hold memory for the next."""
    size = bench.large[-1]
    small = {"entries": {"entry": entry("memory-small")}, "path": str(bench.file(KIB))}
    large = {"entries": {"entry": entry("memory")}, "path": str(bench.file(size))}
    for op in ("save", "load"):
        taken = []
        for _ in range(max(2, rounds // 2)):
            with worker(sys.executable, bench.folder / "memory.log") as process:
                process("pin_branch")
                process("cache", folder=folder, empty=op == "load" and folder != "off")
                for warm_up in ("save", "load"):
                    process(warm_up, **small)
                taken.append(float(process("memory", do={"op": op, **large})["seconds"]))
        work = f"memory, {place} {op}, {size // MIB} MiB{', cache' if folder != 'off' else ''}"
        yield Result(work, "before it", taken, [0.0] * len(taken), 64 * MIB, True, "B")


ROWS = (second_loads, slow_second_loads, filling, handing_on, reproduced, memory, lakefs_memory)
