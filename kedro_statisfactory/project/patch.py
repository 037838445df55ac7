"""What git has not: the changes of the files that are no commit yet, as a patch which `git apply` takes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kedro_statisfactory.project.git import DIFF, checked_out, names_of_untracked, repository_of

#: Bytes of a file, and of all files together, that a patch has room for, and their number.
LARGEST_FILE = 1 << 20
LARGEST_PATCH = 8 << 20
MOST_FILES = 1000

# Files that are there to keep secrets, whether git tracks them or not.
_KEEPS_SECRETS = re.compile(
    rb"(?i)(^|/)("
    rb"conf/local/.*"
    rb"|\.(aws|azure|ssh|gnupg|kube|docker)/.*"
    rb"|[^/]*(credential|secret)[^/]*(?<!\.py)(?<!\.ipynb)"
    rb"|[^/]*\.env|\.env[^/]*"
    rb"|[^/]*\.(pem|key|p12|pfx|ppk|jks|keystore|kdbx|asc|gpg)"
    rb"|id_(rsa|dsa|ecdsa|ed25519)[^/]*"
    rb"|\.(netrc|pgpass|npmrc|pypirc|htpasswd|git-credentials|lakectl\.yaml)|_netrc|kubeconfig[^/]*"
    rb"|service[-_]?account[^/]*\.json)$"
)


@dataclass(frozen=True)
class Patch:
    """Changes of the files of a repository.

    Attributes:
        content: What ``git apply`` takes at the top level of the repository; empty: there is nothing to apply.
        left_out: Names of the files whose changes it does not have.
    """

    content: bytes
    left_out: Sequence[str]


def keeps_secrets(name: bytes) -> bool:
    """Whether a file is there to keep secrets, as far as its name tells.

    >>> keeps_secrets(b"conf/base/credentials.yml"), keeps_secrets(b"src/credentials.py"), keeps_secrets(b".env.local")
    (True, False, True)
    """
    return _KEEPS_SECRETS.search(name) is not None


def read_patch(project: Path, tells_secret: Callable[[bytes], bool]) -> Patch:
    """Read the changes of the files, those of untracked files included that git does not ignore.

    Args:
        project: Root folder of the project.
        tells_secret: Whether the content of a file must not be told.

    Raises:
        GitError, DubiousOwnership, GitNotFound: As for :func:`~kedro_statisfactory.project.git.read_head`.
    """
    repository = repository_of(project)
    if repository is None:
        return Patch(b"", ())
    top, run = repository
    base, untracked = checked_out(top), {name for name in names_of_untracked(top) if not name.endswith(b"/")}
    tracked = run(*DIFF, "--ignore-submodules=dirty", "--name-only", "-z", base, "--").split(b"\0")[:-1]
    taken, room = list[bytes](), LARGEST_PATCH
    names = (*sorted(tracked), *sorted(untracked))
    for name in names:
        content = None if keeps_secrets(name) or len(taken) == MOST_FILES else _content_of(top, name)
        if content is not None and len(content) <= room and not tells_secret(content):
            taken.append(name)
            room -= len(content)
    told = _that_had_secrets(run, base, [name for name in taken if name not in untracked], tells_secret)
    taken = [name for name in taken if name not in told]
    content = _diff(top, run, base, taken, untracked) if taken else b""
    if len(content) > 2 * LARGEST_PATCH:  # what was deleted or replaced may have been large
        content, taken = b"", []
    left_out = sorted({*names} - {*taken})
    return Patch(content, [name.decode("utf-8", "backslashreplace") for name in left_out])


def _that_had_secrets(
    run: Callable[..., bytes], base: str, names: Sequence[bytes], tells_secret: Callable[[bytes], bool]
) -> set[bytes]:
    """The files whose difference tells what must not be told: a patch has the lines, too, that it takes out."""

    def told(names: Sequence[bytes]) -> bool:
        lines = run(*DIFF, "--text", "--ignore-submodules=dirty", base, "--", *names).split(b"\n")
        return tells_secret(b"\n".join(line[1:] for line in lines))

    if not names or not told(names):
        return set()
    return {name for name in names if told([name])}


def _content_of(top: Path, name: bytes) -> bytes | None:
    """What is in a file that differs, and where a link goes; ``None`` where that is too much. What is gone is empty."""
    path = os.path.join(os.fsencode(top), name)
    if os.path.islink(path):
        return os.readlink(path)
    if not os.path.isfile(path):
        return b""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError:  # nobody may read it, or it has gone just now
        return None
    return content if len(content) <= LARGEST_FILE else None


def _diff(
    top: Path, run: Callable[..., bytes], base: str, names: Sequence[bytes], untracked: Collection[bytes]
) -> bytes:
    """The difference of some files. The repository stays as it is: what git has to note for that goes elsewhere."""

    def path_of(name: str) -> str:
        return os.path.join(top, os.fsdecode(run("rev-parse", "--git-path", name).rstrip(b"\n")))

    with TemporaryDirectory() as folder:
        index, objects = os.path.join(folder, "index"), path_of("objects")
        if os.path.exists(there := path_of("index")):
            shutil.copyfile(there, index)
        environment = {
            "GIT_INDEX_FILE": index,
            "GIT_OBJECT_DIRECTORY": folder,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
        }
        if new := [name for name in names if name in untracked]:
            run("add", "--intent-to-add", "--", *new, environment=environment)
        options = (*DIFF, "--binary", "--ignore-submodules=dirty")
        return run(*options, base, "--", *names, environment=environment)
