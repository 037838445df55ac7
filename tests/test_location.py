"""A URL loses no character, and an unsafe one goes no further."""

from __future__ import annotations

from urllib.parse import urlparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedro_statisfactory.errors import InvalidURL
from kedro_statisfactory.location import basename, beside, full_path, join, parse, shown, unparse

SEGMENT = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1).filter(
    lambda text: text not in (".", "..")
)


@given(bucket=st.from_regex(r"[a-z0-9.-]{3,20}", fullmatch=True), segments=st.lists(SEGMENT, min_size=1, max_size=5))
def test_no_character_of_a_remote_url_is_lost(bucket: str, segments: list[str]) -> None:
    url = f"s3://{bucket}/{'/'.join(segments)}"
    parsed = parse(url)
    assert (parsed.scheme, parsed.netloc, full_path(parsed)) == ("s3", bucket, "/" + "/".join(segments))
    assert unparse(parsed) == url
    assert basename(parsed) == segments[-1]


@pytest.mark.parametrize("path", ["data/x.csv", "/abs/x.csv", "./x.csv", "C:\\data\\x.csv", "C:/data/x.csv", "a:b.csv"])
def test_a_local_path_has_no_prefix(path: str) -> None:
    assert parse(path)[:3] == ("", "", path)


def test_a_prefix_is_read_in_any_case() -> None:
    assert parse("S3://bucket/Key").scheme == "s3"


def test_what_urlparse_cut_off_is_put_back() -> None:
    assert full_path(urlparse("s3://bucket/a;b?c#d")) == "/a;b?c#d"


def test_join_goes_below() -> None:
    assert unparse(join(urlparse("s3://bucket/a?b"), "v", "a?b")) == "s3://bucket/a?b/v/a?b"


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("", "names no object"),
        ("s3://bucket", "names no object"),
        ("s3://bucket/", "names no object"),
        ("s3://bucket/folder/", "ends with a slash"),
        ("s3://bucket//x", "empty segment"),
        ("data//x", "empty segment"),
        ("s3://bucket/../x", "'..'"),
        ("../x", "'..'"),
        ("s3://bucket/./x", "'.'"),
        ("s3://bucket/a\x00b", "control character"),
        ("s3://bucket/a\x7fb", "control character"),
        ("data/a\nb", "control character"),
        ("s3://bucket/\ud800", "surrogate"),
        ("simplecache::https://host/x", "a chain of places"),
        ("zip://x.csv::https://host/x.zip", "a chain of places"),
        ("https://host", "names no object"),
        ("https://host/a/../b", "'..'"),
        ("https://me@host/x", "carries a user"),
        ("sftp://me:hush@host/x", "carries a user"),
    ],
)
def test_unsafe_urls_are_refused_with_their_cause(url: str, cause: str) -> None:
    with pytest.raises(InvalidURL, match=cause):
        parse(url)


def test_all_control_characters_and_surrogates_are_refused_and_nothing_beside_them() -> None:
    refused = set()
    for number in [*range(0x100), *range(0xD700, 0xE100), 0x2028, 0xFFFF, 0x10FFFF]:
        try:
            parse(f"s3://bucket/a{chr(number)}b")
        except InvalidURL:
            refused.add(number)
    assert refused == {*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)}


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidURL, match="carries a user or password") as refused:
        parse("s3://me:hush@bucket/x")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "path", "name"),
    [
        ("https://host:1/a//b/?c=d/e#f", "host:1", "/a//b/?c=d/e#f", "b"),
        ("https://host?a=../b", "host", "?a=../b", "host"),
        ("sftp://me@host/x?", "me@host", "/x?", "x?"),
        ("abfs://container@account.dfs.core.windows.net/x", "container@account.dfs.core.windows.net", "/x", "x"),
    ],
)
def test_what_other_places_write_is_kept(url: str, host: str, path: str, name: str) -> None:
    parsed = parse(url)
    assert (parsed.netloc, full_path(parsed), basename(parsed), unparse(parsed)) == (host, path, name, url)


def test_what_is_beside_a_web_page_has_its_query() -> None:
    assert unparse(beside(parse("https://host/maps/areas.shp?sig=1"), "areas.dbf")) == (
        "https://host/maps/areas.dbf?sig=1"
    )


def test_the_query_of_a_web_page_is_not_shown_and_no_other_is_taken_for_one() -> None:
    assert shown("https://host/x?sig=hush") == "https://host/x?<redacted>"
    assert [shown(url) for url in ("s3://b/x?y", "what?.csv", "https://h/x")] == [
        "s3://b/x?y",
        "what?.csv",
        "https://h/x",
    ]
    with pytest.raises(InvalidURL) as refused:
        parse("https://host/../x?sig=hush")
    assert "hush" not in str(refused.value)
