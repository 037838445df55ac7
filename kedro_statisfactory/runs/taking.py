"""Letting an entry be on a branch what it is somewhere else in its repository, without moving bytes."""

from __future__ import annotations

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, Stat
from kedro_statisfactory.runs.overlaps import is_at


def take(api: LakeFSAPI, repository: str, branch: str, commit: str, path: str) -> list[Stat]:
    """Let an entry be on a branch what it is at a commit; gives its objects.

    Args:
        api: The server.
        repository: Where.
        branch: Where it is going to be.
        commit: Where it is.
        path: Of the entry.
    """
    wanted, there = _objects(api, repository, commit, path), _objects(api, repository, branch, path)
    for stat in wanted.values():
        if stat.path not in there or there[stat.path].address != stat.address:
            api.stage(repository, branch, stat)
    if gone := sorted(there.keys() - wanted.keys()):
        api.delete(repository, branch, gone)
    return [stat for stat in wanted.values() if not stat.path.startswith(FOLDER_MARK)]


def _objects(api: LakeFSAPI, repository: str, ref: str, path: str) -> dict[str, Stat]:
    """The objects of an entry, and the marks of its folders."""
    found = [*api.list(repository, ref, path), *api.list(repository, ref, FOLDER_MARK + path)]
    return {stat.path: stat for stat in found if is_at(stat.path, path)}
