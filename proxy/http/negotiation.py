"""Negotiates the variant that a request is answered with."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from aiohttp import web

from proxy.domain.fields import Fields
from proxy.domain.variant import Variant
from proxy.http.variant_rules import negotiated, sized
from proxy.settings import PictureSettings


class Negotiation:
    """Server-driven content negotiation (RFC 9110 §12.1)."""

    def __init__(self, settings: PictureSettings) -> None:
        self._formats = settings.formats
        self._sizes = settings.sizes
        self.fields: Fields = (("Vary", "Accept"),) if self._formats else ()
        """The header fields about it, of every answer with a picture."""

    def variant(self, request: web.Request) -> Variant:
        """Give the variant; raise BadRequest for a size that is not accepted."""
        chosen = negotiated(request.headers.getall("Accept", ()), self._formats)
        return replace(self.size(request), format=chosen)

    def size(self, request: web.Request) -> Variant:
        """Give the size alone."""
        return sized(list(request.query.items()), self._sizes)


def size_query(variant: Variant) -> str:
    """Write a size as a query, empty for the original's."""
    sides = {name: value for name, value in (("w", variant.width), ("h", variant.height)) if value}
    return f"?{urlencode(sides | {'fit': str(variant.fit)})}" if sides else ""
