"""Asking a gateway by HTTP, down to a reply that may have been cut."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp
from yarl import URL

from deploy.drills.leaks.truth import Window

PATIENCE = aiohttp.ClientTimeout(total=60)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; status 0 for a connection that was cut."""

    status: int
    fields: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name; several values are joined by commas."""
    body: bytes = field(default=b"", repr=False)
    cookies: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        """Give a field's value; empty where there is none."""
        return self.fields.get(name, "")


async def ask(
    http: aiohttp.ClientSession, method: str, where: str, fields: Mapping[str, str], body: bytes | None = None
) -> tuple[Reply, Window]:
    """Send a request; tell when it was sent and when the answer had come."""
    begin = time.monotonic()
    try:
        async with http.request(
            method, URL(where, encoded=True), headers=fields, data=body, timeout=PATIENCE, allow_redirects=False
        ) as response:
            whole = await response.read()
            given: dict[str, str] = {}
            for name, value in response.headers.items():
                low = name.lower()
                given[low] = f"{given[low]}, {value}" if low in given else value
            reply = Reply(response.status, given, whole, tuple(response.headers.getall("Set-Cookie", ())))
    except (aiohttp.ClientError, TimeoutError):
        reply = Reply(0)
    return reply, Window(begin, time.monotonic())


def thumb(uri: str, route: str = "/thumb") -> str:
    """Give the path and query that ask for a File URI."""
    return f"{route}?uri={quote(uri, safe='')}"
