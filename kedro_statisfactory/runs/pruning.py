"""What nobody needs any more: data branches whose git branch is gone, and tags of old runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from kedro_statisfactory.backends.lakefs.model import DATA_BRANCH, RUN_TOKEN, Commit, Ref
from kedro_statisfactory.backends.lakefs.runs_at import RunAt
from kedro_statisfactory.project import Project
from kedro_statisfactory.project.branches import (
    GIT_TAG,
    RUN_BRANCH,
    RUN_TAG,
    USUAL_BRANCHES,
    data_branch,
    run_tag,
    token_of,
)
from kedro_statisfactory.project.git import commit_named, ref_names, was_known
from kedro_statisfactory.runs.history import is_run
from kedro_statisfactory.runs.landing import has_uncommitted
from kedro_statisfactory.runs.leftovers import begun_on
from kedro_statisfactory.runs.past import Place
from kedro_statisfactory.runs.tags import tag_dropped

_TIME_OF_ID = re.compile(r"(\d{4}-\d\d-\d\dT\d\d)\.(\d\d)\.(\d\d)\.(\d{3})Z")  # as Kedro makes ids
_MOST_COMMITS = 50  # of a data branch, among which its newest run is looked for


@dataclass(frozen=True)
class Gone:
    """A data branch whose git branch this clone does not know.

    Attributes:
        name: Of the data branch.
        git_branch: That it belonged to.
        kept: Why it stays nevertheless; empty: nobody needs it.
        tagged: The commit of its newest run, where that is found by a tag; empty: it is not.
    """

    name: str
    git_branch: str
    kept: str = ""
    tagged: str = ""


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
        git_branch = newest.metadata.get("git_branch", "HEAD") if newest else "HEAD"
        # Where it is not the name by rule, the settings of another environment have given it.
        if newest is None or git_branch == "HEAD" or data_branch(git_branch, settings.branches) != ref.id:
            continue
        if any(name.endswith(f"/{git_branch}") for name in names):  # of a remote that has a slash in its name
            continue
        run = api.tag(repository, run_tag(newest.metadata["kedro_run_id"]))
        tagged = newest.id if run and run.commit_id == newest.id else ""
        yield Gone(ref.id, git_branch, _why_kept(place, project, ref, newest), tagged)


def _why_kept(place: Place, project: Project, ref: Ref, newest: Commit) -> str:
    """Why a data branch stays though this clone does not know its git branch; empty: nobody needs it."""
    api, repository = place[0].api, place[1]
    sha, git_branch = newest.metadata.get("git_commit_id", ""), newest.metadata["git_branch"]
    if not commit_named(project.path, sha):
        return "this clone does not have its code: it may be somebody else's (`git fetch` tells)"
    if not was_known(project.path, git_branch, sha):
        return "this clone never had it: it may be somebody else's, who has not pushed it yet"
    if has_uncommitted(api, repository, ref.id):
        return "it has changes that no commit has"
    if begun_on(api, repository, ref.id, ref.commit_id):
        return "a run that began there is at work or waits"
    return ""


def _newest_run(place: Place, ref: Ref) -> Commit | None:
    """The newest run that was made for a data branch; ``None``: it was made in another way."""
    log = itertools.islice(place[0].api.log(place[1], ref.commit_id, amount=_MOST_COMMITS), _MOST_COMMITS)
    return next((each for each in log if is_run(each) and each.metadata.get(DATA_BRANCH) == ref.id), None)


def drop_branch(place: Place, gone: Gone) -> str:
    """Drop a data branch; gives the tag under which what no run has made can still be found, or nothing."""
    api, repository = place[0].api, place[1]
    tag, head = "", api.branch(repository, gone.name).commit_id
    if head != gone.tagged:
        tag = tag_dropped(api, repository, gone.name, head)
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
            times[name] = run.milliseconds / 1000
    for name in tags.keys() - times.keys():
        if time := _time_of_id(name):
            times[name] = time
            continue
        commit = api.commit(repository, found[name])
        times[name] = commit.created
        if not _is_tag_of(commit, name):  # a name of somebody's own, which happens to begin like a run's
            commits.add(commit.id)
    newest_first = sorted(tags, key=lambda name: -times[name])
    spared = set(newest_first[: rule.keep or 0])
    if rule.older_than is not None:
        now = datetime.now(timezone.utc).timestamp()
        spared |= {name for name in tags if now - times[name] <= rule.older_than}
    return {name: tags[name] for name in newest_first if name not in spared and found[name] not in commits}


def _is_tag_of(commit: Commit, name: str) -> bool:
    """Whether the tag of a commit is the one by which its run is found."""
    run_id, token = commit.metadata.get("kedro_run_id", ""), token_of(commit.metadata.get(RUN_TOKEN, ""))
    return RUN_TAG + name in (run_tag(run_id), run_tag(f"{run_id}-{token}"))


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
