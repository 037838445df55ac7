"""What is checked out is read right, or there is a clear error: each case on a real repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kedro_statisfactory.errors import DubiousOwnership, GitError, GitNotFound
from kedro_statisfactory.project import git
from kedro_statisfactory.project.git import Head, Worktree, read_head, read_worktree
from tests.project.conftest import NO_CI, make_project, make_repository, run, stand_in

# Branches


def test_a_branch_and_its_commit_are_read(project: Path, commit: str) -> None:
    run(project, "switch", "--quiet", "--create", "feature/x")
    assert read_head(project, NO_CI) == Head("feature/x", commit, f"it is the HEAD of {project}")


def test_a_relative_path_and_a_link_lead_to_the_project(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(project)
    monkeypatch.chdir(tmp_path)
    assert read_head(Path("link"), NO_CI) == read_head(project, NO_CI)


def test_a_path_is_taken_as_it_is_written(tmp_path: Path) -> None:
    commit = make_repository(tmp_path / "$HOME" / "%x% ~")
    assert read_head(tmp_path / "$HOME" / "%x% ~", NO_CI).commit == commit


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000"])
def test_a_name_does_not_end_at_a_unicode_space(project: Path, commit: str, space: str) -> None:
    run(project, "switch", "--quiet", "--create", f"a{space}b")
    head = read_head(project, NO_CI)
    assert (head.branch, head.commit) == (f"a{space}b", commit)


@pytest.mark.skipif(sys.platform != "linux", reason="SKIPPED: only Linux stores file names that are not UTF-8")
def test_names_that_are_not_utf8_stay_apart(project: Path, commit: str) -> None:
    branches = []
    for name in (b"caf\xe9", b"caf\xe8"):
        subprocess.run([b"git", b"switch", b"--quiet", b"--create", name], cwd=project, check=True, timeout=60)
        run(project, "pack-refs", "--all")
        head = read_head(project, NO_CI)
        assert head.commit == commit
        branches.append(head.branch)
    assert branches == ["caf\udce9", "caf\udce8"]


def test_a_packed_branch_is_read(project: Path, commit: str) -> None:
    run(project, "pack-refs", "--all")
    assert read_head(project, NO_CI) == Head("main", commit, f"it is the HEAD of {project}")


def test_a_head_that_is_a_link_is_read(project: Path, commit: str) -> None:
    (project / ".git" / "HEAD").unlink()
    (project / ".git" / "HEAD").symlink_to("refs/heads/main")
    assert read_head(project, NO_CI) == Head("main", commit, f"it is the HEAD of {project}")


def test_a_sha256_repository_is_read(tmp_path: Path) -> None:
    commit = make_repository(tmp_path / "project", "--object-format=sha256")
    assert len(commit) == 64
    assert read_head(tmp_path / "project", NO_CI) == Head("main", commit, f"it is the HEAD of {tmp_path / 'project'}")


def test_an_unborn_branch_has_a_name_and_no_commit(unborn: Path) -> None:
    head = read_head(unborn, NO_CI)
    assert (head.branch, head.commit) == ("fresh", None)


def test_a_branch_called_head_is_an_error(project: Path) -> None:
    run(project, "symbolic-ref", "HEAD", "refs/heads/HEAD")
    with pytest.raises(GitError, match=r"called 'HEAD'.*git branch -m"):
        read_head(project, NO_CI)


def test_head_is_read_again_at_each_call(project: Path) -> None:
    assert read_head(project, NO_CI).branch == "main"
    run(project, "switch", "--quiet", "--create", "other")
    assert read_head(project, NO_CI).branch == "other"


# The program


def test_git_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, kedro_statisfactory.project.git, kedro_statisfactory.project.branches; print('git' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout.strip() == "False"


def read_in_new_process(project: Path) -> str:
    """Read HEAD where GitPython was not imported before; print the environment's variable that could be left behind."""
    code = (
        "import os, pathlib, sys; from kedro_statisfactory.project.git import read_head; "
        "print(read_head(pathlib.Path(sys.argv[1]), {}).branch, os.environ.get('GIT_PYTHON_REFRESH'))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(project)]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout.strip()


def test_head_is_read_without_the_git_program(project: Path, commit: str, no_git_program: None) -> None:
    assert shutil.which("git") is None
    assert read_in_new_process(project) == "main None"
    assert read_head(project, NO_CI).commit == commit


def test_importing_gitpython_leaves_the_environment_as_it_was(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_in_new_process(project) == "main None"
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "warn")
    assert read_in_new_process(project) == "main warn"
    assert read_head(project, NO_CI).branch == "main"
    assert os.environ["GIT_PYTHON_REFRESH"] == "warn"


@pytest.fixture
def unborn(tmp_path: Path) -> Path:
    run(tmp_path, "init", "--quiet", "--initial-branch=fresh", "unborn")
    return make_project(tmp_path / "unborn")


def test_an_unborn_branch_is_read_without_the_git_program(unborn: Path, no_git_program: None) -> None:
    head = read_head(unborn, NO_CI)
    assert (head.branch, head.commit) == ("fresh", None)


@pytest.fixture
def folder(project: Path) -> Path:
    return make_project(project / "folder")


def test_what_needs_the_git_program_says_so(folder: Path, no_git_program: None) -> None:
    with pytest.raises(GitNotFound, match="install git"):
        read_head(folder, NO_CI)
    with pytest.raises(GitNotFound, match="install git"):
        read_worktree(folder.parent)


def test_a_git_program_that_hangs_is_an_error(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path / "bin", "exec sleep 60")
    monkeypatch.setattr(git, "TIMEOUT", 0.2)
    with pytest.raises(GitError, match=r"did not answer within 0\.2 seconds"):
        read_worktree(project)


def test_a_git_program_that_fails_is_quoted(project: Path) -> None:
    (project / ".git/index").write_bytes(b"broken")
    with pytest.raises(GitError, match=r"git cannot read .*index file"):
        read_worktree(project)


@pytest.mark.parametrize(("answer", "branch"), [("refs/heads/feature/x", "feature/x"), ("", None)])
def test_refs_that_are_not_files_are_asked_of_git(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, branch: str | None
) -> None:
    # The git of these tests may be too old for reftable (2.45), so a stand-in answers as that one documents it.
    (project / ".git/HEAD").write_text("ref: refs/heads/.invalid\n")
    sha = "a1" * 20
    symbolic_ref = f"echo {answer}" if answer else "exit 1"
    stand_in(monkeypatch, tmp_path / "bin", f'case "$1" in symbolic-ref) {symbolic_ref};; rev-parse) echo {sha};; esac')
    head = read_head(project, NO_CI)
    assert (head.branch, head.commit) == (branch, sha)


def test_the_branch_of_another_users_repository_is_read(of_another_user: Path) -> None:
    assert read_head(of_another_user, NO_CI).branch == "main"


def test_what_git_refuses_of_another_users_repository_is_an_error(of_another_user: Path) -> None:
    advice = re.escape(f"git config --global --add safe.directory {of_another_user}")
    with pytest.raises(DubiousOwnership, match=advice):
        read_head(of_another_user / "folder", NO_CI)
    with pytest.raises(DubiousOwnership, match=advice):
        read_worktree(of_another_user)


def test_a_directory_that_is_declared_safe_is_read(of_another_user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So do CI services: through the environment, which has to reach git.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(of_another_user))
    assert read_head(of_another_user / "folder", NO_CI).branch == "main"
    assert read_worktree(of_another_user) == Worktree(dirty=False, digest=None)


def test_a_head_on_a_ref_that_is_no_branch_is_detached(project: Path, commit: str) -> None:
    run(project, "update-ref", "refs/remotes/origin/main", commit)
    run(project, "symbolic-ref", "HEAD", "refs/remotes/origin/main")
    head = read_head(project, NO_CI)
    assert (head.branch, head.commit) == (None, commit)


def test_reading_head_is_cheap(project: Path) -> None:
    read_head(project, NO_CI)
    start = time.perf_counter()
    for _ in range(100):
        read_head(project, NO_CI)
    # It takes some 0.4 ms; one process of git alone takes more than ten times that.
    assert (time.perf_counter() - start) / 100 < 0.02
