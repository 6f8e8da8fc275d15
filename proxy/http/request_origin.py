"""How visitors reach this gateway: their address and its own, behind whatever proxies."""

from __future__ import annotations

import re
from collections.abc import Mapping

import structlog
from aiohttp import web

from proxy.domain.client import Client, client_at
from proxy.http.forwarded import ForwardedFor, Proxies
from proxy.settings import ServerSettings

FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")
"""Fields in which proxies say how a visitor reached them."""

_UNTRUSTED = "X-Forwarded-* or Forwarded of an address that is not trusted is not believed"
_ADVICE = "if it is your reverse proxy, name it in server.trusted_proxies"

_log = structlog.get_logger("proxy.http")

_TRACEPARENT = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class RequestOrigin:
    """Tells visitors' addresses and the gateway's own origin, by the configuration and by trusted proxies."""

    def __init__(self, settings: ServerSettings) -> None:
        self._proxies = Proxies(settings.trusted_proxies)
        self.trusts = self._proxies.trusts
        """Tells whether what comes from an address is believed."""
        self._public_origin, self.path = _split(settings.public_origin or "")
        """The path is what a proxy in front strips; empty where it strips none."""
        self._has_warned = False
        self._requests = self._disbelieved = 0

    def seen(self, request: web.Request) -> ForwardedFor:
        """Give the visitor's address, and the scheme and host it has used, as trusted proxies tell them."""
        headers, peer = request.headers, request.remote or ""
        self._requests += 1
        if not any(name in headers for name in FORWARDED):
            return ForwardedFor(peer)
        if not self.trusts(peer):
            self._disbelieve()
        return self._proxies.seen(peer, lambda name: headers.getall(name, ()))

    def troubles(self) -> list[str]:
        """Tell where most requests come from a proxy that is not trusted."""
        return [f"{_UNTRUSTED}: {_ADVICE}."] if self._disbelieved * 2 > self._requests else []

    def _disbelieve(self) -> None:
        self._disbelieved += 1
        if not self._has_warned:
            self._has_warned = True  # once: it may be a visitor's own doing
            _log.warning(_UNTRUSTED, advice=_ADVICE)

    def traceparent(self, request: web.Request) -> str | None:
        """Give the trace that a trusted proxy has begun (W3C Trace Context); a visitor's own is not followed."""
        trace = request.headers.get("traceparent")
        return trace if trace and self.trusts(request.remote or "") and _TRACEPARENT.fullmatch(trace) else None

    def client(self, request: web.Request) -> Client:
        """Give the client that asks, as every limit counts it."""
        return client_at(self.seen(request).client)

    def base(self, request: web.Request) -> str:
        """Give what URLs begin with, such as https://cloud.example.com; empty where it is not known."""
        return self._origin(request) + self.path

    def own_origin(self, request: web.Request) -> str:
        """Give the origin for comparing; where it is not known, what the request itself says (`Host`)."""
        return self._origin(request) or f"{request.scheme}://{request.host}"

    def origin_by(self, host: str, forwarded: Mapping[str, str]) -> str:
        """Give the origin for a request's `Host` and `FORWARDED`, as far as a trusted proxy has sent it; as `base`."""
        if self._public_origin or not forwarded:
            return self._public_origin
        lines = {"Host": host, **forwarded}
        return self._proxies.told("", lambda name: (lines[name],) if name in lines else ()).origin or ""

    def _origin(self, request: web.Request) -> str:
        return self._public_origin or self.seen(request).origin or ""


def _split(address: str) -> tuple[str, str]:
    """Give origin and path of an address."""
    path_at = address.find("/", address.find("://") + 3)
    return (address, "") if path_at < 0 else (address[:path_at], address[path_at:])
