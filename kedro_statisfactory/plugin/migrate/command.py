"""The command ``kedro statisfactory migrate``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata

    from kedro_statisfactory.plugin.migrate.catalogs import Catalogs
    from kedro_statisfactory.plugin.migrate.planning import Plan

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.option("--env", "-e", help="Kedro environment whose files are rewritten, and no others. Default: all.")
@click.option("--root", default="", metavar="URL", help="Let them live below URL, as in lakefs://repository.")
@click.option("--copy", "copies", is_flag=True, help="Copy the data there, before the catalog is rewritten.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.pass_obj
def migrate(metadata: ProjectMetadata, env: str | None, root: str, copies: bool, dry_run: bool) -> None:
    """Rewrite the entries of the catalog that can be ArtifactDatasets, and nothing else in its files."""
    from kedro_statisfactory.plugin.migrate.catalogs import Catalogs
    from kedro_statisfactory.plugin.migrate.planning import Planner
    from kedro_statisfactory.plugin.migrate.writing import refuse_unwritable, write

    if copies and not root:
        raise click.UsageError("--copy needs --root, which says where to.")
    root = _checked_root(root)
    catalogs = Catalogs(metadata.project_path)
    if env is not None and env not in catalogs.environments:
        raise click.ClickException(
            f"there is no environment {env!r}: choose one of {', '.join(catalogs.environments)}."
        )
    plan = Planner(catalogs, root, env).work_out()
    for line in _report(catalogs, plan):
        click.echo(line)
    before = {file.path: file.text for file in catalogs.files if file.path in plan.texts}
    refuse_unwritable(before)
    if copies:
        from kedro_statisfactory.plugin.migrate.copying import copy

        for line in copy(metadata.project_path, env, plan, dry_run):
            click.echo(line)
    if not dry_run:
        write(before, plan.texts)
    click.echo(_summary(plan, dry_run))


def _checked_root(root: str) -> str:
    """The URL without a slash at its end.

    Raises:
        click.ClickException: Nothing can be stored there.
    """
    from kedro_statisfactory.backends import Backend
    from kedro_statisfactory.errors import StatisfactoryError
    from kedro_statisfactory.location import parse
    from kedro_statisfactory.session import Session

    root = root.rstrip("/")
    if not root:
        return root
    if any(letter in root for letter in " \t\n\"'#,{}[]&*!|>%@`\\"):
        raise click.ClickException(f"--root {root!r} has a character that would mean something in YAML.")
    try:
        where = parse(f"{root}/x")
        backend = Backend.registered(where.scheme)(Session())
        backend.check_location(where)
        backend.check_use(where, is_written=True)
    except StatisfactoryError as error:
        raise click.ClickException(f"--root {root!r}: {error}") from error
    return root


def _report(catalogs: Catalogs, plan: Plan) -> Iterator[str]:
    """The difference that it makes, and what is to be said of entries."""
    for file in catalogs.files:
        if (new := plan.texts.get(file.path)) is not None:
            yield from _diff(file.text, new, file.name)
    yield from _told(plan.notes, "")
    yield from _told(plan.left, "left, because ")


def _diff(old: str, new: str, name: str) -> Iterator[str]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm="")
    for number, line in enumerate(lines):
        yield click.style(line, fg=None if number < 2 else _COLOURS.get(line[:1]))


def _told(found: Mapping[tuple[str, str], list[str]], what: str) -> Iterator[str]:
    for (file, why), names in found.items():
        yield f"{file}: {', '.join(names)}: {what}{why.rstrip('.')}."


def _summary(plan: Plan, dry_run: bool) -> str:
    changed = sum(len(group.names) for group in plan.groups)
    left = sum(map(len, plan.left.values()))
    if not changed:
        return f"Nothing to rewrite; {left} entries are left as they are."
    verb = "would be" if dry_run else "are"
    return f"{changed} entries in {len(plan.texts)} files {verb} rewritten, {left} are left as they are."
