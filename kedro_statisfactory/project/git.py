"""What git says about a project: the branch and commit that are checked out, and whether the files differ from it.

Branch and commit are read from the repository's files through GitPython, in well under a millisecond and without a
``git`` program. The program runs only for what GitPython cannot tell: whether a repository tracks a project in one of
its folders, refs that are not files, and the state of the files.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

from kedro_statisfactory.errors import DubiousOwnership, GitError, GitNotFound
from kedro_statisfactory.project.ci import branch_of_job
from kedro_statisfactory.project.root import is_kedro_project

if TYPE_CHECKING:
    from git import Repo


_LOGGER = logging.getLogger("kedro.statisfactory")  # Kedro shows what is logged below its own name

#: Seconds after which a git command counts as stuck.
TIMEOUT = 300.0

#: Untracked files above this many bytes stand in the digest with their size and time of change, not their content; and
#: so do the rest when all contents together would be more than ``MOST_READ``.
LARGE_FILE = 16 << 20
MOST_READ = 256 << 20
#: From so many bytes, or so many files, it is suggested to let git ignore what is untracked.
MANY_BYTES = 1 << 30
MANY_FILES = 10_000

#: All that a configuration could change in the text of a diff is fixed here.
DIFF = (
    "-c core.quotePath=true diff --no-color --no-ext-diff --no-textconv --no-renames -O/dev/null --full-index "
    "--unified=3 --inter-hunk-context=0 --diff-algorithm=myers --no-indent-heuristic --src-prefix=a/ --dst-prefix=b/ "
    "--submodule=short --ignore-submodules=none"
).split()


# No option in front, no colon (files, searches), no braces (searches), nothing that git does not allow in a ref.
_PERHAPS_COMMIT = re.compile(r"(?!-)[^\x00-\x20\x7f:?*\[\\{}]+")

# Where it is no matter that git does not answer.
_TELLS_NOTHING = (GitError, GitNotFound, DubiousOwnership)

# Hosts that show commits on the web, and where below the repository.
_WEB_PAGES = {"github.com": "commit", "gitlab.com": "-/commit", "bitbucket.org": "commits"}


@dataclass(frozen=True)
class Head:
    """What is checked out in the repository of a project.

    Attributes:
        branch: Name of the branch without ``refs/heads/``; ``None`` when there is none.
        commit: Full SHA of the commit; ``None`` without a repository, and on a branch without commits.
        reason: Where ``branch`` was read or why there is none: a part of a sentence for a log line or an error.
    """

    branch: str | None
    commit: str | None
    reason: str


@dataclass(frozen=True)
class Worktree:
    """How the files of a repository differ from the commit that is checked out.

    Attributes:
        dirty: Whether a tracked file differs or there is an untracked one that is not ignored.
        digest: SHA-256 in hex over the diff and the untracked files' names and contents, where these are small;
            ``None`` when clean.
    """

    dirty: bool
    digest: str | None


def read_head(project: Path, environ: Mapping[str, str] = os.environ) -> Head:
    """Read which branch and commit of the project's own repository are checked out.

    The repository is the nearest at or above the project. It is the project's own when the project is its top level or
    it tracks a file of the project: a project that merely lies in somebody's checkout has none. A folder that is no
    Kedro project has none either: a packaged project may be started in whatever checkout.

    Args:
        project: Root folder of the project.
        environ: Where CI services tell which branch they build. That counts on a detached HEAD only.

    Raises:
        GitError: The repository is broken, or its branch is called ``HEAD``.
        DubiousOwnership: git had to be asked and refuses, since the repository is another user's.
        GitNotFound: git had to be asked and is not installed.
    """
    project = project.resolve()
    top, reason = _own_repository(project)
    if top is None:
        return Head(None, None, reason)
    repo = _open(top)
    target = _target_of_head(repo, top)
    if target.startswith("refs/heads/"):
        if target == "refs/heads/HEAD":
            raise GitError(f"the git branch in {top} is called 'HEAD': rename it with `git branch -m <new name>`.")
        return Head(target.removeprefix("refs/heads/"), _commit(repo, top, target), f"it is the HEAD of {top}")
    commit = _commit(repo, top, target) if target.startswith("refs/") else target
    reason = f"the HEAD of {top} is detached at {commit or target}"
    if re.search(r"/\.git/(worktrees/[^/]+/)?modules/", Path(repo.git_dir).as_posix()):
        return Head(None, commit, f"{reason}, and CI variables do not name the branch of a submodule")
    branch = branch_of_job(environ)
    return Head(branch, commit, f"{reason}, and {'a' if branch else 'no'} CI variable names the branch of its job")


def read_worktree(project: Path) -> Worktree | None:
    """Compare all files of the project's repository with the commit that is checked out.

    This runs git and reads the untracked files up to a limit, so it costs more than :func:`read_head`.

    Returns:
        The state, or ``None`` when the project has no repository of its own.

    Raises:
        GitError, DubiousOwnership, GitNotFound: As for :func:`read_head`.
    """
    top, _ = _own_repository(project.resolve())
    if top is None:
        return None
    base = checked_out(top)
    dirty, digest = False, hashlib.sha256()
    with TemporaryFile() as patch:
        _git(top, *DIFF, base, "--", stdout=patch)
        patch.seek(0)
        while chunk := patch.read(1 << 20):
            dirty = True
            digest.update(chunk)
    names = names_of_untracked(top)
    for name, content in _untracked(top, names):
        dirty = True
        digest.update(b"\0" + name + b"\0" + content)
    return Worktree(dirty, digest.hexdigest() if dirty else None)


def checked_out(top: Path) -> str:
    """What the files are compared with."""
    if _git(top, "rev-parse", "--verify", "--quiet", "HEAD", allowed=(0, 1)):
        return "HEAD"
    # A branch without commits: all files differ from the empty tree, whose name the repository's hash decides.
    return _git(top, "hash-object", "-t", "tree", os.devnull).decode().strip()


def names_of_untracked(top: Path) -> list[bytes]:
    """Files that are neither tracked nor ignored, and repositories within this one, whose names end with a slash."""
    return sorted(_git(top, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")[:-1])


def repository_of(project: Path) -> tuple[Path, Callable[..., bytes]] | None:
    """The top level of the project's own repository, and what runs git there; ``None`` when it has none."""
    top, _ = _own_repository(project.resolve())
    return None if top is None else (top, functools.partial(_git, top))


def _answer(project: Path, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
    """What git says about the project's own repository; nothing when it does not tell."""
    try:
        top, _ = _own_repository(project.resolve())
        return "" if top is None else _git(top, *arguments, allowed=allowed).decode("utf-8", "replace")
    except _TELLS_NOTHING:
        return ""


def ancestors(project: Path, commit: str, most: int = 10_000) -> list[str]:
    """SHAs of a commit and of those before it, newest first; none when git does not tell.

    Args:
        project: Root folder of the project.
        commit: Full SHA.
        most: How far to go back.
    """
    return _answer(project, "rev-list", f"--max-count={most}", commit, "--", allowed=(0, 128)).split()


def commit_named(project: Path, name: str) -> str | None:
    """The SHA of the commit that git means by a tag, a branch or an expression like ``HEAD~2``; ``None``: it is none.

    Args:
        project: Root folder of the project.
        name: As a user wrote it; an option, a range and what searches or names a file mean nothing.
    """
    if not _PERHAPS_COMMIT.fullmatch(name) or ".." in name:
        return None
    told = _answer(project, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", allowed=(0, 1, 128))
    return told.strip() or None


def ref_names(project: Path, kinds: Sequence[str] = ("heads", "remotes", "tags")) -> list[str]:
    """Names of all branches and tags that the project's repository knows; none when git does not tell."""
    refs = _answer(project, "for-each-ref", "--format=%(refname)", *(f"refs/{kind}" for kind in kinds))
    return [re.sub(r"refs/(heads|tags|remotes/[^/]+)/", "", ref) for ref in refs.split("\n")[:-1]]


def was_known(project: Path, branch: str, commit: str) -> bool:
    """Whether a branch that is not there was there once, or had a commit of its own: so somebody has deleted it.

    A branch that somebody has just made, and has not pushed, is at a commit of the one from which it was made.

    Args:
        project: Root folder of the project.
        branch: Its name.
        commit: Full SHA of a commit that was checked out on it, and that is there.
    """
    told = _answer(project, "reflog", "show", "--format=%gs", "HEAD", "--", allowed=(0, 128)).split("\n")
    moves = [line.removeprefix("checkout: moving from ") for line in told if line.startswith("checkout: moving from ")]
    if any(move.startswith(f"{branch} to ") or move.endswith(f" to {branch}") for move in moves):
        return True
    fetched = _answer(project, "config", "--get-regexp", r"^remote\..*\.fetch$", allowed=(0, 1)).split("\n")[:-1]
    if {line.split()[0] for line in fetched} - {line.split()[0] for line in fetched if "refs/heads/*:" in line}:
        return False  # a clone of one branch knows nothing of the others
    made = _answer(project, "rev-list", "--first-parent", "--branches", "--remotes").split()
    return bool(made) and commit not in made


def commit_url(project: Path, commit: str) -> tuple[str, str] | None:
    """Where a commit is shown on the web: host and URL, from the remote ``origin``; ``None`` on unknown hosts."""
    top, _ = _own_repository(project.resolve())
    if top is None:
        return None
    remote = _git(top, "remote", "get-url", "origin", allowed=(0, 2, 128)).decode("utf-8", "replace").strip()
    found = re.fullmatch(r"(?:\w+://)?(?:[^/@]+@)?([^/:]+)(?::\d+)?[/:]/?(.+?)(?:\.git)?/?", remote)
    if found is None or found[1] not in _WEB_PAGES:
        return None
    return found[1], f"https://{found[1]}/{found[2]}/{_WEB_PAGES[found[1]]}/{commit}"


def _own_repository(project: Path) -> tuple[Path | None, str]:
    """The top level of the project's own repository; ``None``, and why, where it has none.

    All that is asked of git is asked of this one, so that nothing of somebody else's repository gets into a run.
    """
    top = next((folder for folder in (project, *project.parents) if os.path.lexists(folder / ".git")), None)
    if top is None:
        return None, f"there is no .git in {project} or above it"
    if not is_kedro_project(project):
        return None, f"the folder {project} is no Kedro project: its pyproject.toml has no [tool.kedro]"
    if project != top:
        _open(top)  # what is wrong with the repository is told better than by the program
        if not _git(top, "ls-files", "-z", "--", project.relative_to(top).as_posix()):
            return None, f"the git repository {top} tracks no file of {project} (`git add` makes it its own)"
    return top, ""


def _open(top: Path) -> Repo:
    """Open the repository of which ``top`` is the top level, and no other."""
    quiet = "GIT_PYTHON_REFRESH" not in os.environ
    if quiet:
        # GitPython looks for the git program on import, and fails without one unless told not to.
        os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    try:
        import git
    finally:
        if quiet:
            os.environ.pop("GIT_PYTHON_REFRESH", None)
    if "GIT_COMMON_DIR" in os.environ:
        raise GitError(f"GIT_COMMON_DIR would make GitPython read another repository's refs for {top}: unset it.")
    try:
        repo = git.Repo(top, expand_vars=False)
        # GitPython 3.1 takes a worktree's word for where its repository is.
        os.lstat(os.path.join(repo.git_dir, "HEAD"))
    except (git.InvalidGitRepositoryError, OSError) as error:
        raise GitError(
            f"{top / '.git'} is not a git repository that can be read: repair it; in a container, mount the repository "
            "that a worktree or submodule belongs to as well."
        ) from error
    return repo


def _target_of_head(repo: Repo, top: Path) -> str:
    """The full name of the ref that HEAD points to, or the commit when it is detached.

    GitPython's own reader cuts a name at any Unicode space, and git allows those: two branches would become one.
    """
    head = Path(repo.git_dir, "HEAD")
    # core.preferSymlinkRefs makes HEAD a link to the branch's file.
    content = os.fsencode(os.readlink(head)) if head.is_symlink() else head.read_bytes().removeprefix(b"ref:").strip()
    if content == b"refs/heads/.invalid":
        # git writes this where refs are not files: extensions.refStorage=reftable.
        content = _git(top, "symbolic-ref", "--quiet", "HEAD", allowed=(0, 1)) or _git(top, "rev-parse", "HEAD")
    target = content.decode("utf-8", "surrogateescape").strip("\n")
    if not re.fullmatch(r"refs/.+|[0-9a-f]{40}|[0-9a-f]{64}", target, re.DOTALL):
        raise GitError(f"{head} is neither a ref nor a commit but {target!r}: repair it with `git switch <branch>`.")
    return target


def _commit(repo: Repo, top: Path, ref: str) -> str | None:
    """The commit to which ``ref`` points; ``None`` on an unborn branch."""
    try:
        return repo.head.dereference_recursive(repo, ref)
    except ValueError:
        # Unborn, or beyond GitPython: reftable, SHA-256, refs whose names are not UTF-8.
        try:
            return _git(top, "rev-parse", "--verify", "--quiet", "HEAD", allowed=(0, 1)).decode().strip() or None
        except GitNotFound:
            return None


def _git(
    top: Path,
    *arguments: str | bytes,
    allowed: tuple[int, ...] = (0,),
    stdout: IO[bytes] | int = subprocess.PIPE,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Run git in ``top`` and give back its output.

    Not through GitPython, which can only add to the environment: GIT_DIR, as hooks set it, means another repository.
    What stays is configuration, in which CI services put ``safe.directory``, and where git itself is installed.
    """
    keep = ("GIT_CONFIG", "GIT_EXEC_PATH")
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(keep)
    }
    # No wildcards in paths, errors in English.
    environ.update(GIT_LITERAL_PATHSPECS="1", LC_ALL="C", **environment)
    try:
        done = subprocess.run(
            ["git", *arguments],
            check=False,
            cwd=top,
            env=environ,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT,
        )
    except FileNotFoundError as error:
        raise GitNotFound(f"the git program is needed to read the repository {top}: install git.") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git did not answer within {TIMEOUT:g} seconds in {top}: is the disk slow?") from error
    if done.returncode in allowed:
        return done.stdout or b""
    complaint = done.stderr.decode("utf-8", "replace").strip()
    if "dubious ownership" in complaint or "unsafe repository" in complaint:
        raise DubiousOwnership(
            f"git does not read {top}, which belongs to another user. If you trust it: "
            f"git config --global --add safe.directory {top}"
        )
    raise GitError(f"git cannot read {top}: {complaint}")


def _untracked(top: Path, names: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each untracked file's name, and a digest of what is in it; in the end a word about those that take long."""
    total = read = 0
    for name in names:
        path = os.path.join(os.fsencode(top), name)
        try:
            status = os.lstat(path)
        except OSError:  # it has gone since git listed it
            yield name, b""
            continue
        total += status.st_size
        if status.st_size > LARGE_FILE or read + status.st_size > MOST_READ:
            yield name, hashlib.sha256(b"file %d %d" % (status.st_size, status.st_mtime_ns)).digest()
        else:
            read += status.st_size
            yield name, _digest_of_file(path)
    if total > MANY_BYTES or len(names) > MANY_FILES:
        _LOGGER.info(
            "The git repository %s has %d untracked files of %.1f GiB in all, which each run looks through for changes "
            "of the code: name those that are none in a .gitignore.",
            top,
            len(names),
            total / (1 << 30),
        )


def _digest_of_file(path: bytes) -> bytes:
    """SHA-256 of a file's content or a link's target; empty for a folder and for what cannot be read any more."""
    digest = hashlib.sha256()
    try:
        if os.path.islink(path):
            return hashlib.sha256(b"link " + os.readlink(path)).digest()
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return b""
    return digest.digest()
