"""Ends of runs at bad moments: signals while a run lands, servers that fail for a moment or are away for a while."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from urllib3.exceptions import NewConnectionError

from kedro_statisfactory.backends import http, patience
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.errors import BackendUnreachable, PermissionDenied, TransferError
from kedro_statisfactory.project import RUN_ID
from kedro_statisfactory.project.branches import RUN_BRANCH
from kedro_statisfactory.runs import interrupts
from tests.runs.conftest import KedroProject
from tests.servers.faults import Canned, Gateway, gateway

pytestmark = pytest.mark.once

BEFORE, AFTER = {"total": 0}, {"a": 3, "b": 30, "total": 3}
BUG = Canned(500, {"message": "a bug"})


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """As on a terminal: a shell lets what it starts in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between tries."""
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.0)


@pytest.fixture
def between(project: KedroProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """The server of the project, with answers of a gateway's own."""
    with gateway(project.server.endpoint_url) as state:
        monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", state.endpoint_url)
        yield state


def at(patch: pytest.MonkeyPatch, call: str, do: Callable[[], object]) -> None:
    """Do something when the server has done a call for the first time and before its answer is known."""
    original, todo = getattr(LakeFSAPI, call), [do]

    def called(*arguments: Any, **options: Any) -> Any:
        answer = original(*arguments, **options)
        if todo:
            todo.pop()()
        return answer

    patch.setattr(LakeFSAPI, call, called)


def raised(name: str) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), getattr(signal, name))


# -- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["create_commit", "merge", "create_tag"])
@pytest.mark.parametrize(("name", "error"), [("SIGINT", KeyboardInterrupt), ("SIGTERM", SystemExit)])
def test_a_signal_while_a_run_lands_lets_it_land(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, call: str, name: str, error: type[BaseException]
) -> None:
    with monkeypatch.context() as patch:
        at(patch, call, raised(name))
        with pytest.raises(error):
            project.run(3)
    assert project.read() == AFTER
    assert project.branches() == ["main"]
    assert f"kedro-{project.log()[0].metadata['kedro_run_id']}" in project.tags()


def test_a_run_whose_server_hangs_while_it_lands_says_what_is_where(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answered = threading.Event()

    def hang() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        answered.wait()
        raise BackendUnreachable("the answer is lost")

    monkeypatch.setattr(interrupts, "_A_MOMENT", 0.01)
    monkeypatch.setattr(interrupts, "_LANDS_WITHIN", 0.01)
    with monkeypatch.context() as patch:
        at(patch, "merge", hang)
        with pytest.raises(KeyboardInterrupt):
            project.run(3)
    assert "Ctrl-C once more does not wait" in caplog.text
    assert "It has perhaps landed on the data branch 'main'" in caplog.text
    assert "dropped" not in caplog.text
    (kept,) = (name for name in project.branches() if name.startswith(RUN_BRANCH))
    run_id = project.log(kept)[0].metadata["kedro_run_id"]
    assert project.invoke("run", "finish", run_id).exit_code == 0
    assert project.read() == AFTER
    assert project.branches() == ["main"]
    answered.set()
    next(each for each in threading.enumerate() if each.name == "statisfactory-landing").join()


def test_a_part_that_is_interrupted_when_it_has_perhaps_landed_keeps_its_branch(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answered = threading.Event()

    def hang() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        answered.wait()

    monkeypatch.setenv(RUN_ID, "nightly")
    monkeypatch.setattr(interrupts, "_A_MOMENT", 0.01)
    monkeypatch.setattr(interrupts, "_LANDS_WITHIN", 0.01)
    with monkeypatch.context() as patch:
        at(patch, "merge", hang)
        with pytest.raises(KeyboardInterrupt):
            project.run(3)
    assert "This part may have reached the run: repeat it." in caplog.text
    answered.set()
    next(each for each in threading.enumerate() if each.name == "statisfactory-landing").join()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("create_commit", "is on the data branch 'main' .* perhaps without a commit"),
        ("create_tag", r"is on the data branch 'main' .* as the commit \w{64}, .*a tag of it may be missing"),
    ],
)
def test_a_direct_run_that_is_interrupted_in_its_end_says_what_is_where(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str, said: str
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    project.settings(mode="direct")
    with monkeypatch.context() as patch:
        at(patch, call, interrupt)
        with pytest.raises(KeyboardInterrupt):
            project.run(3)
    assert re.search(said, caplog.text)
    assert project.read() == AFTER
    caplog.clear()
    project.run(3)
    assert "is on the data branch" not in caplog.text


def test_a_direct_run_that_fails_says_what_it_has_written(
    project: KedroProject, caplog: pytest.LogCaptureFixture
) -> None:
    project.settings(mode="direct")
    with pytest.raises(RuntimeError):
        project.run(3, fail=["first"])
    assert "is on the data branch" not in caplog.text
    with pytest.raises(RuntimeError):
        project.run(3, fail=["add"])
    assert "is on the data branch 'main'" in caplog.text


def test_a_run_that_has_landed_without_a_tag_does_not_say_that_it_is_kept(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at(patch, "create_tag", interrupt)
        with pytest.raises(KeyboardInterrupt):
            project.run(3)
    assert project.read() == AFTER
    assert "is on the data branch 'main'" in caplog.text
    assert "wrote is kept" not in caplog.text


def test_a_branch_that_cannot_be_dropped_is_not_said_to_be(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise TransferError("the server is away")

    monkeypatch.setattr(LakeFSAPI, "delete_branch", fail)
    with pytest.raises(RuntimeError, match="fails"):
        project.run(3, fail=["add"])
    assert "is left over (" in caplog.text
    assert "to lakeFS is dropped" not in caplog.text


def test_the_error_of_a_run_that_was_interrupted_while_it_landed_is_told(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise PermissionDenied("a hook says no")

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, "merge", refuse)
        with pytest.raises(KeyboardInterrupt):
            project.run(3)
    assert "was interrupted, and ended by: [E0710] a hook says no" in caplog.text
    assert "has perhaps landed" not in caplog.text
    assert "run finish" in caplog.text


# -- servers that fail for a moment --------------------------------------------------------------------------------


def test_an_error_that_the_server_does_not_explain_ends_no_run_whichever_call_it_meets(
    project: KedroProject, between: Gateway, quick: None
) -> None:
    project.run(1)
    calls = len(between.seen)
    for done in (False, True):
        for number in range(calls):
            between.answers.extend([*[None] * number, Canned(500, BUG.body, done=done)])
            before = project.read()["total"]
            run_id = project.run(3)
            between.answers.clear()
            assert project.read() == {**AFTER, "total": before + 3}
            assert project.branches() == ["main"], (done, number)
            assert project.tags()[f"kedro-{run_id}"] == project.log()[0].id


def test_an_error_that_stays_ends_a_run_by_what_the_server_says(
    project: KedroProject, between: Gateway, quick: None
) -> None:
    between.answers.extend([BUG] * 500)
    with pytest.raises(Exception, match="a bug"):
        project.run(3)
    # The branch is asked for, and then dropped, in case that it was made.
    assert len(between.seen) <= 2 * http.ATTEMPTS


def away(monkeypatch: pytest.MonkeyPatch, call: str, times: int, then: Callable[[], object] = lambda: None) -> None:
    """Let nobody answer, so many times, from the first request on that has ``call`` in its URL."""
    original, left = http.ask_once, [times]

    def ask(pool: Any, method: str, url: Any, *more: Any) -> Any:
        if left[0] and (call in url.reveal() or left[0] < times):
            left[0] -= 1
            then()
            raise NewConnectionError(pool, "Connection refused")
        return original(pool, method, url, *more)

    monkeypatch.setattr(http, "ask_once", ask)


@pytest.mark.parametrize("call", ["/branches", "/objects", "/commits", "/merge/", "/tags"])
def test_a_server_that_is_away_for_a_while_ends_no_run_and_is_told_of_once(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, quick: None, call: str
) -> None:
    away(monkeypatch, call, 3 * http.ATTEMPTS)
    project.run(3)
    assert project.read() == AFTER
    assert caplog.text.count("the run waits up to 60 s for it") == 1
    assert "follows" not in caplog.text


def test_a_server_that_is_overloaded_for_a_while_ends_no_run(
    project: KedroProject, between: Gateway, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    between.answers.extend([Canned(503)] * 3 * http.ATTEMPTS)
    project.run(3)
    assert project.read() == AFTER
    assert caplog.text.count("(HTTP status 503): the run waits up to 60 s for it") == 1


def test_a_server_that_stays_away_ends_a_run(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr(patience, "WAITS_WITHIN", 0.01)
    away(monkeypatch, "/branches", 1_000_000)
    with pytest.raises(Exception, match="Connection refused"):
        project.run(3)


def test_ctrl_c_ends_the_wait_for_a_server_at_once(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "LONGEST_PAUSE", 60.0)
    monkeypatch.setattr("random.uniform", lambda *_: 600.0)  # without an interrupt the test would not end
    away(monkeypatch, "/objects", 1, raised("SIGINT"))
    with pytest.raises(KeyboardInterrupt):
        project.run(3)
    interrupts.abandon_all()
    assert project.branches() == ["main"]
    assert project.read() == BEFORE


def test_a_server_that_is_away_is_not_waited_for_after_an_interrupt(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "pause", lambda _: True)
    away(monkeypatch, "/branches", 1, lambda: None)
    with pytest.raises(Exception, match="does not answer"):
        project.run(3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_handler_of_ones_own_is_left_alone(project: KedroProject, number: signal.Signals) -> None:
    def own(number: int, frame: object) -> None:
        raise AssertionError

    before = signal.signal(number, own)
    try:
        project.run(3)
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)
    assert project.read() == AFTER


def test_a_run_that_takes_its_time_to_land_is_waited_for(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "_WINDOWS_WAKES", 0.0)
    project.run(3)
    assert project.read() == AFTER


def test_an_overloaded_server_is_not_waited_for_after_an_interrupt(
    between: Gateway, project: KedroProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "pause", lambda _: True)
    between.answers.append(Canned(503))
    with pytest.raises(Exception, match="HTTP status 503"):
        project.run(3)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
