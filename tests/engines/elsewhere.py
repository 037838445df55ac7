"""A runner that sends each node to another host, and what stands for a host within this process."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import AbstractRunner
from kedro.runner.task import Task

from kedro_statisfactory import ArtifactDataset


def work(node: Node, catalog: DataCatalog, run_id: str | None, after: Iterable[object]) -> str:
    """Do what one node has to do, on whichever host, when others are done."""
    Task(node, catalog, is_async=False, run_id=run_id, parallel=True).execute()
    return str(node.name)


class HostsRunner(AbstractRunner):
    """Sends each node to a host, with those of the entries that it needs.

    Args:
        client: Of ``distributed``, or what has its two methods.
    """

    def __init__(self, client: Any) -> None:
        super().__init__(is_async=False)
        self._client = client

    def _get_executor(self, max_workers: int) -> None:
        return None

    def _run(self, pipeline: Pipeline, catalog: Any, hook_manager: Any = None, run_id: str | None = None) -> None:
        futures: dict[Node, Any] = {}
        for node in pipeline.nodes:
            entries = DataCatalog({name: catalog.get(name) for name in {*node.inputs, *node.outputs, *node.confirms}})
            after = [futures[each] for each in pipeline.node_dependencies[node]]
            futures[node] = self._client.submit(work, node, entries, run_id, after, pure=False)
        self._client.gather(list(futures.values()))


class Host:
    """Another host, played in this process: entries come pickled, and nothing of the driver is there.

    Args:
        variables: Of that host; what the driver has of lakeFS's is not among them.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = variables or {}

    def submit(self, function: Any, node: Node, catalog: DataCatalog, *arguments: Any, pure: bool) -> Future[Any]:
        """Call a function at once."""
        node, catalog = pickle.loads(pickle.dumps((node, catalog)))
        for name in catalog:
            entry = catalog.get(name)
            if isinstance(entry, ArtifactDataset) and (there := entry._project) is not None:
                nowhere = Path("/nonexistent")
                entry.bind(dataclasses.replace(there, path=nowhere, journal=there.journal and nowhere, reads=nowhere))
        future: Future[Any] = Future()
        with pytest.MonkeyPatch.context() as patch:
            for name in ("ENDPOINT_URL", "CREDENTIALS_ACCESS_KEY_ID", "CREDENTIALS_SECRET_ACCESS_KEY"):
                patch.delenv(f"LAKECTL_{'SERVER_' * name.startswith('E')}{name}", raising=False)
            patch.delenv("STATISFACTORY_AT", raising=False)
            patch.setenv("HOME", "/nonexistent")
            for name, value in self._variables.items():
                patch.setenv(name, value)
            future.set_result(function(node, catalog, *arguments))
        return future

    def gather(self, futures: Iterable[Future[Any]]) -> list[Any]:
        """The results."""
        return [each.result() for each in futures]
