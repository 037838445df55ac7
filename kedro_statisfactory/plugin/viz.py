"""What kedro-viz shows of entries: it asks fsspec, by URL, how large they are, and fsspec may not reach them."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro_statisfactory.datasets import ArtifactDataset

_STATISTICS = "kedro_viz.integrations.kedro.hooks"
_STATUS = "kedro_viz.integrations.kedro.run_hooks"
_OURS = "_asks_statisfactory"

_logger = logging.getLogger(__name__)


def let_viz_ask_entries() -> None:
    """Let the hooks of kedro-viz, where they are loaded, ask an entry itself how large it is.

    To register a file system for ``lakefs://`` with fsspec would change what others in the process get from it.
    """
    statistics = getattr(sys.modules.get(_STATISTICS), "dataset_stats_hook", None)
    _replace(statistics, "get_file_size", lambda dataset: dataset)
    _replace(sys.modules.get(_STATUS), "compute_size", lambda name, datasets: datasets.get(name))


def _replace(holder: object, name: str, entry_of: Callable[..., Any]) -> None:
    """Answer for our entries what an attribute answers for all others; nothing, where kedro-viz has another name."""
    theirs = getattr(holder, name, None)
    if theirs is None or hasattr(theirs, _OURS):
        return

    @functools.wraps(theirs)
    def size(*args: Any) -> Any:
        entry = entry_of(*args)
        module = sys.modules.get("kedro_statisfactory.datasets.artifact")
        is_ours = module is not None and isinstance(entry, module.ArtifactDataset)
        return _size_of(entry) if is_ours else theirs(*args)

    setattr(size, _OURS, True)
    setattr(holder, name, size)


def _size_of(entry: ArtifactDataset) -> int | None:
    """Bytes of what an entry loads; ``None`` where that is not known, or would take long to find out."""
    from kedro_statisfactory.backends import Backend

    if entry.is_collection or type(entry.backend).stat is Backend.stat:  # which would fetch all of it
        return None
    try:
        return entry.stored_bytes()
    except Exception as error:  # no run fails because a size is not known
        _logger.debug("The size of %s is not known: %s", entry, error)
        return None
