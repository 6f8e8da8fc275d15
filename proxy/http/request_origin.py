"""How visitors reach this gateway: their address and its own, behind whatever proxies."""

from __future__ import annotations

from aiohttp import web

from proxy.domain.client import Client, client_at
from proxy.http.forwarded import Proxies, Seen
from proxy.settings import ServerSettings

_SAID = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")
_SEEN = web.RequestKey("seen", Seen)


class Front:
    """Tells visitors' addresses and the gateway's own origin, by the configuration and by trusted proxies."""

    def __init__(self, settings: ServerSettings) -> None:
        self._proxies = Proxies(settings.trusted_proxies)
        self.trusts = self._proxies.trusts
        """Tells whether what comes from an address is believed."""
        self._public_origin = settings.public_origin

    def seen(self, request: web.Request) -> Seen:
        """Give the visitor's address, and the scheme and host it has used, as trusted proxies tell them."""
        seen = request.get(_SEEN)
        if seen is None:
            headers, peer = request.headers, request.remote or ""
            says = any(name in headers for name in _SAID)
            seen = self._proxies.seen(peer, lambda name: headers.getall(name, ())) if says else Seen(peer)
            request[_SEEN] = seen
        return seen

    def client(self, request: web.Request) -> Client:
        """Give the client that asks, as every limit counts it."""
        return client_at(self.seen(request).client)

    def origin(self, request: web.Request) -> str:
        """Give the origin that URLs begin with, such as https://cloud.example.com; empty where it is not known."""
        return self._public_origin or self.seen(request).origin or ""

    def own_origin(self, request: web.Request) -> str:
        """Give the same origin for comparing; where it is not known, what the request itself says (`Host`)."""
        return self.origin(request) or f"{request.scheme}://{request.host}"
