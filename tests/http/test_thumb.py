"""The HTTP side of `/thumb`: what a request may look like, and how an answer is framed."""

from __future__ import annotations

import asyncio

import pytest

from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, PNG, GatewayClient, GatewayLauncher, in_share, until


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    return await launcher.open()


async def raw(gateway: GatewayClient, request: str) -> bytes:
    """Send a request as written and read until the gateway closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.running.port)
    writer.write(request.encode("utf-8", "surrogateescape"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_uri_need_not_be_encoded_throughout(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Slashes, colons and brackets may stand raw in the query, a plus is a blank there; it is one picture."""
    share = cloudreve.library.publish(cloudreve.library.alice, "/").id
    for spelling in (
        "%E6%97%A5%E8%90%BD%20(1).png",
        "%e6%97%a5%e8%90%bd+%281%29.png",
        "%25E6%2597%25A5%E8%90%BD+(1).png",
    ):
        target = f"/thumb?uri=cloudreve://{share}@share/{spelling}"
        answer = await raw(gateway, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), spelling
    assert cloudreve.calls.count("resolve") == 1


@pytest.mark.parametrize("bad", ["%ff", "%ED%A0%80", "%00", "%0d%0aX-Evil:%201", "\udcff", "日落"])
async def test_a_uri_that_is_no_text_is_refused(cloudreve: StandIn, gateway: GatewayClient, bad: str) -> None:
    """Raw bytes beyond ASCII, no UTF-8 and control characters never reach Cloudreve, nor a header of the answer."""
    target = f"/thumb?uri=cloudreve://my/{bad}.png"
    answer = await raw(gateway, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ", 2)[1] in (b"400", b"401")
    assert b"\r\nX-Evil" not in answer
    assert all("\n" not in call.target for call in cloudreve.calls.of("resolve"))


async def test_a_uri_that_is_too_long_is_refused(gateway: GatewayClient) -> None:
    """4096 bytes are accepted, a percent-encoded one counting once."""
    for name, status in (("a" * 4000, 401), ("a" * 4096, 400), ("日" * 1300, 401), ("日" * 1400, 400)):
        assert (await gateway.ask(f"cloudreve://my/{name}")).status == status


async def test_a_picture_is_never_encoded(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Whatever the visitor accepts: it is compressed already, and the ETag names its bytes."""
    for accepted in ("gzip, br", "identity;q=0"):
        reply = await gateway.ask(in_share(cloudreve), Accept_Encoding=accepted)
        assert (reply.headers["Content-Type"], "Content-Encoding" in reply.headers) == (PNG, False)


async def test_requests_on_one_connection_are_answered_in_their_order(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """Pipelined, with HEAD, 304 and an error between them: no answer's body is taken for another's."""
    alice = f"Authorization: Bearer {cloudreve.token()}\r\n"
    names = ("one.png", "two.png", "three.png")
    bodies = [(await gateway.ask(f"cloudreve://my/album/{name}", cloudreve.token())).body for name in names]
    lines = [f"GET /thumb?uri=cloudreve://my/album/{name} HTTP/1.1\r\nHost: x\r\n{alice}\r\n" for name in names]
    lines.insert(1, f"HEAD /thumb?uri={ONE} HTTP/1.1\r\nHost: x\r\n{alice}\r\n")
    lines.insert(3, f"GET /thumb?uri={ONE} HTTP/1.1\r\nHost: x\r\n\r\n")
    lines.insert(4, f"GET /thumb?uri={ONE} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n{alice}\r\n")
    lines[-1] = lines[-1].replace("Host: x", "Host: x\r\nConnection: close")
    answer = await raw(gateway, "".join(lines))
    statuses = [part.split(b" ", 1)[0] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"200", b"401", b"304", b"200"]
    positions = [answer.find(body) for body in bodies]
    assert positions == sorted(positions)
    assert [answer.count(body) for body in bodies] == [1, 1, 1]


async def test_a_body_that_comes_with_the_question_is_not_read_into_the_next(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """GET with a body: it is skipped, and the request behind it is answered as itself."""
    first = f"GET /thumb?uri={in_share(cloudreve)} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET "
    second = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await raw(gateway, first + second)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"alive\n")


async def test_a_visitor_who_leaves_is_counted_as_such(
    cloudreve: StandIn, gateway: GatewayClient, log_entries: list[dict[str, object]]
) -> None:
    """While waiting: one line in the log, one in the metrics, no status, and no error."""
    cloudreve.generator.gate = gate = asyncio.Event()
    visitor = asyncio.create_task(gateway.ask(in_share(cloudreve)))
    await cloudreve.calls.arrived("resolve")
    visitor.cancel()
    await asyncio.gather(visitor, return_exceptions=True)
    await until(lambda: gateway.count("requests_total", outcome="left"))
    [line] = [entry for entry in log_entries if entry["event"] == "request"]
    assert (line["outcome"], line["status"], line["route"]) == ("left", None, "/thumb")
    gate.set()
