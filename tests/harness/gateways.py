"""Gateways in front of a stand-in Cloudreve, and the visitors who ask them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from proxy.settings import Settings
from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from proxy.wiring.process import Running, running
from tests.harness.redis_server import RedisServer

PNG = "image/png"
ONE = "cloudreve://my/album/one.png"
TWO = "cloudreve://my/album/two.png"
CUT_OFF = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)
"""A client's errors when an answer is broken off."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a gateway, read to its end."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def problem(self) -> dict[str, Any]:
        """Parse the body of an error, which says so."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.headers["Cache-Control"] == "no-store"
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        return found

    @property
    def is_hit(self) -> bool:
        """Tell what `Cache-Status` says."""
        return self.headers["Cache-Status"].startswith("thumb-proxy; hit")

    @property
    def etag(self) -> str:
        """Give the validator, quotes included."""
        return self.headers["ETag"]

    @property
    def max_age_s(self) -> int:
        """Tell for how long the visitor may keep it."""
        return int(self.headers["Cache-Control"].partition("max-age=")[2].partition(",")[0])


class Hours:
    """Time that a test moves on: our clock, the tiers' timer and, with `cloudreve`, that site's clock together."""

    def __init__(self, cloudreve: StandIn) -> None:
        self._cloudreve = cloudreve
        self._passed_s = 0.0

    def now(self) -> float:
        """Tell our time."""
        return time.time() + self._passed_s

    def timer(self) -> float:
        """Tell the tiers' time."""
        return time.monotonic() + self._passed_s

    def pass_by(self, seconds: float) -> None:
        """Let time go by, everywhere alike; Redis alone has a time of its own."""
        self._passed_s += seconds
        self._cloudreve.clock_offset_s += seconds


class GatewayClient:
    """One gateway as a visitor meets it."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self._session = session
        self.base = f"http://127.0.0.1:{running.port}"
        self.admin = f"http://127.0.0.1:{running.admin_port}"

    async def ask(self, uri: str, token: str | None = None, method: str = "GET", **headers: str) -> Reply:
        """Ask for a thumbnail and read the answer; `ticket`, `hint` and `etag` are the usual headers."""
        async with self.opened(uri, token, method, **headers) as response:
            return Reply(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def opened(
        self, uri: str, token: str | None = None, method: str = "GET", **headers: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a thumbnail and give the answer once its head is there."""
        where = URL(f"{self.base}/thumb?uri={quote(uri, safe='')}", encoded=True)
        async with self._session.request(method, where, headers=_headers(token, headers)) as response:
            yield response

    async def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        """Send any request, to a path of this gateway or to a whole URL."""
        where = URL(path if path.startswith("http") else self.base + path, encoded=True)
        asked = self._session.request(method, where, headers=headers, data=body, allow_redirects=False)
        async with asked as response:
            return Reply(response.status, response.headers, await response.read())

    def count(self, name: str, **labels: str) -> float:
        """Read one of the gateway's counters; what was never counted is 0."""
        return self.running.metrics.registry.get_sample_value(f"thumb_proxy_{name}", labels) or 0.0


_SHORT = {"ticket": "X-Cr-Purchase-Ticket", "hint": "X-Cr-Context-Hint", "etag": "If-None-Match"}


def _headers(token: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    named = {_SHORT.get(name, name.replace("_", "-")): value for name, value in headers.items()}
    return named if token is None else named | {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def gateway_of(url: str, clock: Clock | None = None, **sections: object) -> AsyncIterator[GatewayClient]:
    """Run a gateway in front of the Cloudreve at this address."""
    async with (
        running(settings_for(url, **sections), clock) as process,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as session,
    ):
        yield GatewayClient(process, session)


class GatewayLauncher:
    """Starts gateways in front of one Cloudreve, and closes what is still open at its end."""

    def __init__(self, cloudreve: StandIn) -> None:
        self.cloudreve = cloudreve
        self.hours = Hours(cloudreve)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def open(self, *, skew_s: float = 0.0, **sections: object) -> GatewayClient:
        """Start a gateway; `skew_s` is how far its clock is ahead, `sections` are settings."""
        clock = Clock(lambda: self.hours.now() + skew_s, self.hours.timer)
        return await self._stack.enter_async_context(gateway_of(self.cloudreve.own_url, clock, **sections))


def settings_for(url: str, **sections: object) -> Settings:
    """Make the settings of a gateway on free ports in front of a Cloudreve."""
    given: dict[str, Any] = {
        "server": {"host": "127.0.0.1", "port": 0, "deadline_s": 20.0, "shutdown_s": 5.0},
        "admin": {"host": "127.0.0.1", "port": 0},
        "cloudreve": {"url": url},
        "grants": {"renew_s": 0.0},  # nothing is to happen in the background of a test that moves time on
        "watch": {"max_subscriptions": 0},
    }
    for name, values in sections.items():
        given[name] = {**given.get(name, {}), **values} if isinstance(values, dict) else values
    return Settings.model_validate(given)


def in_share(cloudreve: StandIn, name: str = "one.png") -> str:
    """Give the File URI of a picture in the public album."""
    return f"cloudreve://{cloudreve.library.share.id}@share/{name}"


def kept(redis_server: RedisServer, kind: str = "") -> list[str]:
    """List what Redis keeps: grants and refusals under `g`, pictures under `p`; leases come and go."""
    found = redis_server.command("KEYS", f"*thumb-proxy:*:{kind}*")
    assert isinstance(found, list)
    return [key.decode() for key in found if b":lease:" not in key and not key.endswith(b":changes")]


async def until(holds: Callable[[], object]) -> None:
    """Wait for something that nobody tells: let everybody else go on until it holds."""
    while not holds():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)


def statuses(replies: Iterable[Reply]) -> list[int]:
    """List how answers ended."""
    return [reply.status for reply in replies]
