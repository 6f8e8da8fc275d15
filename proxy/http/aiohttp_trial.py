"""Tries out at each start whether aiohttp's private names are there and behave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import aiohttp
from aiohttp import web
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

from proxy.http.aiohttp_private import PrivateConnection, error_of, keep_bytes, missing, options_of

TRIED_S = 5.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: trial\r\n\r\n"
_BYTES = b"\xe9"


async def fault() -> str | None:
    """Tell what about aiohttp's private names is not as it should be; None where all is."""
    names = missing()
    if names:
        return f"aiohttp {aiohttp.__version__} has no {', '.join(names)}"
    try:
        failed = await _tried()
    except Exception as error:  # noqa: BLE001 - whatever it is, aiohttp is not as expected
        failed = [type(error).__name__]
    return f"aiohttp {aiohttp.__version__} behaves otherwise than expected: {', '.join(failed)}" if failed else None


async def _respond(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="trial")


class _Transport(asyncio.Transport):
    """Collects what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: nobody is at the other end."""


async def _tried() -> list[str]:
    """Have a connection without a network answer a request and read an error; list what differs."""
    transport, server = _Transport(), web.Server(_respond, tcp_keepalive=False)
    connection = PrivateConnection(server, loop=asyncio.get_running_loop(), **options_of(server))
    connection.connection_made(transport)
    try:
        async with asyncio.timeout(TRIED_S):
            return await _differences(connection, transport)
    finally:
        task = connection.task
        connection.connection_lost(None)
        if task is not None:
            task.cancel()


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - aiohttp tells of nothing
        await asyncio.sleep(0)


async def _differences(connection: PrivateConnection, transport: _Transport) -> list[str]:
    seen = {}
    await _until(lambda: connection.is_waiting)
    seen["idle"] = not (connection.messages or connection.is_request_in_progress)
    connection.hold()
    seen["hold"] = connection.is_held and transport.is_paused
    connection.release()
    opened = connection.idle_until
    connection.data_received(_REQUEST)
    seen["request"] = connection.request_count == len(connection.messages) == 1 and not connection.is_waiting
    await _until(lambda: transport.written.endswith(b"trial") and connection.is_waiting)
    seen["answer"] = transport.written.startswith(b"HTTP/1.1 200") and 0 < opened <= connection.idle_until
    connection.read_error(HTTPStatus.BAD_REQUEST, ValueError())
    seen["error"] = error_of(connection.messages[-1][0]) is not None and not connection.is_waiting
    seen["bytes"] = await _keeps_bytes(connection, transport)
    return [name for name, is_well in seen.items() if not is_well]


async def _keeps_bytes(connection: PrivateConnection, transport: _Transport) -> bool:
    writer = StreamWriter(connection, connection.loop)
    fields = CIMultiDict({"X-Note": _BYTES.decode("utf-8", "surrogateescape")})
    await writer.write_headers("HTTP/1.1 200 OK", fields)
    keep_bytes(writer, fields)
    writer.send_headers()
    return transport.written.endswith(b"X-Note: %b\r\n\r\n" % _BYTES)
