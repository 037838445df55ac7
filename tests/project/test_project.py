"""Which data branch a project is on, and what the processes of a run tell each other."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
from pathlib import Path

import pytest

from kedro_statisfactory.errors import InvalidGitBranch, NoDataBranch
from kedro_statisfactory.project import AT, Project, announce, announced_project, current_project
from kedro_statisfactory.project import project as project_module
from kedro_statisfactory.project.git import Head
from kedro_statisfactory.project.settings import Settings
from tests.project.conftest import make_project

DETACHED = Head(None, "1234567", "the HEAD is detached")


# -- the data branch ----------------------------------------------------------------------------------------------


def test_the_data_branch_is_named_after_the_git_branch() -> None:
    assert Project(head=Head("feature/x", None, "a test")).branch() == "feature--x"


def test_the_map_of_the_settings_goes_before_the_rules() -> None:
    settings = Settings(branches={"feature/x": "experiment", "experiment": "experiment---git"})
    assert Project(head=Head("feature/x", None, "a test"), settings=settings).branch() == "experiment"


def test_the_branch_of_the_settings_is_for_where_git_names_none() -> None:
    settings = Settings(branch="production")
    assert Project(head=Head("main", None, "a test"), settings=settings).branch() == "main"
    assert Project(head=DETACHED, settings=settings).branch() == "production"


def test_without_any_branch_there_is_an_error_that_says_why() -> None:
    with pytest.raises(NoDataBranch, match=r"the HEAD is detached.*switch to a branch, or set `branch`"):
        Project(head=DETACHED).branch()


def test_there_is_never_a_data_branch_called_head() -> None:
    with pytest.raises(InvalidGitBranch):
        Project(head=Head("HEAD", None, "a test")).branch()


def test_git_is_asked_each_time_unless_a_run_has_pinned_what_it_said(tmp_path: Path) -> None:
    make_project(tmp_path)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=one"], cwd=tmp_path, check=True, timeout=60)
    follows = Project(tmp_path)
    pinned = Project(tmp_path, head=follows.read_head())
    subprocess.run(["git", "symbolic-ref", "HEAD", "refs/heads/two"], cwd=tmp_path, check=True, timeout=60)
    assert (follows.branch(), pinned.branch()) == ("two", "one")


def test_the_variable_goes_before_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Project().at is None
    assert Project(settings=Settings(at="v1")).at == "v1"
    monkeypatch.setenv(AT, "v2")
    assert Project(settings=Settings(at="v1")).at == "v2"
    monkeypatch.setenv(AT, "")
    assert Project(settings=Settings(at="v1")).at == "v1"


# -- the journal --------------------------------------------------------------------------------------------------


def test_what_was_written_is_told_by_server_and_repository(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    project = Project(journal=tmp_path / "journal")
    assert project.written() == {}
    project.note_written("http://a", "one", "x\n\u2028ü.csv", "1")
    project.note_written("http://a", "one", "y", "2")
    project.note_written("http://a", "one", "y", "3")
    project.note_written("http://b", "one", "x", "4")
    assert pickle.loads(pickle.dumps(project)).written() == {
        ("http://a", "one"): {"x\n\u2028ü.csv": "1", "y": "3"},
        ("http://b", "one"): {"x": "4"},
    }


def test_nothing_is_noted_where_nobody_asks(tmp_path: Path) -> None:
    Project().note_written("http://a", "one", "x", "1")
    assert Project().written() == {}
    Project(journal=tmp_path / "of a run that was ended").note_written("http://a", "one", "x", "1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_notes_of_many_processes_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    project = Project(journal=tmp_path / "journal")

    def write(number: int) -> None:
        for count in range(50):
            project.note_written("http://a", "one", f"{number}/{count}/{'x' * 500}", "1")

    processes = [multiprocessing.get_context("fork").Process(target=write, args=(number,)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert len(project.written()["http://a", "one"]) == 400


# -- the project of a process -------------------------------------------------------------------------------------


def test_the_project_is_the_one_that_was_announced(on_main: Project, tmp_path: Path) -> None:
    assert announced_project() is on_main
    another = Project(tmp_path / "another")
    announce(lambda: another)
    assert current_project() is another


def test_without_one_it_is_that_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project_module, "_announced", None)
    assert announced_project() is None
    assert current_project() == Project(Path(os.getcwd()))


def test_a_folder_within_a_project_belongs_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "outer")
    inner = make_project(tmp_path / "outer/inner")
    (inner / "notebooks/old").mkdir(parents=True)
    monkeypatch.setattr(project_module, "_announced", None)
    monkeypatch.chdir(inner / "notebooks/old")
    assert current_project() == Project() == Project(inner)
    monkeypatch.chdir(tmp_path / "outer")
    assert Project().path == tmp_path / "outer"
