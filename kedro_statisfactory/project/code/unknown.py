"""What is raised where the code of a function cannot be known."""

from __future__ import annotations


class CodeNotKnown(Exception):
    """The code that a function depends on cannot be known; the text says why. It never leaves this package."""
