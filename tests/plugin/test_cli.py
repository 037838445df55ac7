"""The command line is there for every command of Kedro, and costs those that do not ask for it next to nothing."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory.plugin.cli import commands, statisfactory
from kedro_statisfactory.plugin.commands import COMMANDS
from tests.plugin.test_caching import PROJECT


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


@pytest.mark.once
@pytest.mark.parametrize(
    "asked", [["--help"], ["migrate", "--help"], ["run", "finish", "--help"], ["cache"], ["cache", "--json"], ["long"]]
)
def test_where_nothing_can_be_written_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    monkeypatch.setitem(statisfactory.commands, "long", click.Command("long", callback=lambda: print("x" * 100_000)))
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            commands.main(["statisfactory", *asked], "kedro", obj=bootstrap_project(PROJECT))
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "Error: nothing can be written to the standard output: No space left on device." in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "conf"), TimeoutError(110, "timed out")])
def test_an_error_about_something_else_is_not_taken_for_that(
    error: OSError, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setitem(statisfactory.commands, "fails", click.Command("fails", callback=fail))
    assert CliRunner().invoke(statisfactory, ["fails"]).exception is error
    with pytest.raises(type(error)) as raised:
        statisfactory.main(["fails"])
    assert raised.value is error
    assert capfd.readouterr().out.strip() == ""


@pytest.mark.parametrize("asked", [[], ["--adopt", "--reset"]])
def test_what_becomes_of_a_data_branch_is_said_by_one_of_two_words(asked: list[str]) -> None:
    done = CliRunner().invoke(statisfactory, ["branch", *asked])
    assert (done.exit_code, "write either --adopt or --reset." in done.output) == (2, True), done.output
