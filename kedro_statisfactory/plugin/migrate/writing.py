"""Writing catalogs: each file as a whole, and all of them or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from kedro_statisfactory.backends import LocalFS
from kedro_statisfactory.errors import StatisfactoryError
from kedro_statisfactory.location import parse
from kedro_statisfactory.session import Session


def refuse_unwritable(paths: Iterable[Path]) -> None:
    """See that files can be replaced, before anything is done.

    Raises:
        click.ClickException: One cannot.
    """
    for path in paths:
        real = path.resolve()
        if not (os.access(real, os.W_OK) and os.access(real.parent, os.W_OK)):
            raise click.ClickException(f"nothing is changed, because {path} may not be written: see its rights.")


def write(before: Mapping[Path, str], after: Mapping[Path, str]) -> None:
    """Write files; where one fails, those before it are put back.

    Args:
        before: What they hold.
        after: What they are going to hold.

    Raises:
        click.ClickException: One could not be written, or was changed by somebody else since it was read.
    """
    for path in after:  # copying, for example, may have taken long
        if not path.is_file() or path.read_bytes() != before[path].encode():
            raise click.ClickException(f"nothing is rewritten, because {path} has changed meanwhile: migrate again.")
    done: list[Path] = []
    for path, text in after.items():
        try:
            _put(path, text)
        except StatisfactoryError as error:
            for each in done:
                _put(each, before[each])
            raise click.ClickException(f"nothing is changed, because {path} cannot be written: {error}") from error
        done.append(path)


def _put(path: Path, text: str) -> None:
    LocalFS(Session()).put(payload=text.encode(), fragment=parse(str(path)))
