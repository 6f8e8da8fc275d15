"""WebSockets through the gateway: agreed on by Cloudreve, then bytes both ways until either side is gone."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tests.harness.gateways import gateway_of
from tests.harness.scripted_cloudreve import PATIENCE_S, Call, RawConnection, ScriptedSetup, passing

ASKING = (
    b"GET /ws?x HTTP/1.1\r\nHost: cloud.example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://cloud.example.com\r\n\r\n"
)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
)
MUCH = b"x" * (8 * 2**20)


async def connect(scripted: ScriptedSetup, line: RawConnection) -> tuple[Call, bytes]:
    """Open a tunnel; give Cloudreve's end and the head of the answer."""
    await line.say(ASKING)
    call = await scripted.cloudreve.call()
    await call.say(AGREED)
    return call, await line.hear(b"\r\n\r\n")


async def test_a_websocket_is_agreed_on_by_both(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        call, answer = await connect(scripted, line)
    assert (call.fields["Connection"], call.fields["Upgrade"]) == (["Upgrade"], ["websocket"])
    assert call.fields["Sec-WebSocket-Key"] == ["dGhlIHNhbXBsZSBub25jZQ=="]
    assert call.fields["Origin"] == ["http://cloud.example.com"]
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    lines = answer.split(b"\r\n")
    assert {b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Protocol: chat"} <= set(lines)
    assert not [one for one in lines if one.lower().startswith((b"content-", b"transfer-"))]


async def test_bytes_go_both_ways_as_they_are(scripted: ScriptedSetup) -> None:
    """Whether they are frames is for the two at the ends to know."""
    async with scripted.line() as line:
        call, _ = await connect(scripted, line)
        for number in range(3):
            await line.say(b"\x81\x05hello%d" % number)
            assert await call.hear_bytes(8) == b"\x81\x05hello%d" % number
            await call.say(b"GET / HTTP/1.1\r\n\r\n")
            assert await line.hear_bytes(18) == b"GET / HTTP/1.1\r\n\r\n"


async def test_bytes_sent_before_the_upgrade_are_not_lost(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        await line.say(ASKING + b"early")
        call = await scripted.cloudreve.call()
        await call.say(AGREED + b"bird")
        assert (await line.hear(b"bird")).startswith(b"HTTP/1.1 101 ")
        assert await call.hear_bytes(5) == b"early"


async def test_much_goes_through_both_ways_at_once(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        call, _ = await connect(scripted, line)
        for end in (line, call):
            end.writer.write(MUCH)
        there, back = await asyncio.gather(call.hear_bytes(len(MUCH)), line.hear_bytes(len(MUCH)))
        assert there == back == MUCH


async def test_much_that_nobody_takes_is_not_held_here(scripted: ScriptedSetup) -> None:
    """The side that says it has to wait."""
    async with scripted.line() as line:
        call, _ = await connect(scripted, line)
        line.writer.write(MUCH * 4)
        held = -1
        while held != (held := line.writer.transport.get_write_buffer_size()) or not held:
            for _ in range(50):
                await scripted.gateway.send("GET", "/healthz")
        assert await call.hear_bytes(len(MUCH) * 4) == MUCH * 4


@pytest.mark.parametrize("is_torn", [True, False])
async def test_when_cloudreve_ends_it_the_visitor_learns_of_it(scripted: ScriptedSetup, is_torn: bool) -> None:
    """After the last that Cloudreve has said, when it has said it in peace."""
    async with scripted.line() as line:
        call, _ = await connect(scripted, line)
        await call.say(b"bye")
        await line.hear(b"bye")
        if is_torn:
            call.tear()
        else:
            call.hang_up()
        assert await line.hear_all() == b""


@pytest.mark.parametrize("is_torn", [True, False])
async def test_when_the_visitor_ends_it_cloudreve_learns_of_it(scripted: ScriptedSetup, is_torn: bool) -> None:
    """It would talk to nobody for ever."""
    async with scripted.line() as line:
        call, _ = await connect(scripted, line)
        if is_torn:
            line.tear()
        else:
            line.hang_up()
        assert await call.hear_all() == b""


async def test_a_refusal_is_an_answer_like_any_other(scripted: ScriptedSetup) -> None:
    """And what follows on the connection is HTTP, looked at like all HTTP: that is how tunnels are smuggled."""
    async with scripted.line() as line:
        await line.say(ASKING + b"GET /thumb HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        await (await scripted.cloudreve.call()).answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        assert (await line.hear(b"\r\n\r\nno")).startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert (await line.hear(b"}")).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert (await scripted.cloudreve.call()).line == "GET /b HTTP/1.1"


@pytest.mark.parametrize("upgrade", ["h2c", "tcp", "websocket, h2c", "HTTP/2.0"])
async def test_no_other_protocol_is_switched_to(scripted: ScriptedSetup, upgrade: str) -> None:
    """Cloudreve does not even learn that it was asked for."""
    asking = ASKING.replace(b"Upgrade: websocket", b"Upgrade: " + upgrade.encode() + b"\r\nHTTP2-Settings: AA")
    async with scripted.line() as line:
        await line.say(asking)
        call = await scripted.cloudreve.call()
        assert not {"Upgrade", "HTTP2-Settings"} & call.fields.keys()
        await call.answer()
        assert (await line.hear(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_tunnels_do_not_keep_a_gateway_from_leaving() -> None:
    async with asyncio.timeout(PATIENCE_S), passing(shutdown_s=3600.0) as scripted, scripted.line() as line:
        await connect(scripted, line)


async def test_a_tunnel_is_counted_when_it_has_ended(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        call, _ = await connect(scripted, line)
        call.hang_up()
        assert await line.hear_all() == b""
    assert scripted.gateway.count("requests_total", outcome="pass") == 1


async def test_a_real_websocket_works() -> None:
    """With compression, pings and a proper end, as a browser has it."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["chat"])
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{message.data}!")
        return socket

    app = web.Application()
    app.add_routes([web.get("/ws", echo)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    cloudreve = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with gateway_of(cloudreve, server={"passthrough": True}) as gateway, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{gateway.base}/ws", protocols=["chat"], compress=15) as socket:
            assert socket.protocol == "chat"
            for word in ("hello", "world" * 99_999):
                await socket.send_str(word)
                assert await socket.receive_str() == f"{word}!"
        assert socket.close_code == aiohttp.WSCloseCode.OK
    await runner.cleanup()
