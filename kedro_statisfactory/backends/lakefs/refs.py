"""Which ref of a lakeFS repository is read, and which branch is written.

An entry may name one itself; a run pins what it reads and writes; the settings may name one for all that is read; else
it is the data branch, which follows git. A user may also name the id of a run, or the SHA of a git commit.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.known import Known
from kedro_statisfactory.backends.lakefs.once import warn_once
from kedro_statisfactory.backends.lakefs.origins import Origins
from kedro_statisfactory.backends.lakefs.owners import is_of_another
from kedro_statisfactory.backends.lakefs.run_tags import RunTags
from kedro_statisfactory.errors import (
    BranchNotFound,
    NoDataBranch,
    NotABranch,
    ObjectNotFound,
    RefInPath,
    RefNotFound,
    UnknownOption,
)
from kedro_statisfactory.project import AT, Pin
from kedro_statisfactory.project.branches import data_branch
from kedro_statisfactory.project.git import commit_named
from kedro_statisfactory.session import Session

_Answer = TypeVar("_Answer")

_HEX = re.compile(r"[0-9a-fA-F]{1,16}")  # numbers of builds and times; nobody cuts the id of a commit that short
_LIKE_A_TAG = re.compile(r"v\d[\w.]*|\d+(\.\d+)+", re.ASCII)
_FULL_SHA = re.compile(r"[0-9a-f]{40}")  # of git; lakeFS's own have 64 digits
# What a path may begin with that could be a branch or tag in the spelling of other tools.
_PERHAPS_REF = re.compile(r"\w[-\w.~^@]*", re.ASCII)


class BranchRules(Protocol):
    """Which data branch there is and how one is made: methods of the backend, which a subclass may override."""

    def _get_current_branch_name(self) -> str: ...

    def _create_branch(self, name: str, *, repository: str) -> None: ...


class LakeFSRefs:
    """Decides at which ref of a repository an entry is read, and to which branch it is written.

    Args:
        session: Of the entry: it knows the project, with its git branch, settings and pins.
        api: The server.
        logger: For what a user should know once.
        rules: The backend; its methods are looked up at each call.
    """

    def __init__(self, session: Session, api: LakeFSAPI, logger: logging.Logger, rules: BranchRules) -> None:
        self._session, self._api, self._logger, self._rules = session, api, logger, rules
        self._runs = RunTags(session, api, logger)
        self._origins = Origins(session, api, self._runs)

    def write(self, repository: str, path: str, lake_ref: str | None, send: Callable[[str], object]) -> None:
        """Call ``send`` with the branch to write to; once more after creating that branch when it is missing.

        Args:
            repository: Where.
            path: Of the object, which must not begin with the name of a branch or tag.
            lake_ref: The branch that a user names; absent: the branch of the run, else the data branch.
            send: Called with the name of a branch.

        Raises:
            NotABranch: ``lake_ref`` is a tag or commit.
            BranchNotFound: ``lake_ref`` is nothing at all, or the run was ended elsewhere.
            RefInPath: The path begins with the name of a branch or tag, and is not in use as a folder.
        """
        check_lake_ref(lake_ref)
        if lake_ref is not None:
            self._write_to(repository, path, lake_ref, send)
            return
        pin = self.pin(repository)
        branch = (pin and pin.write) or self._rules._get_current_branch_name()
        self.refuse_ref_in_path(repository, branch, path, self._session.project.names)
        try:
            send(branch)
        except BranchNotFound:
            if pin and pin.write:
                raise BranchNotFound(
                    f"the branch of the run is gone from {repository!r}: the run was ended elsewhere."
                ) from None
            self._rules._create_branch(branch, repository=repository)
            send(branch)

    def _write_to(self, repository: str, path: str, lake_ref: str, send: Callable[[str], object]) -> None:
        """Call ``send`` with a branch that a user names, which has to exist."""
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

    def look_up(self, repository: str, path: str, lake_ref: str | None, look: Callable[[str], _Answer]) -> _Answer:
        """Call ``look`` with the ref at which an entry is to be read, and return what it gives.

        Args:
            repository: Where.
            path: Of the object, for errors.
            lake_ref: What a user names; absent: the pin of the run, else the data branch.
            look: Called with a ref; called again with another when the first one has no object.

        Raises:
            ObjectNotFound, RefNotFound, RepositoryNotFound: This is what is missing.
        """
        check_lake_ref(lake_ref)
        if lake_ref is not None:
            return self._read_at(repository, path, lake_ref, look)
        if pin := self.pin(repository):
            try:
                return look(ref := pin.at(path))
            except ObjectNotFound:
                self._api.commit(repository, ref)  # the branch of the run, or the object: which one is gone?
                raise _missing(repository, path, ref) from None
        if (asked := self._session.project.at) is not None:
            try:
                return self._read_at(repository, path, asked, look)
            except RefNotFound as error:
                raise self._wrong_at(error) from None
        try:
            branch = self._rules._get_current_branch_name()
        except NoDataBranch as error:
            commit = self._session.project.read_head().commit
            if commit is None:
                raise
            return self._read_at_git_commit(repository, path, commit, look, error)
        return self._read_at_branch(repository, path, branch, look)

    def _read_at_branch(self, repository: str, path: str, branch: str, look: Callable[[str], _Answer]) -> _Answer:
        """Read at the data branch; where there is none yet, where it will be made from."""
        known = (repository, branch) in self._known().branches
        try:
            found = look(branch)
            self._say_whose(repository, branch)
            return found
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

    def _say_whose(self, repository: str, branch: str) -> None:
        """Warn, after one look in each process, of a data branch of another git branch of the same name."""
        if (repository, branch) in self._known().looked:
            return
        self._known().looked.add((repository, branch))
        if is_of_another(self._api, self._session.project, repository, branch):
            self._say_once(f"The data branch {branch!r} of {repository!r} has runs of another git branch of this name.")

    def read(self, repository: str, path: str, lake_ref: str | None, look: Callable[[str], _Answer]) -> _Answer:
        """The same as :meth:`look_up`; when there is no object, the error also says which URL may have been meant."""
        try:
            return self.look_up(repository, path, lake_ref, look)
        except ObjectNotFound as error:
            first, slash, rest = path.partition("/")
            if not slash or not self._is_ref(repository, first):
                raise
            raise ObjectNotFound(
                f"{error.args[0]} {first!r} is a branch or tag there: write lakefs://{repository}/{rest}, and "
                f"`load_args: {{lake_ref: {first}}}` if it is to be read there."
            ) from None

    def reads_the_past(self, repository: str) -> bool:
        """Whether entries are read elsewhere than they are written, because the user wants all to be read at a ref."""
        return self.pin(repository) is None and bool(self._session.project.at)

    def writes_are_hidden(self, repository: str, lake_ref: str | None) -> bool:
        """Whether what is written goes to the branch of a run, which nobody reads before the run has ended well."""
        pin = self.pin(repository)
        return lake_ref is None and pin is not None and pin.write is not None

    def pin(self, repository: str) -> Pin | None:
        """Where a run works in the repository; ``None`` outside of a run."""
        return self._session.project.pins.get((self._api.host, repository))

    def resolved(self, repository: str, asked: str, paths: Collection[str] = ()) -> Pin:
        """The commits at which a ref, the id of a run or the SHA of a git commit has objects read now.

        Raises:
            RefNotFound: It means nothing.
        """
        try:
            commit_for = self._resolve(repository, asked)
            commit = commit_for("") if commit_for else self._api.commit(repository, asked).id
        except RefNotFound as error:
            raise self._wrong_at(error) if asked == self._session.project.at else error from None
        return Pin(commit, paths={path: commit_for(path) for path in paths} if commit_for else {})

    def source(self, repository: str) -> str:
        """The ref from which a new data branch is made, and read until then.

        It is what the settings say, else the data of the code from which the git branch was made, else the default
        branch.
        """
        return (
            self._session.project.settings.source
            or self._origins.origin(repository)
            or self._session.connection(
                ("lakefs default branch", self._api.host, repository), lambda: self._api.default_branch(repository)
            )
        )

    def _read_at(self, repository: str, path: str, asked: str, look: Callable[[str], _Answer]) -> _Answer:
        """Read at what a user named: a ref, the id of a run, or the SHA of a git commit."""
        pinned = self._session.project.refs.get((self._api.host, repository, asked))
        commit = pinned.at(path) if pinned else self._runs.remembered(repository, asked)
        if commit is None and _HEX.fullmatch(asked):  # lakeFS would take it for the beginning of a commit's id
            commit = self._runs.commit_of(repository, asked)
        if commit is None and _FULL_SHA.fullmatch(asked) and (runs := self._runs.runs_at(repository, asked)):
            commit = self._runs.choose(repository, runs, path).commit
        if commit is None:
            try:
                found = look(asked)
                self._say_what_was_taken(repository, asked)
                return found
            except ObjectNotFound:
                commit_for = self._resolve(repository, asked)
                commit = commit_for(path) if commit_for else asked
        return self._or_missing(repository, path, commit, look)

    def _wrong_at(self, error: RefNotFound) -> RefNotFound:
        return RefNotFound(f"{error.args[0]} {AT}, or `at` of statisfactory.yml, names it.")

    def _resolve(self, repository: str, asked: str) -> Callable[[str], str] | None:
        """What gives the commit at which a path is read; ``None`` when ``asked`` is a ref of lakeFS itself.

        Raises:
            RefNotFound: It is nothing of all that.
        """
        if _HEX.fullmatch(asked) and (commit := self._runs.commit_of(repository, asked)):
            return _always(commit)
        with contextlib.suppress(RefNotFound):
            self._api.commit(repository, asked)
            self._say_what_was_taken(repository, asked)
            return None
        if commit := self._runs.commit_of(repository, asked):
            return _always(commit)
        if runs := self._runs.runs_at(repository, asked):
            return lambda path: self._runs.choose(repository, runs, path).commit
        return self._resolve_in_git(repository, asked)

    def _resolve_in_git(self, repository: str, asked: str) -> Callable[[str], str]:
        """The same for git's own names: of a branch, whose data branch is meant, of a tag, or an expression.

        Raises:
            RefNotFound: git does not know it either, or no run was made there.
        """
        project = self._session.project
        branch = asked if asked == "HEAD" else data_branch(asked, project.settings.branches)
        if branch != asked:
            with contextlib.suppress(RefNotFound):
                return _always(self._api.commit(repository, branch).id)
        unknown = (
            f"the repository {repository!r} has no branch, tag or commit {asked!r}, no run of this id, and no run made "
            "at a git commit of this"
        )
        sha = commit_named(project.path, asked)
        if sha is None:
            raise RefNotFound(f"{unknown} SHA.")
        if runs := self._runs.runs_at(repository, sha):
            return lambda path: self._runs.choose(repository, runs, path).commit
        raise RefNotFound(f"{unknown} name: git means {sha} by it.")

    def _say_what_was_taken(self, repository: str, asked: str) -> None:
        """Warn, once, of a name that lakeFS and git both have, unless it is a branch of git and its data branch."""
        if (repository, asked) in self._known().named:
            return
        self._known().named.add((repository, asked))
        project = self._session.project
        is_branch = asked != "HEAD" and data_branch(asked, project.settings.branches) == asked
        if is_branch and commit_named(project.path, f"refs/heads/{asked}"):
            return
        if sha := commit_named(project.path, asked):
            self._say_once(
                f"{asked!r} is a ref of {repository!r} and a name in git, too: lakeFS's is read. Write {sha} to read "
                "what was made at the git commit."
            )

    def _read_at_git_commit(
        self, repository: str, path: str, sha: str, look: Callable[[str], _Answer], no_branch: NoDataBranch
    ) -> _Answer:
        """Read what the runs at the git commit made that is checked out without a branch."""
        runs = self._runs.runs_at(repository, sha)
        if not runs:
            near = self._runs.nearest_ancestor(repository, sha)
            hint = f" The nearest ancestor with a run is {near}: STATISFACTORY_AT={near} reads it." if near else ""
            raise NoDataBranch(f"no run was made at the git commit {sha} in {repository!r}.{hint} {no_branch}")
        return self._or_missing(repository, path, self._runs.choose(repository, runs, path).commit, look)

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

    def refuse_ref_in_path(self, repository: str, branch: str, path: str, names: Collection[str] | None) -> None:
        """See that a path does not begin with a branch or tag, as other tools write a ref; once per process.

        Args:
            repository: Where.
            branch: To which the object is going to be written.
            path: Of the object.
            names: Names of branches and tags, where these are known; ``None``: lakeFS is asked for each.

        Raises:
            RefInPath: It does, and is not in use as a folder.
        """
        first, slash, rest = path.partition("/")
        known = self._known().folders
        if not slash or (repository, first) in known:
            return
        # In a run this must not cost a call for each folder: it is asked for names alone that are known, or look so.
        if names is not None and first not in names and not _LIKE_A_TAG.fullmatch(first):
            return
        data = self._rules._get_current_branch_name()  # in a run the branch is another one, which no user knows
        if first == data or self._is_ref(repository, first):
            try:
                used = any(True for _ in self._api.list(repository, branch, f"{first}/", amount=1))
            except ObjectNotFound:
                used = False
            if not used:
                raise RefInPath(
                    f"{first!r} is a branch or tag of {repository!r}, and would become a folder on the branch "
                    f"{data!r}. The branch follows git: write lakefs://{repository}/{rest}. To pin another branch, "
                    f"set `save_args: {{lake_ref: {first}}}`."
                )
            self._say_once(f"{first!r} is a folder on the branch {data!r} of {repository!r}, and a branch or tag too.")
        known.add((repository, first))

    def _known(self) -> Known:
        return self._session.connection(("lakefs known", self._api.host), Known)

    def _say_once(self, text: str) -> None:
        warn_once(self._logger, text)


def _always(commit: str) -> Callable[[str], str]:
    return lambda _: commit


def _missing(repository: str, path: str, ref: str) -> ObjectNotFound:
    return ObjectNotFound(f"there is no {path!r} in {repository!r} at {ref!r}.")


def check_lake_ref(lake_ref: object) -> None:
    """Refuse a ref that is no text, or empty.

    Raises:
        UnknownOption: It is.
    """
    if lake_ref is not None and (not isinstance(lake_ref, str) or not lake_ref):
        raise UnknownOption(f"`lake_ref` is {lake_ref!r}, no text: put the ref between quotes.")
