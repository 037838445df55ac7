"""What nobody needs any more: data branches whose git branch is gone, and tags of old runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from kedro_statisfactory.backends.lakefs.model import DATA_BRANCH, Commit, Ref
from kedro_statisfactory.backends.lakefs.run_tags import RunAt
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import GIT_TAG, RUN_BRANCH, RUN_TAG, USUAL_BRANCHES, data_branch
from kedro_statisfactory.project.git import commit_named, ref_names
from kedro_statisfactory.runs.history import is_run
from kedro_statisfactory.runs.landing import has_uncommitted
from kedro_statisfactory.runs.past import Place

_TIME_OF_ID = re.compile(r"(\d{4}-\d\d-\d\dT\d\d)\.(\d\d)\.(\d\d)\.(\d{3})Z")  # as Kedro makes ids
_MOST_COMMITS = 50  # of a data branch, among which its newest run is looked for


@dataclass(frozen=True)
class Gone:
    """A data branch whose git branch this clone does not know.

    Attributes:
        name: Of the data branch.
        git_branch: That it belonged to.
        kept: Why it stays nevertheless; empty: nobody needs it.
        unnamed: Its last commit, where no tag of a run leads to it; empty: one does.
    """

    name: str
    git_branch: str
    kept: str = ""
    unnamed: str = ""


@dataclass(frozen=True)
class Rule:
    """Which runs keep their tags: those that one of these spares.

    Attributes:
        keep: So many of the newest; ``None``: none in particular.
        older_than: Those that are no older, in seconds; ``None``: none in particular.
    """

    keep: int | None = None
    older_than: float | None = None


def gone_branches(place: Place, project: Project) -> Iterator[Gone]:
    """The data branches in a repository that runs have made for git branches which are gone.

    The default branch, those that the settings name and those that no run has made are never among them.
    """
    backend, repository = place
    api, settings = backend.api, project.settings
    names = ref_names(project.path)
    if not names:  # git does not tell
        return
    known = {data_branch(name, settings.branches) for name in names if name not in ("", "HEAD")}
    known |= {*USUAL_BRANCHES, *settings.branches.values(), api.default_branch(repository)}
    known |= {name for name in (settings.branch, settings.source, project.read_head().branch) if name}
    for ref in list(api.branches(repository, "")):
        if ref.id in known or ref.id.startswith(RUN_BRANCH):
            continue
        newest = _newest_run(place, ref)
        if newest is None:
            continue
        git_branch = newest.metadata.get("git_branch", ref.id)
        kept = ""
        if not commit_named(project.path, newest.metadata.get("git_commit_id", "")):
            kept = "this clone does not have its code: it may be somebody else's (`git fetch` tells)"
        elif has_uncommitted(api, repository, ref.id):
            kept = "it has changes that no commit has"
        yield Gone(ref.id, git_branch, kept, "" if newest.id == ref.commit_id else ref.commit_id)


def _newest_run(place: Place, ref: Ref) -> Commit | None:
    """The newest run that was made for a data branch; ``None``: it was made in another way."""
    log = itertools.islice(place[0].api.log(place[1], ref.commit_id, amount=_MOST_COMMITS), _MOST_COMMITS)
    return next((each for each in log if is_run(each) and each.metadata.get(DATA_BRANCH) == ref.id), None)


def drop_branch(place: Place, gone: Gone) -> str:
    """Drop a data branch; gives the tag under which what no run has made can still be found, or nothing."""
    api, repository = place[0].api, place[1]
    tag = ""
    if gone.unnamed:
        tag = f"{gone.name}--until-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        api.create_tag(repository, tag, gone.unnamed)
    api.delete_branch(repository, gone.name)
    return tag


def old_tags(place: Place, rule: Rule) -> dict[str, list[str]]:
    """The tags of runs that a rule does not spare, by the names of runs in tags.

    Runs with a name of their own, and those at the end of a data branch, keep theirs.

    Args:
        place: The repository.
        rule: What it spares.
    """
    api, repository = place[0].api, place[1]
    commits = {ref.commit_id for ref in api.branches(repository, "")}
    tags: dict[str, list[str]] = {}
    times: dict[str, float] = {}
    found: dict[str, str] = {}
    for tag in api.tags(repository, ""):
        if not tag.id.startswith(RUN_TAG):
            commits.add(tag.commit_id)
            continue
        run = RunAt.of(tag) if tag.id.startswith(GIT_TAG) else None
        name = run.run_id if run else tag.id.removeprefix(RUN_TAG)
        tags.setdefault(name, []).append(tag.id)
        found[name] = tag.commit_id
        if run:
            times[name] = int(run.time.partition("-")[0]) / 1000
    for name in tags:
        if name not in times:
            times[name] = _time_of_id(name) or api.commit(repository, found[name]).created
    newest_first = sorted(tags, key=lambda name: -times[name])
    spared = set(newest_first[: rule.keep or 0])
    if rule.older_than is not None:
        now = datetime.now(timezone.utc).timestamp()
        spared |= {name for name in tags if now - times[name] <= rule.older_than}
    return {name: tags[name] for name in newest_first if name not in spared and found[name] not in commits}


def _time_of_id(name: str) -> float | None:
    """When a run began whose id Kedro has made."""
    found = _TIME_OF_ID.fullmatch(name)
    if found is None:
        return None
    return datetime.fromisoformat(f"{found[1]}:{found[2]}:{found[3]}.{found[4]}+00:00").timestamp()


def drop_tags(place: Place, tags: list[str]) -> None:
    """Drop the tags of a run."""
    for tag in tags:
        place[0].api.delete_tag(place[1], tag)
