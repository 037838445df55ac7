"""Every runner of Kedro, with every way to start a process, in every place."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, SharedMemoryDataCatalog
from kedro.pipeline import Pipeline, node, pipeline
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, ThreadRunner

from kedro_statisfactory.backends.cache.copies import LEAST
from kedro_statisfactory.backends.s3 import reading
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.session import Session
from tests.datasets.conftest import Place
from tests.servers.s3 import S3Server

ROOT = Path(__file__).parents[2]

WIDTH = 6


def add_one(value: dict[str, int]) -> dict[str, int]:
    """A node; at the top of a module because spawned processes import it."""
    return {"n": value["n"] + 1}


def total(*values: dict[str, int]) -> dict[str, int]:
    """The node at the end."""
    return {"n": sum(value["n"] for value in values)}


def _pipeline() -> Pipeline:
    fan = [node(add_one, "start", f"mid_{number}", name=f"mid_{number}") for number in range(WIDTH)]
    return pipeline([*fan, node(total, [f"mid_{number}" for number in range(WIDTH)], "end", name="end")])


def _catalog(place: Place, kind: type[DataCatalog] = DataCatalog) -> DataCatalog:
    names = ["start", "end", *(f"mid_{number}" for number in range(WIDTH))]
    catalog = kind.from_config({name: place.entry(f"{name}.json", dataset="json.JSONDataset") for name in names})
    catalog.save("start", {"n": 1})  # the client of this process is warm before any fork
    assert catalog.load("start") == {"n": 1}
    return catalog


@pytest.mark.parametrize("is_async", [False, True], ids=["", "async"])
@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner])
def test_runners_in_one_process(place: Place, runner: type[AbstractRunner], is_async: bool) -> None:
    options: dict[str, Any] = {"is_async": is_async} if runner is SequentialRunner else {}
    catalog = _catalog(place)
    runner(**options).run(_pipeline(), catalog)
    assert catalog.load("end") == {"n": 2 * WIDTH}


# Processes that are not forked get the same in each place, however they are started.
@pytest.mark.parametrize(
    ("place", "start_method"),
    [
        *[(place, "fork") for place in ("local", "s3", "lakefs", "lakefs on s3")],
        *[("local", "spawn"), ("s3", "forkserver"), ("lakefs", "forkserver"), ("lakefs on s3", "spawn")],
    ],
    indirect=["place"],
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes(place: Place, start_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDRO_MP_CONTEXT", start_method)
    monkeypatch.syspath_prepend(ROOT)  # where processes that inherit nothing find these functions
    previous = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(start_method, force=True)
    try:
        catalog = _catalog(place, SharedMemoryDataCatalog)
        ParallelRunner(max_workers=2).run(_pipeline(), catalog)
    finally:
        multiprocessing.set_start_method(previous, force=True)
    assert catalog.load("end") == {"n": 2 * WIDTH}


def test_a_fork_makes_its_own_client(seaweed: S3Server) -> None:
    client = s3_client(Session(seaweed.credentials))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            own = s3_client(Session(seaweed.credentials))
            os.write(writer, b"own" if own is not client else b"same")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 4) == b"own"
    os.close(reader)
    os.close(writer)
    assert s3_client(Session(seaweed.credentials)) is client


def longer(text: str) -> str:
    """A node that hands on what is large enough to be kept in the cache."""
    return f"{text}x"


@pytest.mark.once
@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner, ParallelRunner])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_what_a_node_has_saved_does_not_travel_to_the_next_one(
    seaweed: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: type[AbstractRunner]
) -> None:
    monkeypatch.setenv("STATISFACTORY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KEDRO_MP_CONTEXT", "fork")  # by which other processes, too, note what travels
    travelled = tmp_path / "travelled"
    travelled.touch()
    write = reading._write

    def noting(response: Any, target: Path, *rest: Any) -> int:
        with travelled.open("a") as file:
            file.write(f"{target.name}\n")
        return write(response, target, *rest)

    monkeypatch.setattr(reading, "_write", noting)
    kind = SharedMemoryDataCatalog if runner is ParallelRunner else DataCatalog
    entry = {
        "type": "kedro_statisfactory.ArtifactDataset",
        "dataset": "text.TextDataset",
        "credentials": seaweed.credentials,
    }
    catalog = kind.from_config({name: {**entry, "filepath": f"s3://{bucket}/{name}"} for name in "abcd"})
    text = "ü" * LEAST
    catalog.save("a", text)
    options: dict[str, Any] = {} if runner is SequentialRunner else {"max_workers": 2}
    runner(**options).run(pipeline([node(longer, one, other) for one, other in ("ab", "bc", "cd")]), catalog)
    assert catalog.load("d") == f"{text}xxx"
    assert travelled.read_text() == ""
    catalog["a"].save("small")  # the negative control: what is not in the cache travels
    assert catalog.load("a") == "small"
    assert travelled.read_text() == "a\n"
