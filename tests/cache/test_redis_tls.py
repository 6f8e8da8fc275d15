"""Redis over TLS: the certificate is checked. The server binary of the tests knows no TLS, so a relay ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.drills.storage.certificates import certify, tls
from proxy.domain.grant import Grant
from proxy.redis.circuit_breaker import State
from proxy.redis.failures import RedisFailure
from tests.cache.conftest import MakeTier
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab12", own=True)


async def test_a_trusted_certificate_is_taken(make_tier: MakeTier, redis_server: RedisServer, tmp_path: Path) -> None:
    certificate = certify(tmp_path, "127.0.0.1")
    async with Relay(redis_server.port, tls(certificate)) as relay:
        watched = make_tier(f"rediss://127.0.0.1:{relay.port}/0?ssl_ca_certs={certificate}", timeout_s=10.0)
        await watched.tier.set("g:1", GRANT, 60.0)
        assert await watched.tier.get("g:1") == GRANT
        assert watched.troubles == []
        await watched.tier.aclose()


@pytest.mark.parametrize(("address", "query"), [("127.0.0.1", ""), ("127.0.0.2", "?ssl_ca_certs={}")])
async def test_any_other_certificate_is_a_miss(
    make_tier: MakeTier, redis_server: RedisServer, tmp_path: Path, address: str, query: str
) -> None:
    """Signed by nobody known, or made out to another address: neither password nor picture is sent."""
    certificate = certify(tmp_path, address)
    async with Relay(redis_server.port, tls(certificate)) as relay:
        url = f"rediss://:hunter2@127.0.0.1:{relay.port}/0{query.format(certificate)}"
        watched = make_tier(url, timeout_s=10.0)
        await watched.tier.set("g:1", GRANT, 60.0)
        assert await watched.tier.get("g:1") is None
        assert watched.troubles == [RedisFailure.UNREACHABLE]
        assert watched.tier.state is State.PAUSED
        await watched.tier.aclose()


async def test_tls_to_a_server_without_it_is_a_miss(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """It waits for the end of a line that never comes, and its caller no longer than ever."""
    watched = make_tier(f"rediss://127.0.0.1:{redis_server.port}/0", timeout_s=0.2)
    assert await watched.tier.get("g:1") is None
    assert set(watched.troubles) <= {RedisFailure.LATE, RedisFailure.TIMEOUT, RedisFailure.UNREACHABLE}
