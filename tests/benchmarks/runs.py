"""What a run on lakeFS costs, and how long it takes to find one: ``python -m tests.benchmarks.runs``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

from kedro_statisfactory.project import announce
from kedro_statisfactory.project.branches import git_tag, run_tag
from tests.runs.conftest import KedroProject, kedro_project
from tests.servers.lakefs import lakefs


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def overhead(project: KedroProject, rounds: int) -> None:
    """The same run with and without isolation, by turns."""
    times: dict[str, list[float]] = {"off": [], "isolated": []}
    for round_ in range(rounds + 1):
        for mode, taken in times.items():
            project.settings(mode=mode)
            seconds = _timed(lambda: project.run(1, pipeline="wide"))
            if round_:  # the first of each is to warm up
                taken.append(seconds)
    off, isolated = (median(times[mode]) for mode in ("off", "isolated"))
    more = isolated - off
    print(f"40 entries, mode off: {off * 1e3:.0f} ms; isolated: {isolated * 1e3:.0f} ms; more: {more * 1e3:.0f} ms")


def look_up(project: KedroProject, commits: int, rounds: int) -> None:
    """A run by its id and by a git SHA, in a repository where many have run."""
    api = project.api

    def one(number: int) -> None:
        api.create_tag(project.repository, run_tag(f"run-{number:06}"), commit)
        api.create_tag(project.repository, git_tag(f"{number:040x}", number, f"run-{number:06}"), commit)

    for number in range(commits):
        commit = api.create_commit(
            project.repository, "main", f"kedro run {number}", {"kedro_run_id": f"run-{number:06}"}, True
        )
        one(number)
        if number % 1000 == 999:
            print(f"{number + 1} runs made", file=sys.stderr, flush=True)
    backend = project.entry("total").backend
    for what, name in (("run id", "run-{:06}"), ("git SHA", "{:040x}")):
        times = []
        for number in range(rounds):
            asked = name.format(number * (commits // rounds))
            times.append(_timed(lambda asked=asked: backend.resolved(project.repository, asked)))  # type: ignore[misc,attr-defined]
        print(f"look-up by {what} among {commits} runs: {median(times) * 1e3:.1f} ms (worst {max(times) * 1e3:.1f} ms)")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--commits", type=int, default=10_000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, lakefs(Path(folder)) as server:
        os.environ.update(server.environment, DO_NOT_TRACK="1")
        path = Path(folder, "project")
        path.mkdir()
        os.chdir(path)
        with kedro_project(path, server) as project:
            announce(None)
            overhead(project, arguments.rounds)
            look_up(project, arguments.commits, 20)


if __name__ == "__main__":
    main()
