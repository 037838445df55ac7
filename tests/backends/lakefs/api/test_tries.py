"""Answers of lakeFS that may be better next time are asked for again, a bounded number of times."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from urllib3.exceptions import SSLError

from kedro_statisfactory.backends import http
from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.http import ATTEMPTS
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import BackendUnreachable, StatisfactoryError, TransferError
from kedro_statisfactory.session import Session
from tests.backends.lakefs.api.traffic import put, recorded, told
from tests.servers.faults import Canned, Fault, Gateway, proxy
from tests.servers.lakefs import LakeFSServer

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]

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
    request, broken = ConnectionPool.request, [SSLError("UNEXPECTED_EOF_WHILE_READING")]

    def once(self: ConnectionPool, *arguments: Any, **options: Any) -> Any:
        if broken:
            raise broken.pop()
        return request(self, *arguments, **options)

    monkeypatch.setattr(ConnectionPool, "request", once)
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
