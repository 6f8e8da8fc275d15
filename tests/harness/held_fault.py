"""A fault of the stand-in that waits for the test."""

from __future__ import annotations

import asyncio

from aiohttp import web

from proxy.standin.faults import Exchange, Fault


class Held(Fault):
    """Another fault, once `until` is set."""

    def __init__(self, fault: Fault) -> None:
        self.until = asyncio.Event()
        self._fault = fault

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Wait, and then play it."""
        await self.until.wait()
        return await self._fault.play(exchange)
