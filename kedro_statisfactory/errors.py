"""Every error that the package raises, each with a short stable code that its text carries.

Where Python has a builtin for the case, the error is one of those too, so that code which knows nothing of this
package can still tell "not there" from "not allowed"::

    StatisfactoryError
    |-- E01 URLs            InvalidURL (ValueError)
    |-- E02 backends        PrefixTaken, UnknownPrefix (LookupError), NotSupported (NotImplementedError),
    |                       UnknownOption (TypeError)
    |-- E03 moving bytes    ObjectNotFound (FileNotFoundError), PermissionDenied (PermissionError),
    |                       BucketNotFound (FileNotFoundError), BackendUnreachable (ConnectionError),
    |                       IntegrityError (OSError), PreconditionFailed (FileExistsError),
    |                       TransferError (OSError), of which StoreFailed is one
    |-- E04 credentials     UnknownCredential (ValueError), MissingCredentials (PermissionError),
    |                       InvalidCredentials (ValueError)
    |-- E05 datasets        InvalidFormat (ValueError), ChunkedSave
    |-- E06 branches        InvalidGitBranch (ValueError), InvalidDataBranch (ValueError), BranchCollision (ValueError),
    |                       GitError (RuntimeError), GitNotFound (FileNotFoundError), DubiousOwnership (PermissionError)
    `-- E07 lakeFS, runs    RepositoryNotFound, BranchNotFound, RefNotFound (all FileNotFoundError),
                            NotABranch (ValueError), NoDataBranch (ValueError), ServerTooOld (RuntimeError),
                            RefInPath (ValueError), InvalidSettings (ValueError), MergeConflict,
                            RunError (RuntimeError), Conflict, NoChanges, DirtyBranch
"""

from __future__ import annotations

from typing import ClassVar


class StatisfactoryError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: Stable identifier, printed in front of the message; subclasses set it with the class keyword ``code``.
        entry: The catalog entry that is concerned, where whoever raised the error knew it.
    """

    code: ClassVar[str] = "E0000"
    entry: str | None = None

    def __init_subclass__(cls, code: str = "", **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if code:
            cls.code = code
            setattr(Errors, code, cls)

    def __str__(self) -> str:
        return f"[{self.code}] {super().__str__()}"


class Errors:
    """The error classes by their codes: ``Errors.E0201`` is :class:`PrefixTaken`."""

    E0201: type[PrefixTaken]


class InvalidURL(StatisfactoryError, ValueError, code="E0101"):
    """A location cannot be split into a prefix and a safe path."""


class PrefixTaken(StatisfactoryError, ValueError, code="E0201"):
    """A backend asks for a prefix under which another class is registered."""


class UnknownPrefix(StatisfactoryError, LookupError, code="E0202"):
    """No backend is registered under a URL's prefix."""


class NotSupported(StatisfactoryError, NotImplementedError, code="E0203"):
    """A backend does not offer an optional verb."""


class UnknownOption(StatisfactoryError, TypeError, code="E0204"):
    """An option of ``load_args``, ``save_args`` or ``fs_args`` is not known to the backend."""


class TransferError(StatisfactoryError, OSError, code="E0300"):
    """A service refused or broke off a transfer for a reason that has no class of its own."""


class ObjectNotFound(StatisfactoryError, FileNotFoundError, code="E0301"):
    """There is no object, and no folder of objects, at a location."""


class PermissionDenied(StatisfactoryError, PermissionError, code="E0302"):
    """The service or the file system knows the caller and says no."""


class BucketNotFound(StatisfactoryError, FileNotFoundError, code="E0303"):
    """The bucket of a location is missing."""


class BackendUnreachable(StatisfactoryError, ConnectionError, code="E0304"):
    """The service did not answer, or stopped answering, and the bounded retries are used up."""


class IntegrityError(StatisfactoryError, OSError, code="E0305"):
    """What arrived is not what was stored: a length or a checksum differs."""


class PreconditionFailed(StatisfactoryError, FileExistsError, code="E0306"):
    """A conditional write found another object in its place."""


class StoreFailed(TransferError, code="E0307"):
    """The object store behind a lakeFS server gives or takes nothing; the server itself may.

    Attributes:
        status: HTTP status of its answer; 0: there was none.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status

    @property
    def is_refusal(self) -> bool:
        """Whether the signature does not count any more, or what was sent came damaged."""
        return self.status in (400, 401, 403)


class UnknownCredential(StatisfactoryError, ValueError, code="E0401"):
    """A key of ``credentials`` is not known to the backend."""


class MissingCredentials(StatisfactoryError, PermissionError, code="E0402"):
    """No credentials were given and none were found where the ecosystem keeps them."""


class InvalidCredentials(StatisfactoryError, ValueError, code="E0403"):
    """A value of ``credentials`` cannot be used; the value itself is never shown."""


class InvalidFormat(StatisfactoryError, ValueError, code="E0501"):
    """The ``dataset`` of an entry cannot read and write a file or folder of its own."""


class ChunkedSave(StatisfactoryError, code="E0502"):
    """A generator node would overwrite each chunk that it saved with the next one."""


class InvalidGitBranch(StatisfactoryError, ValueError, code="E0601"):
    """A name cannot be that of a git branch which data follows."""


class InvalidDataBranch(StatisfactoryError, ValueError, code="E0602"):
    """The settings name a data branch that lakeFS does not accept, or could take for something else."""


class BranchCollision(StatisfactoryError, ValueError, code="E0603"):
    """By the settings, two git branches would share one data branch."""


class GitError(StatisfactoryError, RuntimeError, code="E0604"):
    """A git repository is there and cannot be read."""


class GitNotFound(StatisfactoryError, FileNotFoundError, code="E0605"):
    """The ``git`` program is needed and not installed."""


class DubiousOwnership(StatisfactoryError, PermissionError, code="E0606"):
    """git refuses to work in a repository that belongs to another user."""


class RepositoryNotFound(StatisfactoryError, FileNotFoundError, code="E0701"):
    """The lakeFS server has no repository of this name."""


class BranchNotFound(StatisfactoryError, FileNotFoundError, code="E0702"):
    """The lakeFS repository has no branch of this name."""


class RefNotFound(StatisfactoryError, FileNotFoundError, code="E0703"):
    """What an entry is pinned to is no tag, branch, commit, run or git commit that the lakeFS repository knows."""


class NotABranch(StatisfactoryError, ValueError, code="E0704"):
    """A tag or a commit stands where a branch is needed: nothing can be written to it."""


class NoDataBranch(StatisfactoryError, ValueError, code="E0705"):
    """Neither git nor the settings name the branch that the data is on."""


class ServerTooOld(StatisfactoryError, RuntimeError, code="E0706"):
    """The lakeFS server does not know a call that this package needs."""


class RefInPath(StatisfactoryError, ValueError, code="E0707"):
    """The path of a lakeFS URL begins with the name of a branch or tag, as other tools write it."""


class InvalidSettings(StatisfactoryError, ValueError, code="E0708"):
    """``statisfactory.yml`` has a key or a value that means nothing."""


class MergeConflict(StatisfactoryError, code="E0709"):
    """Another run has changed the same entries since this run began."""


class RunError(StatisfactoryError, RuntimeError, code="E0710"):
    """A run cannot begin, go on or be ended as it was asked to."""


class Conflict(StatisfactoryError, code="E0711"):
    """Something of this name is there already, or something else has the name."""


class NoChanges(StatisfactoryError, code="E0712"):
    """There is nothing to commit."""


class DirtyBranch(StatisfactoryError, code="E0713"):
    """A branch has uncommitted changes, so that nothing can be merged into it."""


class HookRefused(StatisfactoryError, PermissionError, code="E0714"):
    """A hook that somebody has set up in a lakeFS repository refuses what was asked for."""
