"""The contract of every tier, asked through the interface they have in common."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.cache.disk_tier import DiskTier
from proxy.cache.memory_tier import MemoryTier
from proxy.cache.redis_tier import RedisTier
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.picture_info import Look, PictureInfo
from proxy.domain.refusal import Refusal, RefusalKind
from tests.cache.conftest import Clock, MakeTier
from tests.harness.redis_server import RedisServer

GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab12", own=True)
OTHER_GRANT = Grant("https://cloud.example.com/x?sign=z", 1795003600.5, "ab12", own=False, version='W/"\udcff"')
REFUSAL = Refusal(RefusalKind.NOT_FOUND, 40016, "0d3cbb4c")
PICTURE = Picture("ab12", "image/png", '"v1"', bytes(range(256)))
LOOK = Look(400, 300, b"12345", "#7a8fb2")
INFO = PictureInfo("ab12.info", '"v1"', f'"{"ab" * 20}"', "image/webp", 12_000, LOOK, is_final=True)
NO_VARIANT = NoVariant("ab12.webp", '"v1"', is_final=True)
EMPTY = Picture("", "image/png", "", b"")
ENTRIES: list[Entry] = [GRANT, OTHER_GRANT, REFUSAL, PICTURE, EMPTY, NO_VARIANT, INFO]


@dataclass(frozen=True)
class Subject:
    """A tier under test, and a way to make the time to live of one of its keys run out."""

    tier: Any
    run_out: Callable[[str], Awaitable[None]]


@pytest.fixture(params=["memory", "disk", "redis", "redis over a unix socket"])
def subject(request: pytest.FixtureRequest, clock: Clock) -> Subject:
    if request.param == "memory":
        return memory_subject(clock)
    if request.param == "disk":
        return disk_subject(request.getfixturevalue("open_disk")(now=clock), clock)
    server: RedisServer = request.getfixturevalue("redis_server")
    make_tier: MakeTier = request.getfixturevalue("make_tier")
    url = server.unix_url if "unix" in request.param else server.url
    return redis_subject(make_tier(url, timeout_s=20.0).tier, server)


def memory_subject(clock: Clock) -> Subject:
    """Let time pass on the memory tier's clock."""

    async def run_out(_: str) -> None:
        clock.now += 61.0

    return Subject(MemoryTier(64 * 1024 * 1024, timer=clock), run_out)


def disk_subject(tier: DiskTier, clock: Clock) -> Subject:
    """Let time pass on the disk tier's clock."""

    async def run_out(_: str) -> None:
        clock.now += 61.0

    return Subject(tier, run_out)


def redis_subject(tier: RedisTier, server: RedisServer) -> Subject:
    """Shorten the key's life to a millisecond and wait for its end."""

    async def run_out(key: str) -> None:
        place = tier.build_key(key)
        remaining_ms = server.command("PTTL", place)
        assert isinstance(remaining_ms, int)
        assert 50_000 < remaining_ms <= 60_000
        server.command("PEXPIRE", place, 1)
        while server.command("EXISTS", place):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.001)

    return Subject(tier, run_out)


async def test_an_unknown_key_is_a_miss(subject: Subject) -> None:
    assert await subject.tier.get("g:1") is None
    assert await subject.tier.get("g:1", default=GRANT) == GRANT
    assert await subject.tier.exists("g:1") is False
    assert await subject.tier.delete("g:1") == 0
    assert await subject.tier.expire("g:1", 60) is False


@pytest.mark.parametrize("entry", ENTRIES, ids=repr)
async def test_a_stored_entry_is_found(subject: Subject, entry: Entry) -> None:
    """Each kind of entry comes back as it was, as often as it is asked for."""
    assert await subject.tier.set("k:1", entry, ttl=60.0) is True
    assert await subject.tier.get("k:1") == entry
    assert await subject.tier.get("k:1") == entry
    assert await subject.tier.exists("k:1") is True
    assert await subject.tier.get("k:2") is None


async def test_a_later_entry_replaces_the_earlier(subject: Subject) -> None:
    for entry in (GRANT, OTHER_GRANT, REFUSAL, GRANT):
        await subject.tier.set("g:1", entry, ttl=60.0)
        assert await subject.tier.get("g:1") == entry


async def test_a_deleted_entry_is_gone(subject: Subject) -> None:
    await subject.tier.set("g:1", GRANT, ttl=60.0)
    assert await subject.tier.delete("g:1") == 1
    assert await subject.tier.get("g:1") is None
    assert await subject.tier.delete("g:1") == 0


async def test_an_entry_ends_with_its_time_to_live(subject: Subject) -> None:
    await subject.tier.set("g:1", GRANT, ttl=60.0)
    assert await subject.tier.get("g:1") == GRANT
    await subject.run_out("g:1")
    assert await subject.tier.get("g:1") is None
    assert await subject.tier.exists("g:1") is False
    assert await subject.tier.delete("g:1") == 0


async def test_whole_seconds_are_seconds_too(subject: Subject) -> None:
    """To aiocache they are something else: it treats whole and broken numbers differently."""
    await subject.tier.set("g:1", GRANT, ttl=60)
    await subject.run_out("g:1")
    assert await subject.tier.get("g:1") is None


@pytest.mark.parametrize("ttl", [0, 0.0, -1, -0.5, float("-inf"), float("nan")])
async def test_an_entry_without_time_to_live_is_not_kept(subject: Subject, ttl: float) -> None:
    """A grant that is over already serves the request at hand and nobody else; nothing is kept for ever."""
    await subject.tier.set("g:1", GRANT, ttl=ttl)
    assert await subject.tier.get("g:1") is None


@pytest.mark.parametrize("ttl", [1e12, float("inf"), None])
async def test_a_very_long_time_to_live_is_taken(subject: Subject, ttl: float | None) -> None:
    await subject.tier.set("g:1", GRANT, ttl=ttl)
    assert await subject.tier.get("g:1") == GRANT


async def test_a_life_can_be_made_longer_or_ended(subject: Subject) -> None:
    """`expire` counts from now; zero ends a life, where aiocache would make it eternal."""
    await subject.tier.set("g:1", GRANT, ttl=5.0)
    assert await subject.tier.expire("g:1", 60) is True
    assert await subject.tier.get("g:1") == GRANT
    await subject.run_out("g:1")
    assert await subject.tier.get("g:1") is None
    await subject.tier.set("g:1", GRANT, ttl=5.0)
    assert await subject.tier.expire("g:1", 0) is True
    assert await subject.tier.get("g:1") is None


@pytest.mark.parametrize("size", [0, 1, 511, 20_000, 65_536, 1_000_003, 10 * 1024 * 1024])
async def test_a_body_comes_back_byte_for_byte(subject: Subject, size: int) -> None:
    picture = Picture("ab12", "image/png", "", os.urandom(size))
    await subject.tier.set("p:ab12", picture, ttl=60.0)
    found = await subject.tier.get("p:ab12")
    assert found.body == picture.body
    assert type(found.body) is bytes


@pytest.mark.parametrize("key", ["", "g:*", "g:[a-z]?\\", "ключ ключ", "a\r\nb\x00", "k" * 5000])
async def test_a_key_may_be_any_text(subject: Subject, key: str) -> None:
    await subject.tier.set(key, GRANT, ttl=60.0)
    await subject.tier.set("g:a", REFUSAL, ttl=60.0)
    assert await subject.tier.get(key) == GRANT
    assert await subject.tier.delete(key) == 1
    assert await subject.tier.get("g:a") == REFUSAL


async def test_several_are_read_and_written_in_order(subject: Subject) -> None:
    await subject.tier.multi_set([("g:1", GRANT), ("g:2", REFUSAL)], ttl=60.0)
    assert await subject.tier.multi_get(["g:2", "g:0", "g:1"]) == [REFUSAL, None, GRANT]
    assert await subject.tier.multi_get([]) == []
    await subject.run_out("g:1")
    assert await subject.tier.multi_get(["g:1"]) == [None]


async def test_clearing_leaves_nothing(subject: Subject) -> None:
    await subject.tier.multi_set([(f"g:{n}", GRANT) for n in range(1200)], ttl=60.0)
    assert await subject.tier.clear() is True
    assert await subject.tier.multi_get([f"g:{n}" for n in range(1200)]) == [None] * 1200
    assert await subject.tier.clear() is True


async def test_many_at_once_do_not_mix(subject: Subject) -> None:
    pictures = [Picture(f"{n}", "image/png", "", os.urandom(1 + n * 37)) for n in range(200)]
    await asyncio.gather(*(subject.tier.set(f"p:{p.id}", p, ttl=60.0) for p in pictures))
    found = await asyncio.gather(*(subject.tier.get(f"p:{p.id}") for p in pictures * 3))
    assert found == pictures * 3


@pytest.mark.parametrize(("call", "words"), [("add", ("g:1", GRANT)), ("increment", ("g:1",))])
async def test_verbs_that_make_no_sense_for_entries_are_not_implemented(
    subject: Subject, call: str, words: tuple[object, ...]
) -> None:
    """Entries are no numbers, and nobody needs a lock from here."""
    with pytest.raises(NotImplementedError):
        await getattr(subject.tier, call)(*words)
