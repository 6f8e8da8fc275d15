"""Somebody changes files through the gateway: what they were shown before is not shown to them any more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import aiohttp
import pytest

from proxy.standin.faults import Hang, Says, error_page, json_body
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.conftest import StartRedis
from tests.harness.gateways import ONE, TWO, GatewayClient, GatewayLauncher, Reply, in_share, until
from tests.harness.redis_server import RedisServer

SITE: dict[str, object] = {"passthrough": True}


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that is the whole site."""
    return await launcher.open(server=SITE)


async def upload(gateway: GatewayClient, token: str, uri: str = ONE) -> Reply:
    """Send a new version of a picture by way of a gateway."""
    path = f"/api/v4/file/content?uri={quote(uri, safe='')}"
    reply = await gateway.send("PUT", path, {"Authorization": f"Bearer {token}"}, paint(99))
    assert reply.status == 200
    return reply


async def delete(gateway: GatewayClient, token: str) -> None:
    """Delete a picture by way of a gateway."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    reply = await gateway.send("DELETE", "/api/v4/file", headers, json.dumps({"uris": [ONE]}).encode())
    assert reply.status == 200


async def mark(gateway: GatewayClient, token: str) -> None:
    """Change the metadata of a picture by way of a gateway."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"uris": [ONE], "patches": [{"key": "tag:x", "value": "y"}]}).encode()
    assert (await gateway.send("PATCH", "/api/v4/file/metadata", headers, body)).status == 200


async def test_a_new_version_is_seen_at_once(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Without waiting for the old grant to run out; the new one is kept like any other."""
    before = [await gateway.ask(ONE, cloudreve.token()) for _ in range(3)]
    await upload(gateway, cloudreve.token())
    after = [await gateway.ask(ONE, cloudreve.token()) for _ in range(3)]
    assert [reply.is_hit for reply in before + after] == [False, True, True] * 2
    assert after[0].etag == after[2].etag != before[0].etag


async def test_other_connections_see_it_at_once_too(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Those too on which the same request has come so often that it is answered before it is read."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        other = GatewayClient(gateway.running, session)
        before = [await other.ask(ONE, cloudreve.token()) for _ in range(6)]
        await upload(gateway, cloudreve.token())
        after = [await other.ask(ONE, cloudreve.token()) for _ in range(6)]
    assert {reply.etag for reply in before}.isdisjoint(reply.etag for reply in after)
    assert cloudreve.calls.count("resolve") == 2


async def test_the_page_is_given_a_new_url(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """A browser that keeps the picture of the old one shows it no more."""
    path, token = f"/api/v4/file/thumb?uri={quote(ONE, safe='')}", {"Authorization": f"Bearer {cloudreve.token()}"}
    before = [json.loads((await gateway.send("GET", path, token)).body)["data"]["url"] for _ in range(2)]
    await upload(gateway, cloudreve.token())
    after = json.loads((await gateway.send("GET", path, token)).body)["data"]["url"]
    assert before[0] == before[1] != after


async def test_a_load_under_way_during_a_change_is_repeated(
    cloudreve: StandIn, gateway: GatewayClient, launcher: GatewayLauncher
) -> None:
    """Cloudreve may have answered before the change, and been heard after it."""
    cloudreve.generator.gate = gate = asyncio.Event()
    asked = asyncio.create_task(gateway.ask(ONE, cloudreve.token()))
    await cloudreve.calls.arrived("resolve")
    launcher.hours.pass_by(1.0)
    await mark(gateway, cloudreve.token())
    launcher.hours.pass_by(1.0)
    gate.set()
    assert [(await asked).is_hit, (await gateway.ask(ONE, cloudreve.token())).is_hit] == [False, False]
    assert cloudreve.calls.count("resolve") == 2


async def test_a_request_after_the_change_gets_no_answer_of_before(
    cloudreve: StandIn, gateway: GatewayClient, launcher: GatewayLauncher
) -> None:
    """Those who come together then share the next flight."""
    cloudreve.generator.gate = gate = asyncio.Event()
    early = asyncio.create_task(gateway.ask(ONE, cloudreve.token()))
    await cloudreve.calls.arrived("resolve")
    launcher.hours.pass_by(1.0)
    await mark(gateway, cloudreve.token())
    launcher.hours.pass_by(1.0)
    late = [asyncio.create_task(gateway.ask(ONE, cloudreve.token())) for _ in range(3)]
    await until(lambda: gateway.count("collapsed_total", flight="grant") == len(late))
    gate.set()
    assert {reply.status for reply in await asyncio.gather(early, *late)} == {200}
    assert cloudreve.calls.count("resolve") == 2


async def test_in_an_outage_a_change_is_the_end_of_what_was_granted_before(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """A deleted entry is not shown as if it still counted."""
    await gateway.ask(ONE, cloudreve.token())
    await delete(gateway, cloudreve.token())
    await cloudreve.stop()
    assert (await gateway.ask(ONE, cloudreve.token())).status == 503


async def test_an_outage_is_bridged_behind_a_change(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Where the configuration says so, as at any other end of a grant: marked as stale, and not to be kept."""
    token = cloudreve.token()
    gateway = await launcher.open(server=SITE, grants={"stale_if_error_s": 150.0})
    await gateway.ask(ONE, token)
    await delete(gateway, token)
    await cloudreve.stop()
    launcher.hours.pass_by(100.0)
    stale = await gateway.ask(ONE, token)
    assert (stale.status, stale.max_age_s, "detail=stale" in stale.headers["Cache-Status"]) == (200, 0, True)
    launcher.hours.pass_by(100.0)
    assert (await gateway.ask(ONE, token)).status == 503


async def test_a_deleted_file_is_gone(cloudreve: StandIn, gateway: GatewayClient) -> None:
    shown = await gateway.ask(ONE, cloudreve.token())
    await delete(gateway, cloudreve.token())
    assert (shown.status, (await gateway.ask(ONE, cloudreve.token())).status) == (200, 404)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/v4/file/url"), ("GET", "/api/v4/file?uri=x"), ("PUT", "/api/v4/user/setting")]
)
async def test_a_request_that_changes_no_file_costs_nothing(
    cloudreve: StandIn, gateway: GatewayClient, method: str, path: str
) -> None:
    """Else a page would fetch all its pictures again for every file that somebody opens."""
    for _ in range(2):
        assert (await gateway.ask(ONE, cloudreve.token())).status == 200
    await gateway.send(method, path, {"Authorization": f"Bearer {cloudreve.token()}"})
    assert (await gateway.ask(ONE, cloudreve.token())).is_hit


async def test_a_change_ends_nobody_else_s_grants(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Neither another user's, nor one of another file, nor one that somebody without a good token could make."""
    forged = cloudreve.token("alice", life_s=-5)
    uris = {"alice": ONE, "bob": "cloudreve://my/bob.png"}
    for name, uri in uris.items():
        await gateway.ask(uri, cloudreve.token(name))
    await gateway.ask(TWO, cloudreve.token())
    await gateway.ask(in_share(cloudreve, "two.png"))
    await gateway.send("PUT", "/api/v4/file/content?uri=x", {"Authorization": f"Bearer {forged}"})
    assert (await gateway.ask(ONE, cloudreve.token())).is_hit
    await upload(gateway, cloudreve.token())
    assert (await gateway.ask(uris["bob"], cloudreve.token("bob"))).is_hit
    assert (await gateway.ask(TWO, cloudreve.token())).is_hit
    assert (await gateway.ask(in_share(cloudreve, "two.png"))).is_hit


async def test_visitors_of_a_share_see_a_new_version_at_once(cloudreve: StandIn, gateway: GatewayClient) -> None:
    before = [await gateway.ask(in_share(cloudreve)) for _ in range(3)]
    await upload(gateway, cloudreve.token())
    after = [await gateway.ask(in_share(cloudreve)) for _ in range(3)]
    assert {reply.etag for reply in before}.isdisjoint(reply.etag for reply in after)
    assert after[2].is_hit


async def test_other_replicas_hear_of_it_soon(
    launcher: GatewayLauncher, cloudreve: StandIn, redis_server: RedisServer
) -> None:
    """Those that have the picture in memory and answer before they read the request, and one that has nothing yet."""
    redis: dict[str, object] = {"url": redis_server.url, "timeout_s": 5.0}
    first, second = await launcher.open(server=SITE, redis=redis), await launcher.open(server=SITE, redis=redis)
    before = [await gateway.ask(ONE, cloudreve.token()) for gateway in (first, second) for _ in range(4)]
    await upload(first, cloudreve.token())
    await until(lambda: second.count("changes_heard") == 1)
    after = [
        await gateway.ask(ONE, cloudreve.token()) for gateway in (second, await launcher.open(server=SITE, redis=redis))
    ]
    assert {reply.etag for reply in before}.isdisjoint(reply.etag for reply in after)


async def test_without_redis_a_replica_remembers_its_own(
    launcher: GatewayLauncher, cloudreve: StandIn, start_redis: StartRedis
) -> None:
    """What Redis would have told the others is known here all the same."""
    redis_server = start_redis()
    gateway = await launcher.open(server=SITE, redis={"url": redis_server.url, "timeout_s": 5.0})
    before = await gateway.ask(ONE, cloudreve.token())
    redis_server.kill()
    await upload(gateway, cloudreve.token())
    await until(lambda: gateway.count("redis_up") == 0)
    assert (await gateway.ask(ONE, cloudreve.token())).etag != before.etag


async def test_resetting_a_thumbnail_ends_its_refusal(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Cloudreve tries again once `thumb:disabled` is removed, and so does the gateway."""
    file = cloudreve.library.files[cloudreve.library.alice.id, "/album/one.png"]
    file.hopeless = True
    token = cloudreve.token()
    assert [(await gateway.ask(ONE, token)).status for _ in range(3)] == [404, 404, 404]
    assert cloudreve.calls.count("resolve") == 1
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"uris": [ONE], "patches": [{"key": "thumb:disabled", "remove": True}]}).encode()
    assert (await gateway.send("PATCH", "/api/v4/file/metadata", headers, body)).status == 200
    assert (await gateway.ask(ONE, token)).status == 200


async def test_browsers_of_users_ask_again_soon_while_visitors_of_a_share_need_not(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """By the long way and by the fast one, and no longer than what is left of the grant."""
    gateway = await launcher.open(grants={"browser_s": 30.0, "renew_s": 0.0})
    token = cloudreve.token(life_s=7200)
    assert [(await gateway.ask(ONE, token)).max_age_s for _ in range(5)] == [30] * 5
    assert min([(await gateway.ask(in_share(cloudreve))).max_age_s for _ in range(5)]) > 3500
    launcher.hours.pass_by(3565)
    assert max([(await gateway.ask(ONE, token)).max_age_s for _ in range(3)]) < 30
    assert cloudreve.calls.count("resolve") == 2


async def session_of(gateway: GatewayClient, token: str) -> str:
    """Begin the upload of a new version, and give its session."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    reply = await gateway.send("PUT", "/api/v4/file/upload", headers, json.dumps({"uri": ONE, "size": 9}).encode())
    return str(json.loads(reply.body)["data"]["session_id"])


async def by_chunks(gateway: GatewayClient, cloudreve: StandIn) -> None:
    """Upload as the web page does to Cloudreve's own storage."""
    session = await session_of(gateway, cloudreve.token())
    headers = {"Authorization": f"Bearer {cloudreve.token()}"}
    assert (await gateway.send("POST", f"/api/v4/file/upload/{session}/0", headers, paint(98))).status == 200


async def by_callback_of_page(gateway: GatewayClient, cloudreve: StandIn) -> None:
    """Upload to storage elsewhere, as for S3: the page says so, with nobody's token in this test."""
    session = await session_of(gateway, cloudreve.token())
    assert (await gateway.send("GET", f"/api/v4/callback/s3/{session}/key")).status == 200


async def by_callback_of_storage(gateway: GatewayClient, cloudreve: StandIn) -> None:
    """Upload to storage elsewhere, which says so itself by way of the gateway: OSS, Qiniu, Upyun, OBS, another node."""
    session = await session_of(gateway, cloudreve.token())
    assert (await gateway.send("POST", f"/api/v4/callback/qiniu/{session}/key", body=b"{}")).status == 200


async def by_callback_past_the_gateway(gateway: GatewayClient, cloudreve: StandIn) -> None:
    """Upload to storage elsewhere, which says so to Cloudreve alone: the session's begin was seen."""
    session = await session_of(gateway, cloudreve.token())
    assert (await gateway.send("POST", f"{cloudreve.own_url}/api/v4/callback/remote/{session}/key")).status == 200


async def by_webdav(gateway: GatewayClient, _: StandIn) -> None:
    """Put a file by WebDAV: whose it is, only Cloudreve knows."""
    headers = {"Authorization": "Basic YWxpY2U6eA=="}
    assert (await gateway.send("PUT", "/dav/album/one.png", headers, paint(97))).status == 201


@pytest.mark.parametrize(
    "change",
    [by_chunks, by_callback_of_page, by_callback_of_storage, by_callback_past_the_gateway, by_webdav],
)
async def test_every_way_of_uploading_is_a_change(
    cloudreve: StandIn, gateway: GatewayClient, change: Callable[[GatewayClient, StandIn], Awaitable[None]]
) -> None:
    """For the owner and for a share's visitors; what other files show is untouched."""
    asked = [(ONE, cloudreve.token()), (in_share(cloudreve), None)]
    others = [(TWO, cloudreve.token()), (in_share(cloudreve, "two.png"), None)]
    before = [await gateway.ask(uri, token) for uri, token in asked * 2]
    for uri, token in others:
        await gateway.ask(uri, token)
    await change(gateway, cloudreve)
    after = [await gateway.ask(uri, token) for uri, token in asked]
    assert {reply.etag for reply in before}.isdisjoint(reply.etag for reply in after)
    assert all([(await gateway.ask(uri, token)).is_hit for uri, token in others])


async def test_by_webdav_what_is_refused_changes_nothing(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Else anybody could make every visitor's next request slow."""
    await gateway.ask(ONE, cloudreve.token())
    headers = {"Authorization": "Basic bm9ib2R5Ong="}
    assert (await gateway.send("PUT", "/dav/album/one.png", headers, paint(97))).status == 401
    assert (await gateway.ask(ONE, cloudreve.token())).is_hit


async def test_a_copy_by_webdav_that_cloudreve_calls_locked_is_a_change(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    before = await gateway.ask(ONE, cloudreve.token())
    headers = {"Authorization": "Basic YWxpY2U6eA==", "Destination": f"{gateway.base}/dav/album/one.png"}
    assert (await gateway.send("COPY", "/dav/other/one.png", headers)).status == 423
    assert (await gateway.ask(ONE, cloudreve.token())).etag != before.etag


@pytest.mark.parametrize(("method", "is_hit"), [("DELETE", False), ("POST", False), ("GET", True)])
async def test_a_share_that_is_edited_or_deleted_is_asked_for_again(
    cloudreve: StandIn, gateway: GatewayClient, method: str, is_hit: bool
) -> None:
    for uri, token in ((ONE, cloudreve.token()), (in_share(cloudreve), None)):
        await gateway.ask(uri, token)
    headers = {"Authorization": f"Bearer {cloudreve.token()}"}
    await gateway.send(method, f"/api/v4/share/{cloudreve.library.share.id}", headers)
    assert (await gateway.ask(in_share(cloudreve))).is_hit is is_hit
    assert (await gateway.ask(ONE, cloudreve.token())).is_hit


@pytest.mark.parametrize("method", ["DELETE", "POST"])
async def test_another_s_share_ends_when_cloudreve_has_agreed(
    cloudreve: StandIn, gateway: GatewayClient, method: str
) -> None:
    """Else anybody who can sign in could have all its pictures asked for again and again."""
    await gateway.ask(in_share(cloudreve))
    path = f"/api/v4/share/{cloudreve.library.share.id}"
    headers = {"Authorization": f"Bearer {cloudreve.token('bob')}"}
    await gateway.send(method, path, headers)
    assert (await gateway.ask(in_share(cloudreve))).is_hit
    await gateway.send(method, path, {"Authorization": f"Bearer {cloudreve.token()}"})
    assert not (await gateway.ask(in_share(cloudreve))).is_hit


async def test_while_a_change_is_under_way_nothing_that_is_kept_is_shown(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    token = cloudreve.token()
    await gateway.ask(ONE, token)
    fault = Hang()
    cloudreve.fail("upload", fault, times=1)
    changing = asyncio.create_task(upload(gateway, token))
    await cloudreve.calls.arrived("upload")
    assert not (await gateway.ask(ONE, token)).is_hit
    assert not (await gateway.ask(ONE, token)).is_hit
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)


async def test_grants_of_others_files_end_when_cloudreve_has_agreed(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """A request that names files of somebody else's, and is refused, costs them nothing."""
    token = cloudreve.token()
    await gateway.ask(ONE, token)
    headers = {"Authorization": f"Bearer {cloudreve.token('bob')}", "Content-Type": "application/json"}
    body = json.dumps({"uris": [f"cloudreve://{cloudreve.library.alice.id}@my/album/one.png"]}).encode()
    assert json.loads((await gateway.send("DELETE", "/api/v4/file", headers, body)).body)["code"] != 0
    assert (await gateway.ask(ONE, token)).is_hit


def partly(*failed: str) -> Says:
    """Say that some of several files could not be changed, as Cloudreve does."""
    errors = {uri: {"code": 403, "msg": "Permission denied", "correlation_id": "x"} for uri in failed}
    return json_body(json.dumps({"code": 40081, "aggregated_error": errors, "msg": "One or more operation failed"}))


@pytest.mark.parametrize("count", [1, 300])
async def test_of_several_files_those_end_that_cloudreve_has_changed(
    cloudreve: StandIn, gateway: GatewayClient, count: int
) -> None:
    """Also where others of them failed: what is deleted is shown to nobody, and what is not costs its owner nothing."""
    token, theirs = cloudreve.token(), f"cloudreve://{cloudreve.library.alice.id}@my/album"
    others = [f"{theirs}/{number}.png" for number in range(count)]
    headers = {"Authorization": f"Bearer {cloudreve.token('bob')}", "Content-Type": "application/json"}
    body = json.dumps({"uris": [f"{theirs}/one.png", *others]}).encode()
    await gateway.ask(ONE, token)
    if count == 1:
        cloudreve.fail("upload", partly(f"{theirs}/one.png", *others), times=1)
        await gateway.send("DELETE", "/api/v4/file", headers, body)
        assert (await gateway.ask(ONE, token)).is_hit
    cloudreve.fail("upload", partly(others[0]), times=1)
    await gateway.send("DELETE", "/api/v4/file", headers, body)
    assert not (await gateway.ask(ONE, token)).is_hit


async def test_very_many_files_may_be_anybody_s(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Where the body does not say that they are its author's."""
    token = cloudreve.token()
    await gateway.ask(ONE, token)
    headers = {"Authorization": f"Bearer {cloudreve.token('bob')}", "Content-Type": "application/json"}
    theirs = f"cloudreve://{cloudreve.library.alice.id}@my"
    body = json.dumps({"uris": [f"{theirs}/{number}.png" for number in range(300)]}).encode()
    await gateway.send("DELETE", "/api/v4/file", headers, body)
    assert (await gateway.ask(ONE, token)).is_hit
    cloudreve.fail("upload", json_body('{"code":0}'), times=1)
    await gateway.send("DELETE", "/api/v4/file", headers, body)
    assert not (await gateway.ask(ONE, token)).is_hit


async def test_a_change_that_a_proxy_has_given_up_may_still_be_made(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Its 504 says nothing about what Cloudreve does: nothing counts until that is over."""
    token = cloudreve.token()
    cloudreve.fail("upload", error_page(504), times=1)
    path = f"/api/v4/file/content?uri={quote(ONE, safe='')}"
    headers = {"Authorization": f"Bearer {token}"}
    assert (await gateway.send("PUT", path, headers, paint(99))).status == 504
    meanwhile = await gateway.ask(ONE, token)
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    assert (await gateway.ask(ONE, token)).etag != meanwhile.etag


@pytest.mark.parametrize("name", ["100%.png", "Foo%20Bar.png", "#1.png"])
async def test_a_new_version_is_seen_under_any_name_of_the_file(
    cloudreve: StandIn, gateway: GatewayClient, name: str
) -> None:
    """By its owner and by the visitors of a share, whether it came by the API or by WebDAV."""
    cloudreve.library.put(cloudreve.library.alice, f"/album/{name}")
    token, uri = cloudreve.token(), f"cloudreve://my/album/{quote(name)}"
    asked = [(uri, token), (in_share(cloudreve, quote(name)), None)]
    seen = [[(await gateway.ask(*one)).etag for one in asked]]
    await upload(gateway, token, uri)
    seen.append([(await gateway.ask(*one)).etag for one in asked])
    headers = {"Authorization": "Basic YWxpY2U6eA=="}
    assert (await gateway.send("PUT", f"/dav/album/{quote(name)}", headers, paint(97))).status == 201
    seen.append([(await gateway.ask(*one)).etag for one in asked])
    assert [len({*etags}) for etags in zip(*seen, strict=True)] == [3, 3]


async def test_a_body_that_names_very_many_files_is_about_any_of_its_authors(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    token = cloudreve.token()
    await gateway.ask(ONE, token)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"uris": [f"cloudreve://my/{number}.png" for number in range(20_000)]}).encode()
    await gateway.send("DELETE", "/api/v4/file", headers, body)
    assert not (await gateway.ask(ONE, token)).is_hit
