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


# Which repository


def test_a_worktree_has_its_own_branch(project: Path, tmp_path: Path, commit: str) -> None:
    run(project, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    assert read_head(tmp_path / "side", NO_CI) == Head("side", commit, f"it is the HEAD of {tmp_path / 'side'}")
    assert read_head(project, NO_CI).branch == "main"


def test_a_submodule_has_its_own_branch(project: Path, submodule: Path) -> None:
    run(submodule, "switch", "--quiet", "--create", "of-submodule")
    run(project, "switch", "--quiet", "--create", "of-project")
    assert read_head(submodule, NO_CI).branch == "of-submodule"
    assert read_head(project, NO_CI).branch == "of-project"


def test_a_ci_service_does_not_name_the_branch_of_a_submodule(project: Path, submodule: Path) -> None:
    run(submodule, "switch", "--quiet", "--detach")
    run(project, "switch", "--quiet", "--detach")
    job = {"CIRCLECI": "true", "CIRCLE_BRANCH": "of-project"}
    assert read_head(project, job).branch == "of-project"
    head = read_head(submodule, job)
    assert head.branch is None
    assert head.commit == run(submodule, "rev-parse", "HEAD")
    assert "submodule" in head.reason


def test_a_project_in_a_tracked_folder_of_a_monorepo_has_its_branch(tmp_path: Path) -> None:
    commit = make_repository(tmp_path / "mono", files=("teams/churn [x]/pyproject.toml", "README.md"))
    head = read_head(tmp_path / "mono/teams/churn [x]", NO_CI)
    assert head == Head("main", commit, f"it is the HEAD of {tmp_path / 'mono'}")


def test_an_outer_repository_that_tracks_nothing_of_the_project_is_not_ours(project: Path) -> None:
    make_project(project / "vendor/mine")
    head = read_head(project / "vendor/mine", NO_CI)
    assert (head.branch, head.commit) == (None, None)
    assert f"repository {project} tracks no file of {project / 'vendor/mine'}" in head.reason
    assert read_worktree(project / "vendor/mine") is None


def test_the_name_of_a_project_is_no_pattern_for_tracked_folders(tmp_path: Path) -> None:
    make_repository(tmp_path / "mono", files=("xy/pyproject.toml",))
    make_project(tmp_path / "mono/x*")
    assert read_head(tmp_path / "mono/x*", NO_CI).branch is None


def test_a_project_becomes_part_of_the_outer_repository_when_it_is_added(project: Path) -> None:
    make_project(project / "new")
    run(project, "add", "new")
    assert read_head(project / "new", NO_CI).branch == "main"


def test_the_nearest_repository_counts(project: Path) -> None:
    make_repository(project / "inner")
    run(project / "inner", "switch", "--quiet", "--create", "innermost")
    assert read_head(project / "inner", NO_CI).branch == "innermost"


def test_without_a_repository_there_is_no_branch(tmp_path: Path) -> None:
    job = {"CIRCLECI": "true", "CIRCLE_BRANCH": "main"}
    head = read_head(tmp_path, job)
    assert head == Head(None, None, f"there is no .git in {tmp_path} or above it")
    assert read_worktree(tmp_path) is None


@pytest.mark.parametrize("content", ["gitdir: /of/a/repository/that/is/not/mounted", "nonsense"])
def test_a_broken_repository_is_an_error(tmp_path: Path, content: str) -> None:
    (make_project(tmp_path) / ".git").write_text(content)
    with pytest.raises(GitError, match=r"\.git is not a git repository that can be read.*container"):
        read_head(tmp_path, NO_CI)


def test_a_broken_repository_is_not_passed_over_for_an_outer_one(project: Path) -> None:
    (make_project(project / "inner") / ".git").mkdir()
    with pytest.raises(GitError, match="inner"):
        read_head(project / "inner", NO_CI)


def test_a_head_that_is_neither_ref_nor_commit_is_an_error(project: Path) -> None:
    (project / ".git/HEAD").write_text("0" * 40 + " garbage\n")
    with pytest.raises(GitError, match="neither a ref nor a commit"):
        read_head(project, NO_CI)


def test_variables_of_a_hook_do_not_lead_to_another_repository(
    project: Path, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    make_repository(other, files=("sub/file",))
    run(other, "switch", "--quiet", "--create", "others")
    make_project(project / "untracked")
    run(project, "switch", "--quiet", "--create", "ours")
    (project / ".git/info/exclude").write_text("untracked\n")
    before = read_worktree(project)
    variables = {
        "GIT_DIR": ".git",
        "GIT_WORK_TREE": "",
        "GIT_INDEX_FILE": ".git/index",
        "GIT_OBJECT_DIRECTORY": ".git/objects",
    }
    for name, path in variables.items():
        monkeypatch.setenv(name, str(other / path))
    monkeypatch.setenv("GIT_PREFIX", "sub/")
    assert read_head(project, NO_CI) == Head("ours", commit, f"it is the HEAD of {project}")
    assert read_head(project / "untracked", NO_CI).branch is None
    assert read_worktree(project) == before == Worktree(dirty=False, digest=None)


def test_no_variable_that_git_knows_for_a_repository_reaches_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = set(run(project, "rev-parse", "--local-env-vars").split())
    for name in local:
        monkeypatch.setenv(name, "x")
    stand_in(monkeypatch, tmp_path / "bin", "env")
    reached = {line.partition(b"=")[0].decode() for line in git._git(project).splitlines()}
    assert {name for name in reached & local if not name.startswith("GIT_CONFIG")} == set()


def test_refs_of_another_repository_are_an_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_COMMON_DIR", str(project / ".git"))
    with pytest.raises(GitError, match=r"GIT_COMMON_DIR.*unset it"):
        read_head(project, NO_CI)


def _foreign(tmp_path: Path) -> tuple[Path, str]:
    """The checkout of something that is no Kedro project, and its commit."""
    commit = make_repository(tmp_path / "dags", files=("dag.py", "pyproject.toml", "jobs/job.py"))
    (tmp_path / "dags/pyproject.toml").write_text("[tool.ruff]\n")
    run(tmp_path / "dags", "remote", "add", "origin", "git@github.com:acme/dags.git")
    return tmp_path / "dags", commit


@pytest.mark.parametrize("folder", ["", "jobs"])
def test_the_git_repository_of_a_folder_that_is_no_kedro_project_says_nothing(tmp_path: Path, folder: str) -> None:
    top, commit = _foreign(tmp_path)
    here = top / folder
    job = {"CIRCLECI": "true", "CIRCLE_BRANCH": "main"}
    reason = f"the folder {here} is no Kedro project: its pyproject.toml has no [tool.kedro]"
    assert read_head(here, job) == Head(None, None, reason)
    assert read_worktree(here) is None
    assert git.ref_names(here) == []
    assert git.ancestors(here, commit) == []
    assert git.commit_url(here, commit) is None


def test_the_same_repository_speaks_for_a_kedro_project(tmp_path: Path) -> None:
    """The negative control."""
    top, commit = _foreign(tmp_path)
    make_project(top)
    assert read_head(top, NO_CI).branch == "main"
    assert read_worktree(top) == Worktree(dirty=False, digest=None)
    assert git.ref_names(top) == ["main"]
    assert git.ancestors(top, commit) == [commit]
    assert git.commit_url(top, commit) == ("github.com", f"https://github.com/acme/dags/commit/{commit}")


def test_a_broken_repository_of_others_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("nonsense")
    assert read_head(tmp_path, NO_CI).branch is None


def test_a_broken_repository_above_the_project_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /of/a/repository/that/is/not/mounted")
    with pytest.raises(GitError, match=r"\.git is not a git repository that can be read.*container"):
        read_head(make_project(tmp_path / "project"), NO_CI)


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


@pytest.fixture
def of_another_user(project: Path) -> Path:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("SKIPPED: only root can give a repository to another user, so dubious ownership is NOT tested here")
    make_project(project / "folder")
    run(project, "add", ".")
    run(project, "commit", "--quiet", "--message=folder")
    for path in (project, *project.rglob("*")):
        os.lchown(path, 12345, 12345)
    return project


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


# The worktree


def digest(project: Path) -> str:
    worktree = read_worktree(project)
    assert worktree is not None
    assert worktree.dirty
    assert worktree.digest is not None
    assert re.fullmatch("[0-9a-f]{64}", worktree.digest)
    return worktree.digest


def test_a_clean_worktree_has_no_digest(project: Path) -> None:
    (project / ".git/info/exclude").write_text("ignored\n")
    (project / "ignored").write_text("x")
    os.utime(project / "code.py", (1, 1))
    assert read_worktree(project) == Worktree(dirty=False, digest=None)


def test_each_change_has_a_digest_of_its_own(project: Path) -> None:
    digests = []
    for content in ("a", "b", "a\0b", "a\0c"):
        (project / "code.py").write_text(content)
        digests.append(digest(project))
    (project / "code.py").unlink()
    digests.append(digest(project))
    run(project, "checkout", "--quiet", "code.py")
    (project / "code.py").chmod(0o755)
    digests.append(digest(project))
    run(project, "checkout", "--quiet", "code.py")
    (project / "new").write_text("x")
    digests.append(digest(project))
    (project / "new").write_text("y")
    digests.append(digest(project))
    (project / "new").rename(project / "new\né")
    digests.append(digest(project))
    (project / "new\né").unlink()
    (project / "link").symlink_to("gone")
    digests.append(digest(project))
    (project / "link").unlink()
    make_repository(project / "nested")
    digests.append(digest(project))
    assert len(set(digests)) == len(digests) == 11


def _sparse(path: Path, size: int) -> None:
    """A file of so many bytes that takes none on the disk."""
    with path.open("wb") as file:
        file.truncate(size)


def _read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The files whose content is read from now on."""
    read: list[bytes] = []
    of_file = git._digest_of_file

    def record(path: bytes) -> bytes:
        read.append(path)
        return of_file(path)

    monkeypatch.setattr(git, "_digest_of_file", record)
    return read


def test_large_untracked_files_count_by_size_and_time_and_are_not_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _read(monkeypatch)
    _sparse(project / "large", 1 << 33)
    digests = [digest(project)]
    os.utime(project / "large", ns=(1, 1))
    digests.append(digest(project))
    _sparse(project / "large", (1 << 33) + 1)
    os.utime(project / "large", ns=(1, 1))
    digests.append(digest(project))
    assert digest(project) == digests[-1]
    assert len(set(digests)) == 3
    assert read == []
    (project / "small").write_text("x")
    assert digest(project) not in digests
    assert [os.path.basename(path) for path in read] == [b"small"]


def test_of_many_untracked_files_only_so_many_bytes_are_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = _read(monkeypatch)
    monkeypatch.setattr(git, "MOST_READ", 25)
    for name in "abcd":
        (project / name).write_text(10 * name)
    before = digest(project)
    assert [os.path.basename(path) for path in read] == [b"a", b"b"]
    (project / "d").write_text("other here")
    os.utime(project / "d", ns=(1, 1))
    assert digest(project) != before


def test_a_file_that_goes_while_it_is_looked_at_is_no_error(project: Path) -> None:
    assert list(git._untracked(project, [b"gone"])) == [(b"gone", b"")]


@pytest.mark.parametrize(("size", "files", "told"), [(2 << 30, 1, True), (1, 11, True), (1, 10, False)])
def test_much_that_is_untracked_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, size: int, files: int, told: bool
) -> None:
    monkeypatch.setattr(git, "MANY_FILES", 10)
    for number in range(files):
        _sparse(project / f"file-{number}", size)
    with caplog.at_level("INFO", "kedro.statisfactory"):
        digest(project)
    assert ("name those that are none in a .gitignore" in caplog.text) == told
    assert len(caplog.records) == told


def test_staging_a_change_does_not_change_the_digest(project: Path) -> None:
    (project / "code.py").write_text("x")
    before = digest(project)
    run(project, "add", ".")
    assert digest(project) == before


def test_the_digest_does_not_depend_on_the_users_configuration(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "code.py").write_text("line\n" * 40)
    (project / "é.py").write_text("a\nb\n")
    run(project, "add", ".")
    run(project, "commit", "--quiet", "--message=second")
    (project / "é.py").rename(project / "moved.py")
    (project / "code.py").write_text("line\n" * 20 + "new\n" + "line\n" * 20)
    run(project, "add", ".")
    before = digest(project)
    options = {"noprefix": "true", "external": "false", "algorithm": "patience", "context": "9", "renames": "false"}
    options |= {"mnemonicPrefix": "true", "orderFile": str(tmp_path / "order"), "submodule": "log"}
    (tmp_path / "order").write_text("code.py\n")
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    (tmp_path / "config").write_text(f"[diff]\n{lines}[color]\nui = always\n[core]\nquotePath = false\nabbrev = 40\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert digest(project) == before


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_worktree_without_commits_is_dirty(tmp_path: Path, object_format: str) -> None:
    run(tmp_path, "init", "--quiet", f"--object-format={object_format}", "project")
    (tmp_path / "project/.git/info/exclude").write_text("pyproject.toml\n")
    assert read_worktree(make_project(tmp_path / "project")) == Worktree(dirty=False, digest=None)
    (tmp_path / "project/file").write_text("x")
    untracked = digest(tmp_path / "project")
    run(tmp_path / "project", "add", ".")
    assert digest(tmp_path / "project") != untracked


def test_the_whole_repository_counts_not_only_the_project(tmp_path: Path) -> None:
    make_repository(tmp_path / "mono", files=("project/pyproject.toml", "library.py"))
    assert read_worktree(tmp_path / "mono/project") == Worktree(dirty=False, digest=None)
    (tmp_path / "mono/library.py").write_text("changed")
    digest(tmp_path / "mono/project")


def test_another_git_at_work_does_not_disturb(project: Path) -> None:
    (project / ".git/index.lock").write_text("")
    os.utime(project / "code.py", (1, 1))
    assert read_worktree(project) == Worktree(dirty=False, digest=None)
    (project / "code.py").write_text("x")
    digest(project)


def test_a_changed_submodule_counts_whatever_the_configuration_says(project: Path, submodule: Path) -> None:
    assert read_worktree(project) == Worktree(dirty=False, digest=None)
    run(submodule, "commit", "--quiet", "--allow-empty", "--message=second")
    before = digest(project)
    run(project, "config", "diff.submodule", "log")
    run(project, "config", "diff.ignoreSubmodules", "all")
    assert digest(project) == before


def test_reading_head_is_cheap(project: Path) -> None:
    read_head(project, NO_CI)
    start = time.perf_counter()
    for _ in range(100):
        read_head(project, NO_CI)
    # It takes some 0.4 ms; one process of git alone takes more than ten times that.
    assert (time.perf_counter() - start) / 100 < 0.02


def test_the_names_that_git_knows_are_those_of_branches_and_tags(project: Path, tmp_path: Path) -> None:
    run(project, "branch", "feature/x")
    run(project, "tag", "v1.0")
    run(project, "update-ref", "refs/remotes/origin/theirs/too", "HEAD")
    assert git.ref_names(project) == ["feature/x", "main", "theirs/too", "v1.0"]
    assert git.ref_names(tmp_path) == []


def test_a_branch_that_is_gone_was_known_where_it_was_checked_out_or_had_a_commit(project: Path, commit: str) -> None:
    for name in ("empty", "merged"):
        run(project, "switch", "-qc", name)
    run(project, "commit", "--quiet", "--allow-empty", "--message=more")
    own = run(project, "rev-parse", "HEAD")
    run(project, "switch", "-q", "main")
    run(project, "merge", "--quiet", "--no-ff", "--message=merge", "merged")
    run(project, "branch", "-qD", "empty", "merged")
    assert git.was_known(project, "empty", commit)
    assert not git.was_known(project, "theirs", commit), "it may have been made just now"
    run(project, "reflog", "expire", "--expire=all", "--all")
    assert not git.was_known(project, "empty", commit), "git does not remember"
    assert git.was_known(project, "merged", own)
    run(project, "config", "remote.origin.fetch", "+refs/heads/main:refs/remotes/origin/main")
    assert not git.was_known(project, "merged", own), "it may be there, and is not fetched"
    run(project, "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    assert git.was_known(project, "merged", own)


def test_without_a_git_program_no_names_are_known(project: Path, no_git_program: None) -> None:
    assert git.ref_names(project) == []


def test_a_repository_of_another_user_tells_no_names_and_no_ancestors(of_another_user: Path) -> None:
    assert git.ref_names(of_another_user) == git.ref_names(of_another_user / "folder") == []
    assert git.ancestors(of_another_user / "folder", "0" * 40) == []


def test_a_name_means_a_commit_and_nothing_else(project: Path, commit: str, tmp_path: Path) -> None:
    run(project, "tag", "v1.0")
    for name in ("v1.0", "main", "HEAD", "HEAD~0", "@", commit, commit[:8]):
        assert git.commit_named(project, name) == commit, name
    for name in (
        "none",
        "--all",
        "-h",
        "main..v1.0",
        "main...main",
        ":/first",
        "HEAD:code.py",
        "main^{/first}",
        "",
        "a b",
    ):
        assert git.commit_named(project, name) is None, name
    assert git.commit_named(tmp_path, "main") is None


def test_a_name_means_nothing_where_there_is_no_git(project: Path, no_git_program: None) -> None:
    assert git.commit_named(project, "main") is None
