"""The body of a request on its way to Cloudreve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection

from proxy.domain.errors import ProxyError
from proxy.http.aiohttp_private import begin_at_once, go_ahead, is_ascii, keep_bytes, mark_consumed
from proxy.upstream.kept_connections import WaryRequest

Proceed: TypeAlias = Callable[[], Awaitable[None]]
"""Called when Cloudreve wants a body, before the first of it is read."""

CONTINUE_S = 1.0
"""How long a request waits for Cloudreve's `100 Continue` before its body is sent without."""


async def at_once() -> None:
    """Wait for nothing."""


class Upload(aiohttp.Payload):
    """A body that is read once, as fast as Cloudreve takes it."""

    def __init__(self, chunks: AsyncIterator[bytes], proceed: Proceed) -> None:
        super().__init__(chunks)
        self._chunks = chunks
        self._proceed = proceed
        self._response: aiohttp.ClientResponse | None = None
        self.failure: ProxyError | None = None
        """Why the visitor's body broke off, if it did; errors that follow from it are no fault of Cloudreve's."""

    def watch(self, response: aiohttp.ClientResponse) -> None:
        """Name the answer that has begun before the body's end, and is to end with it when it breaks off."""
        self._response = response

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002
        """Send what comes; its length is what the visitor has announced, the parser in front has seen to that."""
        mark_consumed(self)
        writer.send_headers()  # aiohttp would keep them back until the body begins, and with them a refusal
        if self._response is None:  # behind the head of an answer a 100 would be a piece of its body
            await self._proceed()
        try:
            async for chunk in self._chunks:
                await writer.write(chunk)
        except ProxyError as failure:
            self.failure = failure
            if self._response is not None:
                self._response.close()
            raise

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send what comes."""
        await self.write_with_length(writer, None)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        """Refuse: nobody holds all of it."""
        raise TypeError("a body that streams has no text")


class ImpatientRequest(WaryRequest):
    """A request that waits for `100 Continue` for CONTINUE_S only: some servers never send it (RFC 9110 §10.1.1)."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it by `write_bytes` where a field value is not ASCII, since aiohttp drops bytes that are not UTF-8."""
        if go_ahead(self) is None and not is_ascii(self.headers):
            begin_at_once(self)
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the head with the bytes of its field values, and the body."""
        keep_bytes(writer, self.headers)
        await super().write_bytes(writer, conn, content_length)

    def update_expect_continue(self, expect: bool = False) -> None:
        """End the waiting after CONTINUE_S."""
        super().update_expect_continue(expect)
        awaited = go_ahead(self)
        if awaited is not None:
            self.loop.call_later(CONTINUE_S, _set, awaited)


def _set(received: asyncio.Future[bool]) -> None:
    if not received.done():
        received.set_result(True)
