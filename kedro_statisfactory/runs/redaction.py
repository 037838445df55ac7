"""Taking secrets out of what a run tells, by the names and the forms in which they come."""

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
_LONGEST_TEXT = 2000  # characters of a text, or of a line of a longer one, that are told
# Keys and tokens that are known by how they begin, wherever they stand. Words and digests have none of these forms.
_TOKEN = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----|\Z)"
    r"|(?<![A-Za-z0-9_-])("
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"  # GitHub
    r"|glpat-[\w-]{20,}"  # GitLab
    r"|(AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}"  # Google
    r"|sk-[\w-]{0,40}?(?=[A-Za-z0-9]{0,15}\d)[A-Za-z0-9]{16}[\w-]*"  # OpenAI, Anthropic and their like
    r"|[srp]k_(live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"  # Slack
    r"|hf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}"
    r"|dapi[0-9a-f]{32}"  # Databricks
    r"|SG\.[\w-]{16,}\.[\w-]{16,}"  # SendGrid
    r"|AGE-SECRET-KEY-1[0-9A-Z]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JWT
    r")",
    re.DOTALL,
)
# A password in a URL, unless it is a placeholder for one.
_PASSWORD_OF_URL = re.compile(r"://[^\s/:@\"']{1,200}:(?![{$<%*])[^\s/@\"']{1,200}@")
_USER_OF_NETLOC = re.compile(r"(?<=://)[^\s/\"']*@")
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


def has_secret(text: str) -> bool:
    """Whether a text has something that is a secret by its form."""
    return _TOKEN.search(text) is not None or _PASSWORD_OF_URL.search(text) is not None


def without_tokens(text: str) -> str:
    """A text with a mark in the place of what is a secret by its form alone.

    >>> without_tokens("https://me:hunter2@host/sk-learn")
    'https://<redacted>@host/sk-learn'
    """
    return _USER_OF_NETLOC.sub("<redacted>@", _TOKEN.sub("<redacted>", text))


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
            _told(str(key)): ("<redacted>" if named and str(key) == "value" else redacted(item, str(key)))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        # ["--password", "…"] is a command line.
        before = ["", *(each if isinstance(each, str) and each.startswith("-") else "" for each in value)]
        return [redacted(item, option) for option, item in zip(before, value, strict=False)]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None or isinstance(value, bool | int | float):
        return value
    return _told(value if isinstance(value, str) else repr(value))


def _told(text: str) -> str:
    """As much of a text as is told, without what may hide in it."""
    text = _TOKEN.sub("<redacted>", text)
    return "\n".join(map(_told_of, text.split("\n"))) if len(text) > _LONGEST_TEXT else _told_of(text)


def _told_of(text: str) -> str:
    """The same of a short text, or a line of a longer one."""
    if len(text) > _LONGEST_TEXT:
        text = f"{text[:_LONGEST_TEXT]}…"
    text = _QUERY.sub("?<redacted>", USER_OF_URL.sub("<redacted>@", text))
    text = _USER_OF_HOST.sub("<redacted>@", _WEBHOOK.sub(r"\1<redacted>", text))
    return _BEARER.sub(r"\1<redacted>", _IN_CONNECTION.sub(r"\1<redacted>", text))
