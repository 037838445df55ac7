"""Kedro hooks, found through the entry point ``kedro.hooks``; no project has to name them."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DatasetError
from kedro.pipeline import Pipeline

from kedro_statisfactory.errors import ChunkedSave


class StatisfactoryHooks:
    """What the package adds to a run of Kedro."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: Any) -> None:
        """Tell each entry its name, and refuse nodes that would lose data.

        Raises:
            DatasetError: A generator node writes an entry whose format keeps only the last chunk.
        """
        entries = {name: catalog.get(name) for name in sorted(pipeline.datasets()) if name in catalog}
        module = sys.modules.get("kedro_statisfactory.datasets.artifact")
        if module is None:  # no entry of ours: nothing else is imported for it
            return
        for name, entry in entries.items():
            if isinstance(entry, module.ArtifactDataset):
                entry.entry = name
        for node in pipeline.nodes:
            if inspect.isgeneratorfunction(node.func):
                for name in node.outputs:
                    entry = entries.get(name)
                    if isinstance(entry, module.ArtifactDataset) and not entry.builds_on_old:
                        error = ChunkedSave(
                            f"the node {node.name!r} saves in chunks, and each would replace the one before. Let the "
                            "format append (for example `fs_args: {open_args_save: {mode: a}}` in `dataset`), or let "
                            "the node return its data whole."
                        )
                        raise DatasetError(f"catalog entry {name!r}: {error}") from error


hooks = StatisfactoryHooks()
