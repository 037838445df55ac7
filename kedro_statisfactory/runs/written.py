"""What a run wrote to a repository: its journal tells most of it, and its branch the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from kedro_statisfactory.backends.lakefs.marks import mark_of, marks_of
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.project import Project
from kedro_statisfactory.runs.overlaps import is_at
from kedro_statisfactory.runs.target import Target


def journal_of(project: Project) -> Mapping[tuple[str, str], Mapping[str, str]] | None:
    """What the processes of a run have noted of what they wrote to lakeFS; ``None``: their notes are gone."""
    try:
        return project.written()
    except (OSError, ValueError):  # a cleaner of temporary files was here, or a writer was killed
        return None


def saved_elsewhere(project: Project) -> list[str]:
    """Names of the entries that the processes of a run have written outside of lakeFS, as far as that is known."""
    try:
        return sorted(name for name, held in project.saved().items() if held != {})
    except (OSError, ValueError):
        return []


def find_outputs(target: Target, journal: Mapping[str, str] | None) -> bool:
    """Find out which entries were written to a repository; gives whether anything may have been.

    A process on another host cannot write the journal of the run. So the branch is asked, where the journal names fewer
    entries than the pipeline has: it tells of what has changed and, by marks, of what was made again as it was.

    Args:
        target: The repository; gets what was found.
        journal: Checksums by path; ``None``: the journal is gone, and a run that succeeded has written all of it.
    """
    is_lost = journal is None
    target.written = {} if journal is None else _described(target.outputs, journal)
    if len(target.written) == len(target.outputs):
        return True
    try:
        changed = _ask_branch(target)
    except StatisfactoryError:  # the commit, which comes next, says what is wrong
        changed = None
    if is_lost:
        target.written = {**{name: {"path": path} for name, path in target.outputs.items()}, **target.written}
    # On a data branch there may be what others have changed meanwhile; on a hidden one all is the run's.
    return bool(target.written or changed is None or (changed and target.run_branch))


def _ask_branch(target: Target) -> list[str]:
    """Add what the branch tells of the entries that are missing, and drop the marks; gives what has changed there."""
    api, repository, branch = target.api, target.repository, target.run_branch or target.data_branch
    uncommitted = list(api.uncommitted(repository, branch))
    marks = {path for path in uncommitted if path.startswith(marks_of(branch))}
    changed = [path for path in uncommitted if path not in marks]
    for name, path in target.outputs.items():
        if name not in target.written and (
            mark_of(branch, path) in marks or any(is_at(each, path) for each in changed)
        ):
            found = {stat.path: stat.checksum for stat in api.list(repository, branch, path)}
            target.written.update(_described({name: path}, found) or {name: {"path": path}})
    if marks:
        api.delete(repository, branch, sorted(marks))
    return changed


def _described(paths: Mapping[str, str], written: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Path and checksum of each entry that was written; for a folder, a checksum over those of its objects."""
    found: dict[str, dict[str, str]] = {}
    for name, path in paths.items():
        if path in written:
            found[name] = {"path": path, "checksum": written[path]}
            continue
        below = sorted((each, checksum) for each, checksum in written.items() if each.startswith(f"{path}/"))
        if below:
            digest = hashlib.sha256(json.dumps(below).encode()).hexdigest()
            found[name] = {"path": path, "checksum": f"sha256:{digest}", "objects": str(len(below))}
    return found
