"""File URIs as Go's net/url and path.Clean take them apart; the contract suite asks a real Cloudreve the same."""

from __future__ import annotations

import pytest

from proxy.standin import gourl
from proxy.standin.gourl import Address


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("cloudreve://my/a/b.jpg", Address("my", None, "", "/a/b.jpg")),
        ("CLOUDREVE://SHARE", Address("share", None, "", "/")),
        ("cloudreve://id:p%40ss@share/x%2Fy", Address("share", "id", "p@ss", "/x/y")),
        ("cloudreve://@my/a", Address("my", "", "", "/a")),
        ("cloudreve://a@b@my/a", Address("my", "a@b", "", "/a")),
        ("cloudreve://my/a//./b/../c/", Address("my", None, "", "/a/c")),
        ("cloudreve://my/a+b%20c?q=%zz#f", Address("my", None, "", "/a+b c")),
        ("cloudreve://my:80/a", Address("my:80", None, "", "/a")),
        ("cloudreve://[::1]:80/a", Address("[::1]:80", None, "", "/a")),
        ("cloudreve://b%C3%BCro/a", Address("büro", None, "", "/a")),
        ("cloudreve:opaque/a", Address("", None, "", "/")),
        ("cloudreve:/a", Address("", None, "", "/a")),
    ],
)
def test_a_uri_is_taken_apart(uri: str, address: Address) -> None:
    """Scheme and filesystem in any case, decoded names, a clean path."""
    assert gourl.read(uri) == address


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "my/a",
        "https://my/a",
        "cloudreve://my/\x7f",
        "cloudreve://my/%4",
        "cloudreve://a%zz@my/a",
        "cloudreve://b<@my/a",
        "cloudreve://[::1/a",
        "cloudreve://[::1]x/a",
        "cloudreve://my:8o/a",
        "cloudreve://m y/a",
        "cloudreve://m%20y/a",
        "cloudreve://m%zz/a",
    ],
)
def test_addresses_that_go_does_not_read_are_none(uri: str) -> None:
    with pytest.raises(gourl.NotAnAddress):
        gourl.read(uri)


def test_elements_are_the_names_on_the_way() -> None:
    assert gourl.read("cloudreve://my/a/b").elements == ["a", "b"]
    assert gourl.read("cloudreve://my").elements == []


@pytest.mark.parametrize(
    ("query", "value"),
    [("uri=a%20b+c", "a b c"), ("x&uri=1&uri=2", "1"), ("uri=%zz&uri=2", "2"), ("uri=a;b", ""), ("%75ri=1", "1")],
)
def test_a_query_is_read_as_go_reads_it(query: str, value: str) -> None:
    """First readable value; semicolons and broken escapes void their pair."""
    assert gourl.query_value(query, "uri") == value
