"""A packaged project, which is started in folders that are not its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs import project as code
from tests.runs.conftest import ROOT, KedroProject

pytestmark = pytest.mark.once


# As the template of Kedro has it.
MAIN = """
from pathlib import Path

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project

package = Path(__file__).parent.name
configure_project(package)
find_run_command(package)()
"""


@pytest.fixture
def installed(project: KedroProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `kedro package` makes of the project, as pip would install it."""
    site = tmp_path_factory.mktemp("site-packages")
    assert code.__file__ is not None
    shutil.copytree(Path(code.__file__).parent, site / "packaged", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "packaged/__main__.py").write_text(MAIN)
    return site


def _start(installed: Path, project: KedroProject, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "packaged", f"--conf-source={project.path / 'conf'}"]
    path = os.pathsep.join((str(installed), str(ROOT)))
    return subprocess.run(
        [*command, "--params", "value=3"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def checkout(project: KedroProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout of something else, on a branch of its own."""
    folder = tmp_path_factory.mktemp("dags")
    (folder / "dag.py").touch()
    for arguments in (["init", "-q", "-b", "dags"], ["add", "-A"], ["commit", "-qm", "dags"]):
        project.git("-C", str(folder), *arguments)
    return folder


def test_a_packaged_project_takes_nothing_from_the_git_of_a_folder_where_it_is_started(
    project: KedroProject, installed: Path, checkout: Path
) -> None:
    project.settings(branch="prod")
    done = _start(installed, project, checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.branches() == ["main", "prod"]
    assert project.read("prod") == {"a": 3, "b": 30, "total": 3}
    found = project.log("prod")[0].metadata
    assert not any("git" in key for key in found)
    assert project.tags().keys() == {f"kedro-{found['kedro_run_id']}"}


def test_without_a_branch_in_the_settings_it_says_why_it_has_none(
    project: KedroProject, installed: Path, checkout: Path
) -> None:
    done = _start(installed, project, checkout)
    assert done.returncode != 0
    text = " ".join((done.stdout + done.stderr).split())
    assert "E0705" in text
    assert f"the folder {checkout} is no Kedro project: its pyproject.toml has no [tool.kedro]" in text
    assert project.branches() == ["main"]
