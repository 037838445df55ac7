"""How a format treats what is there when it saves: by the modes among its arguments, in every spelling of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Modes by which writers of tables add to what is there.
_ADDING = frozenset(("append", "merge", "upsert"))
# Modes by which they leave what is there as it is, and by which they fail; Spark's and Delta's names.
_KEEPING = frozenset(("ignore",))
_FAILING = frozenset(("error", "errorifexists", "default"))
# All that Spark knows.
_OF_SPARK = _KEEPING | _FAILING | {"append", "overwrite"}
# Spark's own default, which its datasets in kedro-datasets do not change.
_FAILS_BY_DEFAULT = ("kedro_datasets.spark.",)


class SaveModes:
    """What the arguments of a format say about a save.

    Args:
        args: The arguments.
        module: Of the format's class.
    """

    def __init__(self, args: Mapping[str, Any], module: str = "") -> None:
        save_args = _mapping(args.get("save_args"))
        self._writer = _text(_mapping(save_args.get("writer")).get("mode"))  # of pandas.ExcelDataset
        self._saved = _text(save_args.get("mode")).lower()  # Spark takes them in capitals, too
        self._opened = _text(_mapping(_mapping(args.get("fs_args")).get("open_args_save")).get("mode"))
        # Of fastparquet and others; and Spark's way to replace some of the partitions.
        self._append = save_args.get("append") is True or (
            _text(save_args.get("partitionOverwriteMode")).lower() == "dynamic"
        )
        self._module = module

    def __iter__(self) -> Iterator[str]:
        yield from filter(None, (self._saved, self._writer, self._opened))

    @property
    def changes_file(self) -> bool:
        """Whether a file may have to be opened as the format would not, or its writer be told to begin anew."""
        return self._writer.startswith("a") or _appends(self._saved)

    @property
    def adds(self) -> bool:
        """Whether a save adds to what is there, or changes a part of it."""
        return self._append or any(mode in _ADDING or _appends(mode) or "+" in mode for mode in self)

    @property
    def appends_to_file(self) -> bool:
        """Whether what is there stays the beginning of the file."""
        return _appends(self._saved) or _appends(self._opened)

    @property
    def adds_in_chunks(self) -> bool:
        """Whether several saves add up to something that can be loaded as a whole.

        Binary files that are joined cannot, nor tables of which each part may have a head of its own.
        """
        return self._saved in _ADDING or (_appends(self._opened) and "b" not in self._opened)

    @property
    def keeps_old(self) -> bool:
        """Whether a save leaves what is there as it is, and saves nothing then."""
        return self._saved in _KEEPING

    @property
    def fails_if_exists(self) -> bool:
        """Whether a save fails where something is there."""
        by_default = not self._saved and self._module.startswith(_FAILS_BY_DEFAULT)
        return by_default or any(mode in _FAILING or mode.startswith("x") for mode in self)

    @property
    def is_of_spark(self) -> bool:
        """Whether Spark knows the mode."""
        return not self._saved or self._saved in _OF_SPARK

    def opening(self, is_there: bool) -> str | None:
        """How the file has to be opened so that the writer's mode can be obeyed; ``None``: as the format does it.

        Formats of pandas open the file themselves, by a mode that empties it, whatever mode their writer is given.

        Args:
            is_there: Whether there is something to add to.
        """
        if self._opened or not is_there:
            return None
        if _appends(self._writer):
            return "r+b"
        return "a" if _appends(self._saved) else None


def _appends(mode: str) -> bool:
    return mode.startswith("a") and set(mode) <= set("abt+")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
