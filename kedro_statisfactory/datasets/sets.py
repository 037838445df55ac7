"""Formats that write several files side by side: a model with its weights, a shapefile with its tables.

Such a set is stored as one folder at the location of the entry, named like it and with all the files in it, so that it
is published, versioned, found and deleted as one thing.
"""

from __future__ import annotations

import os
from pathlib import Path

from kedro_statisfactory.datasets.staging import staged_path

#: Tells a folder with a set from one that a format has written: any name may be in either.
SET_MARK = ".statisfactory-set"

# Files that belong to one of a certain suffix, where another tool has stored a set side by side.
_BESIDE_SUFFIX = {".shp": (".shx", ".dbf", ".prj", ".cpg")}
# And those of a class of kedro-datasets, which puts a suffix behind the name.
_BESIDE_CLASS = {"DartsTorchModelDataset": (".ckpt",)}


def is_single_file(staged: Path) -> bool:
    """Whether a format has written one file, to the path that it was given, and nothing beside it.

    Args:
        staged: That path; nothing else was in its folder.
    """
    with os.scandir(os.path.dirname(staged)) as found:
        each, more = next(found, None), next(found, None)
    return each is not None and more is None and each.name == staged.name and each.is_file()


def gathered(staged: Path) -> Path:
    """What a format has written to a staging folder: the file or folder itself, or a folder with the whole set.

    Args:
        staged: The path that the format was given; nothing else was in its folder.
    """
    beside = sorted(set(os.listdir(staged.parent)) - {staged.name})
    return _in_folder(staged, [staged.with_name(name) for name in beside]) if beside else staged


def as_set_of_one(staged: Path) -> Path:
    """A folder with a single file, for a set that has got smaller."""
    return _in_folder(staged, [])


def _in_folder(staged: Path, beside: list[Path]) -> Path:
    whole = staged.with_name(f".{staged.name}")  # no staged name begins with a dot
    whole.mkdir()
    (whole / SET_MARK).touch()
    for path in (staged, *beside):
        path.rename(whole / path.name)
    return whole


def scatter(staged: Path) -> None:
    """Put the files of a set side by side, as its format has written them, where ``staged`` is one."""
    if main_of(staged) != staged:
        whole = staged.rename(staged.with_name(f".{staged.name}"))
        (whole / SET_MARK).unlink()
        for path in whole.iterdir():
            path.rename(staged.with_name(path.name))
        whole.rmdir()


def main_of(path: Path) -> Path:
    """The path that a format is given: in a set what is named after it, else the path itself."""
    mark = f"{path}/{SET_MARK}"
    # Most paths are files, and have nothing below them: os.access tells so without raising an error, which is slower.
    return staged_path(path, path.name) if os.access(mark, os.F_OK) and os.path.isfile(mark) else path


def names_beside(name: str, kind: type) -> list[str]:
    """Names of the files that other tools store beside one, where it cannot be read without them.

    Args:
        name: Of the file.
        kind: Class of the format.

    >>> names_beside("areas.shp", object)
    ['areas.shx', 'areas.dbf', 'areas.prj', 'areas.cpg']
    """
    stem, suffix = os.path.splitext(name)
    found = [stem + each for each in _BESIDE_SUFFIX.get(suffix.lower(), ())]
    return found + [name + each for each in _BESIDE_CLASS.get(kind.__name__, ())]
