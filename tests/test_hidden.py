"""Tracebacks that show the locals of our functions, as rich's do, show no secret."""

from __future__ import annotations

import base64
import copy
import pickle
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from kedro.io import AbstractDataset
from rich.traceback import Traceback

import kedro_statisfactory
from kedro_statisfactory import ArtifactDataset
from kedro_statisfactory.backends import S3Backend
from kedro_statisfactory.backends.engines import S3Access
from kedro_statisfactory.hidden import Hidden, HiddenDict, hidden
from kedro_statisfactory.location import parse

SECRET = "do-not-tell-0123456789"
OURS = str(Path(kedro_statisfactory.__file__).parent)


def locals_shown(call: Callable[[], object]) -> str:
    """All locals of our functions that rich shows of an error, those of its causes included."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    shown = Traceback.extract(
        type(caught.value), caught.value, caught.value.__traceback__, show_locals=True, locals_max_string=1000
    )
    frames = [frame for stack in shown.stacks for frame in stack.frames if frame.filename.startswith(OURS)]
    assert frames, "the negative control: there is something to be seen"
    return "\n".join(f"{name} = {node}" for frame in frames for name, node in (frame.locals or {}).items())


@pytest.fixture(scope="module")
def refusing() -> Any:
    """A server that refuses whatever it is asked."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def s3(**credentials: Any) -> dict[str, Any]:
    return {
        "filepath": "s3://bucket/x.txt",
        "dataset": "text.TextDataset",
        "credentials": {"key": "AKIAEXAMPLE", "secret": SECRET, "token": SECRET, **credentials},
    }


def lakefs(**credentials: Any) -> dict[str, Any]:
    return {
        "filepath": "lakefs://repository/x.txt",
        "dataset": "text.TextDataset",
        "credentials": {"access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET, **credentials},
    }


@pytest.mark.parametrize(
    "config",
    [
        s3(no_such_key=SECRET),
        s3(anon=SECRET),
        s3(client_kwargs={"endpoint_url": f"http://user:{SECRET}@host"}),
        s3(client_kwargs=SECRET),
        s3(secret=f"{SECRET}\n"),
        s3(secret=["in", "a", "list"], token=SECRET),
        {**s3(), "fs_args": {"secret": SECRET, "open_args_load": {}}},
        {**s3(), "filepath": "s3://b/../x"},
        {**s3(), "no_such_argument": SECRET},
        {**s3(), "dataset": "no.SuchDataset"},
        {**s3(), "dataset": {"type": "text.TextDataset", "credentials": {"secret": SECRET}, "no_such": 1}},
        lakefs(no_such_key=SECRET),
        lakefs(verify_ssl=SECRET),
        lakefs(endpoint=f"http://user:{SECRET}@host"),
    ],
)
def test_what_is_typed_wrong_shows_no_secret(config: dict[str, Any]) -> None:
    assert SECRET not in locals_shown(lambda: ArtifactDataset(**config))


Make = Callable[..., dict[str, Any]]
services = pytest.mark.parametrize("make", [s3, lakefs])


def entry_at(make: Make, endpoint: str) -> Any:
    """An entry at another endpoint."""
    return ArtifactDataset(**make(endpoint_url=endpoint))


def shows_none(shown: str) -> bool:
    basic = base64.b64encode(f"AKIAEXAMPLE:{SECRET}".encode()).decode()
    return not any(secret in shown for secret in (SECRET, basic))


@services
@pytest.mark.parametrize("what", ["load", "save", "exists"])
def test_what_a_service_refuses_shows_no_secret(make: Make, what: str, refusing: str) -> None:
    entry = entry_at(make, refusing)
    calls = {"load": entry.load, "save": lambda: entry.save("text"), "exists": entry.exists}
    assert shows_none(locals_shown(calls[what]))


@services
def test_what_does_not_answer_shows_no_secret(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert shows_none(locals_shown(entry_at(make, "http://127.0.0.1:9").load))


@services
@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"])
def test_what_is_wrong_shows_no_secret_of_the_environment(
    make: Make, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, SECRET)
    assert shows_none(locals_shown(entry_at(make, "http://host:port").load))


def test_a_proxy_that_is_no_url_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@host:port")
    assert shows_none(locals_shown(entry_at(lakefs, "http://host").load))
    monkeypatch.delenv("HTTP_PROXY")
    named = lakefs(endpoint_url="http://host", proxy=f"http://user:{SECRET}@host:port")
    assert shows_none(locals_shown(ArtifactDataset(**named).load))


def test_a_frame_that_shows_one_is_seen() -> None:
    """The negative control."""

    def shows(password: str) -> None:
        parse(f"s3://{password}/../x")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.test_hidden.OURS", str(Path(__file__).parent))
        assert SECRET in locals_shown(lambda: shows(SECRET))


def test_hidden_values_are_what_they_hide() -> None:
    assert Hidden("a") == Hidden("a") != Hidden("b")
    assert Hidden("a") != "a"
    assert len({Hidden("a"), Hidden("a")}) == 1
    assert Hidden("a").reveal() == "a"
    inner = hidden({"a": {"b": SECRET}, "c": 1})
    assert inner == {"a": {"b": SECRET}, "c": 1}
    assert SECRET not in repr(inner) + repr(inner["a"]) + str(inner) + f"{inner}"
    assert hidden(None) == {}
    for travelled in (pickle.loads(pickle.dumps(inner)), copy.deepcopy(inner)):
        assert travelled == inner
        assert isinstance(travelled["a"], HiddenDict)


class Engine(AbstractDataset[str, str]):
    """Fails, and may tell by what it came in."""

    is_chatty = False

    def __init__(self, filepath: str, credentials: object = None) -> None: ...

    def _load(self) -> str:
        raise ValueError(SECRET if self.is_chatty else "no")

    def _save(self, data: str) -> None: ...

    def _describe(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("is_chatty", [True, False])
@pytest.mark.parametrize("shape", ["fsspec", "object_store"])
def test_what_an_engine_fails_with_shows_no_secret(
    shape: str, is_chatty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = S3Access("bucket", "x.txt", "s3://bucket/x.txt", None, "us-east-1", Hidden("AKIAEXAMPLE"), Hidden(SECRET))
    monkeypatch.setattr(S3Backend, "engine_access", lambda *_, **__: access)
    monkeypatch.setattr(Engine, "is_chatty", is_chatty)
    entry = ArtifactDataset(**{**s3(), "dataset": Engine, "native": shape})
    assert shows_none(locals_shown(entry.load))
