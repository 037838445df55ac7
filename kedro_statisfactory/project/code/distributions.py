"""Which installed distribution a module belongs to, and its version."""

from __future__ import annotations

import functools
import itertools
import os
import re
import sys
from pathlib import Path

SITES = frozenset({"site-packages", "dist-packages"})
_INFO = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")


@functools.lru_cache(maxsize=4096)
def distribution_of(file: str) -> tuple[str, str] | None:
    """Name and version of the distribution that a module's file was installed by; ``None``: no one knows.

    Args:
        file: Path of the file, in a folder where packages are installed.
    """
    parts = Path(file).parts
    at = max((index + 1 for index, part in enumerate(parts) if part in SITES), default=0)
    return _owner(os.path.join(*parts[:at]), "/".join(parts[at:])) if at else None


def all_installed() -> dict[str, str]:
    """Versions of all distributions in the folders where Python looks, by their names."""
    places = [place for place in reversed(sys.path) if os.path.isdir(place)]
    return {name: version for place in places for name, version, _ in _installed(place).values()}


def _owner(folder: str, path: str) -> tuple[str, str] | None:
    """The distribution in a folder that has a file; those of a similar name are asked first."""
    top = path.split("/")[0].removesuffix(".py")
    installed = _installed(folder)
    if found := installed.get(_normal(top)):
        return found[:2]
    for name in sorted(installed, key=lambda each: -len(_pairs(each) & _pairs(_normal(top)))):
        if _has(installed[name][2], path):
            return installed[name][:2]
    return None


@functools.lru_cache(maxsize=4096)
def _pairs(name: str) -> frozenset[str]:
    """All pairs of neighbouring letters in a name; similar names have many of them in common."""
    return frozenset(map("".join, itertools.pairwise(name)))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


@functools.cache
def _installed(folder: str) -> dict[str, tuple[str, str, Path]]:
    """Name, version and folder of each distribution, by its name as a module would be called."""
    found = ((each, _INFO.fullmatch(each)) for each in os.listdir(folder))
    return {
        _normal(match["name"]): (match["name"], match["version"], Path(folder, each)) for each, match in found if match
    }


def _has(info: Path, path: str) -> bool:
    for listing, start in (("RECORD", b"\n"), ("installed-files.txt", b"/")):
        try:
            return (
                start + path.encode() + (b"," if listing == "RECORD" else b"\n")
                in b"\n" + (info / listing).read_bytes()
            )
        except OSError:
            continue
    return False
