"""Entries that an earlier version of the package has pickled can be loaded: workers and caches may have them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.project import Pin, Project, announce
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.project.settings import Settings

PICKLES = Path(__file__).with_name("pickles")


def load(name: str) -> Any:
    return pickle.loads((PICKLES / f"{name}.pickle").read_bytes())


def test_an_entry_with_a_format_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = load("local")
    entry.save({"rows": 344})
    assert entry.load() == {"rows": 344}
    assert (tmp_path / "figures.json").read_text() == '{\n "rows": 344\n}', "it has the arguments of its format"


def test_an_entry_of_bytes_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = load("bytes")
    entry.save(b"344")
    assert entry.load() == b"344"


def test_an_entry_in_s3_has_all_that_it_was_made_with() -> None:
    now = ArtifactDataset(
        filepath="s3://bucket/table.csv",
        dataset="pandas.CSVDataset",
        credentials={"key": "k", "secret": "an example"},
        load_args={"VersionId": "1"},
    )
    then = load("s3")
    assert then._describe() == {**now._describe(), "version": then._version}
    assert (then._credentials, then._load_args) == (now._credentials, now._load_args)
    assert pickle.loads(pickle.dumps(then))._format == now._format


def test_a_process_that_is_spawned_knows_how_large_the_cache_may_be(tmp_path: Path) -> None:
    announce(lambda: Project(tmp_path, Settings(cache={"size": 0})))
    sent = pickle.dumps(ArtifactDataset(filepath="s3://bucket/x"))
    announce(None)
    assert pickle.loads(sent).backend._session.project.settings.cache_size == 0


def test_an_entry_that_nobody_bound_stays_in_its_project_wherever_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(None)
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(ArtifactDataset(filepath="lakefs://repository/x"))
    monkeypatch.chdir("/")
    assert pickle.loads(sent).backend._session.project.path == tmp_path, "or it wrote to the branch of another"


def test_an_entry_in_lakefs_knows_its_project() -> None:
    project = load("lakefs").backend.project
    assert project.settings == Settings(mode="direct", branches={"x": "y---git"})
    assert project.head == Head("main", "0" * 40, "a test")
    assert project.pins == {("http://h/api/v1", "repo"): Pin("kedro----x", "kedro----x")}


@pytest.mark.parametrize("name", ["local", "lakefs"])
def test_nothing_has_to_be_imported_before(name: str) -> None:
    code = "import pickle, sys; print(type(pickle.load(open(sys.argv[1], 'rb'))).__name__)"
    command = [sys.executable, "-W", "ignore", "-c", code, str(PICKLES / f"{name}.pickle")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "ArtifactDataset"
