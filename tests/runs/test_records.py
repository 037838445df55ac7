"""What a commit says of a run is short, and the rest is kept beside the data."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory import runs
from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.backends.lakefs.records import MOST, RECORD, RECORDS, metadata_of, pack, path_of
from kedro_statisfactory.errors import GitError, IntegrityError
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import RUN_ID
from kedro_statisfactory.project.branches import RUN_BRANCH, run_branch
from kedro_statisfactory.runs import Use, patches, provenance
from kedro_statisfactory.runs.complete import read_waiting
from kedro_statisfactory.runs.target import DATA_BRANCH, JOINED, KEPT, SAVED, TOKEN
from kedro_statisfactory.session import Session
from tests.runs.conftest import KedroProject
from tests.servers.lakefs import LakeFSServer

pytestmark = pytest.mark.once

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
    project.run(pipeline="wide")
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


# -- the code that is in no commit of git --------------------------------------------------------------------------


def _patches(project: KedroProject) -> list[str]:
    return [stat.path for stat in project.api.list(project.repository, "main", RECORDS) if stat.path.endswith("patch")]


def test_code_that_is_in_no_commit_of_git_can_be_had_back(project: KedroProject, tmp_path_factory: Any) -> None:
    (project.path / "conf/base/parameters.yml").write_text("value: 2\n")
    (project.path / "new.py").write_text("new = True\n")
    (project.path / ".env").write_text("PASSWORD=hunter2\n")
    project.run()
    told = project.log()[0].metadata
    assert told["git_patch_without"] == ".env"
    copy = tmp_path_factory.mktemp("copy")
    where = f"/repositories/{project.repository}/refs/main/objects?path={quote(told['git_patch'], safe='')}"
    content = project.server.call("GET", where).data
    project.git("clone", "--quiet", ".", str(copy / "code"))
    subprocess.run(["git", "checkout", "--quiet", told["git_commit_id"]], cwd=copy / "code", check=True)
    subprocess.run(["git", "apply"], cwd=copy / "code", input=content, check=True)
    for name in ("conf/base/parameters.yml", "new.py"):
        assert (copy / "code" / name).read_text() == (project.path / name).read_text()
    assert b"hunter2" not in content


def test_the_same_code_is_kept_once_and_other_code_beside_it(project: KedroProject, calls: Any) -> None:
    (project.path / "new.py").write_text("new = 1\n")
    project.run(1)
    first = _patches(project)
    before = calls()
    project.run(2)
    again = calls() - before
    assert _patches(project) == first
    (project.path / "new.py").unlink()
    before = calls()
    project.run(3)
    clean = calls() - before
    assert again - clean == {"GET objects": 1}, "a look"
    assert "git_patch" not in project.log()[0].metadata
    (project.path / "new.py").write_text("new = 2\n")
    project.run(4)
    assert len(_patches(project)) == 2


def test_two_runs_at_once_of_the_same_code_do_not_conflict_about_it(project: KedroProject) -> None:
    (project.path / "new.py").write_text("new = 1\n")
    with project.waiting_run("add", pipeline="__default__") as waiting:
        project.run(3, pipeline="wide")
        other = project.log()[0].metadata["git_patch"]
    waiting.result()
    assert project.log()[0].metadata["git_patch"] == other
    assert _patches(project) == [other]


def test_a_file_with_a_secret_is_in_no_patch(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "form.py": "key = 'ghp_" + "a1B2" * 9 + "'",
        "url.py": "url = 'postgresql://me:hunter2@host/db'",
        "ours.py": f"key = '{project.server.secret_key}'",
    }
    for name, content in secrets.items():
        (project.path / name).write_text(content)
    (project.path / "harmless.py").write_text("url = 'git+ssh://git@github.com/x', f'https://{user}:{password}@host'")
    project.run(1)
    told = project.log()[0].metadata
    assert told["git_patch_without"] == "form.py, ours.py, url.py"
    assert len(_patches(project)) == 1


def test_a_run_goes_on_where_git_gives_no_patch(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise GitError("the disk is slow")

    (project.path / ".env").write_text("x")
    project.run(1)
    assert "git_patch" not in project.log()[0].metadata, "there is nothing but secrets"
    monkeypatch.setattr(patches, "read_patch", fail)
    with caplog.at_level("WARNING", "kedro.statisfactory"):
        project.run(2)
    assert project.log()[0].metadata["git_dirty"] == "true"
    assert "not kept with the run: [E0604] the disk is slow" in re.sub(r"\s+", " ", caplog.text)


def test_all_parameters_are_told(project: KedroProject) -> None:
    (project.path / "conf/base/parameters.yml").write_text("value: 2\nmodel: {depth: 7, api_token: hunter2}\n")
    project.run()
    told = json.loads(project.log()[0].metadata["kedro_parameters"])
    assert told["model"] == {"depth": 7, "api_token": "<redacted>"}


def test_what_one_part_saved_elsewhere_is_no_input_of_the_run_and_was_not_left_as_it_was(
    lakefs_local: LakeFSServer,
) -> None:
    repository, branch = lakefs_local.new_repository(), run_branch("joined", JOINED)
    api = LakeFSBackend(Session(lakefs_local.credentials)).api
    api.create_branch(repository, branch, "main", hidden=True)
    facts = {TOKEN: branch, "kedro_run_id": "joined", "kedro_started": "1", "kedro_outputs": "{}", DATA_BRANCH: "main"}
    both = {"disk": {"url": "/x"}, "lake": {"url": "lakefs://r/x"}}
    parts: list[dict[str, str]] = [
        {"kedro_inputs": json.dumps(both), KEPT: json.dumps({"disk": "old", "lake": "old"})},
        {"kedro_inputs": "{}", SAVED: json.dumps(["disk"])},
    ]
    for told in (*parts, parts[0]):
        api.create_commit(repository, branch, "a part", {**facts, **told}, allow_empty=True)
    waiting = read_waiting(api, repository, branch)
    assert waiting is not None
    found = {key: json.loads(waiting.metadata[key]) for key in (KEPT, SAVED, "kedro_inputs")}
    assert found == {KEPT: {"lake": "old"}, SAVED: ["disk"], "kedro_inputs": {"lake": both["lake"]}}
