"""Spark itself: on this machine its entries work like any other; on a cluster it goes to the data, or is refused."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError
from kedro.pipeline import Node, Pipeline

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.errors import MergeConflict
from kedro_statisfactory.project.branches import RUN_BRANCH
from tests.engines.test_columns import bytes_for
from tests.engines.test_native_in_runs import paths
from tests.runs.conftest import KedroProject
from tests.runs.conftest import calls as calls
from tests.runs.conftest import project as project
from tests.runs.project import pipeline_registry
from tests.runs.test_collections import edit
from tests.servers.faults import Proxy, proxy
from tests.servers.s3 import S3Server
from tests.servers.spark import CLUSTER, NoSpark, has_delta, spark, without_s3fs

pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(900),  # a JVM of its own, and two for its workers
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"),
]

V1, V2 = "spark.SparkDataset", "spark.spark_dataset_v2.SparkDatasetV2"
COLUMNS, ROWS = 50, 20_000


@pytest.fixture(autouse=True)
def _without_s3fs() -> Iterator[None]:
    with without_s3fs():
        yield


def test_spark(
    project: KedroProject,
    calls: Any,
    seaweed: S3Server,
    bucket: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One test, because a JVM takes long to start; each step is a promise."""
    logger = logging.getLogger("kedro.io.core")
    caplog.set_level("DEBUG", logger.name)
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, caplog.handler])
    try:
        with spark("local[2]", tmp_path) as here:
            entries_work_on_this_machine_like_any_other(here, seaweed, bucket, tmp_path)
    except NoSpark as error:
        pytest.skip(f"NOT TESTED: {error}")
    with spark(CLUSTER, tmp_path) as cluster, proxy(seaweed.endpoint_url) as between:
        s3 = {**seaweed.credentials, "endpoint_url": between.endpoint_url}
        workers_see_nothing_of_the_driver_and_staging_is_refused(cluster, tmp_path)
        formats_are_read_and_written_where_the_data_is(
            cluster, f"s3://{bucket}/native", s3, (V1, "parquet"), (V2, "csv")
        )
        lake = project.server.credentials
        formats_are_read_and_written_where_the_data_is(cluster, f"lakefs://{project.other}", lake, (V2, "json"))
        no_secret_is_told(cluster, f"s3://{bucket}/native/table.parquet", s3, capfd, caplog)
        a_column_costs_a_column(cluster, bucket, s3, between)
        monkeypatch.setattr(pipeline_registry, "register_pipelines", pipelines)
        a_run_lands_whole_or_not_at_all(project)
        two_runs_that_write_one_folder_conflict(project)
        a_load_costs_two_requests_and_a_save_five(project, cluster, calls)
        a_worker_that_is_killed_costs_no_part_and_doubles_none(project, cluster)
        delta_lands_whole_and_no_two_runs_mix_its_log(project, cluster)
        a_task_that_fails_each_time_leaves_nothing_of_the_run_and_is_told_in_one_line(project)
        a_branch_that_was_reset_is_read_as_it_is_now(project, cluster)
        who_may_not_write_is_told_so_in_one_line(project)


def rows(entry: Any) -> list[Any]:
    """What an entry holds."""
    return sorted(tuple(row) for row in entry.load().collect())


def entries_work_on_this_machine_like_any_other(here: Any, seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    """By a copy, in each mode."""
    one, two = (here.createDataFrame([(number, f"day{number}")], ["a", "day"]) for number in (1, 2))
    for root, credentials in ((str(tmp_path), None), (f"s3://{bucket}", seaweed.credentials)):

        def entry(name: str, root: str = root, credentials: Any = credentials, **save_args: Any) -> Any:
            dataset = {"type": V2, "file_format": "parquet", "save_args": save_args}
            return ArtifactDataset(filepath=f"{root}/{name}", dataset=dataset, credentials=credentials)

        entry("table").save(one)
        entry("table", mode="Append").save(two)
        assert rows(entry("table")) == [(1, "day1"), (2, "day2")]
        if credentials:
            continue  # what follows is decided before a backend has a part in it
        with pytest.raises(DatasetError, match="something is there already"):
            entry("table").save(two)  # Spark's default
        entry("table", mode="ignore").save(two)
        assert len(rows(entry("table"))) == 2
        entry("table", mode="overwrite").save(two)
        assert rows(entry("table")) == [(2, "day2")]
        dynamic = {"mode": "overwrite", "partitionBy": "day", "partitionOverwriteMode": "dynamic"}
        entry("days", **dynamic).save(one)
        entry("days", **dynamic).save(two)
        assert rows(entry("days")) == [(1, "day1"), (2, "day2")]
        entry("data[1].parquet").save(one)
        assert rows(entry("data[1].parquet")) == [(1, "day1")]


def workers_see_nothing_of_the_driver_and_staging_is_refused(cluster: Any, tmp_path: Path) -> None:
    """What they write to a folder of the driver is not there."""
    overwrite = {"type": V2, "file_format": "parquet", "save_args": {"mode": "overwrite"}}
    cluster.range(3).write.parquet(str(tmp_path / "gone"))
    assert [path.name for path in (tmp_path / "gone").iterdir() if path.name[0] != "."] == ["_SUCCESS"]
    staged = ArtifactDataset(filepath=str(tmp_path / "table"), dataset=overwrite)
    with pytest.raises(DatasetError, match=r"works on the Spark master 'local-cluster.* set `native: true`"):
        staged.save(cluster.range(3))
    native = ArtifactDataset(filepath=str(tmp_path / "other"), dataset=overwrite, native=True)
    with pytest.raises(DatasetError, match="without any file beside `_SUCCESS`"):
        native.save(cluster.range(3))


def formats_are_read_and_written_where_the_data_is(
    cluster: Any, root: str, credentials: dict[str, str], *formats: tuple[str, str]
) -> None:
    """Replaced, added to, protected."""

    def entry(kind: str, file_format: str, mode: str) -> Any:
        name = f"{'data[1] %a' if file_format == 'csv' else 'table'}.{file_format}"
        args = {"load_args": {"inferSchema": True}} if file_format == "csv" else {}
        dataset = {"type": kind, "file_format": file_format, "save_args": {"mode": mode}, **args}
        return ArtifactDataset(filepath=f"{root}/{name}", dataset=dataset, credentials=credentials, native=True)

    for each in formats:
        table = entry(*each, "overwrite")
        table.save(cluster.range(9).repartition(3))
        table.save(cluster.range(4).coalesce(1))
        entry(*each, "append").save(cluster.range(4, 6).coalesce(1))
        assert rows(table) == [(number,) for number in range(6)]
        entry(*each, "ignore").save(cluster.range(1))
        with pytest.raises(DatasetError, match="something is there already"):
            entry(*each, "error").save(cluster.range(1))
        with pytest.raises(DatasetError, match="is read, when it is written, from what it would replace"):
            table.save(table.load().limit(1))
        assert table.load().count() == 6
        names = [info.path for info in table.backend.list(fragment=table.location)]
        assert not [name for name in names if name.endswith("/") or "_temporary" in name]
        assert table.exists()


def frame(parameters: dict[str, Any]) -> Any:
    """Make a table in so many parts, of rows that take a while where the parameter says so."""
    from pyspark.sql import SparkSession

    pipeline_registry.act("frame", parameters)
    made = SparkSession.active().range(0, parameters["value"], 1, parameters["parts"])
    if "unlucky" in parameters:
        return made.selectExpr(f"if(id = {parameters['unlucky']}, raise_error('no such luck'), id) AS id")
    nap = f"java_method('java.lang.Thread', 'sleep', {parameters.get('milliseconds', 0)}L)"
    return made.selectExpr("id", f"{nap} AS nap") if "milliseconds" in parameters else made


def total(table: Any, parameters: dict[str, Any]) -> dict[str, int]:
    """Add up a column of it."""
    pipeline_registry.act("total", parameters)
    return {"n": table.groupBy().sum("id").first()[0]}


def pipelines() -> dict[str, Pipeline]:
    """A table, with what is read from it or without."""
    made = Node(frame, "parameters", "table", name="frame")
    return {
        "frame": Pipeline([made]),
        "both": Pipeline([made, Node(total, ["table", "parameters"], "a", name="total")]),
    }


def put(
    project: KedroProject, where: str, file_format: str = "parquet", mode: str = "overwrite", repository: str = ""
) -> None:
    """Let the table be somewhere else, or in another format."""
    dataset = {"type": V1, "file_format": file_format, "save_args": {"mode": mode}}
    url = f"lakefs://{repository or project.repository}/{where}"
    entry = {"type": "kedro_statisfactory.ArtifactDataset", "filepath": url, "dataset": dataset, "native": True}
    edit(project, "table", entry)


def a_failing_first_run_leaves_nothing(project: KedroProject, where: str) -> None:
    """Neither on the data branch nor on one of its own."""
    before = project.branches()
    with pytest.raises(RuntimeError):
        project.run(pipeline="both", value=9, parts=1, fail=["total"])
    assert paths(project, where) == []
    assert project.branches() == before


def a_run_lands_whole_or_not_at_all(project: KedroProject) -> None:
    """The parts, in so many as Spark has written, and no marker of a folder."""
    put(project, "deep/er/table")
    a_failing_first_run_leaves_nothing(project, "deep/")
    project.run(pipeline="both", value=8, parts=4)
    first = paths(project, "deep/")
    assert len(first) == 5
    assert first[0] == "deep/er/table/_SUCCESS"
    with pytest.raises(RuntimeError):
        project.run(pipeline="both", value=9, parts=3, fail=["total"])
    assert paths(project, "deep/") == first
    project.run(pipeline="both", value=3, parts=1)
    assert len(paths(project, "deep/")) == 2
    assert project.catalog().load("a") == {"n": 3}
    assert json.loads(project.log()[0].metadata["kedro_outputs"])["table"]["objects"] == "2"


def two_runs_that_write_one_folder_conflict(project: KedroProject) -> None:
    """And are not merged into a table with the rows of both."""
    with project.waiting_run("frame", pipeline="frame", value=5, parts=1) as one:
        project.run(pipeline="frame", value=7, parts=1)
    with pytest.raises(MergeConflict, match="table"):
        one.result()


def a_load_costs_two_requests_and_a_save_five(project: KedroProject, cluster: Any, calls: Any) -> None:
    """Whatever the number of parts."""
    entry: Any = project.catalog().get("table")
    entry.bind(entry.backend.project)
    before = calls().total()
    assert entry.load().count() == 7
    assert calls().total() - before <= 2
    before = calls().total()
    entry.save(cluster.range(20).repartition(20))
    assert calls().total() - before <= 6  # outside of a run one more, which looks for the branch


def a_worker_that_is_killed_costs_no_part_and_doubles_none(project: KedroProject, cluster: Any) -> None:
    """What it was at is done again by another one."""
    put(project, "killed")
    status: Any = cluster.sparkContext._jsc.sc().statusStore()

    def busy() -> list[str]:
        workers = status.executorList(True)
        known = [workers.apply(number) for number in range(workers.size())]
        return [each.id() for each in known if each.activeTasks()]

    with ThreadPoolExecutor(1) as executor:
        run = executor.submit(project.run, pipeline="both", value=4, parts=2, milliseconds=700)
        while not (at_work := busy()) and not run.done():
            time.sleep(0.02)
        os.kill(worker_processes()[at_work[0]], signal.SIGKILL)
        run.result()
    assert at_work[0] not in worker_processes()
    assert len(paths(project, "killed/")) == 3
    assert rows(project.catalog().get("table")) == [(number, "null") for number in range(4)]
    assert project.catalog().load("a") == {"n": 6}


def worker_processes() -> dict[str, int]:
    """The processes in which the workers of this one's cluster do their work, by what Spark calls these."""
    psutil: Any = importlib.import_module("psutil")
    found = {}
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            words = each.cmdline()
            if "--executor-id" in words:
                found[words[words.index("--executor-id") + 1]] = each.pid
    return found


def delta_lands_whole_and_no_two_runs_mix_its_log(project: KedroProject, cluster: Any) -> None:
    """A jar is made for each Spark, some time after that; until then it is asked for."""

    def log() -> list[str]:
        return [path for path in paths(project, "delta/_delta_log/") if path.endswith(".json")]

    put(project, "delta", "delta")
    if not has_delta():
        with pytest.raises(DatasetError, match=r"needs a jar that the Spark session .* has not: io\.delta:delta-spark"):
            project.run(pipeline="frame", value=1, parts=1)
        return
    a_failing_first_run_leaves_nothing(project, "delta")
    project.run(pipeline="frame", value=8, parts=1)
    put(project, "delta", "delta", "append")
    two_runs_that_write_one_folder_conflict(project)
    assert project.catalog().load("table").count() == 8 + 7
    put(project, "delta", "delta", "overwrite")
    two_runs_that_write_one_folder_conflict(project)
    where = {"mode": "overwrite", "replaceWhere": "id >= 5"}
    dataset = {"type": V1, "file_format": "delta", "save_args": where}
    table: Any = ArtifactDataset(filepath=f"lakefs://{project.repository}/delta", dataset=dataset, native=True)
    table.save(cluster.range(5, 6))
    assert rows(table) == [(number,) for number in range(6)]
    assert len(log()) == 4


def a_task_that_fails_each_time_leaves_nothing_of_the_run_and_is_told_in_one_line(project: KedroProject) -> None:
    """Spark tries it four times; other tasks have written their parts by then."""
    before = project.branches(), project.tags()
    for file_format in ["parquet"] + ["delta"] * has_delta():
        put(project, f"unlucky/{file_format}", file_format)
        with pytest.raises(DatasetError, match=r"^table: 'lakefs://.*no such luck") as told:
            project.run(pipeline="frame", value=8, parts=4, unlucky=7)
        assert "\n" not in str(told.value)
    assert paths(project, "unlucky") == []
    assert (project.branches(), project.tags()) == before


def a_branch_that_was_reset_is_read_as_it_is_now(project: KedroProject, cluster: Any) -> None:
    """Also by a session that has the log of the table, or has cached a data frame of it, and before it adds to it."""
    for file_format in ["parquet"] + ["delta"] * has_delta():

        def entry(mode: str, file_format: str = file_format) -> Any:
            dataset = {"type": V1, "file_format": file_format, "save_args": {"mode": mode}}
            url = f"lakefs://{project.repository}/reset/{file_format}"
            return ArtifactDataset(filepath=url, dataset=dataset, native=True)

        entry("overwrite").save(cluster.range(0, 2, 1, 1))
        project.api.create_commit(project.repository, "main", "Two rows", {})
        for _ in range(2):
            entry("append").save(cluster.range(2, 4, 1, 1))
        cached = entry("append").load().cache()
        assert cached.count() == 6
        project.server.call("PUT", f"/repositories/{project.repository}/branches/main", json={"type": "reset"})
        assert rows(entry("append")) == [(0,), (1,)]
        entry("append").save(cluster.range(5, 6, 1, 1))
        assert rows(entry("append")) == [(0,), (1,), (5,)]


def who_may_not_write_is_told_so_in_one_line(project: KedroProject) -> None:
    """And not in the hundred of Java's."""
    repository = project.server.new_repository()  # the server keeps for a while which rules another one has
    rules = f"/repositories/{repository}/settings/branch_protection"
    project.server.call("PUT", rules, json=[{"pattern": f"{RUN_BRANCH}*"}])
    for file_format in ["parquet"] + ["delta"] * has_delta():
        put(project, f"refused/{file_format}", file_format, repository=repository)
        with pytest.raises(
            DatasetError, match=r"table: .*E0302.* was refused at .* \(Attempted to write to a prot"
        ) as told:
            project.run(pipeline="frame", value=1, parts=1)
        assert "\n" not in str(told.value)
    assert list(project.api.list(repository, "main", "refused")) == []
    assert project.branches(repository) == ["main"]


def no_secret_is_told(
    cluster: Any, url: str, s3: dict[str, str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """In no error, log or plan."""
    table: Any = ArtifactDataset(filepath=url, dataset=V1, credentials=s3, native=True)
    table.load().explain(True)
    wrong = {"type": V1, "file_format": "nonsense", "save_args": {"mode": "append"}}
    with pytest.raises(DatasetError, match="nonsense") as error:
        ArtifactDataset(filepath=url, dataset=wrong, credentials=s3, native=True).save(cluster.range(1))
    told = capfd.readouterr()
    assert "Physical Plan" in told.out
    assert "SparkDataset" in caplog.text
    for text in (told.out, told.err, caplog.text, str(error.value), repr(table)):
        assert "secret-of-the-tests" not in text


def a_column_costs_a_column(cluster: Any, bucket: str, s3: dict[str, str], between: Proxy) -> None:
    """What it costs Spark by hand."""
    import pyspark.sql.functions as f

    dataset = {"type": V1, "save_args": {"mode": "overwrite"}}
    table: Any = ArtifactDataset(filepath=f"s3://{bucket}/wide", dataset=dataset, credentials=s3, native=True)
    columns = (f.rand(number).alias(f"c{number}") for number in range(COLUMNS))
    table.save(cluster.range(0, ROWS, 1, 1).select(*columns))

    def column(load: Callable[[], Any]) -> int:
        return bytes_for(between, lambda: float(load().select("c7").groupBy().sum().first()[0]))

    # The keys are told already: S3A keeps them for this bucket.
    itself = column(lambda: cluster.read.parquet(f"s3a://{bucket}/wide"))
    ours = column(table.load)
    print(f"{ours} bytes of ours, {itself} by Spark itself, {ROWS * COLUMNS * 8} in all")
    assert ours <= 1.2 * itself
    assert ours < ROWS * COLUMNS * 8
