"""A Kedro project whose catalog is moved, in this process."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kedro.framework.project import LOGGING, settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog

from kedro_statisfactory.plugin import cli
from kedro_statisfactory.project import announce

OURS = "kedro_statisfactory.ArtifactDataset"


@dataclass
class Moving:
    """The project and what a test does with it."""

    path: Path
    settings: dict[str, Any] = field(default_factory=dict)  # beside those of the file

    def write(self, text: str, name: str = "base/catalog.yml") -> Path:
        """Write a file of the configuration."""
        path = self.path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def read(self, name: str = "base/catalog.yml") -> str:
        """Read one."""
        return (self.path / "conf" / name).read_bytes().decode()

    def data(self, name: str, text: str = "text") -> Path:
        """Write a file of data."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def migrate(self, *arguments: str, fails: bool = False, colour: bool = False) -> str:
        """Run the command; gives what it says."""
        metadata = bootstrap_project(self.path)
        for name, value in self.settings.items():
            settings.set(name, value)
        done: Result = CliRunner().invoke(
            cli.commands, ["statisfactory", "migrate", *arguments], obj=metadata, color=colour
        )
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert (done.exit_code != 0) == fails, done.output
        return done.output

    def catalog(self, env: str | None = None) -> DataCatalog:
        """The catalog, as in a notebook."""
        bootstrap_project(self.path)
        with KedroSession.create(self.path, env=env, runtime_params={"day": "1"}) as session:
            assert isinstance(session, KedroSession)
            catalog = session.load_context().catalog
            assert isinstance(catalog, DataCatalog)
            return catalog

    def entries(self, env: str | None = None) -> dict[str, Any]:
        """What Kedro makes of the catalog."""
        bootstrap_project(self.path)
        with KedroSession.create(self.path, env=env) as session:
            assert isinstance(session, KedroSession)
            found: dict[str, Any] = session.load_context().config_loader["catalog"]
            return found


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moving]:
    LOGGING.set_project_logging("tests.runs.project")
    announce(None)
    for name in ("base", "local"):
        (tmp_path / "conf" / name).mkdir(parents=True)
    (tmp_path / "conf/base/parameters.yml").write_text("value: 1\n")
    (tmp_path / ".telemetry").write_text("consent: false\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.kedro]\npackage_name = "tests.runs.project"\nproject_name = "moving"\nkedro_init_version = "1.7.0"\n'
        'source_dir = "."\n'
    )
    monkeypatch.chdir(tmp_path)
    kedro = logging.getLogger("kedro")
    before = kedro.level
    kedro.setLevel(logging.WARNING)
    yield Moving(tmp_path)
    kedro.setLevel(before)


def changed(output: str) -> tuple[list[str], list[str]]:
    """The lines that a difference takes away, and those that it adds."""
    lines = [line for line in output.splitlines() if not re.match(r"(---|\+\+\+) ", line)]
    return [line[1:] for line in lines if line[:1] == "-"], [line[1:] for line in lines if line[:1] == "+"]
