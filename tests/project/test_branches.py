"""The map from git branches to data branches is injective, readable and legal: shown on names that try to break it."""

from __future__ import annotations

import itertools
import os
import re
import string
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kedro_statisfactory.errors import BranchCollision, InvalidDataBranch, InvalidGitBranch
from kedro_statisfactory.project.branches import LEGAL_BRANCH, MAX_LENGTH, check_explicit, data_branch

pytestmark = pytest.mark.once


#: Characters between which names collide, if anything collides: separators, hex and other letters, a capital, no ASCII.
HOSTILE = "ag1_-/.éFe"


class Collisions:
    """Detects names that share a data branch, among all names ever shown to it."""

    def __init__(self, mapping: Callable[[str], str]) -> None:
        self.mapping = mapping
        self.owners: dict[str, str] = {}
        self.found: list[tuple[str, str]] = []

    def show(self, name: str) -> str:
        result = self.mapping(name)
        owner = self.owners.setdefault(result, name)
        if owner != name:
            self.found.append((owner, name))
        return result


def is_git_branch(name: str) -> bool:
    """``git check-ref-format --branch``, with the names that only ``--branch`` refuses: HEAD, and a dash in front."""
    components = name.split("/")
    return (
        name != "HEAD"
        and not name.startswith("-")
        and not any(part == "" or part.startswith(".") or part.endswith(".lock") for part in components)
        and not name.endswith(".")
        and not any(bad in name for bad in ("..", "@{", *" ~^:?*[\\"))
        and not any(ord(character) < 32 or ord(character) == 127 for character in name)
    )


def assert_is_legal(result: str) -> None:
    """lakeFS accepts the name, and cannot take it for a commit id, its prefix, or an expression on a ref."""
    assert re.fullmatch(r"[0-9A-Za-z_][-0-9A-Za-z_]*", result)
    assert not set(result) <= set(string.hexdigits)
    assert 1 <= len(result) <= MAX_LENGTH == 100
    assert result != "HEAD"


def short_names() -> list[str]:
    """Every name of up to six characters over a hostile alphabet, whether git takes it or not."""
    return ["".join(name) for length in range(1, 7) for name in itertools.product("a-/._é", repeat=length)]


words = st.text(HOSTILE, min_size=1, max_size=12)
names = st.one_of(
    words,
    st.text(min_size=1, max_size=20),
    st.lists(st.sampled_from(["feature", "fix", "1.2", "cafe", "a-", "-b", "é", "HEAD", "x.lock"]), min_size=1).map(
        "/".join
    ),
    st.builds(lambda word, times: word * times, words, st.integers(1, 60)),
    words.map(data_branch),
)


def test_two_git_branches_never_share_a_data_branch() -> None:
    collisions = Collisions(data_branch)

    @settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(names, st.sampled_from(["-", "--", "---", "/", "_", "."]))
    def show(name: str, mark: str) -> None:
        # The neighbours of a name are the likeliest to fall on its data branch.
        for neighbour in {name, f"a{name}", name.replace("/", mark), name.replace("-", mark)} - {"HEAD"}:
            assert_is_legal(collisions.show(neighbour))
        assert collisions.found == []

    show()
    assert sum(map(is_git_branch, collisions.owners.values())) >= 10_000


def test_all_short_names_have_a_data_branch_of_their_own() -> None:
    collisions = Collisions(data_branch)
    for name in short_names():
        assert_is_legal(collisions.show(name))
    assert len(collisions.owners) == 55_986
    assert sum(map(is_git_branch, short_names())) > 10_000
    assert collisions.found == []


@pytest.mark.parametrize(
    "naive",
    [
        lambda name: name.replace("/", "-"),
        lambda name: name.replace("/", "--"),
        lambda name: re.sub("[^0-9A-Za-z_]", "-", name),
    ],
)
def test_the_detector_finds_collisions_of_naive_maps(naive: Callable[[str], str]) -> None:
    collisions = Collisions(naive)
    for name in filter(is_git_branch, short_names()):
        collisions.show(name)
    assert collisions.found


def test_the_rule_of_git_in_these_tests_is_that_of_git(tmp_path: Path) -> None:
    listed = [
        "main",
        "HEAD",
        "a/HEAD",
        "head",
        "-a",
        "a/-b",
        "a-/b",
        "a//b",
        "/a",
        "a/",
        "a/b-",
        "@",
        "@{-1}",
        "a@{1}",
        "a@b",
    ]
    listed += [
        "a.lock",
        "a.lock/b",
        "a.lockx",
        ".a",
        "a/.b",
        "a.",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
    ]
    listed += [
        "é",
        "a\u00a0b",
        "a\u2003b",
        "a\x7fb",
        "a\x01b",
        "a\tb",
        "a\nb",
        "refs/heads/a",
        "{",
        "a{b}",
        "a'b",
        'a"b',
        "$a",
        "a,b;c",
    ]
    sample = listed + short_names()[::100]
    script = 'for name in "$@"; do git check-ref-format --branch "$name" >/dev/null 2>&1 && echo yes || echo no; done'
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["sh", "-c", script, "sh", *sample]
    answers = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, check=True, timeout=60, text=True)
    verdicts = [answer == "yes" for answer in answers.stdout.split()]
    assert len(verdicts) == len(sample) > 600
    assert verdicts.count(True) > 100
    assert [name for name, verdict in zip(sample, verdicts, strict=True) if is_git_branch(name) != verdict] == []


@pytest.mark.parametrize("name", ["main", "fix_12", "my-branch", "a-", "_", "Cafe_1", "x" * 100, "abcdefg", "v2"])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert data_branch(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [("feature/foo_bar", "feature--foo_bar"), ("a/b/c", "a--b--c"), ("a/b-", "a--b-"), ("cafe/1", "cafe--1")],
)
def test_slashes_become_two_dashes(name: str, expected: str) -> None:
    assert data_branch(name) == expected


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("release/1.2", "release-1-2"),
        ("a--b", "a-b"),
        ("a-/b", "a-b"),
        ("a/-b", "a-b"),
        ("cafe", "cafe"),
        ("2026", "2026"),
        ("CAFE", "CAFE"),
        ("-a", "a"),
        ("é", "branch"),
        ("\udce9", "branch"),
        ("main\n", "main"),
        ("x" * 101, "x" * 77),
        ("x" * 76 + "/1.2" * 9, "x" * 76),
        ("a/" * 40 + "a", "-".join("a" * 39)),
    ],
)
def test_anything_else_gets_a_readable_head_and_a_hash(name: str, head: str) -> None:
    assert re.fullmatch(re.escape(head) + "---[0-9a-f]{20}", data_branch(name))


def test_a_digit_of_another_script_is_not_plain() -> None:
    assert LEGAL_BRANCH.fullmatch("a٣") is None
    assert data_branch("a٣").startswith("a---")


@pytest.mark.parametrize("name", ["", "HEAD"])
def test_there_is_no_data_branch_called_head(name: str) -> None:
    with pytest.raises(InvalidGitBranch, match="git branch -m"):
        data_branch(name)


def test_a_branch_called_head_in_a_folder_is_a_branch_like_any_other() -> None:
    assert data_branch("fix/HEAD") == "fix--HEAD"


def test_the_map_of_the_settings_goes_before_the_rules() -> None:
    explicit = {"main": "production---git", "release/1.2": "stable", "stable": "main", "x": "x", "é": data_branch("é")}
    check_explicit(explicit)
    assert [data_branch(name, explicit) for name in explicit] == list(explicit.values())
    assert data_branch("feature/x", explicit) == "feature--x"


@pytest.mark.parametrize(
    ("explicit", "cause"),
    [
        ({"x": "same---git", "y": "same---git"}, "both mapped"),
        ({"x": "main"}, "map 'main' as well, for example to 'main---git'"),
        ({"x": "feature--foo"}, "that of the git branch 'feature/foo'"),
        ({"x": "main", "main": "y"}, "that of the git branch 'y'"),
    ],
)
def test_two_git_branches_cannot_be_mapped_to_one_data_branch(explicit: dict[str, str], cause: str) -> None:
    with pytest.raises(BranchCollision, match=cause):
        check_explicit(explicit)


def test_what_a_collision_advises_is_accepted() -> None:
    check_explicit({"x": "main", "main": "main---git"})
    check_explicit({"main": "production", "production": "main"})


@pytest.mark.parametrize("target", ["", "a/b", "-a", "a.b", "é", "a b", "a\n", "x" * 101, 12, None])
def test_a_data_branch_must_be_legal(target: str) -> None:
    with pytest.raises(InvalidDataBranch, match="not a legal one"):
        check_explicit({"main": target})


@pytest.mark.parametrize("target", ["HEAD", "cafe", "2026", "A" * 70, data_branch("release/1.2")])
def test_a_data_branch_must_not_be_taken_for_something_else(target: str) -> None:
    with pytest.raises(InvalidDataBranch, match="could be taken for"):
        check_explicit({"main": target})


@pytest.mark.parametrize("name", ["", "HEAD", 12])
def test_only_git_branches_can_be_mapped(name: str) -> None:
    with pytest.raises(InvalidGitBranch, match="in the branch map"):
        check_explicit({name: "data"})


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(words, words.map(data_branch) | words, max_size=4), st.lists(words, max_size=8))
def test_a_map_that_is_accepted_keeps_git_branches_apart(explicit: dict[str, str], others: list[str]) -> None:
    try:
        check_explicit(explicit)
    except (InvalidDataBranch, BranchCollision):
        return
    everything = {*explicit, *explicit.values(), *(target.replace("--", "/") for target in explicit.values()), *others}
    collisions = Collisions(lambda name: data_branch(name, explicit))
    for name in everything:
        collisions.show(name)
    assert collisions.found == []
