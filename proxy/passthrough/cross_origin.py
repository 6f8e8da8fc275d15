"""Which scripts Cloudreve lets read its answers (CORS), for answers that the gateway gives in its place."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import NamedTuple

from cachetools import TLRUCache

from proxy.coalesce.singleflight import Singleflight
from proxy.domain.errors import ProxyError
from proxy.domain.fields import Fields
from proxy.passthrough.client import UpstreamClient, UpstreamRequest

KNOWN_ORIGINS = 1000
TTL_S = 60.0
"""How long Cloudreve's rule for an origin is kept; changing it takes a restart of Cloudreve."""
FAILED_S = 2.0
"""How long it is not asked again after it has not answered."""
WAIT_S = 3.0
_PING = "/api/v4/site/ping"
_ORIGIN = re.compile(r"[!-~]{1,255}")
_VALUE = re.compile(r"[ -~]*")


class _Known(NamedTuple):
    fields: Fields
    until: float


class SiteCors:
    """Asks the cheapest question of Cloudreve's API with an origin, and remembers what its answer allows."""

    def __init__(self, passage: UpstreamClient, singleflight: Singleflight[Fields], timer: Callable[[], float]) -> None:
        self._passage = passage
        self._singleflight = singleflight
        self._timer = timer
        self._known: TLRUCache[tuple[str, str], _Known] = TLRUCache(
            KNOWN_ORIGINS, ttu=lambda _, known, __: known.until, timer=timer
        )

    async def fields(self, origin: str, host: str) -> Fields:
        """Give the Access-Control-* fields of Cloudreve's answers to a script of this origin, which has asked `host`.

        Empty where Cloudreve allows it nothing, or does not answer.
        """
        if not _ORIGIN.fullmatch(origin):
            return ()
        known = self._known.get((origin, host))
        if known is not None:
            return known.fields
        return await self._singleflight.join(f"{origin} {host}", lambda: self._ask(origin, host))[0]

    async def _ask(self, origin: str, host: str) -> Fields:
        question = UpstreamRequest("GET", _PING, (("Host", host), ("Origin", origin), ("Accept", "application/json")))
        try:
            async with asyncio.timeout(WAIT_S), self._passage.ask(question) as reply:
                fields = tuple(field for field in reply.fields if _is_cors(*field))
                async for _ in reply.chunks:
                    pass
        except (ProxyError, TimeoutError):
            return self._keep(origin, host, (), FAILED_S)
        return self._keep(origin, host, fields, TTL_S)

    def _keep(self, origin: str, host: str, fields: Fields, ttl_s: float) -> Fields:
        self._known[origin, host] = _Known(fields, self._timer() + ttl_s)
        return fields


def _is_cors(name: str, value: str) -> bool:
    return name.lower().startswith("access-control-") and _VALUE.fullmatch(value) is not None
