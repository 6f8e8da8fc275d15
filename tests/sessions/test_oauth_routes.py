"""`/session/login` and `/session/callback`: to Cloudreve's consent page and back, with a session that renews itself."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import aiohttp
import pytest

from proxy.sessions.cookies import MAX_ATTEMPTS
from proxy.standin.calls import Verb
from proxy.standin.faults import Fault, Hang, Reset, json_body
from proxy.standin.site import OAuthClient
from proxy.standin.standin import StandIn
from tests.harness.browser import ATTEMPT, COOKIE, Browser, consent, set_by
from tests.harness.cloudreve_targets import REDIRECT_URI
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Hours, gateway_of
from tests.harness.redis_server import RedisServer
from tests.harness.sites import Site

HERE = REDIRECT_URI.removesuffix("/session/callback")
STAND_IN = {"client_id": "stand-in-client", "client_secret": "stand-in-client-secret"}


def sections(**more: Mapping[str, object]) -> dict[str, Any]:
    """Give the settings of a gateway that the stand-in knows as a client."""
    return {"server": {"public_origin": HERE}, "sign_in": STAND_IN} | more


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    return await launcher.open(**sections())


@pytest.fixture
def browser(gateway: GatewayClient) -> Browser:
    return Browser(gateway)


@asynccontextmanager
async def front_at(site: Site) -> AsyncIterator[GatewayClient]:
    """Run a gateway in front of either Cloudreve, as the client that is registered there."""
    is_real = "CLOUDREVE_URL" in os.environ and site.target.base == os.environ["CLOUDREVE_URL"].rstrip("/")
    real = {"client_id": os.environ.get("OAUTH_CLIENT"), "client_secret": os.environ.get("OAUTH_SECRET")}
    async with gateway_of(site.target.base, **sections(sign_in=real if is_real else STAND_IN)) as gateway:
        yield gateway


async def begin(browser: Browser, landing: str = "/") -> dict[str, str]:
    """Begin a sign-in; give what the consent page is asked."""
    reply = await browser.send("GET", f"/session/login?{urlencode({'next': landing})}")
    assert reply.status == 303
    return dict(parse_qsl(urlsplit(reply.headers["Location"]).query))


async def test_consent_leads_back_to_the_wanted_page_and_private_pictures(site: Site) -> None:
    """The same on a real Cloudreve: one code for one pair of tokens, kept in one cookie until the session's end."""
    async with front_at(site) as gateway:
        browser = Browser(gateway)
        landed = await browser.agree(site.target.base, site.target.alice, "/gallery.html?page=2#top")
        shown = await browser.see(ONE)
        who = await browser.send("GET", "/session")
        signed_out = await browser.send("DELETE", "/session")
        after = await browser.see(ONE)
    assert (landed.status, landed.headers["Location"]) == (303, "/gallery.html?page=2#top")
    assert landed.headers["Cache-Control"] == "no-store"
    assert landed.headers["Referrer-Policy"] == "no-referrer"
    assert shown.status == 200
    assert site.target.alice_id.encode() in who.body
    assert b'"scopes":["Files.Read","offline_access","openid"]' in who.body
    assert (signed_out.status, after.status) == (204, 401)
    cookies = {morsel.key: morsel for morsel in set_by(landed)}
    assert cookies[COOKIE]["samesite"] == "Strict"
    assert int(cookies[COOKIE]["max-age"]) > 13 * 86400
    [attempt] = [name for name in cookies if name.startswith(ATTEMPT)]
    assert cookies[attempt]["max-age"] == "0"


async def test_the_consent_page_of_the_address_that_browsers_know_is_asked(launcher: GatewayLauncher) -> None:
    """By what the configuration says, never by what a request says; the redirect URI likewise."""
    browser = Browser(await launcher.open(**sections(cloudreve={"public_origins": ["https://cloud.example.com"]})))
    begun = await browser.send("GET", "/session/login", Host="evil.example", X_Forwarded_Host="evil.example")
    parts = urlsplit(begun.headers["Location"])
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "cloud.example.com", "/session/authorize")
    asked = parse_qs(parts.query)
    assert asked["redirect_uri"] == [REDIRECT_URI]
    assert asked["scope"] == ["openid offline_access Files.Read"]
    (morsel,) = set_by(begun)
    assert (morsel.key[:-8], morsel["samesite"], morsel["path"], morsel["max-age"]) == (ATTEMPT, "Lax", "/", "900")
    assert asked["state"][0] not in morsel.value


async def test_every_sign_in_has_a_state_and_a_challenge_of_its_own(browser: Browser) -> None:
    first, second = await begin(browser), await begin(browser)
    for name in ("state", "code_challenge"):
        assert first[name] != second[name]
        assert len(first[name]) == 43


@pytest.mark.parametrize(
    "landing", ["//evil.example", "/%5C/evil.example", "https%3A//evil.example", "/%09/evil.example", "/session/login"]
)
async def test_nobody_is_led_to_another_site(browser: Browser, landing: str) -> None:
    reply = await browser.send("GET", f"/session/login?next={landing}")
    assert "next" in reply.problem["detail"]
    assert (reply.status, set_by(reply)) == (400, [])


async def test_two_tabs_sign_in_each(cloudreve: StandIn, browser: Browser) -> None:
    """Whichever returns first: each lands where it wanted, with the session; nothing of either stays."""
    token = cloudreve.token()
    begun = [await browser.send("GET", f"/session/login?next=/{name}") for name in ("one", "two")]
    backs = [await consent(cloudreve.own_url, each, token) for each in begun]
    landed = [await browser.send("GET", back) for back in backs]
    assert [(each.status, each.headers["Location"]) for each in landed] == [(303, "/one"), (303, "/two")]
    assert list(browser.cookies) == [COOKIE]
    assert (await browser.see(ONE)).status == 200


async def test_of_too_many_sign_ins_the_oldest_is_given_up(cloudreve: StandIn, browser: Browser) -> None:
    """So that what a browser sends with each request stays small."""
    begun = [await browser.send("GET", "/session/login") for _ in range(MAX_ATTEMPTS + 1)]
    assert len(browser.cookies) == MAX_ATTEMPTS
    backs = [await consent(cloudreve.own_url, begun[number], cloudreve.token()) for number in (0, 1, -1)]
    assert [(await browser.send("GET", back)).status for back in backs] == [400, 303, 303]


PERSON = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def test_a_person_gets_a_page_with_a_link(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """To begin anew, and to land where they wanted; programs get problem+json."""
    browser = Browser(gateway, **PERSON)
    state = (await begin(browser, "/a?b=<c>"))["state"]
    reply = await browser.send("GET", f"/session/callback?error=access_denied&state={state}")
    assert (reply.status, reply.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert "sandbox" not in reply.headers["Content-Security-Policy"], "the link would come from another site"
    assert (reply.headers["Cache-Control"], reply.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    text = reply.body.decode()
    assert "Cloudreve did not agree: access_denied." in text
    [href] = re.findall('href="([^"]*)"', text)
    again = await browser.send("GET", unescape(href))
    back = await consent(cloudreve.own_url, again, cloudreve.token())
    assert (await browser.send("GET", back)).headers["Location"] == "/a?b=%3Cc%3E"
    stray = await browser.send("GET", "/session/callback?code=x&state=x")
    assert b'href="/session/login?next=%2F"' in stray.body


async def test_a_page_of_a_listed_origin_may_be_landed_at(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Of `session.origins`, and of no other."""
    app = "http://nas:18290"
    browser = Browser(await launcher.open(**sections(session={"origins": [app]})))
    for where in (f"{app}/album?x=1#top", app):
        landed = await browser.agree(cloudreve.own_url, cloudreve.token(), where)
        assert landed.headers["Location"] == (where if where != app else f"{app}/")
    for where in (f"{app}0/", f"{app}@evil.example/", "https://nas:18290/", f"{app}\\.evil.example/"):
        reply = await browser.send("GET", f"/session/login?{urlencode({'next': where})}")
        assert reply.status == 400, where


async def test_behind_a_proxy_that_strips_a_prefix_everything_begins_with_it(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """The redirect URI, the cookies' path, the link on an error's page, sealed URLs."""
    base = "https://example.com/thumbs"
    cloudreve.client = OAuthClient(redirect_uri=f"{base}/session/callback")
    browser = Browser(await launcher.open(**sections(server={"public_origin": base})), **PERSON)
    begun = await browser.send("GET", "/session/login?next=/thumbs/x")
    asked = parse_qs(urlsplit(begun.headers["Location"]).query)
    assert asked["redirect_uri"] == [f"{base}/session/callback"]
    back = (await consent(cloudreve.own_url, begun, cloudreve.token())).removeprefix("/thumbs")
    landed = await browser.send("GET", back)
    assert landed.headers["Location"] == "/thumbs/x"
    cookies = [*set_by(begun), *set_by(landed)]
    assert {(morsel.key.startswith("__Secure-thumb_session"), morsel["path"]) for morsel in cookies} == {
        (True, "/thumbs")
    }
    assert (await browser.see(ONE)).status == 200
    assert b'href="/thumbs/session/login?' in (await browser.send("GET", "/session/callback")).body
    for inside in ("/thumbs/session/login", "/thumbs/session/callback"):
        assert (await browser.send("GET", f"/session/login?next={inside}")).status == 400
    link = await browser.send("GET", f"/api/v4/file/thumb?uri={quote(ONE)}", cloudreve.token())
    url = json.loads(link.body)["data"]["url"]
    assert url.startswith(f"{base}/thumb/s/")
    assert (await browser.send("GET", url.removeprefix(base))).status == 200


async def test_other_sites_cannot_sign_a_visitor_in(browser: Browser) -> None:
    """Cloudreve asks no more where one has agreed before, so that the way to its page is barred."""
    for headers in (
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"},
        {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Dest": "iframe"},
    ):
        reply = await browser.send("GET", "/session/login", **headers)
        assert (reply.status, set_by(reply)) == (403, [])


async def test_somebody_else_s_code_signs_nobody_in(
    cloudreve: StandIn, gateway: GatewayClient, browser: Browser
) -> None:
    """An attacker's own answer, opened in another browser, is refused there: with no sign-in begun, and amid one."""
    attacker = Browser(gateway)
    begun = await attacker.send("GET", "/session/login")
    back = await consent(cloudreve.own_url, begun, cloudreve.token("bob"))
    without = await browser.send("GET", back)
    await begin(browser)
    amid = await browser.send("GET", back)
    assert (without.status, amid.status) == (400, 400)
    assert "did not begin in this browser" in without.problem["detail"]
    assert "did not begin in this browser" in amid.problem["detail"]
    assert len(browser.cookies) == 1, "the sign-in under way goes on"
    assert cloudreve.calls.count("exchange") == 0


async def test_a_code_is_bound_to_the_browser_that_asked_for_it(
    cloudreve: StandIn, gateway: GatewayClient, browser: Browser
) -> None:
    """A stolen code under the thief's own state is refused by Cloudreve: the verifier is another."""
    thief, victim = Browser(gateway), Browser(gateway)
    stolen = await consent(cloudreve.own_url, await victim.send("GET", "/session/login"), cloudreve.token())
    code = dict(parse_qsl(urlsplit(stolen).query))["code"]
    state = (await begin(thief))["state"]
    reply = await thief.send("GET", f"/session/callback?code={code}&state={state}")
    assert reply.problem["title"] == "Bad Request"
    assert COOKIE not in thief.cookies


async def test_an_answer_is_good_once(cloudreve: StandIn, browser: Browser) -> None:
    """Neither with the cookie that is gone by then, nor with a copy of it."""
    back = await consent(cloudreve.own_url, await browser.send("GET", "/session/login"), cloudreve.token())
    copied = dict(browser.cookies)
    assert (await browser.send("GET", back)).status == 303
    assert (await browser.send("GET", back)).status == 400
    browser.cookies = copied
    assert (await browser.send("GET", back)).status == 400
    assert COOKIE not in browser.cookies


async def test_a_sign_in_takes_a_quarter_of_an_hour_at_most(cloudreve: StandIn, browser: Browser, hours: Hours) -> None:
    """Then it has to begin again."""
    state = (await begin(browser))["state"]
    hours.pass_by(901)
    reply = await browser.send("GET", f"/session/callback?code=x&state={state}")
    assert "too long ago" in reply.problem["detail"]
    assert cloudreve.calls.count("exchange") == 0


async def test_a_visitor_who_refuses_consent_is_told_so(browser: Browser) -> None:
    """And whatever else stands in the answer is not repeated."""
    state = (await begin(browser))["state"]
    reply = await browser.send(
        "GET", f"/session/callback?error=access_denied&error_description=Call+0900&state={state}"
    )
    assert reply.problem["detail"] == "Cloudreve did not agree: access_denied."
    assert browser.cookies == {}


@pytest.mark.parametrize("query", ["", "code=x", "state=x", "code=x&state=x", "code=x&state=%00", "state=%FF&code=%FF"])
async def test_a_callback_out_of_the_blue_is_refused(browser: Browser, query: str) -> None:
    """400 and no cookie; nobody keeps the answer, and nobody learns from it where it came from."""
    reply = await browser.send("GET", f"/session/callback?{query}")
    assert reply.problem["title"] == "Bad Request"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert set_by(reply) == []


@pytest.mark.parametrize(
    ("verb", "fault", "status"),
    [
        ("exchange", Reset(), 503),
        ("exchange", json_body("[]"), 502),
        ("exchange", json_body('{"access_token":"garbage"}'), 400),
        ("whoami", Reset(), 503),
    ],
)
async def test_trouble_with_cloudreve_is_told_truly(
    cloudreve: StandIn, browser: Browser, verb: Verb, fault: Fault, status: int
) -> None:
    """No session comes of it, and the sign-in is over: its code is spent."""
    cloudreve.fail(verb, fault)
    reply = await browser.agree(cloudreve.own_url, cloudreve.token())
    assert reply.problem["status"] == status
    assert browser.cookies == {}


async def test_a_wrong_secret_is_cloudreve_s_no(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """It cannot be told from a code that is too old."""
    wrong = {**STAND_IN, "client_secret": "another-secret"}
    browser = Browser(await launcher.open(**sections(sign_in=wrong)))
    reply = await browser.agree(cloudreve.own_url, cloudreve.token())
    assert "does not know this gateway's client" in reply.problem["detail"]


@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("path", ["/session/login?next=/", "/session/callback?code=x&state=x"])
async def test_without_a_client_there_is_no_sign_in(launcher: GatewayLauncher, path: str, passthrough: bool) -> None:
    """404, which says what is missing; Cloudreve, which has no such pages, is not asked either."""
    browser = Browser(await launcher.open(server={"passthrough": passthrough}))
    problem = (await browser.send("GET", path)).problem
    assert problem["status"] == 404
    assert "not configured" in problem["detail"]
    assert "sign_in.client_id" in problem["detail"]


async def test_no_secret_comes_into_the_log(cloudreve: StandIn, browser: Browser, log_entries: list[Any]) -> None:
    """Neither code nor state nor tokens nor cookies; the route stands for them all."""
    header, _, _ = (token := cloudreve.token()).split(".")
    await browser.agree(cloudreve.own_url, token)
    await browser.see(ONE)
    cloudreve.fail("revoke", Reset())
    await browser.send("DELETE", "/session")
    routes = [entry["route"] for entry in log_entries if entry["event"] == "request"]
    assert routes == ["/session/login", "/session/callback", "/thumb", "/session"]
    assert not [text for text in ("code=", "state=", header, COOKIE) if text in repr(log_entries)]
    assert "cloudreve not told of the sign-out" in [entry["event"] for entry in log_entries]


async def test_the_stand_in_has_a_page_with_a_button(cloudreve: StandIn, browser: Browser) -> None:
    """As a person meets it in the demo: press, and one is back with a session."""
    begun = await browser.send("GET", "/session/login?next=/x")
    url = begun.headers["Location"]
    async with aiohttp.ClientSession() as session:
        page = await (await session.get(url)).text()
        form = dict(parse_qsl(urlsplit(url).query)) | {"account": "bob"}
        pressed = await session.post(f"{cloudreve.own_url}/session/authorize", data=form, allow_redirects=False)
    assert 'name="code_challenge"' in page
    assert "<button" in page
    back = pressed.headers["Location"].removeprefix(HERE)
    assert (await browser.send("GET", back)).headers["Location"] == "/x"
    assert cloudreve.library.bob.id.encode() in (await browser.send("GET", "/session")).body


async def test_a_token_that_runs_out_is_renewed_and_pictures_go_on(
    cloudreve: StandIn, browser: Browser, hours: Hours
) -> None:
    """Once, and the answer that noticed brings the renewed session; only one's own browser stores it."""
    await browser.agree(cloudreve.own_url, cloudreve.token())
    old = browser.cookies[COOKIE]
    hours.pass_by(3700)
    shown = await browser.see(ONE)
    again = await browser.see(ONE)
    assert [reply.status for reply in (shown, again)] == [200, 200]
    assert [morsel.key for morsel in set_by(shown)] == [COOKIE]
    assert shown.headers["Cache-Control"] == "private, no-cache"
    assert set_by(again) == []
    assert browser.cookies[COOKIE] != old
    assert cloudreve.calls.count("refresh") == 1


async def test_a_renewed_session_comes_with_a_304_too(cloudreve: StandIn, browser: Browser, hours: Hours) -> None:
    """A page whose pictures the browser has already is as good an occasion as any."""
    await browser.agree(cloudreve.own_url, cloudreve.token())
    etag = (await browser.see(ONE)).etag
    hours.pass_by(3700)
    reply = await browser.see(ONE, If_None_Match=etag)
    assert (reply.status, [morsel.key for morsel in set_by(reply)]) == (304, [COOKIE])


async def test_a_session_request_renews_the_cookie_too(cloudreve: StandIn, browser: Browser, hours: Hours) -> None:
    """And is told the end of the session, not of the token."""
    await browser.agree(cloudreve.own_url, cloudreve.token())
    before = (await browser.send("GET", "/session")).body
    hours.pass_by(3700)
    reply = await browser.send("GET", "/session")
    assert [morsel.key for morsel in set_by(reply)] == [COOKIE]
    assert reply.body > before


async def test_signing_out_ends_the_session_at_cloudreve_too(cloudreve: StandIn, browser: Browser) -> None:
    """Its refresh tokens, old and new, are void from then on."""
    await browser.agree(cloudreve.own_url, cloudreve.token())
    await browser.send("DELETE", "/session")
    assert len(cloudreve.revoked) == 1
    assert cloudreve.calls.count("revoke", code=0) == 1


async def test_a_sign_out_holds_for_a_visitor_who_leaves_before_the_answer(
    cloudreve: StandIn, browser: Browser
) -> None:
    """As browsers do that go on to another page; nothing that had been shown often is shown once more."""
    await browser.agree(cloudreve.own_url, cloudreve.token())
    assert [(await browser.see(ONE)).status for _ in range(4)] == [200] * 4
    hang = Hang()
    cloudreve.fail("revoke", hang, times=1)
    leaver = asyncio.create_task(browser.send("DELETE", "/session"))
    await cloudreve.calls.arrived("revoke")
    assert (await browser.see(ONE)).status == 401
    leaver.cancel()
    await asyncio.wait({leaver})
    hang.until.set()
    await cloudreve.calls.ended("revoke")
    assert len(cloudreve.revoked) == 1


async def test_two_replicas_share_sign_ins(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, redis_server: RedisServer
) -> None:
    """Begun here, answered there, renewed by one for both, and what Redis keeps of it is sealed."""
    shared = sections(redis={"url": redis_server.url, "timeout_s": 5.0}, seal={"keys": ["k" * 32]})
    first, second = await launcher.open(**shared), await launcher.open(**shared)
    browser = Browser(first)
    begun = await browser.send("GET", "/session/login")
    browser.gateway = second
    assert (await browser.send("GET", await consent(cloudreve.own_url, begun, cloudreve.token()))).status == 303
    old = Browser(first)
    old.cookies = dict(browser.cookies)
    hours.pass_by(3700)
    for each in (browser, old):
        assert (await each.see(ONE)).status == 200
    assert old.cookies == browser.cookies
    assert cloudreve.calls.count("refresh") == 1
    kept = redis_server.command("KEYS", "*")
    assert isinstance(kept, list)
    values = [
        redis_server.command("GET", key.decode())
        for key in kept
        if not key.endswith(b":changes") and b":lease:" not in key
    ]
    header, _, _ = cloudreve.token().split(".")
    assert header not in repr(values), "each token of Cloudreve's begins like this"


def test_the_way_back_is_the_one_that_is_registered() -> None:
    assert quote(REDIRECT_URI, safe=":/") == StandIn().client.redirect_uri
