"""Whether the worktree has changes, and a digest of them that depends on nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kedro_statisfactory.project import git
from kedro_statisfactory.project.git import Worktree, read_worktree
from tests.project.conftest import make_project, make_repository, run


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
