"""The fenced blocks of a Markdown text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        heading: Of the section that it stands in, the nearest above it.
        language: As its fence names it.
        text: Its lines.
        line: Of its fence in the text, counted from 1.
    """

    heading: str
    language: str
    text: str
    line: int


def blocks(markdown: str = README) -> Iterator[Block]:
    """All fenced blocks, in order."""
    heading, lines, fence = "", markdown.splitlines(), -1
    for number, line in enumerate(lines):
        if line.startswith("```"):
            if fence < 0:
                fence = number
            else:
                text = "\n".join(lines[fence + 1 : number]) + "\n"
                yield Block(heading, lines[fence].removeprefix("```"), text, fence + 1)
                fence = -1
        elif fence < 0 and (found := re.fullmatch(r"#+ (.+)", line)):
            heading = found[1]


def below(heading: str, language: str) -> list[Block]:
    """The blocks of one language in one section."""
    return [block for block in blocks() if (block.heading, block.language) == (heading, language)]
