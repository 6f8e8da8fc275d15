"""Dates in header fields: their three forms, and anything else."""

from __future__ import annotations

import pytest

from proxy.domain.http_date import http_date


@pytest.mark.parametrize(
    "text",
    ["Wed, 18 Nov 2026 11:06:40 GMT", "Wednesday, 18-Nov-26 11:06:40 GMT", "Wed Nov 18 11:06:40 2026"],
)
def test_all_forms_of_a_date_are_read(text: str) -> None:
    """The last one names no time zone (RFC 9110 §5.6.7)."""
    assert http_date(text) == 1_795_000_000.0


@pytest.mark.parametrize("text", [None, "", "soon", "37", "Wed, 99 Nov 2026 11:06:40 GMT"])
def test_anything_else_is_no_date(text: str | None) -> None:
    assert http_date(text) is None
