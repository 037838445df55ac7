"""A small Kedro project without remote entries, run with and without our package in sight."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.benchmarks.environment import ROOT, clean_variables

_FILES = {
    "pyproject.toml": (
        '[tool.kedro]\npackage_name = "bench_project"\nproject_name = "bench"\nkedro_init_version = "{kedro}"\n'
    ),
    "src/bench_project/__init__.py": "",
    "src/bench_project/settings.py": "",
    "src/bench_project/pipeline_registry.py": """\
from kedro.pipeline import Pipeline, node


def count(text):
    return {"characters": len(text)}


def register_pipelines():
    return {"__default__": Pipeline([node(count, "text", "figures", name="count")])}
""",
    "conf/base/catalog.yml": """\
text: {type: text.TextDataset, filepath: data/text.txt}
figures: {type: json.JSONDataset, filepath: data/figures.json}
""",
    "conf/local/.keep": "",
    "data/text.txt": "some text\n",
}


class Project:
    """The project in a folder, and the two folders that its interpreter looks into first: with us, and empty."""

    def __init__(self, folder: Path, python: Path, kedro: str) -> None:
        self._folder, self._python = folder / "project", python
        for name, text in _FILES.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{kedro}", kedro))
        self._paths = {True: folder / "with", False: folder / "without"}
        for path in self._paths.values():
            path.mkdir()
        visible = self._paths[True]
        (visible / "kedro_statisfactory").symlink_to(ROOT / "kedro_statisfactory")
        info = visible / "kedro_statisfactory-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kedro-statisfactory\nVersion: 0\n")
        (info / "entry_points.txt").write_text(
            "[kedro.hooks]\nstatisfactory = kedro_statisfactory.plugin.hooks:hooks\n"
            "[kedro.project_commands]\nstatisfactory = kedro_statisfactory.plugin.cli:commands\n"
        )

    def run(self, visible: bool, extra: tuple[str, ...] = ()) -> tuple[float, float, str]:
        """Run it in a new process: seconds on the wall, seconds of processor, and what it printed."""
        before = os.times()
        start = time.perf_counter()
        done = subprocess.run(
            [str(self._python), *extra, "-m", "kedro", "run"],
            cwd=self._folder,
            env={**clean_variables(), "PYTHONPATH": str(self._paths[visible])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        wall = time.perf_counter() - start
        after = os.times()
        if done.returncode:
            raise RuntimeError(done.stdout[-3000:])
        processor = after.children_user + after.children_system - before.children_user - before.children_system
        return wall, processor, done.stdout
