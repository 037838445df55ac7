"""For tests of runs beside others' changes: half of a run, the run that an error names, a step that fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import RunError
from tests.runs.conftest import KedroProject


def half(project: KedroProject, value: int = 3) -> str:
    """Write `a` and `b` alone."""
    return project.run(value, nodes=["first", "second"])


def id_of(error: BaseException | None) -> str:
    """The run whose conflict an error tells."""
    return str(re.findall(r"(?:finish|abort) (\S+)`", str(error))[0])


def die(_: object) -> None:
    """In the place of a step that a run does not live to see."""
    raise RunError("dead")


def before_merge(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any], after: Callable[[], Any] = lambda: None
) -> None:
    """Let something happen between the last look of a run and its merge, once, and something right after that."""
    merge, calls = LakeFSAPI.merge, iter((True,))

    def raced(self: LakeFSAPI, *arguments: Any) -> str:
        if not next(calls, False):
            return merge(self, *arguments)
        act()
        landed = merge(self, *arguments)
        after()
        return landed

    monkeypatch.setattr(LakeFSAPI, "merge", raced)


def change(project: KedroProject, path: str = "a.json") -> Callable[[], None]:
    """Change an object by hand."""

    def commit() -> None:
        project.write(path, 9)
        project.api.create_commit(project.repository, "main", "by hand", {})

    return commit
