"""What fsspec knows, and what of that can be the place of an entry."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kedro_statisfactory.errors import UnknownPrefix
from kedro_statisfactory.location import WEB

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Places of this machine, for which there is a backend of its own.
_LOCAL = frozenset(("asynclocal", "file", "local"))
# What shows another place in another way.
_VIEWS = frozenset(
    "async_wrapper asyncwrapper blockcache cached dask data dir filecache generic libarchive reference simplecache tar "
    "zip".split()
)
#: Where nothing can be written.
READ_ONLY = WEB | {"gist", "git", "github"}
#: Where an object appears when all of it has arrived, and a rename would be a copy.
OBJECT_STORES = frozenset("abfs abfss adl az gcs gs hf oci oss tos tosfs".split())


def is_known(prefix: str) -> bool:
    """Whether fsspec knows a prefix, and it is that of a place; loads nothing but fsspec.

    Raises:
        UnknownPrefix: It is that of a view of another place, or the package is missing that fsspec needs for it.
    """
    from fsspec.registry import known_implementations, registry

    if prefix in _LOCAL or (prefix not in known_implementations and prefix not in registry):
        return False
    if prefix in _VIEWS:
        raise UnknownPrefix(f"{prefix}:// is no place of its own, but shows another one: name the place itself.")
    told: dict[str, Any] = {} if prefix in registry else known_implementations[prefix]
    if told and find_spec(re.split(r"[.:]", told["class"])[0]) is None:
        raise _missing(prefix, told.get("err") or told["class"])
    return True


def class_of(prefix: str) -> type[AbstractFileSystem]:
    """The class of fsspec's file systems for a prefix.

    Raises:
        UnknownPrefix: A package is missing that it needs.
    """
    from fsspec import get_filesystem_class

    try:
        found: type[AbstractFileSystem] = get_filesystem_class(prefix)
    except ImportError as error:
        raise _missing(prefix, str(error)) from error
    return found


def _missing(prefix: str, says: str) -> UnknownPrefix:
    return UnknownPrefix(f"{prefix}:// goes through fsspec, which needs a package for it: {says.rstrip('.')}.")
