"""Whether work belongs to a git branch, or to another one that had its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedro_statisfactory.project.history import is_of_another_branch
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


@pytest.mark.parametrize("branch", ["main", "none"])
def test_a_branch_without_a_beginning_is_the_same(project: Path, commit: str, branch: str) -> None:
    assert not is_of_another_branch(project, branch, commit, [(OTHER, 1)])
