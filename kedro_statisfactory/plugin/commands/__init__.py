"""The commands about runs of the past: each module has one or two, and what they share is in ``output``."""

from __future__ import annotations

import click

from kedro_statisfactory.plugin.commands.changing import merge, revert
from kedro_statisfactory.plugin.commands.comparing import diff
from kedro_statisfactory.plugin.commands.doctor import doctor
from kedro_statisfactory.plugin.commands.listing import runs, show_run
from kedro_statisfactory.plugin.commands.pruning import prune
from kedro_statisfactory.plugin.commands.standing import status, tag

#: All of them, in the order in which the help lists them.
COMMANDS: tuple[click.Command, ...] = (status, runs, show_run, diff, tag, merge, revert, prune, doctor)
