"""The client: which URLs it takes, and what its messages keep to themselves."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as NoConnection

from proxy.cache.redis_tier import RedisTier
from proxy.redis.client import PATIENCE, SPARE_CONNECTIONS, address_of, connect, connect_to, max_batches
from proxy.settings import RedisSettings

SETTINGS = RedisSettings(timeout_s=0.5, max_connections=7)


def client(url: str) -> Redis:
    return connect(address_of(SecretStr(url)), SETTINGS)


def connection(url: str) -> Connection | UnixDomainSocketConnection:
    """Build what the client would connect with."""
    made = client(url).connection_pool.make_connection()  # type: ignore[no-untyped-call]
    assert isinstance(made, Connection | UnixDomainSocketConnection)
    return made


def test_loopback_and_database() -> None:
    made = connection("redis://127.0.0.1:6380/3")
    assert isinstance(made, Connection)
    assert (made.host, made.port, made.db) == ("127.0.0.1", 6380, 3)


def test_user_and_password_may_be_percent_encoded() -> None:
    made = connection("redis://thumbs:p%40ss%2Fword@redis.example.com")
    assert isinstance(made, Connection)
    assert (made.username, made.password, made.port) == ("thumbs", "p@ss/word", 6379)


def test_tls_checks_the_certificate() -> None:
    """Unless the URL says otherwise."""
    made = connection("rediss://redis.example.com:6380/0?ssl_ca_certs=/etc/ca.pem")
    assert isinstance(made, SSLConnection)
    assert made.check_hostname
    assert made.ca_certs == "/etc/ca.pem"
    assert int(made.cert_reqs) == 2


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_sentinels_are_asked_as_carefully_as_the_server(scheme: str) -> None:
    """With TLS where it has TLS, with the same limits of time, and with a password of their own."""
    tls = "&ssl_ca_certs=/etc/ca.pem" if scheme == "rediss" else ""
    made = client(f"{scheme}+sentinel://u:p@one,two:1/thumbs/3?sentinel_password=s{tls}")
    pool = made.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    server = pool.make_connection()  # type: ignore[no-untyped-call]
    sentinels = [one.connection_pool.make_connection() for one in pool.sentinel_manager.sentinels]
    assert [(one.host, one.port, one.password, one.db) for one in sentinels] == [
        ("one", 26379, "s", 0),
        ("two", 1, "s", 0),
    ]
    assert (server.username, server.password, server.db) == ("u", "p", 3)
    for one in [server, *sentinels]:
        assert isinstance(one, SSLConnection) == (scheme == "rediss")
        assert scheme == "redis" or (one.ca_certs, one.check_hostname) == ("/etc/ca.pem", True)
        assert one.socket_timeout == one.socket_connect_timeout == 0.5 * PATIENCE
        assert (one.retry.get_retries(), one.protocol, one.driver_info) == (0, 2, None)


def test_each_server_of_a_cluster_is_reached_with_what_the_url_says() -> None:
    address = address_of(SecretStr("rediss+cluster://u:p@one,two?ssl_ca_certs=/etc/ca.pem"))
    made = connect_to("10.0.0.7", 7001, address, SETTINGS).connection_pool.make_connection()  # type: ignore[no-untyped-call]
    assert isinstance(made, SSLConnection)
    assert (made.host, made.port, made.username, made.password) == ("10.0.0.7", 7001, "u", "p")
    assert made.ca_certs == "/etc/ca.pem"


def test_a_unix_socket() -> None:
    made = connection("unix:///run/redis.sock?db=2&username=u&password=p%26")
    assert isinstance(made, UnixDomainSocketConnection)
    assert (made.path, made.db, made.username, made.password) == ("/run/redis.sock", 2, "u", "p&")


def test_a_server_that_is_away_is_given_up_quickly() -> None:
    """One try, with the time that the settings give; no greeting costs a round trip."""
    made = connection("redis://127.0.0.1")
    assert made.socket_timeout == made.socket_connect_timeout == 0.5 * PATIENCE
    assert made.retry.get_retries() == 0
    assert (made.protocol, made.driver_info, made.health_check_interval) == (2, None, 0)
    pool = client("redis://127.0.0.1").connection_pool
    assert isinstance(pool, BlockingConnectionPool)
    assert (pool.max_connections, max_batches(SETTINGS)) == (7, 7 - SPARE_CONNECTIONS)
    assert not pool.maint_notifications_enabled()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "http://user:hunter2@localhost",
        "redis:/hunter2",
        "redis://:hunter2",
        "redis://:hun/ter2@localhost",
        "redis://:hun#ter2@localhost",
        "redis://user:hunter2@localhost:hunter2",
        "redis://user:hunter2@localhost:99999",
        "redis://user:hunter2@localhost:0",
        "redis://user:hunter2@localhost/hunter2",
        "redis://user:hunter2@localhost/-1",
        "redis://user:hunter2@localhost/٣",
        "redis://user:hunter2@[::1",
        "redis:///0",
        "unix://?password=hunter2",
        "redis://user:hunter2@localhost?db=hunter2",
        "redis://user:hunter2@localhost?hunter2=1",
        "redis://user:hunter2@localhost?decode_responses=True",
        "redis://user:hunter2@localhost?socket_timeout=60",
        "redis://user:hunter2@localhost?ssl_cert_reqs=none",
        "redis://user:hunter2@localhost?protocol=3",
        "rediss://user:hunter2@localhost?ssl_cert_reqs=hunter2",
        "rediss://user:hunter2@localhost?ssl_min_version=hunter2",
        "rediss://user:hunter2@localhost?max_connections=1&retry_on_timeout=yes",
        "redis://user:hunter2@one,two",
        "redis+sentinel://user:hunter2@one,two",
        "redis+sentinel://user:hunter2@one,two/hunter2/hunter2",
        "redis+sentinel://user:hunter2@one,:26379/thumbs",
        "redis+sentinel://user:hunter2@one,two:hunter2/thumbs",
        "redis+sentinel://user:hunter2@one/thumbs?ssl_keyfile=hunter2",
        "redis+cluster://user:hunter2@one,two/1",
        "redis+cluster://user:hunter2@one?db=1",
        "redis+cluster:one?hunter2",
        "rediss+cluster://user:hunter2@one?ssl_min_version=hunter2",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(url: str) -> None:
    """At the start, not at the first visitor; redis-py would take some of these in silence."""
    with pytest.raises(ValueError, match=re.escape("redis.url")) as caught:
        client(url)
    chain = repr(caught.value), repr(caught.value.__cause__), caught.value.__suppress_context__
    assert "hunter" not in f"{chain}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_tier_needs_a_url() -> None:
    with pytest.raises(ValueError, match=r"redis\.url is not set"):
        RedisTier.from_settings(RedisSettings(), "http://cloudreve:5212")


def test_nothing_that_is_printed_shows_the_password() -> None:
    """Of the client, its pool, its connections or the tier."""
    url = SecretStr("redis://user:hunter2@localhost:6380/0")
    made_client = client(url.get_secret_value())
    tier = RedisTier.from_settings(RedisSettings(url=url), "http://cloudreve:5212")
    made = connection(url.get_secret_value())
    assert "hunter2" not in f"{made_client!r} {made_client.connection_pool!r} {made!r} {tier!r} {vars(tier)!r}"
    assert "hunter2" not in repr(address_of(url))
    sentinels = "redis+sentinel://user:hunter2@localhost/thumbs?sentinel_password=hunter2"
    assert "hunter2" not in f"{address_of(SecretStr(sentinels))!r} {client(sentinels).connection_pool!r}"


class Asked:
    """Stands in for a Sentinel's answers: they come when the test says so."""

    def __init__(self, sentinels: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: list[tuple[Redis, asyncio.Future[object]]] = []
        for sentinel in sentinels:
            monkeypatch.setattr(sentinel, "sentinel_masters", lambda sentinel=sentinel: self._ask(sentinel))

    def _ask(self, sentinel: Redis) -> asyncio.Future[object]:
        self.waiting.append((sentinel, asyncio.get_running_loop().create_future()))
        return self.waiting[-1][1]

    async def answer(self, count: int, outcome: dict[str, object] | Exception) -> None:
        """Let so many of those that are asked answer, once they are."""
        while len(self.waiting) < count:  # noqa: ASYNC110 - they are asked one by one
            await asyncio.sleep(0)
        for _, asked in [self.waiting.pop(0) for _ in range(count)]:
            if isinstance(outcome, Exception):
                asked.set_exception(outcome)
            else:
                asked.set_result({"thumbs": outcome})


async def test_no_sentinel_is_lost_when_several_look_for_the_server_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each moves the one that has answered to the front; one that is in the list no more is never closed."""
    pool = client("redis+sentinel://one,two,three/thumbs").connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    manager, all_of_them = pool.sentinel_manager, set(pool.sentinel_manager.sentinels)
    asked = Asked(manager.sentinels, monkeypatch)
    master = {"is_master": True, "is_sdown": False, "is_odown": False, "ip": "10.0.0.1", "port": 6379}
    looking = [asyncio.ensure_future(manager.discover_master("thumbs")) for _ in range(3)]
    await asked.answer(3, NoConnection("away"))
    await asked.answer(3, master | {"num-other-sentinels": 2})
    assert await asyncio.gather(*looking) == [("10.0.0.1", 6379)] * 3
    assert set(manager.sentinels) == all_of_them
    assert len(manager.sentinels) == 3
    await pool.aclose()
