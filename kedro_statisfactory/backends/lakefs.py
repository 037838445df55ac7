"""lakeFS: objects on the branch that follows git, or at any ref."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import ParseResult

from kedro_statisfactory.backends import transfer
from kedro_statisfactory.backends.base import Backend, ObjectInfo
from kedro_statisfactory.backends.lakefs_api import CRC32_KEY, LONGEST_PATH, Answer, LakeFSAPI, Stat
from kedro_statisfactory.backends.lakefs_store import LakeFSStore
from kedro_statisfactory.backends.transfer import CHUNK, Part, PartBuffer, PartFile, PartWriter
from kedro_statisfactory.errors import (
    BranchNotFound,
    IntegrityError,
    InvalidURL,
    NoDataBranch,
    NotABranch,
    ObjectNotFound,
    RefInPath,
    RefNotFound,
    StoreFailed,
    UnknownOption,
)
from kedro_statisfactory.location import checked, full_path, unparse
from kedro_statisfactory.project import AT, Pin, Project
from kedro_statisfactory.project.branches import GIT_TAG, LEGAL_BRANCH, run_tag
from kedro_statisfactory.project.git import ancestors
from kedro_statisfactory.session import Session, checked_lakefs_credentials

_Answer = TypeVar("_Answer")

#: Below this there is an object for each folder, named after it, with a digest of all that is in the folder. lakeFS
#: merges object by object: two runs that write other names into one folder would mix, if they did not both write this.
FOLDER_MARK = ".statisfactory/"

# Tries of a read whose answer breaks off, is damaged, or changes half-way.
_ATTEMPTS = 5
_MD5 = re.compile(r"[0-9a-f]{32}")
_HEX = re.compile(r"[0-9a-fA-F]{1,16}")  # numbers of builds and times; nobody cuts the id of a commit that short
_LIKE_A_TAG = re.compile(r"v\d[\w.]*|\d+(\.\d+)+", re.ASCII)
_FULL_SHA = re.compile(r"[0-9a-f]{40}")  # of git; lakeFS's own have 64 digits
_GIT_SHA = re.compile(r"[0-9a-f]{7,64}")
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")
# What a path may begin with that could be a branch or tag in the spelling of other tools.
_PERHAPS_REF = re.compile(r"\w[-\w.~^@]*", re.ASCII)
_OPTIONS = ("lake_ref", "verify")

_said: set[tuple[str, ...]] = set()
_lock = threading.Lock()


class _Known:
    """What a process has learnt of a repository and need not ask again, because it cannot change."""

    def __init__(self) -> None:
        self.commits: dict[tuple[str, str], str] = {}  # by repository and run id
        self.folders: set[tuple[str, str]] = set()  # first segments of paths that are not refs
        self.branches: set[tuple[str, str]] = set()  # data branches that are there


@dataclass(frozen=True)
class _RunAt:
    """A run that was made at a git commit, as the name of its tag tells it."""

    run_id: str
    commit: str
    sha: str
    time: str

    @property
    def is_dirty(self) -> bool:
        """Whether the code had changes that no git commit has."""
        return "-dirty" in self.time

    @property
    def only_read(self) -> bool:
        """Whether the run wrote to other repositories alone."""
        return self.time.endswith("-read")


class LakeFSBackend(Backend, prefix="lakefs"):
    """Objects in lakeFS repositories, ``lakefs://repository/path``.

    Without a ``lake_ref`` an entry is on the data branch: the one named after the git branch that is checked out. It is
    created on the first write; a read of a branch that is not there yet reads from where it would be created.

    ``load_args`` and ``save_args`` of an entry: ``lake_ref`` (a branch, tag, commit, run id or git SHA; a branch for
    writes), and for reads ``verify: false``, for objects that were imported from a store whose ETags look like MD5 and
    are not.

    Raises:
        UnknownCredential, InvalidCredentials: The session's credentials do not fit lakeFS.
    """

    #: A legal name of a lakeFS branch.
    REG_VALID_SLUG: ClassVar[re.Pattern[str]] = LEGAL_BRANCH

    follows_git = True

    def __init__(self, session: Session, logger_name: str = __name__) -> None:
        super().__init__(session, logger_name)
        checked_lakefs_credentials(session.credentials)
        self._api = LakeFSAPI(session)
        self._store = LakeFSStore(session, self._api)

    def redacted(self, text: str) -> str:
        """``text`` without any secret of the credentials, those of lakectl's file included."""
        return super().redacted(text.replace(self._session.lakefs.configuration.password, "<redacted>"))

    def check_options(self, *, load_args: Mapping[str, Any], save_args: Mapping[str, Any]) -> None:
        """Refuse options that this backend does not know, and a ``lake_ref`` that is no text."""
        self._verify({key: value for key, value in load_args.items() if key != "lake_ref"})
        self._refuse_unknown(save_args, ("lake_ref",))
        for options in (load_args, save_args):
            _check_lake_ref(options.get("lake_ref"))

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
        self._write(
            repository,
            path,
            lake_ref,
            lambda branch: self._send(repository, branch, path, payload),
        )

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

        def fetch(ref: str) -> bytes:
            buffer = PartBuffer()
            self._fetch(repository, ref, path, buffer, verify)
            return buffer.payload()

        return self._read(repository, path, lake_ref, fetch)

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
            self._write(repository, path, lake_ref, lambda branch: self._send(repository, branch, path, source))
            return
        first, last = transfer.files_of(source)
        for below in (FOLDER_MARK + path, *(f"{path}/{file.as_posix()}" for file in (*first, *last))):
            _check_length(below)

        def send(branch: str) -> None:
            def one(file: Path, _: threading.Event) -> Stat:
                return self._send(repository, branch, f"{path}/{file.as_posix()}", source / file)

            sent = transfer.in_parallel(one, first, transfer.UPLOAD_WORKERS)
            sent += [one(file, threading.Event()) for file in last]
            kept = {stat.path for stat in sent}
            found = self._api.list(repository, branch, f"{path}/")
            # An object at the path itself would be found before the folder.
            self._api.delete(repository, branch, [path, *(each.path for each in found if each.path not in kept)])
            mark = hashlib.sha256(repr(sorted((stat.path, stat.checksum) for stat in sent)).encode()).hexdigest()
            self._api.upload(repository, branch, FOLDER_MARK + path, mark.encode, len(mark))

        self._write(repository, path, lake_ref, send)

    def download(self, *, target: Path, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> None:
        """Fetch an object into a file or, where there is none, all objects below the path into a folder."""
        verify = self._verify(kwargs)
        repository, path = self.split(fragment)

        def fetch(ref: str) -> None:
            try:
                self._fetch_file(repository, ref, path, target, verify)
                return
            except ObjectNotFound:
                found = [stat.path for stat in self._api.list(repository, ref, f"{path}/")]
                below = [each for each in found if not each.endswith("/")]  # markers of empty folders
                if not below:
                    raise

            def one(found: str, _: threading.Event) -> None:
                relative = checked(fragment._replace(path=f"/{found.removeprefix(f'{path}/')}")).path
                file = target / relative.removeprefix("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                self._fetch_file(repository, ref, found, file, verify)

            transfer.in_parallel(one, below, transfer.DOWNLOAD_WORKERS)

        self._read(repository, path, lake_ref, fetch)

    def exists(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> bool:
        """Whether there is an object, or one below the path.

        Raises:
            RepositoryNotFound, RefNotFound: There is not even that.
            PermissionDenied: The server does not tell.
        """
        self._verify(kwargs)
        repository, path = self.split(fragment)

        def look(ref: str) -> bool:
            try:
                self._api.stat(repository, ref, path)
            except ObjectNotFound:
                below = self._api.list(repository, ref, f"{path}/", amount=10)
                if all(each.path.endswith("/") for each in below):  # markers of empty folders
                    raise
            return True

        try:
            return self._look_up(repository, path, lake_ref, look)
        except ObjectNotFound:
            return False

    def stat(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> ObjectInfo:
        """Size, time and checksum of one object."""
        self._verify(kwargs)
        repository, path = self.split(fragment)
        return self._read(repository, path, lake_ref, lambda ref: _info("", self._api.stat(repository, ref, path)))

    def list(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> Iterator[ObjectInfo]:
        """All objects below a path; a request for every 1,000 of them."""
        self._verify(kwargs)
        repository, path = self.split(fragment)

        def look(ref: str) -> builtins.list[ObjectInfo]:
            prefix = f"{path}/"
            found = self._api.list(repository, ref, prefix)
            return [_info(stat.path.removeprefix(prefix), stat) for stat in found if not stat.path.endswith("/")]

        yield from self._read(repository, path, lake_ref, look)

    def delete(self, *, fragment: ParseResult, lake_ref: str | None = None, **kwargs: Any) -> None:
        """Remove an object and all objects below its path from a branch."""
        self._refuse_unknown(kwargs, ("lake_ref",))
        repository, path = self.split(fragment)

        def remove(branch: str) -> None:
            self._api.branch(repository, branch)
            below = [stat.path for stat in self._api.list(repository, branch, f"{path}/")]
            self._api.delete(repository, branch, [path, FOLDER_MARK + path, *below])

        self._write(repository, path, lake_ref, remove)

    def version_options(self, version: str) -> dict[str, Any]:
        """A version is a ref: a run id, tag, branch, commit or git SHA."""
        return {"lake_ref": version}

    def versions(self, *, fragment: ParseResult) -> Iterator[str]:
        """Ids of the runs that changed an object on its data branch, newest first; other commits by their own id."""
        repository, path = self.split(fragment)

        def look(ref: str) -> builtins.list[str]:
            ids = (commit.metadata.get("kedro_run_id", commit.id) for commit in self._api.log(repository, ref, path))
            return builtins.list(dict.fromkeys(ids))  # each part of a run may have changed it

        yield from self._read(repository, path, None, look)

    def reads_the_past(self, fragment: ParseResult) -> bool:
        """Whether an entry is read elsewhere than it is written, because the user wants all to be read at some ref."""
        repository, _ = self.split(fragment)
        return self._pin(repository) is None and bool(self._session.project.at)

    @property
    def api(self) -> LakeFSAPI:
        """The server, for those who do more with it than to move bytes."""
        return self._api

    @property
    def project(self) -> Project:
        """The project whose git and settings decide about data branches."""
        return self._session.project

    @staticmethod
    def split(fragment: ParseResult) -> tuple[str, str]:
        """Repository and path of an object, from its parsed location."""
        checked(fragment)
        if not fragment.netloc:
            raise InvalidURL(f"the URL {unparse(fragment)!r} names no repository: write lakefs://repository/path.")
        if not _REPOSITORY.fullmatch(fragment.netloc):
            raise InvalidURL(
                f"the URL {unparse(fragment)!r} names the repository {fragment.netloc!r}, which lakeFS does not allow "
                "as a name: correct it."
            )
        path = full_path(fragment).removeprefix("/")
        _check_length(path)
        if f"{path}/".startswith(FOLDER_MARK):
            raise InvalidURL(
                f"{unparse(fragment)!r} is below {FOLDER_MARK!r}, which this package uses: choose another."
            )
        return fragment.netloc, path

    # -- branches and refs -----------------------------------------------------------------------------------------

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
        source = self.source(repository)
        if self._api.ensure_branch(repository, name, source):
            self._logger.info("Created the branch %r of %r from %r.", name, repository, source)

    def source(self, repository: str) -> str:
        """The ref from which new data branches are made: as the settings say, else the default branch."""
        return self._session.project.settings.source or self._session.connection(
            ("lakefs default branch", self._api.host, repository), lambda: self._api.default_branch(repository)
        )

    def _pin(self, repository: str) -> Pin | None:
        return self._session.project.pins.get((self._api.host, repository))

    def _known(self) -> _Known:
        return self._session.connection(("lakefs known", self._api.host), _Known)

    def _write(self, repository: str, path: str, lake_ref: str | None, send: Callable[[str], object]) -> None:
        """Let ``send`` write to a branch, once more after creating it when that is what it lacks."""
        _check_lake_ref(lake_ref)
        if lake_ref is not None:
            if path.startswith(f"{lake_ref}/"):
                raise RefInPath(
                    f"the path begins with {lake_ref!r}, which `save_args` names as the branch already: write "
                    f"lakefs://{repository}/{path.removeprefix(f'{lake_ref}/')}."
                )
            try:
                send(lake_ref)
            except BranchNotFound as error:
                try:
                    self._api.commit(repository, lake_ref)
                except RefNotFound:
                    raise error from None
                raise NotABranch(
                    f"{lake_ref!r} is a tag or commit of {repository!r}, which never change: write to a branch."
                ) from None
            return
        pin = self._pin(repository)
        branch = (pin and pin.write) or self._get_current_branch_name()
        self._refuse_ref_in_path(repository, branch, path)
        try:
            send(branch)
        except BranchNotFound:
            if pin and pin.write:
                raise BranchNotFound(
                    f"the branch {branch!r} of the run is gone from {repository!r}: the run was ended elsewhere."
                ) from None
            self._create_branch(branch, repository=repository)
            send(branch)

    def _read(self, repository: str, path: str, lake_ref: str | None, look: Callable[[str], _Answer]) -> _Answer:
        """Let ``look`` read at the right ref; when it finds nothing, say what is missing and what may be meant."""
        try:
            return self._look_up(repository, path, lake_ref, look)
        except ObjectNotFound as error:
            first, slash, rest = path.partition("/")
            if not slash or not self._is_ref(repository, first):
                raise
            raise ObjectNotFound(
                f"{error.args[0]} {first!r} is a branch or tag there: write lakefs://{repository}/{rest}, and "
                f"`load_args: {{lake_ref: {first}}}` if it is to be read there."
            ) from None

    def _look_up(self, repository: str, path: str, lake_ref: str | None, look: Callable[[str], _Answer]) -> _Answer:
        _check_lake_ref(lake_ref)
        pin = self._pin(repository)
        asked = lake_ref or (None if pin else self._session.project.at)
        if lake_ref is not None:
            return self._read_at(repository, path, lake_ref, look)
        if asked is not None:
            try:
                return self._read_at(repository, path, asked, look)
            except RefNotFound as error:
                raise self._wrong_at(error) from None
        if pin:
            try:
                return look(pin.read)
            except ObjectNotFound:
                self._api.commit(repository, pin.read)  # the branch of the run, or the object: which one is gone?
                raise _missing(repository, path, pin.read) from None
        try:
            branch = self._get_current_branch_name()
        except NoDataBranch as error:
            commit = self._session.project.read_head().commit
            if commit is None:
                raise
            return self._read_at_git_commit(repository, path, commit, look, error)
        known = (repository, branch) in self._known().branches
        try:
            return look(branch)
        except ObjectNotFound:
            pass
        try:
            self._api.branch(repository, branch)
        except BranchNotFound:
            source = self.source(repository)
            self._say_once(
                f"The branch {branch!r} of {repository!r} does not exist yet: reading from {source!r}, from which it "
                "will be made on the first write."
            )
            return self._read_at(repository, path, source, look)
        if known:
            raise _missing(repository, path, branch) from None
        # It may have been made since it was read from.
        self._known().branches.add((repository, branch))
        return self._or_missing(repository, path, branch, look)

    def _read_at(self, repository: str, path: str, asked: str, look: Callable[[str], _Answer]) -> _Answer:
        """Read at what a user named: a ref, the id of a run, or the SHA of a git commit."""
        project, known = self._session.project, self._known().commits
        commit = project.refs.get((self._api.host, repository, asked)) or known.get((repository, asked))
        if commit is None and _HEX.fullmatch(asked):  # lakeFS would take it for the beginning of a commit's id
            commit = self._run(repository, asked)
        if commit is None and _FULL_SHA.fullmatch(asked) and (run := self._run_at(repository, asked)):
            commit = run.commit
        if commit is None:
            try:
                return look(asked)
            except ObjectNotFound:
                commit = self._resolve(repository, asked)
        return self._or_missing(repository, path, commit or asked, look)

    def resolved(self, repository: str, asked: str) -> str:
        """The id of the commit that a ref, the id of a run or the SHA of a git commit means now.

        Raises:
            RefNotFound: It means nothing.
        """
        try:
            return self._resolve(repository, asked) or self._api.commit(repository, asked).id
        except RefNotFound as error:
            raise self._wrong_at(error) if asked == self._session.project.at else error from None

    def _wrong_at(self, error: RefNotFound) -> RefNotFound:
        return RefNotFound(f"{error.args[0]} {AT}, or `at` of statisfactory.yml, names it.")

    def _resolve(self, repository: str, asked: str) -> str | None:
        """The commit of a run or of the newest run at a git commit; ``None`` when ``asked`` is a ref of lakeFS itself.

        Raises:
            RefNotFound: It is nothing of all that.
        """
        if _HEX.fullmatch(asked) and (commit := self._run(repository, asked)):
            return commit
        with contextlib.suppress(RefNotFound):
            self._api.commit(repository, asked)
            return None
        if commit := self._run(repository, asked):
            return commit
        if run := self._run_at(repository, asked):
            return run.commit
        raise RefNotFound(
            f"the repository {repository!r} has no branch, tag or commit {asked!r}, no run of this id, and no run made "
            "at a git commit of this SHA."
        )

    def _run(self, repository: str, run_id: str) -> str | None:
        """The commit of a run; ``None`` when there is no such run."""
        tag = self._api.tag(repository, run_tag(run_id))
        if tag is None:
            return None
        self._known().commits[repository, run_id] = tag.commit_id
        return tag.commit_id

    def _run_at(self, repository: str, sha: str) -> _RunAt | None:
        """The newest run that was made at a git commit, and of its very code when there is one such.

        It may be another one soon, so it is asked for each time.

        Raises:
            RefNotFound: A short SHA means several commits.
        """
        if not _GIT_SHA.fullmatch(sha):
            return None
        found = [
            _RunAt(parts[2], tag.commit_id, parts[0].removeprefix(GIT_TAG), parts[1])
            for tag in self._api.tags(repository, f"{GIT_TAG}{sha}")
            if len(parts := tag.id.split("--", 2)) > 2
        ]
        if len(shas := {run.sha for run in found}) > 1:
            raise RefNotFound(f"{sha!r} is short for several git commits with runs: {', '.join(sorted(shas))}.")
        run = max(found, key=lambda run: (not run.only_read, not run.is_dirty, run.time), default=None)
        if run is not None:
            dirty = ", with uncommitted changes in the code" if run.is_dirty else ""
            made = "found" if run.only_read else "left"
            self._say_once(
                f"Reading {repository!r} as the run {run.run_id!r} {made} it, which was made at the git commit "
                f"{run.sha}{dirty}."
            )
        return run

    def _read_at_git_commit(
        self, repository: str, path: str, sha: str, look: Callable[[str], _Answer], no_branch: NoDataBranch
    ) -> _Answer:
        """Read what the newest run at the git commit made that is checked out without a branch."""
        run = self._run_at(repository, sha)
        if run is None:
            made = {tag.id.removeprefix(GIT_TAG).partition("--")[0] for tag in self._api.tags(repository, GIT_TAG)}
            near = next((each for each in ancestors(self._session.project.path, sha) if each in made), None)
            hint = f" The nearest ancestor with a run is {near}: STATISFACTORY_AT={near} reads it." if near else ""
            raise NoDataBranch(f"no run was made at the git commit {sha} in {repository!r}.{hint} {no_branch}")
        return self._or_missing(repository, path, run.commit, look)

    def _or_missing(self, repository: str, path: str, ref: str, look: Callable[[str], _Answer]) -> _Answer:
        try:
            return look(ref)
        except ObjectNotFound:
            raise _missing(repository, path, ref) from None

    def _is_ref(self, repository: str, name: str) -> bool:
        """Whether ``name`` is a branch or tag; the prefix of a commit's id is not meant."""
        if not _PERHAPS_REF.fullmatch(name):
            return False
        try:
            commit = self._api.commit(repository, name)
        except RefNotFound:
            return False
        return name == commit.id or not commit.id.startswith(name)

    def _refuse_ref_in_path(self, repository: str, branch: str, path: str) -> None:
        """See that a path does not begin with a branch or tag, as other tools write a ref; once per process."""
        first, slash, rest = path.partition("/")
        known = self._known().folders
        if not slash or (repository, first) in known:
            return
        # In a run this must not cost a call for each folder: it is asked for names alone that are known, or look so.
        names = self._session.project.names
        if names is not None and first not in names and not _LIKE_A_TAG.fullmatch(first):
            return
        data = self._get_current_branch_name()  # in a run the branch is another one
        if first == data or self._is_ref(repository, first):
            try:
                used = any(True for _ in self._api.list(repository, branch, f"{first}/", amount=1))
            except ObjectNotFound:
                used = False
            if not used:
                raise RefInPath(
                    f"{first!r} is a branch or tag of {repository!r}, and would become a folder on the branch "
                    f"{branch!r}. The branch follows git: write lakefs://{repository}/{rest}. To pin another branch, "
                    f"set `save_args: {{lake_ref: {first}}}`."
                )
            self._say_once(
                f"{first!r} is a folder on the branch {branch!r} of {repository!r}, and a branch or tag too."
            )
        known.add((repository, first))

    def _say_once(self, text: str) -> None:
        with _lock:
            if (text,) in _said:
                return
            _said.add((text,))
        self._logger.warning(text)

    # -- bytes -----------------------------------------------------------------------------------------------------

    def _verify(self, kwargs: Mapping[str, Any]) -> bool:
        self._refuse_unknown({key: value for key, value in kwargs.items() if key != "verify"}, _OPTIONS)
        verify = kwargs.get("verify", True)
        if not isinstance(verify, bool):
            raise UnknownOption(f"`verify` is {verify!r}: write true or false.")
        return verify

    def _fetch_file(self, repository: str, ref: str, path: str, target: Path, verify: bool) -> None:
        try:
            self._fetch(repository, ref, path, PartFile(target), verify)
        except BaseException:  # an interrupt, too, must not leave a part where the format would find it
            target.unlink(missing_ok=True)
            raise

    def _fetch(self, repository: str, ref: str, path: str, writer: PartWriter, verify: bool) -> None:
        """Fetch one object, of one version; again where it breaks off, is damaged or replaced half-way."""

        def fetch() -> None:
            if self._store.may_give:
                # Where the rest of a large object has a signed URL, its first part is all that the server has to give.
                try:
                    with self._api.open(repository, ref, path, transfer.DOWNLOAD_PART) as answer:
                        if answer.length == answer.size:
                            self._fetch_whole(repository, ref, path, answer, writer, verify)
                            return
                        if self._store.use.reads:
                            found = self._store.fetch(repository, ref, path, answer, writer)
                            if verify:
                                _compare(path, found.checksum, found.metadata.get(CRC32_KEY), writer)
                            return
                except StoreFailed as error:
                    self._store.give_up(error)
            with self._api.open(repository, ref, path) as answer:
                self._fetch_whole(repository, ref, path, answer, writer, verify)

        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(IntegrityError):
                fetch()
                return
        fetch()

    def _fetch_whole(
        self, repository: str, ref: str, path: str, answer: Answer, writer: PartWriter, verify: bool
    ) -> None:
        """Take in an object from one answer of the server, and verify it."""
        if answer.size <= transfer.SMALL:
            payload = b"".join(answer.chunks(max(answer.size, CHUNK)))
            if verify:
                _compare_md5(answer.checksum, hashlib.md5(payload, usedforsecurity=False))
            writer.write(payload)
            return
        # It may keep a checksum of its own, which is asked for meanwhile.
        asked = transfer.beside(lambda: self._api.stat(repository, ref, path)) if verify else None
        writer.begin(answer.size)
        writer.fill(Part(1, 0, answer.size), answer.chunks(CHUNK), threading.Event())
        if asked:
            found = asked.result()
            crc32 = found.metadata.get(CRC32_KEY) if found.checksum == answer.checksum else None
            _compare(path, answer.checksum, crc32, writer)

    def _send(self, repository: str, branch: str, path: str, source: Path | bytes) -> Stat:
        is_large = transfer.size_of(source) > transfer.SMALL
        stored = self._send_parts(repository, branch, path, source) if is_large else None
        if stored is None:
            if isinstance(source, Path) and not is_large:
                source = source.read_bytes()
            size, crc32 = transfer.size_of(source), transfer.crc32_of(source) if is_large else None
            with transfer.opened(source) as from_start:
                stored = self._api.upload(repository, branch, path, from_start, size, crc32)
        # Leave word of what was written, for the commit of the run.
        self._session.project.note_written(self._api.host, repository, stored.path, stored.checksum)
        return stored

    def _send_parts(self, repository: str, branch: str, path: str, source: Path | bytes) -> Stat | None:
        """Send a large object past the server; ``None`` where that cannot be."""
        if self._store.use.writes:
            try:
                return self._store.send(repository, branch, path, source)
            except StoreFailed as error:
                self._store.give_up(error)
        return None


def _compare(path: str, checksum: str, crc32: str | None, writer: PartWriter) -> None:
    """Compare what arrived of a large object with the fingerprint that is kept of it.

    A CRC-32 goes before an MD5: it takes an eighth of the time, and an MD5 takes longer than the transfer itself.

    Args:
        path: Of the object, for the error.
        checksum: As lakeFS has it.
        crc32: In hex; ``None``: the object keeps none.
        writer: What arrived.

    Raises:
        IntegrityError: These are other bytes.
    """
    if crc32:
        if f"{writer.crc32():08x}" != crc32:
            raise IntegrityError(f"{path!r} did not arrive as it was stored.")
    elif _MD5.fullmatch(checksum):
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in writer.chunks():
            digest.update(chunk)
        _compare_md5(checksum, digest)


def _compare_md5(checksum: str, digest: Any) -> None:
    """The same by what lakeFS calls a checksum: an MD5 in hex, but for what others uploaded in parts."""
    if _MD5.fullmatch(checksum) and checksum != digest.hexdigest():
        raise IntegrityError(
            "what arrived is not what was stored. If the object was imported from a store whose ETags are no MD5 "
            "(KMS encryption), set `load_args: {verify: false}`."
        )


def _missing(repository: str, path: str, ref: str) -> ObjectNotFound:
    return ObjectNotFound(f"there is no {path!r} in {repository!r} at {ref!r}.")


def _check_length(path: str) -> None:
    if len(path.encode()) > LONGEST_PATH:
        raise InvalidURL(
            f"the path {path!r} has {len(path.encode())} bytes, and lakeFS allows {LONGEST_PATH}: shorten it."
        )


def _check_lake_ref(lake_ref: object) -> None:
    if lake_ref is not None and (not isinstance(lake_ref, str) or not lake_ref):
        raise UnknownOption(f"`lake_ref` is {lake_ref!r}, no text: put the ref between quotes.")


def _info(path: str, stat: Stat) -> ObjectInfo:
    return ObjectInfo(path, stat.size, datetime.fromtimestamp(stat.mtime, tz=timezone.utc), stat.checksum)
