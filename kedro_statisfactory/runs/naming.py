"""Names of a user's own for runs: tags of lakeFS, by which entries are loaded and which ``prune`` leaves alone."""

from __future__ import annotations

import re

from kedro_statisfactory.errors import Conflict, ObjectNotFound, RunError
from kedro_statisfactory.project.branches import RUN_TAG, data_branch
from kedro_statisfactory.project.git import ref_names
from kedro_statisfactory.runs.past import PastRun, Share

# `kedro run --load-versions` divides at commas and colons; the rest is what git and lakeFS do not allow in a name.
_NOT_IN_NAMES = re.compile(r"[\x00-\x20\x7f/,:~^?*\[\\@]|\.\.|^[-.]|\.$|\.lock$")
_HEX = re.compile(r"[0-9A-Fa-f]+")


def name_run(run: PastRun, name: str) -> list[str]:
    """Give a run a name of its own in each repository that it wrote; gives these.

    Raises:
        RunError: Nobody could load by the name, or something else has it.
    """
    if not name or _NOT_IN_NAMES.search(name) or len(name.encode()) > 200:
        raise RunError(f"{name!r} is no name for a run: write letters and digits, with '-', '_' or '.' within.")
    if _HEX.fullmatch(name) or name.startswith(RUN_TAG):
        kind = "the id of a run" if name.startswith(RUN_TAG) else "a commit"
        raise RunError(f"{name!r} could be taken for {kind}: choose another name.")
    project = run.shares[0].place[0].project
    branches = {each for each in ref_names(project.path, ("heads", "remotes")) if each not in ("", "HEAD")}
    if name == "HEAD" or name in {data_branch(each, project.settings.branches) for each in branches}:
        # Such a tag would be read in place of it, and the branch could not be made beside it.
        raise RunError(f"{name!r} is the name of a branch, or means one: choose another name.")
    made: list[Share] = []
    try:
        for share in run.shares:
            if _name(share, name):
                made.append(share)
    except BaseException:  # an interrupt, too, leaves no run with a name in one of its repositories alone
        for share in made:
            share.place[0].api.delete_tag(share.repository, name)
        raise
    return [share.repository for share in run.shares]


def _name(share: Share, name: str) -> bool:
    """Make a tag; gives whether it was not there before."""
    api, repository = share.place[0].api, share.repository
    try:
        api.create_tag(repository, name, share.commit.id)
    except Conflict:
        there = api.tag(repository, name)
        if there is None or there.commit_id != share.commit.id:
            what = "a branch" if there is None else f"the tag of the commit {there.commit_id[:12]}"
            raise RunError(f"{name!r} is {what} in {repository!r} already: choose another name.") from None
        return False
    except ObjectNotFound:
        raise RunError(f"lakeFS does not allow the name {name!r}: choose another.") from None
    return True
