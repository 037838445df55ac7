"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)
_POWERS = "kmgt"


def parse_size(written: object) -> int | None:
    """The bytes that are meant by a text or a number; ``None``: it says nothing of that kind.

    >>> [parse_size(each) for each in ("20 GiB", "1.5kb", "0", 4096, "much", True)]
    [21474836480, 1500, 0, 4096, None, None]
    """
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        return None
    found = _SIZE.fullmatch(str(written).strip())
    if found is None:
        return None
    number, unit, binary = found.groups()
    power = _POWERS.index(unit.lower()) + 1 if unit else 0
    return int(float(number) * (1024 if binary else 1000) ** power)
