"""``status`` and ``tag``: where the project stands, and names for runs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from kedro_statisfactory.plugin.commands.output import (
    answers,
    env_option,
    json_option,
    pairs,
    plain,
    print_json,
    show,
    words,
)
from kedro_statisfactory.plugin.places import catalog_of, repositories, repositories_in

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata
    from rich.console import RenderableType

    from kedro_statisfactory.runs.standing import Checkout, Standing


@click.command()
@env_option
@click.option("--pipeline", "-p", default="__default__", help="Of which nodes are told; else of the default pipeline.")
@json_option
@click.pass_obj
@answers
def status(metadata: ProjectMetadata, env: str | None, pipeline: str, as_json: bool) -> None:
    """Show the git branch, the data branch and its source, what waits there, and which nodes are up to date."""
    from kedro_statisfactory.plugin.commands.nodes import look_at_nodes, nodes_as_json, shown_nodes
    from kedro_statisfactory.runs.standing import checkout, standing

    catalog, pipelines = catalog_of(metadata, env)
    places = repositories_in(catalog, pipelines)
    git, found = checkout(places[0][0].project), standing(places)
    plan = look_at_nodes(catalog, pipelines, pipeline, places)
    if as_json:
        print_json(
            {
                "git_branch": git.head.branch,
                "git_commit": git.head.commit,
                "dirty": git.dirty,
                "repositories": [_as_json(each) for each in found],
                "pipeline": pipeline,
                "nodes": nodes_as_json(plan),
            }
        )
        return
    show(*(part for each in found for part in _shown(git, each, env)), *shown_nodes(plan))


def _as_json(each: Standing) -> dict[str, Any]:
    return {
        "repository": each.repository,
        "data_branch": each.data_branch,
        "source": each.source or None,
        "last_run": each.last.metadata["kedro_run_id"] if each.last else None,
        "uncommitted": each.uncommitted,
        "waiting": [
            {
                "run": left.run_id,
                "branch": left.name,
                "complete": left.complete,
                "hours": left.hours,
                "at_work_here": left.is_at_work,
            }
            for left in each.waiting
        ],
    }


def _shown(git: Checkout, each: Standing, env: str | None) -> list[RenderableType]:
    from kedro_statisfactory.runs.standing import MOST

    commit = (git.head.commit or "no commit")[:12]
    dirty = ", with changes that no commit has" if git.dirty else ""
    changed = ", ".join(each.uncommitted[:MOST]) + ", …" * (len(each.uncommitted) > MOST)
    where = f"{each.data_branch} of {each.repository}"
    if each.source:
        where += f": not there yet, the next run makes it from {each.source[:12]}"
    facts = pairs(
        [
            ("git branch", f"{git.head.branch or 'none'} at {commit}{dirty}"),
            ("data branch", where),
            ("last run", words(each.last.metadata["kedro_run_id"], "cyan") if each.last else "none"),
            ("not committed", words(changed, "yellow") if changed else "nothing"),
        ]
    )
    parts: list[RenderableType] = [facts]
    for left in each.waiting:
        if left.complete:
            ways = f"`{left.command('finish')}` lands it, `{left.command('abort')}` drops it"
            told = f"waits since {left.hours:.1f} hours: {ways}"
        elif left.is_at_work:
            told = f"is at work on this machine, since {left.hours:.1f} hours"
        else:
            clean = f"kedro statisfactory clean{f' --env {shlex.quote(env)}' if env else ''}"
            told = f"began {left.hours:.1f} hours ago, and is at work elsewhere or was killed: `{clean}` drops it later"
        parts.append(words(f"The run {left.run_id} {told}."))
    return [*parts, ""]


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("name", metavar="NAME")
@env_option
@click.pass_obj
@answers
def tag(metadata: ProjectMetadata, run: str, name: str, env: str | None) -> None:
    """Give the run RUN a name of your own, that --load-versions and lake_ref take, and that prune leaves alone."""
    from kedro_statisfactory.runs.history import History
    from kedro_statisfactory.runs.naming import name_run

    found = History(repositories(metadata, env)).run(run)
    where = name_run(found, name)
    click.echo(plain(f"The run {found.id} is {name} in {', '.join(where)}."))
