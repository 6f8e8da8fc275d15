"""A crowd of one: whoever wants ten thousand pictures at once keeps nobody else from theirs."""

from __future__ import annotations

import asyncio

import pytest

from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, in_share, statuses, until

SLOTS = 2
GREEDY, MODEST = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
WISHES = 600
FEW = 3 * SLOTS


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that lets two resolve at a time, and two hundred wait of each visitor."""
    return await launcher.open(cloudreve={"max_resolves": SLOTS, "max_waiting": 800})


@pytest.fixture
async def crowd(cloudreve: StandIn, gateway: GatewayClient) -> list[asyncio.Task[int]]:
    """Let one visitor ask for hundreds of cold pictures, of which none is ready."""
    cloudreve.generator.gate = asyncio.Event()
    _, uris = cloudreve.library.gallery(WISHES)

    async def wish(uri: str) -> int:
        return (await gateway.ask(uri, **GREEDY)).status

    tasks = [asyncio.create_task(wish(uri)) for uri in uris]
    await until(lambda: sum(task.done() for task in tasks) == WISHES - 200)
    await cloudreve.calls.arrived("resolve", SLOTS)
    return tasks


async def test_another_s_single_wish_waits_for_a_few_resolves(
    cloudreve: StandIn, gateway: GatewayClient, crowd: list[asyncio.Task[int]]
) -> None:
    """Not for the two hundred that came before it; beyond these the greedy one is sent away, and told when to come."""
    assert {task.result() for task in crowd if task.done()} == {503}
    modest = asyncio.create_task(gateway.ask(in_share(cloudreve), cloudreve.token("alice"), **MODEST))
    await cloudreve.calls.ended("whoami")
    for _ in range(50):  # so many steps, at most, lie between that answer and the queue
        await asyncio.sleep(0)
    assert cloudreve.generator.gate is not None
    cloudreve.generator.gate.set()
    assert (await modest).status == 200
    order = [call.target for call in cloudreve.calls.of("resolve")]
    assert order.index(in_share(cloudreve)) <= FEW
    assert set(await asyncio.gather(*crowd)) == {200, 503}


async def test_a_picture_that_both_want_waits_for_a_few_resolves(
    cloudreve: StandIn, gateway: GatewayClient, crowd: list[asyncio.Task[int]]
) -> None:
    """It is near the end of the greedy one's queue when the modest one joins in."""
    waiting = [number for number, task in enumerate(crowd) if not task.done()]
    share = list(cloudreve.library.shares)[-1]
    uri = f"cloudreve://{share}@share/{waiting[-1]}.png"
    modest = asyncio.create_task(gateway.ask(uri, **MODEST))
    await until(lambda: gateway.count("collapsed_total", flight="grant") == 1)
    assert cloudreve.generator.gate is not None
    cloudreve.generator.gate.set()
    assert (await modest).status == 200
    order = [call.target for call in cloudreve.calls.of("resolve")]
    assert order.index(uri) <= FEW
    await asyncio.gather(*crowd)
    assert len(order) == len(set(order))


async def test_hits_are_served_meanwhile(cloudreve: StandIn, gateway: GatewayClient) -> None:
    known = await gateway.ask(in_share(cloudreve), **MODEST)
    cloudreve.generator.gate = asyncio.Event()
    _, uris = cloudreve.library.gallery(WISHES)
    asked = asyncio.gather(*(gateway.ask(uri, **GREEDY) for uri in uris))
    await cloudreve.calls.arrived("resolve", 1 + SLOTS)
    for headers in (MODEST, GREEDY):
        reply = await gateway.ask(in_share(cloudreve), **headers)
        assert reply.is_hit
        assert reply.body == known.body
    cloudreve.generator.gate.set()
    replies = await asked
    assert set(statuses(replies)) == {200, 503}
    assert {reply.headers["Retry-After"] for reply in replies if reply.status == 503} == {"2"}
