"""Many want one thing: it is done once, for all of them, and for whoever comes after they have left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.standin.faults import Hang, Says, json_body
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, TWO, GatewayClient, GatewayLauncher, Reply, in_share, statuses, until
from tests.harness.held_fault import Held
from tests.harness.redis_server import RedisServer

MANY = 50


@asynccontextmanager
async def together(
    gateway: GatewayClient, uri: str, count: int, flight: str = "grant", **who: str
) -> AsyncIterator[list[asyncio.Task[Reply]]]:
    """Have visitors ask until all of them wait for one flight."""
    tasks = [asyncio.create_task(gateway.ask(uri, **who)) for _ in range(count)]
    await until(lambda: gateway.count("collapsed_total", flight=flight) >= count - 1)
    yield tasks
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def gate(cloudreve: StandIn) -> asyncio.Event:
    """Hold back every thumbnail until this is set."""
    cloudreve.generator.gate = asyncio.Event()
    return cloudreve.generator.gate


async def leave(tasks: list[asyncio.Task[Reply]]) -> None:
    """Close the connections of those who ask."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_together_cost_one_resolve_and_one_fetch(
    cloudreve: StandIn, gateway: GatewayClient, gate: asyncio.Event
) -> None:
    """All get the same picture; all but one waited for another's flight, and their answers say so."""
    async with together(gateway, in_share(cloudreve), MANY) as tasks:
        gate.set()
        replies = await asyncio.gather(*tasks)
    assert statuses(replies) == [200] * MANY
    assert len({reply.body for reply in replies}) == 1
    assert sum("; collapsed" in reply.headers["Cache-Status"] for reply in replies) == MANY - 1
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


async def test_each_identity_resolves_for_itself_and_all_share_one_fetch(
    cloudreve: StandIn, gateway: GatewayClient, gate: asyncio.Event
) -> None:
    """One after the other while the thumbnail is being generated, so that none of them meets a lock."""
    tokens = [cloudreve.token("alice"), cloudreve.token("bob"), None]
    tasks = [asyncio.create_task(gateway.ask(in_share(cloudreve), token)) for token in tokens * 4]
    await until(lambda: gateway.count("collapsed_total", flight="grant") >= len(tasks) - len(tokens))
    await cloudreve.calls.arrived("resolve")
    assert cloudreve.calls.count("resolve") == 1
    gate.set()
    assert statuses(await asyncio.gather(*tasks)) == [200] * len(tasks)
    users = {cloudreve.library.alice.id, cloudreve.library.bob.id, "anonymous"}
    assert sorted(call.identity for call in cloudreve.calls.of("resolve")) == sorted(users)
    assert {call.code for call in cloudreve.calls.of("resolve")} == {0}
    assert cloudreve.calls.count("fetch") == 1


async def test_many_together_ask_once_whose_a_token_is(cloudreve: StandIn, gateway: GatewayClient) -> None:
    hang = Hang()
    cloudreve.fail("whoami", hang, times=1)
    async with together(gateway, ONE, MANY, "identity", token=cloudreve.token()) as tasks:
        hang.until.set()
        assert statuses(await asyncio.gather(*tasks)) == [200] * MANY
    assert cloudreve.calls.count("whoami") == 1


async def test_the_visitor_who_started_a_download_may_leave(
    cloudreve: StandIn, gateway: GatewayClient, gate: asyncio.Event
) -> None:
    """The others get the picture from the flight that it began; Cloudreve sees nobody leave."""
    first = asyncio.create_task(gateway.ask(in_share(cloudreve)))
    await cloudreve.calls.arrived("resolve")
    async with together(gateway, in_share(cloudreve), 3) as tasks:
        await leave([first])
        gate.set()
        assert statuses(await asyncio.gather(*tasks)) == [200] * 3
    assert [(call.code, call.left) for call in cloudreve.calls.of("resolve")] == [(0, False)]


async def test_all_may_leave_and_the_next_visitor_profits(
    cloudreve: StandIn, gateway: GatewayClient, gate: asyncio.Event
) -> None:
    """The resolve comes to its end without anybody waiting; who comes next finds the grant."""
    async with together(gateway, in_share(cloudreve), 3) as tasks:
        await leave(tasks)
    gate.set()
    await cloudreve.calls.ended("resolve")
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert [(call.code, call.left) for call in cloudreve.calls.of("resolve")] == [(0, False)]


async def test_all_may_leave_while_the_picture_comes_and_the_next_visitor_hits(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    hang = Hang()
    cloudreve.fail("fetch", hang, times=1)
    async with together(gateway, in_share(cloudreve), 3) as tasks:
        await cloudreve.calls.arrived("fetch")
        await leave(tasks)
    hang.until.set()
    await cloudreve.calls.ended("fetch")
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert (await gateway.ask(in_share(cloudreve))).is_hit
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


@pytest.mark.parametrize("verb", ["whoami", "resolve", "fetch"])
async def test_a_failure_is_shared_and_not_stored(cloudreve: StandIn, gateway: GatewayClient, verb: str) -> None:
    """All who waited hear of it, by one call; who comes after them asks again."""
    held = Held(Says(b"rubbish", "text/plain"))
    flight = {"whoami": "identity", "resolve": "grant", "fetch": "picture"}[verb]
    cloudreve.fail(verb, held, times=1)  # type: ignore[arg-type]
    async with together(gateway, ONE, 10, flight, token=cloudreve.token()) as tasks:
        held.until.set()
        assert statuses(await asyncio.gather(*tasks)) == [502] * 10
    assert (await gateway.ask(ONE, cloudreve.token())).status == 200


@pytest.mark.parametrize("shared", [False, True])
async def test_a_rejected_grant_is_replaced_once_for_all_who_had_it(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer, shared: bool
) -> None:
    """Ten visitors learn together that their grant is void, and share the new one."""
    gateway = await launcher.open(redis={"url": redis_server.url, "timeout_s": 5.0} if shared else {})
    held = Held(json_body('{"code":40077}'))
    cloudreve.fail("fetch", held, times=1)
    async with together(gateway, in_share(cloudreve), 10, "picture") as tasks:
        held.until.set()
        assert statuses(await asyncio.gather(*tasks)) == [200] * 10
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 2)


async def test_loads_beyond_the_bound_are_refused_at_once_and_hits_go_on(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """503 with Retry-After for one more cold picture; who wants one that is under way may still wait for it."""
    gateway = await launcher.open(cloudreve={"max_waiting": 2})
    alice, bob = cloudreve.token("alice"), cloudreve.token("bob")
    assert (await gateway.ask(TWO, alice)).status == 200
    cloudreve.generator.gate = gate = asyncio.Event()
    cold = ((ONE, alice), ("cloudreve://my/bob.png", bob))
    tasks = [asyncio.create_task(gateway.ask(uri, who, etag="*")) for uri, who in cold]
    await cloudreve.calls.arrived("resolve", 3)
    for uri, token in ((in_share(cloudreve, "three.png"), None), ("cloudreve://my/album/three.png", alice)):
        refused = await gateway.ask(uri, token)
        assert (refused.status, refused.headers["Retry-After"], refused.problem["title"]) == (
            503,
            "2",
            "Service Unavailable",
        )
    assert (await gateway.ask(TWO, alice)).is_hit
    async with together(gateway, ONE, 2, token=alice, etag="*") as late:
        gate.set()
        assert statuses(await asyncio.gather(*tasks, *late)) == [304] * 4
    assert (await gateway.ask(in_share(cloudreve, "three.png"))).status == 200


async def test_one_visitor_does_not_take_all_places(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """A quarter of the places is anybody's share: more is refused, and another visitor's picture is made meanwhile."""
    gateway = await launcher.open(cloudreve={"max_waiting": 8})
    cloudreve.generator.gate = gate = asyncio.Event()
    alice = cloudreve.token("alice")
    tasks = [asyncio.create_task(gateway.ask(uri, alice)) for uri in (ONE, TWO)]
    await cloudreve.calls.arrived("resolve", 2)
    refused = await gateway.ask("cloudreve://my/album/three.png", alice)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
    cloudreve.generator.gate = None
    assert (await gateway.ask("cloudreve://my/bob.png", cloudreve.token("bob"))).status == 200
    gate.set()
    assert statuses(await asyncio.gather(*tasks)) == [200, 200]
