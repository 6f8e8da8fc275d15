"""Compares Cloudreve's site URL with the addresses in the configuration."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from proxy.domain.errors import ProxyError
from proxy.settings import Settings

LOOK_S = 300.0
"""How long a corrected site URL is still told as wrong, at most."""
_ADVICE = "Enter the latter in Cloudreve's settings (Basic): links, sign-in and image URLs begin with it."

_log = structlog.get_logger("proxy.upstream.site_url")


class Mismatch(NamedTuple):
    """A site URL that does not fit."""

    reason: str
    advice: str
    remedy: str = ""
    """Lines for the configuration, where these are one way out."""
    is_grave: bool = True
    """Whether visitors miss pictures or come to another site."""


def mismatch(site_url: str, settings: Settings) -> Mismatch | None:
    """Say how Cloudreve's site URL, an origin, differs from the configuration; None where it fits."""
    public, wanted = settings.cloudreve.public_origins, _origin(settings.server.public_origin)
    if settings.server.passthrough and wanted and site_url != wanted:
        reason = f"Cloudreve's site URL is {site_url}, but visitors come to {wanted} (server.public_origin)."
        return Mismatch(reason, _ADVICE)
    if site_url in public or (site_url == settings.cloudreve.url and not public):
        return None
    if site_url == settings.cloudreve.url:
        reason = f"Cloudreve's site URL is {site_url}, but cloudreve.public_origins says {public[0]}."
        return Mismatch(reason, _ADVICE, is_grave=False)
    reason = f"Cloudreve's site URL is {site_url}, which cloudreve.public_origins does not name."
    lines = f"[cloudreve]\npublic_origins = {json.dumps([*public, site_url])}"
    return Mismatch(reason, "Name it there, or correct it in Cloudreve's settings (Basic).", lines)


class SiteUrlCheck:
    """Looks at Cloudreve's site URL at the start and now and then, and remembers what does not fit."""

    def __init__(self, ask: Callable[[], Awaitable[str]], settings: Settings) -> None:
        self._ask = ask
        self._settings = settings
        self._found: Mismatch | None = None

    async def look(self) -> None:
        """Compare once, and log a mismatch that is new. An answer that does not come changes nothing."""
        try:
            site_url = await self._ask()
        except ProxyError:
            return
        found = mismatch(site_url, self._settings) if site_url else None
        if found is not None and found != self._found:
            _log.warning("site URL does not fit", reason=found.reason, advice=found.advice)
        self._found = found

    async def follow(self) -> None:
        """Compare for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    def troubles(self) -> list[str]:
        """Tell what does not fit, and the way out."""
        return [f"{self._found.reason} {self._found.advice}"] if self._found else []


def _origin(address: str | None) -> str:
    """Give the origin of an address that may have a path."""
    found = re.match(r"[a-z]+://[^/]+", address or "")
    return found[0] if found else ""
