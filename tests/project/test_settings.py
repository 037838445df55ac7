"""Each wrong key or value of ``statisfactory.yml`` is one clear error; without the file all works."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kedro_statisfactory.errors import BranchCollision, InvalidDataBranch, InvalidGitBranch, InvalidSettings
from kedro_statisfactory.project.branches import MAX_LENGTH
from kedro_statisfactory.project.settings import Settings, parse_settings


def test_an_empty_file_gives_the_defaults() -> None:
    assert parse_settings({}) == Settings()
    assert Settings() == Settings(
        mode="isolated",
        branch=None,
        source=None,
        branches={},
        at=None,
        merge=None,
        keep_failed=False,
        grace_hours=24.0,
    )


def test_all_that_can_be_set_is_set() -> None:
    content: dict[str, Any] = {
        "mode": "direct",
        "branch": "production",
        "source": "v1.0",
        "branches": {"release/1.2": "release-12", "release-12": "release-12---git"},
        "at": "2026-11-23T15.44.00.000Z",
        "merge": "dest-wins",
        "keep_failed": True,
        "grace_hours": 1,
        "cache": {"size": "1.5 GB"},
    }
    assert parse_settings(content) == Settings(**content)


def test_off_needs_no_quotes() -> None:
    assert parse_settings(yaml.safe_load("mode: off")).mode == "off"


def test_a_key_without_a_value_counts_as_absent() -> None:
    names = ("mode", "branch", "source", "branches", "at", "merge", "keep_failed", "gateway", "grace_hours")
    assert parse_settings(dict.fromkeys(names)) == Settings()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"mod": "direct"}, r"'mod': did you mean 'mode'\?"),
        ({"zzz": 1}, "'zzz': known are mode, branch,"),
        ({7: 1}, "unknown key 7"),
        ({"mode": "fast"}, "'mode' is 'fast': choose one of isolated, direct, off"),
        ({"mode": ["direct"]}, r"'mode' is \['direct'\]"),
        ({"mode": True}, "'mode' is True"),
        ({"merge": "ours"}, "'merge' is 'ours': choose one of source-wins, dest-wins"),
        ({"at": 20261123}, "'at' is 20261123, no text: put a name there, between quotes"),
        ({"source": ""}, "'source' is ''"),
        ({"branch": 1.2}, "'branch' is 1.2"),
        ({"branch": "release/1.2"}, "'branch' is 'release/1.2', which lakeFS does not allow"),
        ({"branch": "main\n"}, "which lakeFS does not allow"),
        ({"branch": "x" * (MAX_LENGTH + 1)}, "which lakeFS does not allow"),
        ({"branch": "HEAD"}, "'branch' is 'HEAD'"),
        ({"branch": "cafe"}, "could be taken for a commit id"),
        ({"branch": "kedro----x"}, "or a run: choose another"),
        ({"branch": "feature/x"}, "has the data branch 'feature--x'"),
        ({"branches": ["main"]}, "'branches' is no mapping"),
        ({"gateway": "s3.example.org"}, "'gateway' is no URL of a server"),
        ({"keep_failed": "yes"}, "'keep_failed' is 'yes': write true or false"),
        ({"grace_hours": "24"}, "'grace_hours' is '24': write a number of hours"),
        ({"grace_hours": -1}, "'grace_hours' is -1"),
        ({"grace_hours": float("nan")}, "'grace_hours' is nan"),
        ({"grace_hours": True}, "'grace_hours' is True"),
        ({"cache": False}, r"'cache' is False: write it as in `cache: {size: 20 GiB}`"),
        ({"cache": {"sizes": 1}}, r"'cache' is {'sizes': 1}"),
        ({"cache": {"size": "much"}}, "'size' of 'cache' is 'much': write a number and a unit, as in '20 GiB'"),
        ({"cache": {"size": True}}, "'size' of 'cache' is True"),
    ],
)
def test_what_means_nothing_is_named(content: dict[Any, Any], told: str) -> None:
    with pytest.raises(InvalidSettings, match=f"statisfactory.yml.*{told}"):
        parse_settings(content)


@pytest.mark.parametrize(
    ("branches", "error"),
    [
        ({"": "x"}, InvalidGitBranch),
        ({"x": "HEAD"}, InvalidDataBranch),
        ({"x": "main"}, BranchCollision),
    ],
)
def test_a_map_of_branches_is_one_to_one_and_legal(branches: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_settings({"branches": branches})
