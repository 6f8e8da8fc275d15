"""Nothing incomplete looks complete: what is damaged where it is stored, or breaks off, ends in a reset or an error."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest
from aiohttp import web

from proxy.standin.faults import Exchange, Fault, Says
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import PNG, GatewayClient, GatewayLauncher, gateway_of, in_share
from tests.harness.stream_server import stream_server

WHOLE = paint(1)


class Stored(Fault):
    """A body as it is stored, in two pieces, its length announced truly or not at all."""

    def __init__(self, body: bytes, *, announced: bool = True) -> None:
        self.body = body
        self._announced = announced

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Send it all, and end well."""
        half, length = len(self.body) // 2, len(self.body) if self._announced else None
        response = await exchange.begin(self.body[:half], announced=length)
        await asyncio.sleep(0)
        await response.write(self.body[half:])
        await response.write_eof()
        return response


async def raw(
    gateway: GatewayClient, target: str, version: str, until: asyncio.Event | None = None
) -> tuple[bytes, bool]:
    """Ask by hand; give all that came, and whether the connection was reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.running.port)
    writer.write(f"GET {target} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    got, is_reset = b"", False
    if until is not None:
        got = await reader.read(1)
        until.set()
    try:
        while chunk := await reader.read(65536):
            got += chunk
    except ConnectionResetError:
        is_reset = True
    writer.close()
    return got, is_reset


def status(got: bytes) -> int:
    """Read the status of an answer; 0 where nothing came."""
    return int(got.split(b" ", 2)[1]) if got else 0


def thumb(uri: str) -> str:
    return f"/thumb?uri={quote(uri, safe='')}"


DAMAGED = {
    "half": WHOLE[: len(WHOLE) // 2],
    "the last byte is missing": WHOLE[:-1],
    "a flipped bit": WHOLE[:-40] + bytes([WHOLE[-40] ^ 1]) + WHOLE[-39:],
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_picture_that_is_damaged_where_it_is_stored_never_looks_complete(
    cloudreve: StandIn, gateway: GatewayClient, version: str, announced: bool, body: bytes
) -> None:
    """It arrived in its announced length; less than that leaves, and a reset follows, or an error comes first."""
    cloudreve.fail("fetch", Stored(body, announced=announced), times=1)
    got, is_reset = await raw(gateway, thumb(in_share(cloudreve)), version)
    if status(got) == 200:
        head, _, sent = got.partition(b"\r\n\r\n")
        assert is_reset
        assert len(sent) < len(body) or b"chunked" in head
        assert not sent.endswith(b"0\r\n\r\n")
    else:
        assert status(got) == 502 or (not got and is_reset)
    whole = await gateway.ask(in_share(cloudreve))
    assert (whole.status, whole.is_hit) == (200, False)


async def test_an_http_1_0_visitor_gets_a_picture_of_unknown_length_whole(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """With its length, since the connection's end proves nothing."""
    cloudreve.fail("fetch", Stored(WHOLE, announced=False), times=1)
    got, is_reset = await raw(gateway, thumb(in_share(cloudreve)), "1.0")
    head, _, body = got.partition(b"\r\n\r\n")
    assert (status(head), body, is_reset) == (200, WHOLE, False)
    assert f"Content-Length: {len(WHOLE)}".encode() in head


async def test_an_http_1_0_visitor_gets_an_error_for_a_picture_of_unknown_length_that_breaks_off(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    cloudreve.fail("fetch", Stored(WHOLE[:-20], announced=False), times=1)
    got, _ = await raw(gateway, thumb(in_share(cloudreve)), "1.0")
    assert status(got) == 502


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_passed_answer_that_breaks_off_is_reset(version: str) -> None:
    """With HTTP/1.0 the connection's end would be the answer's."""
    until = asyncio.Event()

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET / "):  # and not the gateway's own first question, which would wait for the rest
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\n")
            await until.wait()
        writer.transport.abort()

    async with (
        stream_server(break_off) as port,
        gateway_of(f"http://127.0.0.1:{port}", server={"passthrough": True}) as gateway,
    ):
        got, is_reset = await raw(gateway, "/", version, until)
    assert (status(got), is_reset) == (200, True)


async def test_a_picture_of_too_many_pixels_is_refused(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    gateway = await launcher.open(pictures={"max_pixels": 400 * 300 - 1})
    cloudreve.fail("fetch", Says(WHOLE, PNG), times=1)
    reply = await gateway.ask(in_share(cloudreve))
    assert (reply.status, "pixels" in reply.problem["detail"]) == (502, True)
