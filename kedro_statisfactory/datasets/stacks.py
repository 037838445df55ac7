"""What an engine that runs in Java says of an error, without the hundred lines of where in Java that was."""

from __future__ import annotations

import re

_FRAME = re.compile(r"\s+(?:at [\w.$/<>@]+\(.*\)|\.\.\. \d+ more)")
_HEADS = ("Driver stacktrace:",)


def without_stack(text: str) -> str:
    r"""The same in one line, where it has stacks of Java; else as it is.

    >>> without_stack("o1.save\n: E: no\n\tat a.B.c(B.scala:1)\n\t... 3 more\nCaused by: F: luck\n\tat a.b(B.java)")
    'o1.save: E: no Caused by: F: luck'
    """
    lines = text.split("\n")
    kept = [line.strip() for line in lines if not _FRAME.fullmatch(line) and line not in _HEADS]
    if len(kept) == len(lines):
        return text
    return " ".join(dict.fromkeys(line for line in kept if line)).replace(" : ", ": ")
