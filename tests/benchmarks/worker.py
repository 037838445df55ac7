"""A process that does one measured thing per line of its standard input, and answers with one line of JSON.

It runs in our environment and, unchanged, in those of others; so neither it nor what it imports of the benchmarks
imports anything at its top that one of them lacks.
"""

from __future__ import annotations

import cProfile
import gc
import io
import json
import logging
import os
import pstats
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks import held, peers

_replaced: dict[str, Any] = {}
_real_fsync = os.fsync
_fsync_seconds = 0.0


def _transport_seconds(start: float, end: float, verb: str) -> float:
    """Without the time of the format that tells when it was called; all of it for other formats."""
    formats = sys.modules.get("tests.benchmarks.formats")
    if formats and verb == "load" and start < formats.Linked.called_at < end:
        return float(formats.Linked.called_at - start)
    if formats and verb == "save" and start < formats.Linked.returned_at < end:
        return float(end - formats.Linked.returned_at)
    return end - start


def load(entries: Mapping[str, Any], name: str = "entry", **_: Any) -> dict[str, float]:
    """Load an entry."""
    catalog = held.catalog(entries)
    catalog.get(name)
    start = time.perf_counter()
    data = catalog.load(name)
    end = time.perf_counter()
    del data
    return {"seconds": _transport_seconds(start, end, "load"), "total": end - start}


def save(entries: Mapping[str, Any], name: str = "entry", size: int = 0, path: str = "", **_: Any) -> dict[str, float]:
    """Save ``size`` bytes, or the file at ``path``, in an entry."""
    catalog = held.catalog(entries)
    catalog.get(name)
    data = Path(path) if path else held.payload(size)
    before = _fsync_seconds
    start = time.perf_counter()
    catalog.save(name, data)
    end = time.perf_counter()
    return {
        "seconds": _transport_seconds(start, end, "save"),
        "total": end - start,
        "fsync": _fsync_seconds - before,
    }


def save_partitions(entries: Mapping[str, Any], count: int, size: int, **_: Any) -> dict[str, float]:
    """Save ``count`` partitions of ``size`` bytes."""
    catalog = held.catalog(entries)
    catalog.get("entry")
    data = {f"{number:05}": held.payload(size) for number in range(count)}
    start = time.perf_counter()
    catalog.save("entry", data)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "total": seconds}


def load_partitions(entries: Mapping[str, Any], count: int, **_: Any) -> dict[str, float]:
    """Load all partitions, one after the other."""
    catalog = held.catalog(entries)
    catalog.get("entry")
    start = time.perf_counter()
    loaded = [load() for load in catalog.load("entry").values()]
    seconds = time.perf_counter() - start
    if len(loaded) != count:
        raise RuntimeError(f"{len(loaded)} partitions instead of {count}")
    return {"seconds": seconds, "total": seconds}


def load_threads(
    entries: Mapping[str, Any], threads: int, times: int, bucket: str = "", key: str = "", **_: Any
) -> dict[str, float]:
    """Load an entry from several threads at once; with a bucket by boto3's client, made of the entry's credentials."""
    from concurrent.futures import ThreadPoolExecutor

    if bucket:
        client = held.client(entries["entry"]["credentials"])

        def once(_number: int) -> object:
            return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    else:
        catalog = held.catalog(entries)
        catalog.get("entry")

        def once(_number: int) -> object:
            return catalog.load("entry")

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(once, range(threads)))
        start = time.perf_counter()
        list(executor.map(once, range(times)))
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "total": seconds}


def folder(verb: str, by: str, path: str, url: str, credentials: Mapping[str, Any], **_: Any) -> dict[str, float]:
    """Store or fetch a folder by our backend or by s3fs."""
    if by == "s3fs":
        import s3fs  # type: ignore[import-not-found, unused-ignore]

        files = s3fs.S3FileSystem(**credentials, skip_instance_cache=True)
        start = time.perf_counter()
        if verb == "save":
            files.put(f"{path}/", f"{url}/", recursive=True)
        else:
            files.get(f"{url}/", path, recursive=True)
    else:
        from kedro_statisfactory.backends import S3Backend
        from kedro_statisfactory.location import parse
        from kedro_statisfactory.session import Session

        backend = S3Backend(Session(credentials))
        start = time.perf_counter()
        if verb == "save":
            backend.upload(source=Path(path), fragment=parse(url))
        else:
            backend.download(target=Path(path), fragment=parse(url))
    seconds = time.perf_counter() - start
    if verb == "load":
        shutil.rmtree(path)
    return {"seconds": seconds, "total": seconds}


def make_entries(entries: Mapping[str, Any], **_: Any) -> dict[str, float]:
    """Make all entries of a catalog."""
    from kedro.io import DataCatalog

    start = time.perf_counter()
    catalog = DataCatalog.from_config(json.loads(json.dumps(entries)))
    for name in entries:
        catalog.get(name)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "total": seconds}


def pin_branch(**_: Any) -> dict[str, float]:
    """Let git be on the branch ``main``, read once as in a run."""
    from kedro_statisfactory import project
    from kedro_statisfactory.project.git import Head

    pinned = project.Project(head=Head("main", None, "a benchmark"))
    project.announce(lambda: pinned)
    return {}


def sign(allowed: bool | None, **_: Any) -> dict[str, float]:
    """Let large objects go past lakeFS by signed URLs, or through it; ``None``: as the server says."""
    from kedro_statisfactory.backends.lakefs.store import LakeFSStore, _Use

    real = _replaced.setdefault("signs", {name: vars(LakeFSStore)[name] for name in ("use", "may_give")})
    fixed = {"use": property(lambda _: _Use(bool(allowed), bool(allowed))), "may_give": property(lambda _: allowed)}
    for name, replacement in (real if allowed is None else fixed).items():
        setattr(LakeFSStore, name, replacement)
    return {}


def pipeline(entries: Mapping[str, Any], runner: str, pairs: int, **_: Any) -> dict[str, float]:
    """Run a pipeline whose nodes each load ``in_…`` and save it as ``out_…``, with a catalog of its own."""
    import kedro.runner
    from kedro.io import DataCatalog
    from kedro.pipeline import node, pipeline

    held.quiet()
    nodes = [node(_same, f"in_{number}", f"out_{number}", name=f"n{number}") for number in range(pairs)]
    start = time.perf_counter()
    catalog = DataCatalog.from_config(json.loads(json.dumps(entries)))
    getattr(kedro.runner, runner)().run(pipeline(nodes), catalog)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "total": seconds}


def _same(data: object) -> object:
    return data


def cache(folder: str, empty: bool = False, **_: Any) -> dict[str, float]:
    """Keep what is moved in a folder, which may be emptied first; ``off``: keep nothing."""
    if empty:
        shutil.rmtree(folder, ignore_errors=True)
    os.environ["STATISFACTORY_CACHE"] = folder
    return {}


def chain(entries: Mapping[str, Any], nodes: int, size: int, **_: Any) -> dict[str, float]:
    """Run a pipeline whose nodes each load what the one before has saved, and save it under another name."""
    from kedro.io import DataCatalog
    from kedro.pipeline import node, pipeline
    from kedro.runner import SequentialRunner

    held.quiet()
    payload = held.payload(size)
    steps = [node(lambda: payload, None, "e0", name="first")]
    steps += [node(_same, f"e{number}", f"e{number + 1}", name=f"n{number}") for number in range(nodes - 1)]
    catalog = DataCatalog.from_config(json.loads(json.dumps(entries)))
    start = time.perf_counter()
    SequentialRunner().run(pipeline(steps), catalog)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "total": seconds}


def reproduce(
    entries: Mapping[str, Any], repository: str, branch: str, path: str, host: str = "", **_: Any
) -> dict[str, float]:
    """Save a file on the hidden branch of a run."""
    from kedro_statisfactory import project
    from kedro_statisfactory.project.git import Head

    entry = json.loads(json.dumps(entries["entry"]))
    pins = {(host, repository): project.Pin(branch, write=branch)}
    pinned = project.Project(head=Head("main", None, "a benchmark"), pins=pins)
    project.announce(lambda: pinned)
    try:
        return save({"entry": entry}, path=path)
    finally:
        pin_branch()


def fsync(mode: str, **_: Any) -> dict[str, float]:
    """Leave fsync as it is but time it (``timed``), or out (``off``)."""

    def timed(descriptor: int) -> None:
        global _fsync_seconds
        start = time.perf_counter()
        _real_fsync(descriptor)
        _fsync_seconds += time.perf_counter() - start

    os.fsync = timed if mode == "timed" else lambda _: None  # type: ignore[assignment]
    return {}


def memory(do: Mapping[str, Any], **_: Any) -> dict[str, float]:
    """Do another command; gives by how many bytes the peak of the process was above what it held before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    answer = COMMANDS[do["op"]](**do)
    return {**answer, "seconds": float(_status("VmHWM") - before)}


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found, name
    return int(found[1]) * 1024


def profile(do: Mapping[str, Any], times: int = 1, sort: str = "tottime", **_: Any) -> dict[str, str]:
    """Do another command under cProfile; gives its 15 first lines."""
    profiler = cProfile.Profile()
    for _number in range(times):
        profiler.enable()
        COMMANDS[do["op"]](**do)
        profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats(sort).print_stats(15)
    return {"text": text.getvalue()}


def clean(path: str, **_: Any) -> dict[str, float]:
    """Remove a file or folder."""
    shutil.rmtree(path) if os.path.isdir(path) else Path(path).unlink(missing_ok=True)
    return {}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each
    for each in (
        load,
        save,
        load_partitions,
        save_partitions,
        peers.boto3,
        load_threads,
        folder,
        make_entries,
        peers.http,
        peers.lakefs_spec,
        peers.lakefs_spec_partitions,
        pin_branch,
        sign,
        pipeline,
        cache,
        chain,
        reproduce,
        fsync,
        memory,
        profile,
        clean,
    )
}


def main() -> None:
    """Answer commands until the input ends."""
    held.quiet()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what others print must not look like an answer
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer: dict[str, Any] = COMMANDS[command["op"]](**command)
        except Exception as error:
            logging.exception("failed: %s", line[:300])
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
