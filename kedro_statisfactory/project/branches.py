"""Names of data branches: an injective, readable map from git branches to lakeFS branches.

Three rules, of which the first that fits decides:

1. A plain name stays as it is: ``main``, ``fix_12``, ``my-branch``.
2. In a plain name with slashes, ``--`` stands for each: ``feature/x`` becomes ``feature--x``.
3. Anything else becomes a readable head, ``---`` and a hash of the full name: ``release/1.2`` becomes
   ``release-1-2---`` and 20 hex digits.

Two git branches never get one data branch. The longest run of dashes in a name tells its rule: at most one dash after
the first, two after the second, three after the third. Within the first the name is the git branch; within the second
each ``--`` was a ``/``, because a plain name has no ``--`` and no dash beside a slash; within the third the hash tells
names apart. Only the first could give a string of hex digits, and such names are not plain.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType

from kedro_statisfactory.errors import BranchCollision, InvalidDataBranch, InvalidGitBranch

#: The longest data branch that this package makes, in characters. lakeFS itself sets no limit.
MAX_LENGTH = 100

#: A legal lakeFS branch name: ``ReValidBranchID`` in its ``pkg/validator``, where ``\w`` is ASCII. Use ``fullmatch``.
LEGAL_BRANCH = re.compile(r"[0-9A-Za-z_][-0-9A-Za-z_]*", re.ASCII)

#: Words joined by single dashes or slashes; one dash may end it. Nothing else lets "--" stand for "/" and nothing more.
_PLAIN = re.compile(r"[0-9A-Za-z_]+(?:[-/][0-9A-Za-z_]+)*-?", re.ASCII)

#: lakeFS resolves up to 64 hex digits as a commit id or the prefix of one (``hashRegexp`` in ``pkg/graveler/ref``).
#: Longer ones are left alone as well: a limit of another project's may move.
_HEX = re.compile(r"[0-9A-Fa-f]+", re.ASCII)

#: Hex digits of SHA-256 kept: 80 bits. A million hashed branches collide with a probability below 1e-12.
_HASH_LENGTH = 20
_HASHED = re.compile(rf".*---[0-9a-f]{{{_HASH_LENGTH}}}", re.ASCII)

#: How the hidden branches of runs begin. No git branch gets such a name: no rule makes four dashes before a word, and
#: the settings may not name one.
RUN_BRANCH = "kedro----"
#: How the tag of a run begins; the run's id follows.
RUN_TAG = "kedro-"
#: How it begins where the id is no part of it.
HASHED_RUN_TAG = f"{RUN_TAG}id---"
#: How the tags begin that find runs by git commit.
GIT_TAG = "kedro-git-"
#: What follows the name of a data branch in the tags under which what it had stays when it is dropped.
UNTIL = "--until-"
#: A run id that can be a part of a tag as it is; any other is hashed, as is one that would look like a git tag.
_PLAIN_ID = re.compile(r"(?!git-|id---)(?!.*\.\.)[0-9A-Za-z_][-.0-9A-Za-z_]{0,198}(?<!\.)(?<!\.lock)", re.ASCII)

#: Branches that stay, and of which git may not know in a shallow clone.
USUAL_BRANCHES = ("main", "master", "trunk", "develop", "dev")

_NO_MAP: Mapping[str, str] = MappingProxyType({})


def data_branch(git_branch: str, explicit: Mapping[str, str] = _NO_MAP) -> str:
    """The lakeFS branch that holds the data of a git branch.

    Args:
        git_branch: The name without ``refs/heads/``.
        explicit: Data branches by git branch, from the settings, that go before the rules. Only a map that
            :func:`check_explicit` let pass keeps the promise that no two git branches share a data branch.

    Returns:
        A legal lakeFS name of at most 100 characters that cannot be taken for a commit id, unless ``explicit`` says
        otherwise.

    Raises:
        InvalidGitBranch: The name is empty, or ``HEAD``, which git itself refuses as the name of a branch.

    >>> data_branch("main"), data_branch("feature/foo_bar"), data_branch("release/1.2")
    ('main', 'feature--foo_bar', 'release-1-2---bacdc8a67e646f2ca475')
    """
    if git_branch in ("", "HEAD"):
        raise InvalidGitBranch(f"{git_branch!r} is no name of a git branch: rename it with `git branch -m <new name>`.")
    return explicit[git_branch] if git_branch in explicit else _by_rule(git_branch)


def check_explicit(explicit: Mapping[str, str]) -> None:
    """Refuse a map from the settings that would let two git branches share a data branch.

    The rules can be turned round, so each target is checked against every git branch there may ever be, not only
    against those that exist.

    Args:
        explicit: Data branches by git branch.

    Raises:
        InvalidGitBranch: A key is not the name of a git branch.
        InvalidDataBranch: A target is not legal in lakeFS, longer than 100 characters, ``HEAD``, or could be taken for
            a commit id or for a hashed name of rule 3.
        BranchCollision: A target is given twice, or is what another git branch, not in the map, gets by rule.
    """
    owners: dict[str, str] = {}
    for git_branch, target in explicit.items():
        if not isinstance(git_branch, str) or git_branch in ("", "HEAD"):
            raise InvalidGitBranch(f"{git_branch!r} in the branch map is no name of a git branch: put it in quotes.")
        _check_target(git_branch, target)
        if target in owners:
            raise BranchCollision(
                f"the git branches {owners[target]!r} and {git_branch!r} are both mapped to the data branch "
                f"{target!r}: give each its own."
            )
        owners[target] = git_branch
        for other in {target, target.replace("--", "/")} - explicit.keys():
            if _by_rule(other) == target:
                raise BranchCollision(
                    f"the data branch {target!r}, given to the git branch {git_branch!r}, is that of the git branch "
                    f"{other!r} too: map {other!r} as well, for example to '{target[: MAX_LENGTH - 6]}---git'."
                )


def _check_target(git_branch: str, target: object) -> None:
    """Refuse a target that is no usable data branch, whatever else is in the map."""
    if isinstance(target, str) and target == _by_rule(git_branch):
        return
    where = f"the data branch {target!r}, given to the git branch {git_branch!r},"
    if not isinstance(target, str) or not LEGAL_BRANCH.fullmatch(target) or len(target) > MAX_LENGTH:
        raise InvalidDataBranch(
            f"{where} is not a legal one: use letters, digits, '_' and, not in front, '-'; at most {MAX_LENGTH}."
        )
    if not is_data_branch(target) or _HASHED.fullmatch(target):
        raise InvalidDataBranch(f"{where} could be taken for a commit id, a hashed name or a run: choose another.")


def is_data_branch(name: str) -> bool:
    """Whether a name is legal in lakeFS, not too long, and not to be taken for a commit id, ``HEAD`` or a run."""
    legal = LEGAL_BRANCH.fullmatch(name) is not None and len(name) <= MAX_LENGTH
    return legal and name != "HEAD" and not _HEX.fullmatch(name) and not name.startswith(RUN_BRANCH)


def run_branch(run_id: str, began: str, token: str = "") -> str:
    """The hidden branch on which a run works.

    Args:
        run_id: Of the run.
        began: When it began, or another word that tells its kind.
        token: Eight hex digits that tell it from other runs of this id.

    >>> run_branch("2026-11-25T03.16.09.123Z", "20261125T031609Z")
    'kedro----20261125T031609Z--2026-11-25T03-16-09-123Z--dfcd8010'
    """
    return f"{RUN_BRANCH}{began}--{_slug(run_id)}--{id_digest(run_id)}{'-' * bool(token)}{token}"


def token_of(branch: str) -> str:
    """What tells the hidden branch of a run from those of other runs of its id; empty: nothing does."""
    found = re.fullmatch(r".*--[0-9a-f]{8}-([0-9a-f]{8})", branch)
    return found[1] if found else ""


def id_digest(run_id: str) -> str:
    """Eight hex digits by which the branch of a run is found."""
    return hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def run_tag(run_id: str) -> str:
    """The tag of a run.

    >>> run_tag("2026-11-25T03.16.09.123Z"), run_tag("my run")
    ('kedro-2026-11-25T03.16.09.123Z', 'kedro-id---my-run---d33e7609')
    """
    if _PLAIN_ID.fullmatch(run_id):
        return RUN_TAG + run_id
    return f"{HASHED_RUN_TAG}{_slug(run_id)}---{id_digest(run_id)}"


def beginnings_of_tags(run_id: str) -> tuple[str, str]:
    """How the tags of runs may begin whose ids begin in some way: of ids that are told, and of those that are hashed.

    >>> beginnings_of_tags("2026-11-25")
    ('kedro-2026-11-25', 'kedro-id---2026-11-25')
    """
    return RUN_TAG + run_id, f"{HASHED_RUN_TAG}{'' if (slug := _slug(run_id)) == 'run' else slug}"


def git_tag(
    commit: str, milliseconds: int, run_id: str, dirty: bool = False, only_read: bool = False, pinned: bool = False
) -> str:
    """The tag that finds a run by git commit; those of one commit and state sort by time (milliseconds since 1970)."""
    state = "-dirty" * dirty + "-at" * pinned + "-read" * only_read
    return f"{GIT_TAG}{commit}{state}--{milliseconds:013}--{run_tag(run_id).removeprefix(RUN_TAG)}"


def _slug(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z_]+", "-", text).strip("-")[:40].rstrip("-") or "run"


def _by_rule(git_branch: str) -> str:
    """The data branch by the three rules of the module's docstring."""
    joined = git_branch.replace("/", "--")
    if _PLAIN.fullmatch(git_branch) and not _HEX.fullmatch(git_branch) and len(joined) <= MAX_LENGTH:
        return joined
    # surrogatepass, because a name that is not UTF-8 reaches Python with surrogates, and must not fail here.
    digest = hashlib.sha256(git_branch.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    readable = re.sub(r"[^0-9A-Za-z_]+", "-", git_branch).strip("-") or "branch"
    return f"{readable[: MAX_LENGTH - 3 - _HASH_LENGTH].rstrip('-')}---{digest}"
