"""One client against all: of each scarce thing, whatever a flood takes, another visitor still gets theirs in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from proxy.coalesce import slots
from proxy.identity import identify
from proxy.standin.calls import Verb
from proxy.standin.faults import Exchange, Hang
from proxy.standin.standin import StandIn
from tests.harness.browser import Browser
from tests.harness.cloudreve_targets import REDIRECT_URI
from tests.harness.gateways import GatewayClient, GatewayLauncher, in_share, until
from tests.harness.raw_client import calling, request

FLOOD, MODEST = {"X-Forwarded-For": "2001:db8:0:1::1"}, {"X-Forwarded-For": "192.0.2.2"}
IN_TIME_S = 10.0
"""Long for a busy machine, and much shorter than the deadline after which everybody is told to come again."""


class Held(Hang):
    """Nothing at all for the calls of the flood; those that begin later are answered at once."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Wait, or not."""
        return exchange.proper if self.is_open else await super().play(exchange)


@dataclass
class Scene:
    """A gateway, and what is under way there."""

    cloudreve: StandIn
    gateway: GatewayClient
    stack: AsyncExitStack
    hang: Held = field(default_factory=Held)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    token: str = ""

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let the flood begin something, which may well fail."""
        self.tasks.append(asyncio.create_task(work))

    async def held(self, verb: Verb, most: int = 7) -> None:
        """Wait until the flood has all that it may have under way at once, and no more comes of it."""
        await self.cloudreve.calls.arrived(verb, most)
        for _ in range(10):
            await self.gateway.send("GET", "/healthz")
        assert self.cloudreve.calls.under_way(verb) == most
        self.hang.is_open = True

    async def end(self) -> None:
        """Let all of it end."""
        self.hang.until.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


Act = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Scarce:
    """A scarce thing: how a flood takes it all, and how another visitor is seen to get some."""

    settings: Mapping[str, Any]
    flood: Act
    other: Act
    before: Act | None = None


async def another_picture(scene: Scene) -> None:
    """Ask for a picture that nobody has asked for, as a user of whom the gateway has not heard."""
    reply = await scene.gateway.ask("cloudreve://my/bob.png", scene.cloudreve.token("bob"), **MODEST)
    assert reply.status == 200


async def hold_resolves(scene: Scene) -> None:
    """Ask for pictures that Cloudreve takes for ever to make."""
    scene.cloudreve.fail("resolve", scene.hang)
    _, uris = scene.cloudreve.library.gallery(20)
    for uri in uris:
        scene.begin(scene.gateway.ask(uri, **FLOOD))
    await scene.held("resolve")


async def hold_fetches(scene: Scene) -> None:
    """Ask for pictures that storage takes for ever to send."""
    scene.cloudreve.fail("fetch", scene.hang)
    _, uris = scene.cloudreve.library.gallery(20)
    for uri in uris:
        scene.begin(scene.gateway.ask(uri, **FLOOD))
    await scene.held("fetch")


async def ask_about_hundreds(scene: Scene) -> None:
    """Ask what is known of pictures that Cloudreve takes for ever to make."""
    scene.cloudreve.fail("resolve", scene.hang)
    _, uris = scene.cloudreve.library.gallery(300)
    for first in range(0, 300, 100):
        path = "/thumb/info?" + "&".join(f"uri={uri}" for uri in uris[first : first + 100])
        await scene.gateway.send("GET", path, FLOOD)
    await scene.held("resolve")


async def ask_about_one(scene: Scene) -> None:
    """Ask about one picture, as a user of whom the gateway has not heard."""
    headers = {"Authorization": f"Bearer {scene.cloudreve.token('bob')}", **MODEST}
    reply = await scene.gateway.send("GET", "/thumb/info?uri=cloudreve://my/bob.png", headers)
    while json.loads(reply.body)["pictures"][0]["status"] == 202:
        reply = await scene.gateway.send("GET", "/thumb/info?uri=cloudreve://my/bob.png", headers)
    assert json.loads(reply.body)["pictures"][0]["status"] == 200
    await another_picture(scene)


async def take_places(scene: Scene) -> None:
    """Come from five networks, each of which takes a quarter of the places."""
    scene.cloudreve.fail("resolve", scene.hang)
    _, uris = scene.cloudreve.library.gallery(60)
    for number, uri in enumerate(uris):
        scene.begin(scene.gateway.ask(uri, **{"X-Forwarded-For": f"2001:db8:0:{number % 5}::1"}))
    await scene.held("resolve", 8)


async def find_a_place(scene: Scene) -> None:
    """Take the place of one of the flood, which is told so, and wait for a turn there."""
    await until(lambda: sum(task.done() for task in scene.tasks) == 20)  # refused: forty places are taken
    picture = asyncio.create_task(another_picture(scene))
    await until(lambda: picture.done() or sum(task.done() for task in scene.tasks) > 20)
    scene.hang.until.set()
    await picture


def made_up(scene: Scene, number: int) -> str:
    """Make a token that looks like one of Cloudreve's."""
    return f"{scene.cloudreve.token().rpartition('.')[0]}.{number:043d}"


async def hold_whoamis(scene: Scene) -> None:
    """Send made-up tokens, about which Cloudreve thinks for ever."""
    scene.cloudreve.fail("whoami", scene.hang)
    for number in range(50):
        scene.begin(scene.gateway.ask("cloudreve://my/x.png", made_up(scene, number), **FLOOD))
    await scene.held("whoami", 14)


async def make_tokens_up(scene: Scene) -> None:
    """Send made-up tokens from all over one IPv6 network; few of them reach Cloudreve."""
    for start in range(0, 1000, 100):
        address = {"X-Forwarded-For": f"2001:db8:0:1::{start}"}
        asked = (
            scene.gateway.ask("cloudreve://my/x.png", made_up(scene, start + number), **address)
            for number in range(100)
        )
        assert {reply.status for reply in await asyncio.gather(*asked)} <= {401, 503}
    assert scene.cloudreve.calls.count("whoami") < 1000 / 2


async def fill_memory(scene: Scene) -> None:
    """Ask for more pictures than memory holds."""
    _, uris = scene.cloudreve.library.gallery(150)
    for uri in uris:
        await scene.gateway.ask(uri, **FLOOD)
    assert not (await scene.gateway.ask(uris[0], **FLOOD)).is_hit, "memory was filled"


async def refused_fill_memory(scene: Scene) -> None:
    for number in range(300):
        assert (await scene.gateway.ask(in_share(scene.cloudreve, f"none-{number}.png"), **FLOOD)).status == 404


async def still_a_hit(scene: Scene) -> None:
    """Ask for what was asked for before the flood; nothing of it has been lost."""
    for name in ("one.png", "two.png"):
        assert (await scene.gateway.ask(in_share(scene.cloudreve, name), **MODEST)).is_hit


async def see_two(scene: Scene) -> None:
    for name in ("one.png", "two.png"):
        assert (await scene.gateway.ask(in_share(scene.cloudreve, name), **MODEST)).status == 200


RAW = ("X-Forwarded-For: 192.0.2.2",)


async def finish_one(scene: Scene) -> None:
    async with calling(scene.gateway) as caller:
        for _ in range(3):
            assert (await caller.ask(request(in_share(scene.cloudreve), *RAW))).status == 200


async def finish_many(scene: Scene) -> None:
    """Have the same answer remembered for a hundred validators."""
    async with calling(scene.gateway) as caller:
        for number in range(100):
            for _ in range(3):
                lines = ("X-Forwarded-For: 192.0.2.1", f'If-None-Match: "{number}"')
                assert (await caller.ask(request(in_share(scene.cloudreve), *lines))).status == 200


async def still_finished(scene: Scene) -> None:
    hits = scene.gateway.running.hits
    key = hits.key(request(in_share(scene.cloudreve), *RAW), is_trusted=True)
    assert key is not None
    assert hits.known(key)


async def known(scene: Scene) -> None:
    scene.token = scene.cloudreve.token("bob")
    assert (await scene.gateway.ask("cloudreve://my/bob.png", scene.token, **MODEST)).status == 200


async def be_known_often(scene: Scene) -> None:
    """Be one user with many tokens, each of which is good."""
    for life_s in range(3600, 3700):
        token = scene.cloudreve.token("alice", life_s=life_s)
        await scene.gateway.ask("cloudreve://my/album/one.png", token, **FLOOD)
    scene.cloudreve.calls.forget()


async def still_known(scene: Scene) -> None:
    assert (await scene.gateway.ask("cloudreve://my/bob.png", scene.token, **MODEST)).status == 200
    assert scene.cloudreve.calls.count("whoami") == 0


async def hold_exchanges(scene: Scene) -> None:
    """Sign in twenty times, while Cloudreve thinks for ever about each code."""
    scene.cloudreve.fail("exchange", scene.hang)
    for _ in range(20):
        scene.begin(Browser(scene.gateway, **FLOOD).agree(scene.cloudreve.own_url, scene.cloudreve.token("alice")))
    await scene.held("exchange")


async def sign_in(scene: Scene) -> None:
    browser = Browser(scene.gateway, **MODEST)
    landed = await browser.agree(scene.cloudreve.own_url, scene.cloudreve.token("bob"))
    assert landed.status == 303
    assert (await browser.see("cloudreve://my/bob.png")).status == 200


async def connect(scene: Scene) -> None:
    """Open more connections than there may be."""
    for _ in range(30):
        await scene.stack.enter_async_context(calling(scene.gateway, "127.0.0.2"))


async def connect_too(scene: Scene) -> None:
    async with calling(scene.gateway, "127.0.0.3") as caller:
        assert (await caller.ask(request(in_share(scene.cloudreve)))).status == 200


CLIENT = {"client_id": "stand-in-client", "client_secret": "stand-in-client-secret"}
SIGN_IN = {
    "server": {"public_origin": REDIRECT_URI.removesuffix("/session/callback")},
    "sign_in": CLIENT,
}
SMALL_MEMORY = {"memory": {"max_bytes": 200_000}}

TABLE = {
    "connections": Scarce({"server": {"max_connections": 20, "trusted_proxies": []}}, connect, connect_too),
    "places in the queue": Scarce({"cloudreve": {"max_resolves": 8, "max_waiting": 40}}, take_places, find_a_place),
    "resolves": Scarce({"cloudreve": {"max_resolves": 8}}, hold_resolves, another_picture),
    "what is known of pictures": Scarce(
        {"cloudreve": {"max_resolves": 8, "max_waiting": 40}}, ask_about_hundreds, ask_about_one
    ),
    "fetches": Scarce({"cloudreve": {"max_fetches": 8}}, hold_fetches, another_picture),
    "whoami calls": Scarce({}, hold_whoamis, another_picture),
    "whoami calls for refused tokens": Scarce({}, make_tokens_up, another_picture),
    "known tokens": Scarce({}, be_known_often, still_known, before=known),
    "memory for pictures": Scarce(SMALL_MEMORY, fill_memory, still_a_hit, before=see_two),
    "memory for refusals": Scarce(SMALL_MEMORY, refused_fill_memory, still_a_hit, before=see_two),
    "finished answers": Scarce({"memory": {"max_answers_bytes": 60_000}}, finish_many, still_finished, finish_one),
    "sign-ins": Scarce(SIGN_IN, hold_exchanges, sign_in),
}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close at the end what a test has opened."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest.mark.parametrize("name", TABLE)
async def test_a_flood_of_one_client_leaves_enough_for_another(
    cloudreve: StandIn, launcher: GatewayLauncher, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The flood is still there when the other comes, who is served all the same."""
    monkeypatch.setattr(identify, "KNOWN_TOKENS", 20)
    monkeypatch.setattr(slots, "SLOW_S", 2 * IN_TIME_S)  # what hangs keeps its slot, however busy the machine is
    scarce = TABLE[name]
    scene = Scene(cloudreve, await launcher.open(**scarce.settings), stack)
    try:
        if scarce.before is not None:
            await scarce.before(scene)
        await scarce.flood(scene)
        async with asyncio.timeout(IN_TIME_S):
            await scarce.other(scene)
    finally:
        await scene.end()
