"""The nodes of a pipeline in plain values, and what their outputs answer when Kedro asks what is there."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node as KedroNode

from kedro_statisfactory.location import full_path
from kedro_statisfactory.plugin.skipping import original

if TYPE_CHECKING:
    from kedro_statisfactory.datasets import ArtifactDataset
    from kedro_statisfactory.project import Project
    from kedro_statisfactory.project.code import CodeReader, NodeCode, UnknownCode
    from kedro_statisfactory.runs.nodes.contents import Held
    from kedro_statisfactory.runs.nodes.pipeline import Data, Node, NodePipeline
    from kedro_statisfactory.runs.nodes.state import Plan

#: Tag of nodes that are never skipped.
ALWAYS = "always"
# Arguments of an entry that decide nothing about what is read or written, or that are told in another way.
_NO_SETTINGS = frozenset(
    "credentials filepath path filename metadata version fs_args save_version load_version".split()
)

# Whose classes are installed, so that their versions tell what they do.
_WELL_KNOWN = frozenset({"kedro", "kedro_datasets", "kedro_statisfactory"})
# Formats of tables, texts, pictures and the like, which load no objects of somebody else's classes; and of these some
# that may.
_PLAIN = re.compile(
    r"kedro_datasets\.(biosequence|dask|databricks|email|geopandas|ibis|json|matplotlib|networkx|pandas|pillow|plotly|"
    r"polars|spark|svmlight|text|yaml)\..*"
)
_NOT_PLAIN = re.compile("Generic|HDF|Pickle")


def nodes_of(
    pipeline: Pipeline, catalog: Any, ours: Mapping[str, list[ArtifactDataset]], project: Project
) -> NodePipeline:
    """The nodes of a pipeline, as far as they decide what is up to date.

    Args:
        pipeline: The pipeline.
        catalog: Its catalog.
        ours: The entries of this package, by name.
        project: Whose code it is.
    """
    from kedro_statisfactory.runs.nodes.pipeline import NodePipeline

    reader = code_reader(project)
    names = sorted(name for name in pipeline.datasets() if not _is_parameter(name))
    parameters = {name: _value_of(catalog.get(name)) for name in sorted(pipeline.datasets()) if _is_parameter(name)}
    return NodePipeline(
        [_node(node, parameters, reader) for node in pipeline.nodes],
        {name: _data(name, catalog.get(name), ours.get(name, []), reader) for name in names},
        functools.cache(reader.read_project),
    )


def code_reader(project: Project) -> CodeReader:
    """What reads the code of nodes as it is now."""
    from kedro.framework.project import PACKAGE_NAME

    from kedro_statisfactory.project.code import CodeReader

    return CodeReader(project.path, PACKAGE_NAME, project.settings.versions)


def code_of_nodes(pipeline: Pipeline, project: Project) -> dict[str, NodeCode | UnknownCode]:
    """The code of the nodes of a pipeline as it is now, by name."""
    reader = code_reader(project)
    return {node.name: _code(original(node.func), reader) for node in pipeline.nodes}


class Answer:
    """Answers in the place of ``exists`` of an entry."""

    def __init__(self, exists: bool) -> None:
        self._exists = exists

    def __call__(self) -> bool:
        return self._exists


def answer(plan: Plan, catalog: Any, ours: Mapping[str, list[ArtifactDataset]]) -> None:
    """Let the outputs of nodes that are not up to date say that they are missing, and the others that they are there.

    Kedro asks each output of the pipeline for that, after its hooks and before the first node, and takes what stays in
    memory for never missing. What a node that is always run keeps in memory has to say otherwise.

    Args:
        plan: Which nodes are up to date.
        catalog: Of the run.
        ours: The entries of this package, by name.
    """
    from kedro_statisfactory.runs.nodes.state import State

    there = (State.UP_TO_DATE, State.TO_TAKE_OVER)
    for verdict in plan.verdicts.values():
        exists = verdict.state in there
        for name in verdict.node.outputs:
            if plan.pipeline.data[name].in_memory and not verdict.node.always:
                continue
            entry = catalog.get(name, fallback_to_runtime_pattern=True)
            for each in ours.get(name, ()):
                each.answer(exists)
            if ours.get(name) != [entry]:  # another package's class, which may hold one of ours
                entry.exists, entry._EPHEMERAL = Answer(exists), False


def _is_parameter(name: str) -> bool:
    return name == "parameters" or name.startswith("params:")


def _value_of(entry: Any) -> str | None:
    from kedro_statisfactory.runs.nodes.values import digest_of_value

    try:
        return digest_of_value(entry.load()) if entry is not None else None
    except DatasetError:  # it is missing, which the runner says
        return None


def _code(function: Callable[..., Any], reader: CodeReader) -> NodeCode | UnknownCode:
    """The code of a function or class; to look at it never ends a run."""
    from kedro_statisfactory.project.code import UnknownCode

    try:
        return reader.read(function)
    except Exception as error:  # whatever functions and files of somebody else's make of being looked at
        return UnknownCode(f"{type(error).__name__}: {error}")


def _node(node: KedroNode, parameters: Mapping[str, str | None], reader: CodeReader) -> Node:
    from kedro_statisfactory.runs.nodes.pipeline import Node

    wiring = [getattr(node, "_inputs", node.inputs), getattr(node, "_outputs", node.outputs), node.confirms]
    return Node(
        node.name,
        tuple(name for name in node.inputs if not _is_parameter(name)),
        tuple(node.outputs),
        json.loads(json.dumps(wiring)),
        _code(original(node.func), reader),
        {name: parameters[name] for name in node.inputs if _is_parameter(name)},
        ALWAYS in node.tags,
    )


def _data(name: str, entry: Any, found: list[ArtifactDataset], reader: CodeReader) -> Data:
    from kedro_statisfactory.backends import LakeFSBackend
    from kedro_statisfactory.runs.nodes.pipeline import Data

    if not found:
        is_gone = entry is None or bool(getattr(entry, "_EPHEMERAL", False))
        if is_gone:
            return Data(name, True)
        held = functools.partial(_held_by_file, entry)
        return Data(name, False, _settings(entry, [type(entry)], reader), brings_code=_brings([type(entry)]), held=held)
    (first, *others) = found
    kinds = first.kinds
    settings = None if others else _settings(first, kinds, reader)
    is_pinned = first.load_pin is not None or first.save_pin is not None
    held = functools.partial(_held_by, first)
    backend, where = first.backend, first.location
    if isinstance(backend, LakeFSBackend):
        repository, path = backend.split(where)
        at = backend.api.host, repository
        return Data(name, False, settings, path, at, path, is_pinned, first.keeps_chunks, _brings(kinds), held)
    root = full_path(where).removeprefix("/" if where.netloc else "")
    return Data(name, False, settings, root=root, is_pinned=is_pinned, brings_code=_brings(kinds), held=held)


def _held_by(entry: ArtifactDataset) -> Held | None:
    try:
        return entry.held()
    except DatasetError:  # there is no version of it yet, or its service does not answer
        return None


def _held_by_file(entry: Any) -> Held | None:
    """What another package's entry holds that is one file of this machine; ``None``: nobody can tell."""
    from pathlib import Path

    from kedro_statisfactory.datasets.holding import held_by_files

    path = getattr(entry, "_filepath", None)
    if path is None or getattr(entry, "_protocol", "") not in ("", "file") or getattr(entry, "_version", None):
        return None
    file = Path(str(path))
    return held_by_files(file) if file.is_file() else None


def _settings(entry: Any, kinds: Sequence[type], reader: CodeReader) -> str | None:
    """A digest of how the catalog configures an entry, and of the code of its formats that is the project's."""
    from kedro_statisfactory.project.code import UnknownCode
    from kedro_statisfactory.runs.nodes.values import digest_of_value

    told = {key: value for key, value in getattr(entry, "_init_args", {}).items() if key not in _NO_SETTINGS}
    codes: list[str] = []
    for kind in dict.fromkeys([type(entry), *kinds]):
        if kind.__module__.partition(".")[0] in _WELL_KNOWN:
            continue
        code = _code(kind, reader)
        if isinstance(code, UnknownCode):
            return None
        codes.append(code.digest)
    return digest_of_value([type(entry), codes, {key: told[key] for key in sorted(told) if told[key] is not None}])


def _brings(kinds: Sequence[type]) -> bool:
    """Whether what formats load may be objects of classes of the project, as what is unpickled may be."""
    return not kinds or any(
        not _PLAIN.fullmatch(f"{kind.__module__}.{kind.__qualname__}") or _NOT_PLAIN.search(kind.__qualname__)
        for kind in kinds
    )
