"""``kedro statisfactory cache`` says what is there, and drops it."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project

from kedro_statisfactory.backends.cache import ContentCache, Key, place
from kedro_statisfactory.backends.cache.copies import LEAST
from kedro_statisfactory.plugin.cli import commands
from kedro_statisfactory.project import Project
from kedro_statisfactory.session import Session

PROJECT = Path(__file__).parents[2]


def asked(*options: str) -> Result:
    """What the command answers in the project of this repository."""
    metadata: Any = bootstrap_project(PROJECT)
    return CliRunner().invoke(commands, ["statisfactory", "cache", *options], obj=metadata)


@pytest.mark.once
def test_what_is_in_the_cache_is_shown_and_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv(place.VARIABLE, str(folder))
    monkeypatch.setenv("COLUMNS", "300")  # the path of the folder takes one line
    content = bytes(LEAST)
    ContentCache(Session(project=Project(tmp_path))).keep(Key("s3", "x"), content, "abc", zlib.crc32(content))
    told = json.loads(asked("--json").stdout)
    assert (told["folder"], told["copies"], told["size"]) == (str(folder), 1, LEAST)
    assert 0 < told["limit"] <= 20 << 30
    lines = dict(line.split(maxsplit=1) for line in asked().stdout.splitlines())
    assert (lines["copies"], lines["size"]) == ("1", "262 kB")
    assert json.loads(asked("--empty", "--json").stdout)["copies"] == 0
    (folder / place.LAYOUT).chmod(0o777)
    done = asked("--empty")
    assert done.exit_code == 2
    assert "others may write to it" in done.output
    monkeypatch.setenv(place.VARIABLE, "off")
    assert asked("--empty").stdout == "The cache is off.\n"
