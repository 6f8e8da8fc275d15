"""Fields that a proxy refuses, takes off and puts on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.errors import BadRequest, Looping, ProxyError, UpstreamError
from proxy.domain.fields import Fields
from proxy.http.forwarded import ForwardedFor
from proxy.passthrough.hop_by_hop import Head, back, check, onward

PEER = "192.0.2.9"
VISITOR = "198.51.100.7"
STRANGER = ForwardedFor(PEER)
OWN = frozenset({"thumb_session", "thumb_session_sign_in"})
HOST = ("Host", "cloud.example.com")
WEBSOCKET: Fields = (HOST, ("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket"))


def head(
    *fields: tuple[str, str],
    method: str = "GET",
    target: str = "/",
    version: str = "1.1",
    has_body: bool = False,
    host: bool = True,
) -> Head:
    """Make a head, with a `Host` of its own."""
    return Head(method, target, version, ((HOST,) if host else ()) + fields, has_body)


def sent(asked: Head, seen: ForwardedFor = STRANGER, peer: str = PEER) -> dict[str, list[str]]:
    """Give the fields that go to Cloudreve, by name."""
    found: dict[str, list[str]] = {}
    for name, value in onward(asked, seen, peer, OWN):
        found.setdefault(name, []).append(value)
    return found


def refused(asked: Head) -> str:
    """Say why a head is refused, or give an empty text."""
    try:
        check(asked)
    except ProxyError as error:
        return error.category
    return ""


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?",
        "/a?",
        "//x//?a=b?c&d=%zz",
        "/api/v4/file/content/x/0/a%20b.jpg?sign=a:1%3D",
        "/dav/..a/b../.c/...",
        "/a?b=/../c&d=..",
        "/a%0ab;c=d/%25%2e",
        '/a"<>\\^`{|}~',
        "/%E6%97%A5",
    ],
)
def test_targets_that_have_one_meaning_pass(target: str) -> None:
    """Byte for byte, whatever of it a stricter reader would have quoted."""
    assert refused(head(target=target)) == ""


@pytest.mark.parametrize(
    "target",
    [
        "http://cloud.example.com/thumb",
        "*",
        "",
        "a",
        "cloud.example.com:443",
        "/a#b",
        "/a b",
        "/a\tb",
        "/a\x00b",
        "/a\x7fb",
        "/日",
        "/a\udce9",
        "/a\n",
    ],
)
def test_other_forms_of_a_target_are_refused(target: str) -> None:
    """A reader who finds a host, a fragment or an end of line in it reads another request."""
    assert refused(head(target=target)) == "bad_request"


@pytest.mark.parametrize("dots", [".", "..", "%2e", "%2E", ".%2e", "%2e.", "%2E%2e"])
@pytest.mark.parametrize(
    "place", ["/{}", "/{}/thumb", "/a/{}/thumb", "/a/{}?b", "/a%2f{}%2fthumb", "/a\\{}\\b", "/a/{}%5cb"]
)
def test_a_path_that_says_where_to_go_is_refused(dots: str, place: str) -> None:
    """A route is chosen by the path as it stands; a server behind could come to another."""
    assert refused(head(target=place.format(dots))) == "bad_request"


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0"])
def test_only_two_versions_of_http_are_known(version: str) -> None:
    """The parser in front lets others through, without knowing them."""
    assert refused(head(version=version)) == "bad_request"


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ([("Transfer-Encoding", "chunked"), ("Content-Length", "3")], "1.1"),
        ([("Transfer-Encoding", "gzip, chunked")], "1.1"),
        ([("Transfer-Encoding", "identity")], "1.1"),
        ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], "1.1"),
        ([("transfer-encoding", "xchunked")], "1.1"),
        ([("Transfer-Encoding", "chunked")], "1.0"),
        ([("Content-Length", "3"), ("Content-Length", "3")], "1.1"),
        ([("Content-Length", "3"), ("content-length", "4")], "1.1"),
        ([("Content-Length", "3, 3")], "1.1"),
        ([("Content-Length", "+3")], "1.1"),
        ([("Content-Length", "-3")], "1.1"),
        ([("Content-Length", "0x3")], "1.1"),
        ([("Content-Length", "")], "1.1"),
        ([("Content-Length", "³")], "1.1"),
    ],
)
def test_a_body_whose_end_is_not_certain_is_refused(fields: list[tuple[str, str]], version: str) -> None:
    """What the one takes for the end of a request is the beginning of another for the other (RFC 9112 §11.2)."""
    assert refused(head(*fields, version=version, has_body=True)) == "bad_request"


@pytest.mark.parametrize(
    "fields", [[("Transfer-Encoding", "Chunked")], [("Content-Length", "0")], [("Content-Length", "99")]]
)
def test_a_body_whose_end_is_certain_passes(fields: list[tuple[str, str]]) -> None:
    assert refused(head(*fields, has_body=True)) == ""


@pytest.mark.parametrize(
    "hosts",
    [[], ["a", "b"], ["a", "a"], [""], ["a b"], ["a/b"], ["user@a"], ["a:b"], ["a:80:80"], ["日"], ["[::1"], ["a,b"]],
)
def test_a_request_without_exactly_one_valid_host_is_refused(hosts: list[str]) -> None:
    """Cloudreve takes its site URL by it, and puts it into links and mails."""
    assert refused(head(*(("Host", name) for name in hosts), host=False)) == "bad_request"


@pytest.mark.parametrize("host", ["a", "A.example.com:8080", "[2001:db8::1]:80", "192.0.2.1", "a_b"])
def test_hosts_of_every_kind_pass(host: str) -> None:
    assert refused(head(("Host", host), host=False)) == ""


def test_the_old_version_needs_no_host() -> None:
    """HTTP/1.0 did not know it; Cloudreve is then asked by its own."""
    assert refused(head(host=False, version="1.0")) == ""
    assert "Host" not in sent(head(host=False, version="1.0"))
    assert "X-Forwarded-Host" not in sent(head(host=False, version="1.0"))


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\x00b", "a\x01b", "a\x7fb"])
def test_a_field_that_would_not_arrive_as_it_is_is_refused(value: str) -> None:
    assert refused(head(("X-Note", value))) == "bad_request"


def test_a_field_may_hold_any_text() -> None:
    assert refused(head(("X-Note", "a\tb"), ("Destination", "/dav/日落 (1).png"))) == ""


@pytest.mark.parametrize("via", ["1.1 thumb-proxy", "1.0 nginx, 1.1 thumb-proxy (x)", "HTTP/1.1 thumb-proxy"])
def test_a_request_that_was_here_before_is_refused(via: str) -> None:
    """cloudreve.url leads back to the gateway: without this one request would fill the house with itself."""
    with pytest.raises(Looping):
        check(head(("Via", "1.1 other"), ("via", via)))


def test_other_proxies_on_the_way_are_no_loop() -> None:
    check(head(("Via", "1.1 nginx, 1.1 my-thumb-proxy, 1.1")))


def test_end_to_end_fields_are_passed_on_unchanged() -> None:
    """Names, values, order and repetition; a field without a value too."""
    fields = [
        ("Depth", "1"),
        ("x-CR-client-id", "a, b"),
        ("Accept", "a"),
        ("Accept", "b"),
        ("If-Match", ""),
        ("Range", "bytes=0-"),
    ]
    assert [pair for pair in onward(head(*fields), STRANGER, PEER, OWN) if pair in fields] == fields


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "HTTP2-Settings",
    ],
)
def test_hop_by_hop_fields_are_not_passed_on(name: str) -> None:
    """RFC 9110 §7.6.1."""
    assert name not in sent(head((name, "x")))
    assert name.replace("-", "_") not in sent(head((name.replace("-", "_"), "x")))
    assert name not in dict(back(((name, "x"),)))


def test_connection_names_more_that_stays() -> None:
    """Whatever it names, in any case, on any line, from either side."""
    named: Fields = (("Connection", "close, X-A"), ("connection", "x-b,"), ("X-A", "1"), ("X-B", "2"), ("X-C", "3"))
    assert not {"X-A", "X-B"} & sent(head(*named)).keys()
    assert dict(back(named)) == {"X-C": "3", "Via": "1.1 thumb-proxy"}


def test_connection_cannot_take_away_what_both_sides_need() -> None:
    """A body without its length, a request without its host, or one whose origin nobody knows."""
    asked = head(
        ("Connection", "Host, Content-Length, X-Forwarded-For, X-Real-IP, Via"), ("Content-Length", "3"), has_body=True
    )
    got = sent(asked)
    assert got["Host"] == ["cloud.example.com"]
    assert got["Content-Length"] == ["3"]
    assert got["X-Forwarded-For"] == got["X-Real-IP"] == [PEER]
    assert got["Via"] == ["1.1 thumb-proxy"]


@pytest.mark.parametrize("name", ["Content_Length", "Host_", "hOST"])
def test_misspelled_length_and_host_fields_are_not_passed_on(name: str) -> None:
    got = sent(head((name, "7")))
    assert got.get(name) == (["7"] if name == "Host_" else None)


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X_Forwarded_For",
        "Forwarded",
        "X-Real-IP",
        "X_Real_IP",
        "CF-Connecting-IP",
        "True-Client-IP",
    ],
)
def test_nobody_can_claim_an_address(name: str) -> None:
    """Cloudreve believes whoever names one: it is what its logs, its bans and its mails show."""
    assert not any("6.6.6.6" in value for values in sent(head((name, "6.6.6.6"))).values() for value in values)


def test_a_visitor_who_comes_straight_is_named() -> None:
    got = sent(head())
    assert got["X-Forwarded-For"] == got["X-Real-IP"] == [PEER]
    assert got["X-Forwarded-Proto"] == ["http"]
    assert got["X-Forwarded-Host"] == got["Host"] == ["cloud.example.com"]


@pytest.mark.parametrize(
    ("told", "chain"),
    [
        ([VISITOR], [VISITOR, PEER]),
        (["6.6.6.6", VISITOR], [VISITOR, PEER]),
        (["6.6.6.6, " + VISITOR + ",10.0.0.1"], [VISITOR, "10.0.0.1", PEER]),
        ([VISITOR + ", 6.6.6.6", VISITOR + ", 10.0.0.1"], [VISITOR, "10.0.0.1", PEER]),
        ([], [VISITOR, PEER]),
    ],
)
def test_a_visitor_behind_trusted_proxies_comes_first(told: list[str], chain: list[str]) -> None:
    """Addresses that a visitor has put before its own are cut off: Cloudreve believes the first."""
    asked = head(*(("X-Forwarded-For", line) for line in told))
    assert sent(asked, ForwardedFor(VISITOR))["X-Forwarded-For"] == [", ".join(chain)]
    assert sent(asked, ForwardedFor(VISITOR))["X-Real-IP"] == [VISITOR]


def test_where_there_is_no_address_none_is_named() -> None:
    assert (
        not {"X-Forwarded-For", "X-Real-IP"} & sent(head(("X-Forwarded-For", "6.6.6.6")), ForwardedFor(""), "").keys()
    )


@pytest.mark.parametrize(
    ("written", "told", "host"),
    [
        ("Cloud.example.com", ForwardedFor(VISITOR, "https", "cloud.example.com"), "Cloud.example.com"),
        ("cloud.example.com:443", ForwardedFor(VISITOR, "https", "cloud.example.com"), "cloud.example.com:443"),
        ("gateway:8080", ForwardedFor(VISITOR, "https", "cloud.example.com"), "cloud.example.com"),
        ("gateway:8080", ForwardedFor(VISITOR, "https"), "gateway:8080"),
        ("gateway:8080", ForwardedFor(VISITOR), "gateway:8080"),
    ],
)
def test_the_host_is_the_one_that_the_visitor_used(written: str, told: ForwardedFor, host: str) -> None:
    """As written where nobody who is trusted knows better: a WebDAV `Destination` is compared with it."""
    got = sent(head(("Host", written), host=False), told)
    assert got["Host"] == got["X-Forwarded-Host"] == [host]
    assert got["X-Forwarded-Proto"] == [told.scheme or "http"]


def test_each_hop_signs() -> None:
    """RFC 9110 §7.6.3: behind those that have signed before, with the version in which the message came."""
    got = sent(head(("Via", "1.0 a, 1.1 b"), version="1.0"))
    assert got["Via"] == ["1.0 a, 1.1 b", "1.0 thumb-proxy"]
    assert back((("Via", "1.1 c"),)) == (("Via", "1.1 c"), ("Via", "1.1 thumb-proxy"))


@pytest.mark.parametrize(
    ("cookies", "passed"),
    [
        ("a=b", ["a=b"]),
        ("a=b;c=d ; e", ["a=b;c=d ; e"]),
        ("thumb_session=x", None),
        ("a=b; thumb_session=x; c=d", ["a=b; c=d"]),
        ("__Host-thumb_session=x; a=b", ["a=b"]),
        ("__host-thumb_session=x;__Secure-thumb_session_sign_in=y;a=b", ["a=b"]),
        ("thumb_session =x; a=b", ["a=b"]),
        ("thumb_session; a=b", ["a=b"]),
        ("thumb_sessions=x; Thumb_session=y", ["thumb_sessions=x; Thumb_session=y"]),
        ('a="thumb_session=x"', ['a="thumb_session=x"']),
    ],
)
def test_the_gateways_own_cookies_stay_here(cookies: str, passed: list[str] | None) -> None:
    """They hold a visitor's tokens; all others go on, and a line without ours as it is."""
    assert sent(head(("Cookie", cookies))).get("Cookie") == passed


@pytest.mark.parametrize(
    ("expected", "version", "has_body", "passed", "is_waiting"),
    [
        ("100-continue", "1.1", True, ["100-continue"], True),
        ("100-Continue", "1.1", True, ["100-Continue"], True),
        ("100-continue", "1.1", False, None, False),
        ("100-continue", "1.0", True, None, False),
        ("miracles", "1.1", True, ["miracles"], False),
    ],
)
def test_an_expected_100_continue_comes_from_cloudreve(
    expected: str, version: str, has_body: bool, passed: list[str] | None, is_waiting: bool
) -> None:
    """Without a body there is nothing to wait for; what else is expected is not ours to judge (RFC 9110 §10.1.1)."""
    asked = head(("Expect", expected), version=version, has_body=has_body)
    assert asked.expects_continue is is_waiting
    assert sent(asked).get("Expect") == passed


def test_a_websocket_is_asked_for_in_so_many_words() -> None:
    """With the upgrade written anew, and nothing else of what `Connection` named."""
    asked = Head("GET", "/", "1.1", (*WEBSOCKET, ("Sec-WebSocket-Key", "a"), ("Keep-Alive", "5")), has_body=False)
    assert asked.wants_websocket
    got = sent(asked)
    assert (got["Connection"], got["Upgrade"], got["Sec-WebSocket-Key"]) == (["Upgrade"], ["websocket"], ["a"])
    assert "Keep-Alive" not in got


@pytest.mark.parametrize(
    ("method", "version", "has_body", "fields"),
    [
        ("POST", "1.1", False, WEBSOCKET),
        ("GET", "1.0", False, WEBSOCKET),
        ("GET", "1.1", True, WEBSOCKET),
        ("GET", "1.1", False, (HOST, ("Upgrade", "websocket"))),
        ("GET", "1.1", False, (HOST, ("Connection", "Upgrade"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AA"))),
        ("GET", "1.1", False, (HOST, ("Connection", "Upgrade"), ("Upgrade", "websocket, h2c"))),
        ("GET", "1.1", False, (*WEBSOCKET, ("Upgrade", "h2c"))),
    ],
)
def test_no_other_upgrade_is_passed(method: str, version: str, has_body: bool, fields: Fields) -> None:
    """What lies behind a switch that we did not notice would be a request that we did not check."""
    asked = Head(method, "/", version, fields, has_body)
    assert not asked.wants_websocket
    assert not {"Upgrade", "Connection", "HTTP2-Settings"} & sent(asked).keys()


def test_an_answer_keeps_what_is_its_own() -> None:
    """Order and repetition included, for which cookies are known."""
    fields: Fields = (
        ("Set-Cookie", "a=1"),
        ("X", "y"),
        ("set-cookie", "b=2"),
        ("Content-Length", "3"),
        ("Date", "today"),
    )
    assert back(fields) == (*fields, ("Via", "1.1 thumb-proxy"))


def test_the_length_of_an_answer_in_chunks_counts_for_nothing() -> None:
    """RFC 9112 §6.3: chunks decide."""
    assert "Content-Length" not in dict(back((("Transfer-Encoding", "chunked"), ("Content-Length", "3"))))


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\x00b", "a\x01b"])
def test_a_field_that_would_end_early_makes_an_answer_useless(value: str) -> None:
    """The rest of it would be another field, or another answer."""
    with pytest.raises(UpstreamError):
        back((("X-A", value),))


def test_an_answer_that_switches_says_to_what() -> None:
    fields: Fields = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "a"))
    assert dict(back(fields, switched=True)) == {
        "Sec-WebSocket-Accept": "a",
        "Via": "1.1 thumb-proxy",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
    }
    assert not {"Connection", "Upgrade"} & dict(back(fields)).keys()


def test_a_head_never_prints_what_it_holds() -> None:
    assert "secret" not in repr(head(("Authorization", "secret"), target="/secret"))


NAMES = st.sampled_from(
    ["Connection", "Host", "X-Forwarded-For", "Cookie", "Via", "Expect", "Upgrade", "Transfer-Encoding", "X-A", "TE"]
)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20)


@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=8), has_body=st.booleans())
def test_any_request_is_passed_on_as_one_message(fields: list[tuple[str, str]], has_body: bool) -> None:
    """One host, one chain that ends with our peer, at most one way to tell the end of the body, our signature last."""
    asked = head(*fields, has_body=has_body)
    try:
        check(asked)
    except (BadRequest, Looping):
        return
    got = sent(asked)
    assert got["Host"] == ["cloud.example.com"]
    assert got["X-Forwarded-For"] == [PEER]
    assert got["Via"][-1] == "1.1 thumb-proxy"
    assert not {"Transfer-Encoding", "TE", "Keep-Alive"} & got.keys()
    assert ("Connection" in got) is ("Upgrade" in got) is asked.wants_websocket
