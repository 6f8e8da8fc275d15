"""Cloudreve's answers: every recorded one is read as what it means, and everything else is no answer."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.errors import UpstreamError
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.upstream.answers import Link, is_rejection, read_share_terms, read_thumb, read_whoami

FACTS = Path(__file__).parents[1] / "facts" / "exchanges.json"
EXCHANGES: dict[str, dict[str, Any]] = {
    exchange["name"]: exchange["response"] for exchange in json.loads(FACTS.read_text())["exchanges"]
}
SIGNED = "https://cloud.example.com/api/v4/file/content/3acW/0/a.jpg?sign=SECRET"

REFUSED = {
    "no generator takes this file, first call": RefusalKind.NOT_FOUND,
    "no generator takes this file, later calls": RefusalKind.NOT_FOUND,
    "not a picture, first call": RefusalKind.NOT_FOUND,
    "not a picture, later calls": RefusalKind.NOT_FOUND,
    "anonymous, private file": RefusalKind.UNAUTHENTICATED,
    "invalid token (silently anonymous)": RefusalKind.UNAUTHENTICATED,
    "another user's `my` has no such file": RefusalKind.NOT_FOUND,
    "another user's file by owner id": RefusalKind.FORBIDDEN,
    "no such file": RefusalKind.NOT_FOUND,
    "a folder": RefusalKind.NOT_FOUND,
    "not a File URI": RefusalKind.BAD_REQUEST,
    "no uri": RefusalKind.BAD_REQUEST,
    "share, password missing": RefusalKind.FORBIDDEN,
    "share, wrong password": RefusalKind.FORBIDDEN,
    "no such share": RefusalKind.NOT_FOUND,
    "OAuth token without a Files scope": RefusalKind.FORBIDDEN,
}


def recorded(verb: str) -> list[str]:
    """Name the recorded exchanges of one verb."""
    return [name for name in EXCHANGES if name.startswith(f"{verb}: ")]


def body_of(name: str) -> bytes:
    return json.dumps(EXCHANGES[name]["json"]).encode()


@pytest.mark.parametrize("name", recorded("resolve"))
def test_a_recorded_resolve_is_read_as_what_it_means(name: str) -> None:
    """A link with its end, a refusal of its kind, or 'still generating': by the code, for the status is always 200."""
    wrapped = EXCHANGES[name]["json"]
    answer = read_thumb(body_of(name))
    if wrapped["code"] == 0:
        assert isinstance(answer, Link)
        assert (answer.url, answer.obfuscated) == (wrapped["data"]["url"], False)
        end = datetime.fromisoformat(wrapped["data"]["expires"][:26].rstrip("Z")).replace(tzinfo=UTC)
        assert answer.expires == pytest.approx(end.timestamp(), abs=2e-6)
    elif "while another request generates" in name:
        assert answer == Generating(wrapped["code"], wrapped["correlation_id"])
    else:
        kind = REFUSED[name.removeprefix("resolve: ")]
        assert answer == Refusal(kind, wrapped["code"], wrapped.get("correlation_id", ""), wrapped["msg"])


def test_every_recorded_refusal_is_in_the_table() -> None:
    """The table names nothing that was not recorded, so that it cannot outlive the facts."""
    assert {f"resolve: {name}" for name in REFUSED} <= set(recorded("resolve"))


@pytest.mark.parametrize("name", recorded("whoami"))
def test_a_recorded_whoami_is_read_as_what_it_means(name: str) -> None:
    """The user's id comes bare; a wrapped answer says that the token is none."""
    assert read_whoami(body_of(name)) == EXCHANGES[name]["json"].get("sub")


@pytest.mark.parametrize("name", recorded("fetch"))
def test_a_recorded_fetch_is_a_rejection_exactly_when_it_is_json(name: str) -> None:
    """A bad, expired or missing signature and a replaced entity come as JSON with status 200."""
    response = EXCHANGES[name]
    body = body_of(name) if "json" in response else bytes.fromhex(response["bytes"]["magic"])
    assert is_rejection(body) == ("json" in response)


@pytest.mark.parametrize("code", [1, -2, 203, 500, 40002, 40072, 40074, 50001, 50002, 50005, 59999, 2**70])
def test_a_code_that_the_contract_does_not_explain_is_an_unknown_refusal(code: int) -> None:
    """Nobody is told that a file does not exist because the database was busy."""
    answer = read_thumb(json.dumps({"code": code, "msg": "x"}).encode())
    assert answer == Refusal(RefusalKind.UNKNOWN, code, message="x")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-1, RefusalKind.NOT_FOUND),
        (40020, RefusalKind.UNAUTHENTICATED),
        (40044, RefusalKind.NOT_FOUND),
        (40058, RefusalKind.NOT_FOUND),
        (40077, RefusalKind.NOT_FOUND),
        (40083, RefusalKind.PAYMENT_REQUIRED),
        (40088, RefusalKind.UNAUTHENTICATED),
    ],
)
def test_a_code_of_the_contract_that_was_not_recorded_has_its_kind(code: int, kind: RefusalKind) -> None:
    assert read_thumb(b'{"code": %d}' % code) == Refusal(kind, code)


@pytest.mark.parametrize(
    "surroundings",
    [{}, {"data": None}, {"data": [1]}, {"data": "text"}, {"msg": None}, {"msg": {"a": 1}}, {"error": 7}, {"new": {}}],
)
def test_any_members_beside_the_code_of_a_refusal_are_ignored(surroundings: dict[str, Any]) -> None:
    """`data` of an error may be any JSON, and its message is for people."""
    answer = read_thumb(json.dumps({"code": 40016, **surroundings}).encode())
    assert answer == Refusal(RefusalKind.NOT_FOUND, 40016)


@pytest.mark.parametrize(("msg", "kept"), [("Path not exist", "Path not exist"), ("x" * 201, "x" * 200), ("", "")])
def test_the_words_of_a_refusal_are_kept_within_bounds(msg: str, kept: str) -> None:
    """Whoever asks in Cloudreve's own shape gets them back."""
    answer = read_thumb(json.dumps({"code": 40016, "msg": msg}).encode())
    assert answer == Refusal(RefusalKind.NOT_FOUND, 40016, message=kept)


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [
        ("184d19a9-faa7-4392-a6b4-54ce357e6be3", "184d19a9-faa7-4392-a6b4-54ce357e6be3"),
        (None, ""),
        ("a\nb", ""),
        ("é²", ""),
        ('"}', ""),
        ("x" * 65, ""),
    ],
)
def test_a_correlation_id_is_kept_only_when_it_may_stand_in_a_log(given_id: str | None, kept: str) -> None:
    """It goes into logs and error bodies, so it is plain and short or not there."""
    for code, kind in ((404, Refusal), (40073, Generating)):
        answer = read_thumb(json.dumps({"code": code, "correlation_id": given_id}).encode())
        assert isinstance(answer, kind)
        assert answer.correlation_id == kept


@pytest.mark.parametrize(
    ("data", "link"),
    [
        ({"url": "u"}, Link("u", None, obfuscated=False)),
        ({"url": "u", "expires": None}, Link("u", None, obfuscated=False)),
        ({"url": "u", "expires": "1970-01-01T00:01:40Z"}, Link("u", 100.0, obfuscated=False)),
        ({"url": "u", "expires": "1970-01-01T08:01:40.5+08:00"}, Link("u", 100.5, obfuscated=False)),
        ({"url": "u", "expires": "0001-01-01T00:00:00Z"}, Link("u", -62135596800.0, obfuscated=False)),
        ({"url": "x|y", "obfuscated": True}, Link("x|y", None, obfuscated=True)),
        ({"url": ""}, Refusal(RefusalKind.NOT_FOUND, 0)),
    ],
)
def test_a_success_may_lack_its_end_or_its_url(data: dict[str, Any], link: Link | Refusal) -> None:
    """A null end is none, Go's zero time is long past, and an empty URL is no thumbnail."""
    assert read_thumb(json.dumps({"code": 0, "data": data, "msg": ""}).encode()) == link


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)),  # noqa: DTZ001 - the zone is drawn on its own
    st.integers(-12 * 60, 14 * 60),
    st.integers(0, 999),
)
def test_the_end_is_the_same_moment_in_every_zone(moment: datetime, zone_minutes: int, nanoseconds: int) -> None:
    """RFC 3339 with up to nine digits, in whatever zone the server lives."""
    hours, minutes = divmod(abs(zone_minutes), 60)
    local = (moment + timedelta(minutes=zone_minutes)).isoformat(timespec="microseconds")
    text = f"{local}{nanoseconds:03}{'-' if zone_minutes < 0 else '+'}{hours:02}:{minutes:02}"
    answer = read_thumb(json.dumps({"code": 0, "data": {"url": "u", "expires": text}}).encode())
    assert isinstance(answer, Link)
    assert answer.expires == pytest.approx(moment.replace(tzinfo=UTC).timestamp(), abs=2e-6)


NO_ANSWERS = [
    b"",
    b"null",
    b"{}",
    b'{"code": 0}',
    b'{"code": 0, "data": null}',
    b'{"code": 0, "data": {}}',
    b'{"code": 0, "data": {"url": null}}',
    b'{"code": 0, "data": {"url": "u", "expires": 1795438287}}',
    b'{"code": 0, "data": {"url": "u", "expires": "2026-11-23T12:51:27"}}',
    b'{"code": 0, "data": {"url": "u", "expires": "tomorrow"}}',
    b'{"code": 0, "data": {"url": "u", "obfuscated": "yes"}}',
    b'{"code": "0", "data": {"url": "u"}}',
    b'{"code": true}',
    b'{"code": 404, "correlation_id": "\xff"}',
    b'{"code": 404, "data": ' + b"[" * 100_000,
    b'{"code": 404',
    b"\xff\xfe",
    b"<html>502 Bad Gateway</html>",
    b"\x89PNG\r\n\x1a\n",
]


@pytest.mark.parametrize("body", NO_ANSWERS, ids=lambda body: repr(body[:48]))
def test_an_answer_of_another_shape_is_an_upstream_error(body: bytes) -> None:
    """A front end's error page, half an answer, another program: 502, and no guess."""
    with pytest.raises(UpstreamError):
        read_thumb(body)


@pytest.mark.parametrize(
    "body",
    [
        *NO_ANSWERS[:4],
        b'{"sub": ""}',
        b'{"sub": null}',
        b'{"code": 0, "sub": "xntj"}',
        b'{"code": 50001}',
        b'{"sub": 1}',
    ],
)
def test_a_whoami_that_says_neither_yes_nor_no_is_an_upstream_error(body: bytes) -> None:
    """A failing database is no verdict on a token: the visitor is not told to sign in again."""
    with pytest.raises(UpstreamError):
        read_whoami(body)


@pytest.mark.parametrize("code", [401, 404, 40020, 40021])
def test_a_token_that_names_nobody_is_not_accepted(code: int) -> None:
    """Expired, of another type, or of a user who is gone, even where an id stands beside the code."""
    assert read_whoami(json.dumps({"code": code, "sub": "xntj"}).encode()) is None


SHARE = {"id": "kY7x", "name": "album", "unlocked": True, "expires": None, "visited": 3, "owner": {"id": "aLiC"}}


@pytest.mark.parametrize(
    ("told", "is_changed"),
    [
        (dict(reversed(SHARE.items())), False),
        ({**SHARE, "visited": 4, "downloaded": 1, "remain_downloads": 9}, False),
        ({**SHARE, "unlocked": False}, True),
        ({**SHARE, "expires": "2026-12-01T00:00:00Z"}, True),
        ({**SHARE, "price": 5}, True),
        (None, True),
    ],
)
def test_the_terms_of_a_share_change_with_all_but_its_visits(told: object, is_changed: bool) -> None:
    before = read_share_terms(json.dumps({"code": 0, "data": SHARE}).encode())
    after = read_share_terms(json.dumps({"code": 0 if told else 404, "data": told}).encode())
    assert (after != before) is is_changed


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_body_at_all_makes_a_reader_raise_anything_else(body: bytes) -> None:
    """Upstream may send anything; the readers know one error."""
    assert is_rejection(body) in (True, False)
    for read in (read_thumb, read_whoami, read_share_terms):
        try:
            read(body)
        except UpstreamError as error:
            assert error.detail  # noqa: PT017 - most bodies raise, some may not


@pytest.mark.parametrize(
    "spoilt", [b'"expires": 7}}', b'"expires": "SECRET"}}', b'"x": "\xff"}, "correlation_id": "\xff"}']
)
def test_no_error_shows_what_the_answer_held(spoilt: bytes) -> None:
    """A signed URL opens a picture to whoever reads it in a log; the cause is logged too."""
    body = b'{"code": 0, "data": {"url": "%s", ' % SIGNED.encode() + spoilt
    with pytest.raises(UpstreamError) as caught:
        read_thumb(body)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "SECRET" not in repr(Link(SIGNED, None, obfuscated=False))
