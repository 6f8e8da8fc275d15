"""Versions: which state of a picture was seen, and how upstream is asked whether it still is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.picture_version import etag_in, version_of


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', '"a,b"', '"with blank"', '""', 'W/"it\'s"'])
def test_upstream_s_etag_is_the_version_and_is_sent_back_as_it_came(etag: str) -> None:
    """Weak ones too: `If-None-Match` compares weakly (RFC 9110 §13.1.2)."""
    assert version_of(etag, b"bytes") == etag
    assert etag_in(version_of(etag, b"bytes")) == etag


@given(st.binary(), st.binary())
def test_without_an_etag_equal_versions_mean_equal_bytes(one: bytes, other: bytes) -> None:
    """And upstream is not asked about a digest that it never gave."""
    assert (version_of("", one) == version_of("", other)) == (one == other)
    assert etag_in(version_of("", one)) == ""


@pytest.mark.parametrize(
    "etag",
    ["v1", "*", 'w/"v1"', '"v1', 'v1"', '"v"1"', '"a", "b"', '"\udcff"', '"\x01"', '"\r\nX: 1"', '"é"', '"v1"\n'],
)
def test_an_etag_that_could_not_be_sent_back_as_it_came_is_not_asked_with(etag: str) -> None:
    """It still names the version; but a changed or refused field would vouch for the wrong bytes, or for ever fail."""
    assert version_of(etag, b"bytes") == etag
    assert etag_in(etag) == ""


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_a_version_is_never_empty(etag: str) -> None:
    """An empty one means `not seen yet` in a grant, and equal to it would skip the check."""
    assert version_of(etag, b"")
