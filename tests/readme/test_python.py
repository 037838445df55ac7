"""The Python of the README works."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from kedro_statisfactory import ArtifactDataset, Backend
from tests.readme.blocks import below

CLAIMED = {
    ("Write my own backend", "python"): "test_the_backend_of_ones_own_serves_a_catalog_entry",
    ("Make one run of many processes", "python"): "test_the_dag_runs_what_the_shell_runs",
}


def test_the_backend_of_ones_own_serves_a_catalog_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: dict[str, dict[str, bytes]] = {}

    def from_url(url: str) -> Any:
        there = stored.setdefault(url, {})
        return SimpleNamespace(set=there.__setitem__, get=there.get)

    monkeypatch.setitem(sys.modules, "redis", SimpleNamespace(Redis=SimpleNamespace(from_url=from_url)))
    monkeypatch.setattr(Backend, "_backends", dict(Backend._backends))
    (block,) = below("Write my own backend", "python")
    exec(block.text, {"__name__": "somebody.elses"})
    entry = ArtifactDataset(filepath="redis://host/key", dataset="json.JSONDataset")
    assert not entry.exists()
    entry.save({"rows": 344})
    assert entry.load() == {"rows": 344}
    assert stored.keys() == {"redis://host"}


def test_the_dag_runs_what_the_shell_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[Any] = []

    class Operator:
        """As much of an operator as the example needs."""

        def __init__(self, **arguments: Any) -> None:
            self.arguments = arguments
            tasks.append(self)

        def __rshift__(self, other: Any) -> Any:
            order.append((self.arguments["task_id"], other.arguments["task_id"]))
            return other

    class Dag:
        """The same of a DAG."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    order: list[tuple[str, str]] = []
    for name in ("airflow", "airflow.providers", "airflow.providers.standard", "airflow.providers.standard.operators"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["airflow"].DAG = Dag  # type: ignore[attr-defined]
    bash = ModuleType("bash")
    bash.BashOperator = Operator  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.bash", bash)
    (block,) = below("Make one run of many processes", "python")
    exec(block.text, {})
    assert order == [("clean", "learn"), ("learn", "finish")]
    shell = below("Make one run of many processes", "bash")[0].text.splitlines()
    assert [task.arguments["bash_command"] for task in tasks] == shell[1:4]
    for task in tasks:
        assert task.arguments["append_env"] is True, "else Airflow replaces the environment, and kedro is not found"
        assert task.arguments["env"] == {"STATISFACTORY_RUN_ID": "{{ run_id }}"}
