"""The calls of the lakeFS API on a real server; a gateway gives the answers that it cannot be made to give."""

from __future__ import annotations

import datetime
import hashlib
import io
import ipaddress
import logging
import ssl
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3 import HTTPResponse, PoolManager
from urllib3.exceptions import SSLError

from kedro_statisfactory.backends import http
from kedro_statisfactory.backends.http import ATTEMPTS
from kedro_statisfactory.backends.lakefs import requests
from kedro_statisfactory.backends.lakefs.answer import Answer
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Stat
from kedro_statisfactory.backends.lakefs.store import LakeFSStore
from kedro_statisfactory.backends.part_writer import PartBuffer
from kedro_statisfactory.errors import (
    BackendUnreachable,
    BranchNotFound,
    Conflict,
    DirtyBranch,
    IntegrityError,
    InvalidCredentials,
    InvalidURL,
    MergeConflict,
    NoChanges,
    NotABranch,
    ObjectNotFound,
    PermissionDenied,
    RefNotFound,
    RepositoryNotFound,
    ServerTooOld,
    StatisfactoryError,
    TransferError,
)
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.session import Session
from tests.servers.faults import Canned, Fault, Gateway, gateway, proxy
from tests.servers.lakefs import LakeFSServer

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.0)


@pytest.fixture
def api(lakefs_local: LakeFSServer) -> LakeFSAPI:
    return LakeFSAPI(Session(lakefs_local.credentials))


@pytest.fixture
def repository(lakefs_local: LakeFSServer) -> str:
    return lakefs_local.new_repository()


@pytest.fixture
def between(lakefs_local: LakeFSServer) -> Iterator[Gateway]:
    """A gateway before the real server."""
    with gateway(lakefs_local.endpoint_url) as state:
        yield state


@pytest.fixture
def through(lakefs_local: LakeFSServer, between: Gateway) -> LakeFSAPI:
    """The same server through the gateway."""
    return LakeFSAPI(Session({**lakefs_local.credentials, "endpoint": between.endpoint_url}))


def put(api: LakeFSAPI, repository: str, branch: str, path: str, payload: bytes = b"x") -> Stat:
    return api.upload(repository, branch, path, lambda: payload, len(payload))


def told(status: int, message: str) -> Canned:
    return Canned(status, {"message": message}, {"Content-Type": "application/json"})


# -- answers that may be better next time -------------------------------------------------------------------------

TRANSIENT = [
    told(429, "too many requests"),
    told(500, "branch is locked"),
    told(500, "predicate failed"),
    told(500, "context: timeout"),
    told(503, "slow down"),
    Canned(502, b"<html>bad gateway</html>"),
    Canned(504, b"\xff\xfe"),
]


@pytest.mark.parametrize("answer", TRANSIENT, ids=lambda answer: str(answer.status))
def test_what_the_server_calls_transient_is_tried_again(
    through: LakeFSAPI, between: Gateway, repository: str, answer: Canned
) -> None:
    between.answers.append(answer)
    put(through, repository, "main", "x")
    between.answers.append(answer)
    with through.open(repository, "main", "x") as fetched:
        assert b"".join(fetched.chunks(10)) == b"x"
    assert [seen.method for seen in between.seen] == ["POST", "POST", "GET", "GET"]


def test_tries_are_bounded(through: LakeFSAPI, between: Gateway, repository: str) -> None:
    between.answers.extend([told(429, "too many requests")] * 50)
    with pytest.raises(TransferError, match="too many requests"):
        through.branch(repository, "main")
    assert len(between.seen) == ATTEMPTS


def test_pauses_between_tries_grow_and_are_bounded(
    through: LakeFSAPI, between: Gateway, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(http, "LONGEST_PAUSE", 1.0)
    monkeypatch.setattr("random.uniform", lambda _, most: most)
    monkeypatch.setattr("time.sleep", pauses.append)
    between.answers.extend([Canned(503)] * (ATTEMPTS - 1))
    through.branch(repository, "main")
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0])


@pytest.mark.parametrize("answer", [told(500, "a bug"), told(400, "locked"), told(409, "try again")])
def test_what_will_not_be_better_is_not_tried_again(
    through: LakeFSAPI, between: Gateway, repository: str, answer: Canned
) -> None:
    between.answers.append(answer)
    with pytest.raises(StatisfactoryError):
        through.branch(repository, "main")
    assert len(between.seen) == 1


def test_a_commit_that_was_refused_is_tried_again(through: LakeFSAPI, between: Gateway, repository: str) -> None:
    put(through, repository, "main", "x")
    between.answers.extend([told(429, "too many requests"), told(500, "predicate failed"), told(503, "slow down")])
    commit = through.create_commit(repository, "main", "a message", {"who": "me"})
    found = through.commit(repository, "main")
    assert (found.id, found.message, dict(found.metadata)) == (commit, "a message", {"who": "me"})


@pytest.mark.parametrize("status", [502, 504])
def test_a_commit_that_was_perhaps_done_is_not_done_twice(
    through: LakeFSAPI, between: Gateway, repository: str, status: int
) -> None:
    put(through, repository, "main", "x")
    between.answers.append(Canned(status, done=True))
    with pytest.raises(BackendUnreachable, match="may or may not"):
        through.create_commit(repository, "main", "once", {})
    assert [commit.message for commit in through.log(repository, "main")].count("once") == 1


def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    lakefs_local: LakeFSServer, api: LakeFSAPI, repository: str
) -> None:
    put(api, repository, "main", "x")
    with proxy(lakefs_local.endpoint_url) as network:
        network.faults.append(Fault(0))
        lossy = LakeFSAPI(Session({**lakefs_local.credentials, "endpoint": network.endpoint_url}))
        with pytest.raises(BackendUnreachable, match="does not answer"):
            lossy.create_commit(repository, "main", "once", {})
    assert [commit.message for commit in api.log(repository, "main")].count("once") == 1


def test_a_commit_whose_server_ran_out_of_time_is_not_done_twice(
    through: LakeFSAPI, between: Gateway, repository: str
) -> None:
    put(through, repository, "main", "x")
    between.answers.append(told(500, "context: timeout"))
    with pytest.raises(BackendUnreachable, match="may or may not have done"):
        through.create_commit(repository, "main", "m", {})


def test_a_handshake_that_breaks_off_is_tried_again(through: LakeFSAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    request, broken = PoolManager.request, [SSLError("UNEXPECTED_EOF_WHILE_READING")]

    def once(self: PoolManager, *arguments: Any, **options: Any) -> Any:
        if broken:
            raise broken.pop()
        return request(self, *arguments, **options)

    monkeypatch.setattr(PoolManager, "request", once)
    assert through.presigns() == (False, False)


def test_a_read_whose_answer_is_lost_is_repeated(lakefs_local: LakeFSServer, repository: str) -> None:
    with proxy(lakefs_local.endpoint_url) as network:
        network.faults.extend([Fault(0), Fault(50)])
        lossy = LakeFSAPI(Session({**lakefs_local.credentials, "endpoint": network.endpoint_url}))
        assert lossy.branch(repository, "main").id == "main"
        assert network.connections == 3


def test_an_error_that_breaks_off_is_an_error_of_ours(through: LakeFSAPI, between: Gateway, repository: str) -> None:
    between.answers.extend([Canned(404, b'{"message": "not', {"Content-Length": "1000"})] * 50)
    with pytest.raises(BackendUnreachable), through.open(repository, "main", "x"):
        pass
    assert len(between.seen) == ATTEMPTS


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_server_that_is_gone_is_asked_a_bounded_number_of_times(
    repeatable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Session({"endpoint": "http://127.0.0.1:9", "access_key_id": "hush", "secret_access_key": "hush"})
    tried = recorded(monkeypatch)
    api = LakeFSAPI(gone)
    call = (lambda: api.branch("r", "main")) if repeatable else (lambda: api.create_commit("r", "main", "m", {}))
    with pytest.raises(BackendUnreachable, match=r"127\.0\.0\.1:9.*refused.*check endpoint_url") as unreachable:
        call()  # neither was ever sent
    assert len(tried) == ATTEMPTS
    assert "hush" not in "".join(traceback.format_exception(unreachable.value))


# -- answers that make no sense -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [b"<html>hush</html>", b"\xff\xfe hush", b"[]", b'{"error": "hush"}', b""])
def test_an_error_page_of_something_else_is_not_shown(
    through: LakeFSAPI, between: Gateway, repository: str, page: bytes
) -> None:
    between.answers.append(Canned(500, page))
    with pytest.raises(TransferError, match="HTTP status 500") as failed:
        through.branch(repository, "main")
    assert "hush" not in str(failed.value)


def test_a_redirect_is_not_followed_with_our_keys(through: LakeFSAPI, between: Gateway, repository: str) -> None:
    for location, to in (
        ("https://lake.example.org/x?token=hush", " but https://lake.example.org"),
        ("/elsewhere", ""),
        ("http://[", ""),
    ):
        between.answers.append(Canned(302, headers={"Location": location}))
        with pytest.raises(InvalidCredentials, match=rf"endpoint_url is not \S+/api/v1{to}\.$"):
            through.branch(repository, "main")
    assert len(between.seen) == 3


COMMIT = "0123456789abcdef" * 4
# What an answer of lakeFS may have, each of another type than lakeFS gives it.
WRONG_TYPES = {
    **dict.fromkeys(("id", "commit_id", "reference", "default_branch", "message", "path", "type", "checksum"), 1),
    **dict.fromkeys(("upload_id", "physical_address", "presigned_url", "next_offset"), 1.5),
    **dict.fromkeys(("results", "presigned_urls", "parents", "errors", "pagination", "storage_config"), "x"),
    **dict.fromkeys(("size_bytes", "mtime", "creation_date", "metadata"), "x"),
}
OBJECT = {"path": "x", "checksum": "0", "size_bytes": 1, "mtime": 1, "physical_address": "a"}
NO_ANSWERS = {
    "a sign-in page": Canned(200, b"<html>Sign in</html>"),
    "an XML document": Canned(200, b'<?xml version="1.0"?><Error><Code>x</Code></Error>'),
    "nothing": Canned(200),
    "no text": Canned(200, b"\xff\xfe"),
    "a list": Canned(200, b"[]"),
    "a text": Canned(200, b'"path"'),
    "null": Canned(200, b"null"),
    "without keys": Canned(200, {}),
    "of other types": Canned(200, WRONG_TYPES),
    "of another name": Canned(200, {**OBJECT, "path": "y", "id": "y", "commit_id": COMMIT}),
}
CALLS: dict[str, Callable[[LakeFSAPI, str], object]] = {
    "default_branch": lambda api, r: api.default_branch(r),
    "branch": lambda api, r: api.branch(r, "main"),
    "create_branch": lambda api, r: api.create_branch(r, "b", "main"),
    "delete_branch": lambda api, r: api.delete_branch(r, "b"),
    "branches": lambda api, r: list(api.branches(r, "")),
    "create_tag": lambda api, r: api.create_tag(r, "t", "main"),
    "tag": lambda api, r: api.tag(r, "t"),
    "tags": lambda api, r: list(api.tags(r, "")),
    "commit": lambda api, r: api.commit(r, "main"),
    "changes": lambda api, r: list(api.changes(r, "main", "b")),
    "has_uncommitted": lambda api, r: api.has_uncommitted(r, "main"),
    "log": lambda api, r: list(api.log(r, "main")),
    "stat": lambda api, r: api.stat(r, "main", "x"),
    "list": lambda api, r: list(api.list(r, "main", "")),
    "upload": lambda api, r: put(api, r, "main", "x"),
    "delete": lambda api, r: api.delete(r, "main", ["x"]),
    "presigns": lambda api, r: api.presigns(),
    "sign_part": lambda api, r: api.sign_part(r, "main", "x", ("u", "a"), 1),
    "complete_parts": lambda api, r: api.complete_parts(r, "main", "x", ("u", "a"), ["e"], 0, 1),
    "abort_parts": lambda api, r: api.abort_parts(r, "main", "x", ("u", "a")),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_what_is_no_answer_of_lakefs_counts_for_no_call(
    through: LakeFSAPI, between: Gateway, call: Callable[[LakeFSAPI, str], object], answer: Canned
) -> None:
    between.answers.append(answer)
    with pytest.raises(
        InvalidCredentials, match=r"is no lakeFS server: check endpoint_url\. If it is one, something on"
    ):
        call(through, "r")
    assert len(between.seen) == 1


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_whether_a_commit_was_done_is_not_known_when_what_answers_is_not_lakefs(
    through: LakeFSAPI, between: Gateway, repository: str, answer: Canned
) -> None:
    between.answers.append(answer)
    with pytest.raises(BackendUnreachable, match=r"no lakeFS server: check endpoint_url.*may or may not be done"):
        through.create_commit(repository, "main", "m", {})
    between.answers.append(answer)
    with pytest.raises(BackendUnreachable, match=r"no lakeFS server: check endpoint_url.*may or may not be done"):
        through.merge(repository, "b", "main", "m", {}, None)
    between.answers.append(answer)
    with pytest.raises(BackendUnreachable, match=r"no lakeFS server: check endpoint_url.*may or may not be done"):
        through.begin_parts(repository, "main", "x", 2)


@pytest.mark.parametrize(
    "damaged",
    [
        {"commit_id": COMMIT[:-1]},
        {"commit_id": COMMIT.replace("0", "g")},
        {"id": "Main"},
    ],
)
def test_a_ref_whose_name_or_commit_is_damaged_is_none(
    through: LakeFSAPI, between: Gateway, repository: str, damaged: dict[str, str]
) -> None:
    right = {"id": "main", "commit_id": COMMIT}
    between.answers.extend([Canned(200, right), Canned(200, {**right, **damaged})])
    assert through.branch(repository, "main").commit_id == COMMIT
    with pytest.raises(InvalidCredentials, match="no lakeFS server"):
        through.branch(repository, "main")


@pytest.mark.parametrize("metadata", [{"a": 1}, ["a"], {"a": {"b": "c"}}])
def test_metadata_that_is_no_texts_is_none_of_lakefs(
    through: LakeFSAPI, between: Gateway, repository: str, metadata: Any
) -> None:
    between.answers.append(Canned(200, {**OBJECT, "metadata": metadata}))
    with pytest.raises(InvalidCredentials, match="no lakeFS server"):
        through.stat(repository, "main", "x")


@pytest.mark.parametrize("urls", [["u"], ["u"] * 3, ["u", 1]])
def test_an_upload_has_a_url_for_each_part(
    through: LakeFSAPI, between: Gateway, repository: str, urls: list[Any]
) -> None:
    begun = {"upload_id": "i", "physical_address": "a", "presigned_urls": ["u", "v"]}
    between.answers.extend([Canned(201, begun), Canned(201, {**begun, "presigned_urls": urls})])
    assert through.begin_parts(repository, "main", "x", 2) == ("i", "a", [Hidden("u"), Hidden("v")])
    with pytest.raises(BackendUnreachable, match="no lakeFS server"):
        through.begin_parts(repository, "main", "x", 2)


def test_a_page_of_a_listing_that_comes_again_is_an_error_and_no_endless_loop(
    through: LakeFSAPI, between: Gateway, repository: str
) -> None:
    page = {"results": [OBJECT], "pagination": {"has_more": True, "next_offset": "x"}}
    between.answers.extend([Canned(200, page)] * 50)
    with pytest.raises(InvalidCredentials, match="no lakeFS server"):
        list(through.list(repository, "main", ""))
    assert len(between.seen) == 2


@pytest.mark.parametrize(
    "headers",
    [{"Transfer-Encoding": "chunked", "ETag": '"x"'}, {"Content-Type": "text/html"}],
    ids=["no length", "no checksum"],
)
def test_an_object_without_length_or_checksum_is_an_error_and_never_data(
    through: LakeFSAPI, between: Gateway, repository: str, headers: dict[str, str]
) -> None:
    between.answers.append(Canned(200, b"3\r\nabc\r\n0\r\n\r\n", headers))
    with pytest.raises(TransferError, match="without its length or checksum"), through.open(repository, "main", "x"):
        pass


def test_an_object_that_ends_too_early_is_an_error_and_never_data() -> None:
    # urllib3 notices that by itself, unless it is an old one.
    headers = {"Content-Length": "3", "ETag": '"x"'}
    response = HTTPResponse(io.BytesIO(b"ab"), headers, 200, preload_content=False, enforce_content_length=False)
    with pytest.raises(IntegrityError):
        list(Answer(response).chunks(2))


@pytest.mark.parametrize(
    ("most", "told"),
    [
        (None, "bytes 0-2/9"),
        (2, "bytes 0-2/9"),
        (3, "bytes 0-2/2"),
        (3, "bytes 3-5/9"),
        (3, "bytes 0-2/*"),
        (3, None),
    ],
    ids=["not asked for", "more than asked for", "more than there is", "another part", "of any size", "of no part"],
)
def test_a_beginning_that_cannot_be_one_is_an_error_and_never_data(
    through: LakeFSAPI, between: Gateway, repository: str, most: int | None, told: str | None
) -> None:
    between.answers.append(Canned(206, b"abc", {"ETag": '"x"', **({"Content-Range": told} if told else {})}))
    with pytest.raises(TransferError, match="a proxy"), through.open(repository, "main", "x", most):
        pass


def test_the_beginning_of_an_object_is_told_with_its_size(api: LakeFSAPI, repository: str) -> None:
    for payload, length in ((b"", 0), (b"ab", 2), (b"abc", 3), (b"abcd", 3)):
        api.upload(repository, "main", "x", lambda payload=payload: payload, len(payload))  # type: ignore[misc]
        with api.open(repository, "main", "x", 3) as answer:
            assert (answer.length, answer.size) == (length, len(payload))
            assert b"".join(answer.chunks(2)) == payload[:3]


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("page", [b"<html>hush</html>", b""])
def test_what_knows_no_call_at_all_is_no_lakefs(
    through: LakeFSAPI, between: Gateway, repository: str, status: int, page: bytes
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: through.branch(repository, "main"),
        lambda: through.default_branch(repository),
        lambda: through.stat(repository, "main", "x"),
    ]
    for call in calls:
        between.answers.extend([Canned(status, page)] * 2)
        with pytest.raises(InvalidCredentials, match=rf"status {status}\) is no lakeFS server: check endpoint_url"):
            call()
    between.answers.append(Canned(status, page))
    with pytest.raises(InvalidCredentials, match="no lakeFS server"):
        through.presigns()
    assert len(between.seen) == 7


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_that_is_none_of_lakefs_says_so(
    through: LakeFSAPI, between: Gateway, repository: str, status: int
) -> None:
    between.answers.append(Canned(status, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"))
    with pytest.raises(PermissionDenied, match=f"status {status}, and not as lakeFS does: check endpoint_url"):
        through.branch(repository, "main")


def test_a_call_that_the_server_does_not_know_has_an_answer_of_its_own(lakefs_local: LakeFSServer) -> None:
    with pytest.raises(RuntimeError, match=r'404 .*"invalid API endpoint"'):
        lakefs_local.call("GET", "/no-such-call")


@pytest.mark.parametrize("answer", [told(404, "invalid API endpoint"), Canned(404), Canned(405), Canned(501)])
def test_an_old_server_is_told_by_its_version(
    through: LakeFSAPI, between: Gateway, repository: str, answer: Canned
) -> None:
    between.answers.extend([answer, Canned(200, {"version_config": {"version": "1.20.3"}})])
    with pytest.raises(ServerTooOld, match=r"has the version 1\.20\.3; 1\.66 or newer is needed"):
        through.branch(repository, "main")


@pytest.mark.parametrize(
    "config",
    [Canned(200, {"version_config": {"version": "dev"}}), Canned(200, {}), Canned(200, b"[]"), Canned(500)],
    ids=["no number", "without", "no mapping", "not told"],
)
def test_what_tells_no_version_is_no_lakefs(
    through: LakeFSAPI, between: Gateway, repository: str, config: Canned
) -> None:
    between.answers.extend([Canned(405), config])
    with pytest.raises(InvalidCredentials, match="HTTP status 405"):
        through.branch(repository, "main")


def test_a_young_server_that_does_not_know_a_call_is_told(
    through: LakeFSAPI, between: Gateway, repository: str
) -> None:
    between.answers.append(Canned(405))
    with pytest.raises(TransferError, match=r" does not know a call \(HTTP status 405\), or a proxy"):
        through.branch(repository, "main")


def test_values_that_a_younger_server_has_added_do_no_harm(
    through: LakeFSAPI, between: Gateway, repository: str
) -> None:
    found = {
        "path": "x",
        "path_type": "holographic",
        "checksum": "0",
        "mtime": 1,
        "physical_address": "quantum://x",
        "colour": "blue",
    }
    page = {"results": [found], "pagination": {"has_more": False, "next_offset": "", "mood": "good"}}
    between.answers.extend([Canned(200, found), Canned(200, page)])
    assert through.stat(repository, "main", "x") == Stat("x", 0, "0", 1, "quantum://x")
    assert list(through.list(repository, "main", "")) == [Stat("x", 0, "0", 1, "quantum://x")]


@pytest.mark.parametrize(
    ("status", "told_by_us"),
    [(401, "does not know these keys: check the credentials"), (403, r"may not do this.*\(hands off\)")],
)
def test_what_is_not_allowed_is_denied(
    through: LakeFSAPI, between: Gateway, repository: str, status: int, told_by_us: str
) -> None:
    between.answers.append(told(status, "hands off"))
    with pytest.raises(PermissionDenied, match=told_by_us):
        through.stat(repository, "main", "x")


# -- every call ---------------------------------------------------------------------------------------------------


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each request that is sent from now on."""
    sent: list[dict[str, Any]] = []
    original = PoolManager.request

    def request(self: PoolManager, method: str, url: str, **arguments: Any) -> Any:
        sent.append({"method": method, "url": url, **arguments})
        return original(self, method, url, **arguments)

    monkeypatch.setattr(PoolManager, "request", request)
    return sent


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
        assert 0 < each["timeout"].connect_timeout < 60
        assert 0 < each["timeout"].read_timeout < 600
        assert (each["retries"], each["redirect"]) == (False, False)
        keys_are_sent = "Authorization" in each["headers"]
        assert keys_are_sent == each["url"].startswith(lakefs_s3.endpoint_url), "only lakeFS itself gets our keys"
    assert lakefs_s3.secret_key not in caplog.text


def test_an_error_shows_no_keys(lakefs_local: LakeFSServer, repository: str) -> None:
    wrong = {**lakefs_local.credentials, "secret_access_key": "hush-hush"}
    with pytest.raises(PermissionDenied) as denied:
        LakeFSAPI(Session(wrong)).branch(repository, "main")
    assert "hush" not in "".join(traceback.format_exception(denied.value))


# -- proxies and certificates -------------------------------------------------------------------------------------


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_requests_go_through_the_proxy_of_the_environment(
    lakefs_local: LakeFSServer, between: Gateway, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", between.endpoint_url.replace("//", "//me:hush@"))
    api = LakeFSAPI(Session(lakefs_local.credentials))
    put(api, repository, "main", "x")
    (seen,) = between.seen
    assert seen.target.startswith(f"{lakefs_local.endpoint_url}/api/v1/repositories/{repository}/")
    assert seen.headers["proxy-authorization"].startswith("Basic ")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert api.stat(repository, "main", "x").size == 1
    assert len(between.seen) == 1


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_that_is_gone_is_told_without_its_password(lakefs_local: LakeFSServer, repository: str) -> None:
    session = Session({**lakefs_local.credentials, "proxy": "http://me:hush@127.0.0.1:9"})
    with pytest.raises(BackendUnreachable) as unreachable:
        LakeFSAPI(session).branch(repository, "main")
    assert "hush" not in "".join(traceback.format_exception(unreachable.value))


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody knows, with its key in the same file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        # All that strict verifiers ask for.
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(*kinds) + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def over_tls(lakefs_local: LakeFSServer, tmp_path: Path) -> Iterator[tuple[dict[str, Any], Gateway, str]]:
    """Credentials for the same server behind TLS, its gateway, and the certificate."""
    file = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with gateway(lakefs_local.endpoint_url, context) as state:
        yield {**lakefs_local.credentials, "endpoint": state.endpoint_url}, state, str(file)


@pytest.mark.usefixtures("no_proxies")
def test_a_server_with_a_certificate_of_its_own_is_trusted_when_that_is_named(
    over_tls: tuple[dict[str, Any], Gateway, str], repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, _, certificate = over_tls
    named = LakeFSAPI(Session({**credentials, "ssl_ca_cert": certificate}))
    assert named.branch(repository, "main").id == "main"
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert LakeFSAPI(Session(credentials)).branch(repository, "main").id == "main"


@pytest.mark.usefixtures("no_proxies")
def test_a_server_with_an_unknown_certificate_gets_nothing(
    over_tls: tuple[dict[str, Any], Gateway, str], repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, between, certificate = over_tls
    tried = recorded(monkeypatch)
    with pytest.raises(BackendUnreachable, match="SSL"):
        LakeFSAPI(Session(credentials)).branch(repository, "main")
    assert (len(tried), between.seen) == (1, [])
    with pytest.raises(BackendUnreachable, match=r"SSL|No such file"):
        LakeFSAPI(Session({**credentials, "ssl_ca_cert": f"{certificate}.missing"})).branch(repository, "main")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_certificates_are_not_checked_when_that_is_switched_off(
    over_tls: tuple[dict[str, Any], Gateway, str], repository: str
) -> None:
    api = LakeFSAPI(Session({**over_tls[0], "verify_ssl": False}))
    assert api.branch(repository, "main").id == "main"


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
