"""The table of request fields: what is derived from it."""

from __future__ import annotations

import pytest

from proxy.domain.request_fields import REQUEST_FIELDS, InKey, Preflight, RequestField, Vary, preflight, vary


def test_a_name_is_there_once() -> None:
    assert len({field.name.lower() for field in REQUEST_FIELDS}) == len(REQUEST_FIELDS)


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        ((Vary.ALL,), "Authorization, X-Cr-Purchase-Ticket"),
        ((Vary.ALL, Vary.PRIVATE), "Authorization, X-Cr-Purchase-Ticket, Cookie"),
        ((Vary.PAGE,), "Origin, Sec-Fetch-Site, Referer"),
    ],
)
def test_vary_names_what_answers_of_a_kind_depend_on(kinds: tuple[Vary, ...], names: str) -> None:
    assert vary(*kinds) == names


def test_a_preflight_names_private_fields_first() -> None:
    """And those that all scripts may send alone, for scripts that may read public pictures only."""
    public = "If-Match, If-None-Match, If-Range, Range, X-Cr-Context-Hint"
    assert preflight(Preflight.PUBLIC) == public
    assert preflight(Preflight.PRIVATE, Preflight.PUBLIC) == f"Authorization, X-Cr-Purchase-Ticket, {public}"


@pytest.mark.parametrize("field", REQUEST_FIELDS, ids=lambda field: field.name)
def test_fields_that_can_change_an_answer_are_in_the_key(field: RequestField) -> None:
    """The fields that Cloudreve is told, and those that `Vary` names."""
    can_change = field.is_sent_upstream or field.vary is not Vary.NONE
    assert not can_change or field.in_key in (InKey.VALUE, InKey.OUTCOME)
