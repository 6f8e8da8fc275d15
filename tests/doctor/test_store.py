"""A check-up of Redis, on real servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.doctor import store
from proxy.doctor.examination import examine
from proxy.doctor.finding import Finding, Verdict
from proxy.doctor.store import examine_redis
from proxy.settings import CloudreveSettings, RedisSettings, ServerSettings, Settings
from proxy.standin.standin import StandIn
from tests.harness.redis_server import RedisServer, free_port

StartRedis = Callable[..., RedisServer]
NOWHERE = CloudreveSettings(url="http://127.0.0.1:9")


async def examined(url: str) -> list[Finding]:
    return await examine_redis(RedisSettings.model_validate({"url": url}))


async def problem(url: str) -> str:
    """Examine one that is not well and give the only finding's text."""
    (finding,) = await examined(url)
    assert finding.verdict is Verdict.PROBLEM
    return finding.text


async def test_no_redis_is_no_problem() -> None:
    (finding,) = await examine_redis(RedisSettings())
    assert finding.verdict is Verdict.OK


async def test_workers_without_a_redis_are_advised_to_share_one() -> None:
    """Each would keep a cache of its own; pictures still come, so that it is no problem."""
    findings = await examine(Settings(cloudreve=NOWHERE, server=ServerSettings(workers=2)), None)
    (finding,) = (finding for finding in findings if finding.subject == "redis")
    assert finding.verdict is Verdict.ADVICE
    assert "redis.url" in finding.text


async def test_a_server_without_a_limit_is_advice(redis_server: RedisServer) -> None:
    """Everything else about it is well; the same by its socket."""
    for url in (redis_server.url, redis_server.unix_url):
        *others, limit = await examined(url)
        assert {finding.verdict for finding in others} == {Verdict.OK}
        assert limit.verdict is Verdict.ADVICE
        assert "maxmemory" in limit.text


async def test_a_server_that_refuses_writes_when_full_is_advice(start_redis: StartRedis) -> None:
    server = start_redis(maxmemory="8mb")
    assert "allkeys-lru" in (await examined(server.url))[-1].text


async def test_a_server_that_is_full_is_a_problem(start_redis: StartRedis) -> None:
    server = start_redis(maxmemory="1kb")
    assert [finding.text for finding in await examined(server.url) if finding.verdict is Verdict.PROBLEM] == [
        "Redis does not let the gateway write: its memory is full."
    ]


async def test_a_wrong_password_is_told_without_showing_it(start_redis: StartRedis) -> None:
    server = start_redis(requirepass="right")
    told = await problem(f"redis://:S3CRET@127.0.0.1:{server.port}")
    assert "does not accept the user name or password" in told
    assert "S3CRET" not in told
    assert "does not accept" in await problem(server.url)
    assert (await examined(f"redis://:right@127.0.0.1:{server.port}"))[0].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("password=S3CRET", "does not accept the user name or password"),
        ("", "does not accept the user name or password"),
        ("password=right&db=99", "no database of the number"),
    ],
)
async def test_a_refusal_of_redis_over_a_unix_socket_is_reported(
    options: str, told: str, start_redis: StartRedis
) -> None:
    """There redis-py wraps the refusal."""
    server = start_redis(requirepass="right")
    text = await problem(f"{server.unix_url}?{options}")
    assert told in text
    assert "S3CRET" not in text


async def test_a_database_that_is_not_there_is_told(redis_server: RedisServer) -> None:
    assert "no database of the number" in await problem(f"redis://127.0.0.1:{redis_server.port}/99")


async def test_a_server_that_is_no_redis_is_reported() -> None:
    async with StandIn() as web:
        assert "is no Redis; is the port" in await problem(web.own_url.replace("http://", "redis://"))
        assert "no TLS" in await problem(web.own_url.replace("http://", "rediss://"))


async def test_a_user_with_few_rights_is_enough(start_redis: StartRedis) -> None:
    server = start_redis()
    server.command("ACL", "SETUSER", "few", "on", ">pw", "~thumb-proxy:*", "+get", "+set", "+del", "+ping")
    few = f"redis://few:pw@127.0.0.1:{server.port}"
    assert [finding.verdict for finding in await examined(few)] == [Verdict.OK, Verdict.OK, Verdict.ADVICE]
    server.command("ACL", "SETUSER", "few", "-set")
    assert [finding.verdict for finding in await examined(few)] == [Verdict.OK, Verdict.PROBLEM, Verdict.ADVICE]


async def test_a_read_only_replica_is_a_problem(start_redis: StartRedis) -> None:
    """The gateway would never fill it."""
    server = start_redis()
    server.command("REPLICAOF", "127.0.0.1", free_port())
    assert any("read-only replica" in finding.text for finding in await examined(server.url))


async def test_no_server_at_all_is_told_in_the_systems_words() -> None:
    """A port where nobody listens, a socket that is not there, a host of no name."""
    assert "connection refused" in await problem(f"redis://127.0.0.1:{free_port()}")
    assert "no such file" in await problem("unix:///nowhere/redis.sock")
    assert "none of the servers" in await problem(f"redis+cluster://127.0.0.1:{free_port()}")
    assert "no Sentinel" in await problem(f"redis+sentinel://127.0.0.1:{free_port()}/thumbs")


async def test_a_cluster_is_examined_like_a_server(start_redis: StartRedis) -> None:
    """Also when the first of its servers that the URL names is away."""
    server = start_redis(**{"cluster-enabled": "yes"})
    server.command("CLUSTER", "ADDSLOTS", *range(16384))
    while "cluster_state:ok" not in str(server.command("CLUSTER", "INFO")):
        pass
    for first in ("", f"127.0.0.1:{free_port()},"):
        *others, limit = await examined(f"redis+cluster://{first}127.0.0.1:{server.port}")
        assert {finding.verdict for finding in others} == {Verdict.OK}
        assert limit.verdict is Verdict.ADVICE


async def test_a_server_that_hangs_is_told(start_redis: StartRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PATIENCE_S", 0.1)
    server = start_redis()
    server.freeze()
    assert "no answer within" in await problem(server.url)


@pytest.mark.parametrize(
    ("info", "verdict", "name"),
    [
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, Verdict.OK, "Valkey 8.0.1"),
        ({"redis_version": "6.2.0"}, Verdict.OK, "Redis 6.2.0"),
        ({"redis_version": "6.0.16"}, Verdict.PROBLEM, "Redis 6.0.16"),
        ({"redis_version": "10.0"}, Verdict.OK, "Redis 10.0"),
        ({}, Verdict.PROBLEM, "Redis"),
    ],
)
def test_the_version_has_to_be_recent(info: dict[str, str], verdict: Verdict, name: str) -> None:
    """6.2 and later, and every Valkey, which calls itself a Redis 7.2."""
    finding = store.version(info)
    assert finding.verdict is verdict
    assert name in finding.text
