"""What services share in reading credentials: checks that name a key and never show its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kedro_statisfactory.errors import InvalidCredentials, UnknownCredential
from kedro_statisfactory.hidden import HiddenDict, hidden


def present(mapping: Mapping[str, Any]) -> HiddenDict:
    """The keys that have a value: ``None`` counts as absent, and so does the empty text."""
    return HiddenDict({key: value for key, value in mapping.items() if value is not None and value != ""})


def mapping_of(key: str, given: Mapping[str, Any]) -> HiddenDict:
    """The value of ``key`` in credentials, which has to be a mapping; empty where it is absent.

    Raises:
        InvalidCredentials: It is none.
    """
    if not isinstance(given.get(key, {}), Mapping):
        raise InvalidCredentials(f"the credential {key!r} is of type {type(given[key]).__name__}, not a mapping.")
    return hidden(given.get(key))


def refuse_unknown(service: str, unknown: Iterable[object], known: Iterable[str]) -> None:
    """Raise :class:`UnknownCredential` when there are unknown keys; the text lists those that the service knows."""
    if names := sorted(map(str, unknown)):
        raise UnknownCredential(
            f"credentials for {service} (`credentials` and `fs_args` of the entry) have an unknown key: "
            f"{', '.join(names)}. Known are: {', '.join(sorted(known))}."
        )


def refuse_half_a_pair(service: str, found: Mapping[str, Any], key: str, secret: str) -> None:
    """Raise :class:`InvalidCredentials` when one of ``key`` and ``secret`` is there without the other."""
    if (key in found) != (secret in found):
        raise InvalidCredentials(
            f"credentials for {service} have one half of a key pair: give both {key} and {secret}."
        )


def refuse_unprintable(key: str, found: Mapping[str, str]) -> None:
    """Raise :class:`InvalidCredentials` when the value of ``key`` is one that no HTTP header can carry."""
    if not (found[key].isascii() and found[key].isprintable()):
        raise InvalidCredentials(
            f"the credential {key!r} has a line break, or a character that none of its kind has: copy it again."
        )


def refuse_secrets_in_url(found: Mapping[str, str]) -> None:
    """Raise :class:`InvalidCredentials` for an ``endpoint_url`` that carries what would show in errors."""
    if set("@?") & set(found.get("endpoint_url", "")):
        raise InvalidCredentials(
            "endpoint_url carries a user, a password or a query, which would show in errors: remove it."
        )
