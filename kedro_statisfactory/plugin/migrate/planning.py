"""What is going to be changed: worked out in memory, and proved before a file is touched."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from kedro_statisfactory.backends import Backend
from kedro_statisfactory.location import parse
from kedro_statisfactory.plugin.migrate.catalogs import CatalogFile, Catalogs, Entries
from kedro_statisfactory.plugin.migrate.document import (
    CannotEdit,
    Document,
    Pair,
    has_format,
    is_mapping,
    pairs,
)
from kedro_statisfactory.plugin.migrate.editing import Changes, edit
from kedro_statisfactory.plugin.migrate.judging import Stays, Verdict, judge, moved
from kedro_statisfactory.session import Session

_VERSIONS = "each run is a version there, and versions in folders stay where they are"
_CREDENTIALS = "its `credentials` are kept: name those of the new place, where these are others"
# An entry of one environment.
_Key = tuple[str, str]


@dataclass(frozen=True)
class Group:
    """Entries of one file that share lines: all of them are edited or none.

    Attributes:
        file: In which they are.
        names: Of the entries.
        moved: Of those whose format becomes their ``dataset``.
        relocated: Of those that live elsewhere from now on.
    """

    file: CatalogFile
    names: tuple[str, ...]
    moved: tuple[str, ...]
    relocated: tuple[str, ...]


@dataclass
class Plan:
    """What is going to be changed.

    Attributes:
        texts: What files are going to hold, of those that change.
        groups: The entries that change.
        before: The catalogs as they are, resolved, by environments.
        after: The same as they are going to be.
        relocated: Names of the entries that are going to live elsewhere, by environments.
        left: Names of entries that stay as they are, by file and reason.
        notes: What else there is to say of entries, likewise.
    """

    before: dict[str, Entries]
    after: dict[str, Entries]
    relocated: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    left: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)


class Planner:
    """Works out a plan.

    Args:
        catalogs: Of the project.
        root: Where entries shall live; empty: where they are.
        environment: Whose files are edited; ``None``: all.

    Raises:
        click.ClickException: A catalog cannot be resolved as it is.
    """

    def __init__(self, catalogs: Catalogs, root: str = "", environment: str | None = None) -> None:
        self._catalogs, self._root = catalogs, root
        try:
            before = catalogs.resolved({})
        except ValueError as error:
            raise click.ClickException(f"nothing is changed, because {error}") from error
        self.plan = Plan(before, before)
        self._files = [file for file in catalogs.files if environment is None or file.environment == environment]
        self._documents = {file.path: Document(file.text) for file in catalogs.files if file.path.suffix != ".json"}
        self._defined = {
            environment: {
                name for file in catalogs.files if file.environment == environment for name in self._names(file)
            }
            for environment in catalogs.environments
        }
        self._verdicts: dict[_Key, Verdict] = {}

    def work_out(self) -> Plan:
        """The plan, of which it is proved that each entry becomes what it shall be, and that no other one changes."""
        groups = self._chosen([], [group for file in self._files for group in self._groups_in(file)])
        texts, _ = self._tried(groups)
        assert texts is not None  # it was proved with these groups
        self.plan.texts = texts
        self.plan.groups = groups
        self.plan.after = self._catalogs.resolved(texts)
        places = {(group.file.environment, name) for group in groups for name in group.relocated}
        for each, entries in self.plan.before.items():
            self.plan.relocated[each] = [name for name in entries if (self._defines(each, name), name) in places]
        self._note(groups)
        return self.plan

    # -- which entries -----------------------------------------------------------------------------------------------

    def _names(self, file: CatalogFile) -> list[str]:
        document = self._documents.get(file.path)
        if document is None:
            import json

            return list(json.loads(file.text))
        return [name for name in document.entries if not name.startswith("_")]

    def _runs_with(self, file: CatalogFile, name: str) -> list[str]:
        """The environments in which one reads an entry of a file."""
        if file.environment != self._catalogs.base:
            return [each for each in self._catalogs.runs if each == file.environment]
        return [each for each in self._catalogs.runs if self._defines(each, name) == self._catalogs.base]

    def _defines(self, environment: str, name: str) -> str:
        """The environment that says what an entry is, for those who run in another one."""
        return environment if name in self._defined.get(environment, ()) else self._catalogs.base

    def _judged(self, file: CatalogFile, name: str) -> Verdict:
        """What becomes of an entry of a file, which is the same wherever one runs."""
        if file.path.suffix == ".json":
            raise Stays("it is in a JSON file: make that a YAML file first")
        if not is_mapping(self._documents[file.path].entries[name]):
            raise Stays("it has no lines of its own")
        if self._catalogs.is_soft and sum(name in names for names in self._defined.values()) > 1:
            raise Stays("several environments say something of it, which are merged softly: move it by hand")
        found = []
        for environment in self._runs_with(file, name):
            found.append(judge(self.plan.before[environment][name], self._root))
        if not found:
            raise Stays("each environment has another entry of this name in its place")
        why_there = next((verdict.why_there for verdict in found if verdict.why_there), "")
        if not why_there and len({verdict.is_relocated for verdict in found}) > 1:
            why_there = "it stays where it is, which is another place in each environment"
        if why_there:  # one place that cannot change keeps the others
            found = [judge(self.plan.before[each][name], "") for each in self._runs_with(file, name)]
        return dataclasses.replace(found[0], why_there=why_there)

    # -- which of them together --------------------------------------------------------------------------------------

    def _groups_in(self, file: CatalogFile) -> Iterator[Group]:
        verdicts: dict[str, Verdict] = {}
        stays: dict[str, str] = {}
        for name in self._names(file):
            try:
                verdicts[name] = self._judged(file, name)
                self._verdicts[file.environment, name] = verdicts[name]
            except Stays as error:
                stays[name] = str(error)
                self._leave(file, [name], str(error))
        document = self._documents.get(file.path)
        for names in _sharing(document, [*verdicts, *stays], bool(self._root)) if document else ():
            kept = [name for name in names if name in stays]
            can = tuple(name for name in names if name in verdicts)
            if kept and can:
                self._leave(file, can, f"it shares lines with {', '.join(kept)}, which cannot move")
            elif can:
                new = tuple(name for name in can if verdicts[name].is_moved)
                relocated = tuple(name for name in can if verdicts[name].is_relocated)
                yield Group(file, can, new, relocated)

    def _leave(self, file: CatalogFile, names: Iterable[str], why: str) -> None:
        self.plan.left.setdefault((file.name, why), []).extend(names)

    def _note(self, groups: Iterable[Group]) -> None:
        for group in groups:
            for name in group.names:
                verdict = self._verdicts[group.file.environment, name]
                is_new = verdict.is_relocated and verdict.config.get("versioned") and _keeps_versions(self._root)
                untried = verdict.unchecked and f"it is moved untried, since {verdict.unchecked}"
                has_keys = verdict.is_relocated and verdict.config.get("credentials")
                notes = (verdict.why_there, untried, _VERSIONS if is_new else "", _CREDENTIALS if has_keys else "")
                for text in notes:
                    if text:
                        self.plan.notes.setdefault((group.file.name, text), []).append(name)

    # -- the proof ---------------------------------------------------------------------------------------------------

    def _chosen(self, chosen: list[Group], groups: list[Group]) -> list[Group]:
        """The groups that are chosen already, and those of the others that can be edited beside them."""
        texts, why = self._tried([*chosen, *groups])
        if texts is not None:
            return [*chosen, *groups]
        if len(groups) == 1:
            self._leave(groups[0].file, groups[0].names, why)
            return chosen
        half = len(groups) // 2
        return self._chosen(self._chosen(chosen, groups[:half]), groups[half:])

    def _tried(self, groups: Collection[Group]) -> tuple[dict[Path, str] | None, str]:
        """The texts with these entries edited; or why that is not what it shall be."""
        texts: dict[Path, str] = {}
        try:
            for file in self._files:
                of_file = [group for group in groups if group.file is file]
                if of_file:
                    new = tuple(name for group in of_file for name in group.moved)
                    relocated = tuple(name for group in of_file for name in group.relocated)
                    texts[file.path] = edit(file.text, Changes(new, relocated, self._root))
            after = self._catalogs.resolved(texts)
        except CannotEdit as error:
            return None, str(error)
        except ValueError as error:
            return None, f"when it is moved, {error}"
        wrong = list(self._wrong(after, {(group.file.environment, name) for group in groups for name in group.names}))
        if wrong:
            names = ", ".join(sorted(set(wrong) - set(list(groups)[-1].names)))
            if not names:
                return None, "its path or its type is written in a way that is not edited: move it by hand"
            return None, f"by an alias or an interpolation, moving it would change {names} as well"
        return texts, ""

    def _wrong(self, after: Mapping[str, Entries], chosen: Collection[_Key]) -> Iterator[str]:
        """Names of entries that are not what they shall be."""
        for environment, before in self.plan.before.items():
            for name, config in before.items():
                place = self._defines(environment, name)
                if (place, name) in chosen:
                    allowed = self._moved(config, self._root if self._verdicts[place, name].is_relocated else "")
                elif self._has_lines(place, name):
                    allowed = [config]
                else:  # it is `${another}`, and follows that
                    allowed = [config, *self._moved(config, self._root), *self._moved(config, "")]
                if _plain(after[environment].get(name)) not in map(_plain, allowed):
                    yield name

    def _has_lines(self, environment: str, name: str) -> bool:
        files = [file for file in self._catalogs.files if file.environment == environment]
        documents = [self._documents[file.path] for file in files if file.path in self._documents]
        return any(is_mapping(document.entries.get(name)) for document in documents)

    def _moved(self, config: Any, root: str) -> list[Any]:
        """What becomes of an entry, if it moves."""
        try:
            return [moved(config, root).config]
        except Stays:
            return []


def _keeps_versions(root: str) -> bool:
    """Whether it is the service that keeps versions there."""
    kind = Backend.registered(parse(f"{root}/x").scheme)
    return kind(Session()).version_options("") is not None


def _plain(config: Any) -> Any:
    """An entry of which a ``dataset`` that is a text is written as a mapping."""
    if isinstance(config, Mapping) and isinstance(config.get("dataset"), str):
        return {**config, "dataset": {"type": config["dataset"]}}
    return config


def _sharing(document: Document, names: Iterable[str], by_path: bool) -> Iterator[list[str]]:
    """Entries that share mappings which would be edited."""
    groups: list[tuple[set[int], list[str]]] = []
    for name in names:
        nodes = {id(node) for node in document.levels(name) if _is_edited(node, by_path)}
        joined = [group for group in groups if group[0] & nodes]
        groups = [group for group in groups if not group[0] & nodes]
        groups.append(
            (nodes.union(*(group[0] for group in joined)), [n for group in joined for n in group[1]] + [name])
        )
    yield from (found for _, found in groups)


def _is_edited(node: Any, by_path: bool) -> bool:
    def touched(pair: Pair) -> bool:
        return by_path and pair.key == "filepath"

    return has_format(node) or any(touched(pair) for pair in pairs(node))
