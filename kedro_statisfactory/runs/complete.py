"""What waits on the hidden branch of a run: its commits, read as one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from kedro_statisfactory.backends.lakefs import records
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import Commit
from kedro_statisfactory.backends.lakefs.records import RECORDS
from kedro_statisfactory.errors import RunError
from kedro_statisfactory.runs.leftovers import commits_on
from kedro_statisfactory.runs.target import ALL_SHAS, DATA_BRANCH, KEPT, NEW, PART, PART_ID, SAVED, Part, Target

# What is told of a run of several parts by what each of them says.
_JOINED_BY_COMMA = (
    "kedro_pipeline",
    "kedro_node_names",
    "kedro_tags",
    "kedro_parameters_sha256",
    "kedro_runtime_params",
    "git_diff_sha256",
    "git_patch",
    "git_patch_without",
    "kedro_nodes",
)


def read_waiting(api: LakeFSAPI, repository: str, name: str) -> Target | None:
    """What waits on the branch of a run; ``None``: nothing that is complete."""
    commits = commits_on(api, repository, name)
    complete = list(filter(records.tells_of_run, commits))
    if not complete:
        return None
    complete = [replace(each, metadata=records.metadata_of(api, repository, each)) for each in complete]
    try:
        metadata = _combined(complete)
        outputs = {entry: each["path"] for entry, each in json.loads(metadata["kedro_outputs"]).items()}
        target = Target(api, repository, metadata[DATA_BRANCH], outputs, name, commits[-1].parents[0])
        target.commit, target.metadata = complete[0].id, metadata
        target.is_new = any(NEW in each.metadata for each in (*commits, *complete))
        target.parts = [Part.of(commit) for commit in reversed(complete)]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise RunError(
            f"the commits on the branch {name!r} of {repository!r} do not tell of a run as this package does: another "
            "program has made them, or something on the way changes what the lakeFS server answers. Look at them in "
            "lakeFS, then finish or abort the run."
        ) from None
    return target


def has_nothing(target: Target) -> bool:
    """Whether no part of a run has written anything to a repository, as its branch knows best."""
    changes = target.api.changes(target.repository, target.base, target.run_branch)
    return not target.outputs and SAVED not in target.metadata and all(path.startswith(RECORDS) for path, _ in changes)


def _of_all(commits: Sequence[Commit], key: str) -> dict[str, object]:
    """What the processes of a run say of entries; where several tell of one entry, the last of them counts.

    Args:
        commits: Of the processes, newest first.
        key: Of their metadata.
    """
    found: dict[str, object] = {}
    for commit in reversed(commits):
        found.update(json.loads(commit.metadata.get(key, "{}")))
    return found


def _combined(commits: Sequence[Commit]) -> dict[str, str]:
    """What the processes of a run say, as if they were one; their commits are given newest first."""
    combined = {key: value for key, value in commits[0].metadata.items() if key not in (PART, PART_ID)}
    inputs, written, kept = (_of_all(commits, key) for key in ("kedro_inputs", "kedro_outputs", KEPT))
    saved = {name for commit in commits for name in json.loads(commit.metadata.get(SAVED, "[]"))}
    # What one process read and another one wrote, to lakeFS or elsewhere, is no input of the run, and what one process
    # left as it was and another one wrote was not kept.
    told = {"kedro_outputs": written}
    told |= {
        key: {name: each[name] for name in each if name not in written and name not in saved}
        for key, each in [("kedro_inputs", inputs), (KEPT, kept)]
    }
    combined |= {key: json.dumps(each, sort_keys=True) for key, each in told.items() if each or key in combined}
    if saved:
        combined[SAVED] = json.dumps(sorted(saved))
    for key in _JOINED_BY_COMMA:
        if values := list(dict.fromkeys(c.metadata[key] for c in reversed(commits) if key in c.metadata)):
            combined[key] = ", ".join(values)
    if any(commit.metadata.get("git_dirty") == "true" for commit in commits):
        combined["git_dirty"] = "true"
    shas = list(dict.fromkeys(c.metadata["git_commit_id"] for c in reversed(commits) if "git_commit_id" in c.metadata))
    if len(shas) > 1:
        combined[ALL_SHAS] = json.dumps(shas)
    combined["kedro_started"] = min(commit.metadata["kedro_started"] for commit in commits)
    if parts := [commit.metadata[PART_ID] for commit in reversed(commits) if PART_ID in commit.metadata]:
        combined["kedro_parts"] = json.dumps(parts)
    return combined
