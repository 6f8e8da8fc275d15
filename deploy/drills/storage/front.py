"""The way to a storage, on which answers to the gateway can be spoilt; requests are passed as they are."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from proxy.standin.faults import Exchange, Fault, Hang

GATEWAY = "thumb-proxy"
"""The User-Agent of the gateway; others are Cloudreve, and those who upload."""
_OWN_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "content-length", "expect"})
_MAX_BYTES = 64 * 1024 * 1024


class Late(Fault):
    """Nothing is there yet, for some seconds."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Say so, or answer."""
        if time.monotonic() >= self._until:
            return exchange.proper
        text = "<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"
        return web.Response(status=404, text=text, content_type="application/xml")


class Front:
    """Passes requests to a server; `fault` spoils thumbnails for visitors, `originals` what Cloudreve reads."""

    def __init__(self, port: int, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._upstream = upstream
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.fault: Fault | None = None
        self.originals: Fault | None = None
        self.writes: Fault | None = None
        self.relays = False
        """Cloudreve reads thumbnails too, to pass them on."""
        self.asked = 0
        """How often a thumbnail was asked for, by the gateway or for it."""
        self.written = 0
        """How often something was written."""
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None))
        application = web.Application(client_max_size=_MAX_BYTES)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mend()
        assert self._runner is not None  # noqa: S101 - it has been started
        assert self._session is not None  # noqa: S101 - it has been started
        await self._runner.cleanup()
        await self._session.close()

    @contextmanager
    def other_certificate(self, other: Path, own: Path) -> Iterator[None]:
        """Show another certificate for a while."""
        assert self._tls is not None  # noqa: S101 - the way speaks TLS
        self._tls.load_cert_chain(other)
        try:
            yield
        finally:
            self._tls.load_cert_chain(own)

    def mend(self) -> None:
        """Pass everything as it is from now on."""
        for fault in (self.fault, self.originals, self.writes):
            if isinstance(fault, Hang):
                fault.until.set()
        self.fault = self.originals = self.writes = None

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        is_write = request.method in ("PUT", "POST")
        is_relayed = self.relays and request.path.endswith("._thumb") and not is_write
        is_shown = is_relayed or request.headers.get("User-Agent") == GATEWAY
        self.asked += is_shown
        self.written += is_write
        fault = self.fault if is_shown else self.writes if is_write else self.originals
        proper = await self._asked(request)
        response = await fault.play(Exchange(request, proper)) if fault is not None else proper
        response.force_close()
        return response

    async def _asked(self, request: web.Request) -> web.Response:
        assert self._session is not None  # noqa: S101 - it has been started
        fields = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in _OWN_HOP)
        async with self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=fields,
            data=await request.read(),
            skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            kept = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in _OWN_HOP)
            if request.method == "HEAD" and "Content-Length" in answer.headers:
                kept["Content-Length"] = answer.headers["Content-Length"]
            return web.Response(status=answer.status, body=body, headers=kept)
