"""Faults of aiohttp's client that the gateway mends, each in its smallest form.

A test that fails here is good news: this version of aiohttp has mended the fault, and what mends it in
`proxy/passthrough/` or `proxy/upstream/kept_connections.py` can go.
"""

from __future__ import annotations

import asyncio
import socket
import struct

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from tests.aiohttp_faults.conftest import Stage

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NEVER_S = 0.2
"""How long nothing has to come to count as never."""


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def test_of_fields_that_differ_in_case_the_last_is_sent(stage: Stage) -> None:
    """RFC 9110 §5.2: all are. Of those whose spelling was not seen before, one takes the others' place."""

    async def list_cookies(request: web.Request) -> web.Response:
        return web.Response(text="|".join(request.headers.getall("Cookie")))

    fields = CIMultiDict([("Cookie", "a=1"), ("cookie", "b=2")])
    no_jar = aiohttp.DummyCookieJar()
    async with stage.serving(list_cookies) as port, aiohttp.ClientSession(cookie_jar=no_jar) as client:
        response = await client.get(f"http://127.0.0.1:{port}/", headers=fields)
        assert await response.text() == "b=2"


async def test_bytes_of_field_values_are_left_out(stage: Stage) -> None:
    """RFC 9110 §5.5: they are opaque."""
    heads: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head_of(reader))
        writer.write(EMPTY)
        writer.close()

    note_field = {"X-Note": b"caf\xe9".decode("utf-8", "surrogateescape")}
    async with stage.talking(note) as url, aiohttp.ClientSession() as client:
        await (await client.get(url, headers=note_field)).read()
    assert b"X-Note: caf\r\n" in heads[0]


async def test_an_unsolicited_response_answers_the_next_request(stage: Stage) -> None:
    """RFC 9112 §9.2: it is the answer to none. Servers say 408 so before they close a connection."""
    is_answered, has_said = asyncio.Event(), asyncio.Event()

    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(EMPTY)
        await is_answered.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        has_said.set()
        await reader.read()
        writer.close()

    async with stage.talking(impatient) as url, aiohttp.ClientSession() as client:
        async with client.get(url) as first:
            await first.read()
        is_answered.set()
        await has_said.wait()
        await asyncio.sleep(0.05)  # until it has arrived, of which aiohttp tells nobody
        async with client.get(url) as second:
            assert (first.status, second.status) == (200, 408)


async def test_a_server_that_never_says_continue_gets_no_body(stage: Stage) -> None:
    """RFC 9110 §10.1.1: a client should not wait for it for ever, since some servers do not know `Expect`."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        await reader.readexactly(4)
        writer.write(EMPTY)
        writer.close()

    async with stage.talking(silent) as url, aiohttp.ClientSession() as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.put(url, data=b"body", expect100=True), NEVER_S)


async def test_a_broken_chunk_leaves_the_reader_of_an_answer_waiting(stage: Stage) -> None:
    """RFC 9112 §8: such an answer is incomplete. Its reader hears nothing, neither bytes nor an error."""
    has_read = asyncio.Event()

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await has_read.wait()
        writer.write(b"no size\r\n")
        await reader.read()
        writer.close()

    async with stage.talking(broken) as url, aiohttp.ClientSession() as client, client.get(url) as response:
        assert await response.content.readany() == b"abc"
        has_read.set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readany(), NEVER_S)


async def test_a_request_that_changes_something_is_sent_twice(stage: Stage) -> None:
    """RFC 9110 §9.2.2 allows it for idempotent methods; nobody can tell then what the first one has done."""
    methods: list[bytes] = []

    async def once_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            methods.append((await head_of(reader)).partition(b" ")[0])
            if methods.count(b"DELETE") == 1 and methods[-1] == b"DELETE":
                break
            writer.write(EMPTY)
        writer.close()

    async with stage.talking(once_closed) as url, aiohttp.ClientSession() as client:
        await (await client.get(url)).read()
        await (await client.delete(url)).read()
    assert methods == [b"GET", b"DELETE", b"DELETE"]


async def test_an_answer_that_was_reset_looks_complete(stage: Stage) -> None:
    """RFC 9112 §8: one without a length ends with a close; a connection that is reset has broken it off."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
        await has_read.wait()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    has_read = asyncio.Event()
    async with stage.talking(reset) as url, aiohttp.ClientSession() as client, client.get(url) as response:
        assert await response.content.readany() == b"half of it"
        has_read.set()
        assert await response.content.read() == b""
