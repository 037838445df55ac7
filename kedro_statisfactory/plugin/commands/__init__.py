"""The commands about runs of the past: each module has one or two, and what they share is in ``output``."""

from __future__ import annotations

import click

from kedro_statisfactory.plugin.commands.listing import runs, show_run

#: All of them, in the order in which the help lists them.
COMMANDS: tuple[click.Command, ...] = (runs, show_run)
