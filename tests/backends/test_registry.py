"""Backends register under their prefix, and are found by it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult

import pytest

from kedro_statisfactory.backends import Backend, FsspecBackend, LocalFS, S3Backend
from kedro_statisfactory.backends import installed as installed_backends
from kedro_statisfactory.errors import Errors, NotSupported, PrefixTaken, UnknownPrefix
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a registry of its own."""
    monkeypatch.setattr(Backend, "_backends", dict(Backend._backends))


def make(name: str, prefix: str, **kwargs: Any) -> type[Backend]:
    def put(self: Backend, *, payload: bytes, fragment: ParseResult) -> None: ...

    def get(self: Backend, *, fragment: ParseResult) -> bytes:
        return b"x"

    namespace = {"put": put, "get": get, "__module__": __name__}
    made: type[Backend] = types.new_class(
        name, (Backend,), {"prefix": prefix, **kwargs}, lambda ns: ns.update(namespace)
    )
    return made


def test_a_taken_prefix_is_refused_and_both_classes_are_named() -> None:
    with pytest.raises(PrefixTaken, match=r"\[E0201\].*'s3'.*S3Backend.*Intruder"):
        make("Intruder", "s3")
    assert Backend.backends()["s3"] is S3Backend


def test_a_taken_alias_registers_nothing() -> None:
    with pytest.raises(Errors.E0201):
        make("Intruder", "free", aliases=("s3n",))
    assert "free" not in Backend.backends()


def test_the_same_class_defined_again_replaces_itself() -> None:
    make("Mine", "mine")
    again = make("Mine", "mine")
    assert Backend.backends()["mine"] is again


@pytest.mark.parametrize("prefix", ["S3", "x", "a_b", "1a", "a:"])
def test_a_prefix_that_no_url_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="no URL"):
        make("Odd", prefix)


def test_the_view_of_the_registry_is_read_only() -> None:
    with pytest.raises(TypeError):
        Backend.backends()["x"] = LocalFS  # type: ignore[index]


def test_every_prefix_of_the_documentation_is_served() -> None:
    served = {"": LocalFS, "file": LocalFS, "s3": S3Backend, "s3a": S3Backend, "s3n": S3Backend}
    assert {prefix: Backend.registered(prefix) for prefix in served} == served


class _EntryPoint:
    def __init__(self, name: str, loads: Any) -> None:
        self.name, self.value, self.load = name, f"package:{name}", loads


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two distributions with an entry point, one of them broken."""

    def broken() -> None:
        raise ImportError("its SDK is missing")

    found = [_EntryPoint("broken", broken), _EntryPoint("good", lambda: make("Installed", "installed"))]
    monkeypatch.setattr(installed_backends._state, "loaded", False)
    monkeypatch.setattr("kedro_statisfactory.backends.installed.entry_points", lambda group: found)


@pytest.mark.usefixtures("installed")
def test_an_installed_backend_is_found_and_a_broken_one_only_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert Backend.registered("installed").__name__ == "Installed"
    assert "its SDK is missing" in caplog.text


def test_a_thread_waits_until_all_installed_backends_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    loads: list[str] = []

    def slow() -> type[Backend]:
        begun.set()
        assert "s3" in Backend.backends(), "a module may ask for backends while it is loaded"
        loads.append("slow")
        go_on.wait(20)
        return make("Slow", "slow")

    monkeypatch.setattr(installed_backends._state, "loaded", False)
    monkeypatch.setattr(
        "kedro_statisfactory.backends.installed.entry_points", lambda group: [_EntryPoint("slow", slow)]
    )
    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(Backend.registered, "slow")
        assert begun.wait(20)
        second = executor.submit(Backend.registered, "slow")
        with contextlib.suppress(StillWaiting):
            second.result(0.2)
        go_on.set()
        assert first.result(20) is second.result(20)
    assert loads == ["slow"]


def test_what_an_interrupt_broke_off_is_loaded_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def interrupted() -> type[Backend]:
        tries.append(1)
        if len(tries) == 1:
            raise KeyboardInterrupt
        return make("Late", "late")

    monkeypatch.setattr(installed_backends._state, "loaded", False)
    monkeypatch.setattr(
        "kedro_statisfactory.backends.installed.entry_points", lambda group: [_EntryPoint("x", interrupted)]
    )
    with pytest.raises(KeyboardInterrupt):
        Backend.registered("late")
    assert Backend.registered("late").__name__ == "Late"


def test_names_of_secrets_are_no_text() -> None:
    with pytest.raises(ValueError, match=r"`secret_variables` of .* is a text"):
        type("Odd", (LocalFS,), {"secret_variables": "MY_TOKEN"}, prefix="odd")


def test_a_secret_of_any_backend_is_hidden_by_every_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush-hush")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "quiet-please")
    type("Mine", (LocalFS,), {"secret_variables": ("MY_TOKEN",)}, prefix="mine")
    assert LocalFS(Session()).redacted("hush-hush and quiet-please") == "<redacted> and <redacted>"


@pytest.mark.usefixtures("installed")
def test_the_view_shows_installed_backends() -> None:
    assert "installed" in Backend.backends()


@pytest.mark.parametrize("prefix", ["memory", "https", "sftp", "hdfs", "ftp"])
def test_what_nobody_has_registered_and_fsspec_knows_goes_through_fsspec(prefix: str) -> None:
    assert Backend.registered(prefix) is FsspecBackend
    assert prefix not in Backend.backends()


def test_a_backend_serves_no_prefix_but_those_that_it_is_registered_for() -> None:
    assert not LocalFS.serves("attic")


def test_a_registered_backend_goes_before_fsspec() -> None:
    mine = make("Mine", "sftp")
    assert Backend.registered("sftp") is mine


def test_what_somebody_has_made_known_to_fsspec_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    registry: Any = sys.modules["fsspec.registry"]
    monkeypatch.setitem(registry._registry, "attic", registry.get_filesystem_class("memory"))
    assert Backend.registered("attic") is FsspecBackend


@pytest.mark.parametrize(("prefix", "package"), [("gs", "gcsfs"), ("abfs", "adlfs"), ("oci", "ocifs")])
def test_a_place_that_needs_a_package_names_it(prefix: str, package: str) -> None:
    with pytest.raises(UnknownPrefix, match=f"E0202.*{prefix}://.*needs a package.*{package}"):
        Backend.registered(prefix)


@pytest.mark.parametrize("prefix", ["zip", "simplecache", "reference"])
def test_what_shows_another_place_is_none(prefix: str) -> None:
    with pytest.raises(UnknownPrefix, match=f"E0202.*{prefix}://.*name the place itself"):
        Backend.registered(prefix)


def test_fsspec_is_not_asked_for_local_files() -> None:
    with pytest.raises(UnknownPrefix, match="no backend is registered under the prefix 'local'"):
        Backend.registered("local")


def test_an_unknown_prefix_lists_the_known_ones() -> None:
    with pytest.raises(UnknownPrefix, match=r"'s4'.*s3://"):
        Backend.registered("s4")


def test_the_group_of_entry_points_is_the_documented_one() -> None:
    assert not importlib.metadata.entry_points(group="kedro_statisfactory.backends")


def test_verbs_that_two_methods_cannot_give_are_refused(tmp_path: Path) -> None:
    backend = make("Two", "two")(Session())
    with pytest.raises(NotSupported, match="list"):
        backend.list(fragment=parse("two://a/b"))
    with pytest.raises(NotSupported, match="delete"):
        backend.delete(fragment=parse("two://a/b"))
    with pytest.raises(NotSupported, match="versions"):
        backend.versions(fragment=parse("two://a/b"))
    with pytest.raises(NotSupported, match="folders"):
        backend.upload(source=tmp_path, fragment=parse("two://a/b"))
    assert backend.local_path(fragment=parse("two://a/b")) is None
    assert backend.staging_parent(fragment=parse("two://a/b")) is None
