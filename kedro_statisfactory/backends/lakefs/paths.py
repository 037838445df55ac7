"""Repository and path of an object in lakeFS, as a URL names them."""

from __future__ import annotations

import re
from urllib.parse import ParseResult

from kedro_statisfactory.backends.lakefs.model import FOLDER_MARK, LONGEST_PATH
from kedro_statisfactory.errors import InvalidURL
from kedro_statisfactory.location import checked, full_path, refuse_placeholder, unparse

_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")


def split(fragment: ParseResult) -> tuple[str, str]:
    """Repository and path of an object, from its parsed location.

    Raises:
        InvalidURL: It names no place in lakeFS.
    """
    checked(fragment)
    if not fragment.netloc:
        raise InvalidURL(f"the URL {unparse(fragment)!r} names no repository: write lakefs://repository/path.")
    refuse_placeholder(fragment)
    if not _REPOSITORY.fullmatch(fragment.netloc):
        raise InvalidURL(
            f"the URL {unparse(fragment)!r} names the repository {fragment.netloc!r}, which lakeFS does not allow "
            "as a name: correct it."
        )
    path = full_path(fragment).removeprefix("/")
    check_length(path)
    if f"{path}/".startswith(FOLDER_MARK):
        raise InvalidURL(f"{unparse(fragment)!r} is below {FOLDER_MARK!r}, which this package uses: choose another.")
    return fragment.netloc, path


def check_length(path: str) -> None:
    """Refuse a path that lakeFS has no room for.

    Raises:
        InvalidURL: It is longer.
    """
    if len(path.encode()) > LONGEST_PATH:
        raise InvalidURL(
            f"the path {path!r} has {len(path.encode())} bytes, and lakeFS allows {LONGEST_PATH}: shorten it."
        )
