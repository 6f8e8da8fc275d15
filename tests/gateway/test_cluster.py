"""Three gateways on one Redis, asked at once: one call per picture and cluster, and whoever leads may die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import cycle

import aiohttp
import pytest
from yarl import URL

from proxy.redis import pubsub
from proxy.standin.faults import Drip, Hang, json_body
from proxy.standin.standin import StandIn
from tests.conftest import StartRedis
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Reply, in_share, kept, statuses, until
from tests.harness.held_fault import Held
from tests.harness.program import Program, serving
from tests.harness.redis_server import RedisServer

REPLICAS = 3
REQUESTS = 150
"""At one picture, spread over the replicas."""
HEARD_S, POLL_S = 1.0, 5.0
"""Those who are told have it long before they would look for it themselves."""


@pytest.fixture
async def gateways(launcher: GatewayLauncher, redis_server: RedisServer) -> list[GatewayClient]:
    redis = {"url": redis_server.url, "timeout_s": 5.0}
    return [await launcher.open(redis=redis) for _ in range(REPLICAS)]


async def ask_all(gateways: list[GatewayClient], uri: str, requests: int = REQUESTS, **visitor: str) -> list[Reply]:
    """Ask many times at once, each replica in turn."""
    ways = cycle(gateways)
    return await asyncio.gather(*(next(ways).ask(uri, **visitor) for _ in range(requests)))


def leases(redis_server: RedisServer) -> list[bytes]:
    """List the leases that are held, each with who holds it."""
    names = redis_server.command("KEYS", "thumb-proxy:lease:*")
    assert isinstance(names, list)
    return [value for name in names if isinstance(value := redis_server.command("GET", name), bytes)]


async def others_wait(redis_server: RedisServer) -> None:
    """Wait until another replica waits for the one that leads."""
    await until(lambda: any(lease.endswith(b"!") for lease in leases(redis_server)))


async def test_one_resolve_and_one_fetch_for_all(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer
) -> None:
    """However many ask, at whichever replica, while nobody has it."""
    cloudreve.generator.gate = asyncio.Event()
    asked = asyncio.create_task(ask_all(gateways, in_share(cloudreve)))
    await cloudreve.calls.arrived("resolve")
    await others_wait(redis_server)
    cloudreve.generator.gate.set()
    replies = await asked
    assert set(statuses(replies)) == {200}
    assert len({reply.body for reply in replies}) == 1
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)
    await until(lambda: not leases(redis_server))


async def test_one_resolve_per_identity_one_after_the_other(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer
) -> None:
    """Four identities at three replicas: none of them meets another at Cloudreve while the thumbnail is being made."""
    app = cloudreve.token("bob", client="app", scopes=("Files.Read", "openid"))
    visitors = [{"token": cloudreve.token("alice")}, {"token": cloudreve.token("bob")}, {}, {"token": app}]
    cloudreve.generator.gate = asyncio.Event()
    uri = in_share(cloudreve)
    asked = [asyncio.create_task(ask_all(gateways, uri, 15, **visitor)) for visitor in visitors]
    await cloudreve.calls.arrived("resolve")
    await others_wait(redis_server)
    assert cloudreve.calls.count("resolve") == 1
    cloudreve.generator.gate.set()
    for replies in await asyncio.gather(*asked):
        assert set(statuses(replies)) == {200}
    assert cloudreve.calls.count("resolve") == cloudreve.calls.count("resolve", code=0) == len(visitors)
    assert cloudreve.calls.count("fetch") == 1


async def test_a_fresh_gallery_costs_one_call_per_picture_and_cluster(
    cloudreve: StandIn, gateways: list[GatewayClient]
) -> None:
    _, uris = cloudreve.library.gallery(30)
    replies = await asyncio.gather(*(gateway.ask(uri) for uri in uris for gateway in gateways))
    assert set(statuses(replies)) == {200}
    assert cloudreve.calls.count("resolve") == cloudreve.calls.count("resolve", code=0) == len(uris)
    assert cloudreve.calls.count("fetch") == len(uris)


async def test_waiting_replicas_have_the_picture_soon_after_the_leader(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grant, the picture and the way to the visitor included."""
    monkeypatch.setattr(pubsub, "POLL_S", POLL_S)
    delays = []
    _, uris = cloudreve.library.gallery(15)

    async def timed(gateway: GatewayClient, uri: str) -> tuple[Reply, float]:
        reply = await gateway.ask(uri)
        return reply, time.monotonic()

    for uri in uris:
        cloudreve.generator.gate = asyncio.Event()
        cloudreve.calls.forget()
        asked = [asyncio.create_task(timed(gateway, uri)) for gateway in gateways]
        await cloudreve.calls.arrived("resolve")
        await others_wait(redis_server)
        cloudreve.generator.gate.set()
        ends = sorted([(await task)[1] for task in asked])
        assert cloudreve.calls.count("fetch") == 1
        delays.append(ends[-1] - ends[0])
    assert sorted(delays)[len(delays) // 2] < HEARD_S


async def test_a_refusal_is_everybody_s(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer
) -> None:
    hang = Hang()
    cloudreve.fail("resolve", hang, times=1)
    asked = asyncio.create_task(ask_all(gateways, in_share(cloudreve, "nope.png"), 30))
    await cloudreve.calls.arrived("resolve")
    await others_wait(redis_server)
    hang.until.set()
    replies = await asked
    assert set(statuses(replies)) == {404}
    assert cloudreve.calls.count("resolve") == 1


async def test_a_refusal_that_is_not_kept_is_everybody_s_too(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer
) -> None:
    """Of those who asked meanwhile; who comes later asks anew."""
    strange = Held(json_body('{"code":40099,"msg":"never heard of","correlation_id":"0d3cbb4c"}'))
    cloudreve.fail("resolve", strange, times=1)
    alice = cloudreve.token("alice")
    asked = asyncio.create_task(ask_all(gateways, ONE, 30, token=alice))
    await cloudreve.calls.arrived("resolve")
    await others_wait(redis_server)
    strange.until.set()
    replies = await asked
    assert {(reply.status, reply.problem["code"]) for reply in replies} == {(502, 40099)}
    assert cloudreve.calls.count("resolve") == 1
    assert kept(redis_server, "g") == []
    assert (await gateways[0].ask(ONE, alice)).status == 200


async def test_one_that_leads_and_is_refused_its_token_leads_nobody_astray(
    cloudreve: StandIn, gateways: list[GatewayClient]
) -> None:
    """The same user with another token, at another replica, sees the picture."""
    token = cloudreve.token("alice")
    replies = await asyncio.gather(
        *(gateway.ask(in_share(cloudreve), token) for gateway in gateways),
        *(gateway.ask(in_share(cloudreve), "garbage") for gateway in gateways),
    )
    assert statuses(replies) == [200] * REPLICAS + [401] * REPLICAS


async def test_without_redis_waiting_replicas_load_for_themselves(
    cloudreve: StandIn, launcher: GatewayLauncher, start_redis: StartRedis
) -> None:
    """They do not wait for a leader that they can no longer hear."""
    server = start_redis()
    redis = {"url": server.url, "timeout_s": 0.2}
    gateways = [await launcher.open(redis=redis) for _ in range(REPLICAS)]
    hang = Hang()
    cloudreve.fail("resolve", hang, times=1)
    asked = asyncio.create_task(ask_all(gateways, in_share(cloudreve), 30))
    await cloudreve.calls.arrived("resolve")
    await others_wait(server)
    server.kill()
    await cloudreve.calls.arrived("fetch")
    hang.until.set()
    assert set(statuses(await asked)) == {200}


async def dying(
    cloudreve: StandIn,
    gateways: list[GatewayClient],
    redis_server: RedisServer,
    wait: Callable[[Program], Awaitable[None]],
) -> list[Reply]:
    """Let a gateway of its own process lead, and kill it when `wait` has come to its end while others wait for it."""
    async with serving(cloudreve.own_url, REDIS__URL=redis_server.url) as leader, aiohttp.ClientSession() as session:
        where = URL(f"http://127.0.0.1:{leader.port}/thumb").with_query(uri=in_share(cloudreve))
        first = asyncio.create_task(session.get(where))
        await wait(leader)
        asked = asyncio.create_task(ask_all(gateways, in_share(cloudreve), 30))
        await others_wait(redis_server)
        leader.process.kill()
        await leader.process.wait()
        cloudreve.mend()
        replies = await asked
        await asyncio.gather(first, return_exceptions=True)
        return replies


async def test_a_leader_killed_while_resolving_is_succeeded(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer
) -> None:
    """By one of the others; the rest hear of it, and none of them works alone."""
    cloudreve.fail("resolve", Hang())
    replies = await dying(cloudreve, gateways, redis_server, lambda _: cloudreve.calls.arrived("resolve"))
    assert set(statuses(replies)) == {200}
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 1)


async def test_a_leader_killed_while_streaming_is_succeeded(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer
) -> None:
    """Its grant is there; the picture is fetched once more, whole."""
    drip = Drip()
    cloudreve.fail("fetch", drip)
    drip.release()
    replies = await dying(cloudreve, gateways, redis_server, lambda _: cloudreve.calls.arrived("fetch"))
    assert set(statuses(replies)) == {200}
    assert len({reply.body for reply in replies}) == 1
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 2)


async def test_a_leader_told_to_leave_hands_over_at_once(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer
) -> None:
    """What it is waiting for goes on to its end first, as far as its time allows."""
    hang = Hang()
    cloudreve.fail("resolve", hang, times=1)
    async with serving(cloudreve.own_url, REDIS__URL=redis_server.url) as leader, aiohttp.ClientSession() as session:
        where = URL(f"http://127.0.0.1:{leader.port}/thumb").with_query(uri=in_share(cloudreve))
        first = asyncio.create_task(session.get(where))
        await cloudreve.calls.arrived("resolve")
        asked = asyncio.create_task(ask_all(gateways, in_share(cloudreve), 30))
        await others_wait(redis_server)
        leader.ask_to_leave()
        hang.until.set()
        assert set(statuses(await asked)) == {200}
        assert (await first).status == 200
        assert await leader.end() == 0
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


async def test_clocks_that_disagree_change_nothing(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """One replica's is twenty minutes ahead, another's as much behind: leases live by Redis' clock."""
    redis = {"url": redis_server.url, "timeout_s": 5.0}
    gateways = [await launcher.open(skew_s=skew_s, redis=redis) for skew_s in (0.0, 1200.0, -1200.0)]
    cloudreve.generator.gate = asyncio.Event()
    asked = asyncio.create_task(ask_all(gateways, in_share(cloudreve), 30))
    await cloudreve.calls.arrived("resolve")
    await others_wait(redis_server)
    cloudreve.generator.gate.set()
    assert set(statuses(await asked)) == {200}
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)
