"""The git repository of a project is the one that tracks it, whatever lies around it or is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedro_statisfactory.errors import GitError
from kedro_statisfactory.project import git
from kedro_statisfactory.project.git import Head, Worktree, read_head, read_worktree
from tests.project.conftest import NO_CI, make_project, make_repository, run, stand_in


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
