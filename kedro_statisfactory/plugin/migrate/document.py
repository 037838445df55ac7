"""The YAML of one catalog: where each key of an entry stands in the text, and which entries share lines.

ruamel.yaml reads it. It does not write it: a file that it loads and dumps without any change is laid out anew, with
other indentation and spaces, and comments at other columns. So the text itself is edited, at the places that it tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# Arguments of an entry that stay beside its `type`; all others are those of the format.
OF_THE_ENTRY = frozenset(("credentials", "filepath", "fs_args", "metadata", "versioned"))
_MERGE = "<<"
_REMARK = re.compile(r"\s*(#.*)?$")
_ALIAS = re.compile(r"\*[^\s,\]}]+")


class CannotEdit(Exception):
    """Lines are laid out in a way that is not edited; the text says how, as the end of a sentence."""


@dataclass(frozen=True)
class Pair:
    """A key and its value.

    Attributes:
        key: The text of the key.
        key_node: Where it stands.
        value: The value; that of an alias is where its anchor is.
    """

    key: str
    key_node: Any
    value: Any

    @property
    def is_alias(self) -> bool:
        """Whether the value stands elsewhere."""
        return bool(self.value.start_mark.index < self.key_node.start_mark.index)

    def end_line(self, lines: Sequence[str]) -> int:
        """Number of the line after the last one of the value.

        Args:
            lines: All of the text.
        """
        is_empty = self.value.start_mark.index == self.value.end_mark.index
        if self.is_alias or is_empty:  # the place of nothing is that of what comes next
            return int(self.key_node.end_mark.line) + 1
        return _end_line(self.value, lines)

    def end_index(self, text: str) -> int:
        """Where the value ends, in a mapping with braces."""
        if not self.is_alias:
            return int(self.value.end_mark.index)
        alias = _ALIAS.search(text, self.key_node.end_mark.index)
        assert alias is not None
        return alias.end()


class Document:
    """One catalog.

    Args:
        text: Of the file.

    Attributes:
        text: The same.
        entries: The values of the keys at the top, by these.
        anchors: All names of anchors.

    Raises:
        ruamel.yaml.error.YAMLError: The text is no YAML.
    """

    def __init__(self, text: str) -> None:
        from ruamel.yaml import YAML

        self.text = text
        self.entries: dict[str, Any] = {}
        self.anchors: set[str] = set()
        self._columns: dict[int, int] = {}
        root = YAML(typ="rt", pure=True).compose(text)
        if is_mapping(root):
            self.entries = {pair.key: pair.value for pair in pairs(root)}
            self._walk(root, 0)

    def _walk(self, node: Any, column: int) -> None:
        if id(node) in self._columns:
            return
        self._columns[id(node)] = column
        if node.anchor:
            self.anchors.add(node.anchor)
        if is_mapping(node):
            for pair in pairs(node):
                self._walk(pair.value, pair.key_node.start_mark.column)
        elif isinstance(node.value, list):
            for each in node.value:
                self._walk(each, column)

    def step(self, node: Any) -> int:
        """By how many columns the keys of a mapping are indented."""
        column: int = pairs(node)[0].key_node.start_mark.column
        return max(column - self._columns[id(node)], 1)

    def levels(self, name: str) -> list[Any]:
        """The mappings in which the arguments of an entry stand: its own and all that it merges by ``<<``."""
        found: list[Any] = []

        def look(node: Any) -> None:
            if is_mapping(node) and all(node is not each for each in found):
                found.append(node)
                for each in merged(node):
                    look(each)

        look(self.entries[name])
        return found


def is_mapping(node: Any) -> bool:
    """Whether a node has keys."""
    return node is not None and node.id == "mapping"


def pairs(node: Any) -> list[Pair]:
    """The keys of a mapping and their values, in order, without those that it merges."""
    return [Pair(str(key.value), key, value) for key, value in node.value]


def merged(node: Any) -> list[Any]:
    """The mappings that a mapping merges by ``<<``, the one that goes first in front."""
    found: list[Any] = []
    for pair in pairs(node):
        if pair.key == _MERGE:
            found += [pair.value] if is_mapping(pair.value) else pair.value.value
    return found


def keys_of(node: Any) -> set[str]:
    """All keys of a mapping, with those that it merges; none, if it is no mapping."""
    if not is_mapping(node):
        return set()
    own = {pair.key for pair in pairs(node)} - {_MERGE}
    return own.union(*map(keys_of, merged(node)))


def is_of_format(pair: Pair) -> bool:
    """Whether an argument of a stock entry belongs to the format, and not to the entry as a whole."""
    if pair.key == "fs_args":
        return any(key.startswith("open_args_") for key in keys_of(pair.value))
    return pair.key not in OF_THE_ENTRY and pair.key != _MERGE


def has_format(node: Any) -> bool:
    """Whether a mapping has arguments of a format among its own keys."""
    return any(is_of_format(pair) for pair in pairs(node))


def carriers(node: Any) -> Iterator[Any]:
    """The nearest of the mappings that a mapping merges which have arguments of a format among their own keys."""
    for each in merged(node):
        if has_format(each) or len(list(carriers(each))) > 1:
            yield each
        else:
            yield from carriers(each)


def _end_line(node: Any, lines: Sequence[str]) -> int:
    """Number of the line after the last one of a value, without the comments behind it, which its mark counts in."""
    if isinstance(node.value, list) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(last, tuple):
            return Pair(str(last[0].value), *last).end_line(lines)
        others = [node, *node.value[:-1]]
        if last.start_mark.index > max(each.start_mark.index for each in others):
            return _end_line(last, lines)
        # The node of an alias is where its anchor is; behind an alias there can be nothing but remarks.
        end = int(node.end_mark.line)
        while end > 0 and _REMARK.match(lines[end - 1]):
            end -= 1
        return end
    mark = node.end_mark
    return int(mark.line) + (1 if mark.column > 0 or mark.index == node.start_mark.index else 0)
