"""The object store behind a lakeFS server: large objects go there directly, by URLs that the server signs."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import threading
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kedro_statisfactory.backends import crc32, transfer
from kedro_statisfactory.backends.http import ATTEMPTS, Peer, let_go, read_chunks
from kedro_statisfactory.backends.lakefs.answer import Answer
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.client import object_store
from kedro_statisfactory.backends.lakefs.model import Stat
from kedro_statisfactory.backends.part_writer import PartWriter
from kedro_statisfactory.backends.transfer import CHUNK, Part
from kedro_statisfactory.errors import (
    BackendUnreachable,
    IntegrityError,
    ObjectNotFound,
    StatisfactoryError,
    StoreFailed,
)
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.progress import Progress
from kedro_statisfactory.session import Session

if TYPE_CHECKING:
    from kedro_statisfactory.backends.http import Answered

_LOGGER = logging.getLogger(__name__)

# Tries to end an upload; each of them repeats what was not answered.
_PATIENCE_AT_ONCE = 1.0  # seconds, of a user who has interrupted
_ABORTS = 3


@dataclass
class _Use:
    """Which way large objects take in this process: by signed URLs or through the server."""

    reads: bool
    writes: bool


@dataclass
class _Host:
    """A host of the object store, which may have an address that this machine cannot reach."""

    has_answered: bool = False


class _SignedURL:
    """A URL that the server has signed, and how to get a new one: it is good for some minutes only."""

    def __init__(self, sign: Callable[[], Hidden[str]], first: Hidden[str] | None = None) -> None:
        self._sign, self._now = sign, first
        self._lock = threading.Lock()

    def now(self) -> Hidden[str]:
        """The URL, signed when it is first asked for."""
        return self._now or self.renewed(None)

    def renewed(self, old: Hidden[str] | None) -> Hidden[str]:
        """The URL, signed anew unless another thread has had that done since ``old``."""
        with self._lock:
            if self._now is None or self._now == old:
                self._now = self._sign()
            return self._now


class LakeFSStore:
    """What lakeFS keeps its objects in.

    Args:
        session: Credentials, and the connections made from them.
        api: The server that signs the URLs.
    """

    def __init__(self, session: Session, api: LakeFSAPI) -> None:
        self._session, self._api = session, api

    @property
    def use(self) -> _Use:
        """Which way large objects take: what the server offers, asked once per process, as far as it has worked."""
        return self._session.connection(self._kind, lambda: _Use(*self._api.presigns()))

    @property
    def may_give(self) -> bool:
        """Whether large objects may come by signed URLs, as far as is known without asking."""
        use: _Use | None = self._session.made(self._kind)
        return use is None or use.reads

    @property
    def _kind(self) -> tuple[str, str]:
        return "lakefs storage", self._api.host

    def give_up(self, error: StoreFailed) -> None:
        """Let large objects go through the server from now on, since this machine cannot use signed URLs."""
        use = self.use
        if use.reads or use.writes:
            _LOGGER.warning("Large objects go through the lakeFS server from now on, which is slower: %s", error)
        use.reads = use.writes = False

    def fetch(self, repository: str, ref: str, path: str, answer: Answer, writer: PartWriter) -> Stat:
        """Fetch an object in ranges side by side; gives its description.

        Args:
            repository: Where.
            ref: Where.
            path: Where.
            answer: Its beginning, as the server gives it.
            writer: What it is put in.

        Raises:
            IntegrityError: It was replaced meanwhile, or ended too early again and again.
            StoreFailed: The store gives nothing.
        """
        found: Stat

        def sign() -> Hidden[str]:
            nonlocal found
            found = self._api.stat(repository, ref, path, presign=True)
            if (found.checksum, found.size) != (answer.checksum, answer.size):
                raise IntegrityError(f"{path!r} was replaced while it was read")
            return Hidden(found.address)

        url = _SignedURL(sign)

        def fetch(part: Part, stop: threading.Event) -> None:
            # One that is stopped would else keep its connection until the garbage is collected.
            with contextlib.closing(chunks(part)) as arriving:
                writer.fill(part, arriving, stop)

        def chunks(part: Part) -> Generator[bytes, None, None]:
            start, end = part.offset, part.offset + part.length
            if part.number == 1:
                with contextlib.suppress(IntegrityError):  # it broke off, and the store may give the rest
                    for chunk in answer.chunks(CHUNK):
                        start += len(chunk)
                        yield chunk
            if start < end:
                yield from self._get(url, start, end)

        writer.begin(answer.size)
        transfer.in_parallel(fetch, transfer.parts(answer.size, transfer.DOWNLOAD_PART), transfer.DOWNLOAD_WORKERS)
        return found

    def send(self, repository: str, branch: str, path: str, source: Path | bytes) -> Stat:
        """Store a file, or what is in memory, in parts side by side; they become an object all at once.

        Raises:
            BranchNotFound: There is no branch of this name.
            StoreFailed: The store takes nothing.
            BackendUnreachable: Nobody knows whether the upload was begun; it has no parts.
        """
        size = transfer.size_of(source)
        cut = transfer.parts(size, transfer.UPLOAD_PART)
        upload_id, address, urls = self._api.begin_parts(repository, branch, path, len(cut))
        upload = upload_id, address

        def send(part: Part, _: threading.Event) -> tuple[str, int]:
            def sign() -> Hidden[str]:
                return self._api.sign_part(repository, branch, path, upload, part.number)

            payload = transfer.read_part(source, part)
            etag = self._put(_SignedURL(sign, urls[part.number - 1]), payload)
            progress.moved(part.length)
            return etag, zlib.crc32(payload)

        progress = Progress()
        progress.begin(size)
        try:
            sent = transfer.in_parallel(send, cut, transfer.UPLOAD_WORKERS)
            pairs = zip(sent, cut, strict=True)
            whole = crc32.combined((crc32, part.length) for (_, crc32), part in pairs)
            return self._complete(repository, branch, path, upload, [etag for etag, _ in sent], whole, size)
        except Exception:  # whatever it was: parts that are left cost money
            self._abort(repository, branch, path, upload)
            raise
        except BaseException:  # an interrupt, too, must not leave parts that somebody pays for, and does not wait long
            with contextlib.suppress(TimeoutError):
                transfer.beside(lambda: self._abort(repository, branch, path, upload)).result(_PATIENCE_AT_ONCE)
            raise

    def _complete(
        self,
        repository: str,
        branch: str,
        path: str,
        upload: tuple[str, str],
        etags: Sequence[str],
        crc32: int,
        size: int,
    ) -> Stat:
        """Make the parts one object; where that fails, a try whose answer was lost may have done it."""
        try:
            return self._api.complete_parts(repository, branch, path, upload, etags, crc32, size)
        except StatisfactoryError:
            with contextlib.suppress(StatisfactoryError):  # the first error says more
                found = self._api.stat(repository, branch, path)
                if (found.address, found.size) == (upload[1], size):
                    return found
            raise

    def _abort(self, repository: str, branch: str, path: str, upload: tuple[str, str]) -> None:
        """Drop an upload in parts; raises nothing, since the error that is on its way says more."""
        for _ in range(_ABORTS):
            try:
                self._api.abort_parts(repository, branch, path, upload)
                return
            except ObjectNotFound:  # a try whose answer was lost has done it
                return
            except StatisfactoryError as failed:
                error = failed
        _LOGGER.warning(
            "An unfinished upload to %s could not be ended (%s): its parts stay in the object store until somebody, or "
            "a rule for unfinished uploads, removes them.",
            upload[1],
            error,
        )

    def _put(self, url: _SignedURL, payload: bytes) -> str:
        """Send a part; gives its ETag."""
        digest = base64.b64encode(hashlib.md5(payload, usedforsecurity=False).digest()).decode()
        headers = {"Content-MD5": digest, "Content-Length": str(len(payload))}
        etag = self._ask("PUT", url, headers, payload).headers.get("ETag")
        if not etag:
            raise StoreFailed("what answers at a signed URL, a proxy perhaps, does not say what it has stored")
        return str(etag)

    def _get(self, url: _SignedURL, start: int, end: int) -> Iterator[bytes]:
        """Fetch bytes as they come, going on where an answer breaks off."""
        attempt = 0
        while True:
            attempt += 1
            response = self._ask("GET", url, {"Range": f"bytes={start}-{end - 1}"})
            try:
                told = response.headers.get("Content-Length"), response.headers.get("Content-Range", "").split("/")[0]
                if response.status != 206 or told != (str(end - start), f"bytes {start}-{end - 1}"):
                    raise StoreFailed("the object store, or a proxy before it, gives another range than was asked for")
                for chunk in read_chunks(response, end - start, CHUNK):
                    start += len(chunk)
                    yield chunk
                return
            except IntegrityError:
                if attempt == ATTEMPTS:
                    raise
            finally:
                let_go(response)

    def _ask(self, method: str, url: _SignedURL, headers: Mapping[str, str], payload: bytes | None = None) -> Answered:
        """Ask at a signed URL, which no error shows; once more at a new one when it has become too old."""
        signed = url.now()
        try:
            return self._ask_at(signed, method, headers, payload)
        except StoreFailed as error:
            if not error.is_refusal:
                raise
        return self._ask_at(url.renewed(signed), method, headers, payload)

    def _ask_at(self, url: Hidden[str], method: str, headers: Mapping[str, str], payload: bytes | None) -> Answered:
        origin = _origin(url)
        host = self._session.connection(("lakefs object store host", origin), _Host)
        name = f"the object store {origin} behind the lakeFS server {self._api.host}"
        peer = Peer(name, "check that this machine reaches it", _may_soon_do_it, not host.has_answered)
        body = None if payload is None else lambda: payload
        try:
            pool = object_store(self._session, origin)
            response = peer.send(pool, method, url, headers, body, stream=method == "GET")
        except BackendUnreachable as error:
            raise StoreFailed(error.args[0]) from None
        host.has_answered = True
        if response.status >= 300:
            let_go(response)
            raise StoreFailed(f"{name} answers a signed URL with HTTP status {response.status}.", response.status)
        return response


def _may_soon_do_it(status: int, _: str) -> bool:
    """Object stores ask for another try after each error of theirs."""
    return status == 429 or status >= 500


def _origin(url: Hidden[str]) -> str:
    """Scheme and host of a signed URL."""
    with contextlib.suppress(ValueError):
        scheme, netloc = urlsplit(url.reveal())[:2]
        if scheme in ("http", "https") and netloc:
            return f"{scheme}://{netloc}"
    raise StoreFailed("the lakeFS server has signed a URL of no HTTP server.")
