"""`/thumb/info`: what a page needs before its pictures come, for those alone who may see them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from proxy.pictures.encoders import Encoders
from proxy.standin.faults import Hang
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Reply, in_share, until
from tests.harness.pictures import pictures
from tests.harness.redis_server import RedisServer

WEBP = "application/json, image/webp"
FRESH_S = 3000


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in with pictures as large as Cloudreve's."""
    async with StandIn(size=(400, 300)) as standin:
        yield standin


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that waits until everything is known."""
    return await launcher.open(pictures={"info_wait_s": 20.0})


def path_of(uris: Sequence[str], more: str = "") -> str:
    """Write the path that asks about these."""
    return "/thumb/info?" + "&".join(f"uri={quote(uri, safe='')}" for uri in uris) + more


async def ask(gateway: GatewayClient, *uris: str, token: str | None = None, more: str = "", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.send(
        "GET", path_of(uris, more), named | ({"Authorization": f"Bearer {token}"} if token else {})
    )


def pictures_of(reply: Reply) -> list[dict[str, Any]]:
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    found: list[dict[str, Any]] = json.loads(reply.body)["pictures"]
    return found


async def test_information_is_that_of_the_picture(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Size, type, ETag and length are those of the answer of /thumb; the picture is fetched once."""
    uri = in_share(cloudreve)
    [told] = pictures_of(await ask(gateway, uri))
    shown = await gateway.ask(uri)
    assert (told["uri"], told["status"]) == (uri, 200)
    assert (told["width"], told["height"], told["media_type"]) == (400, 300, shown.headers["Content-Type"])
    assert (told["etag"], told["length"]) == (shown.etag, len(shown.body))
    assert 5 < len(base64.b64decode(told["thumbhash"], validate=True)) <= 25
    assert len(told["average_colour"]) == 7
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


@pytest.mark.parametrize(
    ("more", "size"), [("", (400, 300)), ("&w=100", (100, 75)), ("&w=90&h=90&fit=cover", (100, 100))]
)
async def test_information_is_that_of_the_variant(
    cloudreve: StandIn, gateway: GatewayClient, more: str, size: tuple[int, int]
) -> None:
    """By `Accept` and size, as /thumb does."""
    uri = in_share(cloudreve)
    [told] = pictures_of(await ask(gateway, uri, more=more, Accept=WEBP))
    shown = await gateway.send("GET", f"/thumb?uri={uri}{more}", {"Accept": "image/webp"})
    assert (told["width"], told["height"], told["media_type"]) == (*size, "image/webp")
    assert (told["etag"], told["length"]) == (shown.etag, len(shown.body))


async def test_one_answer_for_each_uri_in_their_order(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """What is refused says so as /thumb would, beside what is not."""
    uris = [in_share(cloudreve), in_share(cloudreve, "none.png"), ONE, "ftp://x", in_share(cloudreve)]
    reply = await ask(gateway, *uris)
    told = pictures_of(reply)
    assert [each["uri"] for each in told] == uris
    assert [each["status"] for each in told] == [200, 404, 401, 400, 200]
    refused = (await gateway.ask(uris[1])).problem
    assert told[1]["problem"] == {name: value for name, value in refused.items() if name != "request_id"} | {
        "correlation_id": told[1]["problem"]["correlation_id"]
    }
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("count", [0, 101])
async def test_a_hundred_uris_are_accepted_and_no_more(cloudreve: StandIn, gateway: GatewayClient, count: int) -> None:
    reply = await ask(gateway, *["cloudreve://my/a"] * count)
    assert (reply.status, "100" in reply.problem["detail"]) == (400, True)
    assert [each["status"] for each in pictures_of(await ask(gateway, *["cloudreve://my/a"] * 100))] == [401] * 100


async def test_nobody_is_told_of_a_picture_that_is_not_granted(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Although all is at hand for another; a token that is none is refused as a whole."""
    [told] = pictures_of(await ask(gateway, ONE, token=cloudreve.token()))
    assert told["status"] == 200
    for token, status in ((None, 401), (cloudreve.token("bob"), 404)):
        [other] = pictures_of(await ask(gateway, ONE, token=token))
        assert (other["status"], set(other)) == (status, {"uri", "status", "problem"})
    assert (await ask(gateway, ONE, token="x.y.z")).status == 401


async def test_a_grant_that_has_ended_tells_nothing(
    cloudreve: StandIn, launcher: GatewayLauncher, gateway: GatewayClient
) -> None:
    """Knowledge of the picture does not outlive the permission to see it."""
    token = cloudreve.token(life_s=10**6)
    assert pictures_of(await ask(gateway, ONE, token=token))[0]["status"] == 200
    cloudreve.library.remove(cloudreve.library.file("/album/one.png"))
    launcher.hours.pass_by(4000)
    assert pictures_of(await ask(gateway, ONE, token=token))[0]["status"] == 404


async def test_unknown_information_is_found_out_in_the_background(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """It is pending, with a hint when to ask again; nobody keeps that answer, and what goes on is not begun twice."""
    gateway = await launcher.open(pictures={"info_wait_s": 0.01})
    cloudreve.generator.seconds = 0.1
    uris = [in_share(cloudreve), in_share(cloudreve, "two.png")]
    reply = await ask(gateway, *uris)
    assert [(each["status"], each["retry_after_s"]) for each in pictures_of(reply)] == [(202, 1)] * 2
    assert (reply.headers["Cache-Control"], reply.headers["Retry-After"]) == ("no-store", "1")
    while any(each["status"] == 202 for each in pictures_of(reply)):
        reply = await ask(gateway, *uris)
    assert [each["status"] for each in pictures_of(reply)] == [200] * 2
    assert cloudreve.calls.count("fetch") == 2


async def test_known_information_needs_neither_bytes_nor_a_decoder(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica finds it in Redis; the picture was decoded once."""
    gateways = [await launcher.open(redis={"url": redis_server.url}, pictures={"info_wait_s": 20.0}) for _ in range(2)]
    uri = in_share(cloudreve)
    [told] = pictures_of(await ask(gateways[0], uri))
    await until(lambda: redis_server.command("KEYS", "*.info"))
    monkeypatch.setattr(Encoders, "look", None)
    for gateway in gateways * 2:
        assert pictures_of(await ask(gateway, uri)) == [told]
        assert gateway.count("lookups_total", entry="picture", source="redis") == 0
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


async def test_a_foreign_picture_that_changes_is_looked_at_anew(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    cloudreve.foreign = True
    host = cloudreve.foreign_url.removeprefix("http://")
    gateway = await launcher.open(
        cloudreve={"image_hosts": [host]}, grants={"max_ttl_s": 20.0}, pictures={"info_wait_s": 20.0}
    )
    uri = in_share(cloudreve)
    [first] = pictures_of(await ask(gateway, uri))
    assert pictures_of(await ask(gateway, uri)) == [first]
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    launcher.hours.pass_by(200)
    [changed] = pictures_of(await ask(gateway, uri))
    assert (changed["etag"] != first["etag"], changed["thumbhash"] != first["thumbhash"]) == (True, True)
    assert changed["etag"] == (await gateway.ask(uri)).etag


async def test_a_picture_that_cannot_be_decoded_has_the_rest(cloudreve: StandIn, gateway: GatewayClient) -> None:
    icon = dict(pictures())["ico, bmp"][1]
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png", thumbnail=icon)
    [told] = pictures_of(await ask(gateway, in_share(cloudreve)))
    assert (told["status"], told["media_type"], told["length"]) == (200, "image/x-icon", len(icon))
    assert (told["width"], told["height"], told["thumbhash"], told["average_colour"]) == (None,) * 4


async def test_private_and_public_are_kept_as_pictures_are(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Public where everybody may know all of it; the least public of several decides."""
    public = in_share(cloudreve)
    reply = await ask(gateway, public, Accept=WEBP)
    shown = await gateway.ask(public, Accept="image/webp")
    for name in ("Vary", "X-Content-Type-Options", "Cross-Origin-Resource-Policy", "Access-Control-Allow-Origin"):
        assert reply.headers.get(name) == shown.headers.get(name)
    assert (reply.headers["Cache-Control"].partition(",")[0], reply.max_age_s > FRESH_S) == ("public", True)
    for uris in ((ONE,), (public, ONE)):
        private = await ask(gateway, *uris, token=cloudreve.token())
        assert private.headers["Cache-Control"].startswith("private, max-age=")


async def test_information_has_a_validator_of_its_own(cloudreve: StandIn, gateway: GatewayClient) -> None:
    uris = (in_share(cloudreve), in_share(cloudreve, "two.png"))
    reply = await ask(gateway, *uris)
    again = await ask(gateway, *uris, If_None_Match=reply.etag)
    assert (again.status, again.body) == (304, b"")
    assert (await ask(gateway, uris[0], If_None_Match=reply.etag)).status == 200


async def test_pages_of_other_sites_are_told_what_they_may_show(cloudreve: StandIn, gateway: GatewayClient) -> None:
    page = {"Origin": "https://blog.example.com", "Sec_Fetch_Site": "cross-site"}
    reply = await ask(gateway, in_share(cloudreve), **page)
    assert (pictures_of(reply)[0]["status"], reply.headers["Access-Control-Allow-Origin"]) == (200, "*")
    [told] = pictures_of(await ask(gateway, ONE, token=cloudreve.token(), **page))
    assert (told["status"], "etag" in told) == (403, False)
    preflight = await gateway.send("OPTIONS", path_of([ONE]), {"Origin": "https://blog.example.com"})
    assert (preflight.status, preflight.headers["Access-Control-Allow-Methods"]) == (204, "GET, HEAD")


async def test_a_session_is_an_identity_and_its_answers_are_asked_for_again(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """A cookie tells who asks; without it nothing is told."""
    begun = await gateway.send("POST", "/session", {"Authorization": f"Bearer {cloudreve.token()}"})
    cookie = begun.headers["Set-Cookie"].partition(";")[0]
    reply = await ask(gateway, ONE, Cookie=cookie)
    assert pictures_of(reply)[0]["status"] == 200
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert pictures_of(await ask(gateway, ONE))[0]["status"] == 401


async def sign_out(gateway: GatewayClient, cloudreve: StandIn, headers: dict[str, str]) -> None:
    assert (await gateway.send("DELETE", "/session", headers)).status == 204


async def replace(gateway: GatewayClient, cloudreve: StandIn, _: dict[str, str]) -> None:
    """Upload a new version by way of the gateway."""
    headers = {"Authorization": f"Bearer {cloudreve.token()}"}
    path = f"/api/v4/file/content?uri={quote(ONE, safe='')}"
    assert (await gateway.send("PUT", path, headers, paint(99))).status == 200


@pytest.mark.parametrize("change", [sign_out, replace])
async def test_information_from_before_a_change_is_not_told_after_it(
    cloudreve: StandIn,
    launcher: GatewayLauncher,
    change: Callable[[GatewayClient, StandIn, dict[str, str]], Awaitable[None]],
) -> None:
    """Though it is still being found out when the visitor asks again: of the old picture, or for an ended session."""
    gateway = await launcher.open(server={"passthrough": True}, pictures={"info_wait_s": 20.0})
    begun = await gateway.send("POST", "/session", {"Authorization": f"Bearer {cloudreve.token()}"})
    headers = {"Cookie": begun.headers["Set-Cookie"].partition(";")[0]}
    hang = Hang()
    cloudreve.fail("fetch", hang, times=1)
    early = asyncio.create_task(gateway.send("GET", path_of([ONE]), headers))
    await cloudreve.calls.arrived("fetch")
    await change(gateway, cloudreve, headers)
    late = asyncio.create_task(gateway.send("GET", path_of([ONE]), headers))
    for _ in range(5):
        await gateway.send("GET", "/healthz")  # the late one is under way by now
    hang.until.set()
    told = [each for reply in await asyncio.gather(early, late) for each in pictures_of(reply)]
    assert [each["status"] for each in told] == [202, 202]
    [again] = pictures_of(await gateway.send("GET", path_of([ONE]), headers))
    shown = await gateway.ask(ONE, None if change is sign_out else cloudreve.token())
    assert (again["status"], again.get("etag")) == (shown.status, shown.headers.get("ETag"))
    assert shown.status == (401 if change is sign_out else 200)
