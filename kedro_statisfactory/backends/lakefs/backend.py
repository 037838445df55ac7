"""lakeFS: objects on the branch that follows git, or at any ref."""

from __future__ import annotations

import builtins
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import ParseResult

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.base import Backend
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.client import lakefs_client, with_address
from kedro_statisfactory.backends.lakefs.credentials import SECRET_VARIABLE, checked_lakefs_credentials
from kedro_statisfactory.backends.lakefs.engines import EnginesOfLakeFS
from kedro_statisfactory.backends.lakefs.folders import mark_folder, send_folder
from kedro_statisfactory.backends.lakefs.gateway import LakeFSGateway
from kedro_statisfactory.backends.lakefs.marks import leave
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, Stat, info_of
from kedro_statisfactory.backends.lakefs.objects import LakeFSObjects
from kedro_statisfactory.backends.lakefs.options import NO_VERSION, verify_of
from kedro_statisfactory.backends.lakefs.paths import check_length, split
from kedro_statisfactory.backends.lakefs.putting_back import PuttingBack
from kedro_statisfactory.backends.lakefs.records import ids_of
from kedro_statisfactory.backends.lakefs.refs import LakeFSRefs, check_lake_ref
from kedro_statisfactory.backends.lakefs.store import LakeFSStore
from kedro_statisfactory.errors import NotSupported, ObjectNotFound
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import LEGAL_BRANCH
from kedro_statisfactory.session import Session

_OPTIONS = ("lake_ref", "verify")


class LakeFSBackend(EnginesOfLakeFS, Backend, prefix="lakefs"):
    """Objects in lakeFS repositories, ``lakefs://repository/path``.

    Without a ``lake_ref`` an entry is on the data branch: the one named after the git branch that is checked out. It is
    created on the first write; a read of a branch that is not there yet reads from where it would be created.

    ``load_args`` and ``save_args`` of an entry: ``lake_ref`` (a branch, tag, commit, run id or git SHA; a branch for
    writes), and for reads ``verify: false``, for objects whose checksums look like MD5 and are none: these are read
    twice otherwise.

    Raises:
        UnknownCredential, InvalidCredentials: The session's credentials do not fit lakeFS.
    """

    #: A legal name of a lakeFS branch.
    REG_VALID_SLUG: ClassVar[re.Pattern[str]] = LEGAL_BRANCH

    follows_git = keeps_copies = True
    notes_reads = True
    secret_variables = (SECRET_VARIABLE,)

    def __init__(self, session: Session, logger_name: str = __name__) -> None:
        super().__init__(session, logger_name)
        checked_lakefs_credentials(session.credentials)
        self._api = LakeFSAPI(session)
        self._store = LakeFSStore(session, self._api)
        self._objects = LakeFSObjects(session, self._api, self._store, self.note_read)
        self._refs = LakeFSRefs(session, self._api, self._logger, self)
        self._gateway = LakeFSGateway(session, self._api, self.note_read)

    def redacted(self, text: str) -> str:
        """``text`` without any secret of the credentials, those of lakectl's file included."""
        return super().redacted(text.replace(lakefs_client(self._session).configuration.password, "<redacted>"))

    def secrets(self) -> set[Hidden[str]]:
        """All secrets of the credentials, that of lakectl's file included."""
        return super().secrets() | {Hidden(lakefs_client(self._session).configuration.password)}

    def check_options(self, *, load_args: Mapping[str, Any], save_args: Mapping[str, Any]) -> None:
        """Refuse options that this backend does not know, and a ``lake_ref`` that is no text."""
        self._verify({key: value for key, value in load_args.items() if key != "lake_ref"})
        self._refuse_unknown(save_args, ("lake_ref",))
        for options in (load_args, save_args):
            check_lake_ref(options.get("lake_ref"))

    def check_location(self, fragment: ParseResult) -> None:
        """Refuse a URL without a legal repository, or with a placeholder for one."""
        self.split(fragment)

    def put(self, *, payload: bytes, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> None:
        """Store ``payload`` as one object, creating the data branch where it is missing.

        Args:
            payload: The bytes of the artifact.
            fragment: The parsed location.
            lake_ref: The branch to write to; absent: the data branch.
            kwargs: None.

        Raises:
            NotABranch: ``lake_ref`` is a tag or commit.
            BranchNotFound: ``lake_ref`` is nothing at all.
            RefInPath: The path begins with the name of a branch or tag, and is not in use as a folder.
        """
        self._refuse_unknown(kwargs, ("lake_ref",))
        repository, path = self.split(fragment)
        self._refs.write(repository, path, lake_ref, self._sender(repository, path, payload, lake_ref))

    def get(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> bytes:
        """Fetch one object, its length and checksum verified.

        Args:
            fragment: The parsed location.
            lake_ref: A branch, tag, commit, run id or git SHA; absent: the data branch.
            kwargs: ``verify``.

        Raises:
            RepositoryNotFound, RefNotFound, ObjectNotFound: This is what is missing.
        """
        verify = self._verify(kwargs)
        repository, path = self.split(fragment)
        return self._refs.read(
            repository, path, lake_ref, lambda ref: self._objects.read(repository, ref, path, verify)
        )

    def upload(
        self,
        *,
        source: Path,
        fragment: ParseResult,
        consume: bool = False,
        lake_ref: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Store a file as an object, or each file of a folder as an object below the path.

        Files of a folder go in parallel, those below a name that begins with ``_`` last and in order; then objects are
        removed that the folder does not have. In a run all of that appears at once.
        """
        self._refuse_unknown(kwargs, ("lake_ref",))
        repository, path = self.split(fragment)
        if not source.is_dir():
            self._refs.write(repository, path, lake_ref, self._sender(repository, path, source, lake_ref, consume))
            return
        first, last = transfer.files_of(source)
        for below in (FOLDER_MARK + path, *(f"{path}/{file.as_posix()}" for file in (*first, *last))):
            check_length(below)

        hidden = self._refs.writes_are_hidden(repository, lake_ref)

        def send(branch: str) -> None:
            back = PuttingBack(self._api, repository, branch, hidden)
            send_folder(self._api, self._objects, back, path, source, consume)

        self._refs.write(repository, path, lake_ref, send)

    def create(
        self,
        *,
        source: Path | bytes,
        fragment: ParseResult,
        consume: bool = False,
        lake_ref: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Store something where nothing is on the branch when this looks: what comes in between is replaced."""
        if self.exists(fragment=fragment, lake_ref=lake_ref):
            raise self._already_there(fragment)
        if isinstance(source, Path):
            self.upload(source=source, fragment=fragment, consume=consume, lake_ref=lake_ref, **kwargs)
        else:
            self.put(payload=source, fragment=fragment, lake_ref=lake_ref, **kwargs)

    def download(self, *, target: Path, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> None:
        """Fetch an object into a file or, where there is none, all objects below the path into a folder."""
        self._download(target, fragment, lake_ref, self._verify(kwargs), shared=False)

    def lend(self, *, target: Path, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> None:
        """The same, where files may be links to copies in the cache."""
        self._download(target, fragment, lake_ref, self._verify(kwargs), shared=True)

    def _download(self, target: Path, fragment: ParseResult, lake_ref: str | None, verify: bool, shared: bool) -> None:
        repository, path = self.split(fragment)

        def fetch(ref: str) -> None:
            try:
                self._objects.fetch_file(repository, ref, path, target, verify, shared)
            except ObjectNotFound:
                self._objects.fetch_below(repository, ref, path, target, verify, shared)

        self._refs.read(repository, path, lake_ref, fetch)

    def exists(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> bool:
        """Whether there is an object, or one below the path.

        Raises:
            RepositoryNotFound, RefNotFound: There is not even that.
            PermissionDenied: The server does not tell.
        """
        self._verify(kwargs)
        repository, path = self.split(fragment)

        def look(ref: str) -> bool:
            if self._objects.is_known(repository, ref, path):
                return True
            try:
                self._api.stat(repository, ref, path)
            except ObjectNotFound:
                below = self._api.list(repository, ref, f"{path}/", amount=10)
                if all(transfer.is_folder_marker(each.path, each.size) for each in below):
                    raise
            return True

        try:
            return self._refs.look_up(repository, path, lake_ref, look)
        except ObjectNotFound:
            return False

    def stat(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> ObjectInfo:
        """Size, time and checksum of one object."""
        self._verify(kwargs)
        repository, path = self.split(fragment)
        return self._refs.read(
            repository, path, lake_ref, lambda ref: info_of("", self._api.stat(repository, ref, path))
        )

    def list(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> Iterator[ObjectInfo]:
        """All objects below a path; a request for every 1,000 of them."""
        self._verify(kwargs)
        repository, path = self.split(fragment)

        def look(ref: str) -> builtins.list[ObjectInfo]:
            prefix = f"{path}/"
            found = self._api.list(repository, ref, prefix)
            files = (stat for stat in found if not transfer.is_folder_marker(stat.path, stat.size))
            return [info_of(stat.path.removeprefix(prefix), stat) for stat in files]

        yield from self._refs.read(repository, path, lake_ref, look)

    def delete(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> None:
        """Remove an object and all objects below its path from a branch."""
        self._refuse_unknown(kwargs, ("lake_ref",))
        repository, path = self.split(fragment)

        def remove(branch: str) -> None:
            self._api.branch(repository, branch)
            below = [stat.path for stat in self._api.list(repository, branch, f"{path}/")]
            self._api.delete(repository, branch, [path, FOLDER_MARK + path, *below])

        self._refs.write(repository, path, lake_ref, remove)

    def end_changes(
        self, *, fragment: ParseResult, remove: Iterable[str] = (), lake_ref: str | None = None, **kwargs: Any
    ) -> None:
        """Remove objects below a path, and renew the digest of all that are there, by which two runs conflict."""
        self._refuse_unknown(kwargs, ("lake_ref",))
        repository, path = self.split(fragment)
        gone = [f"{path}/{each}" for each in remove]

        def end(branch: str) -> None:
            if gone:
                self._api.delete(repository, branch, gone)
            mark_folder(self._api, repository, branch, path, self._api.list(repository, branch, f"{path}/"))

        self._refs.write(repository, path, lake_ref, end)

    def note_written(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> None:
        """Let the run know of a save by its branch, where its journal is on another host."""
        repository, path = self.split(fragment)
        if self.project.is_elsewhere and self._refs.writes_are_hidden(repository, lake_ref):
            self._refs.write(repository, path, lake_ref, lambda branch: leave(self._api, repository, branch, path))

    def travelling_credentials(self) -> Mapping[str, Any]:
        """The credentials of the entry, and the address of the server where another place has named it."""
        return with_address(self._session)

    def version_options(self, version: str) -> dict[str, Any]:
        """A version is a ref: a run id, tag, branch, commit or git SHA."""
        return {"lake_ref": version}

    def check_versioned_save(self, *, lake_ref: str | None = None, **kwargs: Any) -> None:
        """Refuse what no run commits: a save outside of runs, in a run with ``mode: off``, or to a branch by name."""
        # Only the entries of a run know its journal.
        if lake_ref is not None or self.project.journal is None:
            raise NotSupported(NO_VERSION)

    def versions(self, *, fragment: ParseResult) -> Iterator[str]:
        """Ids of the runs that changed an object on its data branch, newest first; other commits by their own id."""
        repository, path = self.split(fragment)

        def look(ref: str) -> builtins.list[str]:
            return ids_of(builtins.list(self._api.log(repository, ref, path)))

        yield from self._refs.read(repository, path, None, look)

    def reads_the_past(self, fragment: ParseResult) -> bool:
        """Whether the user wants all entries to be read at some ref, while they are written to the data branch."""
        repository, _ = self.split(fragment)
        return self._refs.reads_the_past(repository)

    @property
    def api(self) -> LakeFSAPI:
        """The server, for those who do more with it than to move bytes."""
        return self._api

    @property
    def project(self) -> Project:
        """The project whose git and settings decide about data branches."""
        return self._session.project

    def _sender(
        self, repository: str, path: str, source: Path | bytes, lake_ref: str | None, consume: bool = False
    ) -> Callable[[str], Stat]:
        """What stores one object on a branch; where others see it at once, it puts back what was there if need be."""
        hidden = self._refs.writes_are_hidden(repository, lake_ref)

        def send(branch: str) -> Stat:
            back = PuttingBack(self._api, repository, branch, hidden)
            look = functools.partial(back.look, path)
            return self._objects.send(
                repository, branch, path, source, lambda: back.after(look), lambda: back.there(look), consume
            )

        return send

    @staticmethod
    def split(fragment: ParseResult) -> tuple[str, str]:
        """Repository and path of an object, from its parsed location."""
        return split(fragment)

    @property
    def refs(self) -> LakeFSRefs:
        """Which ref is read and which branch is written, for those who begin and end runs."""
        return self._refs

    def _get_current_branch_name(self) -> str:
        """The data branch: that of the git branch which is checked out.

        Raises:
            NoDataBranch: Neither git nor the settings name one.
        """
        return self._session.project.branch()

    def _create_branch(self, name: str, *, repository: str) -> None:
        """Create a branch, from the configured source or else the repository's default branch, if it is not there.

        Args:
            name: Of the branch.
            repository: Where.

        Raises:
            NotABranch: A tag or commit has the name.
            BranchNotFound: The source is not there.
        """
        source = self._refs.source(repository)
        if self._api.ensure_branch(repository, name, source):
            self._logger.info("Created the branch %r of %r from %r.", name, repository, source)

    def _verify(self, kwargs: Mapping[str, Any]) -> bool:
        self._refuse_unknown({key: value for key, value in kwargs.items() if key != "verify"}, _OPTIONS)
        return verify_of(kwargs)
