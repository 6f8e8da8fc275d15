"""The whole, put together and taken apart: ports, settings that meet, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
from pathlib import Path

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from structlog.testing import capture_logs

from proxy.standin.standin import StandIn
from proxy.wiring.process import running
from tests.harness.gateways import gateway_of, in_share, settings_for
from tests.harness.redis_server import RedisServer

NOWHERE = "http://127.0.0.1:1"
SECRET = "0123456789abcdef" * 4


async def test_a_gateway_starts_without_its_cloudreve() -> None:
    """Ready to say so to visitors: waiting for Cloudreve would keep all replicas down with it."""
    async with gateway_of(NOWHERE) as gateway:
        assert (await gateway.send("GET", "/readyz")).status == 200
        reply = await gateway.ask("cloudreve://abcd@share/one.png")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "2")


async def test_without_a_private_name_of_aiohttp_its_own_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast path is off, no request is answered worse, and the log says which name and what to do."""
    monkeypatch.delattr(BaseProtocol, "_pause_reading_for_buffer")
    with capture_logs() as told:
        async with StandIn(size=(40, 30)) as site, gateway_of(site.own_url) as gateway:
            replies = [await gateway.ask(in_share(site)) for _ in range(4)]
            assert (await gateway.send("GET", "/nowhere/at/all")).headers["Server"] == "thumb-proxy"
    assert [(reply.status, reply.is_hit) for reply in replies] == [(200, False), *[(200, True)] * 3]
    assert gateway.running.hits.size_bytes == 0
    (warning,) = [entry for entry in told if entry["event"].startswith("fast path")]
    assert "has no RequestHandler._pause_reading_for_buffer" in warning["reason"]
    assert "requirements.txt" in warning["advice"]


async def test_ports_are_closed_behind_it() -> None:
    async with running(settings_for(NOWHERE)) as gateway:
        ports = gateway.port, gateway.admin_port
    assert len(set(ports)) == 2
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


async def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    """The parts that had been built by then are closed again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = settings_for(NOWHERE, server={"port": taken.getsockname()[1]})
        with pytest.raises(OSError, match="address already in use"):
            async with running(settings):
                raise AssertionError
    gc.collect()
    assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr]


async def test_two_run_beside_each_other_without_a_trace_of_one_in_the_other() -> None:
    """No state is global: metrics, tiers and clocks are each one's own."""
    async with StandIn(size=(40, 30)) as site, gateway_of(site.own_url) as one, gateway_of(site.own_url) as other:
        await one.ask(in_share(site))
        assert (one.count("requests_total", outcome="miss"), other.count("requests_total", outcome="miss")) == (1, 0)
        assert not (await other.ask(in_share(site))).is_hit


async def test_a_gateway_can_be_started_again_and_again(redis_server: RedisServer) -> None:
    """In one process, with Redis: every task, connection and subscription ends with it."""
    async with StandIn(size=(40, 30)) as site:
        for _ in range(3):
            async with gateway_of(site.own_url, redis={"url": redis_server.url}) as gateway:
                assert (await gateway.ask(in_share(site))).status == 200
        tasks = {task for task in asyncio.all_tasks() if "proxy/demo" not in str(task) and "aiohttp" not in str(task)}
        assert tasks == {asyncio.current_task()}
    gc.collect()
    clients = redis_server.command("CLIENT", "LIST")
    assert isinstance(clients, bytes)
    assert clients.count(b"\n") == 1  # this very question


async def test_head_lines_may_be_as_long_as_the_settings_say() -> None:
    """And no longer: a token of a few kilobytes passes, a megabyte of header does not."""
    async with gateway_of(NOWHERE, server={"max_header_bytes": 8192, "max_uri_bytes": 4096}) as gateway:
        for size, status in ((7000, 503), (9000, 431)):
            reply = await gateway.send("GET", "/thumb?uri=cloudreve://abcd@share/x", {"X-Long": "x" * size})
            assert reply.status == status
        with pytest.raises((aiohttp.ClientError, AssertionError)):
            assert (await gateway.send("GET", "/healthz", {"X-Long": "x" * 1_000_000})).status == 200


@pytest.mark.parametrize(("keys", "stores", "told"), [([SECRET], False, 1), ([SECRET], True, 0), ([], False, 0)])
async def test_a_process_that_forgets_what_sealed_urls_outlive_says_so(
    tmp_path: Path, keys: list[str], stores: bool, told: int
) -> None:
    """With lasting keys and no store: a URL that was purged would open again after a restart."""
    sections = {"disk": {"path": str(tmp_path / "cache")}} if stores else {}
    with capture_logs() as entries:
        async with running(settings_for(NOWHERE, seal={"keys": keys}, **sections)):
            pass
    assert len([entry for entry in entries if "purges" in entry["event"]]) == told
