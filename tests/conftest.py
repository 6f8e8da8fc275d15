"""Fixtures of several rooms: an environment without settings, a real Redis, stand-ins of Cloudreve, and gateways."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.harness.fixtures import cloudreve, gateway, hours, launcher, site, site_gateway
from tests.harness.redis_server import RedisServer
from tests.harness.scripted_cloudreve import scripted

__all__ = ["cloudreve", "gateway", "hours", "launcher", "scripted", "site", "site_gateway"]

StartRedis = Callable[..., RedisServer]


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the machine's own environment might hold."""
    for name in list(os.environ):
        if name.upper().startswith("THUMB_PROXY_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run one server for the whole session; tests take `redis_server`, which is empty."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """Give an empty server that the test must leave running."""
    shared_redis.command("FLUSHALL")
    return shared_redis


@pytest.fixture
def start_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRedis]:
    """Give a function that starts a server of the test's own, to be stopped, killed or frozen at will."""
    servers: list[RedisServer] = []

    def start(**options: str) -> RedisServer:
        servers.append(RedisServer(tmp_path_factory.mktemp("redis"), **options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.kill()
