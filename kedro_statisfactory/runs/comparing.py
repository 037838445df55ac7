"""What differs between two states of the data, and what explains it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, Difference
from kedro_statisfactory.errors import RunError
from kedro_statisfactory.runs.history import State
from kedro_statisfactory.runs.past import PastRun, Place

#: Facts of runs that explain what differs, and how people call them.
_CIRCUMSTANCES = {
    "kedro_pipeline": "pipeline",
    "kedro_env": "environment",
    "kedro_version": "Kedro",
    "kedro_statisfactory_version": "kedro-statisfactory",
    "kedro_node_names": "nodes",
    "kedro_tags": "tags",
}


@dataclass(frozen=True)
class Change:
    """An entry, or an object of no entry, that differs.

    Attributes:
        entry: Its name; empty: no entry that is known is there.
        repository: Where.
        path: Where in the repository.
        kind: ``added``, ``removed`` or ``changed``.
        objects: How many objects differ; more than one, or another path than the entry's, is in a folder.
        is_folder: Whether the entry is a folder.
        sizes: In bytes, of the objects that differ, before and after; ``None``: there are none.
        checksums: Before and after, of an object; empty: there is none.
    """

    entry: str
    repository: str
    path: str
    kind: str
    objects: int
    is_folder: bool
    sizes: tuple[int | None, int | None]
    checksums: tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """What differs between two states.

    Attributes:
        before: The one.
        after: The other.
        changes: By entry.
        reasons: What explains it: names of facts, and what each was before and after.
        places: Where both have been looked at, with the commits of both.
    """

    before: State
    after: State
    changes: list[Change]
    reasons: list[tuple[str, Any, Any]]
    places: list[tuple[Place, str, str]] = field(default_factory=list)


def compare(before: State, after: State, entries: Mapping[tuple[str, str], str]) -> Comparison:
    """Compare two states in the repositories that both have.

    Args:
        before: The one.
        after: The other.
        entries: Names of the entries of the catalog, by repository and path.

    Raises:
        RunError: They have no repository in common.
    """
    others = {(place[0].api.host, place[1]): commit for place, commit in after.commits}
    places = [
        (place, commit, others[key])
        for place, commit in before.commits
        if (key := (place[0].api.host, place[1])) in others
    ]
    if not places:
        raise RunError(f"{before.name!r} and {after.name!r} have no repository in common.")
    known = dict(entries)
    for state in (before, after):
        for output in state.run.outputs if state.run else ():
            known[output.repository, output.path] = output.entry
    changes: list[Change] = []
    for (backend, repository), left, right in places:
        if left != right:
            paths = {path: name for (where, path), name in known.items() if where == repository}
            changes += _changes(backend.api, repository, left, right, paths)
    reasons = explain(before.run, after.run) if before.run and after.run else []
    return Comparison(before, after, changes, reasons, places)


def _changes(api: LakeFSAPI, repository: str, left: str, right: str, entries: Mapping[str, str]) -> list[Change]:
    found = [each for each in api.differences(repository, left, right) if not each.path.startswith(FOLDER_MARK)]
    if not found:
        return []
    old: dict[str, Difference] = {}
    if any(each.kind != "added" for each in found):
        old = {each.path: each for each in api.differences(repository, right, left) if each.kind != "removed"}
    groups: dict[str, list[Difference]] = {}
    for each in found:
        groups.setdefault(_entry_of(each.path, entries), []).append(each)
    return [_change(repository, path, entries.get(path, ""), group, old) for path, group in sorted(groups.items())]


def _entry_of(path: str, entries: Iterable[str]) -> str:
    """The longest path of an entry to which an object belongs; its own path, where there is none."""
    return max((each for each in entries if path == each or path.startswith(f"{each}/")), key=len, default=path)


def _change(
    repository: str, path: str, entry: str, group: Sequence[Difference], old: Mapping[str, Difference]
) -> Change:
    is_folder = any(each.path != path for each in group)
    kinds = {each.kind for each in group}
    after = [each for each in group if each.kind != "removed"]
    before = [old[each.path] for each in group if each.path in old]
    return Change(
        entry,
        repository,
        path,
        kinds.pop() if len(kinds) == 1 else "changed",
        len(group),
        is_folder,
        (sum(each.size for each in before) if before else None, sum(each.size for each in after) if after else None),
        ("", "") if is_folder else (before[0].checksum if before else "", after[0].checksum if after else ""),
    )


def explain(before: PastRun, after: PastRun) -> list[tuple[str, Any, Any]]:
    """What was different about two runs: code, parameters, inputs, and the rest."""
    found: list[tuple[str, Any, Any]] = []
    codes = _code(before), _code(after)
    if codes[0] != codes[1]:
        found.append(("code", codes[0], codes[1]))
    old, new = flat(before.parameters), flat(after.parameters)
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    found += [(f"parameter {key}", old.get(key), new.get(key)) for key in changed]
    digests = [run.facts.get("kedro_parameters_sha256", "") for run in (before, after)]
    if not changed and digests[0] != digests[1]:  # what differs may be a secret, which is not told
        found.append(("parameters", digests[0][:12], digests[1][:12]))
    for name in sorted(before.inputs.keys() | after.inputs.keys()):
        seen = [_seen(run.inputs.get(name, {})) for run in (before, after)]
        if seen[0] != seen[1]:
            found.append((f"input {name}", seen[0], seen[1]))
    for key, name in _CIRCUMSTANCES.items():
        facts = before.facts.get(key), after.facts.get(key)
        if facts[0] != facts[1]:
            found.append((name, facts[0], facts[1]))
    return found


def _code(run: PastRun) -> str:
    """What tells the code of a run from another."""
    changes = run.facts.get("git_diff_sha256", "")
    return ", ".join(run.git_commits) + (f" with changes {changes[:12]}" if run.is_dirty else "")


def _seen(read: Mapping[str, str]) -> str:
    """What tells what an input held."""
    return read.get("checksum") or read.get("version") or read.get("modified") or read.get("ref", "")


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by their names with dots.

    >>> flat({"model": {"depth": 3}, "seed": 1})
    {'model.depth': 3, 'seed': 1}
    """
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found.update(flat(item, f"{name}.{key}" if name else str(key)))
    return found
