"""Options of entries in lakeFS, and what is refused of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedro_statisfactory.errors import UnknownOption

#: Why an entry with versions is not saved.
NO_VERSION = (
    "the entry is `versioned: true`, a version on lakeFS is a run, and this would be written outside of one, so that "
    "it could not be loaded again: save it in a `kedro run` (`mode` isolated or direct, no `lake_ref` under "
    "`save_args`), or take `versioned` away, without which `load_args: {lake_ref: …}` loads the past as well."
)


def verify_of(options: Mapping[str, Any]) -> bool:
    """Whether what is read is compared with the checksum that is kept of it.

    Args:
        options: Of a read.

    Raises:
        UnknownOption: That is neither true nor false.
    """
    verify = options.get("verify", True)
    if not isinstance(verify, bool):
        raise UnknownOption(f"`verify` is {verify!r}: write true or false.")
    return verify
