"""How full Redis is."""

from __future__ import annotations

from math import isnan

from redis.asyncio import Redis

from proxy.redis.usage import Usage
from tests.harness.redis_server import RedisServer


async def test_servers_are_added_up(redis_server: RedisServer) -> None:
    async with Redis.from_url(redis_server.url) as client:
        await client.config_set("maxmemory", "100mb")
        usage = Usage(lambda: [client, client])
        assert isnan(usage.used_bytes)
        await usage.ask()
        assert usage.used_bytes > 1_000_000
        assert usage.max_bytes == 2 * 100 * 2**20
        assert usage.evictions == 0
        await client.config_set("maxmemory", "0")


async def test_while_one_is_away_nothing_is_told(redis_server: RedisServer) -> None:
    """Half a sum would look like a Redis that has been emptied."""
    async with Redis.from_url(redis_server.url) as client, Redis(port=1) as away:
        usage = Usage(lambda: [client])
        await usage.ask()
        usage = Usage(lambda: [client, away])
        await usage.ask()
        assert isnan(usage.used_bytes)
