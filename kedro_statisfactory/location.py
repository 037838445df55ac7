"""URLs of a catalog: splitting them without losing a character, joining them again, and refusing unsafe ones."""

from __future__ import annotations

import functools
import re
import unicodedata
from urllib.parse import ParseResult

from kedro_statisfactory.errors import InvalidURL

#: RFC 3986 §3.1, but at least two characters: the letter of a Windows drive is no scheme.
#: An underscore is not legal, and tells better than a path of that name what was mistyped.
_PREFIX = re.compile(r"([A-Za-z][\w+.-]+)://(.*)", re.DOTALL | re.ASCII)
#: What becomes of a URL in a ``Path``, which keeps one slash of two.
_ONE_SLASH = re.compile(r"([A-Za-z][\w+.-]+):/(?!/)(.*)", re.DOTALL | re.ASCII)


# Each load and save looks at its location anew, and a catalog has a bounded number of them.
_remembered = functools.lru_cache(maxsize=4096)


@_remembered
def parse(url: str) -> ParseResult:
    """Split a location into prefix, authority and path.

    ``urllib.parse.urlparse`` takes ``?``, ``#`` and ``;`` for delimiters; in object keys and file names they are
    characters like any other, and ``%`` is no escape. So all that follows the authority is the path.

    Args:
        url: ``prefix://authority/path``, or the path of a local file.

    Returns:
        A ``ParseResult`` whose ``scheme`` is the prefix in lower case (``""`` for a local path), ``netloc`` the bucket
        or repository and ``path`` everything else; ``params``, ``query`` and ``fragment`` stay empty.

    Raises:
        InvalidURL: The path is empty, or has ``..``, an empty segment, a control character or a character that has
            no UTF-8 form.

    >>> parse("s3://bucket/2026/what?#100%.csv")
    ParseResult(scheme='s3', netloc='bucket', path='/2026/what?#100%.csv', params='', query='', fragment='')
    >>> parse("data/x.csv").scheme
    ''
    """
    match = _PREFIX.fullmatch(url)
    if found := _ONE_SLASH.fullmatch(url):
        slashes = ":///" if found[1].lower() == "file" else "://"
        raise InvalidURL(
            f"{url!r} has one slash where a URL has two: write {found[1]}{slashes}{found[2]}, as text, not as a Path."
        )
    if match is None:
        return checked(ParseResult("", "", url, "", "", ""))
    authority, slash, path = match[2].partition("/")
    return checked(ParseResult(match[1].lower(), authority, slash + path, "", "", ""))


@_remembered
def checked(fragment: ParseResult) -> ParseResult:
    """Give ``fragment`` back when it is safe to use.

    Raises:
        InvalidURL: As for :func:`parse`.
    """
    url, path = unparse(fragment), full_path(fragment)
    if "@" in fragment.netloc:
        raise InvalidURL(
            f"the URL {fragment.scheme}://<redacted>{path!r} carries a user or password. "
            "Put them into `credentials` of the entry."
        )
    segments = path.removeprefix("/").split("/")
    if segments == [""]:
        raise InvalidURL(f"the URL {url!r} names no object: write a path behind it.")
    for number, segment in enumerate(segments):
        if segment == "" and number == len(segments) - 1:
            raise InvalidURL(f"the URL {url!r} ends with a slash: leave the slash away, for folders too.")
        if segment == "":
            raise InvalidURL(f"the URL {url!r} has an empty segment ('//'): write one slash.")
        if segment == ".." or (segment == "." and fragment.scheme not in ("", "file")):
            raise InvalidURL(f"the URL {url!r} has a segment {segment!r}: write the path that is meant.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in url):
        raise InvalidURL(f"the URL {url!r} has a control character or half a surrogate pair: remove it.")
    return fragment


def refuse_placeholder(fragment: ParseResult) -> None:
    """Refuse an authority that is still the placeholder of a template.

    Raises:
        InvalidURL: It has a brace, which no bucket and no repository has.
    """
    if "{" in fragment.netloc or "}" in fragment.netloc:
        raise InvalidURL(
            f"the URL {unparse(fragment)!r} has a placeholder that nobody has filled in: write the name itself, or "
            "${oc.env:…} or ${globals:…} with a dollar sign."
        )


def full_path(fragment: ParseResult) -> str:
    """The path of ``fragment`` with what ``urllib.parse.urlparse`` may have cut off as params, query and fragment."""
    cut_off = ((";", fragment.params), ("?", fragment.query), ("#", fragment.fragment))
    return fragment.path + "".join(mark + text for mark, text in cut_off if text)


def unparse(fragment: ParseResult) -> str:
    """The URL of which ``fragment`` is the parse.

    >>> unparse(parse("s3://bucket/a b?c"))
    's3://bucket/a b?c'
    """
    prefix = f"{fragment.scheme}://" if fragment.scheme else ""
    return f"{prefix}{fragment.netloc}{full_path(fragment)}"


def join(fragment: ParseResult, *segments: str) -> ParseResult:
    """The location ``segments`` below ``fragment``.

    >>> unparse(join(parse("s3://bucket/model.pkl"), "v1", "model.pkl"))
    's3://bucket/model.pkl/v1/model.pkl'
    """
    path = "/".join((full_path(fragment), *segments))
    return fragment._replace(path=path, params="", query="", fragment="")


def beside(fragment: ParseResult, name: str) -> ParseResult:
    """The location called ``name`` in the same folder as ``fragment``.

    >>> unparse(beside(parse("s3://bucket/maps/areas.shp"), "areas.dbf"))
    's3://bucket/maps/areas.dbf'
    """
    path = full_path(fragment).removesuffix(basename(fragment)) + name
    return fragment._replace(path=path, params="", query="", fragment="")


def basename(fragment: ParseResult) -> str:
    """The last segment of the path: the name of the file or object."""
    return full_path(fragment).rpartition("/")[2]
