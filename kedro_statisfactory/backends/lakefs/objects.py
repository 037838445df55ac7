"""Moving the bytes of objects to and from lakeFS: small ones by one request, large ones in parts; all are verified."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from pathlib import Path

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.lakefs.answer import Answer
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Stat
from kedro_statisfactory.backends.lakefs.proof import Proof
from kedro_statisfactory.backends.lakefs.store import LakeFSStore
from kedro_statisfactory.backends.part_writer import PartFile, PartWriter
from kedro_statisfactory.backends.transfer import CHUNK, Part
from kedro_statisfactory.errors import BackendUnreachable, IntegrityError, StoreFailed
from kedro_statisfactory.session import Session

# Tries of a read whose answer breaks off, is damaged, or changes half-way.
_ATTEMPTS = 5


class LakeFSObjects:
    """The objects of one server.

    Args:
        session: Credentials; its project keeps the journal of what a run writes.
        api: The server.
        store: What the server keeps its objects in, where this machine reaches it.
        note: Called with what was read, as its own answer has told it.
    """

    def __init__(
        self, session: Session, api: LakeFSAPI, store: LakeFSStore, note: Callable[[ObjectInfo], None]
    ) -> None:
        self._session, self._api, self._store, self._note = session, api, store, note

    def fetch_file(self, repository: str, ref: str, path: str, target: Path, verify: bool) -> None:
        """Fetch one object into a new file; arguments as for :meth:`fetch`."""
        try:
            self.fetch(repository, ref, path, PartFile(target), verify)
        except BaseException:  # an interrupt, too, must not leave a part where the format would find it
            target.unlink(missing_ok=True)
            raise

    def fetch(self, repository: str, ref: str, path: str, writer: PartWriter, verify: bool) -> None:
        """Fetch one object, of one version; again where it breaks off, is damaged or replaced half-way.

        Args:
            repository: Where.
            ref: Where.
            path: Where.
            writer: What it is put in.
            verify: Whether to compare it with the checksum that is kept of it.

        Raises:
            ObjectNotFound: There is none.
            IntegrityError: It did not arrive as it was stored, each time.
        """

        proof = Proof(path, lambda: self._api.stat(repository, ref, path)) if verify else None

        def once() -> Answer:
            if self._store.may_give:
                # Where the rest of a large object has a signed URL, its first part is all that the server has to give.
                try:
                    with self._api.open(repository, ref, path, transfer.DOWNLOAD_PART) as answer:
                        if answer.length == answer.size:
                            self._fetch_whole(repository, ref, path, answer, writer, proof)
                            return answer
                        if self._store.use.reads:
                            found = self._store.fetch(repository, ref, path, answer, writer)
                            if proof:
                                proof.check(answer, writer.chunks, writer.crc32, found)
                            return answer
                except StoreFailed as error:
                    self._store.give_up(error)
            with self._api.open(repository, ref, path) as answer:
                self._fetch_whole(repository, ref, path, answer, writer, proof)
                return answer

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = once()
                break
            except IntegrityError:
                if attempt == _ATTEMPTS:
                    raise
        self._note(ObjectInfo(path, answer.size, answer.modified, answer.checksum))

    def _fetch_whole(
        self, repository: str, ref: str, path: str, answer: Answer, writer: PartWriter, proof: Proof | None
    ) -> None:
        """Take in an object from one answer of the server, and verify it."""
        if answer.size <= transfer.SMALL:
            payload = b"".join(answer.chunks(max(answer.size, CHUNK)))
            if proof:
                proof.check(answer, lambda: [payload], lambda: zlib.crc32(payload), None)
            writer.write(payload)
            return
        # It may keep a CRC-32, which takes an eighth of the time of an MD5, and is asked for meanwhile.
        asked = transfer.beside(lambda: self._api.stat(repository, ref, path)) if proof else None
        writer.begin(answer.size)
        writer.fill(Part(1, 0, answer.size), answer.chunks(CHUNK), threading.Event())
        if proof and asked:
            proof.check(answer, writer.chunks, writer.crc32, asked.result())

    def send(
        self,
        repository: str,
        branch: str,
        path: str,
        source: Path | bytes,
        put_back: Callable[[], Callable[[Stat], None] | None] = lambda: None,
    ) -> Stat:
        """Store a file, or what is in memory, as one object, and note that for the commit of the run.

        Args:
            repository: Where.
            branch: Where.
            path: Where.
            source: What is stored.
            put_back: Called before something is sent that may arrive damaged; gives what puts back what was there.

        Raises:
            BranchNotFound: There is no branch of this name.
        """
        is_large = transfer.size_of(source) > transfer.SMALL
        stored = self._send_parts(repository, branch, path, source) if is_large else None
        if stored is None:
            if isinstance(source, Path) and not is_large:
                source = source.read_bytes()
            size, crc32 = transfer.size_of(source), transfer.crc32_of(source)
            with transfer.opened(source) as from_start:
                stored = self._api.upload(repository, branch, path, from_start, size, crc32, put_back())
        self._session.project.note_written(self._api.host, repository, stored.path, stored.checksum)
        return stored

    def _send_parts(self, repository: str, branch: str, path: str, source: Path | bytes) -> Stat | None:
        """Send a large object past the server; ``None`` where that cannot be."""
        if self._store.use.writes:
            try:
                return self._store.send(repository, branch, path, source)
            except StoreFailed as error:
                self._store.give_up(error)
            except BackendUnreachable:  # perhaps it was begun: a second one would be left over as well
                pass
        return None
