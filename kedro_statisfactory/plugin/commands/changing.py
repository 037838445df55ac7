"""``revert`` and ``merge``: what changes a data branch other than by running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kedro_statisfactory.plugin.commands.comparing import names_by_path
from kedro_statisfactory.plugin.commands.output import RefusedAsTold, answers, env_option, one_line, plain
from kedro_statisfactory.plugin.places import entries_of, repositories, repositories_of

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata


@click.command()
@click.argument("run", metavar="RUN")
@env_option
@click.pass_obj
@answers
def revert(metadata: ProjectMetadata, run: str, env: str | None) -> None:
    """Take back what the run RUN wrote, by a new commit, if nothing was built on it since."""
    from kedro_statisfactory.runs import reverting
    from kedro_statisfactory.runs.history import History

    history = History(repositories(metadata, env))
    found = history.run(run)
    try:
        done = reverting.revert(history, found)
    except reverting.BuiltOn as error:
        raise RefusedAsTold(one_line(str(error))) from error
    click.echo(plain(f"The run {found.id} is taken back in {', '.join(done)}. It can still be loaded by its id."))


@click.command()
@click.argument("branch", metavar="BRANCH")
@env_option
@click.option("--ours", is_flag=True, help="Where both have changed an entry, keep what is here.")
@click.option("--theirs", is_flag=True, help="Where both have changed an entry, take that of BRANCH.")
@click.option("--ours-of", metavar="ENTRY", multiple=True, help="Keep this entry as it is here.")
@click.option("--theirs-of", metavar="ENTRY", multiple=True, help="Take this entry as it is on BRANCH.")
@click.option("--force", is_flag=True, help="Also where git has not merged BRANCH.")
@click.pass_obj
@answers
def merge(
    metadata: ProjectMetadata,
    branch: str,
    env: str | None,
    ours: bool,
    theirs: bool,
    ours_of: tuple[str, ...],
    theirs_of: tuple[str, ...],
    force: bool,
) -> None:
    """Bring the data of the git branch BRANCH into that of the branch that is checked out.

    Do it after `git merge BRANCH`. Nothing is computed, and no bytes are moved.
    """
    if ours and theirs:
        raise click.UsageError("write either --ours or --theirs.")
    from kedro_statisfactory.errors import MergeConflict
    from kedro_statisfactory.runs import merging
    from kedro_statisfactory.runs.history import History

    entries = entries_of(metadata, env)
    places = repositories_of(entries)
    if not places:
        raise click.ClickException("no entry of the catalog is in lakeFS: check --env.")
    choice = merging.Choice("ours" if ours else "theirs" if theirs else "", frozenset(ours_of), frozenset(theirs_of))
    try:
        done = merging.merge(History(places), branch, choice, names_by_path(entries), force)
    except MergeConflict as error:
        raise RefusedAsTold(one_line(str(error))) from error
    for each in done:
        where = f"{each.target} of {each.place[1]}"
        if each.commit:
            settled = "".join(f", {choice.of(name)} for {name}" for name in each.conflicts)
            click.echo(plain(f"The data of {branch} is on {where} as the commit {each.commit[:12]}{settled}."))
        else:
            click.echo(plain(f"There is nothing to bring to {where}."))
