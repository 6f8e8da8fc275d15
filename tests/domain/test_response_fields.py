"""Header fields: what caches and browsers are told, and nothing that is not theirs to know."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.errors import Busy, InvalidToken, MethodNotAllowed, ProxyError, Refused, StillGenerating, TooSlow
from proxy.domain.fields import Fields
from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.domain.request_fields import TICKET
from proxy.domain.response_fields import (
    VARY,
    VARY_PUBLIC,
    Handling,
    cache_status,
    matches,
    phrase,
    picture_fields,
    problem,
    problem_fields,
)
from proxy.domain.source import Source
from proxy.identity.claims import holding

ETAG = '"0123456789abcdef"'
ALICE = Identity(IdentityKind.USER, "aliceid", "clientid", ("Files.Read",), "ticketdigest")
HIT = Handling(Source.MEMORY, Source.MEMORY)
HANDLINGS = [
    Handling(grant, picture, collapsed)
    for grant, picture, collapsed in product(Source, (*Source, None), (False, True))
    if not collapsed or Source.UPSTREAM in (grant, picture)
]

# RFC 8941: a list of one item, a token, with its parameters.
KEY, TOKEN, INTEGER = r"[a-z*][a-z0-9_.*-]*", r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*", r"-?[0-9]{1,15}"
ITEM = re.compile(rf"({TOKEN})((?: *; *{KEY}(?:=(?:{TOKEN}|{INTEGER}))?)*)")


def parsed(field: str) -> tuple[str, dict[str, str | int | bool]]:
    """Read a Cache-Status field with one member as RFC 8941 says, or fail."""
    item = ITEM.fullmatch(field)
    assert item is not None, field
    parameters: dict[str, str | int | bool] = {}
    for name, value in re.findall(rf"; *({KEY})(?:=({TOKEN}|{INTEGER}))?", item[2]):
        assert name not in parameters
        parameters[name] = True if not value else int(value) if re.fullmatch(INTEGER, value) else value
    return item[1], parameters


@pytest.mark.parametrize(
    "field",
    [
        ETAG,
        f"W/{ETAG}",
        f'"other", {ETAG}',
        f'"other",{ETAG},"third"',
        f'"a,b" , W/"c,d",\t{ETAG}',
        f'"W/", {ETAG}',
        f", {ETAG},,",
        f'"", {ETAG}',
        f'"it\'s \\", {ETAG}',
        f'"\udcff", {ETAG}',
        "*",
        " * ",
    ],
)
def test_a_list_that_names_the_picture_matches_weakly(field: str) -> None:
    """A tag may hold commas, blanks and backslashes, none of which ends it (RFC 9110 §8.8.3, §13.1.2)."""
    assert matches(field, ETAG)


@pytest.mark.parametrize(
    "field",
    [
        None,
        "",
        ETAG.strip('"'),
        '"0123456789ABCDEF"',
        '"0123456789abcde"',
        '"x0123456789abcdef"',
        '"*"',
        f'*, "{ETAG}',
        "'*'",
        '"a, 0123456789abcdef, b"',
        '"other", W/"other"',
        '"unclosed, 0123456789abcdef',
    ],
)
def test_a_list_that_does_not_name_the_picture_does_not_match(field: str | None) -> None:
    """Part of a tag is no tag, and a star inside quotes is no star."""
    assert not matches(field, ETAG)


@given(
    st.lists(st.tuples(st.booleans(), st.text(st.characters(min_codepoint=0x21, exclude_characters='"'), max_size=6)))
)
def test_exactly_the_tags_of_a_list_match(tags: list[tuple[bool, str]]) -> None:
    field = ", ".join(f'{"W/" * weak}"{tag}"' for weak, tag in tags)
    assert all(matches(field, f'"{tag}"') for _, tag in tags)
    assert not matches(field, ETAG)


def test_a_long_list_of_quotes_takes_no_time() -> None:
    """One pass, so that nobody's header costs more than its length."""
    assert not matches('"' * 100_001 + "W/" * 50_000, ETAG)


@pytest.mark.parametrize("handling", HANDLINGS, ids=str)
def test_cache_status_is_a_structured_field_that_tells_hit_from_miss(handling: Handling) -> None:
    """RFC 9211 §2: `hit` or `fwd`, never both; `collapsed` only with `fwd`; `ttl` a number of seconds."""
    name, parameters = parsed(cache_status(handling, 17))
    assert name == "thumb-proxy"
    assert parameters.pop("ttl") == 17
    assert parameters.keys() <= {"hit", "fwd", "collapsed", "detail"}
    assert (parameters.get("hit") is True) == handling.is_hit == ("fwd" not in parameters)
    assert parameters.get("fwd", "miss") == "miss"
    assert parameters.get("collapsed", False) is handling.collapsed


@pytest.mark.parametrize(
    ("handling", "detail"),
    [
        (Handling(Source.MEMORY, Source.MEMORY), "memory"),
        (Handling(Source.MEMORY, None), "memory"),
        (Handling(Source.REDIS, None), "redis"),
        (Handling(Source.MEMORY, Source.REDIS), "redis"),
        (Handling(Source.REDIS, Source.MEMORY), "redis"),
        (Handling(Source.STALE, None), "stale"),
        (Handling(Source.STALE, Source.REDIS), "stale"),
        (Handling(Source.UPSTREAM, Source.MEMORY), "picture-reused"),
        (Handling(Source.UPSTREAM, None), "picture-reused"),
        (Handling(Source.UPSTREAM, Source.UPSTREAM), None),
        (Handling(Source.MEMORY, Source.UPSTREAM), None),
    ],
)
def test_the_detail_names_the_slower_tier_or_what_was_still_at_hand(handling: Handling, detail: str | None) -> None:
    """So that an operator sees at a glance what a request cost."""
    assert parsed(cache_status(handling, 0))[1].get("detail") == detail


def test_pictures_for_anonymous_visitors_are_public_and_embeddable() -> None:
    """Anyone may store it and any page may show it, until the grant is over."""
    fields = dict(picture_fields(ANONYMOUS, ETAG, 12.9, HIT))
    assert fields["Cache-Control"] == "public, max-age=12"
    assert fields["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert fields["ETag"] == ETAG


@pytest.mark.parametrize(
    "identity",
    [
        ALICE,
        Identity(IdentityKind.USER, "aliceid"),
        Identity(IdentityKind.USER),
        Identity(IdentityKind.ACCOUNT, "service", fields="digest"),
        holding(ANONYMOUS, ((TICKET, "paid"),)),
    ],
)
def test_pictures_for_other_identities_are_private(identity: Identity) -> None:
    """A ticket alone makes a visitor somebody: no shared cache may hand out what was paid for."""
    fields = dict(picture_fields(identity, ETAG, 12.9, HIT))
    assert fields["Cache-Control"] == "private, max-age=12"
    assert fields["Cross-Origin-Resource-Policy"] == "same-site"
    assert not re.search("aliceid|clientid|Files|ticketdigest|service", repr(fields)), "who asks is nobody's business"


@pytest.mark.parametrize(
    ("remaining_s", "max_age_s", "ttl_s"),
    [(-70.5, 0, -70), (-0.5, 0, 0), (0.0, 0, 0), (0.999, 0, 0), (3600.0, 3600, 3600)],
)
def test_no_cache_is_promised_more_than_what_is_left_of_the_grant(
    remaining_s: float, max_age_s: int, ttl_s: int
) -> None:
    """Rounded down; nothing is left of one that has run out, and `ttl` says since when (RFC 9211 §2.4)."""
    fields = dict(picture_fields(ALICE, None, remaining_s, HIT))
    assert fields["Cache-Control"] == f"private, max-age={max_age_s}"
    assert parsed(fields["Cache-Status"])[1]["ttl"] == ttl_s
    assert "ETag" not in fields, "what has no validator yet names none"


@pytest.mark.parametrize(
    ("make", "vary"),
    [
        (lambda: picture_fields(ANONYMOUS, ETAG, 1, HIT), VARY_PUBLIC),
        (lambda: picture_fields(ALICE, ETAG, 1, HIT), VARY),
        (lambda: problem_fields(Busy()), f"{VARY}, Accept"),
    ],
)
def test_every_answer_varies_with_the_credentials_and_cannot_run_as_a_page(
    make: Callable[[], Fields], vary: str
) -> None:
    """Pictures and errors alike; no field twice, and each fit to be sent. Cookies matter to what is somebody's own."""
    made = make()
    fields = dict(made)
    assert len(fields) == len(made)
    assert fields["Vary"] == vary
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in fields["Content-Security-Policy"]
    assert all(re.fullmatch(r"[A-Za-z-]+", name) and re.fullmatch(r"[ -~]+", value) for name, value in made)


REFUSED = Refused(Refusal(RefusalKind.UNAUTHENTICATED, 401, "0a54d451-464b"))


@pytest.mark.parametrize(
    ("error", "field", "value"),
    [
        (Busy("x"), "Retry-After", "2"),
        (TooSlow(), "Retry-After", "2"),
        (StillGenerating(Generating(40073)), "Retry-After", "2"),
        (MethodNotAllowed("GET, HEAD"), "Allow", "GET, HEAD"),
        (InvalidToken("x"), "WWW-Authenticate", 'Bearer realm="cloudreve", error="invalid_token"'),
        (REFUSED, "WWW-Authenticate", 'Bearer realm="cloudreve"'),
        (REFUSED, "Retry-After", None),
        (Busy(), "WWW-Authenticate", None),
        (ProxyError(), "Cache-Control", "no-store"),
        (REFUSED, "Content-Type", "application/problem+json"),
    ],
)
def test_an_error_says_in_its_fields_what_helps(error: ProxyError, field: str, value: str | None) -> None:
    """When to come back, which methods there are, which scheme (RFC 9110 §10.2.3, §15.5.2, §15.5.6; RFC 6750 §3)."""
    assert dict(problem_fields(error)).get(field) == value


def test_a_problem_has_the_members_of_rfc_9457_and_cloudreve_s_own() -> None:
    """`code` and `correlation_id` lead an operator to the line in Cloudreve's log."""
    assert json.loads(problem(REFUSED)) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Only a signed-in user may see this.",
        "code": 401,
        "correlation_id": "0a54d451-464b",
    }


def test_a_problem_leaves_out_what_it_does_not_know() -> None:
    assert json.loads(problem(ProxyError())) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": HTTPStatus.INTERNAL_SERVER_ERROR,
        "detail": "Internal error.",
    }
    assert json.loads(problem(Refused(Refusal(RefusalKind.NOT_FOUND, 0))))["code"] == 0


def test_the_cause_of_an_error_is_not_told() -> None:
    error = TooSlow("Upstream did not answer in time.")
    error.__cause__ = OSError("https://cloud.example.com/x?sign=SECRET")
    assert "SECRET" not in problem(error).decode() + repr(problem_fields(error))


def test_a_title_is_the_phrase_of_its_status() -> None:
    """As RFC 9457 §4.2.1 wants of `about:blank`, in the words of RFC 9110 §15."""
    assert [phrase(HTTPStatus(status)) for status in (403, 413, 414, 416, 431, 505)] == [
        "Forbidden",
        "Content Too Large",
        "URI Too Long",
        "Range Not Satisfiable",
        "Request Header Fields Too Large",
        "HTTP Version Not Supported",
    ]
