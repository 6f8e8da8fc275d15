"""The demo's Redis: there while it is needed, gone afterwards, and missing where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from proxy.demo import redis_server as module
from proxy.demo.redis_server import redis_server


async def test_the_redis_of_the_demo_answers_on_its_own_socket_and_is_gone_afterwards() -> None:
    async with redis_server() as url:
        assert url is not None
        socket = Path(url.removeprefix("unix://"))
        async with Redis.from_url(url) as redis:
            assert await redis.ping()
            assert (await redis.config_get("save"))["save"] == ""

    assert not socket.parent.exists()


async def test_without_a_server_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "binary", lambda: None)

    async with redis_server() as url:
        assert url is None


async def test_a_server_that_does_not_start_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "binary", lambda: "/bin/false")

    async with redis_server() as url:
        assert url is None
