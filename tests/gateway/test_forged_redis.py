"""Every kind of key and message that gateways read from Redis, replaced by whatever a stranger may put there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from redis.client import PubSub

from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.gateway.test_api import given
from tests.harness.browser import Browser
from tests.harness.gateways import ONE, TWO, GatewayClient, GatewayLauncher, in_share, kept, until
from tests.harness.redis_server import RedisServer

KEY, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
KINDS = {"g", "p", "s", "r", "e"}
"""Grants and refusals, pictures and variants, what was seen under sealed URLs, renewed sessions, sign-outs."""


@dataclass
class Scene:
    """A gateway that has left every kind of key in Redis, and what visitors see there."""

    cloudreve: StandIn
    launcher: GatewayLauncher
    redis: RedisServer
    seal: dict[str, object]
    sealed_url: str = ""
    cookie: str = ""

    async def open(self) -> GatewayClient:
        """Start another replica, which knows nothing but what Redis tells."""
        client = {"client_id": self.cloudreve.client.id, "client_secret": self.cloudreve.client.secret}
        return await self.launcher.open(
            server={"public_origin": "http://127.0.0.1:8080", "passthrough": True},
            cloudreve={"image_hosts": ["127.0.0.1"]},
            redis={"url": self.redis.url, "timeout_s": 5.0},
            sign_in=client,
            seal=self.seal,
        )

    async def play(self) -> None:
        """Leave every kind of key."""
        gateway = await self.open()
        browser = Browser(gateway)
        await browser.agree(self.cloudreve.own_url, self.cloudreve.token("alice"))
        self.launcher.hours.pass_by(3605)
        assert (await browser.see(ONE)).status == 200
        self.cookie = next(iter(browser.cookies.values()))
        await gateway.ask(in_share(self.cloudreve))
        self.cloudreve.foreign = self.cloudreve.foreign_etags = True
        url = await given(gateway, TWO, self.cloudreve.token("alice"))
        self.sealed_url = url.removeprefix("http://127.0.0.1:8080")
        assert (await gateway.send("GET", self.sealed_url)).status == 200
        other, token = Browser(gateway), self.cloudreve.token("bob")
        await other.sign_in(token)
        assert (await other.send("DELETE", "/session")).status == 204
        path = f"/api/v4/file/content?uri={quote('cloudreve://my/new.png', safe='')}"
        assert (await gateway.send("PUT", path, {"Authorization": f"Bearer {token}"}, paint(99))).status == 200
        async with asyncio.timeout(10.0):
            await until(lambda: {kind_of(key) for key in kept(self.redis)} == KINDS)

    async def shown(self) -> list[tuple[int, bytes]]:
        """Start a replica, and give what it shows: a share's, a user's by cookie and by token, and by sealed URL."""
        gateway = await self.open()
        browser = Browser(gateway)
        browser.cookies["thumb_session"] = self.cookie
        async with asyncio.timeout(10.0):
            replies = [
                await gateway.ask(in_share(self.cloudreve)),
                await browser.see(ONE),
                await gateway.ask(TWO, self.cloudreve.token("alice")),
                await gateway.send("GET", self.sealed_url),
            ]
        return [(reply.status, reply.body if reply.status == 200 else b"") for reply in replies]

    def held(self) -> dict[str, bytes]:
        """Give every key and its value."""
        found = {key: self.redis.command("GET", key) for key in kept(self.redis)}
        return {key: value for key, value in found.items() if isinstance(value, bytes)}

    def plant(self, key: str, value: bytes) -> None:
        """Write as a stranger does: for good."""
        self.redis.command("SET", key, value)

    def restore(self, held: dict[str, bytes]) -> None:
        """Put back what was there."""
        for key, value in held.items():
            self.plant(key, value)

    def waiters(self) -> bool:
        """Tell whether another replica waits for one that leads."""
        leases = self.redis.command("KEYS", "thumb-proxy:lease:*")
        assert isinstance(leases, list)
        return any(str(self.redis.command("GET", name)).endswith("!'") for name in leases)


def _messages(pubsub: PubSub) -> list[bytes]:
    message = pubsub.get_message()
    return [message["data"]] if message and message["type"] == "pmessage" else []


def kind_of(key: str) -> str:
    return key.split(":")[3]


@pytest.fixture
async def plain(cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer) -> Scene:
    """Set the scene without `seal.keys`."""
    made = Scene(cloudreve, launcher, redis_server, {"keys": []})
    await made.play()
    return made


@pytest.fixture
async def sealed(cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer) -> Scene:
    """Set the scene with `seal.keys`."""
    made = Scene(cloudreve, launcher, redis_server, {"keys": [KEY]})
    await made.play()
    return made


def junk() -> list[bytes]:
    return [b"", b"junk" * 100, b"1e18", b"\x95" * 70_000]


def damaged(own: bytes) -> list[bytes]:
    """Give the true value cut, longer, and with one bit flipped in the middle and at the end."""
    flipped = bytearray(own)
    flipped[len(own) // 2] ^= 1
    return [own[:-1], own + b"\x00", bytes(flipped)]


def others(own: bytes, held: dict[str, bytes]) -> list[bytes]:
    """Give a true value of every kind but this one, and one of the same kind."""
    return list({kind_of(key): value for key, value in held.items() if value != own}.values())


async def test_any_value_under_any_key_is_a_miss_unless_it_was_sealed_for_it(sealed: Scene) -> None:
    """Junk, what is true of other keys, and what is nearly right: nobody is shown anything else, and nothing fails."""
    true, held = await sealed.shown(), sealed.held()
    assert [status for status, _ in true] == [200] * 4
    forged = {key: [*junk(), *damaged(own), *others(own, held)] for key, own in held.items()}
    for number in range(max(map(len, forged.values()))):
        for key, values in forged.items():
            if kind_of(key) == "e" and number % 4:
                continue  # a list of sign-outs that is lost costs a second or two
            sealed.plant(key, values[min(number, len(values) - 1)])
        assert await sealed.shown() == true
        sealed.restore(held)


async def test_without_keys_junk_is_a_miss(plain: Scene) -> None:
    true, held = await plain.shown(), plain.held()
    for value in junk():
        for key in held:
            plain.plant(key, value)
        assert await plain.shown() == true


async def test_a_value_of_another_type_is_a_miss_and_strangers_leases_are_not_waited_for(sealed: Scene) -> None:
    """Under every key at once, and beside it a lease without end, or one that is a list."""
    true = await sealed.shown()
    for number, key in enumerate(sealed.held()):
        sealed.redis.command("DEL", key)
        sealed.redis.command("LPUSH", key, "x")
        sealed.redis.command(("SET", "LPUSH")[number % 2], f"thumb-proxy:lease:{{{key}}}", "somebody")
    assert await sealed.shown() == true


async def test_with_keys_redis_holds_and_hears_nothing_that_is_worth_reading(sealed: Scene) -> None:
    """No URL, token, user, session or picture: neither under a key nor in a message."""
    gateway, other = await sealed.open(), await sealed.open()
    with sealed.redis.client() as client, client.pubsub() as pubsub:
        pubsub.psubscribe("*")
        sealed.cloudreve.generator.gate = gate = asyncio.Event()
        uri = f"cloudreve://{sealed.cloudreve.library.share.id}@share/two.png"
        tasks = [asyncio.create_task(one.ask(uri)) for one in (gateway, other)]
        await sealed.cloudreve.calls.arrived("resolve", sealed.cloudreve.calls.count("resolve") + 1)
        await until(sealed.waiters)
        gate.set()
        replies = await asyncio.gather(*tasks)
        heard: list[bytes] = []
        while not heard:
            heard += _messages(pubsub)
            await asyncio.sleep(0)
    token, _, _ = sealed.cloudreve.token().encode().partition(b".")
    png = replies[0].body[:16]
    secrets = [b"sign=", b"http://", b"file/content", png, token, b"grant/", b"picture/", b"image/"]
    users = [account.id.encode() for account in sealed.cloudreve.library.accounts]
    bodies = [body[100:130] for _, body in await sealed.shown()] + [replies[0].body[100:130]]
    for value in [*sealed.held().values(), *heard]:
        assert not [secret for secret in (*secrets, *users, *bodies) if secret in value]


async def test_a_value_that_is_put_back_counts_no_longer_than_it_did(sealed: Scene) -> None:
    """Replay under the same name is possible; a grant has its end inside."""
    held = sealed.held()
    gateway = await sealed.open()
    before = sealed.cloudreve.calls.count("resolve")
    assert (await gateway.ask(in_share(sealed.cloudreve))).is_hit
    sealed.launcher.hours.pass_by(3700)
    sealed.restore(held)
    late = await sealed.open()
    assert (await late.ask(in_share(sealed.cloudreve))).status == 200
    assert sealed.cloudreve.calls.count("resolve") == before + 1


async def test_values_of_an_older_key_still_open(sealed: Scene) -> None:
    """While a key is replaced by another, the old one stands behind it; afterwards they are a miss."""
    true, before = await sealed.shown(), sealed.cloudreve.calls.count("resolve")
    sealed.seal = {"keys": [OTHER, KEY]}
    assert await sealed.shown() == true
    assert sealed.cloudreve.calls.count("resolve") == before
    sealed.seal = {"keys": [OTHER]}
    gateway = await sealed.open()
    assert (await gateway.ask(in_share(sealed.cloudreve))).body == true[0][1]
    assert sealed.cloudreve.calls.count("resolve") == before + 1
