"""Which names git knows, and the commits that they mean."""

from __future__ import annotations

from pathlib import Path

from kedro_statisfactory.project import git
from tests.project.conftest import run


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
