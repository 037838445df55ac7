"""The one line by which a store said no to an engine, among the pages that the engine makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SAID = (
    # Hadoop's S3A: the file and the operation, then the store's message, and in brackets what AWS's SDK adds to it.
    re.compile(r"java\.nio\.file\.AccessDeniedException: [^\n]*Exception: (?P<said>[^\n(]*[^\n( ]) *\(Service: "),
    # Rust's library object_store: the status, then S3's answer as it came, which is XML.
    re.compile(r"40[13] (?:Forbidden|Unauthorized): .*?<Message>(?P<said>[^<]*)</Message>", re.DOTALL),
)


def said_no(texts: Iterable[str]) -> str:
    """What a store has said when it refused an engine's request.

    Args:
        texts: Of an error, and of those behind it.

    Returns:
        The words of the store; an empty text where no store has refused a request.
    """
    found = (said.search(text) for text in texts for said in _SAID)
    return next((each["said"].rstrip(". ") for each in found if each), "")
