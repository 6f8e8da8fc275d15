"""A connection to Redis: replies go to their own requests, in whatever pieces they come, or the connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as NoReply

from proxy.background_tasks import BackgroundTasks
from proxy.redis.client import address_of, connect
from proxy.redis.pipeline_connection import PipelineConnection
from proxy.redis.pipeline_pool import PipelinePool
from proxy.settings import RedisSettings
from tests.harness.gateways import until
from tests.harness.redis_server import RedisServer


def client_of(url: str) -> Redis:
    settings = RedisSettings.model_validate({"url": url})
    assert settings.url is not None
    return connect(address_of(settings.url), settings)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AbstractConnection]:
    client = client_of(url)
    yield await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    await client.aclose()


class Peer(asyncio.Protocol):
    """A server that replies what the test says."""

    def __init__(self) -> None:
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of it."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none by name

    def data_received(self, data: bytes) -> None:
        """Take note of what was asked."""
        self.received += data


@asynccontextmanager
async def talking(timeout_s: float = 10.0) -> AsyncIterator[tuple[PipelineConnection, Peer]]:
    """Connect a wire to a server that replies what the test says."""
    peer = Peer()
    server = await asyncio.get_running_loop().create_server(lambda: peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with connected(f"redis://127.0.0.1:{port}") as connection:
            yield PipelineConnection(connection, timeout_s), peer
    finally:
        server.close()


async def replied(peer: Peer, *pieces: bytes) -> None:
    """Send pieces one by one, each in a segment of its own, as soon as something was asked."""
    await until(lambda: bool(peer.received))
    assert peer.transport is not None
    for piece in pieces:
        peer.transport.write(piece)
        await asyncio.sleep(0.001)


async def test_replies_come_in_their_order_with_errors_among_them(redis_server: RedisServer) -> None:
    """As redis-py reads them."""
    redis_server.command("SET", "text", b"\x00\xff" * 5000)
    async with connected(redis_server.url) as connection:
        pipeline = PipelineConnection(connection, 10.0)
        for _ in range(3):
            replies = await pipeline.exchange(
                [("GET", "text"), ("NO-SUCH",), ("MGET", "text", "none"), ("EXISTS", "text")]
            )
            assert replies[0] == b"\x00\xff" * 5000
            assert isinstance(replies[1], ResponseError)
            assert replies[2:] == [[b"\x00\xff" * 5000, None], 1]


async def test_a_unix_socket_is_taken_over_as_well(redis_server: RedisServer) -> None:
    """Whatever redis-py connects."""
    async with connected(redis_server.unix_url) as connection:
        assert await PipelineConnection(connection, 10.0).exchange([("PING",)]) == [b"PONG"]


async def test_a_reply_may_be_split_at_every_byte() -> None:
    whole = b"$3\r\nabc\r\n*2\r\n:7\r\n$-1\r\n"
    async with talking() as (pipeline, peer):
        exchanged = pipeline.exchange([("A",), ("B",)])
        await replied(peer, *(whole[n : n + 1] for n in range(len(whole))))
        assert await exchanged == [b"abc", [7, None]]


@pytest.mark.parametrize("extra", [b"+unasked\r\n", b"$3\r\nab"])
async def test_a_reply_that_nobody_asked_for_ends_the_connection(extra: bytes) -> None:
    """The next request would be given it; what has come whole before is the request's own."""
    async with talking() as (pipeline, peer):
        exchanged = pipeline.exchange([("A",)])
        await replied(peer, b"+own\r\n" + extra)
        assert await exchanged == [b"own"]
        assert not pipeline.is_open
        await pipeline.lost


@pytest.mark.parametrize(
    ("pieces", "ends", "error"),
    [
        ((b"!nonsense\r\n",), False, InvalidResponse),
        ((b"$10\r\nhalf",), True, NoConnection),
        ((), True, NoConnection),
    ],
)
async def test_a_connection_that_breaks_off_is_an_error(
    pieces: tuple[bytes, ...], ends: bool, error: type[Exception]
) -> None:
    """For all that was asked together: who got what cannot be told."""
    async with talking() as (pipeline, peer):
        exchanged = pipeline.exchange([("A",), ("B",)])
        await replied(peer, *pieces)
        assert peer.transport is not None
        if ends:
            peer.transport.close()
        with pytest.raises(error):
            await exchanged
        await pipeline.lost
        assert not pipeline.is_open


async def test_no_reply_in_time_ends_the_connection() -> None:
    """One that came later would be another's."""
    async with talking(timeout_s=0.01) as (pipeline, _):
        with pytest.raises(NoReply):
            await pipeline.exchange([("A",)])
        await pipeline.lost


async def test_closing_fails_what_is_under_way() -> None:
    async with talking() as (pipeline, _):
        exchanged = pipeline.exchange([("A",)])
        pipeline.close()
        with pytest.raises(NoConnection):
            await exchanged
        await pipeline.lost


@pytest.fixture
async def pool(redis_server: RedisServer) -> AsyncIterator[PipelinePool]:
    client, tasks = client_of(redis_server.url), BackgroundTasks()
    made = PipelinePool(client.connection_pool, 10.0, tasks)
    yield made
    await made.aclose(1.0)
    await tasks.aclose(1.0)
    await client.aclose()


def connections(server: RedisServer) -> int:
    """Count those that are open, apart from the one that asks."""
    return int(server.info("clients")["connected_clients"]) - 1


async def test_commands_one_after_the_other_take_one_connection(pool: PipelinePool, redis_server: RedisServer) -> None:
    for _ in range(5):
        assert await pool.exchange([("PING",)]) == [b"PONG"]
    assert connections(redis_server) == 1
    assert await asyncio.gather(*(pool.exchange([("ECHO", str(n))]) for n in range(3))) == [
        [str(n).encode()] for n in range(3)
    ]
    assert connections(redis_server) == 3


async def test_a_connection_that_was_lost_is_replaced(pool: PipelinePool, redis_server: RedisServer) -> None:
    for _ in range(20):
        assert await pool.exchange([("PING",)]) == [b"PONG"]
        redis_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: connections(redis_server) == 0)
        await asyncio.sleep(0.001)
    assert await pool.exchange([("PING",)]) == [b"PONG"]


async def test_dropping_what_is_idle_leaves_what_is_under_way(pool: PipelinePool, redis_server: RedisServer) -> None:
    await asyncio.gather(*(pool.exchange([("PING",)]) for _ in range(3)))
    blocked = pool.exchange([("BLPOP", "list", "0")])
    pool.drop_idle()
    await until(lambda: connections(redis_server) == 1)
    redis_server.command("RPUSH", "list", "x")
    assert await blocked == [[b"list", b"x"]]


async def test_closing_waits_for_what_is_under_way_so_long(redis_server: RedisServer) -> None:
    client, tasks = client_of(redis_server.url), BackgroundTasks()
    made = PipelinePool(client.connection_pool, 10.0, tasks)
    ends, hangs = made.exchange([("BLPOP", "list", "0")]), made.exchange([("BLPOP", "other", "0")])
    await until(lambda: redis_server.info("clients")["blocked_clients"] == 2)
    closing = asyncio.create_task(made.aclose(0.2))
    await asyncio.sleep(0)
    redis_server.command("RPUSH", "list", "x")
    assert await ends == [[b"list", b"x"]]
    await closing
    with pytest.raises(NoConnection):
        await hangs
    await tasks.aclose(1.0)
    await client.aclose()
    await until(lambda: connections(redis_server) == 0)


async def test_a_connection_that_stands_after_closing_is_closed(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting may take longer than anybody waits for at the end; nothing is left for the garbage collector."""
    client, tasks = client_of(redis_server.url), BackgroundTasks()
    may_go_on, get_connection = asyncio.Event(), client.connection_pool.get_connection

    async def slowly() -> AbstractConnection:
        connection: AbstractConnection = await get_connection()  # type: ignore[no-untyped-call]
        await may_go_on.wait()
        return connection

    monkeypatch.setattr(client.connection_pool, "get_connection", slowly)
    made = PipelinePool(client.connection_pool, 10.0, tasks)
    exchanged = made.exchange([("PING",)])
    await until(lambda: connections(redis_server) == 1)
    await made.aclose(0.0)
    may_go_on.set()
    with pytest.raises(NoConnection):
        await exchanged
    await tasks.aclose(1.0)
    await until(lambda: connections(redis_server) == 0)
    await client.aclose()


async def test_a_server_that_is_not_there_is_an_error(redis_server: RedisServer) -> None:
    """Redis-py says which."""
    client, tasks = client_of("redis://127.0.0.1:1"), BackgroundTasks()
    with pytest.raises(NoConnection):
        await PipelinePool(client.connection_pool, 10.0, tasks).exchange([("PING",)])
    await tasks.aclose(1.0)
    await client.aclose()
