"""The calls of the lakeFS API, on a real server."""

from __future__ import annotations

import hashlib
import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from kedro_statisfactory.backends.http import ATTEMPTS
from kedro_statisfactory.backends.lakefs import requests
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.store import LakeFSStore
from kedro_statisfactory.backends.part_writer import PartBuffer
from kedro_statisfactory.errors import (
    BranchNotFound,
    Conflict,
    DirtyBranch,
    IntegrityError,
    InvalidURL,
    MergeConflict,
    NoChanges,
    NotABranch,
    ObjectNotFound,
    PermissionDenied,
    RefNotFound,
    RepositoryNotFound,
    StatisfactoryError,
    TransferError,
)
from kedro_statisfactory.session import Session
from tests.backends.lakefs.api.traffic import put, recorded
from tests.servers.faults import Canned, Gateway
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


# -- every call ---------------------------------------------------------------------------------------------------


def test_every_call_has_time_outs(
    lakefs_s3: LakeFSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    repository, session = lakefs_s3.new_repository(), Session(lakefs_s3.credentials)
    sent, api, store = recorded(monkeypatch), LakeFSAPI(session), LakeFSStore(session, LakeFSAPI(session))
    assert api.default_branch(repository) == "main"
    first = put(api, repository, "main", "x")
    with api.open(repository, "main", "x"):
        pass
    api.create_commit(repository, "main", "m", {})
    api.create_branch(repository, "b", "main")
    put(api, repository, "b", "y")
    assert api.has_uncommitted(repository, "b")
    api.create_commit(repository, "b", "m", {})
    list(api.changes(repository, "main", "b"))
    api.merge(repository, "b", "main", "m", {}, None)
    api.create_tag(repository, "t", "main")
    api.tag(repository, "t")
    list(api.tags(repository, ""))
    list(api.branches(repository, ""))
    list(api.log(repository, "main"))
    list(api.list(repository, "main", ""))
    store.send(repository, "main", "z", b"zz")
    with api.open(repository, "main", "z", 1) as answer:
        store.fetch(repository, "main", "z", answer, PartBuffer())
    upload_id, address, _ = api.begin_parts(repository, "main", "y", 1)
    api.sign_part(repository, "main", "y", (upload_id, address), 1)
    upload_id, address, _ = api.begin_parts(repository, "main", "z", 1)
    api.abort_parts(repository, "main", "z", (upload_id, address))
    assert api.presigns() == (True, True)
    api.delete(repository, "main", ["x", first.path])
    api.delete_branch(repository, "b")
    assert len(sent) >= 24
    for each in sent:
        assert 0 < each["connect"] < 60
        assert 0 < each["read"] < 600
        keys_are_sent = "Authorization" in each["headers"]
        assert keys_are_sent == each["url"].startswith(lakefs_s3.endpoint_url), "only lakeFS itself gets our keys"
    assert lakefs_s3.secret_key not in caplog.text


def test_an_error_shows_no_keys(lakefs_local: LakeFSServer, repository: str) -> None:
    wrong = {**lakefs_local.credentials, "secret_access_key": "hush-hush"}
    with pytest.raises(PermissionDenied) as denied:
        LakeFSAPI(Session(wrong)).branch(repository, "main")
    assert "hush" not in "".join(traceback.format_exception(denied.value))


# -- branches and tags --------------------------------------------------------------------------------------------


def test_four_things_that_are_missing_are_four_errors(api: LakeFSAPI, repository: str) -> None:
    with pytest.raises(RepositoryNotFound, match="has no repository"):
        api.branch("there-is-none", "main")
    with pytest.raises(BranchNotFound, match="no branch 'none'"):
        api.branch(repository, "none")
    with pytest.raises(RefNotFound, match="no tag, branch or commit 'none'"):
        api.commit(repository, "none")
    with pytest.raises(ObjectNotFound):
        api.stat(repository, "main", "none")
    assert api.tag(repository, "none") is None
    calls: list[Callable[[], object]] = [
        lambda: api.default_branch("there-is-none"),
        lambda: api.create_branch("there-is-none", "b", "main"),
        lambda: api.tag("there-is-none", "t"),
        lambda: api.commit("there-is-none", "main"),
        lambda: api.stat("there-is-none", "main", "x"),
        lambda: put(api, "there-is-none", "main", "x"),
        lambda: api.delete_branch("there-is-none", "main"),
    ]
    for call in calls:
        with pytest.raises(RepositoryNotFound):
            call()


@pytest.mark.parametrize("name", ["a b", "main@{1}", "main~x", "~", "main$", "..", "x/y"])
def test_a_name_that_no_ref_can_have_is_no_ref(api: LakeFSAPI, repository: str, name: str) -> None:
    with pytest.raises(RefNotFound):
        api.commit(repository, name)


def test_branches_come_and_go(api: LakeFSAPI, repository: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = api.branch(repository, "main")
    for name in ("b-1", "b-2", "b-3", "c"):
        assert api.create_branch(repository, name, "main", hidden=name == "b-2") == first.commit_id
    monkeypatch.setattr(requests, "PAGE", 2)
    assert [branch.id for branch in api.branches(repository, "b-")] == ["b-1", "b-2", "b-3"]
    for _ in range(2):
        api.delete_branch(repository, "b-2")
    assert [branch.id for branch in api.branches(repository, "b-")] == ["b-1", "b-3"]


def test_a_branch_is_made_once(api: LakeFSAPI, repository: str) -> None:
    assert api.ensure_branch(repository, "b", "main")
    assert not api.ensure_branch(repository, "b", "main")
    api.create_tag(repository, "t", "main")
    with pytest.raises(NotABranch, match=r"'t' cannot be made.*a tag or commit has this name"):
        api.ensure_branch(repository, "t", "main")
    with pytest.raises(BranchNotFound, match="no 'none' from which to make the branch 'c'"):
        api.ensure_branch(repository, "c", "none")


def test_a_branch_whose_first_answer_was_lost_is_there(through: LakeFSAPI, between: Gateway, repository: str) -> None:
    between.answers.append(Canned(502, done=True))
    assert not through.ensure_branch(repository, "b", "main")
    assert through.branch(repository, "b").commit_id == through.branch(repository, "main").commit_id


def test_tags_are_listed_by_prefix(api: LakeFSAPI, repository: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = api.branch(repository, "main").commit_id
    for name in ("t-1", "t-2026-11-23T15.44.00.000Z", "t-3", "u"):
        api.create_tag(repository, name, "main")
    with pytest.raises(Conflict):
        api.create_tag(repository, "u", "main")
    monkeypatch.setattr(requests, "PAGE", 2)
    assert [(tag.id, tag.commit_id) for tag in api.tags(repository, "t-")] == [
        ("t-1", commit),
        ("t-2026-11-23T15.44.00.000Z", commit),
        ("t-3", commit),
    ]
    found = api.tag(repository, "u")
    assert found is not None
    assert found.commit_id == commit


# -- commits ------------------------------------------------------------------------------------------------------


def test_a_commit_needs_a_change_unless_told_otherwise(api: LakeFSAPI, repository: str) -> None:
    assert not api.has_uncommitted(repository, "main")
    with pytest.raises(NoChanges):
        api.create_commit(repository, "main", "nothing", {})
    commit = api.create_commit(repository, "main", "nothing, on purpose", {}, allow_empty=True)
    assert api.commit(repository, commit[:12]).message == "nothing, on purpose"
    with pytest.raises(BranchNotFound):
        api.has_uncommitted(repository, "none")


def test_the_log_tells_what_changed_a_file_or_a_folder(
    api: LakeFSAPI, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[str] = []
    for path in ("x", "tree/a", "tree-too", "x", "tree/b"):
        put(api, repository, "main", path, str(len(commits)).encode())
        commits.append(api.create_commit(repository, "main", path, {}))
    monkeypatch.setattr(requests, "PAGE", 2)
    assert [commit.message for commit in api.log(repository, "main")][:5] == ["tree/b", "x", "tree-too", "tree/a", "x"]
    assert [commit.id for commit in api.log(repository, "main", "x")] == [commits[3], commits[0]]
    assert [commit.id for commit in api.log(repository, "main", "tree")] == [commits[4], commits[1]]
    assert list(api.log(repository, "main", "never")) == []


def test_a_merge_brings_the_changes_of_a_branch(api: LakeFSAPI, repository: str) -> None:
    put(api, repository, "main", "gone")
    put(api, repository, "main", "changed", b"old")
    api.create_commit(repository, "main", "m", {})
    api.create_branch(repository, "b", "main")
    put(api, repository, "b", "added")
    put(api, repository, "b", "changed", b"new")
    api.delete(repository, "b", ["gone"])
    api.create_commit(repository, "b", "m", {})
    expected = [("added", "added"), ("changed", "changed"), ("gone", "removed")]
    assert list(api.changes(repository, "main", "b")) == expected
    commit = api.merge(repository, "b", "main", "a merge", {"who": "me"}, None)
    found = api.commit(repository, "main")
    assert (found.id, found.message, found.metadata["who"], len(found.parents)) == (commit, "a merge", "me", 1)
    assert [each.message for each in api.log(repository, "main")][:2] == ["a merge", "m"], "each merge once"
    assert list(api.changes(repository, "main", "b")) == []
    assert api.merge(repository, "b", "main", "again", {}, None) != commit


def test_a_conflict_is_told_and_can_be_decided(api: LakeFSAPI, repository: str) -> None:
    for strategy in ("source-wins", "dest-wins"):
        name = f"{strategy}-branch"
        api.create_branch(repository, name, "main")
        for branch in ("main", name):
            put(api, repository, branch, strategy, branch.encode())
            api.create_commit(repository, branch, "m", {})
        with pytest.raises(MergeConflict, match="have both changed the same paths"):
            api.merge(repository, name, "main", "m", {}, None)
        assert list(api.changes(repository, "main", name, three_dot=True)) == [(strategy, "conflict")]
        api.merge(repository, name, "main", "m", {}, strategy)
        with api.open(repository, "main", strategy) as answer:
            expected = name if strategy == "source-wins" else "main"
            assert b"".join(answer.chunks(100)) == expected.encode()


def test_nothing_is_merged_into_a_branch_with_uncommitted_changes(api: LakeFSAPI, repository: str) -> None:
    api.create_branch(repository, "b", "main")
    put(api, repository, "main", "x")
    with pytest.raises(DirtyBranch):
        api.merge(repository, "b", "main", "m", {}, None)


# -- objects ------------------------------------------------------------------------------------------------------


def test_the_server_is_asked_nothing_that_no_path_can_begin_with(api: LakeFSAPI, repository: str) -> None:
    assert list(api.list(repository, "main", "x" * 1025)) == []
    with pytest.raises(InvalidURL, match="maximum length"):
        put(api, repository, "main", "x" * 1025)


def test_bytes_that_arrive_damaged_are_sent_again(through: LakeFSAPI, between: Gateway, repository: str) -> None:
    wrong = {"path": "x", "checksum": "0" * 32, "size_bytes": 1, "mtime": 1, "physical_address": "a"}
    short = {**wrong, "checksum": hashlib.md5(b"x").hexdigest(), "size_bytes": 0}
    between.answers.extend([Canned(201, wrong), Canned(201, short)])
    assert put(through, repository, "main", "x").checksum == hashlib.md5(b"x").hexdigest()
    between.seen.clear()
    between.answers.extend([Canned(201, wrong)] * 50)
    with pytest.raises(IntegrityError, match="other bytes than were sent to 'x'"):
        put(through, repository, "main", "x")
    assert len(between.seen) == ATTEMPTS


def test_many_objects_are_deleted_page_by_page(
    api: LakeFSAPI, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"x{number}" for number in range(5)]
    for path in (*paths, "y"):
        put(api, repository, "main", path)
    monkeypatch.setattr(requests, "PAGE", 2)
    api.delete(repository, "main", [*paths, "never there"])
    assert [found.path for found in api.list(repository, "main", "")] == ["y"]
    api.delete(repository, "main", [])


def test_an_object_that_cannot_be_deleted_is_named(through: LakeFSAPI, between: Gateway, repository: str) -> None:
    between.answers.append(Canned(200, {"errors": [{"path": "x", "message": "held", "status_code": 403}]}))
    with pytest.raises(TransferError, match="'x' was not deleted: held"):
        through.delete(repository, "main", ["x"])


def test_a_server_with_a_local_store_hands_out_no_signed_urls(api: LakeFSAPI, repository: str) -> None:
    assert api.presigns() == (False, False)
    with pytest.raises(StatisfactoryError):
        api.begin_parts(repository, "main", "x", 1)
