"""Within a run an entry with versions is read at the run's own version, and at one and the same in every process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, DatasetError, SharedMemoryDataCatalog
from kedro.pipeline import Pipeline, node, pipeline
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, ThreadRunner

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.datasets.versions import of_part
from kedro_statisfactory.plugin.hooks import hooks
from tests.datasets.conftest import Place

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

THIS_RUN, ANOTHER_RUN = "2026-01-01T00.00.00.000Z", "2026-12-31T00.00.00.000Z"
Value = dict[str, int]


def make() -> Value:
    """What this run makes."""
    return {"n": 1}


def intrude(_: Value, config: dict[str, Any]) -> Value:
    """Another run saves a newer version."""
    catalog = DataCatalog.from_config({"x": config}, save_version=ANOTHER_RUN)
    catalog.save("x", {"n": 999})
    return {"n": 0}


def read(x: Value, _: Value) -> Value:
    """What this run finds."""
    return x


def begin(nodes: Pipeline, catalog: Any) -> None:
    """What Kedro calls before it runs a pipeline."""
    manager = _create_hook_manager()
    manager.register(hooks)
    manager.hook.before_pipeline_run(run_params={}, pipeline=nodes, catalog=catalog)


def config(place: Place, **more: Any) -> dict[str, Any]:
    return place.entry("x.json", dataset="json.JSONDataset", versioned=True, **more)


def catalog_of(place: Place, version: str = THIS_RUN, **more: Any) -> Any:
    plain = {name: place.entry(f"{name}.json", dataset="json.JSONDataset") for name in ("intruded", "found")}
    catalog = SharedMemoryDataCatalog.from_config({"x": config(place), **plain}, save_version=version, **more)
    catalog["config"] = config(place)
    return catalog


MAKE = node(make, None, "x", name="make")
INTRUDE = node(intrude, ["x", "config"], "intruded", name="intrude")
READ = node(read, ["x", "intruded"], "found", name="read")


@pytest.fixture(params=["fork", "spawn"])
def start_method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """How processes are made."""
    monkeypatch.setenv("KEDRO_MP_CONTEXT", request.param)
    previous = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield
    multiprocessing.set_start_method(previous, force=True)


def test_processes_read_the_version_of_their_run(folder_place: Place, start_method: None) -> None:
    catalog, nodes = catalog_of(folder_place), pipeline([MAKE, INTRUDE, READ])
    begin(nodes, catalog)
    ParallelRunner(max_workers=2).run(nodes, catalog)
    assert catalog.load("found") == {"n": 1}
    assert catalog_of(folder_place).load("x") == {"n": 999}, "outside of the run it is the newest"


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner])
def test_so_does_one_process(folder_place: Place, runner: type[AbstractRunner]) -> None:
    catalog, nodes = catalog_of(folder_place), pipeline([MAKE, INTRUDE, READ])
    begin(nodes, catalog)
    runner().run(nodes, catalog)
    assert catalog.load("found") == {"n": 1}


def test_without_the_run_processes_read_what_is_the_newest(folder_place: Place, start_method: None) -> None:
    """The negative control."""
    catalog, nodes = catalog_of(folder_place), pipeline([MAKE, INTRUDE, READ])
    ParallelRunner(max_workers=2).run(nodes, catalog)
    assert catalog.load("found") == {"n": 999}


def test_what_a_run_only_reads_stays_as_it_was_when_it_began(folder_place: Place, start_method: None) -> None:
    catalog_of(folder_place, "2025").save("x", {"n": 7})
    catalog, nodes = catalog_of(folder_place), pipeline([INTRUDE, READ])
    begin(nodes, catalog)
    ParallelRunner(max_workers=2).run(nodes, catalog)
    assert catalog.load("found") == {"n": 7}


def test_what_an_earlier_run_has_left_is_read_where_this_one_makes_nothing(folder_place: Place) -> None:
    """As with `--only-missing-outputs`, which drops nodes after the run has begun."""
    catalog_of(folder_place, "2025").save("x", {"n": 7})
    catalog = catalog_of(folder_place)
    begin(pipeline([MAKE, INTRUDE, READ]), catalog)
    assert catalog.exists("x")
    rest = pipeline([INTRUDE, READ])
    SequentialRunner().run(rest, catalog)
    assert catalog.load("found") == {"n": 7}


def test_what_is_pinned_stays_pinned(folder_place: Place) -> None:
    catalog_of(folder_place, "2025").save("x", {"n": 7})
    catalog_of(folder_place, "2026").save("x", {"n": 8})
    catalog = catalog_of(folder_place, load_versions={"x": "2025"})
    begin(pipeline([INTRUDE, READ]), catalog)
    SequentialRunner().run(pipeline([INTRUDE, READ]), catalog)
    assert catalog.load("found") == {"n": 7}


def test_a_version_that_a_node_asks_for_is_the_one_that_it_gets(folder_place: Place) -> None:
    for number, version in enumerate(("2020", "2021")):
        catalog_of(folder_place, version).save("x", {"n": number})
    for nodes in (pipeline([INTRUDE, READ]), pipeline([MAKE, INTRUDE, READ])):
        catalog = catalog_of(folder_place)
        begin(nodes, catalog)
        assert catalog.load("x", version="2020") == {"n": 0}


def test_parts_of_a_run_read_the_version_of_their_run(folder_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATISFACTORY_RUN_ID", "nightly")
    first = catalog_of(folder_place)
    begin(pipeline([MAKE]), first)
    SequentialRunner().run(pipeline([MAKE]), first)
    second = catalog_of(folder_place, "2026-01-02T00.00.00.000Z")
    begin(pipeline([INTRUDE, READ]), second)
    SequentialRunner().run(pipeline([INTRUDE, READ]), second)
    third = catalog_of(folder_place, "2027-01-02T00.00.00.000Z")
    begin(pipeline([READ]), third)
    SequentialRunner().run(pipeline([READ]), third)
    assert second.load("found") == third.load("found") == {"n": 1}
    outside: Any = catalog_of(folder_place).get("x")
    assert outside.list_versions(full_path=False) == [ANOTHER_RUN, of_part(THIS_RUN, "nightly")]


def test_a_part_of_a_run_reads_the_newest_of_what_no_part_writes(
    folder_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog_of(folder_place, "2025").save("x", {"n": 7})
    monkeypatch.setenv("STATISFACTORY_RUN_ID", "nightly")
    catalog = catalog_of(folder_place)
    begin(pipeline([INTRUDE, READ]), catalog)
    SequentialRunner().run(pipeline([INTRUDE, READ]), catalog)
    assert catalog.load("found") == {"n": 7}


def test_what_is_saved_under_one_name_is_read_under_its_other_one(folder_place: Place) -> None:
    entries = {"x@a": config(folder_place), "x@b": config(folder_place)}
    catalog: Any = DataCatalog.from_config(entries, save_version=THIS_RUN)
    for name in ("intruded", "found"):
        catalog[name] = {"n": 0}
    catalog["config"] = config(folder_place)
    intruding = node(intrude, ["x@b", "config"], "intruded")
    nodes = pipeline([node(make, None, "x@a"), intruding, node(read, ["x@b", "intruded"], "found")])
    begin(nodes, catalog)
    SequentialRunner().run(nodes, catalog)
    assert catalog.load("found") == {"n": 1}


def test_a_run_reads_nothing_where_there_is_no_version_yet(folder_place: Place) -> None:
    catalog = catalog_of(folder_place)
    begin(pipeline([INTRUDE, READ]), catalog)
    with pytest.raises(DatasetError, match=r"There is no version of .*x\.json' yet"):
        catalog.load("x")


def test_versions_that_cannot_be_listed_are_told_with_the_name_of_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = DataCatalog.from_config(
        {
            "x": {
                "type": "kedro_statisfactory.ArtifactDataset",
                "filepath": "s3://bucket/x.json",
                "dataset": "json.JSONDataset",
                "versioned": True,
                "credentials": {
                    "key": "k" * 20,
                    "secret": "s" * 20,
                    "client_kwargs": {"endpoint_url": "http://[::1]:1"},
                },
            }
        }
    )
    with pytest.raises(DatasetError, match="catalog entry 'x'"):
        begin(pipeline([node(read, ["x", "x"], "found")]), catalog)


def test_a_file_from_before_there_were_versions_is_told(folder_place: Place) -> None:
    plain = ArtifactDataset.from_config("x", folder_place.entry("x.json", dataset="json.JSONDataset"))
    plain.save({"n": 1})
    with pytest.raises(
        DatasetError, match=r"Versions are folders, and this is a file from before: move it to .*<version>/x\.json"
    ):
        catalog_of(folder_place).load("x")
    assert not catalog_of(folder_place).exists("x")
