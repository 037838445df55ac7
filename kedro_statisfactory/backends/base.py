"""The contract of a backend, and the registry that finds one by the prefix of a URL."""

from __future__ import annotations

import contextlib
import difflib
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import ParseResult

from kedro_statisfactory.backends import installed
from kedro_statisfactory.backends.engines import S3Access, Saving
from kedro_statisfactory.backends.info import ObjectInfo
from kedro_statisfactory.backends.notes import Notes
from kedro_statisfactory.backends.refusals import Refusals, name_of
from kedro_statisfactory.errors import NotSupported, PrefixTaken, UnknownPrefix
from kedro_statisfactory.hidden import Hidden
from kedro_statisfactory.location import join
from kedro_statisfactory.session import Session

#: How the names of files and folders begin that are written beside their target and not published yet.
STAGING_NAME = ".statisfactory-"

#: How the name of an object begins by which somebody who is about to store it claims what the rest of the name says.
CLAIM = "_statisfactory-claim-"

# An empty prefix, or a scheme that location.parse can see.
_VALID_PREFIX = re.compile(r"([a-z][a-z0-9+.-]+)?")


class Backend(Refusals, Notes, ABC):
    """Moves bytes between this machine and one kind of storage.

    A subclass registers itself under the prefix of its URLs. It has to write ``put`` and ``get``; that is enough for a
    catalog. The other verbs are defined by these two as far as that goes, and are overridden where a service does
    better. Options that come as keywords (``save_args`` of an entry for ``put`` and ``upload``, ``load_args`` for the
    rest) are known to the backend or refused with :class:`~kedro_statisfactory.errors.UnknownOption`.

    A backend's instances are cheap: connections belong to the session.

    Args:
        session: Credentials and the connections made from them.
        logger_name: Name of the logger.

    >>> class Memory(Backend, prefix="memory-example"):
    ...     objects: dict[str, bytes] = {}
    ...     def put(self, *, payload, fragment, **kwargs):
    ...         self.objects[fragment.path] = payload
    ...     def get(self, *, fragment, **kwargs):
    ...         try:
    ...             return self.objects[fragment.path]
    ...         except KeyError:
    ...             raise FileNotFoundError(fragment.geturl()) from None
    >>> Backend.backends()["memory-example"] is Memory
    True
    """

    _backends: ClassVar[dict[str, type[Backend]]] = {}
    _for_the_rest: ClassVar[list[type[Backend]]] = []

    def __init_subclass__(cls, prefix: str | None, aliases: Iterable[str] = (), **kwargs: Any) -> None:
        """Register a subclass (PEP 487).

        Args:
            prefix: The scheme of the URLs that the class serves, in lower case; ``""`` for local paths; ``None`` for
                a class that serves prefixes which no other class has, as its :meth:`serves` says.
            aliases: Further schemes that mean the same.
            kwargs: Passed on to other bases of the subclass.

        Raises:
            Errors.E0201: (:class:`~kedro_statisfactory.errors.PrefixTaken`) Another class is registered under a prefix.
                A class of the same module and name is replaced: a notebook's cell may run twice.
            ValueError: A prefix could never be the scheme of a URL, or ``secret_variables`` is no tuple.
        """
        super().__init_subclass__(**kwargs)
        if isinstance(cls.secret_variables, str):  # its letters would be taken for names, and no secret be hidden
            raise ValueError(f"`secret_variables` of {name_of(cls)} is a text: write a tuple of names.")
        if prefix is None:
            Backend._for_the_rest.append(cls)
            return
        prefixes = (prefix, *aliases)
        for wanted in prefixes:
            if _VALID_PREFIX.fullmatch(wanted) is None:
                raise ValueError(f"{name_of(cls)} asks for the prefix {wanted!r}, which no URL in lower case can have.")
            holder = Backend._backends.get(wanted)
            if holder is not None and name_of(holder) != name_of(cls):
                raise PrefixTaken(
                    f"the prefix {wanted!r} is taken by {name_of(holder)}: {name_of(cls)} needs another prefix."
                )
        Backend._backends.update(dict.fromkeys(prefixes, cls))

    @classmethod
    def backends(cls) -> Mapping[str, type[Backend]]:
        """The registered classes by prefix, those of installed distributions included; read-only."""
        installed.load()
        return MappingProxyType(Backend._backends)

    @classmethod
    def registered(cls, prefix: str) -> type[Backend]:
        """The class that serves URLs with ``prefix``.

        Raises:
            UnknownPrefix: There is none, and the text lists those that there are; or a package is missing.
        """
        if prefix not in Backend._backends:
            installed.load()
        if (found := Backend._backends.get(prefix)) is not None:
            return found
        if (found := next((kind for kind in Backend._for_the_rest if kind.serves(prefix)), None)) is not None:
            return found
        known = ", ".join(f"{name}://" for name in sorted(Backend._backends) if name)
        near = difflib.get_close_matches(prefix, Backend._backends, 1)
        hint = f"Did you mean {near[0]}://? " if near else ""
        raise UnknownPrefix(
            f"no backend is registered under the prefix {prefix!r}. {hint}Known are: {known}, local paths, and "
            "what fsspec knows. A package brings another one through the entry-point group "
            f"{installed.ENTRY_POINTS!r}, or by being imported."
        )

    @classmethod
    def serves(cls, prefix: str) -> bool:
        """Whether a class that is registered for the rest serves URLs with ``prefix``.

        Raises:
            UnknownPrefix: It would, if something else was installed; the text names that.
        """
        return False

    #: Whether it depends on the project's git and settings where bytes go.
    follows_git: ClassVar[bool] = False

    #: Whether it keeps copies on this machine, for which the project's settings say how much room there is.
    keeps_copies: ClassVar[bool] = False

    #: Whether loads say by themselves what they have read, through ``note_read``.
    notes_reads: ClassVar[bool] = False

    #: Environment variables that hold secrets of the service: no text that the package shows has their values.
    secret_variables: ClassVar[tuple[str, ...]] = ()

    def __init__(self, session: Session, logger_name: str = __name__) -> None:
        self._session = session
        self._logger = logging.getLogger(logger_name)

    def reads_the_past(self, fragment: ParseResult) -> bool:
        """Whether a load gives another version than the one that the next save replaces.

        That is so for services that keep versions, when the user wants all entries to be read as they were at some
        time.
        """
        return False

    def redacted(self, text: str) -> str:
        """``text`` without any secret of the credentials, nor of the environment variables of any backend."""
        return self._session.redacted(text, self._secret_variables())

    def secrets(self) -> set[Hidden[str]]:
        """All secrets of the credentials, and of the environment variables of any backend."""
        return self._session.secrets(self._secret_variables())

    @staticmethod
    def _secret_variables() -> set[str]:
        kinds = tuple(Backend._backends.values())  # another thread may register one meanwhile
        return {name for kind in kinds for name in kind.secret_variables}

    @abstractmethod
    def put(self, *, payload: bytes, fragment: ParseResult, **kwargs: Any) -> None:
        """Store ``payload`` at a location, replacing what is there; all of it or nothing.

        Args:
            payload: The bytes of the artifact.
            fragment: The parsed location.
            kwargs: Options of the backend.
        """

    @abstractmethod
    def get(self, *, fragment: ParseResult, **kwargs: Any) -> bytes:
        """Fetch what is stored at a location.

        Args:
            fragment: The parsed location.
            kwargs: Options of the backend.

        Raises:
            FileNotFoundError: Nothing is there.
        """

    def upload(self, *, source: Path, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store a file, or a folder with all that is in it, at a location.

        Args:
            source: The file or folder on this machine.
            fragment: The parsed location.
            consume: The caller has no more use for ``source``: it may be moved instead of copied.
            kwargs: Options of the backend, as for ``put``.

        Raises:
            NotSupported: ``source`` is a folder, and the backend does not store folders.
        """
        if source.is_dir():
            raise self._not_supported("store folders", fragment)
        self.put(payload=source.read_bytes(), fragment=fragment, **kwargs)

    def create(self, *, source: Path | bytes, fragment: ParseResult, consume: bool = False, **kwargs: Any) -> None:
        """Store something at a location where nothing is, and never replace anything.

        Of several that do this at once, one succeeds, where the service can decide that. This definition looks first
        and stores then, so it does not notice what comes in between.

        Args:
            source: A file or folder on this machine, or the bytes themselves.
            fragment: The parsed location.
            consume: As for ``upload``.
            kwargs: Options of the backend, as for ``put``.

        Raises:
            PreconditionFailed: Something is there.
            NotSupported: ``source`` is a folder, and the backend does not store folders.
        """
        if self.exists(fragment=fragment):
            raise self._already_there(fragment)
        if isinstance(source, Path):
            self.upload(source=source, fragment=fragment, consume=consume, **kwargs)
        else:
            self.put(payload=source, fragment=fragment, **kwargs)

    def download(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
        """Fetch a file or folder into ``target``, which does not exist yet and whose parent does.

        Args:
            target: Path on this machine.
            fragment: The parsed location.
            kwargs: Options of the backend, as for ``get``.

        Raises:
            FileNotFoundError: Nothing is there.
        """
        target.write_bytes(self.get(fragment=fragment, **kwargs))

    def lend(self, *, target: Path, fragment: ParseResult, **kwargs: Any) -> None:
        """Do as ``download`` does, for somebody who only reads: files may be links to those that others read, too.

        Args:
            target: As for ``download``.
            fragment: The parsed location.
            kwargs: Options of the backend, as for ``get``.

        Raises:
            FileNotFoundError: Nothing is there.
        """
        self.download(target=target, fragment=fragment, **kwargs)

    def local_path(self, *, fragment: ParseResult, **kwargs: Any) -> Path | None:
        """The file or folder itself where it is on this machine anyway; else ``None``: it has to be downloaded.

        Args:
            fragment: The parsed location.
            kwargs: Options of the backend, as for ``get``.

        Raises:
            FileNotFoundError: It would be on this machine, and nothing is there.
        """
        return None

    def staging_parent(self, *, fragment: ParseResult) -> Path | None:
        """The folder in which a file must be written so that ``upload`` can move it to its place.

        ``None`` where files are copied anyway: any folder does.
        """
        return None

    def exists(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether something is stored at a location: ``False`` says that it is not there, and nothing else."""
        try:
            self.get(fragment=fragment, **kwargs)
        except FileNotFoundError:
            return False
        return True

    def stat(self, *, fragment: ParseResult, **kwargs: Any) -> ObjectInfo:
        """Size and fingerprint of the object at a location.

        Raises:
            FileNotFoundError: Nothing is there.
        """
        return ObjectInfo(path="", size=len(self.get(fragment=fragment, **kwargs)))

    def list(self, *, fragment: ParseResult, **kwargs: Any) -> Iterator[ObjectInfo]:
        """All objects below a location, at any depth, in the order of their paths; none when there is none.

        Raises:
            NotSupported: The backend cannot list.
        """
        raise self._not_supported("list", fragment)

    def delete(self, *, fragment: ParseResult, **kwargs: Any) -> None:
        """Remove the object, or folder of objects, at a location; no error when it is not there.

        Raises:
            NotSupported: The backend cannot delete.
        """
        raise self._not_supported("delete", fragment)

    def end_changes(self, *, fragment: ParseResult, remove: Iterable[str] = (), **kwargs: Any) -> None:
        """Remove some objects below a location, of which others have been stored one by one, and note that they have.

        Args:
            fragment: The parsed location, which is a folder.
            remove: Paths below it, as ``list`` gives them.
            kwargs: Options of the backend, as for ``put``.

        Raises:
            NotSupported: There are some to remove, and the backend cannot delete.
        """
        for path in remove:
            self.delete(fragment=join(fragment, path))

    def engine_access(self, *, fragment: ParseResult, saving: Saving | None = None, **kwargs: Any) -> S3Access | Path:
        """Where an engine that reads and writes by itself finds a location, and how it comes in.

        Args:
            fragment: The parsed location.
            saving: What it is about to write: in place of what is there, which this removes, or in addition to that;
                ``None``: it reads.
            kwargs: Options of the backend, as for ``put`` where it writes, else as for ``get``.

        Returns:
            A place in S3's protocol, or the path of a file or folder.

        Raises:
            FileNotFoundError: It reads, and nothing is there.
            NotSupported: The backend cannot let engines in.
        """
        raise self._not_supported("let engines in", fragment)

    def check_engine(self, *, fragment: ParseResult) -> S3Access | None:
        """See whether an engine could come in, before it has anything to do; looks at nothing that is stored.

        Args:
            fragment: The parsed location.

        Returns:
            How it would come in; ``None``: by the path of a file, or in a way that nobody can tell before.

        Raises:
            StatisfactoryError: It could not.
        """
        return None

    def serves_scans(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Whether an engine that reads lazily does better by itself than from a copy, and can.

        Args:
            fragment: The parsed location.
            kwargs: Options of the backend, as for ``get``.
        """
        return False

    def end_engine_save(self, *, fragment: ParseResult, **kwargs: Any) -> bool:
        """Take note of what an engine has written by itself; gives whether there is anything.

        Args:
            fragment: The parsed location.
            kwargs: Options of the backend, as for ``put``.
        """
        with contextlib.suppress(NotSupported):
            if any(True for _ in self.list(fragment=fragment)):
                return True
        return self.exists(fragment=fragment)

    def version_options(self, version: str) -> dict[str, Any] | None:
        """The options with which ``get`` reads a version, where the service itself keeps versions.

        ``None`` where it does not: versions are folders below the location then, as kedro-datasets makes them.
        """
        return None

    def check_versioned_save(self, **options: Any) -> None:
        """Refuse to save an entry that has versions, where the service would keep none of what is saved.

        Args:
            options: As for ``put``.

        Raises:
            NotSupported: It would not.
        """
        return

    def versions(self, *, fragment: ParseResult) -> Iterator[str]:
        """Versions of a location, newest first, where the service itself keeps them.

        Raises:
            NotSupported: It does not.
        """
        raise self._not_supported("keep versions", fragment)
