"""What a run records of a node: all that its outputs depend on, and what they were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kedro_statisfactory.project.code import UnknownCode
from kedro_statisfactory.runs.nodes.pipeline import Node, NodePipeline

#: Key of the metadata of a run's commits that names the objects with its records; several for a run of several parts.
NODES = "kedro_nodes"
_FORM = 1  # of the objects; younger ones with another form are not read


@dataclass(frozen=True)
class Recipe:
    """All that the outputs of a node depend on.

    Attributes:
        name: Of the node.
        outputs: Names of what it writes.
        wiring: Which argument or result of its function each input and output is.
        code: Digest of the code of its function, and of all that this reaches.
        modules: Digests of the modules among that, by name.
        distributions: Versions of the distributions that these import.
        parameters: Digests of the parameters that it takes.
        data: What each input held that is stored somewhere.
        memory: Digest of the recipe by which each input was made that stays in memory.
        settings: Digests of how the catalog configures each input and output.
        brought: Digests of the code that inputs bring with them.
    """

    name: str
    outputs: tuple[str, ...]
    wiring: Any
    code: str
    modules: Mapping[str, str]
    distributions: Mapping[str, str]
    parameters: Mapping[str, str]
    data: Mapping[str, str]
    memory: Mapping[str, str]
    settings: Mapping[str, str]
    brought: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Equal for recipes that make the same."""
        told = {key: value for key, value in vars(self).items() if key != "modules"}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def is_that_of(self, before: Recipe) -> bool:
        """Whether something was made of the same; versions count where they count now."""
        return replace(self, modules={}) == replace(
            before, modules={}, distributions=before.distributions if self.distributions else {}
        )


@dataclass(frozen=True)
class Record:
    """What a node made, and of what.

    Attributes:
        recipe: Of what.
        outputs: What each of its outputs held that is stored somewhere, by name.
        run: Which made it; empty: the one that tells this.
    """

    recipe: Recipe
    outputs: Mapping[str, str] = field(default_factory=dict)
    run: str = ""

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """That of its node."""
        return self.recipe.name, self.recipe.outputs


def packed(records: Iterable[Record]) -> bytes:
    """Records as the content of an object; what nodes have in common is there once."""
    codes: dict[str, Any] = {}
    nodes: list[dict[str, Any]] = []
    for record in records:
        told = {**vars(record.recipe)}
        codes[record.recipe.code] = dict(told.pop("modules"))
        nodes.append({**told, "made": dict(record.outputs), **({"run": record.run} if record.run else {})})
    return json.dumps({"form": _FORM, "codes": codes, "nodes": nodes}, sort_keys=True).encode()


def unpacked(content: bytes) -> list[Record]:
    """The records of an object; none, where another version or program has written it."""
    try:
        found = json.loads(content)
        if found["form"] != _FORM:
            return []
        return [_record(each, found["codes"][each["code"]]) for each in found["nodes"]]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def _record(found: Mapping[str, Any], modules: Mapping[str, str]) -> Record:
    recipe = Recipe(
        name=found["name"],
        outputs=tuple(found["outputs"]),
        wiring=found["wiring"],
        code=found["code"],
        modules=modules,
        distributions=found["distributions"],
        parameters=found["parameters"],
        data=found["data"],
        memory=found["memory"],
        settings=found["settings"],
        brought=found["brought"],
    )
    return Record(recipe, found["made"], found.get("run", ""))


def recipe_of(
    pipeline: NodePipeline, node: Node, data: Mapping[str, str | None], memory: Mapping[str, str | None]
) -> Recipe | None:
    """The recipe of a node; ``None`` where one thing of it is not known.

    Args:
        pipeline: In which it is.
        node: The node.
        data: What each stored input holds.
        memory: Digest of the recipe of each input that stays in memory.
    """
    code = node.code
    told = (node.parameters, data, memory, pipeline.settings(node), pipeline.brought(node))
    known = [each for each in map(_known, told) if each is not None]
    if isinstance(code, UnknownCode) or len(known) < len(told):
        return None
    return Recipe(
        node.name,
        node.outputs,
        node.wiring,
        code.digest,
        dict(code.modules),
        dict(code.distributions),
        *known,
    )


def _known(values: Mapping[str, str | None]) -> dict[str, str] | None:
    """The same, where all is known."""
    found = {name: value for name, value in values.items() if value is not None}
    return found if len(found) == len(values) else None
