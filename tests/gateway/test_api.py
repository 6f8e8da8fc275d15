"""Cloudreve's own question asked of the gateway: its shape, its refusals, and a sealed URL in place of a signed one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from proxy.standin.faults import Hang, Reset, json_body
from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import Client
from tests.harness.gateways import ONE, PNG, GatewayClient, GatewayLauncher, Reply, in_share
from tests.harness.sites import Site, expired

KEY = "0123456789abcdef" * 2
VOLATILE = {"correlation_id"}


def api(uri: str) -> str:
    """Give the path and query of the question."""
    return f"/api/v4/file/thumb?uri={quote(uri, safe='')}"


def said(reply: Reply) -> dict[str, Any]:
    """Parse an answer, which is JSON whatever it says."""
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    found: dict[str, Any] = json.loads(reply.body)
    return found


async def asked(gateway: GatewayClient, uri: str, token: str | None = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.send("GET", api(uri), named | ({"Authorization": f"Bearer {token}"} if token else {}))


async def given(gateway: GatewayClient, uri: str, token: str | None = None, **headers: str) -> str:
    """Ask, and give the URL that comes back."""
    found = said(await asked(gateway, uri, token, **headers))
    assert found["code"] == 0, found
    return str(found["data"]["url"])


@dataclass(frozen=True)
class Row:
    """A question to which both Cloudreve and the gateway say no, in the same words."""

    id: str
    uri: str
    who: str = ""


ROWS = (
    Row("anonymous on my", ONE),
    Row("a garbage token on my", ONE, "garbage"),
    Row("an expired token on my", ONE, "expired"),
    Row("a garbage token on the trash", "cloudreve://trash/one.png", "garbage"),
    Row("another user has no such file", ONE, "bob"),
    Row("another user by the owner's id", "cloudreve://{alice_id}@my/album/one.png", "bob"),
    Row("a wrong password", "cloudreve://{private_share}:nope@share/two.png"),
    Row("no password", "cloudreve://{private_share}@share/two.png"),
    Row("no such share", "cloudreve://zzzz@share/two.png"),
    Row("no such file", "cloudreve://my/nope.jpg", "alice"),
    Row("a folder", "cloudreve://my/album", "alice"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_a_refusal_is_what_cloudreve_says(site: Site, site_gateway: GatewayClient, row: Row) -> None:
    """Status 200, code and message; the correlation id is there, and names the call in Cloudreve's log."""
    target = site.target
    names = {name: getattr(target, name) for name in ("alice_id", "private_share")}
    tokens = {"alice": target.alice, "bob": target.bob, "garbage": "garbage", "expired": expired(target.alice)}
    uri, token = row.uri.format(**names), tokens.get(row.who)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        direct = await Client(target, session).resolve(uri, token)
    reply = await asked(site_gateway, uri, token)
    found = said(reply)
    assert reply.status == direct.status == 200
    assert found["code"] != 0
    assert {k: v for k, v in found.items() if k not in VOLATILE} == {
        k: v for k, v in direct.json.items() if k not in VOLATILE
    }
    assert ("correlation_id" in found) == (row.who not in ("garbage", "expired"))
    assert reply.headers["Cache-Control"] == direct.headers["Cache-Control"] == "private, no-cache"


async def test_a_picture_is_given_as_a_url_that_needs_nothing_else(site: Site, site_gateway: GatewayClient) -> None:
    """The shape is Cloudreve's; the URL shows the very picture, to whoever has it; its end is a little earlier."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        client = Client(site.target, session)
        direct = await client.resolve(ONE, site.target.alice)
        picture = await client.fetch(direct.url)
    reply = await asked(site_gateway, ONE, site.target.alice)
    found = said(reply)
    assert (reply.status, list(found), list(found["data"])) == (200, list(direct.json), list(direct.json["data"]))
    assert (found["code"], found["msg"]) == (0, "")
    theirs, ours = (datetime.fromisoformat(each["data"]["expires"]) for each in (direct.json, found))
    assert 0 < (theirs - ours).total_seconds() < 30
    assert found["data"]["url"].startswith("/thumb/s/")
    shown = await site_gateway.send("GET", found["data"]["url"])
    assert (shown.status, shown.headers["Content-Type"], shown.body) == (200, PNG, picture.body)


async def test_two_viewers_of_a_fresh_share_get_every_picture(site: Site, site_gateway: GatewayClient) -> None:
    """Nobody meets a lock conflict, and both are given the same URLs: 30 calls to Cloudreve, not 60."""
    uris = await site.gallery(30)
    free = asyncio.Semaphore(12)

    async def one(uri: str) -> str:
        async with free:
            return await given(site_gateway, uri)

    first, second = await asyncio.gather(*(asyncio.gather(*map(one, uris)) for _ in range(2)))
    assert first == second
    assert len(set(first)) == 30
    assert site_gateway.count("upstream_calls_total", verb="resolve", outcome="grant") == 30
    assert site_gateway.count("upstream_calls_total", verb="fetch", outcome="picture") == 0
    shown = await asyncio.gather(*(site_gateway.send("GET", url) for url in first))
    assert {(reply.status, reply.headers["Content-Type"]) for reply in shown} == {(200, PNG)}


@pytest.mark.parametrize("token", ["garbage", "expired"])
async def test_a_bad_token_is_not_taken_for_none(site: Site, site_gateway: GatewayClient, token: str) -> None:
    """Cloudreve would grant this to anybody. The status is true: its page shows an icon and signs nobody out."""
    bad = {"garbage": "garbage", "expired": expired(site.target.alice)}[token]
    reply = await asked(site_gateway, f"cloudreve://{site.target.share}@share/one.png", bad)
    assert (reply.status, said(reply)["code"]) == (401, 401)
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("query", ["", "?uri=", "?uri=not+a+uri", "?uri=a&uri=b", f"?uri=cloudreve://my/{'x' * 5000}"])
async def test_a_question_that_cannot_be_understood_has_cloudreves_code(
    cloudreve: StandIn, gateway: GatewayClient, query: str
) -> None:
    """40001, whether it is Cloudreve that would not understand it or we that will not ask."""
    reply = await gateway.send("GET", f"/api/v4/file/thumb{query}", {"Authorization": f"Bearer {cloudreve.token()}"})
    assert (reply.status, said(reply)["code"]) == (200, 40001)
    assert cloudreve.calls.count("resolve") == 0


async def test_the_url_is_never_obfuscated(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Whatever Cloudreve sends, clients without a decoder can follow it."""
    cloudreve.obfuscated = True
    reply = await asked(gateway, in_share(cloudreve))
    assert set(said(reply)["data"]) == {"url", "expires"}
    assert (await gateway.send("GET", said(reply)["data"]["url"])).status == 200


async def test_an_end_is_always_named(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """A client that is told none would keep the URL for ever."""
    cloudreve.null_expires = True
    reply = await asked(gateway, in_share(cloudreve))
    remaining_s = datetime.fromisoformat(said(reply)["data"]["expires"]).timestamp() - cloudreve.now()
    assert 50 < remaining_s <= 61


async def test_success_without_a_url_is_no_thumbnail(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """A page would put the empty URL into an `<img>`."""
    cloudreve.empty_url = True
    assert said(await asked(gateway, in_share(cloudreve)))["code"] == 40077


async def test_giving_a_url_fetches_nothing_and_says_where_the_grant_was(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    miss, hit = await asked(gateway, in_share(cloudreve)), await asked(gateway, in_share(cloudreve))
    assert miss.headers["Cache-Status"].startswith("thumb-proxy; fwd=miss; ttl=")
    assert hit.headers["Cache-Status"].startswith("thumb-proxy; hit; ttl=")
    assert hit.headers["Cache-Status"].endswith("detail=memory")
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 0)
    assert gateway.count("requests_total", outcome="granted") == 2


async def test_a_grant_found_by_thumb_serves_the_api(cloudreve: StandIn, gateway: GatewayClient) -> None:
    shown = await gateway.ask(ONE, cloudreve.token())
    again = await gateway.send("GET", await given(gateway, ONE, cloudreve.token()))
    assert (again.body, again.etag) == (shown.body, shown.etag)
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


async def test_a_cloudreve_that_hangs_is_waited_for_until_the_deadline(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """Then it is 504, with a time after which to come back."""
    gateway = await launcher.open(server={"deadline_s": 0.3})
    cloudreve.fail("resolve", hang := Hang())
    reply = await asked(gateway, in_share(cloudreve))
    assert (reply.status, said(reply)["code"], reply.headers["Retry-After"]) == (504, 504, "2")
    hang.until.set()


async def test_a_thumbnail_that_takes_longer_than_the_deadline_opens_no_dialog(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """The code is Cloudreve's 40073 or 50004, which its page would show a dialog for under status 200."""
    gateway = await launcher.open(server={"deadline_s": 2.0})
    cloudreve.fail("resolve", json_body('{"code":40073,"data":[],"msg":"Lock conflict"}'))
    reply = await asked(gateway, in_share(cloudreve))
    assert (reply.status, said(reply)["code"], reply.headers["Retry-After"]) == (503, 40073, "2")


async def test_a_bridge_over_an_outage_is_not_given_away(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """What is only honoured because Cloudreve cannot be asked is honoured here and now, and not in a URL."""
    gateway = await launcher.open(grants={"stale_if_error_s": 600.0, "renew_s": 0.0})
    url = await given(gateway, in_share(cloudreve))
    assert (await gateway.send("GET", url)).status == 200
    launcher.hours.pass_by(3700)
    cloudreve.fail("resolve", Reset())
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert (await asked(gateway, in_share(cloudreve))).status == 503
    assert (await gateway.send("GET", url)).status == 410


async def test_methods_are_those_of_cloudreve(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """HEAD comes with GET; the gateway names what there is."""
    for method in ("POST", "DELETE"):
        reply = await gateway.send(method, api(in_share(cloudreve)))
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("server", "headers", "origin"),
    [
        ({}, {}, ""),
        ({}, {"Host": "cloud.example.com"}, ""),
        ({}, {"X-Forwarded-Proto": "https", "Host": "cloud.example.com"}, "https://cloud.example.com"),
        ({}, {"Forwarded": "for=192.0.2.1;proto=https;host=cloud.example.com"}, "https://cloud.example.com"),
        ({"trusted_proxies": []}, {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}, ""),
        ({"trusted_proxies": ["10.0.0.0/8"]}, {"X-Forwarded-Proto": "https", "Host": "evil.example"}, ""),
        ({"public_origin": "https://Cloud.Example.com/"}, {}, "https://cloud.example.com"),
        (
            {"public_origin": "https://cloud.example.com"},
            {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"},
            "https://cloud.example.com",
        ),
    ],
)
async def test_a_url_begins_with_what_is_configured_or_what_a_trusted_proxy_says(
    cloudreve: StandIn, launcher: GatewayLauncher, server: dict[str, object], headers: dict[str, str], origin: str
) -> None:
    """Nobody else is believed; a page needs no more than a path, which then follows the page."""
    gateway = await launcher.open(server=server)
    reply = await gateway.send("GET", api(in_share(cloudreve)), headers)
    assert said(reply)["data"]["url"].startswith(f"{origin}/thumb/s/")


async def test_identities_are_given_different_urls(cloudreve: StandIn, gateway: GatewayClient) -> None:
    uri = in_share(cloudreve)
    urls = [await given(gateway, uri, token) for token in (None, cloudreve.token("alice"), cloudreve.token("bob"))]
    assert len(set(urls)) == 3
    sharing = [(await gateway.send("GET", url)).headers["Cache-Control"].partition(",")[0] for url in urls]
    assert sharing == ["public", "private", "private"]


async def test_a_cookie_is_no_credential_of_the_api(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Cloudreve's clients know none; a page that has signed its user out is to see what anybody sees."""
    begun = await gateway.send("POST", "/session", {"Authorization": f"Bearer {cloudreve.token()}"})
    cookie = begun.headers["Set-Cookie"].partition(";")[0]
    assert (await gateway.send("GET", f"/thumb?uri={quote(ONE, safe='')}", {"Cookie": cookie})).status == 200
    assert said(await asked(gateway, ONE, Cookie=cookie))["code"] == 401
