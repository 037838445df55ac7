"""Commands of Kedro, found through the entry point ``kedro.project_commands``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from kedro_statisfactory.plugin.commands import COMMANDS
from kedro_statisfactory.plugin.places import entries_of, errors_as_text, repositories, repositories_of

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_statisfactory.runs.leftovers import Places

_env = click.option("--env", "-e", help="Kedro environment whose catalog names the repositories.")


def _hours(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and not value >= 0:  # a "nan" is neither above nor below
        raise click.BadParameter("write a number of hours, 0 or more.")
    return value


def _run_id(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command end the run that is named, or all that wait."""
    named = click.argument("run_id", envvar="STATISFACTORY_RUN_ID", required=False, metavar="RUN_ID")
    everything = click.option("--all", "everything", is_flag=True, help="All runs that are complete and wait.")
    return named(everything(command))


def _ids(places: Places, run_id: str | None, everything: bool) -> list[str]:
    """The ids of the runs that a command is asked to end; what is left out is told."""
    from kedro_statisfactory.runs import waiting

    if not everything:
        if run_id is None:
            raise click.UsageError("name the run by its id, or write --all.")
        return [_one_of(waiting.of_one_id(places, run_id), run_id)]
    source = click.get_current_context().get_parameter_source("run_id")
    if source is ParameterSource.COMMANDLINE:
        raise click.UsageError("write either the id of a run or --all.")
    found = waiting.ids_of_all(places)
    for text in found.left_out:
        click.echo(text)
    if not found.ids:
        click.echo("No run waits.")
    return found.ids


def _one_of(found: Mapping[str, str], run_id: str) -> str:
    """Which run is meant by an id; asks where there are several, or lists them where nobody can be asked."""
    if len(found) < 2:
        return run_id
    listed = "".join(f"\n  {name}: {where}" for name, where in found.items())
    text = f"{len(found)} runs wait under the id {run_id!r}:{listed}"
    if not _is_asked():
        raise click.ClickException(f"{text}\nWrite one of these in place of the id.")
    click.echo(text)
    return str(click.prompt("Which one", type=click.Choice(list(found))))


def _is_asked() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def _end_each(ids: Iterable[str], end: Callable[[str], None]) -> None:
    """End runs one after the other; what is wrong with one of them keeps no other from being ended."""
    failed: list[click.ClickException] = []
    for run_id in ids:
        try:
            with errors_as_text():
                end(run_id)
        except click.ClickException as error:
            failed.append(error)
    for each in failed[:-1]:
        each.show()
    if failed:
        raise failed[-1]


@click.group(name="Kedro-Statisfactory")
def commands() -> None:
    # Without a docstring: it would stand in the place of Kedro's own in `kedro --help`.
    pass


class _Group(click.Group):
    """Commands, of which some are imported when they are asked for, with one rule for how they exit.

    The status is 0 where what was asked is done or answered, 1 where it was looked at and the answer is no (runs
    differ, something is wrong, both sides have changed an entry), and 2 where it could not be done or answered.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read what was asked for; that may be the help."""
        from kedro_statisfactory.plugin.commands.output import told_where_full

        with told_where_full():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        from kedro_statisfactory.errors import MergeConflict
        from kedro_statisfactory.plugin.commands.output import Refused, told_where_full

        try:
            with told_where_full():
                return super().invoke(ctx)
        except click.ClickException as error:
            if type(error) is click.ClickException and not isinstance(error.__cause__, MergeConflict):
                raise Refused(error.message) from error.__cause__
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all, in their order."""
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; ``None``: there is none."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"kedro_statisfactory.plugin.{module}"), name)
        return command


@commands.group(cls=_Group)
def statisfactory() -> None:
    """Move catalogs; see, compare, end and clean up runs on lakeFS."""


@statisfactory.group()
def run() -> None:
    """End a run that several processes make, or that a conflict or a crash stopped."""


@run.command()
@_run_id
@_env
@click.option(
    "--merge",
    type=click.Choice(["source-wins", "dest-wins"]),
    help="Settle a conflict: take this run's entries, or what is on the data branch.",
)
@click.pass_obj
def finish(metadata: ProjectMetadata, run_id: str | None, everything: bool, env: str | None, merge: str | None) -> None:
    """Let all that the run RUN_ID wrote appear on the data branch; once is enough, and twice does no harm."""
    from kedro_statisfactory.runs import finishing

    def end(run_id: str) -> None:
        landed = finishing.finish(places, run_id, merge)
        if landed is None:
            raise click.ClickException(f"no repository of the catalog has a run {run_id!r}: check the id and --env.")
        where = f"it is on {', '.join(landed)}" if landed else "nothing was left to land"
        click.echo(f"The run {run_id} is finished: {where}.")

    with errors_as_text():
        places = repositories(metadata, env)
        _end_each(_ids(places, run_id, everything), end)


@run.command()
@_run_id
@_env
@click.pass_obj
def abort(metadata: ProjectMetadata, run_id: str | None, everything: bool, env: str | None) -> None:
    """Drop all that the run RUN_ID wrote; what has appeared on the data branch stays."""
    from kedro_statisfactory.runs import aborting

    def end(run_id: str) -> None:
        done = aborting.abort(places, run_id)
        if done.landed:
            click.echo(f"The run {run_id} was on {', '.join(done.landed)} already: it stays there, and is ended.")
        if done.dropped:
            where = f" in {', '.join(done.dropped)}" if done.landed else ""
            click.echo(f"The run {run_id} is dropped{where}.")
        if not (done.landed or done.dropped):
            click.echo(f"There is no run {run_id} that waits.")

    with errors_as_text():
        places = repositories(metadata, env)
        _end_each(_ids(places, run_id, everything), end)


@statisfactory.command()
@_env
@click.option("--adopt", "adopts", is_flag=True, help="Go on with its data.")
@click.option("--reset", "resets", is_flag=True, help="Begin anew.")
@click.pass_obj
def branch(metadata: ProjectMetadata, env: str | None, adopts: bool, resets: bool) -> None:
    """Say what becomes of a data branch that has runs of another git branch of the same name."""
    if adopts == resets:
        raise click.UsageError("write either --adopt or --reset.")
    from kedro_statisfactory.errors import BranchNotFound, ObjectNotFound
    from kedro_statisfactory.runs import adopting

    with errors_as_text():
        for backend, repository in repositories(metadata, env):
            try:
                if adopts:
                    click.echo(f"{repository}: adopted {adopting.adopt(backend.api, backend.project, repository)}")
                else:
                    name, tag = adopting.reset(backend.api, backend.project, repository)
                    click.echo(f"{repository}: {name} is made anew by the next run; what it had is the tag {tag}")
            except (BranchNotFound, ObjectNotFound):
                click.echo(f"{repository}: there is no data branch")


@statisfactory.command()
@_env
@click.option(
    "--older-than",
    type=float,
    callback=_hours,
    metavar="HOURS",
    help="Age by which a run cannot be at work any more. Default: `grace_hours` of statisfactory.yml, else 24.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
@click.pass_obj
def clean(metadata: ProjectMetadata, env: str | None, older_than: float | None, dry_run: bool) -> None:
    """Drop what killed runs have left behind, in lakeFS, on this disk and in places of fsspec.

    Complete runs, which only have to be finished, are kept and named.
    """
    from kedro_statisfactory.plugin.commands.leavings import clean_disk, clean_places, clean_repository
    from kedro_statisfactory.project import current_project

    with errors_as_text():
        entries = entries_of(metadata, env)
        ours = [entry for _, entry in entries]
        clean_disk(metadata.project_path, ours, dry_run)
        clean_places(ours, current_project().settings.grace_hours if older_than is None else older_than, dry_run)
        for backend, repository in repositories_of(entries):
            clean_repository(backend, repository, older_than, dry_run)
