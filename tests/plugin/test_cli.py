"""The command line is there for every command of Kedro, and costs those that do not ask for it next to nothing."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from kedro_statisfactory.plugin.cli import statisfactory
from kedro_statisfactory.plugin.commands import COMMANDS


def test_a_command_of_kedro_imports_none_of_the_commands_that_it_does_not_need() -> None:
    code = "import sys, kedro_statisfactory.plugin.cli; print(*(n for n in sys.modules if n.startswith('kedro_stat')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "kedro_statisfactory",
        "kedro_statisfactory.plugin",
        "kedro_statisfactory.plugin.cli",
        "kedro_statisfactory.plugin.commands",
        "kedro_statisfactory.plugin.places",
    }


@pytest.mark.parametrize("name", [*COMMANDS, "clean"])
def test_each_command_is_found_under_its_name_and_is_listed(name: str) -> None:
    context = click.Context(statisfactory)
    found = statisfactory.get_command(context, name)
    assert found is not None
    assert found.name == name
    assert found.get_short_help_str()
    assert name in statisfactory.list_commands(context)
    assert statisfactory.get_command(context, f"{name}-not") is None
