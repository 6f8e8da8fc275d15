"""nginx keeps pictures that a gateway calls public, and provably nothing else."""

from __future__ import annotations

from itertools import combinations

import pytest
from aiohttp import ClientPayloadError, web

from tests.deploy.backend import PUBLIC, Backend
from tests.deploy.nginx import Nginx
from tests.deploy.visitor import THUMB, Visitor

pytestmark = pytest.mark.needs("nginx")

SEALED = "/thumb/s/c2VhbGVk"
FAR_AHEAD = "Thu, 01 Jan 2099 00:00:00 GMT"
CREDENTIALS = {
    "Authorization": "Bearer a.b.c",
    "Cookie": "theme=dark; thumb_session=sealed",
    "X-Cr-Purchase-Ticket": "ticket",
}
COMBINATIONS = [dict(pairs) for count in (1, 2, 3) for pairs in combinations(CREDENTIALS.items(), count)]
ODD_CREDENTIALS = [
    {"Authorization": "0"},  # what nginx takes for false in its conditions
    {"Authorization": "off"},
    {"Authorization": "Basic x"},
    {"X-Cr-Purchase-Ticket": "0"},
    {"Cookie": "__Host-thumb_session=x"},
    {"Cookie": "a=b;thumb_session=x;c=d"},
    {"Cookie": "THUMB_SESSION=x"},
    {"Cookie": "thumb_elsewhere=x"},  # what the configuration may call it
    {"Cookie": 'a="; thumb_session=x"'},
]


def reached(gateways: list[Backend]) -> int:
    return sum(len(gateway.requests) for gateway in gateways)


def every(gateways: list[Backend], headers: dict[str, str], status: int = 200) -> None:
    for gateway in gateways:
        gateway.status, gateway.headers = status, headers


@pytest.mark.parametrize("target", [THUMB, SEALED])
async def test_a_public_picture_reaches_the_gateways_once(
    nginx: Nginx, gateways: list[Backend], visitor: Visitor, target: str
) -> None:
    """The second visitor is answered by nginx, whole, and told so."""
    every(gateways, {**PUBLIC, "Cache-Status": "thumb-proxy; fwd=miss; ttl=60"})
    first, second = await visitor.get(target), await visitor.get(target)
    assert reached(gateways) == 1
    assert (first.body, second.body) == (b"a picture", b"a picture")
    assert first.headers.getall("Cache-Status") == ["thumb-proxy; fwd=miss; ttl=60", "nginx; fwd=uri-miss"]
    assert second.headers.getall("Cache-Status") == ["thumb-proxy; fwd=miss; ttl=60", "nginx; hit"]
    assert len(nginx.stored) == 1


@pytest.mark.parametrize(
    "caching",
    [
        "private, max-age=60",
        "max-age=60",
        "no-store",
        "public",
        "public, max-age=0",
        "public, no-store, max-age=60",
        "public, no-cache, max-age=60",
        "public, private, max-age=60",
        "max-age=60, private, public",
        "publicity, max-age=60",
        "not-public, max-age=60",
        "max-age=60; public",
        "s-maxage=60",
        "",
    ],
)
async def test_a_private_answer_is_not_cached(
    nginx: Nginx, gateways: list[Backend], visitor: Visitor, caching: str
) -> None:
    """Whatever else a gateway says of caching, and whatever other fields would have nginx keep it."""
    every(gateways, {"Cache-Control": caching, "Expires": FAR_AHEAD, "X-Accel-Expires": "60"})
    await visitor.get()
    await visitor.get()
    assert reached(gateways) == 2
    assert nginx.stored == []


async def test_a_gateway_that_says_nothing_of_caching_is_not_cached(
    nginx: Nginx, gateways: list[Backend], visitor: Visitor
) -> None:
    await visitor.get()
    await visitor.get()
    assert reached(gateways) == 2
    assert nginx.stored == []


@pytest.mark.parametrize("status", [201, 206, 301, 302, 400, 401, 403, 404, 410, 500, 502, 503, 504])
async def test_nothing_but_success_is_kept(
    nginx: Nginx, gateways: list[Backend], visitor: Visitor, status: int
) -> None:
    """Not even where a gateway would call a refusal public, which it does not."""
    every(gateways, PUBLIC, status)
    answers = [await visitor.get() for _ in range(2)]
    assert [answer.status for answer in answers] == [status, status]
    assert reached(gateways) == 2
    assert nginx.stored == []


@pytest.mark.parametrize("field", [{"Set-Cookie": "thumb_session=x"}, {"Vary": "*"}])
async def test_an_answer_for_one_visitor_is_not_cached(
    nginx: Nginx, gateways: list[Backend], visitor: Visitor, field: dict[str, str]
) -> None:
    """A cookie in an answer, or one that varies by everything."""
    every(gateways, PUBLIC | field)
    await visitor.get()
    await visitor.get()
    assert reached(gateways) == 2
    assert nginx.stored == []


@pytest.mark.parametrize("target", [THUMB, SEALED])
@pytest.mark.parametrize("credentials", COMBINATIONS + ODD_CREDENTIALS, ids=str)
async def test_a_credential_goes_past_the_cache(
    nginx: Nginx, gateways: list[Backend], visitor: Visitor, credentials: dict[str, str], target: str
) -> None:
    """It reaches a gateway each time, as it is; nothing is stored, though the gateway were to call it public."""
    every(gateways, PUBLIC)
    for _ in range(2):
        assert (await visitor.get(target, credentials)).status == 200
    assert reached(gateways) == 2
    [asked] = [gateway for gateway in gateways if gateway.requests]
    assert {name: asked.last.headers[name] for name in credentials} == credentials
    assert nginx.stored == []
    await visitor.get(target)
    await visitor.get(target, credentials)
    assert reached(gateways) == 4  # what is kept by now is not for whoever says who asks
    await visitor.get(target)
    assert reached(gateways) == 4


async def test_credentials_given_twice_go_past_the_cache(gateways: list[Backend], visitor: Visitor) -> None:
    """A second line counts, wherever it stands: the gateway sees both and decides, or nginx refuses by itself."""
    every(gateways, PUBLIC)
    await visitor.get()
    request = f"GET {THUMB} HTTP/1.1"
    await visitor.get_raw(request, "X-Cr-Purchase-Ticket: 1", "X-Cr-Purchase-Ticket: 2")
    await visitor.get_raw(request, "Cookie: theme=dark", "Cookie: thumb_session=x")
    assert reached(gateways) == 3
    twice = await visitor.get_raw(request, "Authorization: Bearer a.b.c", "Authorization: Bearer d.e.f")
    assert twice.startswith(b"HTTP/1.1 400 ")


async def test_validators_and_methods_of_a_credential_reach_the_gateway(
    gateways: list[Backend], visitor: Visitor
) -> None:
    """A private picture that has not changed is not sent again from gateway to nginx either."""
    every(gateways, {"Cache-Control": "private, max-age=60"})
    token = {"Authorization": "Bearer a.b.c"}
    known = await visitor.get(headers={**token, "If-None-Match": '"one"'})
    head = await visitor.send("HEAD", THUMB, token)
    [asked] = [gateway for gateway in gateways if gateway.requests]
    assert (known.status, head.status) == (304, 200)
    assert asked.requests[0].headers["If-None-Match"] == '"one"'
    assert asked.requests[1].method == "HEAD"


async def test_validators_and_methods_of_the_public_are_answered_by_nginx(
    gateways: list[Backend], visitor: Visitor
) -> None:
    every(gateways, PUBLIC)
    await visitor.get()
    assert (await visitor.get(headers={"If-None-Match": '"one"'})).status == 304
    head = await visitor.send("HEAD", THUMB)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "9")
    assert reached(gateways) == 1


async def test_a_cached_answer_says_its_age(gateways: list[Backend], visitor: Visitor) -> None:
    """By the date of the gateway's answer: max-age counts from there (RFC 9111 §4.2.3), not from today's visit."""
    every(gateways, {**PUBLIC, "Date": "Mon, 23 Nov 2026 12:00:00 GMT"})
    for _ in range(2):
        assert (await visitor.get()).headers.getall("Date") == ["Mon, 23 Nov 2026 12:00:00 GMT"]


async def test_only_equal_questions_are_equal(gateways: list[Backend], visitor: Visitor) -> None:
    every(gateways, PUBLIC)
    for target in (THUMB, f"{THUMB}&x=1", THUMB.replace("one", "two"), THUMB.replace("%3A", "%3a"), SEALED):
        await visitor.get(target)
    assert reached(gateways) == 5


async def test_answers_that_tell_pages_apart_are_not_kept(gateways: list[Backend], visitor: Visitor) -> None:
    """A page of another origin does not get what was said to the first."""
    every(gateways, {**PUBLIC, "Vary": "Authorization, X-Cr-Purchase-Ticket, Origin"})
    for origin in ("https://one.example", "https://two.example"):
        await visitor.get(headers={"Origin": origin})
    assert reached(gateways) == 2


CHROMIUM = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
SAFARI = "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,*/*;q=0.5"


async def test_formats_are_kept_apart_and_spellings_of_accept_are_not(
    gateways: list[Backend], visitor: Visitor
) -> None:
    """One browser can show a format that another cannot; three that name the same formats share one copy."""
    every(gateways, {**PUBLIC, "Vary": "Authorization, X-Cr-Purchase-Ticket, Accept"})
    for accept in (CHROMIUM, FIREFOX, SAFARI):
        await visitor.get(headers={"Accept": accept})
    assert reached(gateways) == 1
    others = ["*/*", "image/*", "image/webp", "image/avif", "image/webp;q=0", "image/webp;q=0,image/avif"]
    for number, accept in enumerate(others):
        await visitor.get(headers={"Accept": accept})
        assert reached(gateways) == max(number, 1) + 1, accept


@pytest.mark.parametrize("announced", [True, False])
async def test_a_picture_that_breaks_off_is_not_kept(
    nginx: Nginx, gateways: list[Backend], visitor: Visitor, announced: bool
) -> None:
    """The visitor sees that it is cut off, and the next one gets it anew."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=PUBLIC)
        if announced:
            response.content_length = 100_000
        await response.prepare(request)
        await response.write(b"x" * 50_000)
        assert request.transport is not None
        request.transport.close()
        return response

    for gateway in gateways:
        gateway.answering = half
    for _ in range(2):
        with pytest.raises(ClientPayloadError):
            await visitor.get()
    assert reached(gateways) == 2
    assert nginx.stored == []
