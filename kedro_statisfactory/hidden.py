"""Values that no traceback shows: where locals are printed, as rich and IPython do, one sees their ``repr``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

_Value = TypeVar("_Value")

_SHOWN = "<redacted>"


class Hidden(Generic[_Value]):
    """A value that is shown to nobody; equal and hashed as the value is.

    No subclass of ``str``, since those who shorten long texts would show a piece of it.

    >>> Hidden("do not tell")
    <redacted>
    >>> Hidden("do not tell").reveal()
    'do not tell'
    """

    __slots__ = ("_value",)

    def __init__(self, value: _Value) -> None:
        self._value = value

    def reveal(self) -> _Value:
        """The value. Use it where it is needed, and give it no name there."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return _SHOWN


class HiddenText(str):
    """A text for libraries that take nothing else: it is the text, and no ``repr`` shows it, nor a piece of it.

    Use it only where such a library gets it; elsewhere :class:`Hidden` is safer.

    >>> {"key": HiddenText("do not tell")[:6]}
    {'key': <redacted>}
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> HiddenText:
        return HiddenText(super().__getitem__(key))

    def __repr__(self) -> str:
        return _SHOWN


class HiddenDict(dict[str, Any]):
    """A dictionary that is shown without its content.

    >>> HiddenDict({"secret": "do not tell"})
    <redacted>
    """

    def __repr__(self) -> str:
        return _SHOWN

    def __rich_repr__(self) -> Iterator[str]:
        """What rich prints in the brackets behind the name of the class; it would look into a dictionary."""
        yield _SHOWN


def hidden(mapping: Mapping[str, Any] | None) -> HiddenDict:
    """A copy that is shown without its content, and so are the mappings in it."""
    return HiddenDict(
        {key: hidden(value) if isinstance(value, Mapping) else value for key, value in (mapping or {}).items()}
    )
