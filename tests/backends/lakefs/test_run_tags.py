"""Of many runs at one git commit the newest are found by few listings of tags, which lakeFS lists oldest first."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends.lakefs import run_tags
from kedro_statisfactory.backends.lakefs.model import Ref
from kedro_statisfactory.backends.lakefs.run_tags import RunTags
from kedro_statisfactory.backends.lakefs.runs_at import RunAt
from kedro_statisfactory.errors import RefNotFound
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import git_tag
from kedro_statisfactory.session import Session

pytestmark = pytest.mark.once

_PAGE = 10
_SHA, _BEFORE = "b" * 40, "a" * 40
_HOUR = 3_600_000
_DAY = 24 * _HOUR


class _Api:
    """Lists tags as lakeFS does, and counts the listings; to make so many tags on a server takes long."""

    host = "a test"

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.listings = sorted(names), 0

    def tags(self, repository: str, prefix: str, after: str = "") -> Iterator[Ref]:
        listed = [name for name in self.names if name.startswith(prefix) and name > after]
        for number, name in enumerate(listed or [""]):
            self.listings += number % _PAGE == 0
            if name:
                yield Ref(name, f"commit of {name}")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tags, "PAGE", _PAGE)
    monkeypatch.setattr(run_tags, "ancestors", lambda *_: [_SHA, _BEFORE])


def _tags_of(api: Any) -> RunTags:
    return RunTags(Session(project=Project(Path("a project"))), api, logging.getLogger(__name__))


def _names(ago: Sequence[float], sha: str = _SHA) -> list[str]:
    """Tags of runs that ended so many milliseconds ago."""
    now = int(time.time() * 1000)
    return [git_tag(sha, now - int(each), f"run-{number:04}") for number, each in enumerate(ago)]


def _name_of(run: RunAt) -> str:
    return run.commit.removeprefix("commit of ")


def _spread(first: float, last: float) -> list[float]:
    numbers = random.Random(1)
    return [numbers.uniform(first, last) for _ in range(100 * _PAGE)]


@pytest.mark.parametrize(
    ("ago", "most"),
    [
        (_spread(0, 30 * _DAY), 9),
        (_spread(2 * _DAY, 20 * _DAY), 9),
        (_spread(_HOUR, 2 * _HOUR), 11),
        (_spread(30 * _DAY, 30 * _DAY + _HOUR), 29),
        ([*_spread(20 * _DAY, 30 * _DAY), 0], 3),
        (_spread(-_HOUR, 0), 110),
        ([_DAY] * 5 * _PAGE, 12),
    ],
    ids=["till now", "none lately", "an hour", "an hour long ago", "one now", "a clock that is fast", "one instant"],
)
def test_the_newest_of_many_runs_are_told_first_and_no_run_is_left_out(ago: list[float], most: int) -> None:
    api = _Api(_names(ago))
    runs = next(_tags_of(api).by_ancestor("repo", _SHA)).writers()
    assert _name_of(next(runs)) == api.names[-1]
    assert api.listings <= most
    assert [_name_of(run) for run in runs] == api.names[-2::-1]


@pytest.mark.parametrize("note", ["{}-note", "{}note--of--mine", "{}-dirty-note"])
def test_tags_of_others_among_those_of_many_runs_are_passed_over(note: str) -> None:
    names = _names(_spread(_HOUR, 2 * _HOUR))
    others = [note.format(name.rpartition("--")[0]) for name in sorted(names)[3::7]]
    runs = next(_tags_of(_Api([*names, *others])).by_ancestor("repo", _SHA))
    assert [_name_of(run) for run in runs] == sorted(names, reverse=True)


@pytest.mark.parametrize(
    "other",
    ["kedro-git-0-{}", f"kedro-git-{_SHA}--0{{}}", f"kedro-git-{_SHA}+{{}}", f"kedro-git-{_SHA}z{{}}", "kedro-git-z{}"],
)
def test_a_page_that_is_full_of_the_tags_of_others_does_not_end_the_search(other: str) -> None:
    names, before = _names([1, 2, 3]), _names([4, 5], sha=_BEFORE)
    api = _Api([*names, *before, *(other.format(f"{number:03}") for number in range(2 * _PAGE))])
    told = [[_name_of(run) for run in runs] for runs in _tags_of(api).by_ancestor("repo", _SHA)]
    assert told == [sorted(names, reverse=True), sorted(before, reverse=True)]
    assert _tags_of(api).nearest_ancestor("repo", _SHA) == _SHA


@pytest.mark.parametrize(
    "marks", [{"dirty": True}, {"only_read": True}, {"pinned": True}, {"dirty": True, "pinned": True}], ids=str
)
def test_runs_that_count_less_are_neither_in_the_way_nor_read_through(marks: dict[str, bool]) -> None:
    now = int(time.time() * 1000)
    for clean in ([], _names([_DAY, 2 * _DAY])):
        listings = set[int]()
        for amount in (20, 200):
            less = [git_tag(_SHA, now - number * 60_000, f"run-{number:04}", **marks) for number in range(amount * 10)]
            api = _Api([*less, *clean])
            runs = _tags_of(api).runs_at("repo", _SHA[:10])
            assert runs is not None
            assert _name_of(next(iter(runs))) == (clean or less)[0]
            listings.add(api.listings)
        assert max(listings) <= min(listings) + 4 <= 16, "they do not grow with the number of runs"


def test_a_short_sha_of_several_commits_is_known_for_that_however_many_runs_they_have() -> None:
    api = _Api([*_names(range(3 * _PAGE), sha="b" * 40), *_names([1], sha="b" * 39 + "c")])
    with pytest.raises(RefNotFound, match=r"is short for several git commits with runs: b{40}, b{39}c"):
        _tags_of(api).runs_at("repo", _SHA[:10])
    assert _tags_of(_Api([f"kedro-git-{_SHA}--x{number:03}" for number in range(30)])).runs_at("repo", _SHA) is None


@pytest.mark.parametrize("marks", ["-dirty", "-at", "-read", "-dirty-at", "-dirty-read"])
def test_a_run_whose_tag_is_in_the_older_form_is_found_and_in_the_way_of_none(marks: str) -> None:
    older = f"kedro-git-{_SHA}--{10**12:013}{marks}--id--of-it"
    tags = _tags_of(_Api([older]))
    (run,) = list(tags.runs_at("repo", _SHA[:10]) or [])
    assert (run.run_id, run.marks, run.milliseconds) == ("id--of-it", marks, 10**12)
    assert [[run.marks for run in runs] for runs in tags.by_ancestor("repo", _SHA)] == [[marks]]
    runs = _tags_of(_Api([older, *(names := _names(range(3 * _PAGE)))])).runs_at("repo", _SHA)
    assert [_name_of(each) for each in runs or ()] == sorted(names, reverse=True)
