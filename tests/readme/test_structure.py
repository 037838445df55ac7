"""Every block has a test, every link leads somewhere, and the tables have what the code has."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

import click
import pytest

from kedro_statisfactory import errors
from kedro_statisfactory.plugin.cli import commands
from kedro_statisfactory.project.settings import Settings
from tests.readme import test_commands, test_python, test_yaml
from tests.readme.blocks import README, ROOT, Block, blocks

pytestmark = pytest.mark.once

CLAIMED = {**test_commands.CLAIMED, **test_yaml.CLAIMED, **test_python.CLAIMED}
_VARIABLE = re.compile(r"\b(?:STATISFACTORY|LAKECTL)_[A-Z_]+[A-Z]\b")


def unclaimed(found: Iterable[Block]) -> list[tuple[str, str]]:
    """Heading and language of the blocks that no test claims."""
    return [key for block in found if (key := (block.heading, block.language)) not in CLAIMED]


def test_every_block_is_claimed_by_a_test() -> None:
    assert unclaimed(blocks()) == []
    there = {(block.heading, block.language) for block in blocks()}
    assert CLAIMED.keys() == there, "a claim is for a block that is there"


def test_a_block_without_a_test_is_noticed() -> None:
    more = README + "\n### Something new\n\n```bash\nrm -rf x\n```\n"
    assert unclaimed(blocks(more)) == [("Something new", "bash")]


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 4
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif "://" not in link:
            assert (ROOT / link).exists(), link


def test_the_table_of_settings_is_complete() -> None:
    (section,) = re.findall(r"### Settings:.*?(?=\n###)", README, re.DOTALL)
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    assert list(rows) == [each.name for each in dataclasses.fields(Settings)]
    for each in dataclasses.fields(Settings):
        if isinstance(each.default, str | bool | float):
            assert rows[each.name].strip("`").lower() == f"{each.default}".lower().removesuffix(".0")


def test_every_command_and_option_is_told() -> None:
    def walk(command: click.Command, name: str) -> Iterable[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for each in filter(None, (command.get_command(context, each) for each in command.list_commands(context))):
                yield from walk(each, f"{name} {each.name}")
        else:
            yield name, command

    found = dict(walk(commands, "kedro"))
    told = set(re.findall(r"^\| `(kedro statisfactory [a-z ]+[a-z])[` ]", README, re.MULTILINE))
    assert told == found.keys()
    for command in found.values():
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert len(option) == 2 or option in README, option


def test_every_variable_is_told() -> None:
    sources = [*(ROOT / "kedro_statisfactory").rglob("*.py"), *(ROOT / "conf").rglob("*.yml")]
    known = {name for path in sources for name in _VARIABLE.findall(path.read_text(encoding="utf-8"))}
    assert known == set(_VARIABLE.findall(README))


def test_every_family_of_errors_is_told() -> None:
    codes = {error.code[:3] for error in vars(errors).values() if hasattr(error, "code")} - {"E00"}
    assert codes == set(re.findall(r"^\| `(E\d\d)…`", README, re.MULTILINE))


@pytest.mark.parametrize("extra", ["demo", "test"])
def test_both_commands_of_a_newcomer_are_there(extra: str) -> None:
    last = {"demo": ".venv/bin/kedro run", "test": ".venv/bin/python -m pytest --cov"}[extra]
    assert f'python3 -m venv .venv && .venv/bin/pip install -q -e ".[{extra}]" && {last}\n' in README
