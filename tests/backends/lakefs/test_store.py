"""Large objects past the lakeFS server: signed URLs that fail, grow old, or lead where this machine cannot go."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from urllib3.exceptions import NewConnectionError

from kedro_statisfactory.backends import LakeFSBackend, http, transfer
from kedro_statisfactory.backends.direct import ConnectionPool
from kedro_statisfactory.backends.http import ATTEMPTS
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.store import LakeFSStore, _SignedURL
from kedro_statisfactory.backends.s3.client import s3_client
from kedro_statisfactory.errors import IntegrityError, StoreFailed
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session
from tests.backends.lakefs.repositories import LARGE
from tests.servers.faults import Canned, Gateway, gateway
from tests.servers.lakefs import LakeFSServer, NoServer, lakefs
from tests.servers.s3 import S3Server
from tests.test_hidden import locals_shown

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_pauses")]


@pytest.fixture
def between(seaweed: S3Server) -> Iterator[Gateway]:
    """A gateway before the store."""
    with gateway(seaweed.endpoint_url) as state:
        yield state


@pytest.fixture
def store(lakefs_s3: LakeFSServer) -> LakeFSStore:
    session = Session(lakefs_s3.credentials)
    return LakeFSStore(session, LakeFSAPI(session))


@pytest.fixture
def url(between: Gateway) -> _SignedURL:
    """A URL as it could be signed, which stays the same when it is signed anew."""
    signed = Hidden(f"{between.endpoint_url}/blocks/x?X-Amz-Signature=hush")
    return _SignedURL(lambda: signed, signed)


def test_it_is_tried_again_after_any_error_of_the_store(store: LakeFSStore, url: _SignedURL, between: Gateway) -> None:
    between.answers.extend([Canned(500, b"<Error/>"), Canned(503), Canned(200, headers={"ETag": '"e"'})])
    assert store._put(url, b"abc") == '"e"'
    between.answers.extend([Canned(500, b"<Error/>"), Canned(206, b"abc", {"Content-Range": "bytes 0-2/9"})])
    assert b"".join(store._get(url, 0, 3)) == b"abc"
    assert not [seen for seen in between.seen if "authorization" in map(str.lower, seen.headers)]
    assert {seen.headers.get("Range") for seen in between.seen if seen.method == "GET"} == {"bytes=0-2"}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [(206, b"ab", "0-1/9"), (206, b"abcd", "0-3/9"), (206, b"def", "3-5/9"), (206, b"abc", ""), (200, b"abc", "0-2/3")],
)
def test_another_range_than_asked_for_is_an_error(
    store: LakeFSStore, url: _SignedURL, between: Gateway, status: int, body: bytes, told: str
) -> None:
    between.answers.append(Canned(status, body, {"Content-Range": f"bytes {told}"} if told else {}))
    with pytest.raises(StoreFailed, match="another range"):
        list(store._get(url, 0, 3))


PAGES = [
    Canned(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}),
    Canned(200),
    Canned(200, b"<?xml?><Error><Code>x</Code></Error>"),
]


@pytest.mark.parametrize("page", PAGES, ids=["a sign-in page", "nothing", "an XML document"])
def test_a_page_that_is_no_answer_of_the_store_counts_for_nothing(
    store: LakeFSStore, url: _SignedURL, between: Gateway, page: Canned
) -> None:
    between.answers.extend([page, page])
    with pytest.raises(StoreFailed, match="does not say what it has stored"):
        store._put(url, b"abc")
    with pytest.raises(StoreFailed, match="another range"):
        list(store._get(url, 0, 3))


def test_an_answer_that_breaks_off_again_and_again_is_an_error(
    store: LakeFSStore, url: _SignedURL, between: Gateway
) -> None:
    between.answers.extend([Canned(206, b"", {"Content-Length": "3", "Content-Range": "bytes 0-2/9"})] * ATTEMPTS)
    with pytest.raises(IntegrityError, match="broke off"):
        list(store._get(url, 0, 3))
    assert len(between.seen) == ATTEMPTS


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_signed_url_is_never_shown(store: LakeFSStore, url: _SignedURL, between: Gateway, status: int) -> None:
    between.answers.extend([Canned(status, b"<Error>hush</Error>")] * ATTEMPTS)
    with pytest.raises(StoreFailed, match=f"the object store http://\\S+ behind.*HTTP status {status}") as failed:
        list(store._get(url, 0, 3))
    assert "hush" not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize("wrong", ["http://127.0.0.1:9/x?sign=hush", "http://[/x?sign=hush", "nonsense://x?sign=hush"])
def test_a_signed_url_that_leads_nowhere_is_not_shown_either(store: LakeFSStore, wrong: str) -> None:
    with pytest.raises(StoreFailed) as failed:
        store._put(_SignedURL(lambda: Hidden(wrong)), b"abc")
    assert "hush" not in "".join(traceback.format_exception(failed.value))
    assert "hush" not in locals_shown(lambda: store._put(_SignedURL(lambda: Hidden(wrong)), b"abc"))
    assert "hush" not in locals_shown(lambda: list(store._get(_SignedURL(lambda: Hidden(wrong)), 0, 3)))


def test_urls_that_have_grown_old_are_signed_anew(
    seaweed: S3Server, large_file: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lakefs")
    try:
        with lakefs(folder, seaweed, pre_signed_expiry="2s") as server:
            where = parse(f"lakefs://{server.new_repository()}/large")
            backend = LakeFSBackend(Session(server.credentials))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(transfer, "read_part", _after_a_while(transfer.read_part))
                backend.upload(source=large_file, fragment=where)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(LakeFSStore, "_get", _after_a_while(LakeFSStore._get))
                backend.download(target=tmp_path / "large", fragment=where)
            assert (backend._store.use.reads, backend._store.use.writes) == (True, True)
    except NoServer as error:
        pytest.skip(f"NOT TESTED: {error}")
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


def test_a_url_is_signed_when_it_is_needed_and_anew_but_once_for_all_threads() -> None:
    first, second, third = (Hidden(each) for each in ("first", "second", "third"))
    signed = iter([first, second, third])
    url = _SignedURL(lambda: next(signed))
    assert (url.now(), url.now()) == (first, first)
    assert (url.renewed(first), url.renewed(first), url.now()) == (second, second, second)


def _after_a_while(work: Any) -> Any:
    def later(*arguments: Any) -> Any:
        time.sleep(3.1)  # a URL counts whole seconds: it is good for one or two
        return work(*arguments)

    return later


def test_an_object_that_was_replaced_when_its_url_is_signed_anew_is_read_again(
    lakefs_s3: LakeFSServer, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = lakefs_s3.new_repository()
    where = parse(f"lakefs://{repository}/x")
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    (tmp_path / "old").write_bytes(bytes(LARGE))
    backend.upload(source=tmp_path / "old", fragment=where)
    ask_at = LakeFSStore._ask_at

    def refuse_once(self: LakeFSStore, url: Hidden[str], method: str, *more: Any) -> Any:
        if method == "GET":
            monkeypatch.undo()
            monkeypatch.setattr(http, "LONGEST_PAUSE", 0.0)
            backend.upload(source=large_file, fragment=where)
            raise StoreFailed("too old", 403)
        return ask_at(self, url, method, *more)

    monkeypatch.setattr(LakeFSStore, "_ask_at", refuse_once)
    monkeypatch.setattr(transfer, "DOWNLOAD_WORKERS", 1)
    backend.download(target=tmp_path / "new", fragment=where)
    assert (tmp_path / "new").read_bytes() == large_file.read_bytes()


@pytest.mark.parametrize("how", ["unreachable", "refused", "of no server"])
def test_where_signed_urls_are_of_no_use_the_server_takes_and_gives_large_objects(
    lakefs_s3: LakeFSServer,
    seaweed: S3Server,
    large_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    repository = lakefs_s3.new_repository()
    # The credentials are one's own: what a process has learnt of the server is kept for them.
    session = Session({**lakefs_s3.credentials, "verify_ssl": how != "refused"})
    backend, where = LakeFSBackend(session), parse(f"lakefs://{repository}/large")
    ask_at = LakeFSStore._ask_at

    def astray(self: LakeFSStore, url: Hidden[str], *more: Any) -> Any:
        parts = urlsplit(url.reveal())
        wrong = {
            "unreachable": parts._replace(netloc="127.0.0.1:9"),
            "refused": parts._replace(query=f"{parts.query}0"),
            "of no server": parts._replace(scheme="quantum"),
        }
        return ask_at(self, Hidden(wrong[how].geturl()), *more)

    backend._store.use.reads = backend._store.use.writes = True
    monkeypatch.setattr(LakeFSStore, "_ask_at", astray)
    with caplog.at_level(logging.WARNING):
        backend.upload(source=large_file, fragment=where)
        backend._store.use.reads = True
        backend.download(target=tmp_path / "large", fragment=where)
        backend.download(target=tmp_path / "again", fragment=where)
    assert (tmp_path / "large").read_bytes() == (tmp_path / "again").read_bytes() == large_file.read_bytes()
    backend._store.give_up(StoreFailed("once more, by another thread"))
    assert caplog.text.count("Large objects go through the lakeFS server") == 2
    assert "Signature" not in caplog.text
    client = s3_client(Session(seaweed.credentials))
    assert not client.list_multipart_uploads(Bucket="lakefs-blocks", Prefix=f"{repository}/").get("Uploads")


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """A host that drops what is sent to it: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def without_answers() -> Iterator[str]:
    """A host that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def closed() -> Iterator[str]:
    """A host that refuses connections."""
    yield "127.0.0.1:9"


@contextlib.contextmanager
def unknown() -> Iterator[str]:
    """A host whose name does not resolve."""
    yield "there-is-none.invalid"


@pytest.mark.parametrize("host", [silent, without_answers, closed, unknown])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_host_that_this_machine_does_not_reach_is_tried_once_and_told_in_one_line(
    lakefs_s3: LakeFSServer,
    large_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    host: Callable[[], contextlib.AbstractContextManager[str]],
    way: str,
) -> None:
    where = parse(f"lakefs://{lakefs_s3.new_repository()}/large")
    # The credentials are one's own: what a process has learnt of the server is kept for them.
    backend = LakeFSBackend(Session({**lakefs_s3.credentials, "verify_ssl": False, "proxy": ""}))
    if way == "down":
        LakeFSBackend(Session(lakefs_s3.credentials)).upload(source=large_file, fragment=where)
    backend._store.use.reads = backend._store.use.writes = True
    ask_at, asked = LakeFSStore._ask_at, list[str]()
    with host() as address:

        def astray(self: LakeFSStore, url: Hidden[str], *more: Any) -> Any:
            asked.append(urlsplit(url.reveal()).query)
            return ask_at(self, Hidden(urlsplit(url.reveal())._replace(netloc=address).geturl()), *more)

        monkeypatch.setattr(LakeFSStore, "_ask_at", astray)
        monkeypatch.setattr(http, "FIRST_CONNECT_TIMEOUT", 0.2)
        monkeypatch.setattr(http, "READ_TIMEOUT", 0.5 if host is without_answers else http.READ_TIMEOUT)
        with caplog.at_level(logging.WARNING):
            if way == "up":
                backend.upload(source=large_file, fragment=where)
            else:
                backend.download(target=tmp_path / "large", fragment=where)
    assert len(asked) == len(set(asked)), "each part once"
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Large objects go through the lakeFS server from now on, which is slower: ")
    assert line.count("(") == line.count(")")
    backend.download(target=tmp_path / "large", fragment=where)
    assert (tmp_path / "large").read_bytes() == large_file.read_bytes()


def test_a_host_that_has_answered_is_tried_again_when_a_connection_cannot_be_made(
    store: LakeFSStore, url: _SignedURL, between: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    between.answers.append(Canned(200, headers={"ETag": '"e"'}))
    store._put(url, b"abc")
    request, refused = ConnectionPool.request, [NewConnectionError(None, "Connection refused")] * 2  # type: ignore[arg-type]

    def refuse_twice(self: ConnectionPool, *arguments: Any, **options: Any) -> Any:
        if refused:
            raise refused.pop()
        return request(self, *arguments, **options)

    monkeypatch.setattr(ConnectionPool, "request", refuse_twice)
    between.answers.append(Canned(200, headers={"ETag": '"f"'}))
    assert store._put(url, b"abc") == '"f"'


def test_the_store_is_reached_by_its_own_proxy(
    lakefs_s3: LakeFSServer, between: Gateway, large_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = parse(f"lakefs://{lakefs_s3.new_repository()}/large")
    monkeypatch.setenv("http_proxy", between.endpoint_url)
    monkeypatch.setenv("no_proxy", urlsplit(lakefs_s3.endpoint_url).netloc)
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    backend.upload(source=large_file, fragment=where)
    backend.download(target=tmp_path / "large", fragment=where)
    assert between.seen
    assert all("Signature" in seen.target for seen in between.seen), "lakeFS itself is asked directly"


def test_the_store_is_reached_directly_when_its_host_needs_no_proxy(
    lakefs_s3: LakeFSServer, seaweed: S3Server, between: Gateway, large_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = parse(f"lakefs://{lakefs_s3.new_repository()}/large")
    monkeypatch.setenv("http_proxy", between.endpoint_url)
    monkeypatch.setenv("no_proxy", urlsplit(seaweed.endpoint_url).netloc)
    backend = LakeFSBackend(Session(lakefs_s3.credentials))
    backend.upload(source=large_file, fragment=where)
    assert between.seen
    assert not [seen for seen in between.seen if "Signature" in seen.target]
