"""Requests that a visitor may bring, and the mistakes in others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.credentials import Credentials
from proxy.domain.errors import BadRequest, InvalidToken
from proxy.domain.request_fields import TICKET
from proxy.domain.thumb_request import ThumbRequest
from proxy.http.thumb_request import thumb_request

URI = "cloudreve://my/a.jpg"
UUID = "1d781f44-543f-430a-b113-6dd872228e58"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4bnRqIn0.c2VjcmV0-_"


def asked(
    *uris: str,
    authorization: Sequence[str] = (),
    ticket: Sequence[str] = (),
    if_none_match: Sequence[str] = (),
) -> ThumbRequest:
    """Ask for one picture, or for what is given."""
    return thumb_request(
        uris or (URI,),
        authorization=authorization,
        sent={TICKET: ticket} if ticket else {},
        if_none_match=if_none_match,
        max_uri_bytes=4096,
    )


def test_a_bare_question_is_anonymous() -> None:
    request = asked()
    assert request.uri.text == URI
    assert request.credentials == Credentials()
    assert (request.if_none_match, request.client) == (None, "")
    assert thumb_request([URI], client="192.0.2.1", max_uri_bytes=99).client == "192.0.2.1"


def test_the_file_uri_is_made_canonical() -> None:
    assert asked("CLOUDREVE://MY//x/../a.jpg#top").uri == asked(URI).uri


@pytest.mark.parametrize("uris", [(), (URI, URI), (URI, "cloudreve://my/b.jpg")])
def test_exactly_one_file_uri_is_needed(uris: tuple[str, ...]) -> None:
    """Of two, one would be checked and another shown by whoever reads the query differently."""
    with pytest.raises(BadRequest, match=f"there are {len(uris)}"):
        thumb_request(uris, max_uri_bytes=4096)


@pytest.mark.parametrize("uri", ["", "not a uri", "https://example.com/a.jpg", URI + "x" * 4096])
def test_a_file_uri_that_is_none_is_a_bad_request(uri: str) -> None:
    with pytest.raises(BadRequest):
        asked(uri)


@pytest.mark.parametrize(
    ("field", "token"),
    [
        (f"Bearer {TOKEN}", TOKEN),
        (f"bearer {TOKEN}", TOKEN),
        (f"BEARER   {TOKEN}  ", TOKEN),
        ("Bearer garbage", "garbage"),
        ("Bearer a~b+c/d==", "a~b+c/d=="),
    ],
)
def test_a_bearer_token_is_taken_out_of_its_field(field: str, token: str) -> None:
    """The scheme in any case (RFC 9110 §11.1); whether the token is worth anything is not decided here."""
    assert asked(authorization=[field]).credentials.bearer == token


@pytest.mark.parametrize(
    "fields",
    [
        ["Bearer"],
        ["Bearer "],
        [f" Bearer {TOKEN}"],
        [f"Bearer Cr {TOKEN}"],
        ["Bearer a b"],
        ["Bearer a,Bearer b"],
        ["Bearer a=b"],
        ["Bearer a\r\nX-Cr-Purchase-Ticket: b"],
        ["Bearer a\n"],
        ["Bearer é"],
        ["Bearer \u212a\u017f"],
        ["Bearer \udcff"],
        ["bearer,Basic x"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        ["Basic YWxpY2U6cHc=", f"Bearer {TOKEN}", "Bearer"],
    ],
    ids=ascii,
)
def test_a_bearer_credential_that_is_no_token_is_refused_and_never_taken_for_none(fields: list[str]) -> None:
    """Cloudreve would silently treat its bearer as anonymous; the message does not repeat what was sent."""
    with pytest.raises(InvalidToken) as caught:
        asked(authorization=fields)
    assert caught.value.status == 401
    assert TOKEN not in caught.value.detail


OTHERS = [
    "",
    "Basic YWxpY2U6cHc=",
    'Digest username="a"',
    "Negotiate YII=",
    "NTLM x",
    TOKEN,
    f"Bearer{TOKEN}",
    "\udcff",
]


@pytest.mark.parametrize("field", OTHERS, ids=ascii)
def test_other_schemes_are_not_looked_at(field: str) -> None:
    """They are for a proxy in front of the gateway; beside them a bearer token counts."""
    assert asked(authorization=[field]).credentials.bearer is None
    for lines in ([field, f"Bearer {TOKEN}"], [f"Bearer {TOKEN}", field]):
        assert asked(authorization=lines).credentials.bearer == TOKEN


def test_a_ticket_is_taken_as_it_is() -> None:
    assert asked(ticket=["t!ck=et"]).credentials == Credentials(None, ((TICKET, "t!ck=et"),))
    assert asked(ticket=["t"], authorization=["Bearer x"]).credentials == Credentials("x", ((TICKET, "t"),))


@pytest.mark.parametrize(
    "fields",
    [[""], ["a b"], ["a\n"], ["é"], ["\udcff"], ["x" * 4097], ["a", "a"], ["a", ""]],
    ids=lambda f: ascii(f)[:20],
)
def test_a_ticket_that_is_none_is_a_bad_request(fields: list[str]) -> None:
    """Two of them are ambiguous even where they are alike."""
    with pytest.raises(BadRequest) as caught:
        asked(ticket=fields)
    assert "Ticket" in caught.value.detail


@pytest.mark.parametrize(
    ("fields", "joined"),
    [([], None), ([""], ""), (['"a"'], '"a"'), (['"a"', 'W/"b"'], '"a", W/"b"'), (["*"], "*")],
)
def test_several_lines_of_validators_are_one_list(fields: list[str], joined: str | None) -> None:
    """RFC 9110 §5.3."""
    assert asked(if_none_match=fields).if_none_match == joined


fields = st.lists(st.text(st.characters(exclude_categories=()), max_size=30), max_size=2)


@given(fields, fields, fields, fields)
def test_any_input_is_a_request_or_one_of_two_errors(
    uris: list[str], authorization: list[str], ticket: list[str], if_none_match: list[str]
) -> None:
    """And what comes through as a credential can be sent on in a header."""
    try:
        credentials = thumb_request(
            uris,
            authorization=authorization,
            sent={TICKET: ticket} if ticket else {},
            if_none_match=if_none_match,
            max_uri_bytes=50,
        ).credentials
    except (BadRequest, InvalidToken):
        return
    sent = f"{credentials.bearer}{dict(credentials.fields).get(TICKET)}"
    assert sent.isascii()
    assert sent.isprintable()


def test_a_question_shows_no_secret_when_it_is_printed() -> None:
    """Neither a share's password nor a token nor a ticket, in a log or in a failing assertion."""
    request = asked("cloudreve://AEUa:pw123@share/one.jpg", authorization=["Bearer s3cret"], ticket=["t1cket"])
    assert not any(secret in f"{request} {request!r}" for secret in ("pw123", "s3cret", "t1cket"))
