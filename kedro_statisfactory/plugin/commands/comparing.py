"""``diff``: what differs between two runs, branches or git commits, and what explains it."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kedro_statisfactory.plugin.commands.output import (
    NO,
    answers,
    env_option,
    json_option,
    plain,
    print_json,
    show,
    size_of,
    table,
    words,
)
from kedro_statisfactory.plugin.places import entries_of, repositories_of

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata
    from rich.console import RenderableType

    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.runs.comparing import Change, Comparison

_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@env_option
@json_option
@click.option("--data", is_flag=True, help="Load both, and compare tables, texts and JSON.")
@click.pass_context
@answers
def diff(context: click.Context, before: str, after: str | None, env: str | None, as_json: bool, data: bool) -> None:
    """Show which entries differ between A and B, and why: two runs, branches or git commits.

    B is what is on the data branch now, where it is left out. The exit status is 1 where something differs.
    """
    from kedro_statisfactory.runs.comparing import compare
    from kedro_statisfactory.runs.history import History

    metadata: ProjectMetadata = context.obj
    entries = entries_of(metadata, env)
    places = repositories_of(entries)
    if not places:
        raise click.ClickException("no entry of the catalog is in lakeFS: check --env.")
    history = History(places)
    ours = _by_path(entries)
    found = compare(history.state(before), history.state(after), names_by_path(entries))
    contents = _contents(found, ours) if data else {}
    if as_json:
        print_json(_as_json(found, contents))
    else:
        show(*_shown(found, contents))
    if found.changes:
        context.exit(NO)


def _by_path(entries: list[tuple[str, ArtifactDataset]]) -> dict[tuple[str, str], tuple[str, ArtifactDataset]]:
    """Entries in lakeFS by repository and path; the first where several have one."""
    from kedro_statisfactory.backends import LakeFSBackend

    found: dict[tuple[str, str], tuple[str, ArtifactDataset]] = {}
    for name, entry in entries:
        if isinstance(entry.backend, LakeFSBackend):
            found.setdefault(entry.backend.split(entry.location), (name, entry))
    return found


def names_by_path(entries: list[tuple[str, ArtifactDataset]]) -> dict[tuple[str, str], str]:
    """Names of entries in lakeFS by repository and path."""
    return {key: name for key, (name, _) in _by_path(entries).items()}


def _contents(
    found: Comparison, entries: dict[tuple[str, str], tuple[str, ArtifactDataset]]
) -> dict[tuple[str, str], list[str]]:
    """What differs in what was loaded, by repository and path."""
    from kedro.io import DatasetError

    from kedro_statisfactory.runs.contents import differences

    commits = {place[1]: (left, right) for place, left, right in found.places}
    told: dict[tuple[str, str], list[str]] = {}
    for change in found.changes:
        key = (change.repository, change.path)
        if change.kind != "changed":
            continue
        if key not in entries:
            told[key] = ["no entry of the catalog says how to load it"]
            continue
        entry = entries[key][1]
        try:
            both = [_at(entry, commit).load() for commit in commits[change.repository]]
            told[key] = differences(*both) or ["the same data, in other bytes"]
        except (DatasetError, ImportError) as error:
            told[key] = [f"it cannot be loaded: {error}"]
    return told


def _at(entry: ArtifactDataset, commit: str) -> ArtifactDataset:
    """An entry as it was at a commit."""
    arguments: dict[str, Any] = dict(entry._init_args)
    arguments.update(load_args={**(arguments["load_args"] or {}), "lake_ref": commit}, version=None)
    return type(entry)(**arguments)


def _as_json(found: Comparison, contents: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    return {
        "before": {"name": found.before.name, "run": found.before.run.id if found.before.run else None},
        "after": {"name": found.after.name, "run": found.after.run.id if found.after.run else None},
        "changes": [{**asdict(each), "data": contents.get((each.repository, each.path))} for each in found.changes],
        "reasons": [{"what": what, "before": old, "after": new} for what, old, new in found.reasons],
    }


def _shown(found: Comparison, contents: dict[tuple[str, str], list[str]]) -> list[RenderableType]:
    parts: list[RenderableType] = [
        words(f"{_name(found.before.name, found.before.run)} -> {_name(found.after.name, found.after.run)}"),
        "",
    ]
    if not found.changes:
        parts.append("Nothing differs.")
    else:
        rows = [
            (each.entry or each.path, words(each.kind, _STYLES[each.kind]), _sizes(each), _checksums(each))
            for each in found.changes
        ]
        parts.append(table(["entry", "", "size", "checksum"], rows))
    for each in found.changes:
        if lines := contents.get((each.repository, each.path)):
            parts += ["", words(each.entry or each.path, "bold"), *(words(f"  {line}") for line in lines)]
    if found.reasons:
        reasons = [(what, *(_told(value, what) for value in (old, new))) for what, old, new in found.reasons]
        parts += ["", table(["what explains it", "before", "after"], reasons)]
    return parts


def _name(name: str, run: Any) -> str:
    return name if run is None or run.id == name else f"{name} ({run.id})"


def _sizes(change: Change) -> str:
    told = " -> ".join(size_of(size) for size in change.sizes if size is not None)
    return f"{told} in {change.objects} objects" if change.is_folder else told


def _checksums(change: Change) -> str:
    return " -> ".join(checksum[:12] for checksum in change.checksums if checksum)


def _told(value: Any, what: str) -> str:
    text = "-" if value in (None, "") else plain(value)
    if not what.startswith("parameter "):  # digests are told as far as people compare them
        text = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b", r"\1", text)
    return text if len(text) <= 64 or " " in text else f"{text[:64]}…"
