"""Bringing the data of a git branch into that of another one, after git has merged the code."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import DATA_BRANCH, FOLDER_MARK
from kedro_statisfactory.errors import BranchNotFound, DirtyBranch, MergeConflict, NoChanges, RefNotFound, RunError
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import data_branch, run_branch
from kedro_statisfactory.project.git import ancestors, commit_named
from kedro_statisfactory.runs.history import History
from kedro_statisfactory.runs.landing import has_uncommitted
from kedro_statisfactory.runs.overlaps import is_at
from kedro_statisfactory.runs.past import Place
from kedro_statisfactory.runs.taking import take


@dataclass(frozen=True)
class Choice:
    """How conflicts are settled.

    Attributes:
        rest: ``ours``, ``theirs``, or nothing, for all entries that are not named.
        ours: Entries that stay as they are on the branch into which is merged.
        theirs: Entries that become what they are on the other.
    """

    rest: str = ""
    ours: frozenset[str] = frozenset()
    theirs: frozenset[str] = frozenset()

    def of(self, entry: str) -> str:
        """``ours``, ``theirs``, or nothing for an entry."""
        return "ours" if entry in self.ours else "theirs" if entry in self.theirs else self.rest


@dataclass
class Merge:
    """What is going to be merged, or was, in one repository.

    Attributes:
        place: The repository.
        source: The data branch of the git branch that is merged.
        target: That into which it is merged.
        theirs: The commit of the one, as it was looked at.
        ours: The commit of the other; where there is no such branch yet, that from which it is going to be made.
        is_new: Whether there is none.
        conflicts: Paths of the entries that both have changed, by their names.
        paths: What the merge brings.
        commit: By which it was done; empty: there was nothing to do.
    """

    place: Place
    source: str
    target: str
    theirs: str
    ours: str = ""
    is_new: bool = False
    conflicts: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    commit: str = ""


def merge(
    history: History, branch: str, choice: Choice, entries: Mapping[tuple[str, str], str], force: bool = False
) -> list[Merge]:
    """Bring the data of a git branch into that of the git branch that is checked out.

    Args:
        history: Of the repositories.
        branch: The git branch.
        choice: How conflicts are settled.
        entries: Names of the entries of the catalog, by repository and path.
        force: Whether git need not have merged the branch.

    Raises:
        RefNotFound: The branch has no data anywhere.
        RunError: git has not merged it, or it is the one that is checked out.
        DirtyBranch: One of the data branches has uncommitted changes.
        MergeConflict: Both have changed the same entries, and nobody says which are to be taken.
    """
    project = history.project
    source, target = data_branch(branch, project.settings.branches), project.branch()
    if source == target:
        raise RunError(f"{branch!r} is the branch that is checked out: name another one.")
    merges = [
        Merge(place, source, target, commit)
        for place in history.places
        if (commit := _head_of(place[0].api, place[1], source))
    ]
    if not merges:
        raise RefNotFound(f"the git branch {branch!r} has no data: no run was made there.")
    if not force:
        _refuse_unmerged(history, project, branch, merges)
    for each in merges:
        _look(each, {path: name for (where, path), name in entries.items() if where == each.place[1]}, history)
    _refuse_unknown(choice, {*entries.values(), *(name for each in merges for name in each.conflicts)})
    unsettled = sorted({name for each in merges for name in each.conflicts if not choice.of(name)})
    if unsettled:
        here = project.read_head().branch or target
        raise MergeConflict(
            f"{here!r} and {branch!r} have both changed {', '.join(unsettled)}: settle that by `--ours` or "
            "`--theirs` for all, or `--ours-of ENTRY` and `--theirs-of ENTRY`."
        )
    for each in merges:
        if each.paths:
            each.commit = _merge(each, choice, _facts(project, branch, target))
    return merges


def _refuse_unknown(choice: Choice, names: set[str]) -> None:
    """See that a choice speaks of entries that there are, and says one thing of each: what is misspelt settles nothing.

    Raises:
        RunError: It does not.
    """
    if unknown := sorted((choice.ours | choice.theirs) - names):
        raise RunError(f"there is no entry {', '.join(map(repr, unknown))}: correct `--ours-of` and `--theirs-of`.")
    if both := sorted(choice.ours & choice.theirs):
        raise RunError(f"`--ours-of` and `--theirs-of` both name {', '.join(map(repr, both))}: choose one.")


def _head_of(api: LakeFSAPI, repository: str, branch: str) -> str:
    """The last commit of a branch; empty: there is no such branch."""
    with contextlib.suppress(BranchNotFound):
        return api.branch(repository, branch).commit_id
    return ""


def _refuse_unmerged(history: History, project: Project, branch: str, merges: Sequence[Merge]) -> None:
    """See that git has merged a branch, and the code that made the data, which others may have made of newer code."""
    head = project.read_head().commit
    tip = commit_named(project.path, f"refs/heads/{branch}") or commit_named(
        project.path, f"refs/remotes/origin/{branch}"
    )
    lasts = [history.last_at(each.place, each.theirs) for each in merges]
    shas = {last.metadata["git_commit_id"] for last in lasts if last and "git_commit_id" in last.metadata}
    shas |= {tip} if tip else set()
    if head is None or not shas or not shas.issubset(ancestors(project.path, head)):
        raise RunError(
            f"git has not merged {branch!r} into what is checked out: `git merge {branch}` first, or say --force where "
            "it was merged in another way (squashed, rebased)."
        )


def _look(merge: Merge, entries: Mapping[str, str], history: History) -> None:
    """Find out what a merge brings, and in what it conflicts."""
    api, repository = merge.place[0].api, merge.place[1]
    merge.ours = _head_of(api, repository, merge.target)
    if not merge.ours:
        merge.is_new, merge.ours = True, api.commit(repository, merge.place[0].refs.source(repository)).id
    for branch in (merge.source,) if merge.is_new else (merge.target, merge.source):
        if has_uncommitted(api, repository, branch):
            raise DirtyBranch(
                f"the data branch {branch!r} of {repository!r} has changes that no commit has: commit or drop them in "
                "lakeFS first (the next `kedro run` there commits them)."
            )
    known = dict(entries)
    for ref in (merge.ours, merge.theirs):
        if last := history.last_at(merge.place, ref):
            known.update({output.path: output.entry for output in last.outputs})
    for path, kind in api.changes(repository, merge.ours, merge.theirs, three_dot=True):
        merge.paths.append(path)
        if kind == "conflict":
            plain = path.removeprefix(FOLDER_MARK)
            found = max((each for each in known if is_at(plain, each)), key=len, default=plain)
            merge.conflicts[known.get(found, found)] = found


def _facts(project: Project, branch: str, target: str) -> dict[str, str]:
    head = project.read_head()
    facts = {DATA_BRANCH: target, "kedro_merged_branch": branch}
    if head.branch is not None and head.commit is not None:
        facts |= {"git_branch": head.branch, "git_commit_id": head.commit}
    return facts


def _merge(merge: Merge, choice: Choice, facts: Mapping[str, str]) -> str:
    """Merge as one commit with both parents; gives its id."""
    api, repository = merge.place[0].api, merge.place[1]
    message = f"Merge the data of {facts['kedro_merged_branch']}"
    if merge.is_new:
        merge.place[0]._create_branch(merge.target, repository=repository)
    # What others have committed since it was looked at does not come, nor is it lost: lakeFS finds what conflicts.
    if not merge.conflicts:
        return api.merge(repository, merge.theirs, merge.target, message, facts, None, squash=False)
    # lakeFS settles object by object, which would mix those of a folder: what is taken is put together out of sight.
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    hidden = f"{run_branch(f'merge of {merge.source}', began)}-{secrets.token_hex(4)}"
    api.create_branch(repository, hidden, merge.theirs, hidden=True)
    try:
        api.merge(repository, merge.ours, hidden, f"{message}: settled", {}, "dest-wins", squash=False)
        for name, path in merge.conflicts.items():
            take(api, repository, hidden, merge.ours if choice.of(name) == "ours" else merge.theirs, path)
        with contextlib.suppress(NoChanges):
            api.create_commit(repository, hidden, f"{message}: settled", {})
        told = {
            f"kedro_{side}": ", ".join(n for n in merge.conflicts if choice.of(n) == side)
            for side in ("ours", "theirs")
        }
        metadata = {**facts, **{key: value for key, value in told.items() if value}}
        return api.merge(repository, hidden, merge.target, message, metadata, None, squash=False)
    finally:
        api.delete_branch(repository, hidden)
