"""One connection per process and configuration; no secret anywhere."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kedro_statisfactory import session as session_module
from kedro_statisfactory.backends.s3.credentials import s3_configuration
from kedro_statisfactory.session import Session, environment

S3FS = {"key": "AK", "secret": "SK", "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}}


def test_threads_share_one_connection_that_is_made_once() -> None:
    made: list[object] = []
    barrier = threading.Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    def connect(_: int) -> object:
        barrier.wait(10)
        return Session({"threads": "share"}).connection("test", make)

    with ThreadPoolExecutor(8) as executor:
        assert len(set(map(id, executor.map(connect, range(8))))) == 1
    assert len(made) == 1


def test_other_credentials_have_another_connection() -> None:
    one = Session({"a": [1, {"b": {2}}]}).connection("test", object)
    assert Session({"a": [1, {"b": {2}}]}).connection("test", object) is one
    assert Session({"a": [1, {"b": {3}}]}).connection("test", object) is not one
    assert Session({"a": [1, {"b": {2}}]}).connection("another", object) is not one


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_makes_its_own_connection_even_while_the_lock_is_held() -> None:
    session = Session({"fork": "own"})
    parents = session.connection("test", object)
    locked, release = threading.Event(), threading.Event()

    def hold() -> object:
        locked.set()
        release.wait(20)
        return object()

    holder = threading.Thread(target=lambda: session.connection("held", hold))
    holder.start()
    locked.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if session.connection("test", object) is not parents else 1)
    _, status = os.waitpid(child, 0)
    release.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0
    assert session.connection("test", object) is parents


def test_a_child_forgets_what_its_parent_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the fork above runs in the child, where no coverage is measured.
    monkeypatch.setattr("kedro_statisfactory.session._connections", session_module._connections)
    one = Session({"a": 1}).connection("test", object)
    session_module._forget_connections()
    assert Session({"a": 1}).connection("test", object) is not one


@pytest.mark.parametrize("kept_otherwise", [False, True])
def test_each_change_of_a_variable_is_another_environment(
    kept_otherwise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept_otherwise:  # than the Python of today does it
        monkeypatch.setattr(os, "environ", dict(os.environ))
    names = ("STATISFACTORY_ONE", "STATISFACTORY_OTHER")
    unset = environment(names)
    monkeypatch.setenv(names[0], "hush")
    one = environment(names)
    monkeypatch.setenv(names[1], "hush")
    both = environment(names)
    monkeypatch.delenv(names[0])
    other = environment(names)
    assert len({unset, one, both, other}) == 4
    assert "hush" not in repr(both)
    monkeypatch.setenv(names[0], "hush")
    assert environment(names) == both
    monkeypatch.delenv(names[0])
    monkeypatch.delenv(names[1])
    assert environment(names) == unset


def test_no_secret_shows() -> None:
    session = Session({**S3FS, "secret": "hush-hush", "token": "hush"})
    assert "hush" not in repr(session)
    shown = session.redacted("a hush-hush b hush c http://127.0.0.1:1", ())
    assert shown == "a <redacted> b <redacted> c http://127.0.0.1:1"
    assert repr(Session()) == "Session(credentials=None)"
    assert "hush" not in repr(s3_configuration(session.credentials))


def test_a_secret_in_a_list_is_hidden_too() -> None:
    assert Session({"auth": ["me", "hush-hush"]}).redacted("refused: hush-hush", ()) == "refused: <redacted>"
