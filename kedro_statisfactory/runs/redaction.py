"""Taking secrets out of parameters, by the names and the forms in which they come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Names of parameters whose values nobody should read in a log.
_SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|private|creds?\b|credential|auth(?!or)|cookie|dsn|conn|bearer|jwt|webhook|signature"
    r"|(^|[_-])(sas|sig|pw|pat|otp)([_-]|$)|^-p$|keys?\d*$",
    re.IGNORECASE,
)
# Keys of tables, which open nothing.
_NO_SECRET = re.compile(r"(primary|foreign|sort|group|join|partition)[_-]?keys?", re.IGNORECASE)
_LONGEST_TEXT = 2000  # characters of a value that are told
#: What may hide in values: users of URLs, to the last @ because a password may have one; queries; connection strings.
USER_OF_URL = re.compile(r"(?<=://)[^\s\"]*@")
_QUERY = re.compile(r"(?<=\w)\?\S*=\S*")
_IN_CONNECTION = re.compile(
    r"(?i)((?<![\w-])[\w-]{0,64}?(?:passw(?:or)?d|pwd|secret|token|key|sig)[\"']?\s{0,8}[=:]\s{0,8})"
    r"(?:\"[^\"]*\"|'[^']*'|[^;&\s\"']+)"
)
_BEARER = re.compile(r"(?i)\b((?:bearer|basic)\s+)\S+")
_USER_OF_HOST = re.compile(r"^[^\s:/@]+:\S+@(?=[\w.-]+)")
_WEBHOOK = re.compile(r"(?i)(?<=://)([\w.-]*hooks?\.[\w.-]+/)\S+")


def _is_secret(name: str) -> bool:
    return _NO_SECRET.fullmatch(name) is None and _SECRET_NAME.search(name) is not None


def redacted(value: Any, name: str = "") -> Any:
    """``value`` with a mark in the place of what looks like a secret.

    Args:
        value: Of a parameter; mappings and sequences are looked through.
        name: Of the parameter.
    """
    if _is_secret(name):
        return "<redacted>"
    if isinstance(value, Mapping):
        # {name: password, value: …} is how lists of variables are written.
        named = any(_is_secret(str(value.get(key, ""))) for key in ("name", "key"))
        return {
            str(key): "<redacted>" if named and str(key) == "value" else redacted(item, str(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        # ["--password", "…"] is a command line.
        before = ["", *(each if isinstance(each, str) and each.startswith("-") else "" for each in value)]
        return [redacted(item, option) for option, item in zip(before, value, strict=False)]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            value = f"{value[:_LONGEST_TEXT]}…"
        value = _QUERY.sub("?<redacted>", USER_OF_URL.sub("<redacted>@", value))
        value = _USER_OF_HOST.sub("<redacted>@", _WEBHOOK.sub(r"\1<redacted>", value))
        return _BEARER.sub(r"\1<redacted>", _IN_CONNECTION.sub(r"\1<redacted>", value))
    return value
