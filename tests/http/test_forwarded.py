"""Whom the gateway believes about a visitor's address, scheme and host."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.forwarded import FieldValues, ForwardedFor, Proxies

PROXIES = Proxies(["127.0.0.0/8", "::1/128", "10.0.0.0/8", "2001:db8:1::/48"])
NGINX, BALANCER, VISITOR, STRANGER = "127.0.0.1", "10.9.9.9", "203.0.113.7", "198.51.100.1"
FOR, PROTO, HOST, STANDARD = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"


def of(*lines: tuple[str, str]) -> FieldValues:
    """Give the header fields of these lines."""
    return lambda wanted: [value for name, value in lines if name == wanted]


def seen(peer: str, *lines: tuple[str, str]) -> ForwardedFor:
    """Tell what is seen of a request with these header lines."""
    return PROXIES.seen(peer, of(*lines))


@pytest.mark.parametrize(
    "lines",
    [
        [(FOR, VISITOR), (PROTO, "https"), (HOST, "evil.example")],
        [(STANDARD, f"for={VISITOR};proto=https;host=evil.example")],
        [("Host", "cloud.example.com")],
    ],
)
def test_a_stranger_is_not_believed(lines: list[tuple[str, str]]) -> None:
    found = seen(STRANGER, *lines)
    assert found == ForwardedFor(STRANGER)
    assert found.origin is None


@pytest.mark.parametrize(
    ("lines", "client", "origin"),
    [
        ([], NGINX, None),
        ([("Host", "cloud.example.com")], NGINX, None),
        ([(FOR, VISITOR)], VISITOR, None),
        ([(FOR, VISITOR), (HOST, "cloud.example.com")], VISITOR, None),
        ([(PROTO, "https"), (HOST, "cloud.example.com")], NGINX, "https://cloud.example.com"),
        ([(FOR, VISITOR), (PROTO, "https"), ("Host", "a.example")], VISITOR, "https://a.example"),
        ([(FOR, VISITOR), (PROTO, "HTTPS"), (HOST, "Cloud.Example.com:443")], VISITOR, "https://cloud.example.com"),
        ([(FOR, VISITOR), (PROTO, "http"), (HOST, "a.example:80")], VISITOR, "http://a.example"),
        ([(FOR, VISITOR), (PROTO, "http"), (HOST, "a.example:443")], VISITOR, "http://a.example:443"),
        ([(FOR, VISITOR), (PROTO, "https"), (HOST, "[2001:db8::1]:8443")], VISITOR, "https://[2001:db8::1]:8443"),
        ([(FOR, VISITOR), (PROTO, "https"), (HOST, "a.example"), ("Host", "b.example")], VISITOR, "https://a.example"),
    ],
)
def test_a_trusted_proxy_is_believed(lines: list[tuple[str, str]], client: str, origin: str | None) -> None:
    """Without a scheme there is no origin: a page on https shows no picture whose URL begins with http."""
    found = seen(NGINX, *lines)
    assert (found.client, found.origin) == (client, origin)


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ([f"{VISITOR}"], VISITOR),
        ([f"1.1.1.1, {VISITOR}"], VISITOR),
        (["1.1.1.1", VISITOR], VISITOR),
        ([f"1.1.1.1, {VISITOR}, {BALANCER}"], VISITOR),
        ([f"{NGINX}, {VISITOR}"], VISITOR),
        ([f"{VISITOR},{BALANCER},10.1.1.1"], VISITOR),
        ([f"{BALANCER}"], BALANCER),
        ([f"{VISITOR}:4711"], VISITOR),
        (["[2001:db8:2::7]:4711"], "2001:db8:2::7"),
        (["2001:db8:2::7"], "2001:db8:2::7"),
        ([f"::ffff:{VISITOR}"], VISITOR),
        ([f"{VISITOR}, ::ffff:10.1.1.1"], VISITOR),
        ([f"{VISITOR}, unknown, {BALANCER}"], BALANCER),
        (["unknown"], NGINX),
        ([""], NGINX),
        (["'; drop table"], NGINX),
    ],
)
def test_the_visitor_is_the_farthest_address_that_is_more_than_a_claim(told: list[str], client: str) -> None:
    """The part before an address that is not trusted was sent by it, and may be anything."""
    assert seen(NGINX, *((FOR, line) for line in told)).client == client


@pytest.mark.parametrize(
    ("lines", "origin"),
    [
        # Both proxies append: the outer one says how the visitor came, the inner one how the outer one did.
        ([(FOR, f"{VISITOR}, {BALANCER}"), (PROTO, "https, http"), (HOST, "a.example, inner")], "https://a.example"),
        # The inner one sets what the outer one said, or passes it on.
        ([(FOR, f"{VISITOR}, {BALANCER}"), (PROTO, "https"), (HOST, "a.example")], "https://a.example"),
        # A visitor who sends the fields, too, is not heard before a proxy that appends.
        (
            [(FOR, f"1.1.1.1, {VISITOR}"), (PROTO, "http, https"), (HOST, "evil.example, a.example")],
            "https://a.example",
        ),
        ([(FOR, VISITOR), (PROTO, "http"), (PROTO, "https"), (HOST, "a.example")], "https://a.example"),
    ],
)
def test_lists_are_read_from_the_nearest_proxy_outwards(lines: list[tuple[str, str]], origin: str) -> None:
    assert seen(NGINX, *lines).origin == origin


@pytest.mark.parametrize(
    ("lines", "client", "origin"),
    [
        ([f"for={VISITOR};proto=https;host=a.example"], VISITOR, "https://a.example"),
        ([f'For="{VISITOR}:4711"; Proto=https; Host="a.example:8443"'], VISITOR, "https://a.example:8443"),
        (['for="[2001:db8:2::7]:4711";proto=https;host=a.example'], "2001:db8:2::7", "https://a.example"),
        ([f"for={VISITOR};proto=https;host=a.example, for={BALANCER};proto=http"], VISITOR, "https://a.example"),
        ([f"for=1.1.1.1;host=evil.example, for={VISITOR};proto=https;host=a.example"], VISITOR, "https://a.example"),
        (["for=1.1.1.1;host=evil.example", f"for={VISITOR};proto=https;host=a.example"], VISITOR, "https://a.example"),
        (["for=_hidden;proto=https;host=a.example"], NGINX, "https://a.example"),
        (["proto=https;host=a.example"], NGINX, "https://a.example"),
        ([f"for={VISITOR};by={NGINX}"], VISITOR, None),
        ([f'for={VISITOR};proto=https;host="a.example'], NGINX, None),
        ([f'for={VISITOR};proto=https;host="a\\".example"'], NGINX, None),
        ([f'for="evil, for={VISITOR};proto=https;host=a.example'], NGINX, None),
        (["for"], NGINX, None),
        ([","], NGINX, None),
        ([""], NGINX, None),
    ],
)
def test_the_standard_field_is_understood(lines: list[str], client: str, origin: str | None) -> None:
    """RFC 7239; where it is malformed it cannot be told who did that, and nothing of it counts."""
    found = seen(NGINX, *((STANDARD, line) for line in lines))
    assert (found.client, found.origin) == (client, origin)


def test_two_kinds_of_fields_that_agree_are_believed() -> None:
    both = [
        (FOR, VISITOR),
        (PROTO, "https"),
        (HOST, "a.example"),
        (STANDARD, f"for={VISITOR};proto=https;host=a.example"),
    ]
    assert seen(NGINX, *both) == ForwardedFor(VISITOR, "https", "a.example")


@pytest.mark.parametrize(
    "other",
    [f"for={VISITOR};proto=https;host=evil.example", "for=1.1.1.1;proto=https;host=a.example", "host=evil.example"],
)
def test_two_kinds_of_fields_that_differ_are_not(other: str) -> None:
    """One of them the visitor sent, past a proxy that sets only the other kind."""
    lines = [(FOR, VISITOR), (PROTO, "https"), (HOST, "a.example"), (STANDARD, other)]
    assert seen(NGINX, *lines) == ForwardedFor(NGINX)


@pytest.mark.parametrize("scheme", ["", "ftp", "javascript", "https:", "https//evil", "ht tp"])
def test_a_scheme_that_is_none_makes_no_origin(scheme: str) -> None:
    """Only http and https show pictures."""
    assert seen(NGINX, (FOR, VISITOR), (PROTO, scheme), (HOST, "a.example")) == ForwardedFor(VISITOR)


BAD_HOSTS = """
a.example/evil a.example@evil.example a..example a.example: a:b [::1 é.example a" a.example\\evil a.example?x
a.example#x a.example%2e <a> .a a.example:123456
"""


@pytest.mark.parametrize("host", [*BAD_HOSTS.split(), "a.example evil", "a.example\tevil"])
def test_a_host_that_is_none_makes_no_origin(host: str) -> None:
    """It would end up in a URL."""
    found = seen(NGINX, (FOR, VISITOR), (PROTO, "https"), (HOST, host))
    assert found.origin is None


@pytest.mark.parametrize("peer", ["", "unix:/run/nginx.sock", "localhost", "nonsense"])
def test_a_peer_without_an_address_is_not_trusted(peer: str) -> None:
    assert seen(peer, (PROTO, "https"), (HOST, "a.example")) == ForwardedFor(peer)


def test_forwarded_fields_of_visitors_fill_no_memory() -> None:
    """Addresses are remembered, and a header line is as long as its sender likes."""
    proxies = Proxies(["127.0.0.0/8"])
    tracemalloc.start()
    try:
        for n in range(5000):
            assert proxies.seen(NGINX, of((FOR, f"{n}{'x' * 10_000}"))) == ForwardedFor(NGINX)
        assert tracemalloc.get_traced_memory()[0] < 4_000_000
    finally:
        tracemalloc.stop()


def test_nobody_is_trusted_by_an_empty_list() -> None:
    assert Proxies([]).seen(NGINX, of((PROTO, "https"), (HOST, "a.example"))) == ForwardedFor(NGINX)


def test_an_ipv4_peer_in_ipv6_clothes_is_the_same_peer() -> None:
    """A socket that listens on both shows it like that (RFC 4291 §2.5.5.2)."""
    assert PROXIES.trusts("::ffff:127.0.0.1")
    assert not PROXIES.trusts(f"::ffff:{STRANGER}")


lines_of = st.lists(st.tuples(st.sampled_from([FOR, PROTO, HOST, STANDARD, "Host"]), st.text(max_size=40)), max_size=6)


@given(st.sampled_from([NGINX, STRANGER]), lines_of)
def test_no_origin_holds_more_than_scheme_and_host(peer: str, lines: list[tuple[str, str]]) -> None:
    """Nothing that could end the host of a URL, or a header line."""
    found = seen(peer, *lines)
    assert found.origin is None or not set(found.origin.partition("://")[2]) & set("/\\@?#% \r\n\t\"'<>")
