"""Editing the text of a catalog: only what changes is touched, lines that move take their comments with them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kedro_statisfactory.plugin.migrate.document import (
    CannotEdit,
    Document,
    Pair,
    carriers,
    has_format,
    is_of_format,
    merged,
    pairs,
)

#: How a catalog calls the class of the entries.
OURS = "kedro_statisfactory.ArtifactDataset"
# What YAML takes for the end of a line; Python knows more.
_LINE = re.compile(r".*?(?:\r\n|\r|\n)", re.DOTALL)
_MARK = "\ufeff"  # by which some editors say that a file is Unicode
_ANCHOR = re.compile(r"&[^\s,\[\]{}]+\s+")

# A part of the text by its beginning and end, and what takes its place.
_Edit = tuple[int, int, str]


@dataclass(frozen=True)
class Changes:
    """What is to be done to the entries of one file.

    Attributes:
        moved: Names of those whose format becomes their ``dataset``.
        relocated: Names of those that live elsewhere from now on.
        root: Put in front of the paths of these.
    """

    moved: tuple[str, ...]
    relocated: tuple[str, ...] = ()
    root: str = ""


# A plan is tried with more and with less, and most files are the same each time.
@functools.lru_cache(maxsize=256)
def edit(text: str, changes: Changes) -> str:
    """The text of a catalog with some of its entries rewritten.

    Args:
        text: Of the file.
        changes: What is to be done.

    Raises:
        CannotEdit: The lines of an entry cannot be edited.
    """
    mark, text = (_MARK, text[1:]) if text.startswith(_MARK) else ("", text)
    end = "\r\n" if "\r\n" in text else "\n"
    has_end = text.endswith("\n")
    text = text if has_end else text + end
    text = _edited(text, _words(Document(text), changes))
    text = _edited(text, _Mover(Document(text), changes.moved, end).edits())
    return mark + (text if has_end else text.removesuffix(end))


def _edited(text: str, edits: Iterable[_Edit]) -> str:
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def _levels(document: Document, names: Iterable[str]) -> list[Any]:
    """The mappings of all these entries, each once."""
    found = {id(node): node for name in names for node in document.levels(name)}
    return list(found.values())


def _words(document: Document, changes: Changes) -> list[_Edit]:
    """Edits within lines: names of keys, and paths."""
    edits: list[_Edit] = []
    relocated = {id(node) for node in _levels(document, changes.relocated)}
    moved = {id(node) for node in _levels(document, changes.moved)}
    for node in _levels(document, {*changes.moved, *changes.relocated}):
        for pair in pairs(node):
            key = pair.key_node
            if pair.key in ("filepath", "path") and id(node) in relocated:
                where = _beginning(document.text, pair)
                edits.append((where, where, f"{changes.root}/"))
            if pair.key == "path" and id(node) in moved:
                edits.append((key.start_mark.index, key.end_mark.index, "filepath"))
                edits += _without_slash(document.text, pair)
            if pair.key == "layer" and id(node) in moved:
                edits.append((key.start_mark.index, key.end_mark.index, "metadata: {kedro-viz: {layer"))
                end = pair.end_index(document.text)
                edits.append((end, end, "}}"))
    return edits


def _beginning(text: str, pair: Pair) -> int:
    """Where the text of a path begins, behind its quote."""
    if pair.is_alias or pair.value.id != "scalar" or pair.value.style in ("|", ">"):
        raise CannotEdit("its path is no text on one line")
    where: int = pair.value.start_mark.index
    if anchor := _ANCHOR.match(text, where):
        where = anchor.end()
    return where + (pair.value.style in ("'", '"'))


def _without_slash(text: str, pair: Pair) -> list[_Edit]:
    if not str(pair.value.value).endswith("/"):
        return []
    end = pair.end_index(text) - (pair.value.style in ("'", '"'))
    if pair.is_alias or text[end - 1 : end] != "/":
        raise CannotEdit("its path is no text on one line")
    return [(end - 1, end, "")]


class _Mover:
    """Moves the arguments of the format below ``dataset``, in each mapping in which some stand.

    Args:
        document: The catalog.
        names: Of the entries; none of their mappings is merged by an entry that is not among them.
        end: Of a line.
    """

    def __init__(self, document: Document, names: Iterable[str], end: str) -> None:
        self._document, self._end = document, end
        self._text = document.text
        self._all = _LINE.findall(self._text)
        self._starts = [0]
        for line in self._all:
            self._starts.append(self._starts[-1] + len(line))
        levels = _levels(document, names)
        self._nodes = [node for node in levels if has_format(node) or len(list(carriers(node))) > 1]
        self._names: dict[int, str] = {}
        templates = {id(each) for node in levels for each in merged(node)}
        for node in self._nodes:
            if id(node) in templates and list(carriers(node)):
                # OmegaConf takes the `dataset` of both for a key that is there twice.
                raise CannotEdit("a template that it merges adds arguments to another template: move it by hand")
            for source in carriers(node):
                self._names[id(source)] = self._name_of(source)

    def _name_of(self, source: Any) -> str:
        """The name of the anchor of what a mapping has below ``dataset``."""
        if not source.anchor:
            raise CannotEdit("it merges a mapping that has no anchor")
        name = f"{source.anchor}_dataset"
        while name in self._document.anchors:
            name += "_"
        return name

    def edits(self) -> list[_Edit]:
        """What takes the place of each of the mappings."""
        return [self._in_braces(node) if node.flow_style else self._in_lines(node) for node in self._nodes]

    def _merge_of(self, node: Any) -> str:
        """The line by which ``dataset`` merges what others have below theirs; empty: nothing."""
        names = [f"*{self._names[id(source)]}" for source in carriers(node)]
        return f"<<: {names[0] if len(names) == 1 else '[' + ', '.join(names) + ']'}" if names else ""

    def _anchor_of(self, node: Any) -> str:
        return f" &{self._names[id(node)]}" if id(node) in self._names else ""

    def _is_short(self, node: Any) -> bool:
        """Whether ``dataset`` has nothing but the type, so that a text is enough."""
        own = [pair.key for pair in pairs(node) if is_of_format(pair)]
        return own == ["type"] and not self._merge_of(node) and not self._anchor_of(node)

    # -- mappings with a line for each key ---------------------------------------------------------------------------

    def _in_lines(self, node: Any) -> _Edit:
        own, column = pairs(node), pairs(node)[0].key_node.start_mark.column
        indent, step = " " * column, " " * self._document.step(node)
        kept: list[str] = []
        below: list[str] = []
        place, before = None, own[0].key_node.start_mark.line
        begin = self._starts[before]
        for pair in own:
            line, after = pair.key_node.start_mark.line, pair.end_line(self._all)
            self._refuse_odd(pair, column)
            remarks = self._lines(before, line)
            if not is_of_format(pair):
                kept.append(remarks + self._lines(line, after))
            elif pair.key == "type":
                below.append(self._renamed(pair, line, after) if self._is_short(node) else self._lines(line, after))
                kept.append(f"{remarks}{indent}type: {OURS}{self._end}")
            else:
                below.append(remarks + self._lines(line, after))
                place = len(kept) if place is None else place
            if pair.key in ("type", "filepath"):
                place = len(kept)
            before = after
        new = "".join(below) if self._is_short(node) else self._block(node, below, indent, step)
        kept.insert(len(kept) if place is None else place, new)
        return begin, self._starts[before], "".join(kept)

    def _block(self, node: Any, below: list[str], indent: str, step: str) -> str:
        merge = self._merge_of(node)
        head = f"{indent}dataset:{self._anchor_of(node)}{self._end}"
        lines = (f"{indent}{merge}{self._end}" if merge else "") + "".join(below)
        return head + "".join(step + line if line.strip() else line for line in _LINE.findall(lines))

    def _lines(self, begin: int, end: int) -> str:
        return self._text[self._starts[begin] : self._starts[end]]

    def _renamed(self, pair: Pair, line: int, after: int) -> str:
        key, start = pair.key_node, self._starts[line]
        return (
            self._text[start : key.start_mark.index] + "dataset" + self._text[key.end_mark.index : self._starts[after]]
        )

    def _refuse_odd(self, pair: Pair, column: int) -> None:
        start = self._starts[pair.key_node.start_mark.line]
        if self._text[start : pair.key_node.start_mark.index] != " " * column:
            raise CannotEdit("something stands in front of one of its keys")

    # -- mappings in braces ------------------------------------------------------------------------------------------

    def _in_braces(self, node: Any) -> _Edit:
        text, own = self._text, pairs(node)
        begin = text.index("{", node.start_mark.index) + 1
        end = node.end_mark.index - 1
        spans = [(pair.key_node.start_mark.index, pair.end_index(text)) for pair in own]
        gaps = [text[a:b] for a, b in zip([begin, *(e for _, e in spans)], [*(s for s, _ in spans), end], strict=True)]
        if any("#" in gap for gap in gaps):
            raise CannotEdit("it has a comment between its braces")
        kept: list[str] = []
        below: list[str] = []
        place = None
        for pair, (start, stop) in zip(own, spans, strict=True):
            if not is_of_format(pair):
                kept.append(text[start:stop])
            elif pair.key == "type":
                below.append(text[pair.key_node.end_mark.index : stop] if self._is_short(node) else text[start:stop])
                kept.append(f"type: {OURS}")
            else:
                below.append(text[start:stop])
            if pair.key in ("type", "filepath"):
                place = len(kept)
        kept.insert(len(kept) if place is None else place, self._dataset_in_braces(node, below))
        between = gaps[1] if len(own) > 1 else ", "
        return begin, end, gaps[0] + between.join(kept) + gaps[-1]

    def _dataset_in_braces(self, node: Any, below: list[str]) -> str:
        if self._is_short(node):
            return f"dataset{below[0]}"
        merge = self._merge_of(node)
        return f"dataset:{self._anchor_of(node)} {{{', '.join([merge, *below] if merge else below)}}}"
