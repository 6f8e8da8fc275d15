"""The key of a request: equal for what has the same answer, different for what may not."""

from __future__ import annotations

import json
from functools import lru_cache

import pytest

from proxy.fastpath.key import MAX_HEAD_BYTES, Key, Keys
from proxy.http.request_origin import RequestOrigin
from proxy.sessions.cookies import SessionCookies
from proxy.settings import Settings

SEALED = "/thumb/s/abc"
LONG = "x" * MAX_HEAD_BYTES


@lru_cache
def keys_of(sections: str) -> Keys:
    settings = Settings.model_validate_json(sections)
    gateway = RequestOrigin(settings.server)
    return Keys(gateway, SessionCookies("thumb_session", gateway), settings)


def key(*lines: str, target: str = "/thumb?uri=x", is_trusted: bool = True, **sections: object) -> Key | None:
    """Make the key of a request with these lines."""
    keys = keys_of(json.dumps({"cloudreve": {"url": "http://x"}, **sections}))
    raw = "\r\n".join([f"GET {target} HTTP/1.1", "Host: x.example", *lines, "", ""]).encode("latin-1")
    return keys.key(raw, is_trusted=is_trusted)


ALIKE = {
    "what a browser is called": (["User-Agent: a"], []),
    "languages": (["Accept-Language: de"], ["Accept-Language: fr"]),
    "names in another case": (["AUTHORIZATION: Bearer a"], ["authorization: Bearer a"]),
    "the order of fields": (["If-None-Match: a", "Accept: */*"], ["Accept: */*", "If-None-Match: a"]),
    "foreign cookies": (["Cookie: a=1; thumb_session=x; b=2"], ["Cookie: thumb_session=x"]),
    "a cookie whose name ends alike": (["Cookie: my_thumb_session=x"], []),
    "a secure cookie on http": (["Cookie: __Host-thumb_session=x"], []),
    "a cookie that is there twice": (["Cookie: thumb_session=x; thumb_session=y"], []),
    "a cookie that another site's page sends": (
        ["Sec-Fetch-Site: cross-site", "Cookie: thumb_session=x"],
        ["Sec-Fetch-Site: cross-site"],
    ),
    "other schemes than Bearer": (["Authorization: Basic eDp5"], []),
    "the path of the page": (["Referer: https://a.example/1"], ["Referer: https://a.example/2?x"]),
    "own pages": (["Sec-Fetch-Site: same-origin", "Referer: http://x.example/"], []),
    "own pages on plain http": (["Referer: http://x.example:8080/"], []),
    "accepted formats in other words": (["Accept: image/webp,*/*"], ["Accept: */*;q=0.1, image/webp;q=0.5"]),
    "addresses": (["X-Forwarded-For: 192.0.2.1"], ["X-Forwarded-For: 192.0.2.2, 192.0.2.3"]),
    "addresses behind https": (
        ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"],
        ["X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https"],
    ),
    "a connection that is kept": (["Connection: keep-alive"], []),
}


@pytest.mark.parametrize(("one", "other"), ALIKE.values(), ids=ALIKE.keys())
def test_requests_that_mean_the_same_have_equal_keys(one: list[str], other: list[str]) -> None:
    """So that they share an answer."""
    assert key(*one) == key(*other) != None  # noqa: E711 - both are keys


DIFFERENT = {
    "tokens": (["Authorization: Bearer a"], ["Authorization: Bearer b"]),
    "a token and none": (["Authorization: Bearer a"], []),
    "a malformed token": (["Authorization: bearer"], []),
    "tickets": (["X-Cr-Purchase-Ticket: a"], ["X-Cr-Purchase-Ticket: b"]),
    "sessions": (["Cookie: thumb_session=x"], ["Cookie: thumb_session=y"]),
    "a session and none": (["Cookie: thumb_session=x"], []),
    "validators": (["If-None-Match: a"], []),
    "formats": (["Accept: image/webp"], ["Accept: image/png"]),
    "pages": (["Referer: https://a.example/"], ["Referer: https://b.example/"]),
    "another site's page and none": (["Referer: https://a.example/"], []),
    "a page that hides its name": (["Sec-Fetch-Site: cross-site"], []),
    "a script": (["Origin: https://a.example"], ["Referer: https://a.example/"]),
    "an own script": (["Sec-Fetch-Site: same-origin", "Origin: https://a.example"], ["Sec-Fetch-Site: same-origin"]),
    "schemes": (["X-Forwarded-Proto: https"], []),
    "hosts": (["X-Forwarded-Proto: http", "X-Forwarded-Host: y.example"], ["X-Forwarded-Proto: http"]),
    "hosts by the standard field": (["Forwarded: proto=http;host=y.example"], []),
    "several hops": (
        ["X-Forwarded-For: 192.0.2.1, 127.0.0.1", "X-Forwarded-Proto: https, http"],
        ["X-Forwarded-For: 127.0.0.1, 192.0.2.1", "X-Forwarded-Proto: https, http"],
    ),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_requests_that_may_have_different_answers_have_different_keys(one: list[str], other: list[str]) -> None:
    """So that nobody gets another's."""
    keys = key(*one), key(*other)
    assert None not in keys
    assert keys[0] != keys[1]


LONG_WAY = {
    "a range": ["Range: bytes=0-3"],
    "a condition on a range": ["If-Range: a"],
    "a body": ["Content-Length: 0"],
    "a chunked body": ["Transfer-Encoding: chunked"],
    "another protocol": ["Connection: upgrade", "Upgrade: h2c"],
    "a connection that ends": ["Connection: close"],
    "a connection of old proxies that ends": ["Proxy-Connection: close"],
    "an expectation": ["Expect: 100-continue"],
    "a field that is there twice": ["Accept: a", "Accept: a"],
    "a field that is there in two spellings": ["X-A: a", "x-a: b"],
    "two hosts": ["Host: x.example"],
    "a folded line": ["X-A: a", " b"],
    "a bare line feed": ["X-A: a\nX-B: b"],
    "a null byte": ["X-A: \0"],
    "a name that is none": ["X A: a"],
    "proxies that tell it twice": ["X-Forwarded-Proto: http", "Forwarded: proto=http"],
    "too many bytes": [f"X-A: {LONG}"],
    "too many fields": [f"X-{number}: a" for number in range(120)],
}


@pytest.mark.parametrize("lines", LONG_WAY.values(), ids=LONG_WAY.keys())
def test_an_unusual_request_has_no_key(lines: list[str]) -> None:
    assert key(*lines) is None


@pytest.mark.parametrize(
    "line",
    [
        "POST /thumb?uri=x HTTP/1.1",
        "head /thumb?uri=x HTTP/1.1",
        "GET /thumb?uri=x HTTP/1.0",
        "GET /other HTTP/1.1",
        "GET http://x/thumb HTTP/1.1",
    ],
)
def test_other_requests_have_no_key(line: str) -> None:
    settings = Settings.model_validate({"cloudreve": {"url": "http://x"}})
    gateway = RequestOrigin(settings.server)
    raw = f"{line}\r\nHost: x\r\n\r\n".encode()
    assert Keys(gateway, SessionCookies("thumb_session", gateway), settings).key(raw, is_trusted=True) is None


@pytest.mark.parametrize(
    "behind", ["G", "GET /thumb", "x", "\n", "\r\n", "GET /thumb?uri=x HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_a_request_that_is_followed_by_bytes_has_no_key(behind: str) -> None:
    """They may be another request, or the beginning of one."""
    raw = b"GET /thumb?uri=x HTTP/1.1\r\nHost: x\r\n\r\n"
    keys = keys_of(json.dumps({"cloudreve": {"url": "http://x"}}))
    assert keys.key(raw + behind.encode(), is_trusted=True) is None
    assert keys.key(raw, is_trusted=True) is not None


def test_a_request_without_a_host_has_no_key() -> None:
    """HTTP/1.1 demands one."""
    settings = Settings.model_validate({"cloudreve": {"url": "http://x"}})
    gateway = RequestOrigin(settings.server)
    keys = Keys(gateway, SessionCookies("thumb_session", gateway), settings)
    assert keys.key(b"GET /thumb?uri=x HTTP/1.1\r\nX: x\r\n\r\n", is_trusted=True) is None


def test_credentials_do_not_count_at_sealed_urls() -> None:
    mine = ("Authorization: Bearer a", "Cookie: thumb_session=x")
    assert key(*mine, target=SEALED) == key(target=SEALED)
    assert key("If-None-Match: a", target=SEALED) != key(target=SEALED)


def test_forwarded_fields_of_strangers_do_not_count() -> None:
    assert key("X-Forwarded-Proto: https", is_trusted=False) == key(is_trusted=False)


def test_the_host_does_not_count_where_the_configuration_tells_it() -> None:
    """So that nobody makes answers without end by inventing hosts."""
    server = {"public_origin": "https://y.example"}
    assert key("X-Forwarded-Host: z", "X-Forwarded-Proto: http", server=server) == key(server=server)


def test_formats_do_not_count_where_there_are_none() -> None:
    """As by `pictures.formats = []`."""
    assert key("Accept: image/webp", pictures={"formats": []}) == key(pictures={"formats": []})


def test_a_parser_that_was_not_content_does_not_disturb_the_next_head() -> None:
    settings = Settings.model_validate({"cloudreve": {"url": "http://x"}})
    gateway = RequestOrigin(settings.server)
    keys = Keys(gateway, SessionCookies("thumb_session", gateway), settings)
    good = b"GET /thumb?uri=x HTTP/1.1\r\nHost: x\r\nX-%d: a\r\n\r\n"
    for number, lines in enumerate(LONG_WAY.values()):
        raw = "\r\n".join(["GET /thumb?uri=x HTTP/1.1", "Host: x", *lines, "", ""]).encode("latin-1")
        assert keys.key(raw, is_trusted=True) is None
        assert keys.key(good % number, is_trusted=True) is not None
