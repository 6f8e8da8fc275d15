"""Variants of a picture: looked up, or encoded once from the original over all replicas."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

import structlog

from proxy.cache.entry_loader import WantedEntry, entry_loader
from proxy.cache.tiers import Tiers
from proxy.coalesce.messages import Received
from proxy.coalesce.singleflight import Singleflight
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.client import Client
from proxy.domain.entry import Entry
from proxy.domain.errors import Busy
from proxy.domain.grant import Grant
from proxy.domain.keys import picture_key, variant_id
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.sniff import SNIFF_BYTES, media_type
from proxy.domain.source import Source
from proxy.domain.variant import Fit, Variant
from proxy.observe.metrics import Metrics
from proxy.pictures.encoders import EncodeFailed, Encoders
from proxy.settings import PictureSettings

WORTH = 0.9
"""A variant of the original's size is kept where it takes at most this part of the original's bytes; one that is
scaled down, where it takes no more than the original; one that is cut, always."""
RETRY_S = 600.0
"""How long a picture that could not be encoded is not tried again."""

_log = structlog.get_logger("proxy.pictures")


class FoundVariant(NamedTuple):
    """A variant, or the knowledge that the original is shown in its place; and where it was."""

    entry: Picture | NoVariant
    source: Source


class Variants:
    """Finds and makes variants. The caller holds a live grant that names the picture."""

    def __init__(
        self,
        tiers: Tiers,
        encoders: Encoders,
        singleflight: Singleflight[Picture | NoVariant],
        sharing: WorkSharing,
        metrics: Metrics,
        settings: PictureSettings,
    ) -> None:
        self._tiers = tiers
        self._encoders = encoders
        self._singleflight = singleflight
        self._sharing = sharing
        self._metrics = metrics
        self._settings = settings

    async def find(self, grant: Grant, variant: Variant, client: Client) -> FoundVariant | None:
        """Give the variant of the very version that the grant names, where a tier holds it."""
        if not grant.own and not grant.version:
            return None
        key = picture_key(variant_id(grant.picture, variant))
        kept = await self._tiers.get(key, (Picture, NoVariant), self._ttl_s, client)
        if kept is None or not self._fits(kept[0]) or not (grant.own or kept[0].version == grant.version):
            return None
        return FoundVariant(*kept)

    async def make(self, original: Picture, variant: Variant, client: Client) -> Picture | NoVariant | None:
        """Encode the variant; None where that takes longer than `pictures.encode_wait_s`, or too many wait.

        The work goes on: the variant is there for the next visitor.
        """
        try:
            flight, _ = self._singleflight.join(
                f"{variant_id(original.id, variant)} {original.version}", lambda: self._load(original, variant, client)
            )
            async with asyncio.timeout(self._settings.encode_wait_s):
                return await flight
        except (TimeoutError, Busy):
            return None

    async def _load(self, original: Picture, variant: Variant, client: Client) -> Picture | NoVariant:
        async def accept(entry: Entry, _: Received | None) -> Picture | NoVariant | None:
            if not isinstance(entry, (Picture, NoVariant)) or not self._fits(entry):
                return None
            return entry if entry.version == original.version else None

        key, make = picture_key(variant_id(original.id, variant)), partial(self._encoded, original, variant, client)
        wanted = WantedEntry(key, client, accept, make, self._ttl_s, self._ttl_s)
        return await self._sharing.share(entry_loader(self._tiers, wanted))

    async def _encoded(self, original: Picture, variant: Variant, client: Client) -> Picture | NoVariant:
        name = variant_id(original.id, variant)
        try:
            body = await self._encoders.encode(original.body, variant, client, name)
        except EncodeFailed as error:
            _log.info("shown as it came", media_type=original.media_type, reason=str(error))
            return NoVariant(name, original.version, is_final=False)
        kind = media_type(body[:SNIFF_BYTES])
        most = len(original.body) if variant.is_resized else WORTH * len(original.body)
        is_worth = variant.fit is Fit.COVER or len(body) <= most
        if kind is None or not is_worth:
            return NoVariant(name, original.version, is_final=True)
        self._metrics.saved(len(original.body), len(body))
        return Picture(name, kind, original.version, body)

    def _fits(self, entry: Picture | NoVariant) -> bool:
        return isinstance(entry, NoVariant) or len(entry.body) <= self._settings.max_bytes

    def _ttl_s(self, entry: Entry) -> float:
        if not isinstance(entry, (Picture, NoVariant)) or not self._fits(entry):
            return 0.0
        is_final = not isinstance(entry, NoVariant) or entry.is_final
        return self._settings.ttl_s if is_final else min(RETRY_S, self._settings.ttl_s)
