"""A visitor of the site that nginx serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

URI = "cloudreve://AbCd:pw123@share/one.png"
THUMB = f"/thumb?uri={quote(URI, safe='')}"


@dataclass(frozen=True, slots=True)
class Got:
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Visitor:
    """Asks as browsers do."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def get(self, target: str = THUMB, headers: Mapping[str, str] | None = None) -> Got:
        """Ask for something."""
        return await self.send("GET", target, headers)

    async def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
    ) -> Got:
        """Send a request, its target as it is."""
        where = URL(self.base + target, encoded=True)
        async with self.session.request(method, where, headers=headers, data=body, allow_redirects=False) as response:
            return Got(response.status, response.headers, await response.read())

    async def get_raw(self, *lines: str) -> bytes:
        """Send the lines of a head as they are, and give the answer as it is, up to the connection's end."""
        url = URL(self.base)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        try:
            writer.write("\r\n".join((*lines, "Host: site", "Connection: close", "", "")).encode("latin-1"))
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
