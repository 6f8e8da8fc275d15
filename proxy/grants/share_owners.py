"""Whose shares are whose: a change of an owner's files changes what the visitors of a share see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from cachetools import LRUCache, TTLCache

from proxy.coalesce.singleflight import Singleflight
from proxy.domain.errors import Busy, ProxyError
from proxy.domain.tags import UNKNOWN

KNOWN_SHARES = 10_000
"""A share's owner never changes."""
UNKNOWN_S = 30.0
"""How long Cloudreve is not asked again about a share whose owner it did not tell."""
ASK_S = 2.0
"""How long the owner's name is waited for; without it any owner's change ends the grant."""


class ShareOwners:
    """Asks Cloudreve once for each share."""

    def __init__(self, ask: Callable[[str], Awaitable[str]], singleflight: Singleflight[str]) -> None:
        """Take `ask`, which has Cloudreve name the owner of a share; it gives nothing where Cloudreve does not."""
        self._ask = ask
        self._singleflight = singleflight
        self._known: LRUCache[str, str] = LRUCache(KNOWN_SHARES)
        self._unknown: TTLCache[str, str] = TTLCache(KNOWN_SHARES, UNKNOWN_S)

    def known(self, share: str) -> str | None:
        """Give the owner's user id, as far as it is known here; None where it has not been asked for."""
        if not share:
            return UNKNOWN
        return self._known.get(share) or self._unknown.get(share)

    def ask(self, share: str) -> None:
        """Have Cloudreve asked where the owner is not known, and wait for nothing."""
        if self.known(share) is None:
            with suppress(Busy):
                self._singleflight.join(share, lambda: self._asked(share))

    async def owner(self, share: str) -> str:
        """Give the owner's user id, or UNKNOWN."""
        known = self.known(share)
        if known is not None:
            return known
        try:
            outcome, _ = self._singleflight.join(share, lambda: self._asked(share))
            async with asyncio.timeout(ASK_S):
                return await outcome
        except (TimeoutError, ProxyError):
            self._unknown[share] = UNKNOWN
            return UNKNOWN

    async def _asked(self, share: str) -> str:
        owner = await self._ask(share)
        known = self._known if owner else self._unknown
        known[share] = owner or UNKNOWN
        return owner or UNKNOWN
