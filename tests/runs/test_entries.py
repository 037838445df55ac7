"""Formats that add, and nodes that confirm what they have read, in a run on lakeFS."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from kedro.runner import ParallelRunner

from tests.runs.conftest import KedroProject
from tests.runs.test_collections import edit


def queue(project: KedroProject) -> Any:
    """The entry that is confirmed, as in a notebook."""
    return project.catalog().get("queue")


@pytest.mark.parametrize("runner", [None, ParallelRunner])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_what_a_node_confirms_lands_with_the_run(project: KedroProject, runner: Any) -> None:
    queue(project).save(["a", "b"])
    project.run(pipeline="confirms", runner=runner(max_workers=2) if runner else None)
    assert queue(project).load() == []
    assert '"queue"' in project.log()[0].metadata["kedro_outputs"]
    assert len(project.log()) == 4, "what was saved outside of the run has a commit of its own"


ELSEWHERE = pytest.mark.parametrize(
    ("dataset", "saved"),
    [
        ("tests.datasets.test_members.Queue", ["a", "b"]),
        ({"type": "partitions.IncrementalDataset", "dataset": "text.TextDataset"}, {"a": "x", "b": "y"}),
    ],
)


@ELSEWHERE
@pytest.mark.parametrize("runner", [None, ParallelRunner])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_what_a_node_confirms_outside_of_lakefs_is_in_the_record(
    project: KedroProject, dataset: Any, saved: Any, runner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    kind = "kedro_statisfactory.ArtifactDataset"
    edit(project, "queue", {"type": kind, "filepath": "data/queue", "dataset": dataset})
    queue(project).save(saved)
    for missing in (False, True):
        project.run(pipeline="confirms", missing=missing, runner=runner(max_workers=2) if runner else None)
    (run, _) = project.log(repository=project.other)
    assert json.loads(run.metadata["kedro_saved"]) == ["queue"]
    assert "had nothing to write to lakeFS" in caplog.text, "what was confirmed is not taken for new"


@ELSEWHERE
def test_what_comes_outside_of_lakefs_while_a_node_works_is_not_taken_for_confirmed(
    project: KedroProject, dataset: Any, saved: Any
) -> None:
    edit(
        project, "queue", {"type": "kedro_statisfactory.ArtifactDataset", "filepath": "data/queue", "dataset": dataset}
    )
    queue(project).save(saved)
    with project.waiting_run("take", pipeline="confirms") as run:
        where = project.path / "data/queue"
        if where.is_dir():
            (where / "c").write_text("z")
        else:
            queue(project).add("c")
    run.result()
    assert list(queue(project).load()) == ["c"]
    begun, end = project.path / "begun-take", project.path / "end-take"
    end.touch()
    project.run(pipeline="confirms", missing=True, wait={"take": [str(begun), str(end)]})
    assert list(queue(project).load()) == [], "the second run has taken what came"


def test_what_a_failed_run_has_confirmed_is_not(project: KedroProject) -> None:
    queue(project).save(["a", "b"])
    with pytest.raises(RuntimeError):
        project.run(pipeline="confirms", fail=["take"])
    with pytest.raises(KeyboardInterrupt):
        project.run(pipeline="confirms", interrupt="take")
    assert queue(project).load() == ["a", "b"]


def test_each_run_adds_to_what_the_runs_before_it_have_left(project: KedroProject) -> None:
    for value in (1, 2, 3):
        project.run(value, pipeline="adds")
    where = f"/repositories/{project.repository}/refs/main/objects?path=added.csv"
    assert project.server.call("GET", where).data == b"1\n2\n3\n"


def test_a_run_leaves_nothing_in_the_folder_for_temporary_files(
    project: KedroProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    project.run()
    with pytest.raises(RuntimeError):
        project.run(fail=["add"])
    left = list((tmp_path / "temporary").rglob("*"))
    assert len(left) <= 1, "an empty folder, which the next run of this process uses, and which goes with the process"
