"""The data branch that follows git: made on the first write, and what stands for it without a git branch."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kedro_statisfactory.backends import LakeFSBackend
from kedro_statisfactory.errors import BranchNotFound, NoDataBranch, NotABranch, ObjectNotFound, RefNotFound
from kedro_statisfactory.location import parse
from kedro_statisfactory.project import Project, announce
from kedro_statisfactory.project.branches import git_tag
from kedro_statisfactory.project.git import Head, ancestors
from kedro_statisfactory.project.settings import Settings
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import LARGE, SHA, branches, commit, make_branch, on, tag, uncommitted, write
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


# -- the branch that follows git ----------------------------------------------------------------------------------


def test_data_follows_git(lakefs_server: LakeFSServer, repository: str) -> None:
    where = parse(f"lakefs://{repository}/x")
    project = Project(head=Head("main", None, "a test"))
    announce(lambda: project)
    backend = LakeFSBackend(Session(lakefs_server.credentials))
    backend.put(payload=b"of main", fragment=where)
    commit(lakefs_server, repository)
    project = Project(head=Head("feature/x", None, "a test"))
    assert backend._get_current_branch_name() == "feature--x"
    backend.put(payload=b"of x", fragment=where)
    assert backend.get(fragment=where) == b"of x"
    project = Project(head=Head("main", None, "a test"))
    assert backend.get(fragment=where) == b"of main"


def test_a_branch_is_created_on_the_first_write_and_not_on_a_read(
    lakefs_local: LakeFSServer, local: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write(lakefs_local, local, "x", b"of main")
    commit(lakefs_local, local)
    feature = on(lakefs_local, "feature")
    where = parse(f"lakefs://{local}/x")
    for _ in range(2):
        assert feature.get(fragment=where) == b"of main"
        assert feature.exists(fragment=where)
        assert [info.path for info in feature.list(fragment=parse(f"lakefs://{local}/y"))] == []
    assert branches(lakefs_local, local) == ["main"]
    said = f"The branch 'feature' of '{local}' does not exist yet: reading from 'main'"
    assert caplog.text.count(said) == 1
    with pytest.raises(ObjectNotFound, match=r"no 'none' in .* at 'main'"):
        feature.get(fragment=parse(f"lakefs://{local}/none"))
    feature.put(payload=b"of feature", fragment=where)
    assert branches(lakefs_local, local) == ["feature", "main"]
    assert caplog.text.count(f"Created the branch 'feature' of '{local}' from 'main'") == 1
    assert (feature.get(fragment=where), on(lakefs_local, "main").get(fragment=where)) == (b"of feature", b"of main")


@pytest.mark.parametrize("kind", ["branch", "tag", "commit"])
def test_a_branch_is_created_from_the_configured_source(lakefs_local: LakeFSServer, local: str, kind: str) -> None:
    write(lakefs_local, local, "x", b"old")
    old = commit(lakefs_local, local)
    make_branch(lakefs_local, local, "source")
    tag(lakefs_local, local, "v1.0", old)
    write(lakefs_local, local, "x", b"new")
    source = {"branch": "source", "tag": "v1.0", "commit": old}[kind]
    feature = on(lakefs_local, "feature", settings=Settings(source=source))
    assert feature.get(fragment=parse(f"lakefs://{local}/x")) == b"old"
    feature.put(payload=b"", fragment=parse(f"lakefs://{local}/y"))
    assert feature.get(fragment=parse(f"lakefs://{local}/x")) == b"old"


def test_a_source_that_is_not_there_is_an_error(lakefs_local: LakeFSServer, local: str) -> None:
    where = parse(f"lakefs://{local}/x")
    feature = on(lakefs_local, "feature", settings=Settings(source="none"))
    with pytest.raises(RefNotFound, match="'none'"):
        feature.get(fragment=where)
    with pytest.raises(BranchNotFound, match="no 'none' from which to make the branch 'feature'"):
        feature.put(payload=b"", fragment=where)


def test_a_delete_on_a_new_branch_leaves_the_source_as_it_is(lakefs_local: LakeFSServer, local: str) -> None:
    write(lakefs_local, local, "x")
    commit(lakefs_local, local)
    feature = on(lakefs_local, "feature")
    feature.delete(fragment=parse(f"lakefs://{local}/x"))
    assert not feature.exists(fragment=parse(f"lakefs://{local}/x"))
    assert on(lakefs_local, "main").exists(fragment=parse(f"lakefs://{local}/x"))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_many_processes_at_once_write_first_to_a_new_branch(lakefs_local: LakeFSServer, local: str) -> None:
    backend = on(lakefs_local, "feature")
    assert not backend.exists(fragment=parse(f"lakefs://{local}/x"))  # a connection that no child may use
    context = multiprocessing.get_context("fork")
    together = context.Barrier(32)

    def first(number: int) -> None:
        together.wait(60)
        backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/tree/{number}"))

    processes = [context.Process(target=first, args=(number,)) for number in range(32)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 32
    assert len(list(backend.list(fragment=parse(f"lakefs://{local}/tree")))) == 32


def test_a_tag_with_the_name_of_the_data_branch_is_no_branch(lakefs_local: LakeFSServer, local: str) -> None:
    tag(lakefs_local, local, "feature")
    with pytest.raises(NotABranch, match=r"'feature' cannot be made.*Rename the tag, or give.*`branches`"):
        on(lakefs_local, "feature").put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))


@pytest.mark.parametrize("kind", ["tag", "tag with dots", "commit", "prefix", "expression"])
def test_only_branches_are_written_to(
    lakefs_local: LakeFSServer, local: str, backend: LakeFSBackend, tmp_path: Path, kind: str
) -> None:
    write(lakefs_local, local, "x", b"old")
    write(lakefs_local, local, "tree/x", b"old")
    made = commit(lakefs_local, local)
    tag(lakefs_local, local, "v1")
    tag(lakefs_local, local, "2026-11-23T15.44.00.000Z")
    refs = {"tag": "v1", "tag with dots": "2026-11-23T15.44.00.000Z", "commit": made, "prefix": made[:12]}
    ref = refs.get(kind, "main~0")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/y").touch()
    (tmp_path / "file").write_bytes(bytes(LARGE))
    calls: list[Callable[..., object]] = [
        lambda **more: backend.put(payload=b"new", **more),
        lambda **more: backend.upload(source=tmp_path / "source", **more),
        lambda **more: backend.upload(source=tmp_path / "file", **more),
        backend.delete,
    ]
    for call in calls:
        with pytest.raises(NotABranch, match=r"is a tag or commit of .*: write to a branch"):
            call(fragment=parse(f"lakefs://{local}/x"), lake_ref=ref)
    assert backend.get(fragment=parse(f"lakefs://{local}/x"), lake_ref=ref) == b"old"
    assert uncommitted(lakefs_local, local) == []


def test_a_large_first_write_creates_the_branch(
    lakefs_server: LakeFSServer, repository: str, large_file: Path, tmp_path: Path
) -> None:
    feature = on(lakefs_server, "feature")
    where = parse(f"lakefs://{repository}/large")
    feature.upload(source=large_file, fragment=where)
    feature.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


# -- without a branch ---------------------------------------------------------------------------------------------


def test_without_a_branch_nothing_is_written(lakefs_local: LakeFSServer, local: str) -> None:
    for head in (on(lakefs_local, None, SHA), on(lakefs_local, None)):
        with pytest.raises(NoDataBranch, match=r"the HEAD is detached.*switch to a branch, or set `branch`"):
            head.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))
        with pytest.raises(NoDataBranch):
            head.get(fragment=parse(f"lakefs://{local}/x"))
    assert branches(lakefs_local, local) == ["main"]


def test_without_a_git_branch_the_one_of_the_settings_is_used(lakefs_local: LakeFSServer, local: str) -> None:
    backend = on(lakefs_local, None, SHA, settings=Settings(branch="production"))
    backend.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))
    assert backend.get(fragment=parse(f"lakefs://{local}/x")) == b"x"
    assert branches(lakefs_local, local) == ["main", "production"]


def test_a_detached_head_reads_what_the_newest_run_at_this_commit_made(
    lakefs_local: LakeFSServer, local: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number, run in enumerate(("z-first", "a--second", "m-of-another"), start=1):
        write(lakefs_local, local, "x", run.encode())
        made = commit(lakefs_local, local)
        tag(lakefs_local, local, git_tag(SHA if number < 3 else "f" * 40, number, run), made)
    tag(lakefs_local, local, f"kedro-git-{SHA}")  # somebody's own
    detached = on(lakefs_local, None, SHA)
    for _ in range(2):
        assert detached.get(fragment=parse(f"lakefs://{local}/x")) == b"a--second"
    assert caplog.text.count(f"Reading '{local}' as the run 'a--second' left it") == 1
    with pytest.raises(ObjectNotFound):
        detached.get(fragment=parse(f"lakefs://{local}/none"))
    assert not detached.exists(fragment=parse(f"lakefs://{local}/none"))
    with pytest.raises(NoDataBranch):
        detached.put(payload=b"x", fragment=parse(f"lakefs://{local}/x"))


def test_a_run_with_uncommitted_code_is_named_as_such(
    lakefs_local: LakeFSServer, local: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(lakefs_local, local, "x", b"dirty")
    tag(lakefs_local, local, git_tag(SHA, 2, "dirty", dirty=True), commit(lakefs_local, local))
    assert on(lakefs_local, None, SHA).get(fragment=parse(f"lakefs://{local}/x")) == b"dirty"
    assert f"as the run 'dirty' left it, which was made at the git commit {SHA}, with uncommitted" in caplog.text
    write(lakefs_local, local, "x", b"clean")
    tag(lakefs_local, local, git_tag(SHA, 1, "clean"), commit(lakefs_local, local))
    assert on(lakefs_local, None, SHA).get(fragment=parse(f"lakefs://{local}/x")) == b"clean"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs git in a repository of its own, apart from the developer's configuration and the CI job."""
    services = "GITHUB_ACTIONS GITLAB_CI BITBUCKET_BUILD_NUMBER TF_BUILD JENKINS_URL BUILDKITE CIRCLECI".split()
    for name in [*services, *(name for name in os.environ if name.startswith("GIT_"))]:
        monkeypatch.delenv(name, raising=False)
    identity = {
        f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    for name, value in {**identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/pyproject.toml").write_text("[tool.kedro]\n")

    def run(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=tmp_path / "project", capture_output=True, check=True, text=True, timeout=60)
        return done.stdout.strip()

    run("init", "--quiet", "--initial-branch=main")
    return run


def test_a_detached_head_without_a_run_is_told_the_nearest_one(
    lakefs_local: LakeFSServer, local: str, checkout: Callable[..., str], tmp_path: Path
) -> None:
    shas = []
    for number in range(4):
        checkout("commit", "--quiet", "--allow-empty", f"--message={number}")
        shas.append(checkout("rev-parse", "HEAD"))
    write(lakefs_local, local, "x", b"old")
    made = commit(lakefs_local, local)
    for number in (0, 1):
        tag(lakefs_local, local, git_tag(shas[number], number, f"run-{number}"), made)
    checkout("checkout", "--quiet", "--detach")
    detached = LakeFSBackend(Session(lakefs_local.credentials, Project(tmp_path / "project")))
    where = parse(f"lakefs://{local}/x")
    told = f"no run was made at the git commit {shas[3]}.*nearest ancestor with a run is {shas[1]}: STATISFACTORY_AT"
    with pytest.raises(NoDataBranch, match=told):
        detached.get(fragment=where)
    checkout("checkout", "--quiet", shas[1])
    assert detached.get(fragment=where) == b"old"


def test_ancestors_are_told_newest_first_as_far_as_git_tells(
    checkout: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shas: list[str] = []
    for number in range(3):
        checkout("commit", "--quiet", "--allow-empty", f"--message={number}")
        shas.insert(0, checkout("rev-parse", "HEAD"))
    assert ancestors(project, shas[0]) == shas
    assert ancestors(project, shas[0], most=2) == shas[:2]
    assert ancestors(project, SHA) == []
    assert ancestors(tmp_path, shas[0]) == []
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert ancestors(project, shas[0]) == []
