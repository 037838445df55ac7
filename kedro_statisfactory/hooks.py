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
        """Refuse, before anything runs, generator nodes that would lose all that they save but the last chunk.

        Raises:
            DatasetError: A generator node writes an entry whose format keeps only the last chunk.
        """
        for node in pipeline.nodes:
            if inspect.isgeneratorfunction(node.func):
                for name in node.outputs:
                    entry = catalog.get(name)
                    # An entry of ours has imported its module; for the others nothing is imported.
                    module = sys.modules.get("kedro_statisfactory.datasets.artifact")
                    if module and isinstance(entry, module.ArtifactDataset) and not entry.builds_on_old:
                        error = ChunkedSave(
                            f"the node {node.name!r} saves in chunks, and each would replace the one before. Let the "
                            "format append (for example `fs_args: {open_args_save: {mode: a}}` in `dataset`), or let "
                            "the node return its data whole."
                        )
                        raise DatasetError(f"catalog entry {name!r}: {error}") from error


hooks = StatisfactoryHooks()
