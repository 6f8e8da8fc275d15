"""An operator purges: what was granted ends everywhere, what was kept is dropped, and nothing else is touched."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy.domain.keys import picture_key
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, TWO, GatewayClient, GatewayLauncher, Reply, in_share, kept, until
from tests.harness.redis_server import RedisServer

JSON = {"Content-Type": "application/json"}


async def order(gateway: GatewayClient, headers: dict[str, str] | None = None, /, **body: object) -> Reply:
    return await gateway.send(
        "POST", f"{gateway.admin}/purge", JSON if headers is None else headers, json.dumps(body).encode()
    )


async def purge(gateway: GatewayClient, **body: object) -> dict[str, Any]:
    """Give an order, and what it has ended."""
    reply = await order(gateway, **body)
    assert reply.status == 200
    said: dict[str, Any] = json.loads(reply.body)
    assert "nginx" in said
    return said


async def shown(gateway: GatewayClient, cloudreve: StandIn) -> list[bool]:
    """Ask for five files often enough that all are ready, and tell which were hits at the first time."""
    alice, bob = cloudreve.token(), cloudreve.token("bob")
    asked = [(ONE, alice), (TWO, alice), ("cloudreve://my/bob.png", bob), (in_share(cloudreve), None)]
    hits = [(await gateway.ask(uri, token)).is_hit for uri, token in asked]
    for uri, token in asked * 2:
        await gateway.ask(uri, token)
    return hits


@pytest.fixture
def alice(cloudreve: StandIn) -> str:
    return cloudreve.library.alice.id


@pytest.mark.parametrize(
    ("kind", "hits"),
    [
        ("uri", [False, True, True, True]),
        ("prefix", [False, False, True, True]),
        ("user", [False, False, True, False]),
        ("share", [True, True, True, False]),
        ("all", [False, False, False, False]),
    ],
)
async def test_a_purge_ends_what_it_names_and_nothing_else(
    cloudreve: StandIn, gateway: GatewayClient, alice: str, kind: str, hits: list[bool]
) -> None:
    """It says how many ready answers and pictures it has dropped."""
    orders: dict[str, object] = {
        "uri": f"cloudreve://{alice}@my/album/./one.png",
        "prefix": f"cloudreve://{alice}@my/album/",
        "user": alice,
        "share": cloudreve.library.share.id,
        "all": True,
    }
    await shown(gateway, cloudreve)
    said = await purge(gateway, **{kind: orders[kind]})
    assert said["processes"] == 1
    assert said["answers"] == hits.count(False)
    assert said["pictures"] == {"uri": 0, "prefix": 1, "user": 2, "share": 0, "all": 3}[kind]
    assert said["waiting"] == 0
    assert await shown(gateway, cloudreve) == hits


async def test_the_bytes_of_a_purged_picture_are_gone_from_every_tier(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer, alice: str
) -> None:
    """Of a picture that others may not have seen as well they would have to be fetched anew."""
    gateway = await launcher.open(redis={"url": redis_server.url, "timeout_s": 5.0})
    for _ in range(3):
        await gateway.ask(ONE, cloudreve.token())
    await until(lambda: len(kept(redis_server, "p")) == 1)
    assert (await purge(gateway, uri=f"cloudreve://{alice}@my/album/one.png"))["pictures"] == 1
    assert kept(redis_server, "p") == []
    await gateway.ask(ONE, cloudreve.token())
    assert cloudreve.calls.count("fetch") == 2
    assert picture_key("x") == "p:x"


async def test_all_replicas_of_a_redis_confirm(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    sections: dict[str, Any] = {"redis": {"url": redis_server.url, "timeout_s": 5.0}}
    gateways = [await launcher.open(**sections) for _ in range(3)]
    for gateway in gateways:
        for _ in range(3):
            await gateway.ask(in_share(cloudreve))
    said = await purge(gateways[0], share=cloudreve.library.share.id)
    assert (said["processes"], said["answers"]) == (3, 3)
    assert not (await gateways[2].ask(in_share(cloudreve))).is_hit


async def test_purging_all_leaves_sessions_alone(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    gateway = await launcher.open(redis={"url": redis_server.url, "timeout_s": 5.0})
    await gateway.ask(in_share(cloudreve))
    redis_server.command("SET", "somebody-else", "1")
    await purge(gateway, all=True)
    assert kept(redis_server, "g") == kept(redis_server, "p") == []
    assert redis_server.command("GET", "somebody-else") == b"1"
    keys = redis_server.command("KEYS", "*:changes")
    assert isinstance(keys, list)
    assert len(keys) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"uri": "x"},
        {"uri": "cloudreve://my/a"},
        {"all": True, "user": "x"},
        {"all": False},
        {"everything": True},
        [],
    ],
)
async def test_anything_but_an_order_is_refused(gateway: GatewayClient, body: object) -> None:
    """It says what is accepted; a relative URI means another file for each user."""
    reply = await gateway.send("POST", f"{gateway.admin}/purge", JSON, json.dumps(body).encode())
    assert reply.status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (JSON, 200),
        ({**JSON, "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Content-Type": "text/plain"}, 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ({**JSON, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**JSON, "Sec-Fetch-Site": "same-site"}, 403),
        ({**JSON, "Origin": "https://evil.example"}, 403),
        ({**JSON, "Origin": "null"}, 403),
        ({**JSON, "Host": "evil.example:9090"}, 403),
        ({**JSON, "Host": "localhost:9090"}, 200),
        ({**JSON, "Host": "[::1]:9090"}, 200),
    ],
)
async def test_a_page_in_a_browser_gives_no_orders(
    gateway: GatewayClient, headers: dict[str, str], status: int
) -> None:
    """Neither by a form, nor by a script of another site, nor by a name that leads here (DNS rebinding)."""
    assert (await order(gateway, headers, all=True)).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"Authorization": "Bearer secret-secret"}, 200),
        ({"Authorization": "Bearer secret-secret", "Host": "thumbs-admin.local:9090"}, 200),
        ({"Authorization": "Bearer secret-secret", "Origin": "https://evil.example"}, 403),
    ],
)
async def test_where_there_is_a_token_orders_bring_it(
    launcher: GatewayLauncher, headers: dict[str, str], status: int
) -> None:
    """With it they may name the port by any name, as in a cluster."""
    gateway = await launcher.open(admin={"token": "secret-secret"})
    assert (await order(gateway, {**JSON, **headers}, all=True)).status == status


async def test_a_purge_while_redis_is_away_is_told_later(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """The answer says so (202); here it has happened at once."""
    sections: dict[str, Any] = {"redis": {"url": redis_server.url, "timeout_s": 0.2, "pause_s": 0.1}}
    gateway, other = [await launcher.open(**sections) for _ in range(2)]
    for each in (gateway, other):
        await each.ask(in_share(cloudreve))
    redis_server.freeze()
    reply = await order(gateway, all=True)
    redis_server.thaw()
    assert (reply.status, json.loads(reply.body)["waiting"]) == (202, 1)
    assert not (await gateway.ask(in_share(cloudreve))).is_hit
    async with asyncio.timeout(20.0):
        await until(lambda: other.count("changes_heard") > 0)
