"""One visit of the gateway, and what it came to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from yarl import URL

PNG_END = b"IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class Visit:
    """Status (0 for an answer that broke off), time, and whether a whole picture came."""

    status: int
    seconds: float
    body: bytes
    headers: Mapping[str, str]

    @property
    def is_true(self) -> bool:
        """Tell whether the answer is a whole picture, a cut one, or an error that says when to come again."""
        if self.status == 200:  # noqa: PLR2004
            return self.body.endswith(PNG_END)
        return self.status in (0, 404, 502) or (self.status in (503, 504) and "Retry-After" in self.headers)


class Visitor:
    """Asks the gateway, with an access token or as nobody."""

    def __init__(self, session: aiohttp.ClientSession, port: int, token: str = "") -> None:
        self._session = session
        self._base = f"http://127.0.0.1:{port}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def visit(self, uri: str) -> Visit:
        """Ask for a thumbnail."""
        where = URL(f"{self._base}/thumb?uri={quote(uri, safe='')}", encoded=True)
        started = time.monotonic()
        try:
            async with self._session.get(where, headers=self._headers) as answer:
                body = await answer.read()
                return Visit(answer.status, time.monotonic() - started, body, answer.headers)
        except aiohttp.ClientError:
            return Visit(0, time.monotonic() - started, b"", {})
