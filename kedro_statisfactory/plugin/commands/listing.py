"""``runs`` and ``show``: which runs there are, and all of one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from kedro_statisfactory.plugin.commands.describing import code_of, output_as_json, run_as_json
from kedro_statisfactory.plugin.commands.output import (
    Refused,
    ago,
    answers,
    clock,
    env_option,
    json_option,
    pairs,
    print_json,
    show,
    size_of,
    table,
    took,
    words,
)
from kedro_statisfactory.plugin.places import repositories

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata
    from rich.console import RenderableType

    from kedro_statisfactory.runs.past import Output, PastRun

_UNITS = {"min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _since(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Seconds since 1970 of a date, a time, or how long it is ago."""
    import time
    from datetime import datetime

    if value is None:
        return None
    if found := re.fullmatch(r"(\d{1,6})(min|h|d|w)", value):
        return time.time() - int(found[1]) * _UNITS[found[2]]
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            "write a date (2026-11-27), a time (2026-11-27T08:00), or 90min, 12h, 7d, 2w."
        ) from None


@click.command()
@env_option
@json_option
@click.option("--branch", metavar="GIT_BRANCH", help="A git branch. Default: the one that is checked out.")
@click.option("--since", callback=_since, metavar="TIME", help="A date or time, or how long ago: 90min, 12h, 7d, 2w.")
@click.option("--entry", metavar="NAME", help="Only runs that wrote this entry.")
@click.option("-n", "amount", type=click.IntRange(min=1), default=20, help="How many at most. Default: 20.")
@click.pass_obj
@answers
def runs(
    metadata: ProjectMetadata,
    env: str | None,
    as_json: bool,
    branch: str | None,
    since: float | None,
    entry: str | None,
    amount: int,
) -> None:
    """Show the runs on a data branch, newest first."""
    from kedro_statisfactory.runs.history import MOST_COMMITS, History, Wanted

    history = History(repositories(metadata, env))
    found = history.newest(amount, Wanted(branch, since, entry))
    if as_json:
        print_json([run_as_json(run) for run in found])
    elif found:
        show(_table_of(found))
    elif since is None and entry is None:
        raise Refused("there is no run here yet: `kedro run` makes one.")
    else:
        click.echo("No run is like that.")
    if history.is_cut and len(found) < amount:
        click.echo(f"Only the newest {MOST_COMMITS} commits were looked at: --since looks further back.", err=True)


def _table_of(found: list[PastRun]) -> RenderableType:
    rows: list[tuple[object, ...]] = []
    for run in found:
        wrote = ", ".join(output.entry for output in run.outputs[:8]) + ", …" * (len(run.outputs) > 8)
        pipeline = run.facts.get("kedro_pipeline", "")
        what = words("taken back", "red") if run.taken_back else words(wrote or "nothing")
        rows.append(
            (
                words(run.id, "cyan"),
                ago(run.finished),
                took(run.seconds),
                run.facts.get("kedro_user", ""),
                code_of(run),
                "" if pipeline == "__default__" else pipeline,
                what,
            )
        )
    heads = ["run", "ended", "took", "who", "code", "pipeline", "wrote"]
    if not any(row[5] for row in rows):
        heads.remove("pipeline")
        rows = [(*row[:5], row[6]) for row in rows]
    return table(heads, rows, whole=("run", "pipeline"))


@click.command(name="show")
@click.argument("run", metavar="RUN")
@env_option
@json_option
@click.pass_obj
@answers
def show_run(metadata: ProjectMetadata, run: str, env: str | None, as_json: bool) -> None:
    """Show all of the run RUN: what it read and wrote, by which code and parameters, and how to load it again."""
    from kedro_statisfactory.runs.history import History
    from kedro_statisfactory.runs.measuring import with_sizes

    found = History(repositories(metadata, env)).run(run)
    outputs = with_sizes(found)
    if as_json:
        print_json(
            {
                **run_as_json(found),
                "outputs": [output_as_json(output) for output in outputs],
                "kept": found.kept,
                "saved_elsewhere": found.saved,
                "inputs": found.inputs,
                "parameters": found.parameters,
                "links": found.links,
                "metadata": dict(found.facts),
            }
        )
        return
    show(_facts_of(found), *_tables_of(found, outputs), _again(found, outputs))


def _facts_of(run: PastRun) -> RenderableType:
    facts = run.facts
    dirty = f", with changes that no commit has ({_kept_patch(run)})" if run.is_dirty else ""
    shas = ", ".join(run.git_commits)
    return pairs(
        [
            ("run", words(run.id, "cyan")),
            ("state", "taken back" if run.taken_back else ""),
            ("began", clock(run.started)),
            ("took", took(run.seconds)),
            ("who", f"{facts.get('kedro_user', '?')} on {facts.get('kedro_host', '?')}"),
            ("git branch", facts.get("git_branch", "")),
            ("git commit", f"{shas}{dirty}" if shas else ""),
            ("pipeline", facts.get("kedro_pipeline", "")),
            *((key, facts.get(f"kedro_{key.replace(' ', '_')}", "")) for key in _SELECTIONS),
            ("environment", facts.get("kedro_env", "")),
            ("Kedro", facts.get("kedro_version", "")),
            ("another try of", facts.get("kedro_replaces", "")),
            *((name, url) for name, url in run.links.items()),
            *((f"data in {share.repository}", f"{share.data_branch} {share.commit.id[:12]}") for share in run.shares),
        ]
    )


_SELECTIONS = ("tags", "node names", "from nodes", "to nodes", "from inputs", "to outputs", "namespaces", "parts")


def _kept_patch(run: PastRun) -> str:
    path = run.facts.get("git_patch")
    return f"kept at {path}" if path else "not kept"


def _tables_of(run: PastRun, outputs: list[Output]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    rows: list[tuple[str, ...]]
    if run.inputs:
        rows = [
            (
                name,
                each.get("url", ""),
                _version_of(each),
                size_of(int(each["size"])) if str(each.get("size", "")).isdigit() else "",
                _short(each.get("checksum", "")),
            )
            for name, each in sorted(run.inputs.items())
        ]
        parts += ["", table(["read", "from", "version", "size", "checksum"], rows)]
    if outputs:
        rows = [
            (each.entry, f"lakefs://{each.repository}/{each.path}", _objects(each), _short(each.checksum))
            for each in outputs
        ]
        parts += ["", table(["wrote", "to", "size", "checksum"], rows)]
    if run.saved:
        parts += ["", words(f"Outside of lakeFS it wrote {', '.join(run.saved)}.")]
    if run.kept:
        parts += ["", table(["left as it was", "made by the run"], sorted(run.kept.items()))]
    if run.parameters:
        told = [(key, json.dumps(value, ensure_ascii=False)) for key, value in sorted(run.parameters.items())]
        parts += ["", table(["parameter", "value"], told)]
    return parts


def _objects(output: Output) -> str:
    size = size_of(output.size)
    return size if output.objects is None else f"{size} in {output.objects} objects".strip()


def _version_of(read: Any) -> str:
    """The version that was asked for, else the commit that was read."""
    if "version" in read:
        return str(read["version"])
    ref = str(read.get("ref", ""))
    return ref[:12] if re.fullmatch(r"[0-9a-f]{64}", ref) else ref


def _short(checksum: str) -> str:
    """A checksum as far as people compare it."""
    kind, colon, digits = checksum.rpartition(":")
    return f"{kind}{colon}{digits[:12]}"


def _again(run: PastRun, outputs: list[Output]) -> RenderableType:
    import shlex

    entry = outputs[0].entry if outputs else "<entry>"
    run_id = shlex.quote(run.id)
    return pairs(
        [
            ("", " "),
            ("load all again", f"STATISFACTORY_AT={run_id} kedro ipython"),
            ("load one again", f"`lake_ref: {run.id}` in the `load_args` of the entry"),
            ("run with one", f"kedro run --load-versions={shlex.quote(f'{entry}:{run.id}')}   (`versioned: true`)"),
        ]
    )
