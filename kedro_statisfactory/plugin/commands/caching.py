"""``cache``: what is on this machine of what was loaded and saved."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from kedro_statisfactory.plugin.commands.output import (
    Refused,
    answers,
    env_option,
    json_option,
    one_line,
    pairs,
    print_json,
    show,
    size_of,
)

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata


@click.command()
@env_option
@json_option
@click.option("--empty", is_flag=True, help="Drop all of it; who reads a copy at the moment keeps that.")
@click.pass_obj
@answers
def cache(metadata: ProjectMetadata, env: str | None, as_json: bool, empty: bool) -> None:
    """Show where copies of what was loaded and saved are kept, how many, and how much room they take; or drop them."""
    from kedro_statisfactory.backends.cache import overview
    from kedro_statisfactory.plugin.places import settings_of

    size = settings_of(metadata, env).cache_size
    try:
        if empty:
            overview.empty()
        found = overview.overview(size)
    except OSError as error:
        raise Refused(one_line(f"{error.filename or 'the cache'}: {error.strerror or error}.")) from error
    if as_json:
        print_json(dataclasses.asdict(found))
    elif found.folder is None:
        click.echo("The cache is off.")
    else:
        show(
            pairs(
                [
                    ("folder", found.folder),
                    ("copies", str(found.copies)),
                    ("size", size_of(found.size)),
                    ("limit", size_of(found.limit)),
                ]
            )
        )
