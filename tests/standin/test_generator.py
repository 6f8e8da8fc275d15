"""Generation: how long it takes, who is locked out meanwhile, what a client that leaves brings about."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from proxy.standin.generator import Leaving, ThumbnailGenerator
from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import Client, Reply

ONE = "cloudreve://my/album/one.png"
TWO = "cloudreve://my/album/two.png"


async def test_the_same_file_is_locked_through_every_uri(cloudreve: StandIn, client: Client) -> None:
    """While alice's call generates, calls through shares are refused at once, in both ways by turns."""
    cloudreve.generator.gate = asyncio.Event()
    first = asyncio.create_task(client.resolve(ONE, client.target.alice))
    await cloudreve.calls.arrived("resolve")

    uris = [f"cloudreve://{share}@share/one.png" for share in (client.target.share, client.target.file_share)]
    refused = [await client.resolve(uri, token) for uri in uris for token in (None, client.target.bob)]
    cloudreve.generator.gate.set()

    assert Counter(reply.code for reply in refused) == {40073: 2, 50004: 2}
    assert (await first).code == 0
    assert [(await client.resolve(uri)).code for uri in uris] == [0, 0]


async def test_only_the_owner_learns_the_lock(cloudreve: StandIn, client: Client) -> None:
    """Others see the path that they asked for, and no token."""
    cloudreve.generator.gate = asyncio.Event()
    first = asyncio.create_task(client.resolve(ONE, client.target.alice))
    await cloudreve.calls.arrived("resolve")
    shared = f"cloudreve://{client.target.share}@share/one.png"

    locks = []
    for token in (None, None, client.target.alice, client.target.alice):
        answer = (await client.resolve(shared, token)).json
        locks += answer.get("data", [])
    cloudreve.generator.gate.set()
    await first

    assert [lock["path"] for lock in locks] == [shared, ONE]
    assert ["token" in lock for lock in locks] == [False, True]


async def test_one_file_can_be_held_back(cloudreve: StandIn, client: Client) -> None:
    gate = cloudreve.library.file("/album/one.png").gate = asyncio.Event()
    held = asyncio.create_task(client.resolve(ONE, client.target.alice))
    await cloudreve.calls.arrived("resolve")

    assert (await client.resolve(TWO, client.target.alice)).code == 0
    assert not held.done()
    gate.set()
    assert (await held).code == 0


async def test_workers_are_few(client: Client, cloudreve: StandIn) -> None:
    """With one worker, a second file waits for the first, and is locked while it waits."""
    cloudreve.generator = ThumbnailGenerator(cloudreve.library, workers=1)
    gate = cloudreve.library.file("/album/one.png").gate = asyncio.Event()
    first = asyncio.create_task(client.resolve(ONE, client.target.alice))
    await cloudreve.calls.arrived("resolve", 1)
    second = asyncio.create_task(client.resolve(TWO, client.target.alice))
    await cloudreve.calls.arrived("resolve", 2)

    assert (await client.resolve(TWO, client.target.alice)).code in {40073, 50004}
    assert not second.done()
    gate.set()
    assert [(await task).code for task in (first, second)] == [0, 0]


async def _leave(cloudreve: StandIn, client: Client, leaving: Leaving) -> None:
    """Start a generation, close its client's connection, and let the work go on."""
    cloudreve.generator.leaving = leaving
    cloudreve.generator.gate = asyncio.Event()
    task = asyncio.create_task(client.resolve(ONE, client.target.alice))
    await cloudreve.calls.arrived("resolve")
    task.cancel()
    await cloudreve.calls.ended("resolve")
    assert cloudreve.calls.of("resolve")[0].left
    cloudreve.generator.gate.set()
    await cloudreve.generator.idle()


async def _ask(client: Client) -> Reply:
    return await client.resolve(ONE, client.target.alice)


@pytest.mark.parametrize(("leaving", "ending"), [(Leaving.GOES_ON, ".png.jpg"), (Leaving.ABORTS, "_one.png._thumb")])
async def test_a_generation_may_outlive_its_client_or_not(
    cloudreve: StandIn, client: Client, leaving: Leaving, ending: str
) -> None:
    """The name of the next URL tells whether the thumbnail was there already."""
    await _leave(cloudreve, client, leaving)

    assert (await _ask(client)).url.partition("?")[0].endswith(ending)


async def test_a_client_that_leaves_may_lock_the_file(cloudreve: StandIn, client: Client) -> None:
    await _leave(cloudreve, client, Leaving.LOCKS)

    assert {(await _ask(client)).code for _ in range(4)} == {40073}
    cloudreve.generator.unlock()
    assert (await _ask(client)).code == 0
