"""What others have changed meanwhile of that which a run wrote.

lakeFS merges what changed on each side. A run promises what it wrote, which need not be a change: it may have made the
bytes again that were there before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK
from kedro_statisfactory.runs.target import READ_AT, TOKEN, Target


def overlaps(target: Target, head: str) -> list[str]:
    """The paths of entries that the run wrote and that others have changed since, otherwise than the run.

    Args:
        target: A repository of the run, which is committed.
        head: The commit of the destination that is compared.
    """
    if head == (since := target.compared or target.base):
        return []
    changed = {path for path, _ in target.api.changes(target.repository, since, head)}
    if not (written := {path for path in changed if entries_at(target, [path])}):
        return []
    differ = {path for path, _ in target.api.changes(target.repository, head, target.commit)}
    return sorted(written & differ)


def stale_inputs(target: Target, head: str) -> list[str]:
    """The entries that the run read at its base, and that others have changed since without the run writing them.

    Args:
        target: A repository of the run, which is committed.
        head: The commit of the destination that is compared.
    """
    if head == (since := target.compared or target.base) or READ_AT in target.metadata:
        return []
    paths, prefix = {}, f"lakefs://{target.repository}/"
    for name, read in json.loads(target.metadata["kedro_inputs"]).items():
        is_here = read["url"].startswith(prefix) and "version" not in read
        # The parts of a run have begun one after the other, each with what was there of the run.
        if is_here and (target.parts or read.get("ref") == target.base):
            paths[name] = read["url"].removeprefix(prefix)
    if not paths:
        return []
    changed = [path for path, _ in target.api.changes(target.repository, since, head)]
    return [name for name, path in sorted(paths.items()) if any(is_at(each, path) for each in changed)]


def is_at(path: str, output: str) -> bool:
    """Whether a path, or the mark of a folder, belongs to the entry at a path."""
    plain = path.removeprefix(FOLDER_MARK)
    return plain == output or plain.startswith(f"{output}/")


def conflicts(target: Target, head: str) -> list[str]:
    """The same, and what has changed on both sides though it is of no entry; marks of folders included."""
    changes = target.api.changes(target.repository, head, target.run_branch, three_dot=True)
    return sorted({path for path, kind in changes if kind == "conflict"}.union(overlaps(target, head)))


def entries_at(target: Target, paths: Iterable[str]) -> list[str]:
    """The entries that the run wrote to which paths, or marks of folders, belong."""
    paths = list(paths)
    return sorted(name for name, output in _written(target).items() if any(is_at(path, output) for path in paths))


def in_folders(target: Target, paths: Iterable[str]) -> bool:
    """Whether some of the paths are of entries that are folders."""
    files = set(_written(target).values())
    return any(path not in files and entries_at(target, [path]) for path in paths)


def make_changes_of(target: Target, paths: Iterable[str]) -> None:
    """Let lakeFS see as changed what the run made again, so that its strategies of merging see it as the run's.

    Args:
        target: A repository of the run, which gets another commit there.
        paths: Of objects that the run wrote.
    """
    changed = {path for path, _ in target.api.changes(target.repository, target.base, target.commit)}
    if not (made_again := [path for path in paths if path not in changed]):
        return
    for path in made_again:
        stat = target.api.stat(target.repository, target.commit, path)
        stat = replace(stat, metadata={**stat.metadata, TOKEN: target.run_branch})
        target.api.stage(target.repository, target.run_branch, stat)
    run_id = target.metadata["kedro_run_id"]
    mark = {"kedro_run_id": run_id, TOKEN: target.metadata[TOKEN]}
    target.api.create_commit(target.repository, target.run_branch, f"kedro run {run_id}: kept", mark, allow_empty=True)


def _written(target: Target) -> dict[str, str]:
    """Paths by the names of entries."""
    return {name: each["path"] for name, each in json.loads(target.metadata["kedro_outputs"]).items()}
