"""What a commit says of a run is short, and the rest is kept beside the data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory import runs
from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.backends.lakefs.records import MOST, RECORD, RECORDS, metadata_of, pack, path_of
from kedro_statisfactory.errors import IntegrityError
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import RUN_ID
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.runs import Use, provenance
from kedro_statisfactory.session import Session
from tests.runs.conftest import KedroProject
from tests.servers.lakefs import LakeFSServer

LONG = list(range(2000))  # makes more than a commit has room for


def _size(commit: Commit) -> int:
    return sum(len(key) + len(value.encode()) for key, value in commit.metadata.items())


def _told(project: KedroProject, commit: Commit) -> Mapping[str, str]:
    return metadata_of(project.api, project.repository, commit)


def test_a_thousand_outputs_and_a_long_list_leave_a_short_commit(project: KedroProject) -> None:
    """The uploads are left out: what was written is what the journal says."""
    paths = [f"a/long/path/to/{number}.json" for number in range(1000)]
    here = project.on("main")
    backend = LakeFSBackend(Session(project.server.credentials, here))
    uses = [
        Use(path, url, backend, parse(url), written=True)
        for path in paths
        for url in (f"lakefs://{project.repository}/{path}",)
    ]

    def facts(*_: object) -> dict[str, str]:
        told: dict[str, Any] = {"run_id": "mine", "runtime_params": {"numbers": list(range(50_000))}}
        return {**provenance.of_run(told, {}), "kedro_started": provenance.now()}

    run = runs.begin("mine", here, uses, facts)
    for path in paths:
        run.project.note_written(project.api.host, project.repository, path, "0" * 32)
    run.finish()
    commit = project.log()[0]
    assert _size(commit) < MOST + 1024
    assert commit.message == "kedro run __default__: 1000 entries written"
    assert commit.metadata["kedro_run_id"] == "mine"
    told = _told(project, commit)
    assert json.loads(told["kedro_outputs"]).keys() == set(paths)
    assert json.loads(told["kedro_runtime_params"])["numbers"][-1] == 49_999
    assert RECORD not in told


def test_a_run_costs_one_request_more_where_a_commit_has_no_room(project: KedroProject, calls: Any) -> None:
    project.run(1)
    before = calls()
    project.run(1)
    short = calls() - before
    before = calls()
    project.run(1, numbers=LONG)
    assert calls() - before - short == {"POST objects": 1}


def test_what_the_parts_of_a_run_say_is_whole(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_ID, "together")
    for name in ("first", "second", "add"):
        project.run(3, nodes=[name], numbers=LONG)
    done = project.invoke("run", "finish")
    assert done.exit_code == 0, done.output
    commit = project.log()[0]
    assert _size(commit) < MOST + 1024
    told = _told(project, commit)
    assert json.loads(told["kedro_outputs"]).keys() == {"a", "b", "total"}
    assert json.loads(told["kedro_inputs"]).keys() == {"total_before"}
    assert len(json.loads(told["kedro_parts"])) == 3


def test_a_part_that_writes_nothing_but_its_record_has_written_nothing(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run(3, pipeline="wide")
    before = project.log()
    monkeypatch.setattr(records, "MOST", 0)
    monkeypatch.setenv(RUN_ID, "nothing")
    bootstrap_project(project.path)
    service = KedroServiceSession.create(project_path=project.path)
    service.run(pipeline_names=["wide"], only_missing_outputs=True)
    done = project.invoke("run", "finish")
    assert "nothing was left to land" in done.output
    assert project.log() == before


def test_a_settled_conflict_is_told_in_full(project: KedroProject) -> None:
    with project.waiting_run("add", value=3, numbers=LONG) as waiting:
        project.run(4, pipeline="__default__", nodes=["first"])
    with pytest.raises(Exception, match="have changed"):
        waiting.result()
    branch = next(name for name in project.branches() if name.startswith(RUN_BRANCH))
    run_id = project.log(branch)[0].metadata["kedro_run_id"]
    done = project.invoke("run", "finish", run_id, "--merge", "dest-wins")
    assert done.exit_code == 0, done.output
    told = _told(project, project.log()[0])
    assert json.loads(told["kedro_outputs"]).keys() == {"b", "total"}
    assert json.loads(told["kedro_outputs_lost"]).keys() == {"a"}


def test_a_record_that_is_missing_or_another_one_is_an_error(lakefs_local: LakeFSServer) -> None:
    repository = lakefs_local.new_repository()
    api = LakeFSBackend(Session(lakefs_local.credentials)).api
    packed = pack({"kedro_outputs": "x" * 2 * MOST})
    for is_there in (False, True):
        if is_there:
            api.upload(repository, "main", packed.path, lambda: b"something else", 14)
        api.create_commit(repository, "main", "by hand", packed.metadata, allow_empty=True)
        with pytest.raises(IntegrityError, match="is missing or damaged"):
            metadata_of(api, repository, api.commit(repository, "main"))


def test_no_entry_is_where_records_are() -> None:
    for path in (RECORDS, path_of(b"", "json"), ".statisfactory/x"):
        with pytest.raises(Exception, match="which this package uses"):
            LakeFSBackend.split(parse(f"lakefs://repository/{path.rstrip('/')}"))
