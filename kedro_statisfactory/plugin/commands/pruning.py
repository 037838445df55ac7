"""``prune``: dropping what nobody needs any more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from kedro_statisfactory.plugin.commands.leavings import clean_disk, clean_repository
from kedro_statisfactory.plugin.commands.output import answers, env_option, plain
from kedro_statisfactory.plugin.places import entries_of, repositories_of

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_statisfactory.runs.past import Place
    from kedro_statisfactory.runs.pruning import Rule

_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}


def _age(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    if found := re.fullmatch(r"(\d{1,5})(h|d|w)", value):
        return float(int(found[1]) * _SECONDS[found[2]])
    raise click.BadParameter("write an age as 12h, 90d or 8w.")


@click.command()
@env_option
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Drop tags of runs beyond the N newest.")
@click.option("--older-than", callback=_age, metavar="AGE", help="Drop tags of runs that are older: 12h, 90d, 8w.")
@click.option("--yes", is_flag=True, help="Do it, and not only say what would be done.")
@click.pass_obj
@answers
def prune(metadata: ProjectMetadata, env: str | None, keep: int | None, older_than: float | None, yes: bool) -> None:
    """Drop data branches whose git branch is gone, and what killed runs have left; with a rule, tags of old runs.

    Without --yes it only says what it would do. With --keep and --older-than a run keeps its tags that one of both
    spares. Runs with a name of their own keep theirs, and the default branch is never touched.
    """
    from kedro_statisfactory.runs.pruning import Rule

    entries = entries_of(metadata, env)
    clean_disk(metadata.project_path, (entry for _, entry in entries), not yes)
    for place in repositories_of(entries):
        _branches(place, yes)
        clean_repository(*place, None, not yes)
        if keep is not None or older_than is not None:
            _tags(place, Rule(keep, older_than), yes)
    if not yes:
        click.echo("Nothing was dropped: --yes does it.")


def _branches(place: Place, yes: bool) -> None:
    from kedro_statisfactory.runs.pruning import drop_branch, gone_branches

    for gone in gone_branches(place, place[0].project):  # each is dropped right after it was looked at
        what = f"the data branch {gone.name} of {place[1]}: the git branch {gone.git_branch} is gone"
        if gone.kept:
            click.echo(plain(f"kept {what}, but {gone.kept}"))
        elif yes:
            tag = drop_branch(place, gone)
            click.echo(plain(f"dropped {what}{f'; what no run has made there is the tag {tag}' if tag else ''}"))
        else:
            click.echo(plain(f"would drop {what}"))


def _tags(place: Place, rule: Rule, yes: bool) -> None:
    from kedro_statisfactory.runs.pruning import drop_tags, old_tags

    for name, tags in old_tags(place, rule).items():
        if yes:
            drop_tags(place, tags)
        click.echo(plain(f"{'dropped' if yes else 'would drop'} the tags of the run {name} in {place[1]}"))
