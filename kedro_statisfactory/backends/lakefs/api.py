"""The calls of the lakeFS API that this package makes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

from kedro_statisfactory.backends.http import ATTEMPTS, let_go
from kedro_statisfactory.backends.lakefs.answer import NO_SUCH_RANGE, Answer
from kedro_statisfactory.backends.lakefs.hashing import hashing
from kedro_statisfactory.backends.lakefs.model import (
    CRC32_KEY,
    LONGEST_PATH,
    Commit,
    Difference,
    Ref,
    Stat,
    commit_id_of,
    commit_of,
    difference_of,
    errors_of,
    list_of,
    ref_of,
    stat_of,
    text_of,
)
from kedro_statisfactory.backends.lakefs.requests import api_path, batches
from kedro_statisfactory.backends.lakefs.uploads import OCTETS, LakeFSUploads, branch_or_error
from kedro_statisfactory.errors import (
    BranchNotFound,
    Conflict,
    IntegrityError,
    MergeConflict,
    NotABranch,
    ObjectNotFound,
    RefNotFound,
    TransferError,
)
from kedro_statisfactory.progress import Progress

_LOCAL = "local://"  # how addresses begin on a server that keeps its objects in a folder


class LakeFSAPI(LakeFSUploads):
    """One lakeFS server, asked with the credentials of a session.

    Args:
        session: Credentials, and the connections made from them.
    """

    @property
    def host(self) -> str:
        """URL of the API."""
        return self._server.host

    # -- repositories, branches, tags ------------------------------------------------------------------------------

    def default_branch(self, repository: str) -> str:
        """The default branch of a repository."""
        where = api_path("repositories", repository)
        return self._server.json("GET", where, lambda found: text_of(found, "default_branch"))

    def storage_namespace(self, repository: str) -> str:
        """Where a repository keeps its objects."""
        where = api_path("repositories", repository)
        return self._server.json("GET", where, lambda found: text_of(found, "storage_namespace"))

    def branch(self, repository: str, branch: str) -> Ref:
        """A branch.

        Raises:
            BranchNotFound: There is none.
        """
        with branch_or_error(repository, branch):
            where = api_path("repositories", repository, "branches", branch)
            return self._server.json("GET", where, lambda found: ref_of(found, branch))

    def create_branch(self, repository: str, name: str, source: str, hidden: bool = False) -> str:
        """Create a branch; gives the commit that it points to.

        Raises:
            Conflict: A branch, tag or commit has the name.
            BranchNotFound: ``source`` is not there.
        """
        body = {"name": name, "source": source, "hidden": hidden}
        try:
            # The id comes as plain text.
            return self._server.answer(
                "POST",
                api_path("repositories", repository, "branches"),
                lambda told: commit_id_of(told.decode().strip().strip('"')),
                json_body=body,
            )
        except ObjectNotFound:
            raise BranchNotFound(
                f"the repository {repository!r} has no {source!r} from which to make the branch {name!r}: correct "
                "`source` of statisfactory.yml, or the default branch of the repository."
            ) from None

    def ensure_branch(self, repository: str, name: str, source: str) -> bool:
        """Create a branch unless it is there; gives whether it was made.

        Raises:
            NotABranch: A tag or commit has the name.
            BranchNotFound: ``source`` is not there.
        """
        try:
            self.create_branch(repository, name, source)
        except Conflict:
            try:
                self.branch(repository, name)  # made by another process just now
            except BranchNotFound:
                raise self.not_a_branch(repository, name) from None
            return False
        return True

    @staticmethod
    def not_a_branch(repository: str, name: str) -> NotABranch:
        """The error that a data branch cannot be made, since something else has its name."""
        return NotABranch(
            f"the data branch {name!r} cannot be made in {repository!r}: a tag or commit has this name. "
            "Rename the tag, or give the git branch another data branch in `branches` of statisfactory.yml."
        )

    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch; it is no error when there is none."""
        with contextlib.suppress(ObjectNotFound):
            self._server.delete(api_path("repositories", repository, "branches", branch))

    def branches(self, repository: str, prefix: str) -> Iterator[Ref]:
        """All branches, hidden ones too, whose names begin with ``prefix``."""
        where = api_path("repositories", repository, "branches")
        yield from self._server.pages(where, {"prefix": prefix, "show_hidden": "true"}, ref_of)

    def create_tag(self, repository: str, name: str, ref: str) -> None:
        """Create a tag.

        Raises:
            Conflict: A tag or branch has the name; perhaps it was made by a try whose answer was lost.
        """
        where = api_path("repositories", repository, "tags")
        self._server.json("POST", where, lambda found: ref_of(found, name), json_body={"id": name, "ref": ref})

    def delete_tag(self, repository: str, name: str) -> None:
        """Delete a tag; it is no error when there is none."""
        with contextlib.suppress(ObjectNotFound):
            self._server.delete(api_path("repositories", repository, "tags", name))

    def tag(self, repository: str, name: str) -> Ref | None:
        """A tag; ``None`` when there is none."""
        try:
            where = api_path("repositories", repository, "tags", name)
            return self._server.json("GET", where, lambda found: ref_of(found, name))
        except ObjectNotFound:
            return None

    def tags(self, repository: str, prefix: str, after: str = "", amount: int | None = None) -> Iterator[Ref]:
        """All tags whose names begin with ``prefix``, and come after ``after``, in the order of their names."""
        where = api_path("repositories", repository, "tags")
        yield from self._server.pages(where, {"prefix": prefix}, ref_of, amount, begin=after)

    # -- commits ---------------------------------------------------------------------------------------------------

    def commit(self, repository: str, ref: str) -> Commit:
        """The commit to which a branch, tag, commit id or expression points.

        Raises:
            RefNotFound: There is no such thing.
        """
        try:
            return self._server.json("GET", api_path("repositories", repository, "commits", ref), commit_of)
        except ObjectNotFound:
            raise RefNotFound(f"the repository {repository!r} has no tag, branch or commit {ref!r}.") from None

    def create_commit(
        self,
        repository: str,
        branch: str,
        message: str,
        metadata: Mapping[str, str],
        allow_empty: bool = False,
        repeatable: bool = False,
    ) -> str:
        """Commit what was written to a branch; gives the id of the commit.

        Args:
            repository: Where.
            branch: Where.
            message: Of the commit.
            metadata: Of the commit.
            allow_empty: Whether there need be no changes.
            repeatable: Whether a second commit, where the answer to the first one was lost, does no harm.

        Raises:
            NoChanges: Nothing was written, and ``allow_empty`` is off.
        """
        body = {"message": message, "metadata": dict(metadata), "allow_empty": allow_empty}
        where = api_path("repositories", repository, "branches", branch, "commits")
        return self._server.json("POST", where, commit_of, json_body=body, repeatable=repeatable).id

    def merge(
        self,
        repository: str,
        source: str,
        target: str,
        message: str,
        metadata: Mapping[str, str],
        strategy: str | None,
        squash: bool = True,
    ) -> str:
        """Merge a branch into another, as one commit even when nothing differs; gives the id of that commit.

        With ``squash`` the commits of the branch are no parents of it: who reads the log of the target finds each merge
        once.

        Raises:
            MergeConflict: Both have changed the same paths.
            DirtyBranch: ``target`` has uncommitted changes.
        """
        body: dict[str, Any] = {
            "message": message,
            "metadata": dict(metadata),
            "allow_empty": True,
            "squash_merge": squash,
        }
        if strategy:
            body["strategy"] = strategy
        where = api_path("repositories", repository, "refs", source, "merge", target)
        try:
            return self._server.json(
                "POST", where, lambda found: commit_id_of(found["reference"]), json_body=body, repeatable=False
            )
        except Conflict:
            raise MergeConflict(f"{source!r} and {target!r} have both changed the same paths.") from None

    def revert(self, repository: str, branch: str, commit: str, message: str, metadata: Mapping[str, str]) -> None:
        """Undo on a branch what a commit has changed there, by another commit."""
        where = api_path("repositories", repository, "branches", branch, "revert")
        told = {"message": message, "metadata": dict(metadata)}
        body = {"ref": commit, "parent_number": 0, "allow_empty": True, "commit_overrides": told}
        self._server.answer("POST", where, lambda _: None, json_body=body, repeatable=False)

    def changes(self, repository: str, left: str, right: str, three_dot: bool = False) -> Iterator[tuple[str, str]]:
        """Path and kind (``added``, ``changed``, ``removed``, ``conflict``) of what differs between two refs."""
        query = {"type": "three_dot" if three_dot else "two_dot"}
        where = api_path("repositories", repository, "refs", left, "diff", right)
        yield from self._server.pages(where, query, lambda found: (text_of(found, "path"), text_of(found, "type")))

    def merge_base(self, repository: str, one: str, other: str) -> str:
        """The newest commit that two refs share: the first one itself where it is in the history of the other."""
        where = api_path("repositories", repository, "refs", one, "merge", other)
        return self._server.json("GET", where, lambda found: commit_id_of(found["base_commit_id"]))

    def differences(self, repository: str, left: str, right: str) -> Iterator[Difference]:
        """What differs between two refs, as it is at the right one."""
        where = api_path("repositories", repository, "refs", left, "diff", right)
        query = {"type": "two_dot", "include_right_stats": "true"}
        yield from self._server.pages(where, query, difference_of)

    def has_uncommitted(self, repository: str, branch: str) -> bool:
        """Whether a branch has changes that no commit has.

        Raises:
            BranchNotFound: There is no branch.
        """
        where = api_path("repositories", repository, "branches", branch, "diff")
        with branch_or_error(repository, branch):
            return bool(self._server.json("GET", where, lambda found: list_of(found, "results"), {"amount": "1"}))

    def uncommitted(self, repository: str, branch: str) -> Iterator[str]:
        """The paths that have changed on a branch and that no commit has."""
        where = api_path("repositories", repository, "branches", branch, "diff")
        yield from self._server.pages(where, {}, lambda found: text_of(found, "path"))

    def log(self, repository: str, ref: str, path: str | None = None, amount: int | None = None) -> Iterator[Commit]:
        """Commits from ``ref`` back along first parents; with ``path`` all that changed it, or what is below it."""
        # lakeFS never names a merge as a change of an object: what it brought is found behind its second parent.
        query = {"objects": path, "prefixes": f"{path}/"} if path else {"first_parent": "true"}
        where = api_path("repositories", repository, "refs", ref, "commits")
        yield from self._server.pages(where, query, commit_of, amount)

    # -- objects ---------------------------------------------------------------------------------------------------

    def stat(self, repository: str, ref: str, path: str, presign: bool = False) -> Stat:
        """Describe an object; with ``presign`` its ``address`` is a URL from which anyone may fetch it for a while."""
        query = {"path": path, **({"presign": "true"} if presign else {})}
        where = api_path("repositories", repository, "refs", ref, "objects", "stat")
        return self._server.json("GET", where, lambda found: stat_of(found, path), query)

    def list(self, repository: str, ref: str, prefix: str, amount: int | None = None) -> Iterator[Stat]:
        """All objects whose path begins with ``prefix``, in order."""
        if len(prefix.encode()) > LONGEST_PATH:
            return  # the server would refuse the question
        where = api_path("repositories", repository, "refs", ref, "objects", "ls")
        yield from self._server.pages(where, {"prefix": prefix}, stat_of, amount)

    @contextlib.contextmanager
    def open(self, repository: str, ref: str, path: str, most: int | None = None) -> Iterator[Answer]:
        """Begin to fetch an object, or so many bytes of its beginning."""
        where = api_path("repositories", repository, "refs", ref, "objects")
        begin = {"Range": f"bytes=0-{most - 1}"} if most else {}
        response = self._server.request(
            "GET", where, {"path": path}, headers=begin, stream=True, accept=(NO_SUCH_RANGE,)
        )
        try:
            yield Answer(response, most)
        finally:
            let_go(response)

    def upload(
        self,
        repository: str,
        branch: str,
        path: str,
        body: Callable[[], bytes | IO[bytes]],
        size: int,
        crc32: int | None = None,
        put_back: Callable[[Stat], None] | None = None,
    ) -> Stat:
        """Store an object in one request, and compare what the server says that it has got.

        Args:
            repository: Where.
            branch: Where.
            path: Where.
            body: Gives what is sent, anew for each try.
            size: Bytes.
            crc32: Kept with the object, for who reads it; absent: none is.
            put_back: Called with what arrived damaged, each time; puts back what was there before.

        Raises:
            BranchNotFound: There is no branch of this name.
            IntegrityError: Something else arrived each time.
        """
        digest: Any = None
        progress = Progress()

        def hashed() -> Any:
            nonlocal digest
            digest = hashlib.md5(usedforsecurity=False)
            return hashing(body(), size, digest, progress)

        headers, kept = {"Content-Type": OCTETS, "Content-Length": str(size)}, None
        if crc32 is not None:
            headers[f"X-Lakefs-Meta-{CRC32_KEY}"] = kept = f"{crc32:08x}"
        where = api_path("repositories", repository, "branches", branch, "objects")
        for _ in range(ATTEMPTS):
            with branch_or_error(repository, branch):
                stored = self._server.json(
                    "POST", where, lambda found: stat_of(found, path), {"path": path}, headers=headers, body=hashed
                )
            whole = (stored.size, stored.checksum) == (size, digest.hexdigest())
            if whole and stored.metadata.get(CRC32_KEY, kept) == kept:
                return stored
            if put_back:
                put_back(stored)
        now = "what was there before is there again" if put_back else "what is there now is damaged"
        raise IntegrityError(
            f"the server has stored other bytes than were sent to {path!r}, {ATTEMPTS} times: {now}. Something on the "
            "way changes what is sent; save again by another way (https, no proxy)."
        )

    def stage(self, repository: str, branch: str, stat: Stat) -> None:
        """Put an object on a branch whose bytes the server has already, as it was described."""
        where = api_path("repositories", repository, "branches", branch, "objects")
        body = {
            "physical_address": self._address(repository, stat.address),
            "checksum": stat.checksum,
            "size_bytes": stat.size,
            "mtime": stat.mtime,
            "metadata": dict(stat.metadata),
            "content_type": stat.content_type,
        }
        self._server.json("PUT", where, lambda found: stat_of(found, stat.path), {"path": stat.path}, json_body=body)

    def _address(self, repository: str, address: str) -> str:
        """The address of an object's bytes as the server takes it.

        A server that keeps its objects in a folder tells that folder twice for what was put somewhere by its address.
        """
        if not address.startswith(_LOCAL):
            return address
        name = self.storage_namespace(repository).removeprefix(_LOCAL).strip("/")
        folder, _, rest = address.removeprefix(_LOCAL).rpartition(f"/{name}/")
        half = folder[: len(folder) // 2]
        return f"{_LOCAL}{half if folder == half + half else folder}/{name}/{rest}"

    def delete(self, repository: str, branch: str, paths: Sequence[str]) -> None:
        """Remove objects from a branch; it is no error when one of them is not there.

        lakeFS says that it has done so on a tag and where there is no branch, too, and does nothing.
        """
        where = api_path("repositories", repository, "branches", branch, "objects", "delete")
        paths = [path for path in paths if len(path.encode()) <= LONGEST_PATH]  # no other can be there
        for some in batches(paths):
            for found, message in self._server.json("POST", where, errors_of, json_body={"paths": some}):
                raise TransferError(f"the object {found!r} was not deleted: {message}")
