"""URLs of a catalog: splitting them without losing a character, joining them again, and refusing unsafe ones."""

from __future__ import annotations

import functools
import re
from urllib.parse import ParseResult

from kedro_statisfactory.errors import InvalidURL

#: RFC 3986 §3.1, but at least two characters: the letter of a Windows drive is no scheme.
#: An underscore is not legal, and tells better than a path of that name what was mistyped.
_PREFIX = re.compile(r"([A-Za-z][\w+.-]+)://(.*)", re.DOTALL | re.ASCII)
#: What becomes of a URL in a ``Path``, which keeps one slash of two.
_ONE_SLASH = re.compile(r"([A-Za-z][\w+.-]+):/(?!/)(.*)", re.DOTALL | re.ASCII)
#: Several places in one URL, as fsspec chains them.
_CHAIN = re.compile(r"[^/]*(://.*)?::[A-Za-z][\w+.-]+(://.*)?", re.DOTALL | re.ASCII)

#: Control characters, and halves of surrogate pairs: Unicode's categories Cc and Cs.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

#: The prefixes of web pages, where a URL has a query, and its path may end with a slash.
WEB = frozenset(("http", "https"))
# Prefixes of URLs in which a container, or a user without a password, stands in front of the host.
_NAMED_BEFORE_HOST = frozenset("abfs abfss az ftp hdfs oci sftp smb ssh webhdfs".split())


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
    if "://" in url and _CHAIN.fullmatch(url):
        raise InvalidURL(f"{shown(url)!r} is a chain of places of fsspec, and an entry is in one: name that.")
    if found := _ONE_SLASH.fullmatch(url):
        slashes = ":///" if found[1].lower() == "file" else "://"
        raise InvalidURL(
            f"{url!r} has one slash where a URL has two: write {found[1]}{slashes}{found[2]}, as text, not as a Path."
        )
    if match is None:
        return checked(ParseResult("", "", url, "", "", ""))
    prefix = match[1].lower()
    authority = re.split(r"[/?#]" if prefix in WEB else "/", match[2], maxsplit=1)[0]
    return checked(ParseResult(prefix, authority, match[2].removeprefix(authority), "", "", ""))


@_remembered
def checked(fragment: ParseResult) -> ParseResult:
    """Give ``fragment`` back when it is safe to use.

    Raises:
        InvalidURL: As for :func:`parse`.
    """
    url, is_web = shown(unparse(fragment)), fragment.scheme in WEB
    user, at, _ = fragment.netloc.rpartition("@")
    if at and (":" in user or fragment.scheme not in _NAMED_BEFORE_HOST):
        raise InvalidURL(
            f"the URL {fragment.scheme}://<redacted>{_without_query(fragment)!r} carries a user or password. "
            "Put them into `credentials` of the entry."
        )
    segments = _without_query(fragment).removeprefix("/").split("/")
    if segments == [""] and not (is_web and full_path(fragment).strip("/")):
        raise InvalidURL(f"the URL {url!r} names no object: write a path behind it.")
    for number, segment in enumerate(segments):
        if segment == "" and not is_web and number == len(segments) - 1:
            raise InvalidURL(f"the URL {url!r} ends with a slash: leave the slash away, for folders too.")
        if segment == "" and not is_web:
            raise InvalidURL(f"the URL {url!r} has an empty segment ('//'): write one slash.")
        if segment == ".." or (segment == "." and fragment.scheme not in ("", "file")):
            raise InvalidURL(f"the URL {url!r} has a segment {segment!r}: write the path that is meant.")
    if _UNUSABLE.search(unparse(fragment)):
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
    if not (fragment.params or fragment.query or fragment.fragment):
        return fragment.path
    cut_off = ((";", fragment.params), ("?", fragment.query), ("#", fragment.fragment))
    return fragment.path + "".join(mark + text for mark, text in cut_off if text)


def unparse(fragment: ParseResult) -> str:
    """The URL of which ``fragment`` is the parse.

    >>> unparse(parse("s3://bucket/a b?c"))
    's3://bucket/a b?c'
    """
    prefix = f"{fragment.scheme}://" if fragment.scheme else ""
    return f"{prefix}{fragment.netloc}{full_path(fragment)}"


def shown(url: str) -> str:
    """A URL or path as texts may have it: the query of a web page may be a signature.

    >>> shown("https://example.org/x.csv?signature=hush#top")
    'https://example.org/x.csv?<redacted>'
    """
    prefix, slashes, rest = url.partition("://")
    page, mark, _ = rest.partition("?")
    return f"{prefix}://{page}?<redacted>" if slashes and mark and prefix.lower() in WEB else url


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
    path = _without_query(fragment)
    rest = full_path(fragment).removeprefix(path)
    path = path.rstrip("/").removesuffix(basename(fragment)) + name + rest
    return fragment._replace(path=path, params="", query="", fragment="")


def basename(fragment: ParseResult) -> str:
    """The last segment of the path: the name of the file or object; that of the host where a web page has no path.

    >>> basename(parse("https://example.org/data/x.csv?version=2/3"))
    'x.csv'
    """
    return _without_query(fragment).rstrip("/").rpartition("/")[2] or fragment.netloc


def _without_query(fragment: ParseResult) -> str:
    """The path, without the query and the fragment where it is that of a web page."""
    path = full_path(fragment)
    return re.split(r"[?#]", path, maxsplit=1)[0] if fragment.scheme in WEB else path
