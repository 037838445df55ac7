"""Whether work belongs to a git branch, or to another one that had its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedro_statisfactory.project.history import is_of_another_branch, made_from
from tests.project.conftest import run

OTHER = "a" * 40


def test_what_was_made_elsewhere_is_told_by_the_reflog(project: Path, commit: str) -> None:
    run(project, "switch", "--quiet", "--create", "wip")
    assert is_of_another_branch(project, "wip", commit, [(OTHER, 1)])
    assert is_of_another_branch(project, "wip", commit, [(OTHER, 1), (commit, 1)]), "that was before the branch"
    assert not is_of_another_branch(project, "wip", commit, [(OTHER, 1), (commit, 1 << 40)])
    assert not is_of_another_branch(project, "wip", commit, [])


def test_a_branch_that_came_from_a_remote_is_the_same(project: Path, commit: str) -> None:
    run(project, "update-ref", "refs/remotes/origin/wip", commit)
    run(project, "branch", "--no-track", "wip", "origin/wip")
    run(project, "update-ref", "-d", "refs/remotes/origin/wip")
    assert not is_of_another_branch(project, "wip", commit, [(OTHER, 1)])


def test_where_git_does_not_tell_it_is_the_same(
    project: Path, commit: str, tmp_path: Path, no_git_program: None
) -> None:
    assert not is_of_another_branch(project, "main", commit, [(OTHER, 1)])
    assert not is_of_another_branch(tmp_path, "main", commit, [(OTHER, 1)])
    assert made_from(project, "main") is None
    assert made_from(tmp_path, "main") is None


@pytest.mark.parametrize("branch", ["main", "none"])
def test_a_branch_without_a_beginning_is_the_same(project: Path, commit: str, branch: str) -> None:
    assert not is_of_another_branch(project, branch, commit, [(OTHER, 1)])


def test_it_is_told_from_which_branch_one_was_made(project: Path, commit: str) -> None:
    run(project, "switch", "--quiet", "--create", "wip")
    run(project, "switch", "--quiet", "--detach")
    run(project, "branch", "of-wip", "wip")
    run(project, "update-ref", "refs/remotes/origin/feature/x", commit)
    run(project, "branch", "--no-track", "of-remote", "origin/feature/x")
    assert made_from(project, "of-wip") == "wip"
    assert made_from(project, "of-remote") == "feature/x"
    assert made_from(project, "unknown") is None
    run(project, "reflog", "expire", "--expire=now", "HEAD")
    assert made_from(project, "wip") is None, "git has forgotten what was checked out"
