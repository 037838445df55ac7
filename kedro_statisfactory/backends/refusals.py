"""What a backend refuses, and in which words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import ParseResult

from kedro_statisfactory.errors import NotSupported, PreconditionFailed, UnknownOption
from kedro_statisfactory.location import unparse


class Refusals:
    """What a backend may refuse before anything is done, and errors that all backends word alike."""

    def check_options(self, *, load_args: Mapping[str, Any], save_args: Mapping[str, Any]) -> None:
        """Refuse options of an entry that could not be used, before a run has computed what they are for.

        A backend that does not override this refuses them when they are used.

        Args:
            load_args: Options for ``get``.
            save_args: Options for ``put``.

        Raises:
            UnknownOption: The backend does not know one of them, or its value cannot be right.
        """
        return

    def check_location(self, fragment: ParseResult) -> None:
        """Refuse a location that could never be right, when the entry is made; asks nobody.

        Args:
            fragment: The parsed location.

        Raises:
            InvalidURL: It names no place of the service.
        """
        return

    def check_use(self, fragment: ParseResult, is_written: bool) -> None:
        """Refuse a location that a pipeline could not use, before it has computed what it would store; asks nobody.

        Args:
            fragment: The parsed location.
            is_written: Whether the pipeline writes there.

        Raises:
            NotSupported: Nothing can be written there.
            UnknownPrefix: A package is missing.
        """
        return

    def _already_there(self, fragment: ParseResult) -> PreconditionFailed:
        return PreconditionFailed(f"something is at {unparse(fragment)!r} already, and is not replaced.")

    def _not_supported(self, verb: str, fragment: ParseResult) -> NotSupported:
        return NotSupported(f"{name_of(type(self))} does not {verb}, which {unparse(fragment)!r} would need.")

    def _refuse_unknown(self, options: Iterable[str], known: Iterable[str] = ()) -> None:
        """Raise :class:`UnknownOption` for options that are not among the known ones."""
        unknown = sorted(map(str, set(options) - set(known)))
        if unknown:
            listing = ", ".join(sorted(known)) or "none"
            raise UnknownOption(
                f"{type(self).__name__} does not know the option {', '.join(unknown)} here. Known are: {listing}. "
                "Arguments of the format belong into `dataset`, not into `load_args` and `save_args` of the entry."
            )


def name_of(backend: type) -> str:
    """A class as errors call it."""
    return f"{backend.__module__}.{backend.__qualname__}"
