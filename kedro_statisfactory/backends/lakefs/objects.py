"""Moving the bytes of objects to and from lakeFS: small ones by one request, large ones in parts; all are verified."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import ParseResult

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.lakefs.answer import Answer
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.cached import LakeFSCopies
from kedro_statisfactory.backends.lakefs.model import CRC32_KEY, Stat
from kedro_statisfactory.backends.lakefs.proof import Proof
from kedro_statisfactory.backends.lakefs.store import LakeFSStore
from kedro_statisfactory.backends.md5 import etag_of_parts, md5_of
from kedro_statisfactory.backends.part_writer import PartBuffer, PartFile, PartWriter
from kedro_statisfactory.backends.transfer import CHUNK, Part
from kedro_statisfactory.errors import BackendUnreachable, IntegrityError, ObjectNotFound, StoreFailed
from kedro_statisfactory.location import checked
from kedro_statisfactory.session import Session

#: From so many bytes on it is worth a look whether the branch of a run has them already.
LOOKED_FOR = transfer.MEBIBYTE
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
        self._copies = LakeFSCopies(session, api, note)

    def is_known(self, repository: str, ref: str, path: str) -> bool:
        """Whether it needs no question that there is an object."""
        return self._copies.is_known(repository, ref, path)

    def read(self, repository: str, ref: str, path: str, verify: bool) -> bytes:
        """Fetch one object into memory; arguments as for :meth:`fetch_file`."""
        payload = self._copies.reuse(repository, ref, path, lambda cache, copy: cache.read(copy))
        if payload is not None:
            return payload
        buffer = PartBuffer()
        found, crc32 = self._fetch(repository, ref, path, buffer, verify)
        if verify:
            self._copies.keep_at(repository, ref, path, buffer.payload(), found, crc32)
        return buffer.payload()

    def fetch_below(self, repository: str, ref: str, path: str, target: Path, verify: bool, shared: bool) -> None:
        """Fetch all objects below a path into a folder, in parallel; arguments as for :meth:`fetch_file`."""
        found = self._api.list(repository, ref, f"{path}/")
        below = [stat for stat in found if not transfer.is_folder_marker(stat.path, stat.size)]
        if not below:
            raise ObjectNotFound(f"there is nothing below {path!r} in {repository!r} at {ref!r}.")

        def one(stat: Stat, _: threading.Event) -> None:
            relative = checked(ParseResult("", "", f"/{stat.path.removeprefix(f'{path}/')}", "", "", "")).path
            file = target / relative.removeprefix("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            self.fetch_file(repository, ref, stat.path, file, verify, shared, stat)

        transfer.in_parallel(one, below, transfer.DOWNLOAD_WORKERS)

    def fetch_file(
        self,
        repository: str,
        ref: str,
        path: str,
        target: Path,
        verify: bool,
        shared: bool = False,
        told: Stat | None = None,
    ) -> None:
        """Fetch one object into a new file, of one version; not where the cache has what the ref holds.

        Args:
            repository: Where.
            ref: Where.
            path: Where.
            target: The file, which is not there when this fails.
            verify: Whether to compare it with the checksum that is kept of it.
            shared: Whether nobody changes the file, so that it may be a link to a copy in the cache.
            told: What the server has said of the object just now.

        Raises:
            ObjectNotFound: There is none.
            IntegrityError: It did not arrive as it was stored, each time.
        """
        if self._copies.reuse(
            repository, ref, path, lambda cache, copy: cache.lend(copy, target, private=not shared) or None, told
        ):
            return
        try:
            found, crc32 = self._fetch(repository, ref, path, PartFile(target), verify)
        except BaseException:  # an interrupt, too, must not leave a part where the format would find it
            target.unlink(missing_ok=True)
            raise
        if verify and shared:
            self._copies.keep_at(repository, ref, path, target, found, crc32)

    def _fetch(
        self, repository: str, ref: str, path: str, writer: PartWriter, verify: bool
    ) -> tuple[ObjectInfo, int | None]:
        """Fetch one object; again where it breaks off, is damaged or replaced half-way.

        Returns:
            What the answer told of it, and its CRC-32 where it was computed.
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

        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(IntegrityError):
                answer = once()
                break
        else:
            answer = once()
        found = ObjectInfo(path, answer.size, answer.modified, answer.checksum)
        self._note(found)
        return found, writer.crc32() if answer.size > transfer.SMALL else None

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
        there: Callable[[], Stat | None] = lambda: None,
        consume: bool = False,
    ) -> Stat:
        """Store a file, or what is in memory, as one object, and note that for the commit of the run.

        What the branch has already is not sent again: lakeFS would keep its bytes a second time.

        Args:
            repository: Where.
            branch: Where.
            path: Where.
            source: What is stored.
            put_back: Called before something is sent that may arrive damaged; gives what puts back what was there.
            there: Called before something is sent that takes long; gives what is at the path, where that may do.
            consume: Whether nobody else has a use for a file, so that it may be kept in the cache.

        Raises:
            BranchNotFound: There is no branch of this name.
        """
        found = there() if transfer.size_of(source) >= LOOKED_FOR else None
        if found is not None and (self._copies.are_of(repository, found, source) or _has_content(found, source)):
            stored = found
        else:
            stored = self._send(repository, branch, path, source, put_back)
        self._session.project.note_written(self._api.host, repository, stored.path, stored.checksum)
        if consume or not isinstance(source, Path):
            kept = stored.metadata.get(CRC32_KEY)
            self._copies.keep(repository, path, source, stored.checksum, int(kept, 16) if kept else None)
        return stored

    def _send(
        self,
        repository: str,
        branch: str,
        path: str,
        source: Path | bytes,
        put_back: Callable[[], Callable[[Stat], None] | None],
    ) -> Stat:
        is_large = transfer.size_of(source) > transfer.SMALL
        stored = self._send_parts(repository, branch, path, source) if is_large else None
        if stored is not None:
            return stored
        if isinstance(source, Path) and not is_large:
            source = source.read_bytes()
        size, crc32 = transfer.size_of(source), transfer.crc32_of(source)
        with transfer.opened(source) as from_start:
            return self._api.upload(repository, branch, path, from_start, size, crc32, put_back())

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


def _has_content(stat: Stat, source: Path | bytes) -> bool:
    """Whether an object has the very bytes of a file, or of what is in memory; the cheapest question comes first."""
    kept = stat.metadata.get(CRC32_KEY)
    if stat.size != transfer.size_of(source) or (kept and kept != f"{transfer.crc32_of(source):08x}"):
        return False
    if "-" not in stat.checksum:
        return stat.checksum == md5_of(source)

    def md5(part: Part, _: threading.Event) -> str:
        return md5_of(transfer.read_part(source, part))

    cut = transfer.parts(stat.size, transfer.UPLOAD_PART)
    return stat.checksum == etag_of_parts(transfer.in_parallel(md5, cut, transfer.UPLOAD_WORKERS))
