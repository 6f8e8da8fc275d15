"""`/session`: an access token becomes a cookie, and the cookie shows private pictures to pages of the same site."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from proxy.settings import GrantSettings
from proxy.standin.faults import Hang, Reset
from proxy.standin.standin import StandIn
from tests.harness.browser import COOKIE, Browser, set_by
from tests.harness.gateways import ONE, PNG, GatewayClient, GatewayLauncher, Hours, Reply, gateway_of, in_share, kept
from tests.harness.redis_server import RedisServer
from tests.harness.sites import Site, expired

HERE = "https://thumbs.example.com"
APP = "https://app.example.com"
PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "thumbs.example.com", "X-Forwarded-For": "198.51.100.7"}


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that knows its address, and a page elsewhere that may use it."""
    return await launcher.open(server={"public_origin": HERE}, session={"origins": [APP]})


@pytest.fixture
def browser(gateway: GatewayClient) -> Browser:
    return Browser(gateway)


def person(reply: Reply) -> dict[str, Any]:
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(reply.body)
    return found


async def test_a_page_of_the_site_shows_private_pictures_between_sign_in_and_sign_out(site: Site) -> None:
    """Blank without the cookie, shown with it, blank after; the same on a real Cloudreve."""
    target = site.target
    async with gateway_of(target.base) as gateway:
        browser = Browser(gateway)
        blank = await browser.see(ONE)
        signed_in = await browser.sign_in(target.alice)
        shown = await browser.see(ONE)
        who = person(await browser.send("GET", "/session"))
        copied = dict(browser.cookies)
        signed_out = await browser.send("DELETE", "/session")
        after = await browser.see(ONE)
        browser.cookies = copied
        stolen = await browser.see(ONE)
    assert [reply.status for reply in (blank, shown, signed_out, after, stolen)] == [401, 200, 204, 401, 401]
    assert shown.headers["Content-Type"] == PNG
    assert shown.headers["Cache-Control"] == "private, no-cache", "browsers look past Vary: Cookie while in memory"
    assert "Cookie" in shown.headers["Vary"]
    assert who == person(signed_in) == {"kind": "user", "subject": target.alice_id, "expires": who["expires"]}
    assert signed_out.headers["Clear-Site-Data"] == '"cache"'


async def test_the_cookie_is_as_locked_up_as_a_cookie_can_be(cloudreve: StandIn, browser: Browser) -> None:
    """No script reads it, no other site uses it, no other host sets it, and it ends with the token."""
    reply = await browser.sign_in(cloudreve.token(life_s=600))
    (morsel,) = set_by(reply)
    assert morsel.key == f"__Host-{COOKIE}"
    assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/", "", "Strict")
    assert morsel["httponly"]
    assert morsel["secure"]
    assert 595 <= int(morsel["max-age"]) <= 600
    assert datetime.fromisoformat(person(reply)["expires"]).timestamp() == pytest.approx(cloudreve.now() + 600, abs=2)


async def test_no_token_is_in_the_cookie_for_anybody_to_read(cloudreve: StandIn, browser: Browser) -> None:
    token = cloudreve.token()
    reply = await browser.sign_in(token)
    told = f"{reply.headers}{reply.body!r}"
    assert not [part for part in token.split(".") if part in told]


async def test_behind_a_trusted_proxy_its_word_says_whether_there_is_tls(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    trusting = Browser(await launcher.open(), **PROXY)
    distrusting = Browser(await launcher.open(server={"trusted_proxies": []}), **PROXY)
    names = [set_by(await browser.sign_in(cloudreve.token()))[0].key for browser in (trusting, distrusting)]
    assert names == [f"__Host-{COOKIE}", COOKIE]


async def test_on_https_a_cookie_without_the_prefix_counts_for_nothing(cloudreve: StandIn, browser: Browser) -> None:
    await browser.sign_in(cloudreve.token())
    browser.cookies = {COOKIE: browser.cookies[f"__Host-{COOKIE}"]}
    assert (await browser.see(ONE)).status == 401


@pytest.mark.parametrize("who", ["garbage", "expired", "refresh", "nobody"])
async def test_a_token_that_is_none_sets_no_cookie(cloudreve: StandIn, browser: Browser, who: str) -> None:
    tokens = {"garbage": "garbage", "expired": expired(cloudreve.token()), "refresh": cloudreve.token(kind="refresh")}
    reply = await browser.send("POST", "/session", tokens.get(who))
    assert reply.problem["status"] == 401
    assert set_by(reply) == []


async def test_an_anonymous_visitor_is_told_so(browser: Browser) -> None:
    reply = await browser.send("GET", "/session")
    assert reply.problem["title"] == "Unauthorized"
    assert set_by(reply) == []


async def test_a_bearer_token_names_the_user_too(cloudreve: StandIn, browser: Browser) -> None:
    """With its scopes, where it has some; it goes before a cookie."""
    await browser.sign_in(cloudreve.token("alice"))
    who = person(await browser.send("GET", "/session", cloudreve.token("bob", client="c", scopes=("openid",))))
    assert (who["subject"], who["scopes"]) == (cloudreve.library.bob.id, ["openid"])
    assert (await browser.send("GET", "/session", "garbage")).status == 401


async def test_a_bearer_token_goes_before_a_cookie(cloudreve: StandIn, browser: Browser) -> None:
    await browser.sign_in(cloudreve.token("alice"))
    assert (await browser.see(ONE)).status == 200
    assert (await browser.see(ONE, Authorization=f"Bearer {cloudreve.token('bob')}")).status == 404
    assert (await browser.see(ONE, Authorization="Bearer garbage")).status == 401


@pytest.mark.parametrize("what", ["garbage", "changed", "another key", "expired", "ended", "two"])
async def test_a_bad_cookie_is_dropped_and_the_visitor_is_anonymous(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, what: str
) -> None:
    """They see what everybody may see, and are asked to sign in for the rest; and lose the cookie when they ask."""
    gateway = await launcher.open()
    browser = Browser(gateway)
    await browser.sign_in(cloudreve.token())
    value = browser.cookies[COOKIE]
    if what == "another key":
        browser.gateway = await launcher.open()
    elif what == "expired":
        hours.pass_by(3601)
    elif what == "ended":
        await browser.send("DELETE", "/session")
    elif what == "two":
        value = f"{value}; {COOKIE}={value}"
    else:
        value = {"garbage": "garbage", "changed": value[:-1] + ("A" if value[-1] != "A" else "B")}[what]
    browser.cookies[COOKIE] = value
    public, private = await browser.see(in_share(cloudreve)), await browser.see(ONE)
    who = await browser.send("GET", "/session")
    assert (public.status, private.status, who.status) == (200, 401, 401)
    assert public.headers["Cache-Control"].startswith("public, ")
    assert set_by(public) == []
    assert COOKIE not in browser.cookies or what == "two"


async def test_a_cookie_outlives_trouble_with_cloudreve(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours
) -> None:
    """A failed question is 503, not 401, and costs nobody their session."""
    browser = Browser(await launcher.open())
    await browser.sign_in(cloudreve.token())
    hours.pass_by(301)
    cloudreve.fail("whoami", Reset())
    trouble = await browser.send("GET", "/session")
    cloudreve.mend()
    assert trouble.status == 503
    assert set_by(trouble) == []
    assert (await browser.send("GET", "/session")).status == 200


async def test_a_cookie_and_its_token_are_one_identity(cloudreve: StandIn, browser: Browser) -> None:
    token = cloudreve.token()
    await browser.sign_in(token)
    await browser.see(ONE)
    assert (await browser.gateway.ask(ONE, token)).is_hit
    assert cloudreve.calls.count("resolve") == 1


async def test_a_picture_shown_by_cookie_is_revalidated_and_not_sent_again(
    cloudreve: StandIn, browser: Browser
) -> None:
    """So that nothing is seen after the end of a session; by token a browser may keep it for `grants.browser_s`."""
    await browser.sign_in(cloudreve.token())
    etag = (await browser.see(ONE)).etag
    again = await browser.see(ONE, If_None_Match=etag)
    assert (again.status, again.body, again.headers["Cache-Control"]) == (304, b"", "private, no-cache")
    assert (await browser.gateway.ask(ONE, cloudreve.token())).max_age_s == GrantSettings().browser_s


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": HERE}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": APP}, True),
        ({"Origin": HERE}, True),
        ({}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://evil.example.com"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": HERE.replace("https", "http")}, False),
    ],
)
async def test_other_sites_cannot_begin_or_end_a_session(
    cloudreve: StandIn, browser: Browser, method: str, headers: dict[str, str], may: bool
) -> None:
    """Neither sign a visitor in as somebody else nor out."""
    await browser.sign_in(cloudreve.token("alice"))
    before = dict(browser.cookies)
    reply = await browser.send(method, "/session", cloudreve.token("bob"), **headers)
    assert reply.status == (403 if not may else 200 if method == "POST" else 204)
    assert (browser.cookies == before) is not may
    if not may:
        assert reply.problem["title"] == "Forbidden"
        assert person(await browser.send("GET", "/session"))["subject"] == cloudreve.library.alice.id


async def test_scripts_of_listed_origins_may_read_the_answers(browser: Browser) -> None:
    """Errors included; with credentials, so that the cookie is set and sent."""
    preflight = await browser.send("OPTIONS", "/session", Origin=APP, Access_Control_Request_Method="DELETE")
    reply = await browser.send("GET", "/session", Origin=APP)
    assert (preflight.status, reply.status) == (204, 401)
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization"
    for answer in (preflight, reply):
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "*", APP + ".evil.example", HERE])
async def test_scripts_of_other_origins_may_not(browser: Browser, origin: str) -> None:
    for reply in (
        await browser.send("OPTIONS", "/session", Origin=origin, Access_Control_Request_Method="POST"),
        await browser.send("GET", "/session", Origin=origin),
    ):
        assert not [name for name in reply.headers if name.lower().startswith("access-control-")]
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_nobody_stores_an_answer(cloudreve: StandIn, browser: Browser, method: str) -> None:
    for token in (cloudreve.token(), None):
        reply = await browser.send(method, "/session", token)
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_token_too_long_for_a_cookie_is_refused_with_the_reason(cloudreve: StandIn, browser: Browser) -> None:
    """A browser would have dropped the cookie without a word."""
    token = cloudreve.token(client="c", scopes=("openid", "Files.Read", "x" * 3000))
    reply = await browser.send("POST", "/session", token)
    assert "too long for a cookie" in reply.problem["detail"]
    assert (reply.status, set_by(reply)) == (400, [])


async def test_signing_out_without_a_session_is_no_error(browser: Browser) -> None:
    reply = await browser.send("DELETE", "/session")
    assert reply.status == 204
    assert [morsel["max-age"] for morsel in set_by(reply)] == ["0"]


async def test_a_path_of_one_s_own_is_used_for_all(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Beside Cloudreve's own page, which lives at `/session`."""
    browser = Browser(await launcher.open(session={"path": "/api/session", "cookie": "thumb_other"}))
    reply = await browser.send("POST", "/api/session", cloudreve.token())
    assert [morsel.key for morsel in set_by(reply)] == ["thumb_other"]
    assert (await browser.see(ONE)).status == 200
    assert (await browser.send("GET", "/session")).status == 404


@pytest.mark.parametrize("headers", [{"Sec_Fetch_Mode": "navigate"}, {"Accept": "text/html,application/xhtml+xml"}])
async def test_beside_cloudreve_s_own_page_a_visitor_who_opens_its_address_gets_it(
    launcher: GatewayLauncher, headers: dict[str, str]
) -> None:
    """Its page for signing in is at `/session`; scripts are answered by the gateway, there as elsewhere."""
    beside = Browser(await launcher.open(server={"passthrough": True}))
    alone = Browser(await launcher.open())
    page = await beside.send("GET", "/session", **headers)
    assert (page.status, page.body) == (404, b"404 page not found"), "the stand-in has no such page"
    assert (await beside.send("GET", "/session")).problem["title"] == "Unauthorized"
    assert (await alone.send("GET", "/session", **headers)).status == 401


async def test_a_slow_cloudreve_is_waited_for_until_the_deadline(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    browser = Browser(await launcher.open(server={"deadline_s": 0.3}))
    cloudreve.fail("whoami", Hang())
    assert (await browser.send("POST", "/session", cloudreve.token())).status == 504


async def test_the_renewed_session_in_redis_is_no_cookie(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, redis_server: RedisServer
) -> None:
    """A reader there cannot be the visitor."""
    client = {"client_id": cloudreve.client.id, "client_secret": cloudreve.client.secret}
    gateway = await launcher.open(
        server={"public_origin": "http://127.0.0.1:8080"},
        redis={"url": redis_server.url, "timeout_s": 5.0},
        sign_in=client,
    )
    browser, reader = Browser(gateway), Browser(gateway)
    await browser.agree(cloudreve.own_url, cloudreve.token())
    hours.pass_by(3605)
    assert (await browser.see(ONE)).status == 200
    shared_values = [redis_server.command("GET", key) for key in kept(redis_server, "r:")]
    assert len(shared_values) == 1
    for note in shared_values:
        assert isinstance(note, bytes)
        reader.cookies[COOKIE] = note.decode()
        assert (await reader.see(ONE)).status == 401
        assert (await reader.send("GET", "/session")).status == 401
