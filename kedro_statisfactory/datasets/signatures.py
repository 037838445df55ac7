"""Classes by their names and signatures by their classes, remembered: to find them takes longer than to make an entry.

Only classes of kedro-datasets are: those of a user may be defined once more, in a notebook.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from kedro.io.core import AbstractDataset, parse_dataset_definition

from kedro_statisfactory.hidden import HiddenDict

_OF_KEDRO = "kedro_datasets."

_resolved: dict[str, type[AbstractDataset[Any, Any]]] = {}


def definition_of(config: Mapping[str, Any]) -> tuple[type[AbstractDataset[Any, Any]], dict[str, Any]]:
    """Class and arguments of a dataset, as Kedro resolves them.

    Args:
        config: Its ``type``, and its arguments.

    Raises:
        DatasetError: There is no such class.
    """
    name = config["type"]
    known = _resolved.get(name) if isinstance(name, str) else None
    kind, args = parse_dataset_definition(HiddenDict({**config, "type": known or name}))
    if known is None and isinstance(name, str) and kind.__module__.startswith(_OF_KEDRO):
        remember_signature(kind)
        _resolved[name] = kind
    return kind, args


@functools.lru_cache(maxsize=256)
def signature_of(kind: type) -> inspect.Signature:
    """The signature of a class."""
    return inspect.signature(kind)


def remember_signature(kind: type) -> None:
    """Keep the signatures of a class's constructor, and of those that it calls, where Python looks first.

    Kedro asks for each of them, by ``inspect.getcallargs``, for each dataset that is made.
    """
    for each in kind.__mro__:
        init = inspect.unwrap(vars(each).get("__init__", object.__init__))
        if inspect.isfunction(init):
            init.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]
