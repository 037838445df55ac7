"""Refs of lakeFS: those that an entry or a run is pinned to, and those that somebody put into a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.errors import BranchNotFound, ObjectNotFound, RefInPath, RefNotFound
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import AT, Pin
from kedro_statisfactory.project.branches import git_tag, run_tag
from kedro_statisfactory.project.settings import Settings
from tests.backends.lakefs.repositories import SHA, branches, commit, make_branch, on, pinned, tag, uncommitted, write
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


# -- pinned refs --------------------------------------------------------------------------------------------------


@pytest.fixture
def history(lakefs_local: LakeFSServer, local: str) -> Mapping[str, str]:
    """Refs of all kinds for the state in which ``x`` is ``old``; on ``main`` it is ``new``."""
    write(lakefs_local, local, "x", b"old")
    made = commit(lakefs_local, local)
    make_branch(lakefs_local, local, "past")
    tag(lakefs_local, local, "v1.0")
    for run in ("2026-11-23T15.44.00.000Z", "my run"):
        tag(lakefs_local, local, run_tag(run))
    tag(lakefs_local, local, git_tag(SHA, 1, "an-older-run"), "main~1")
    tag(lakefs_local, local, git_tag(SHA, 2, "2026-11-23T15.44.00.000Z"))
    write(lakefs_local, local, "x", b"new")
    commit(lakefs_local, local)
    return {
        "branch": "past",
        "tag": "v1.0",
        "commit": made,
        "commit prefix": made[:10],
        "expression": "main~1",
        "run id": "2026-11-23T15.44.00.000Z",
        "odd run id": "my run",
        "tag of a run": "kedro-2026-11-23T15.44.00.000Z",
        "git SHA": SHA,
        "short git SHA": SHA[:7],
    }


KINDS = (
    "branch",
    "tag",
    "commit",
    "commit prefix",
    "expression",
    "run id",
    "odd run id",
    "tag of a run",
    "git SHA",
    "short git SHA",
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_can_be_pinned_to(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    where, ref = parse(f"lakefs://{local}/x"), history[kind]
    backend = on(lakefs_local, "main")
    assert backend.get(fragment=where) == b"new"
    for _ in range(2):
        assert backend.get(fragment=where, lake_ref=ref) == b"old"
    assert not backend.exists(fragment=parse(f"lakefs://{local}/none"), lake_ref=ref)
    assert backend.refs.resolved(local, ref).at("x") == history["commit"]
    assert backend.version_options(ref) == {"lake_ref": ref}
    assert on(lakefs_local, "main", settings=Settings(at=ref)).get(fragment=where) == b"old"
    assert on(lakefs_local, None, settings=Settings(at=ref)).get(fragment=where) == b"old"
    monkeypatch.setenv(AT, ref)
    assert backend.get(fragment=where) == b"old"
    assert backend.get(fragment=where, lake_ref="main") == b"new"


def test_what_all_is_read_at_changes_nothing_about_writes(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str]
) -> None:
    backend = on(lakefs_local, "main", settings=Settings(at="v1.0"))
    backend.put(payload=b"newest", fragment=parse(f"lakefs://{local}/x"))
    assert on(lakefs_local, "main").get(fragment=parse(f"lakefs://{local}/x")) == b"newest"
    assert backend.get(fragment=parse(f"lakefs://{local}/x")) == b"old"


@pytest.mark.parametrize("ref", ["none", SHA[:6], "f" * 40, "2026-11-23T15.44.00.001Z"])
def test_what_means_nothing_is_an_error(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str], ref: str
) -> None:
    backend = on(lakefs_local, "main", settings=Settings(at=ref))
    with pytest.raises(RefNotFound, match=f"no branch, tag or commit '{ref}', no run"):
        backend.get(fragment=parse(f"lakefs://{local}/x"))
    with pytest.raises(RefNotFound):
        backend.refs.resolved(local, ref)


def test_a_run_once_found_takes_one_request(
    lakefs_local: LakeFSServer,
    local: str,
    history: Mapping[str, str],
    requests_of: Callable[[LakeFSBackend], list[str]],
) -> None:
    backend = on(lakefs_local, "main")
    where, run = parse(f"lakefs://{local}/x"), history["run id"]
    backend.get(fragment=where, lake_ref=run)
    sent = requests_of(backend)
    backend.get(fragment=where, lake_ref=run)
    assert sent == ["GET objects"]
    with pytest.raises(ObjectNotFound, match="there is no 'none'"):
        backend.get(fragment=parse(f"lakefs://{local}/none"), lake_ref=run)


def test_the_newest_run_at_a_git_commit_is_looked_for_each_time(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str]
) -> None:
    where = parse(f"lakefs://{local}/x")
    backends = on(lakefs_local, "main", settings=Settings(at=SHA)), on(lakefs_local, None, SHA)
    assert [backend.get(fragment=where) for backend in backends] == [b"old"] * 2
    tag(lakefs_local, local, git_tag(SHA, 3, "a-newer-run"))
    assert [backend.get(fragment=where) for backend in backends] == [b"new"] * 2


def test_a_short_git_sha_of_several_commits_is_refused(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str]
) -> None:
    tag(lakefs_local, local, git_tag(SHA[:-1] + "0", 3, "of-another-commit"))
    backend = on(lakefs_local, "main")
    with pytest.raises(RefNotFound, match="'0123456' is short for several git commits with runs"):
        backend.get(fragment=parse(f"lakefs://{local}/x"), lake_ref=SHA[:7])
    assert backend.get(fragment=parse(f"lakefs://{local}/x"), lake_ref=SHA) == b"old"


def test_a_run_reads_and_writes_where_it_is_pinned(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_branch(lakefs_local, local, "run")
    write(lakefs_local, local, "x", b"of the run", "run")
    monkeypatch.setenv(AT, "v1.0")  # the run has looked at it when it began
    where = parse(f"lakefs://{local}/x")
    outputs, inputs = pinned(lakefs_local, local, Pin("run", "run")), pinned(lakefs_local, local, Pin("past"))
    assert (outputs.get(fragment=where), inputs.get(fragment=where)) == (b"of the run", b"old")
    outputs.put(payload=b"once more", fragment=where)
    assert outputs.get(fragment=where) == b"once more"
    assert outputs.get(fragment=where, lake_ref="main") == b"new"
    monkeypatch.delenv(AT)
    assert on(lakefs_local, "main").get(fragment=where) == b"new"
    other = lakefs_local.new_repository()
    outputs.put(payload=b"x", fragment=parse(f"lakefs://{other}/x"))
    assert uncommitted(lakefs_local, other) == ["x"]


def test_what_a_run_did_not_announce_is_written_to_the_data_branch(
    lakefs_local: LakeFSServer, local: str, history: Mapping[str, str]
) -> None:
    pinned(lakefs_local, local, Pin("past")).put(payload=b"stray", fragment=parse(f"lakefs://{local}/x"))
    assert on(lakefs_local, "main").get(fragment=parse(f"lakefs://{local}/x")) == b"stray"


def test_a_run_whose_branch_is_gone_does_not_make_it_again(
    lakefs_local: LakeFSServer, local: str, tmp_path: Path
) -> None:
    backend = pinned(lakefs_local, local, Pin("run", "run"))
    where = parse(f"lakefs://{local}/x")
    with pytest.raises(BranchNotFound, match="the branch of the run is gone from"):
        backend.put(payload=b"x", fragment=where)
    with pytest.raises(BranchNotFound, match="the branch of the run is gone from"):
        backend.delete(fragment=where)
    for read in (backend.get, backend.exists, backend.stat):
        with pytest.raises(RefNotFound, match="'run'"):
            read(fragment=where)
    assert branches(lakefs_local, local) == ["main"]


def test_a_run_is_told_what_its_branch_does_not_have(lakefs_local: LakeFSServer, local: str) -> None:
    make_branch(lakefs_local, local, "run")
    backend = pinned(lakefs_local, local, Pin("run", "run"))
    with pytest.raises(ObjectNotFound, match="at 'run'"):
        backend.get(fragment=parse(f"lakefs://{local}/x"))
    assert not backend.exists(fragment=parse(f"lakefs://{local}/x"))


# -- a ref in the path --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["main", "v1.0"])
def test_a_ref_in_the_path_is_refused_on_a_write_and_explained_on_a_read(
    lakefs_local: LakeFSServer, local: str, first: str, tmp_path: Path
) -> None:
    tag(lakefs_local, local, "v1.0")
    where = parse(f"lakefs://{local}/{first}/a/x.csv")
    for branch in ("main", "feature"):  # on feature, before it is there
        backend = on(lakefs_local, branch)
        told = rf"'{first}' is a branch or tag.*write lakefs://{local}/a/x\.csv\..*save_args: {{lake_ref: {first}}}"
        with pytest.raises(RefInPath, match=told):
            backend.put(payload=b"x", fragment=where)
        with pytest.raises(RefInPath):
            backend.delete(fragment=where)
        told = rf"'{first}' is a branch or tag there: write lakefs://{local}/a/x\.csv, and `load_args: {{lake_ref: "
        with pytest.raises(ObjectNotFound, match=told):
            backend.get(fragment=where)
    assert branches(lakefs_local, local) == ["main"]
    assert uncommitted(lakefs_local, local) == []


def test_a_folder_in_use_may_have_the_name_of_a_ref(
    lakefs_local: LakeFSServer, local: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(lakefs_local, local, "main/old")
    backend = on(lakefs_local, "main")
    for name in ("x", "y"):
        backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/main/{name}"))
        assert backend.get(fragment=parse(f"lakefs://{local}/main/{name}")) == b"x"
    assert caplog.text.count("'main' is a folder on the branch 'main'") == 1


@pytest.mark.parametrize("folder", ["02_clean", "data", "über all", "-x"])
def test_the_first_segment_is_looked_at_once(
    lakefs_local: LakeFSServer, local: str, requests_of: Callable[[LakeFSBackend], list[str]], folder: str
) -> None:
    backend = on(lakefs_local, "main")
    sent = requests_of(backend)
    for name in ("x", "y"):
        backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/{folder}/{name}"))
    looks = ["GET " + folder] if folder in ("02_clean", "data") else []
    assert sent == [*looks, *["GET stat", "POST objects"] * 2]


def test_a_folder_whose_name_begins_a_commit_is_no_ref(lakefs_local: LakeFSServer, local: str) -> None:
    write(lakefs_local, local, "x")
    folder = commit(lakefs_local, local)[:6]
    on(lakefs_local, "main").put(payload=b"x", fragment=parse(f"lakefs://{local}/{folder}/x"))
    assert uncommitted(lakefs_local, local) == [f"{folder}/x"]


def test_a_path_of_one_segment_may_be_the_name_of_a_ref(lakefs_local: LakeFSServer, local: str) -> None:
    on(lakefs_local, "main").put(payload=b"x", fragment=parse(f"lakefs://{local}/main"))
    assert uncommitted(lakefs_local, local) == ["main"]


def test_a_pinned_write_does_not_name_its_branch_twice(lakefs_local: LakeFSServer, local: str) -> None:
    with pytest.raises(RefInPath, match=rf"write lakefs://{local}/x\.$"):
        on(lakefs_local, "main").put(payload=b"x", fragment=parse(f"lakefs://{local}/main/x"), lake_ref="main")
    assert uncommitted(lakefs_local, local) == []


def test_the_branch_that_a_write_would_make_is_no_folder(lakefs_local: LakeFSServer, local: str) -> None:
    backend, where = on(lakefs_local, "feature/x"), parse(f"lakefs://{local}/feature--x/x.csv")
    with pytest.raises(RefInPath, match=rf"write lakefs://{local}/x\.csv\."):
        backend.put(payload=b"x", fragment=where)
    assert not backend.exists(fragment=where)


def test_a_commit_and_an_expression_are_no_folders(lakefs_local: LakeFSServer, local: str) -> None:
    write(lakefs_local, local, "x.csv")
    for ref in (commit(lakefs_local, local), "main~1", "main@"):
        with pytest.raises(RefInPath):
            on(lakefs_local, "main").put(payload=b"x", fragment=parse(f"lakefs://{local}/{ref}/x.csv"))
        with pytest.raises(ObjectNotFound, match=r"write lakefs://\S+/x\.csv, and"):
            on(lakefs_local, "main").get(fragment=parse(f"lakefs://{local}/{ref}/x.csv"))
