"""The surroundings of the routes: health, metrics, the line per request, and answers to bytes that are no request."""

from __future__ import annotations

import asyncio
import gc

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.http.connection import Connection
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    return await launcher.open()


async def test_both_ports_say_whether_they_live_and_may_take_traffic(gateway: GatewayClient) -> None:
    for base in (gateway.base, gateway.admin):
        for path, word in (("/healthz", b"alive\n"), ("/readyz", b"ready\n")):
            reply = await gateway.send("GET", base + path)
            assert (reply.status, reply.body, reply.headers["Cache-Control"]) == (200, word, "no-store")
            assert (await gateway.send("HEAD", base + path)).status == 200


async def test_metrics_are_for_operators_alone(gateway: GatewayClient) -> None:
    """They are not on the visitors' port, nor are pictures on the operators'."""
    assert (await gateway.send("GET", "/metrics")).status == 404
    shown = await gateway.send("GET", f"{gateway.admin}/metrics")
    assert shown.headers["Content-Type"].startswith("text/plain; version=")
    assert b"thumb_proxy_requests_total" in shown.body
    assert (await gateway.send("GET", f"{gateway.admin}/thumb?uri={ONE}")).status == 404


async def test_requests_are_counted_by_how_they_ended(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Hits, misses, 304s and each kind of no; bytes of pictures sent and fetched; where things were found."""
    uri = in_share(cloudreve)
    first = await gateway.ask(uri)
    await gateway.ask(uri)
    await gateway.ask(uri, etag=first.etag)
    await gateway.ask(uri, method="HEAD")
    await gateway.ask(ONE)
    await gateway.ask(ONE, cloudreve.token()[:-6] + "AAAAAA")
    await gateway.ask("nonsense")
    outcomes = {"miss": 1, "not_modified": 1, "refused_unauthenticated": 1, "invalid_token": 1, "bad_request": 1}
    for outcome, count in outcomes.items():
        assert gateway.count("requests_total", outcome=outcome) == count, outcome
    assert gateway.count("requests_total", outcome="hit") == 2
    assert gateway.count("sent_bytes_total") == 2 * len(first.body)
    assert gateway.count("fetched_bytes_total") == len(first.body)
    assert gateway.count("upstream_calls_total", verb="resolve", outcome="refusal") == 1
    assert gateway.count("upstream_calls_total", verb="whoami", outcome="refusal") == 1
    assert gateway.count("memory_bytes") > len(first.body)


async def test_each_request_has_one_line_that_holds_nothing_of_it(
    cloudreve: StandIn, gateway: GatewayClient, log_entries: list[dict[str, object]]
) -> None:
    """Method, route, status, outcome and time, and of errors an id and digests; health checks have none."""
    await gateway.ask(in_share(cloudreve))
    await gateway.ask(ONE, method="HEAD")
    await gateway.send("GET", "/not/there?secret")
    await gateway.send("GET", "/healthz")
    lines = [entry for entry in log_entries if entry["event"] == "request"]
    assert [line.pop("ms") is not None for line in lines] == [True] * 3
    told = [{name for name in ("request_id", "file", "visitor") if line.pop(name, None)} for line in lines]
    assert told == [set(), {"request_id", "file", "visitor"}, {"request_id", "visitor"}]
    assert [line.pop("code", None) for line in lines] == [None, 401, None]
    for line in lines:
        line.pop("correlation_id", None)
        line.pop("client", None)
    common = {"event": "request", "log_level": "info"}
    assert lines == [
        {"method": "GET", "route": "/thumb", "status": 200, "outcome": "miss", **common},
        {"method": "HEAD", "route": "/thumb", "status": 401, "outcome": "refused_unauthenticated", **common},
        {"method": "GET", "route": "none", "status": 404, "outcome": "no_such_route", **common},
    ]


@pytest.mark.parametrize("path", ["/thumb/", "/thumbs", "/THUMB", "//thumb", "/thumb/s/", "/%74humb/x", "/../thumb/"])
async def test_a_path_that_does_not_exist_is_a_problem(gateway: GatewayClient, path: str) -> None:
    reply = await gateway.send("GET", path)
    assert reply.status in (403, 404)
    assert reply.problem["status"] == reply.status
    assert path not in reply.body.decode()


@pytest.mark.parametrize("port", ["visitors", "operators"])
@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /thumb HTTP/1.1\r\nHost: x\r\nsecret header\r\n\r\n", 400),
        (b"GET /thumb HTTP/1.1\r\nHost: x\r\nX: " + b"secret" * 5000 + b"\r\n\r\n", 431),
        (b"GET /thumb HTTP/1.1\r\nHost: x\r\n" + b"X: secret\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"secret" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /" + b"secret" * 5000, 414),
        (b"GET /thumb HTTP/1.1\r\nHost: x\r\nContent-Length: secret\r\n\r\n", 400),
        (b"GET /thumb HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /thumb HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: secret, chunked\r\n\r\n", 501),
        (b"GET /thumb HTTP/2.0\r\nHost: secret\r\n\r\n", 505),
        (b"GET /thumb HTTP/0.9\r\nHost: secret\r\n\r\n", 505),
        (b"GET /thumb RTSP/1.0\r\nHost: secret\r\n\r\n", 400),
        (b"GET /thumb\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: secret/b?c\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\nHost: secret secret\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: \r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: secret\r\nConnection: close\r\n\r\n", 417),
        (b"GET /none HTTP/1.1\r\nHost: x\r\nExpect: secret\r\nConnection: close\r\n\r\n", 417),
    ],
)
async def test_a_malformed_request_is_told_so_and_not_quoted(
    gateway: GatewayClient, said: bytes, status: int, port: str
) -> None:
    """As a problem with the true status, and the connection ends; a page of the library would repeat what was sent."""
    number = {"visitors": gateway.running.port, "operators": gateway.running.admin_port}[port]
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(said)
    answer = await reader.read()
    writer.close()
    head = answer.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert b"Server: thumb-proxy" in head
    assert b"Connection: close" in head
    assert b"secret" not in answer


async def test_a_connection_that_is_closed_before_it_has_begun_is_closed(gateway: GatewayClient) -> None:
    """Leaving tells all connections to close; one that was accepted in that very moment must not wait for ever."""

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError

    server = web.Server(never)
    connection = Connection(server, loop=asyncio.get_running_loop())
    transport = make_mocked_request("GET", "/").transport
    assert transport is not None
    connection.connection_made(transport)
    connection.close()
    await asyncio.wait_for(connection.shutdown(timeout=30.0), 5)
    transport.close.assert_called()  # type: ignore[attr-defined]  # a mock
    gc.collect()
