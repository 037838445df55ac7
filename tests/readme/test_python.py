"""The Python of the README works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from kedro_statisfactory import ArtifactDataset, Backend
from tests.readme.blocks import ROOT, below
from tests.servers.s3 import S3Server

CLAIMED = {
    ("Move an entry from disk to S3", "python"): "test_what_was_there_is_copied",
    ("Keep versions of an entry", "python"): "test_versions_are_listed_and_loaded",
    ("Save in chunks", "python"): "test_chunks_add_up",
    ("Write my own backend", "python"): "test_the_backend_of_ones_own_keeps_the_promises",
    ("Make one run of many processes", "python"): "test_the_dag_runs_what_the_shell_runs",
}


def test_the_backend_of_ones_own_serves_a_catalog_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: dict[str, dict[str, bytes]] = {}

    def from_url(url: str) -> Any:
        there = stored.setdefault(url, {})
        return SimpleNamespace(set=there.__setitem__, get=there.get)

    monkeypatch.setitem(sys.modules, "redis", SimpleNamespace(Redis=SimpleNamespace(from_url=from_url)))
    monkeypatch.setattr(Backend, "_backends", dict(Backend._backends))
    block, _ = below("Write my own backend", "python")
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
    bash = ModuleType("bash")
    bash.BashOperator = Operator  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.bash", bash)
    sdk = ModuleType("airflow.sdk")
    sdk.DAG = Dag  # type: ignore[attr-defined]
    sdk.get_current_context = lambda: {"run_id": "scheduled__2026"}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
    dag, in_a_task = below("Make one run of many processes", "python")
    exec(dag.text, {})
    assert order == [("clean", "learn"), ("learn", "finish")]
    shell = below("Make one run of many processes", "bash")[0].text.splitlines()
    assert [task.arguments["bash_command"] for task in tasks] == shell[1:4]
    for task in tasks:
        assert task.arguments["append_env"] is True, "else Airflow replaces the environment, and kedro is not found"
        assert task.arguments["env"] == {"STATISFACTORY_RUN_ID": "{{ run_id }}"}
    names: dict[str, Any] = {}
    exec(in_a_task.text, names)
    monkeypatch.setenv("STATISFACTORY_RUN_ID", "")
    names["be_one_run"]()
    assert os.environ["STATISFACTORY_RUN_ID"] == "scheduled__2026"


def test_the_backend_of_ones_own_keeps_the_promises(tmp_path: Path) -> None:
    """The tests of the README, run by pytest as the reader would, with a stand-in for Redis."""
    (tmp_path / "redis.py").write_text(
        "class Redis(dict):\n"
        "    servers = {}\n"
        "    from_url = classmethod(lambda cls, url: cls.servers.setdefault(url, cls()))\n"
        "    set, flushdb = dict.__setitem__, dict.clear\n"
    )
    backend, contract = below("Write my own backend", "python")
    (tmp_path / "test_redis.py").write_text(backend.text + contract.text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_redis.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_"))}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split()[-4]) > 20, done.stdout


def test_what_was_there_is_copied(
    tmp_path: Path, seaweed: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    ArtifactDataset(filepath="data/02_clean/companies.parquet").save(b"as it is")
    (block,) = below("Move an entry from disk to S3", "python")
    names: dict[str, Any] = {}
    exec(block.text.replace("s3://analytics/", f"s3://{bucket}/"), names)
    assert names["new"].load() == b"as it is"


def test_versions_are_listed_and_loaded(tmp_path: Path) -> None:
    (entry,) = below("Keep versions of an entry", "yaml")
    config = yaml.safe_load(entry.text)
    config["model"]["filepath"] = str(tmp_path / "model.pkl")
    for version in ("2026-11-26T03.00.00.000Z", "2026-11-25T03.00.00.000Z"):
        DataCatalog.from_config(config, save_version=version).save("model", version)
    (block,) = below("Keep versions of an entry", "python")
    names: dict[str, Any] = {"catalog": DataCatalog.from_config(config)}
    exec(block.text, names)
    assert names["versions"] == ["2026-11-26T03.00.00.000Z", "2026-11-25T03.00.00.000Z"]
    assert names["oldest"] == "2026-11-25T03.00.00.000Z"


def test_chunks_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (entry,) = below("Save in chunks", "yaml")
    (block,) = below("Save in chunks", "python")
    names: dict[str, Any] = {}
    exec(block.text, names)
    catalog = DataCatalog.from_config(yaml.safe_load(entry.text))
    catalog["companies"] = MemoryDataset(pd.DataFrame({"name": ["one", "two"]}))
    SequentialRunner().run(Pipeline([Node(names["write_names"], "companies", "names")]), catalog)
    assert catalog.load("names") == "one\ntwo\n"
