"""Answers of an image URL that are no whole picture: the right status in time, nothing stored, nothing announced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from proxy.pictures.respond import REFUSED_S
from proxy.standin import faults
from proxy.standin.faults import Fault, Says, json_body, redirect
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import CUT_OFF, PNG, GatewayClient, GatewayLauncher, Hours, in_share, kept
from tests.harness.pictures import pictures
from tests.harness.redis_server import RedisServer

WHOLE = paint(1, 40, 30)
REJECTIONS = (403, 40005, 40071, 40077)
CUT = 0
"""In place of a status: the transfer had begun and was broken off."""


@dataclass(frozen=True)
class Case:
    """A fault and what a visitor may be told of it."""

    id: str
    fault: Callable[[], Fault]
    ends: frozenset[int] = frozenset({502})
    resolves: int = 1
    """How often Cloudreve is asked for a grant: twice where a new one might help."""


CASES = (
    Case("reset at once", faults.Reset, frozenset({503})),
    Case("reset after the head", lambda: faults.Reset(sent=0), frozenset({502, 503})),
    Case("half, then reset", faults.Half, frozenset({502, 503, CUT})),
    Case("truncated", faults.Truncated, frozenset({502, CUT})),
    Case("cut where it was stored", lambda: Says(WHOLE[:-20], PNG), frozenset({502, CUT})),
    Case("nothing", lambda: Says(b"", PNG)),
    Case("a few bytes of a picture", lambda: Says(WHOLE[:20], PNG)),
    Case("JSON null", lambda: json_body("null")),
    Case("JSON of success", lambda: json_body('{"code":0,"data":{"url":"http://127.0.0.1/"}}')),
    Case("JSON of another error", lambda: json_body('{"code":50001,"msg":"x"}')),
    Case("JSON that is none", lambda: json_body("{")),
    Case("deep JSON", faults.deep_json),
    Case("a rejection that calls itself a picture", lambda: Says(b'{"code":40005}', PNG)),
    Case("a web page", lambda: Says(faults.HTML, "text/html")),
    Case("a web page that calls itself a picture", lambda: Says(faults.HTML, PNG)),
    Case("a front end's error page", lambda: faults.error_page(502), frozenset({503})),
    Case("an error of the server", lambda: faults.error_page(500), frozenset({503})),
    Case("a picture with the status of an error", lambda: Says(WHOLE, PNG, 500), frozenset({503})),
    Case("SVG", faults.svg),
    Case("SVG that calls itself a picture", lambda: Says(faults.SVG, PNG)),
    Case("50 MB, announced", faults.Huge),
    Case("50 MB, not announced", lambda: faults.Huge(announced=False), frozenset({502, CUT})),
    Case("a part", lambda: Says(WHOLE, PNG, 206)),
    Case("no content", lambda: Says(b"", PNG, 204)),
    Case("not modified, unasked", lambda: Says(b"", PNG, 304)),
    Case("a redirect to loopback", lambda: redirect("http://127.0.0.1:1/")),
    Case("a redirect to nowhere", lambda: Says(b"", PNG, 302)),
    Case("gone", lambda: faults.error_page(404), frozenset({503}), resolves=2),
    Case("forbidden", lambda: faults.error_page(403), frozenset({503}), resolves=2),
    *(Case(f"code {code}", lambda code=code: json_body(f'{{"code":{code}}}'), resolves=2) for code in REJECTIONS),  # type: ignore[misc]
)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask at once for what may not be stored yet."""
    monkeypatch.setattr("proxy.gateway.STORED_AFTER_S", (0.0, 0.0))


@pytest.fixture
async def shared_front(launcher: GatewayLauncher, redis_server: RedisServer) -> GatewayClient:
    return await launcher.open(redis={"url": redis_server.url})


async def ending(gateway: GatewayClient, uri: str) -> int:
    """Ask, and tell the status, or that the transfer broke."""
    try:
        reply = await gateway.ask(uri)
    except CUT_OFF:
        return CUT
    assert reply.status == 200 or reply.problem["title"]
    assert reply.status != 503 or reply.headers["Retry-After"]
    return reply.status


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_nobody_is_told_that_it_is_a_picture(
    cloudreve: StandIn, shared_front: GatewayClient, hours: Hours, redis_server: RedisServer, case: Case
) -> None:
    """The status is true, no tier keeps anything of it, and when all is well again the picture is fetched anew."""
    uri = in_share(cloudreve)
    fault = case.fault()
    cloudreve.fail("fetch", fault)
    assert await ending(shared_front, uri) in case.ends
    assert cloudreve.calls.count("resolve") == case.resolves
    assert kept(redis_server, "p:") == []
    if isinstance(fault, faults.Huge):
        assert fault.sent < fault.size / 2  # left as soon as it was too much
    cloudreve.mend()
    hours.pass_by(REFUSED_S + 1)
    whole = await shared_front.ask(uri)
    assert (whole.status, whole.headers["Content-Type"]) == (200, PNG)
    assert "detail" not in whole.headers["Cache-Status"]  # that is: no picture was reused
    assert (await shared_front.ask(uri)).is_hit


@pytest.mark.parametrize("code", REJECTIONS)
async def test_a_rejection_that_a_new_grant_mends_is_never_seen(
    cloudreve: StandIn, shared_front: GatewayClient, code: int
) -> None:
    cloudreve.fail("fetch", json_body(f'{{"code":{code}}}'), times=1)
    assert (await shared_front.ask(in_share(cloudreve))).status == 200
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 2)


async def test_a_header_that_lies_about_the_coding_does_no_harm(
    cloudreve: StandIn, shared_front: GatewayClient
) -> None:
    """The bytes are a picture, whatever was said of them; the visitor is not told the lie."""
    cloudreve.fail("fetch", faults.Encoded(), times=1)
    reply = await shared_front.ask(in_share(cloudreve))
    assert (reply.status, reply.headers["Content-Type"]) == (200, PNG)
    assert "Content-Encoding" not in reply.headers


async def test_a_false_type_does_not_matter(cloudreve: StandIn, shared_front: GatewayClient) -> None:
    """The media type comes from the bytes: a JPEG that is announced as a web page is a JPEG."""
    _, jpeg = pictures()["jpeg"]
    cloudreve.fail("fetch", Says(jpeg, "text/html"), times=1)
    reply = await shared_front.ask(in_share(cloudreve))
    assert (reply.status, reply.headers["Content-Type"], reply.body) == (200, "image/jpeg", jpeg)


async def test_header_fields_of_storage_are_not_passed_on(cloudreve: StandIn, shared_front: GatewayClient) -> None:
    """Cookies, caching and policies of an image host are not the gateway's."""
    said = {"Set-Cookie": "a=b", "Cache-Control": "public", "Refresh": "0;url=http://other.example/", "X-Other": "x"}
    cloudreve.fail("fetch", Says(WHOLE, PNG, headers={**said, "Content-Disposition": "attachment"}), times=1)
    reply = await shared_front.ask(in_share(cloudreve))
    assert reply.status == 200
    assert reply.headers["Cache-Control"].startswith("public, max-age=3")
    for name in ("Set-Cookie", "Refresh", "X-Other", "Content-Disposition"):
        assert name not in reply.headers


async def test_a_picture_that_does_not_begin_is_given_up_in_time(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """504 with Retry-After at the deadline; the fetch goes on, and the next visitor profits."""
    hang = faults.Hang()
    cloudreve.fail("fetch", hang, times=1)
    gateway = await launcher.open(server={"deadline_s": 0.3})
    reply = await gateway.ask(in_share(cloudreve))
    assert (reply.status, reply.headers["Retry-After"]) == (504, "2")
    hang.until.set()
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert cloudreve.calls.count("fetch") == 1
    assert not cloudreve.calls.of("fetch")[0].left


async def test_a_picture_host_that_hangs_is_left_in_time(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """After the time that a picture may take: 504, before the visitor's own deadline."""
    cloudreve.fail("fetch", faults.Hang(), times=1)
    gateway = await launcher.open(cloudreve={"fetch_timeout_s": 0.2})
    assert (await gateway.ask(in_share(cloudreve))).status == 504
    assert (await gateway.ask(in_share(cloudreve))).status == 200
