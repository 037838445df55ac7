"""A server that is really started again in the middle of a run, and a process that is really killed while it lands."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from kedro_statisfactory.backends import http, patience
from kedro_statisfactory.backends.lakefs.api import LakeFSAPI
from tests.runs.conftest import KedroProject, project_on
from tests.servers.lakefs import LakeFSServer, lakefs
from tests.servers.process import free_ports

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
AFTER = {"a": 3, "b": 30, "total": 3}


def test_a_run_waits_for_a_server_that_is_started_again_and_lands_whole(
    lakefs_local: LakeFSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,), folder = free_ports(1), tmp_path / "server"
    for each in (folder, tmp_path / "project"):
        each.mkdir()
    monkeypatch.setattr(http, "LONGEST_PAUSE", 0.1)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(stopping := contextlib.ExitStack()).enter_context(lakefs(folder, again_at=port))
        project = stack.enter_context(project_on(server, tmp_path / "project", monkeypatch))
        is_news, started = patience.is_news, list[str]()

        def start_again(name: str) -> bool:
            if not started:  # the run has begun to wait
                started.append(name)
                stack.enter_context(lakefs(folder, again_at=port))
            return is_news(name)

        with project.waiting_run("second", value=3) as run:
            stopping.close()
            monkeypatch.setattr(patience, "is_news", start_again)
        assert f"kedro-{run.result()}" in project.tags()
        assert started
        assert project.read() == AFTER
        assert project.branches() == ["main"]


@pytest.mark.parametrize("call", ["create_commit", "merge", "create_tag"])
def test_what_a_kill_leaves_of_a_run_that_lands_is_found_and_finished(
    project: KedroProject, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    original = getattr(LakeFSAPI, call)

    def killed(*arguments: Any, **options: Any) -> Any:
        original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(LakeFSAPI, call, killed)
        assert project.forked_run(value=3) == -signal.SIGKILL
    assert project.read() == ({"total": 0} if call == "create_commit" else AFTER)
    (run_id,) = re.findall(r"`kedro statisfactory run finish (\S+)`", project.invoke("clean").output)
    done = project.invoke("run", "finish", run_id)
    assert done.exit_code == 0, done.output
    assert project.read() == AFTER
    assert project.tags()[f"kedro-{run_id}"] == project.log()[0].id
    assert project.branches() == ["main"]
    assert project.catalog().load("b", version=run_id) == {"n": 30}
