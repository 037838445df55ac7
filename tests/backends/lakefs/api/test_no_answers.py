"""What is no answer of lakeFS is an error that says so, and never data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from urllib3 import HTTPResponse

from kedro_statisfactory.backends.lakefs.answer import Answer
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Stat
from kedro_statisfactory.errors import (
    BackendUnreachable,
    IntegrityError,
    InvalidCredentials,
    PermissionDenied,
    ServerTooOld,
    TransferError,
)
from kedro_statisfactory.hidden import Hidden
from tests.backends.lakefs.api.traffic import put, told
from tests.servers.faults import Canned, Gateway
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


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
